/* Those who wait for a job to end, each with a deadline; one timer serves the nearest. */
#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "core/core_impl.h"

struct job_wait {
    struct list link;
    uint64_t job;
    uint64_t deadline_ms; /* of the loop's clock */
    core_reply_fn *reply;
    void *arg;
};

static void wait_arm(struct core *core)
{
    uint64_t now = uv_now(core->loop), nearest = UINT64_MAX;
    LIST_EACH (link, &core->waits) {
        const struct job_wait *wait = LIST_ENTRY(link, struct job_wait, link);
        nearest = wait->deadline_ms < nearest ? wait->deadline_ms : nearest;
    }
    if (nearest == UINT64_MAX)
        (void)uv_timer_stop(&core->wait_timer); /* never fails */
    else
        (void)uv_timer_start(&core->wait_timer, wait_on_timer, nearest > now ? nearest - now : 0,
                             0); /* never NULL */
}

static void wait_give(struct job_wait *wait, struct live_job *live)
{
    list_remove(&wait->link);
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
            wait_give(wait, live);
    }
    wait_arm(core);
}

void wait_job_ended(struct core *core, struct live_job *live)
{
    LIST_EACH_SAFE (link, after, &core->waits) {
        struct job_wait *wait = LIST_ENTRY(link, struct job_wait, link);
        if (wait->job == live->job.id)
            wait_give(wait, live);
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

void core_job_wait(struct core *core, const char *id, uint64_t timeout_ms, core_reply_fn *reply,
                   void *arg)
{
    struct live_job *live = core_find_text(core, id);
    if (!live || live->clearing || timeout_ms == 0 || core->stopping) {
        core_job_get(core, id, reply, arg);
        return;
    }
    struct job_wait *wait = calloc(1, sizeof(*wait));
    if (!wait) {
        core_reply_value(reply, arg, NULL);
        return;
    }
    uint64_t now = uv_now(core->loop);
    *wait = (struct job_wait){
        .job = live->job.id,
        .deadline_ms = timeout_ms > UINT64_MAX - 1 - now ? UINT64_MAX - 1 : now + timeout_ms,
        .reply = reply,
        .arg = arg,
    };
    list_append(&core->waits, &wait->link);
    wait_arm(core);
}
