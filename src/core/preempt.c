/* Jobs that give way: see preempt.h. Each is in one of three states: on notice (a due time), taken
 * (idle, and its card on its way out or away), and waiting to go on behind those for which it gave
 * way. */
#include "core/preempt.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "core/carry.h"
#include "core/core_impl.h"
#include "core/evict.h"
#include "core/quota.h"
#include "sched/preempt.h"

#define ASKERS_MAX 16 /* waiting jobs for which victims are looked for in one poll */
#define MINIMUM_DEFAULT_MS 60000
#define NOTICE_DEFAULT_MS 30000

void preempt_init(struct core *core, const struct core_options *options)
{
    uint64_t minimum_ms = options->loan_minimum_ms, notice_ms = options->loan_notice_ms;
    core->preemption = (struct preemption){
        .on = !options->no_preemption,
        .minimum_us = (minimum_ms ? minimum_ms : MINIMUM_DEFAULT_MS) * 1000,
        .notice_us = (notice_ms ? notice_ms : NOTICE_DEFAULT_MS) * 1000,
    };
}

/* -- who asks -- */

/* Only a place on a device is in its way, or what its tenant may have. */
static bool is_room(enum sched_why why)
{
    return why == SCHED_WHY_MEMORY || why == SCHED_WHY_FULL || why == SCHED_WHY_SHARE ||
           why == SCHED_WHY_LIMIT || why == SCHED_WHY_KEPT;
}

/* A gang does not ask: its members start together, and nobody says for how many to make room. */
static bool lacks(const struct live_job *live)
{
    enum sched_why why = live->finding.why;
    return (is_room(why) || why == SCHED_WHY_PREEMPTS) && live->finding.start_us &&
           !live->job.request.gang;
}

/* The job for which this one gives way, while that is still of use; else NULL. */
static struct live_job *asker_of(const struct core *core, const struct live_job *live)
{
    struct live_job *asker = live->job.preempt_for ? core_find(core, live->job.preempt_for) : NULL;
    bool waits = asker && !list_empty(&asker->queued) && lacks(asker);
    return waits && asker->job.request.priority > live->job.request.priority ? asker : NULL;
}

bool preempt_defers(const struct core *core, const struct live_job *live)
{
    return live->job.state == JOB_IDLE && asker_of(core, live);
}

void preempt_find(const struct live_job *live, struct sched_finding *finding)
{
    if (live->preempts && is_room(finding->why))
        finding->why = SCHED_WHY_PREEMPTS;
}

/* -- on notice -- */

static void take(struct core *core, struct live_job *live)
{
    if (evict_applies(live))
        evict_take(core, live, IDLE_PREEMPTED);
    else if (live->job.state == JOB_RUNNING)
        idle_take(core, live, IDLE_PREEMPTED);
    else if (live->job.state == JOB_IDLE && !live->away && !live->sharing && !live->ending)
        carry_away(core, live);
}

/* It need not give way, or has done so. */
static void call_end(struct live_job *live)
{
    live->job.preempt_due_us = 0;
    if (live->job.state == JOB_IDLE)
        return; /* it goes on when there is room */
    live->job.preempt_for = 0;
    if (live->job.state == JOB_RUNNING)
        (void)job_reason_set(&live->job, "running", "its program runs"); /* as before */
}

static void follow(struct core *core, struct live_job *live, uint64_t now_us)
{
    struct live_job *asker = asker_of(core, live);
    if (!asker || live->away) {
        call_end(live);
        return;
    }
    asker->preempts = true;
    if (notice_is_over(core, live, live->job.preempt_due_us, now_us))
        take(core, live);
}

static void call(struct core *core, struct live_job *live, const struct live_job *asker,
                 uint64_t due_us)
{
    char due[TIME_TEXT_MAX], text[160], id[JOB_ID_TEXT_MAX];
    live->job.preempt_for = asker->job.id;
    live->job.preempt_due_us = due_us;
    notice_begin(live);
    (void)time_text(due_us, due);
    (void)snprintf(text, sizeof(text), "job %s of priority %u needs its place; %s at %s",
                   job_id_text(asker->job.id, id), asker->job.request.priority,
                   evict_applies(live) ? "it is stopped" : "its card is suspended", due);
    if (live->job.state == JOB_RUNNING)
        (void)job_reason_set(&live->job, "preemption-called", text); /* or the old one stays */
    struct store_event event = commit_event(core, "job.preempting", live->job.id);
    AUTO_JSON json_t *data = json_pack("{s:s, s:i, s:s}", "for", id, "priority",
                                       (int)asker->job.request.priority, "due", due);
    event.data = data;
    commit_job(core, live, &event); /* the notice survives a restart */
}

/* -- who gives way -- */

#define TAKE_AWAY(from, amount) ((from) -= (amount) < (from) ? (amount) : (from))

static bool is_first_for(const struct core *core, const struct live_job *live)
{
    LIST_EACH (link, &core->placed) {
        const struct live_job *other = LIST_ENTRY(link, struct live_job, placed);
        if (other->job.preempt_for == live->job.preempt_for)
            return other == live;
    }
    return false;
}

/* What others have been promised is theirs, and what comes free for them is as if it were. */
static void promises_count(const struct core *core, const struct live_job *asker,
                           struct sched_state *state)
{
    for (size_t i = 0; i < state->running_count; i++) {
        const struct sched_running *running = &state->running[i];
        const struct live_job *live = core_find(core, running->job);
        const struct live_job *other = live ? asker_of(core, live) : NULL;
        struct sched_device *device = &state->devices[running->device];
        if (!other || other == asker)
            continue;
        device->memory_free_bytes += live->job.preempt_due_us ? running->memory_bytes : 0;
        device->share_free_permille += live->job.preempt_due_us ? running->share_permille : 0;
        if (!is_first_for(core, live))
            continue;
        TAKE_AWAY(device->memory_free_bytes, other->job.request.memory_bytes);
        TAKE_AWAY(device->share_free_permille, other->job.request.share_permille);
    }
}

static bool may_give_way(const struct core *core, const struct live_job *live,
                         const struct live_job *asker)
{
    bool there = live->job.state == JOB_RUNNING || (live->job.state == JOB_IDLE && !live->away);
    return there && live->has_card && !live->sharing && !live->ending &&
           !live->job.preempt_due_us && !live->job.loan_due_us &&
           live->job.request.priority < asker->job.request.priority &&
           quota_may_preempt(core, asker, live);
}

static size_t victims_collect(const struct core *core, const struct live_job *asker,
                              const struct sched_state *state, struct preempt_victim *victims)
{
    uint64_t now_us = clock_realtime_us();
    size_t count = 0;
    for (size_t i = 0; i < state->running_count; i++) {
        const struct sched_running *running = &state->running[i];
        const struct live_job *live = core_find(core, running->job);
        if (!live || !may_give_way(core, live, asker))
            continue;
        bool stops = evict_applies(live);
        victims[count++] = (struct preempt_victim){
            .job = live->job.id,
            .device = running->device,
            .memory_bytes = evict_stays(live) && !stops ? 0 : running->memory_bytes,
            .share_permille = running->share_permille,
            .priority = live->job.request.priority,
            .idle = live->job.state == JOB_IDLE && !stops,
            .stops = stops,
            .lost_us = job_lost_us(&live->job, now_us),
            .since_us = live->job.changed_us,
        };
    }
    return count;
}

struct asking {
    const struct core *core;
    const struct live_job *asker;
};

static bool permits(void *arg, const uint64_t *jobs, size_t count)
{
    const struct asking *asking = arg;
    return quota_permits_without(asking->core, asking->asker, jobs, count);
}

/* Those that gave way before and have not gone on yet wait behind this one, too; when it cannot be
 * helped, those that gave way to it go on. */
static void waiting_set(struct core *core, const struct live_job *asker, const char *device)
{
    LIST_EACH (link, &core->placed) {
        struct live_job *live = LIST_ENTRY(link, struct live_job, placed);
        bool waits = live->job.preempt_for && live->job.state == JOB_IDLE;
        if (waits && device && strcmp(live->job.device, device) == 0 &&
            live->job.request.priority < asker->job.request.priority)
            live->job.preempt_for = asker->job.id;
        else if (waits && !device && live->job.preempt_for == asker->job.id)
            preempt_over(live);
    }
}

static void call_for(struct core *core, const struct live_job *asker)
{
    struct sched_state state;
    size_t chosen[PREEMPT_VICTIMS_MAX], device;
    struct sched_job job = place_job(&asker->job);
    struct asking asking = {core, asker};
    uint64_t now_us = clock_realtime_us();
    if (place_state_make(core, NULL, 0, &state) < 0)
        return;
    AUTO_FREE struct preempt_victim *victims = calloc(state.running_count + 1, sizeof(*victims));
    promises_count(core, asker, &state);
    const struct preempt preempt = {
        .state = &state,
        .job = &job,
        .victims = victims,
        .count = victims ? victims_collect(core, asker, &state, victims) : 0,
        .permits = permits,
        .arg = &asking,
    };
    int count = preempt_plan(&preempt, chosen, &device);
    waiting_set(core, asker, count < 0 ? NULL : state.devices[device].id);
    for (int i = 0; i < count; i++) {
        const struct preempt_victim *victim = &victims[chosen[i]];
        struct live_job *live = core_find(core, victim->job);
        call(core, live, asker,
             victim->idle ? now_us
                          : preempt_due_us(victim->since_us, core->preemption.minimum_us,
                                           core->preemption.notice_us, now_us));
        follow(core, live, now_us);
    }
    place_state_finish(&state);
}

static uint32_t lowest_priority(const struct core *core)
{
    uint32_t lowest = UINT32_MAX;
    LIST_EACH (link, &core->placed) {
        const struct live_job *live = LIST_ENTRY(link, struct live_job, placed);
        lowest = live->job.request.priority < lowest ? live->job.request.priority : lowest;
    }
    return lowest;
}

void preempt_poll(struct core *core)
{
    uint64_t now_us = clock_realtime_us();
    uint32_t lowest = lowest_priority(core);
    size_t looked = 0;
    if (!core->preemption.on || core->stopping || !core->cards_known)
        return;
    LIST_EACH (link, &core->queue) {
        struct live_job *live = LIST_ENTRY(link, struct live_job, queued);
        if (looked++ == CORE_PLACE_WINDOW)
            break;
        live->preempts = false;
    }
    LIST_EACH_SAFE (link, after, &core->placed) {
        struct live_job *live = LIST_ENTRY(link, struct live_job, placed);
        if (live->job.preempt_for && live->job.preempt_due_us)
            follow(core, live, now_us);
    }
    looked = 0;
    LIST_EACH (link, &core->queue) {
        struct live_job *live = LIST_ENTRY(link, struct live_job, queued);
        if (looked++ == ASKERS_MAX || live->job.request.priority <= lowest ||
            core->repacking.moving)
            break; /* a move may help, and interrupts nobody */
        if (!live->preempts && lacks(live))
            call_for(core, live);
    }
}

void preempt_stays(struct core *core, struct live_job *live)
{
    live->stays = true;
    if (!live->job.preempt_for)
        return;
    preempt_over(live);
    idle_wake_all(core);
}

void preempt_over(struct live_job *live)
{
    live->job.preempt_for = live->job.preempt_due_us = 0;
}

/* -- what is told -- */

uint64_t preempt_due_for(const struct core *core, const struct live_job *live)
{
    uint64_t due_us = 0;
    LIST_EACH (link, &core->placed) {
        const struct live_job *other = LIST_ENTRY(link, struct live_job, placed);
        if (other->job.preempt_for == live->job.id && other->job.preempt_due_us > due_us)
            due_us = other->job.preempt_due_us;
    }
    return due_us;
}

void preempt_list(const struct core *core, json_t *loans)
{
    LIST_EACH (link, &core->placed) {
        const struct live_job *live = LIST_ENTRY(link, struct live_job, placed);
        const struct job *job = &live->job;
        const struct live_job *asker = core_find(core, job->preempt_for);
        char id[JOB_ID_TEXT_MAX], other[JOB_ID_TEXT_MAX], since[TIME_TEXT_MAX], due[TIME_TEXT_MAX];
        if (!job->preempt_for)
            continue;
        json_t *due_at =
            job->preempt_due_us ? json_string(time_text(job->preempt_due_us, due)) : json_null();
        (void)json_array_append_new(
            loans, json_pack("{s:n, s:s, s:s, s:s, s:I, s:s, s:o, s:s, s:o}", "loan", "job",
                             job_id_text(job->id, id), "lender",
                             asker ? asker->job.request.tenant : "", "borrower",
                             job->request.tenant, "milli", (json_int_t)job->request.share_permille,
                             "since", time_text(job->changed_us, since), "due", due_at, "for",
                             job_id_text(job->preempt_for, other), "notice",
                             notice_encode(job))); /* or it is shorter */
    }
}
