/* When compute changes hands: the idle rule and the wake rule. See sched.h. */
#include "sched/sched.h"

/* A card that was never used is given at least this long: programs load data and build kernels
 * first. */
#define FIRST_USE_MS 60000

bool sched_is_idle(const struct sched_activity *activity)
{
    if (activity->idle_after_ms == 0 || activity->wanted)
        return false;
    if (!activity->used)
        return activity->age_ms >= FIRST_USE_MS && activity->age_ms >= activity->idle_after_ms;
    return activity->idle_ms >= activity->idle_after_ms;
}

bool sched_may_wake(uint32_t share_permille, uint32_t free_permille, size_t ahead)
{
    return ahead == 0 && share_permille <= free_permille;
}
