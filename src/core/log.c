/* A job's log on top of the engine's: adds when it ends, and logs that have not begun. */
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "core/core_impl.h"

struct core_log {
    struct list link;
    struct core *core;
    struct engine_log *engine_log; /* NULL: the job has not started */
    uint64_t job, offset;
    core_log_ready_fn *ready;
    void *arg;
};

static void on_more(void *context)
{
    struct core_log *log = context;
    log->ready(log->arg);
}

static int log_attach(struct core_log *log, struct error *err)
{
    char id[JOB_ID_TEXT_MAX];
    return engine_log_open(log->core->engine, job_id_text(log->job, id), log->offset, on_more, log,
                           &log->engine_log, err);
}

int core_log_open(struct core *core, const char *id, uint64_t offset, core_log_ready_fn *ready,
                  void *arg, struct core_log **ret_log, struct error *err)
{
    uint64_t number;
    if (job_id_parse(id, &number, NULL) < 0 || number >= core->next_job)
        return error_set(err, -ENOENT, "unknown-job", "there is no job %.32s", id);
    AUTO_FREE struct core_log *log = calloc(1, sizeof(*log));
    if (!log)
        return error_set(err, -ENOMEM, "out-of-memory", "opening the log of job %s", id);
    *log = (struct core_log){
        .core = core, .job = number, .offset = offset, .ready = ready, .arg = arg};
    struct live_job *live = core_find(core, number);
    if (log_attach(log, err) < 0 && (!live || job_state_ended(live->job.state)))
        return error_set(err, -ENOENT, "no-log", "job %s has no log: it never started", id);
    list_append(&core->logs, &log->link);
    *ret_log = TAKE(log);
    return 0;
}

ssize_t core_log_read(struct core_log *log, void *data, size_t room)
{
    struct live_job *live = core_find(log->core, log->job);
    bool ended = !live || live->clearing;
    size_t length = 0;
    uint64_t offset;
    struct error err;
    if (!log->engine_log && log_attach(log, NULL) < 0)
        return ended ? 0 : -EAGAIN;
    if (engine_log_read(log->engine_log, data, room, &length, &offset, &err) < 0)
        return err.errnum;
    return length > 0 ? (ssize_t)length : ended ? 0 : -EAGAIN;
}

void core_log_close(struct core_log *log)
{
    if (!log)
        return;
    list_remove(&log->link);
    if (log->engine_log)
        engine_log_close(log->engine_log);
    free(log);
}

void log_job_changed(struct core *core, uint64_t job)
{
    LIST_EACH_SAFE (link, after, &core->logs) {
        struct core_log *log = LIST_ENTRY(link, struct core_log, link);
        if (log->job == job)
            log->ready(log->arg);
    }
}
