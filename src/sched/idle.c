/* When compute changes hands: the idle rule and the wake rule. See sched.h. */
#include "sched/sched.h"

bool sched_is_idle(const struct sched_activity *activity)
{
    if (activity->idle_after_ms == 0 || activity->wanted)
        return false;
    /* A card that was never used is given as long from its creation: loading data takes time. */
    uint64_t unused_ms = activity->used ? activity->idle_ms : activity->age_ms;
    return unused_ms >= activity->idle_after_ms;
}

bool sched_may_wake(uint32_t share_permille, uint32_t free_permille, size_t ahead)
{
    return ahead == 0 && share_permille <= free_permille;
}
