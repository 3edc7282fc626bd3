/* Jobs that are stopped and started again: see evict.h. The end of one goes the way of all ends
 * (life.c), which finds that it is to be started again. */
#include "core/evict.h"

#include "base/json.h"
#include "core/core_impl.h"

bool evict_stays(const struct live_job *live)
{
    const struct job_request *request = &live->job.request;
    bool has_driver = job_is_cuda(request) && job_interface(request) != JOB_CUDA_REMOTE;
    return live->stays || has_driver; /* its card's contents lie in its own process */
}

bool evict_applies(const struct live_job *live)
{
    return evict_stays(live) && live->job.request.requeue && !live->job.request.gang;
}

uint64_t evict_grace_ms(const struct core *core, const struct live_job *live)
{
    uint64_t most_ms = core->preemption.notice_us / 2000, grace_ms = live->job.request.grace_ms;
    return grace_ms < most_ms ? grace_ms : most_ms;
}

void evict_take(struct core *core, struct live_job *live, enum idle_why why)
{
    bool there = live->job.state == JOB_RUNNING || live->job.state == JOB_IDLE;
    if (!there || live->ending || live->sharing)
        return; /* the next poll tries again */
    bool owned = why == IDLE_RECLAIMED;
    live->job.restarting = true;
    list_remove(&live->waking);
    core->counters.preemptions += !owned;
    life_move(
        core, live, JOB_STOPPING,
        &(struct life_reason){
            .kind = owned ? "loan.reclaimed" : "job.preempted",
            .code = "evicted",
            .text = owned ? "its share goes back to the tenant that reserved it; it is asked "
                            "to end, and started again when there is room"
                          : "a job of higher priority has its place; it is asked to end, and "
                            "started again when there is room",
            .data = json_pack("{s:b, s:I, s:s}", "evicted", 1, "grace_ms",
                              (json_int_t)evict_grace_ms(core, live), "device", live->job.device),
        });
}
