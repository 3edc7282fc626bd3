/* Why a job is where it is: findings of the placement in words, who holds what it waits for, when
 * it may start, and for a placed one which devices were compared. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "core/core_impl.h"
#include "core/quota.h"
#include "sched/choose.h"

#define HOLDERS_MAX 8 /* named in one explanation, those with most first */

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
    if (live->job.state != JOB_QUEUED)
        return "";
    if (!core->cards_known)
        return "leat-cardd answers";
    if (live->finding.start_us == 0 || live->finding.why == SCHED_WHY_NONE)
        return "";
    reason_of(core, live, &reason);
    return reason.unblocks;
}

static json_t *time_encode(uint64_t time_us)
{
    char text[TIME_TEXT_MAX];
    return time_us && time_us != SCHED_FAR ? json_string(time_text(time_us, text)) : json_null();
}

static json_t *amounts_encode(const struct sched_amounts *amounts)
{
    return json_pack("{s:I, s:I, s:i, s:i}", "memory_bytes", (json_int_t)amounts->memory_bytes,
                     "ram_bytes", (json_int_t)amounts->ram_bytes, "share_permille",
                     (int)amounts->share_permille, "cpus_milli", (int)amounts->cpus_milli);
}

/* -- who has what it waits for -- */

/* How much of what is short the running job has; 0 when it does not matter. */
static uint64_t held(const struct core *core, const struct live_job *waiter,
                     const struct sched_running *running)
{
    const struct live_job *holder = core_find(core, running->job);
    if (!holder)
        return 0;
    bool near = running->device == waiter->nearest;
    bool kin = strcmp(holder->job.request.tenant, waiter->job.request.tenant) == 0;
    const struct {
        enum sched_why why;
        bool matters;
        uint64_t amount;
    } kinds[] = {
        {SCHED_WHY_MEMORY, near, running->memory_bytes},
        {SCHED_WHY_SHARE, near, running->share_permille},
        {SCHED_WHY_FULL, near, running->share_permille},
        {SCHED_WHY_KEPT, near, running->share_permille},
        {SCHED_WHY_CPUS, true, running->cpus_milli},
        {SCHED_WHY_RAM, true, running->ram_bytes},
        {SCHED_WHY_CALLED, holder->job.loan_due_us != 0, running->share_permille},
        {SCHED_WHY_PREEMPTS, holder->job.preempt_for == waiter->job.id, running->memory_bytes},
        {SCHED_WHY_LIMIT, kin, running->share_permille},
    };
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (kinds[i].why == waiter->finding.why)
            return kinds[i].matters ? kinds[i].amount : 0;
    }
    return 0;
}

struct holding {
    const struct sched_running *running;
    uint64_t amount;
};

static int by_amount(const void *left, const void *right)
{
    const struct holding *a = left, *b = right;
    if (a->amount != b->amount)
        return a->amount > b->amount ? -1 : 1;
    return (a->running->job > b->running->job) - (a->running->job < b->running->job);
}

/* When it is expected to give up what it holds. */
static uint64_t ends_of(const struct live_job *holder, const struct sched_running *running)
{
    return holder->job.loan_due_us ? holder->job.loan_due_us : running->ends_us;
}

static json_t *holder_encode(const struct core *core, const struct sched_running *running)
{
    char id[JOB_ID_TEXT_MAX];
    const struct live_job *holder = core_find(core, running->job);
    return json_pack("{s:s, s:s, s:s, s:I, s:i, s:i, s:o}", "job", job_id_text(running->job, id),
                     "tenant", holder->job.request.tenant, "state",
                     job_state_name(holder->job.state), "memory_bytes",
                     (json_int_t)running->memory_bytes, "share_permille",
                     (int)running->share_permille, "cpus_milli", (int)running->cpus_milli,
                     "ends_estimate", time_encode(ends_of(holder, running)));
}

static json_t *holders_encode(const struct core *core, const struct live_job *live,
                              const struct sched_state *state)
{
    json_t *list = json_array();
    AUTO_FREE struct holding *holdings = calloc(state->running_count + 1, sizeof(*holdings));
    size_t count = 0;
    for (size_t i = 0; holdings && i < state->running_count; i++) {
        uint64_t amount = held(core, live, &state->running[i]);
        if (amount)
            holdings[count++] = (struct holding){&state->running[i], amount};
    }
    if (count)
        qsort(holdings, count, sizeof(*holdings), by_amount);
    for (size_t i = 0; list && i < count && i < HOLDERS_MAX; i++)
        (void)json_array_append_new(list, holder_encode(core, holdings[i].running));
    return list;
}

/* -- when -- */

/* A called loan comes back when it is due. */
static uint64_t due_of(const struct core *core)
{
    uint64_t due_us = SCHED_FAR;
    LIST_EACH (link, &core->placed) {
        const struct live_job *live = LIST_ENTRY(link, struct live_job, placed);
        if (live->job.loan_due_us && live->job.loan_due_us < due_us)
            due_us = live->job.loan_due_us;
    }
    return due_us;
}

static uint64_t start_of(struct core *core, const struct live_job *live, struct sched_state *state)
{
    uint64_t start_us = SCHED_FAR;
    if (live->finding.why == SCHED_WHY_CALLED)
        return due_of(core);
    if (live->finding.why == SCHED_WHY_PREEMPTS)
        return preempt_due_for(core, live);
    if (live->finding.why < SCHED_WHY_GANG || live->finding.why == SCHED_WHY_MEMBERS ||
        live->finding.why == SCHED_WHY_IMAGE)
        return SCHED_FAR;
    place_collect(core, state);
    (void)quota_turns(core, state);
    if (sched_forecast(choose_rules, state, live->job.id, clock_realtime_us(), &start_us) < 0)
        return SCHED_FAR;
    return start_us;
}

/* -- which devices -- */

static json_t *candidates_encode(const struct sched_state *state, const struct sched_job *job)
{
    json_t *list = json_array();
    AUTO_FREE struct sched_candidate *candidates =
        calloc(state->device_count + 1, sizeof(*candidates));
    if (!list || !candidates || sched_candidates(choose_rules, state, job, candidates) < 0)
        return list;
    for (size_t i = 0; i < state->device_count; i++) {
        const struct sched_candidate *candidate = &candidates[i];
        json_t *score = candidate->score < 0 ? json_null() : json_integer(candidate->score);
        (void)json_array_append_new(
            list, json_pack("{s:s, s:s, s:o, s:I}", "device", state->devices[candidate->device].id,
                            "code", sched_why_code(candidate->why), "score", score, "preference",
                            (json_int_t)candidate->preference));
    }
    return list;
}

void explain_placed(const struct core *core, struct live_job *live, struct sched_state *state,
                    const struct sched_decision *decision)
{
    struct sched_job job = place_job(&live->job);
    struct sched_device *device = &state->devices[decision->device];
    struct sched_node *node = &state->nodes[device->node];
    const struct sched_device placed = *device;
    const struct sched_node placed_node = *node;
    device->memory_free_bytes += job.memory_bytes;
    device->share_free_permille += job.share_permille;
    node->cpus_free_milli += job.cpus_milli;
    node->ram_free_bytes += job.ram_bytes;
    json_t *candidates = core->device_count > 1 ? candidates_encode(state, &job) : NULL;
    *device = placed;
    *node = placed_node;
    json_decref(live->job.placement);
    live->job.placement =
        json_pack("{s:s, s:s, s:o*}", "rule", choose_rules->name, "step",
                  sched_step_name(decision->finding.step), "candidates", candidates);
}

/* -- the answer -- */

/* An idle job that wants its card back and finds no room. */
static bool waking_reason(const struct core *core, const struct live_job *live,
                          struct sched_reason *ret_reason)
{
    struct sched_state state;
    if (live->job.state != JOB_IDLE || list_empty(&live->waking) || live->job.preempt_for ||
        place_state_make(core, live, 0, &state) < 0)
        return false;
    struct sched_job asked = place_job(&live->job);
    sched_explain(&state, &asked, ret_reason);
    place_state_finish(&state);
    return ret_reason->unblocks[0];
}

/* NULL for what plays no part. */
static json_t *waiting_encode(struct core *core, struct live_job *live)
{
    struct sched_reason reason;
    struct sched_state state;
    struct sched_job job = place_job(&live->job);
    char other[JOB_ID_TEXT_MAX];
    const char *device = device_name(core, live->nearest);
    if (place_state_make(core, NULL, CORE_PLACE_WINDOW, &state) < 0)
        return NULL;
    reason_of(core, live, &reason);
    bool known = live->finding.start_us && live->finding.why != SCHED_WHY_NONE && core->cards_known;
    json_t *found =
        json_pack("{s:o, s:o, s:s, s:s?, s:s?, s:o, s:o, s:o}", "asked",
                  amounts_encode(&reason.asked), "available", amounts_encode(&reason.available),
                  "resource", known ? reason.resource : "", "device", device, "behind",
                  live->finding.other ? job_id_text(live->finding.other, other) : NULL, "holders",
                  holders_encode(core, live, &state), "candidates", candidates_encode(&state, &job),
                  "start_estimate", time_encode(known ? start_of(core, live, &state) : SCHED_FAR));
    place_state_finish(&state);
    return found;
}

/* An idle job that wants its card back says what is in its way instead of why it is idle. */
static json_t *placed_encode(const struct core *core, const struct live_job *live)
{
    struct sched_reason reason;
    if (waking_reason(core, live, &reason))
        return json_pack("{s:s, s:s, s:s, s:o, s:o, s:s?, s:O?, s:o}", "code", reason.code, "text",
                         reason.text, "unblocks", reason.unblocks, "asked",
                         amounts_encode(&reason.asked), "available",
                         amounts_encode(&reason.available), "device", live->job.device, "placement",
                         live->job.placement, "notice", notice_encode(&live->job));

    const struct sched_amounts asked = {live->job.request.memory_bytes, live->job.request.ram_bytes,
                                        live->job.request.share_permille,
                                        live->job.request.cpus_milli};
    char other[JOB_ID_TEXT_MAX];
    const char *behind = live->job.preempt_for ? job_id_text(live->job.preempt_for, other) : NULL;
    return json_pack("{s:o, s:s?, s:s?, s:O?, s:o}", "asked", amounts_encode(&asked), "device",
                     live->job.device, "behind", behind, "placement", live->job.placement, "notice",
                     notice_encode(&live->job));
}

/* One so far down the queue that no decision has looked at it: what it would find now, alone. */
static void look(const struct core *core, struct live_job *live)
{
    struct sched_state state;
    struct sched_decision decision;
    if (live->pass || live->job.state != JOB_QUEUED || list_empty(&live->queued) ||
        place_state_make(core, NULL, 1, &state) < 0)
        return;
    state.jobs[state.job_count++] = place_job(&live->job);
    if (sched_decide(choose_rules, &state, clock_realtime_us(), &decision) >= 0) {
        live->finding = decision.finding;
        live->nearest = decision.device;
        live->told = false;
        if (decision.placed) {
            live->finding.why = SCHED_WHY_HELD;
            live->finding.other = LIST_ENTRY(core->queue.next, struct live_job, queued)->job.id;
        }
    }
    place_state_finish(&state);
}

json_t *explain_encode(struct core *core, struct live_job *live)
{
    char id[JOB_ID_TEXT_MAX];
    const struct job *job = &live->job;
    look(core, live);
    explain_tell(core, live);
    AUTO_JSON json_t *more =
        job->state == JOB_QUEUED ? waiting_encode(core, live) : placed_encode(core, live);
    AUTO_JSON json_t *answer =
        json_pack("{s:s, s:s, s:s*, s:s*, s:s, s:b}", "job", job_id_text(job->id, id), "state",
                  job_state_name(job->state), "code", job->code, "text", job->text, "unblocks",
                  explain_unblocks(core, live), "burst", job->request.burst);
    if (!answer || !more || json_object_update(answer, more) < 0)
        return NULL;
    return json_incref(answer);
}
