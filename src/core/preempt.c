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
#include "sched/choose.h"
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

static bool ranks_before(const struct live_job *a, const struct live_job *b)
{
    uint32_t mine = a->job.request.priority, others = b->job.request.priority;
    return mine != others ? mine > others : a->job.id < b->job.id;
}

/* The first of a gang's members asks for all of them. */
static bool leads(const struct live_job *live)
{
    LIST_EACH (link, &live->mates) {
        if (!ranks_before(live, LIST_ENTRY(link, struct live_job, mates)))
            return false;
    }
    return true;
}

static bool lacks(const struct live_job *live)
{
    enum sched_why why = live->finding.why;
    bool room = is_room(why) || why == SCHED_WHY_GANG || why == SCHED_WHY_PREEMPTS;
    return room && live->finding.start_us && leads(live);
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
    if (live->preempts && (is_room(finding->why) || finding->why == SCHED_WHY_GANG))
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
        if (!other || other == asker || !list_empty(&other->mates))
            continue; /* what a gang's victims have counts as in use */
        device->memory_free_bytes += live->job.preempt_due_us ? running->memory_bytes : 0;
        device->share_free_permille += live->job.preempt_due_us ? running->share_permille : 0;
        if (!is_first_for(core, live))
            continue;
        TAKE_AWAY(device->memory_free_bytes, other->job.request.memory_bytes);
        TAKE_AWAY(device->share_free_permille, other->job.request.share_permille);
    }
}

/* Who waits, alone or with its gang. */
struct asking {
    const struct core *core;
    const struct live_job *asker;
    size_t count;
    struct sched_job jobs[JOB_GANG_MAX]; /* the asker's first */
    uint32_t priority;                   /* the lowest of them */
    uint64_t milli;                      /* of all */
};

static void asking_add(struct asking *asking, const struct live_job *live)
{
    struct sched_job *job = &asking->jobs[asking->count++];
    *job = place_job(&live->job);
    asking->milli += job->share_permille;
    asking->priority = job->priority < asking->priority ? job->priority : asking->priority;
}

static void asking_make(const struct core *core, const struct live_job *asker,
                        struct asking *asking)
{
    asking->core = core;
    asking->asker = asker;
    asking->count = 0;
    asking->milli = 0;
    asking->priority = UINT32_MAX;
    asking_add(asking, asker);
    LIST_EACH (link, &asker->mates) {
        if (asking->count < JOB_GANG_MAX)
            asking_add(asking, LIST_ENTRY(link, struct live_job, mates));
    }
    for (size_t i = 0; i < asking->count; i++)
        asking->jobs[i].priority = asking->priority;
}

static bool may_give_way(const struct core *core, const struct live_job *live,
                         const struct asking *asking)
{
    bool there = live->job.state == JOB_RUNNING || (live->job.state == JOB_IDLE && !live->away);
    return there && live->has_card && !live->sharing && !live->ending &&
           !live->job.preempt_due_us && !live->job.loan_due_us &&
           live->job.request.priority < asking->priority &&
           quota_may_preempt(core, asking->asker, live);
}

static size_t victims_collect(const struct core *core, const struct asking *asking,
                              const struct sched_state *state, struct preempt_victim *victims)
{
    uint64_t now_us = clock_realtime_us();
    size_t count = 0;
    for (size_t i = 0; i < state->running_count; i++) {
        const struct sched_running *running = &state->running[i];
        const struct live_job *live = core_find(core, running->job);
        if (!live || !may_give_way(core, live, asking))
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

static bool permits(void *arg, const uint64_t *jobs, size_t count)
{
    const struct asking *asking = arg;
    return quota_permits_without(asking->core, asking->asker, asking->milli, jobs, count);
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

/* All at once: each has had its minimum and its notice then. */
static void call_all(struct core *core, const struct live_job *asker,
                     const struct preempt_victim *victims, const size_t *chosen, int count)
{
    uint64_t now_us = clock_realtime_us(), due_us = now_us;
    for (int i = 0; i < count; i++) {
        const struct preempt_victim *victim = &victims[chosen[i]];
        uint64_t its_us = victim->idle
                              ? now_us
                              : preempt_due_us(victim->since_us, core->preemption.minimum_us,
                                               core->preemption.notice_us, now_us);
        due_us = its_us > due_us ? its_us : due_us;
    }
    for (int i = 0; i < count; i++) {
        struct live_job *live = core_find(core, victims[chosen[i]].job);
        call(core, live, asker, due_us);
        follow(core, live, now_us);
    }
}

static void call_for(struct core *core, const struct live_job *asker)
{
    struct sched_state state;
    size_t chosen[PREEMPT_GANG_VICTIMS_MAX], devices[JOB_GANG_MAX];
    struct asking asking;
    if (place_state_make(core, NULL, 0, &state) < 0)
        return;
    asking_make(core, asker, &asking);
    AUTO_FREE struct preempt_victim *victims = calloc(state.running_count + 1, sizeof(*victims));
    promises_count(core, asker, &state);
    const struct preempt preempt = {
        .state = &state,
        .job = asking.jobs,
        .victims = victims,
        .count = victims ? victims_collect(core, &asking, &state, victims) : 0,
        .permits = permits,
        .arg = &asking,
        .rule = choose_rules,
        .now_us = clock_realtime_us(),
    };
    int count = asking.count > 1 ? preempt_plan_gang(&preempt, asking.count, chosen, devices)
                                 : preempt_plan(&preempt, chosen, devices);
    if (count < 0)
        waiting_set(core, asker, NULL);
    for (size_t i = 0; count >= 0 && i < asking.count; i++)
        waiting_set(core, asker, state.devices[devices[i]].id);
    if (count > 0)
        call_all(core, asker, victims, chosen, count);
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
