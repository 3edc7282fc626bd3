/* Why a job is where it is: findings of the placement in words. */
#include <stdint.h>

#include "base/json.h"
#include "core/core_impl.h"

static const char *device_name(const struct core *core, size_t index)
{
    return index < core->device_count ? core->devices[index].id : NULL;
}

static void reason_of(const struct core *core, const struct live_job *live,
                      struct sched_reason *ret_reason)
{
    struct sched_job asked = place_job(&live->job);
    sched_reason_fill(&asked, &live->finding, device_name(core, live->nearest), ret_reason);
}

void explain_tell(const struct core *core, struct live_job *live)
{
    struct sched_reason reason;
    if (live->told || live->job.state != JOB_QUEUED)
        return;
    reason_of(core, live, &reason);
    live->told = job_reason_set(&live->job, reason.code, reason.text) == 0; /* not recorded */
}

const char *explain_unblocks(const struct core *core, const struct live_job *live)
{
    struct sched_reason reason;
    if (live->finding.why == SCHED_WHY_NONE)
        return "";
    reason_of(core, live, &reason);
    return reason.unblocks;
}

static json_t *amounts_encode(const struct sched_amounts *amounts)
{
    return json_pack("{s:I, s:I, s:i, s:i}", "memory_bytes", (json_int_t)amounts->memory_bytes,
                     "ram_bytes", (json_int_t)amounts->ram_bytes, "share_permille",
                     (int)amounts->share_permille, "cpus_milli", (int)amounts->cpus_milli);
}

/* An idle job that wants its card back and finds no room. */
static bool waking_reason(const struct core *core, const struct live_job *live,
                          struct sched_reason *ret_reason)
{
    struct sched_state state;
    if (live->job.state != JOB_IDLE || list_empty(&live->waking) ||
        place_state_make(core, live, 0, &state) < 0)
        return false;
    struct sched_job asked = place_job(&live->job);
    sched_explain(&state, &asked, ret_reason);
    place_state_finish(&state);
    return ret_reason->unblocks[0];
}

json_t *explain_encode(const struct core *core, struct live_job *live)
{
    char id[JOB_ID_TEXT_MAX];
    struct sched_reason reason;
    const struct job *job = &live->job;
    bool waits = job->state == JOB_QUEUED;
    explain_tell(core, live);
    reason_of(core, live, &reason);
    bool wakes = waking_reason(core, live, &reason);
    const char *unblocks = waits ? explain_unblocks(core, live) : wakes ? reason.unblocks : "";
    if (waits && !core->cards_known)
        unblocks = "leat-cardd answers";
    return json_pack("{s:s, s:s, s:s*, s:s*, s:o, s:o, s:s}", "job", job_id_text(job->id, id),
                     "state", job_state_name(job->state), "code", wakes ? reason.code : job->code,
                     "text", wakes ? reason.text : job->text, "asked",
                     amounts_encode(&reason.asked), "available", amounts_encode(&reason.available),
                     "unblocks", unblocks);
}
