/* What sched.c (choice) and explain.c (words) share. */
#ifndef LEAT_SCHED_SCHED_IMPL_H
#define LEAT_SCHED_SCHED_IMPL_H

#include "sched/sched.h"

/* What keeps a job off one device, the gravest first. Those up to OBSTACLE_NEVER_LAST stay whatever
 * is released. */
enum obstacle {
    OBSTACLE_NO_DEVICE,    /* there is none at all */
    OBSTACLE_OTHER_DEVICE, /* it asked for another one */
    OBSTACLE_OTHER_VENDOR,
    OBSTACLE_OTHER_SCENARIO,
    OBSTACLE_MEMORY_NEVER,
    OBSTACLE_SHARE_NEVER,
    OBSTACLE_CPUS_NEVER,
    OBSTACLE_RAM_NEVER,
    OBSTACLE_NEVER_LAST = OBSTACLE_RAM_NEVER,
    OBSTACLE_LIMIT,  /* of its tenant */
    OBSTACLE_CALLED, /* its tenant's share is lent, and called in */
    OBSTACLE_KEPT,   /* what is free is kept for other tenants */
    OBSTACLE_HELD,   /* kept free for a job that waits longer */
    OBSTACLE_RAM,
    OBSTACLE_CPUS,
    OBSTACLE_MEMORY,
    OBSTACLE_SHARE,
    OBSTACLE_NONE
};

enum obstacle sched_obstacle(const struct sched_state *state, const struct sched_device *device,
                             const struct sched_job *job);
/* Put into words why `job` is kept waiting by `obstacle` on `device` (NULL with
 * OBSTACLE_NO_DEVICE). */
void sched_reason_fill(const struct sched_state *state, const struct sched_job *job,
                       const struct sched_device *device, enum obstacle obstacle,
                       struct sched_reason *ret_reason);

#endif
