/* Which running jobs give way to one that waits and outranks them: those of strictly lower
 * priority on one device, the cheapest to interrupt first, and no more than it takes. A card that
 * is suspended is cheaper than a job that is stopped, whatever their priorities. As nobody
 * gives way to an equal, interruptions do not go in a circle. Pure; nothing is taken or given. */
#ifndef LEAT_SCHED_PREEMPT_H
#define LEAT_SCHED_PREEMPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sched/sched.h"

#define PREEMPT_VICTIMS_MAX 64 /* for one job */

/* A job on a device, and what comes free there when it gives way. */
struct preempt_victim {
    uint64_t job;
    size_t device; /* of the state */
    uint64_t memory_bytes;
    uint32_t share_permille;
    uint32_t priority;
    bool idle;         /* it uses nothing: it loses nothing either, and needs no notice */
    uint64_t lost_us;  /* work that stopping it now would lose */
    uint64_t since_us; /* when it last began to run */
    bool stops;        /* it is stopped and started again: what it has not saved is lost */
};

struct preempt {
    const struct sched_state *state; /* its jobs play no part */
    const struct sched_job *job;     /* that waits; of a gang the first of an array */
    const struct preempt_victim *victims;
    size_t count;
    /* May the job have its place when these give way? NULL: always. */
    bool (*permits)(void *arg, const uint64_t *jobs, size_t count);
    void *arg;
    const struct choose_rule *rule; /* of gangs: by which they are placed */
    uint64_t now_us;
};

/* Who gives way, as indices into the victims, on which device: the one where least is lost.
 * `ret_chosen` has room for PREEMPT_VICTIMS_MAX. Returns how many, at least 1; 0 when nobody need
 * give way (then there is room on *ret_device); -ENOSPC when there is no such device. */
int preempt_plan(const struct preempt *preempt, size_t *ret_chosen, size_t *ret_device);

#define PREEMPT_GANG_VICTIMS_MAX 256

/* The same for the members of a gang, `count` from preempt->job on: all get a place or none does.
 * The largest choose first; ret_devices[i] is where the i-th goes. `ret_chosen` has room for
 * PREEMPT_GANG_VICTIMS_MAX. `permits` is asked once, for all, and sched_decide whether it then
 * places them. -ENOMEM, too. */
int preempt_plan_gang(const struct preempt *preempt, size_t count, size_t *ret_chosen,
                      size_t *ret_devices);

/* When a job that began to run at `since_us` gives way: after the minimum that it was promised, and
 * a notice. */
uint64_t preempt_due_us(uint64_t since_us, uint64_t minimum_us, uint64_t notice_us,
                        uint64_t now_us);

#endif
