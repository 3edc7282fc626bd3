/* Who gives way to whom: see preempt.h. */
#include "sched/preempt.h"

#include <errno.h>
#include <stdlib.h>

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

uint64_t preempt_due_us(uint64_t since_us, uint64_t minimum_us, uint64_t notice_us, uint64_t now_us)
{
    uint64_t free_at_us = since_us + minimum_us;
    return (free_at_us > now_us ? free_at_us : now_us) + notice_us;
}
