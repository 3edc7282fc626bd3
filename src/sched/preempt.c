/* Who gives way to whom: see preempt.h. */
#include "sched/preempt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sched/sched_impl.h"

/* Some that give way on one device; indices of those let go are SIZE_MAX. */
struct set {
    size_t device, count;
    size_t victims[PREEMPT_VICTIMS_MAX];
};

/* What a set costs: interrupting the less important first, then as little work as possible. */
struct cost {
    size_t stops;      /* that are not suspended, but stopped */
    uint32_t priority; /* the highest */
    size_t busy;       /* that are not idle */
    uint64_t lost_us;
    size_t count;
};

/* The cheapest first. */
static int by_cost(const void *left, const void *right, void *arg)
{
    const struct preempt_victim *victims = arg;
    const struct preempt_victim *a = &victims[*(const size_t *)left];
    const struct preempt_victim *b = &victims[*(const size_t *)right];
    if (a->idle != b->idle)
        return a->idle ? -1 : 1;
    if (a->stops != b->stops)
        return a->stops ? 1 : -1;
    if (a->priority != b->priority)
        return a->priority < b->priority ? -1 : 1;
    if (a->lost_us != b->lost_us)
        return a->lost_us < b->lost_us ? -1 : 1;
    if (a->since_us != b->since_us)
        return a->since_us > b->since_us ? -1 : 1;
    return (a->job < b->job) - (a->job > b->job);
}

static void set_collect(const struct preempt *preempt, size_t device, struct set *set)
{
    *set = (struct set){.device = device};
    for (size_t i = 0; i < preempt->count && set->count < PREEMPT_VICTIMS_MAX; i++) {
        const struct preempt_victim *victim = &preempt->victims[i];
        if (victim->device == device && victim->priority < preempt->job->priority &&
            (victim->memory_bytes || victim->share_permille))
            set->victims[set->count++] = i;
    }
    if (set->count)
        qsort_r(set->victims, set->count, sizeof(set->victims[0]), by_cost,
                (void *)(uintptr_t)preempt->victims);
}

/* Is there room when the first `count` of the set give way? */
static bool suffices(const struct preempt *preempt, const struct set *set, size_t count)
{
    const struct sched_device *device = &preempt->state->devices[set->device];
    uint64_t jobs[PREEMPT_VICTIMS_MAX], memory_bytes = device->memory_free_bytes;
    uint32_t share_permille = device->share_free_permille;
    size_t job_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (set->victims[i] == SIZE_MAX)
            continue;
        const struct preempt_victim *victim = &preempt->victims[set->victims[i]];
        memory_bytes += victim->memory_bytes;
        share_permille += victim->share_permille;
        jobs[job_count++] = victim->job;
    }
    return memory_bytes >= preempt->job->memory_bytes &&
           share_permille >= preempt->job->share_permille &&
           (!preempt->permits || preempt->permits(preempt->arg, jobs, job_count));
}

/* No more than it takes: a cheap one that a dearer one makes needless is let go, the dearest
 * being tried first. */
static bool set_choose(const struct preempt *preempt, struct set *set)
{
    size_t taken = 0, kept = 0;
    while (taken < set->count && !suffices(preempt, set, taken))
        taken++;
    if (!suffices(preempt, set, taken))
        return false;
    for (size_t i = taken; i-- > 0;) {
        size_t victim = set->victims[i];
        set->victims[i] = SIZE_MAX;
        if (!suffices(preempt, set, taken))
            set->victims[i] = victim;
    }
    for (size_t i = 0; i < taken; i++) {
        if (set->victims[i] != SIZE_MAX)
            set->victims[kept++] = set->victims[i];
    }
    set->count = kept;
    return true;
}

static struct cost cost_of(const struct preempt *preempt, const struct set *set)
{
    struct cost cost = {.count = set->count};
    for (size_t i = 0; i < set->count; i++) {
        const struct preempt_victim *victim = &preempt->victims[set->victims[i]];
        cost.priority = victim->priority > cost.priority ? victim->priority : cost.priority;
        cost.busy += !victim->idle;
        cost.stops += victim->stops;
        cost.lost_us += victim->lost_us;
    }
    return cost;
}

static bool is_cheaper(const struct cost *a, const struct cost *b)
{
    if ((a->busy == 0) != (b->busy == 0))
        return a->busy == 0;
    if (a->stops != b->stops)
        return a->stops < b->stops;
    if (a->priority != b->priority)
        return a->priority < b->priority;
    if (a->lost_us != b->lost_us)
        return a->lost_us < b->lost_us;
    return a->count < b->count;
}

int preempt_plan(const struct preempt *preempt, size_t *ret_chosen, size_t *ret_device)
{
    struct set set;
    struct cost cheapest = {0};
    int chosen = -ENOSPC;
    for (size_t i = 0; i < preempt->state->device_count; i++) {
        /* CPU and main memory stay with who gives way. */
        if (sched_obstacle(preempt->state, &preempt->state->devices[i], preempt->job) <
            SCHED_WHY_MEMORY)
            continue;
        set_collect(preempt, i, &set);
        if (!set_choose(preempt, &set))
            continue;
        struct cost cost = cost_of(preempt, &set);
        if (chosen >= 0 && !is_cheaper(&cost, &cheapest))
            continue;
        cheapest = cost;
        chosen = (int)set.count;
        *ret_device = i;
        for (size_t k = 0; k < set.count; k++)
            ret_chosen[k] = set.victims[k];
    }
    return chosen;
}

/* -- gangs -- */

/* What a plan for a gang works on: copies, from which it takes what is given away. */
struct gang_plan {
    struct sched_state state;
    struct preempt_victim *victims;
    size_t *order; /* of the members, the largest first */
    size_t *chosen;
    size_t chosen_count;
};

static void gang_finish(struct gang_plan *gang)
{
    free(gang->state.nodes);
    free(gang->state.devices);
    free(gang->victims);
    free(gang->order);
}

static int by_size(const void *left, const void *right, void *arg)
{
    const struct sched_job *jobs = arg;
    const struct sched_job *a = &jobs[*(const size_t *)left], *b = &jobs[*(const size_t *)right];
    if (a->memory_bytes != b->memory_bytes)
        return a->memory_bytes > b->memory_bytes ? -1 : 1;
    if (a->share_permille != b->share_permille)
        return a->share_permille > b->share_permille ? -1 : 1;
    return (a->id > b->id) - (a->id < b->id);
}

static void *copy_of(const void *data, size_t count, size_t size)
{
    void *copy = calloc(count + 1, size);
    if (copy && count)
        memcpy(copy, data, count * size);
    return copy;
}

static int gang_make(const struct preempt *preempt, size_t count, size_t *ret_chosen,
                     struct gang_plan *gang)
{
    const struct sched_state *state = preempt->state;
    *gang = (struct gang_plan){.state = *state, .chosen = ret_chosen};
    gang->state.nodes = copy_of(state->nodes, state->node_count, sizeof(*state->nodes));
    gang->state.devices = copy_of(state->devices, state->device_count, sizeof(*state->devices));
    gang->victims = copy_of(preempt->victims, preempt->count, sizeof(*gang->victims));
    gang->order = calloc(count + 1, sizeof(*gang->order));
    if (!gang->state.nodes || !gang->state.devices || !gang->victims || !gang->order)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        gang->order[i] = i;
    qsort_r(gang->order, count, sizeof(*gang->order), by_size, (void *)(uintptr_t)preempt->job);
    return 0;
}

/* Give one member its place: who gives way is chosen, and what comes free is taken. */
static int gang_seat(struct gang_plan *gang, const struct sched_job *job, size_t count,
                     size_t *ret_device)
{
    size_t chosen[PREEMPT_VICTIMS_MAX];
    const struct preempt preempt = {
        .state = &gang->state, .job = job, .victims = gang->victims, .count = count};
    int needed = preempt_plan(&preempt, chosen, ret_device);
    if (needed < 0 || gang->chosen_count + (size_t)needed > PREEMPT_GANG_VICTIMS_MAX)
        return -ENOSPC;
    struct sched_device *device = &gang->state.devices[*ret_device];
    for (int i = 0; i < needed; i++) {
        struct preempt_victim *victim = &gang->victims[chosen[i]];
        device->memory_free_bytes += victim->memory_bytes;
        device->share_free_permille += victim->share_permille;
        victim->memory_bytes = victim->share_permille = 0; /* not to be chosen again */
        gang->chosen[gang->chosen_count++] = chosen[i];
    }
    device->memory_free_bytes -= job->memory_bytes;
    device->share_free_permille -= job->share_permille;
    gang->state.nodes[device->node].cpus_free_milli -= job->cpus_milli;
    gang->state.nodes[device->node].ram_free_bytes -= job->ram_bytes;
    return 0;
}

/* What is left over lets some go that a later choice made needless, the dearest first. */
static void gang_trim(const struct preempt *preempt, struct gang_plan *gang)
{
    size_t kept = 0;
    if (gang->chosen_count)
        qsort_r(gang->chosen, gang->chosen_count, sizeof(*gang->chosen), by_cost,
                (void *)(uintptr_t)preempt->victims);
    for (size_t i = gang->chosen_count; i-- > 0;) {
        const struct preempt_victim *victim = &preempt->victims[gang->chosen[i]];
        struct sched_device *device = &gang->state.devices[victim->device];
        if (device->memory_free_bytes < victim->memory_bytes ||
            device->share_free_permille < victim->share_permille)
            continue;
        device->memory_free_bytes -= victim->memory_bytes;
        device->share_free_permille -= victim->share_permille;
        gang->chosen[i] = SIZE_MAX;
    }
    for (size_t i = 0; i < gang->chosen_count; i++) {
        if (gang->chosen[i] != SIZE_MAX)
            gang->chosen[kept++] = gang->chosen[i];
    }
    gang->chosen_count = kept;
}

/* The placement has the last word: it gives all of them a place when these have given way. */
static bool gang_is_placed(const struct preempt *preempt, size_t count, struct gang_plan *gang)
{
    struct sched_state *state = &gang->state;
    struct sched_job *jobs = copy_of(preempt->job, count, sizeof(*jobs));
    struct sched_decision *decisions = calloc(count, sizeof(*decisions));
    memcpy(state->devices, preempt->state->devices, state->device_count * sizeof(*state->devices));
    memcpy(state->nodes, preempt->state->nodes, state->node_count * sizeof(*state->nodes));
    for (size_t i = 0; i < gang->chosen_count; i++) {
        const struct preempt_victim *victim = &preempt->victims[gang->chosen[i]];
        state->devices[victim->device].memory_free_bytes += victim->memory_bytes;
        state->devices[victim->device].share_free_permille += victim->share_permille;
    }
    for (size_t i = 0; jobs && i < count; i++)
        jobs[i].gang = 1;
    state->jobs = jobs;
    state->job_count = count;
    state->running_count = 0; /* nobody ends for them */
    state->gate = NULL;
    bool placed = jobs && decisions &&
                  sched_decide(preempt->rule, state, preempt->now_us, decisions) == (int)count;
    free(jobs);
    free(decisions);
    return placed;
}

static bool gang_permitted(const struct preempt *preempt, const struct gang_plan *gang)
{
    uint64_t jobs[PREEMPT_GANG_VICTIMS_MAX];
    for (size_t i = 0; i < gang->chosen_count; i++)
        jobs[i] = preempt->victims[gang->chosen[i]].job;
    return !preempt->permits || preempt->permits(preempt->arg, jobs, gang->chosen_count);
}

int preempt_plan_gang(const struct preempt *preempt, size_t count, size_t *ret_chosen,
                      size_t *ret_devices)
{
    struct gang_plan gang;
    int r = gang_make(preempt, count, ret_chosen, &gang);
    for (size_t i = 0; r == 0 && i < count; i++) {
        size_t member = gang.order[i];
        r = gang_seat(&gang, &preempt->job[member], preempt->count, &ret_devices[member]);
    }
    if (r == 0)
        gang_trim(preempt, &gang);
    if (r == 0 && (!gang_permitted(preempt, &gang) || !gang_is_placed(preempt, count, &gang)))
        r = -ENOSPC;
    gang_finish(&gang);
    return r < 0 ? r : (int)gang.chosen_count;
}

uint64_t preempt_due_us(uint64_t since_us, uint64_t minimum_us, uint64_t notice_us, uint64_t now_us)
{
    uint64_t free_at_us = since_us + minimum_us;
    return (free_at_us > now_us ? free_at_us : now_us) + notice_us;
}
