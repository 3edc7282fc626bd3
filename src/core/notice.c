/* What a job is told before its card is taken: see notice.h. Both ways back are here, too: the
 * command's exit status, and the request of REST. */
#include "core/notice.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "core/core_impl.h"
#include "core/evict.h"
#include "core/quota.h"

#define OUTCOME_MAX 64

/* When its card goes, by whichever call is due first; 0: it is not called. */
static uint64_t due_of(const struct job *job)
{
    uint64_t loan_us = job->loan_due_us, preempt_us = job->preempt_due_us;
    if (!loan_us || !preempt_us)
        return loan_us ? loan_us : preempt_us;
    return loan_us < preempt_us ? loan_us : preempt_us;
}

void notice_begin(struct live_job *live)
{
    live->job.told_us = 0;
}

bool notice_is_over(const struct core *core, const struct live_job *live, uint64_t due_us,
                    uint64_t now_us)
{
    const struct job *job = &live->job;
    uint64_t grace_us = evict_applies(live) ? evict_grace_ms(core, live) * 1000 : 0;
    bool is_saved = job->told_us && job->checkpoint_us >= job->told_us;
    return now_us + grace_us >= due_us ||
           (is_saved && now_us + core->preemption.notice_us >= due_us);
}

/* It need not be waited for any longer. */
static void saved(struct core *core)
{
    quota_poll(core);
    preempt_poll(core);
}

static void outcome_set(struct job *job, const char *outcome)
{
    free(job->pre_stop_outcome);
    job->pre_stop_outcome = strdup(outcome); /* without memory it is not shown */
}

/* -- the command -- */

static void on_pre_stop(void *context, const char *id, const struct engine_exit *exit,
                        const char *why)
{
    struct core *core = context;
    struct live_job *live = core_find_text(core, id);
    char outcome[OUTCOME_MAX] = "succeeded";
    if (!live || live->ending || core->stopping)
        return;
    struct job *job = &live->job;
    if (exit->signal)
        (void)snprintf(outcome, sizeof(outcome), "ended by signal %d (%s)", exit->signal,
                       strsignal(exit->signal));
    else if (exit->status)
        (void)snprintf(outcome, sizeof(outcome), "failed with status %d", exit->status);
    else if (job->told_us)
        job->checkpoint_us = job->told_us; /* what came after is not in it */
    outcome_set(job, outcome);
    struct store_event event = commit_event(core, "job.pre_stop", job->id);
    AUTO_JSON json_t *data =
        json_pack("{s:s, s:o, s:o, s:s}", "outcome", outcome, "exit_status",
                  exit->signal ? json_null() : json_integer(exit->status), "signal",
                  exit->signal ? json_integer(exit->signal) : json_null(), "text", why);
    event.data = data;
    commit_job(core, live, &event);
    saved(core);
}

static void pre_stop_run(struct core *core, struct live_job *live, uint64_t limit_ms)
{
    char id[JOB_ID_TEXT_MAX];
    struct error err;
    if (engine_exec(core->engine, job_id_text(live->job.id, id),
                    (const char *const *)live->job.request.pre_stop, limit_ms, on_pre_stop, core,
                    &err) == 0) {
        outcome_set(&live->job, "running");
        return;
    }
    outcome_set(&live->job, "not run");
    log_event(LOG_WARN, "job.pre_stop", "job=%s code=%s text=\"%s\"", id, err.code, err.text);
}

/* -- telling -- */

static void tell(struct core *core, struct live_job *live, uint64_t due_us, uint64_t now_us)
{
    struct job *job = &live->job;
    char id[JOB_ID_TEXT_MAX], due[TIME_TEXT_MAX];
    uint64_t before_ms;
    int number = 0;
    job->told_us = now_us;
    if (job->request.signal_name &&
        job_signal_parse(job->request.signal_name, &number, &before_ms, NULL) == 0)
        (void)engine_signal(core->engine, job_id_text(job->id, id), number,
                            NULL); /* it may have ended just now */
    if (job->request.pre_stop)
        pre_stop_run(core, live, (due_us - now_us) / 1000);
    struct store_event event = commit_event(core, "job.told", job->id);
    AUTO_JSON json_t *data =
        json_pack("{s:s, s:s?, s:b}", "due", time_text(due_us, due), "signal",
                  number ? sigabbrev_np(number) : NULL, "pre_stop", job->request.pre_stop != NULL);
    event.data = data;
    commit_job(core, live, &event); /* it is told once, whoever is killed */
}

/* How long before its card is taken it wants to know. */
static uint64_t lead_us(const struct core *core, const struct job_request *request)
{
    uint64_t before_ms = JOB_UNSET_MS;
    int number;
    if (request->signal_name)
        (void)job_signal_parse(request->signal_name, &number, &before_ms,
                               NULL); /* it was checked when it came */
    return before_ms == JOB_UNSET_MS ? core->preemption.notice_us : before_ms * 1000;
}

static bool can_be_told(const struct live_job *live)
{
    const struct job_request *request = &live->job.request;
    bool wants = request->signal_name || request->pre_stop;
    bool loses = live->job.state == JOB_RUNNING ||
                 (live->job.state == JOB_IDLE && evict_applies(live)); /* not by a suspension */
    return wants && loses && live->has_container && !live->ending && !live->job.told_us;
}

void notice_poll(struct core *core)
{
    uint64_t now_us = clock_realtime_us();
    LIST_EACH (link, &core->placed) {
        struct live_job *live = LIST_ENTRY(link, struct live_job, placed);
        uint64_t due_us = due_of(&live->job);
        if (due_us > now_us && can_be_told(live) &&
            now_us + lead_us(core, &live->job.request) >= due_us)
            tell(core, live, due_us, now_us);
    }
}

/* -- what is told -- */

static json_t *time_encode(uint64_t time_us)
{
    char text[TIME_TEXT_MAX];
    return time_us ? json_string(time_text(time_us, text)) : json_null();
}

json_t *notice_encode(const struct job *job)
{
    uint64_t due_us = due_of(job);
    if (!due_us && !(job->told_us && job->state == JOB_IDLE))
        return json_null();
    return json_pack("{s:o, s:o, s:s?, s:s?, s:o}", "due", time_encode(due_us), "told",
                     time_encode(job->told_us), "signal", job->request.signal_name, "pre_stop",
                     job->told_us ? job->pre_stop_outcome : NULL, "checkpointed",
                     time_encode(job->checkpoint_us));
}

void core_job_checkpointed(struct core *core, const char *id, core_reply_fn *reply, void *arg)
{
    struct error err;
    struct live_job *live = core_find_text(core, id);
    if (!live || live->ending || !live->job.started_us) {
        (void)error_set(&err, live ? -EBUSY : -ENOENT, live ? "job-not-running" : "unknown-job",
                        live ? "job %.20s does not run" : "there is no job %.20s that lives", id);
        reply(arg, NULL, &err);
        return;
    }
    live->job.checkpoint_us = clock_realtime_us();
    struct store_event event = commit_event(core, "job.checkpointed", live->job.id);
    commit_job(core, live, &event);
    saved(core);
    commit_reply(core, NULL, reply, arg);
}
