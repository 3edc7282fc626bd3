/* What sched.c (names to the plan and back) and explain.c (findings, words) share. */
#ifndef LEAT_SCHED_SCHED_IMPL_H
#define LEAT_SCHED_SCHED_IMPL_H

#include "sched/sched.h"

/* What keeps the job off this device as it is. */
enum sched_why sched_obstacle(const struct sched_state *state, const struct sched_device *device,
                              const struct sched_job *job);
/* How far down its order of preference the job would have to go for this device. */
uint64_t sched_preference(const struct sched_device *device, const struct sched_job *job);
/* The least grave obstacle of all devices, and whose it is (SIZE_MAX: there is none). */
enum sched_why sched_nearest(const struct sched_state *state, const struct sched_job *job,
                             size_t *ret_device);
/* What of each resource there is: free, or at all when `why` says that it never suffices. */
struct sched_amounts sched_available(const struct sched_state *state, size_t device,
                                     enum sched_why why);

#endif
