/* Those who wait for a job to end, each with a deadline, and for an ended one to be cleared away;
 * one timer serves the nearest deadline. */
#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "core/core_impl.h"
#include "core/wait.h"

#define NEVER UINT64_MAX

struct job_wait {
    struct list link;
    uint64_t job;
    uint64_t deadline_ms; /* of the loop's clock; NEVER: for a removal, when it is cleared away */
    core_reply_fn *reply;
    void *arg;
};

static void wait_arm(struct core *core)
{
    uint64_t now = uv_now(core->loop), nearest = NEVER;
    LIST_EACH (link, &core->waits) {
        const struct job_wait *wait = LIST_ENTRY(link, struct job_wait, link);
        nearest = wait->deadline_ms < nearest ? wait->deadline_ms : nearest;
    }
    if (nearest == NEVER)
        (void)uv_timer_stop(&core->wait_timer); /* never fails */
    else
        (void)uv_timer_start(&core->wait_timer, wait_on_timer, nearest > now ? nearest - now : 0,
                             0); /* never NULL */
}

static void wait_give(const struct core *core, struct job_wait *wait, struct live_job *live)
{
    list_remove(&wait->link);
    explain_tell(core, live);
    core_reply_value(wait->reply, wait->arg, job_encode(&live->job));
    free(wait);
}

void wait_on_timer(uv_timer_t *timer)
{
    struct core *core = timer->data;
    uint64_t now = uv_now(core->loop);
    LIST_EACH_SAFE (link, after, &core->waits) {
        struct job_wait *wait = LIST_ENTRY(link, struct job_wait, link);
        struct live_job *live = core_find(core, wait->job);
        if (live && wait->deadline_ms <= now)
            wait_give(core, wait, live);
    }
    wait_arm(core);
}

void wait_job_ended(struct core *core, struct live_job *live)
{
    LIST_EACH_SAFE (link, after, &core->waits) {
        struct job_wait *wait = LIST_ENTRY(link, struct job_wait, link);
        if (wait->job == live->job.id && wait->deadline_ms != NEVER)
            wait_give(core, wait, live);
    }
    wait_arm(core);
}

void wait_cancel_all(struct core *core)
{
    struct error err;
    (void)error_set(&err, -ECANCELED, "stopping", "leatd is stopping; ask again");
    while (!list_empty(&core->waits)) {
        struct job_wait *wait = LIST_ENTRY(core->waits.next, struct job_wait, link);
        list_remove(&wait->link);
        wait->reply(wait->arg, NULL, &err);
        free(wait);
    }
}

static void wait_add(struct core *core, const struct job_wait *content)
{
    struct job_wait *wait = malloc(sizeof(*wait));
    if (!wait) {
        core_reply_value(content->reply, content->arg, NULL);
        return;
    }
    *wait = *content;
    list_append(&core->waits, &wait->link);
    wait_arm(core);
}

void wait_and_remove(struct core *core, uint64_t job, core_reply_fn *reply, void *arg)
{
    wait_add(core,
             &(struct job_wait){.job = job, .deadline_ms = NEVER, .reply = reply, .arg = arg});
}

void wait_job_forgotten(struct core *core, uint64_t job)
{
    char id[JOB_ID_TEXT_MAX];
    LIST_EACH_SAFE (link, after, &core->waits) {
        struct job_wait *wait = LIST_ENTRY(link, struct job_wait, link);
        if (wait->job != job)
            continue;
        list_remove(&wait->link);
        core_job_remove(core, job_id_text(job, id), wait->reply, wait->arg);
        free(wait);
    }
}

void core_job_wait(struct core *core, const char *id, uint64_t timeout_ms, core_reply_fn *reply,
                   void *arg)
{
    struct live_job *live = core_find_text(core, id);
    if (!live || live->clearing || timeout_ms == 0 || core->stopping) {
        core_job_get(core, id, reply, arg);
        return;
    }
    uint64_t now = uv_now(core->loop);
    wait_add(core, &(struct job_wait){
                       .job = live->job.id,
                       .deadline_ms = timeout_ms > NEVER - 1 - now ? NEVER - 1 : now + timeout_ms,
                       .reply = reply,
                       .arg = arg,
                   });
}
