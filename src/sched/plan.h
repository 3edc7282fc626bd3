/* Which waiting tasks start now, and where: the one decision that leatd and `leat simulate` make.
 *
 * Tasks are taken in the order of the queue, each where the chooser's rule scores best. The first
 * that finds no room is the head: an exact search (when asked for) tries to seat it by moving those
 * that this decision has placed before it. If that fails, a place is kept for it (for a gang: one
 * for each member) where it can begin earliest by the expected ends of what runs, and later tasks
 * may start only where they do not delay it (EASY backfill). When that time is not known, later
 * tasks go ahead, packed exactly, until the head has waited `hold_after_us`; then its place is held
 * against all. So nothing starves, and nothing idles for a time that nobody knows.
 *
 * Cost: a decision about one task is the chooser's, O(nodes) byte comparisons. A head costs
 * O(nodes + running log running), at most PLAN_HEADS_MAX times a plan. Pure; not thread-safe. */
#ifndef LEAT_SCHED_PLAN_H
#define LEAT_SCHED_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sched/choose.h"
#include "sched/fleet.h"

#define PLAN_FAR UINT64_MAX /* an end or a beginning that nobody knows */
#define PLAN_HEADS_MAX 4    /* places are kept for this many tasks or gangs at once */
#define PLAN_TIERS_MAX 4    /* sets of devices that a task prefers one to the other */
#define PLAN_STEPS 4000     /* of one exact search: a few milliseconds */

struct plan_task {
    struct fleet_shape shape;
    uint32_t rank;      /* of its priority and turn, 0 first; tasks come sorted by it */
    uint32_t gang;      /* neighbours with the same number start together or not at all; 0: alone */
    uint64_t length_us; /* expected; PLAN_FAR: not known */
    uint64_t since_us;  /* when it began to wait */
    /* Device models that are tried first, one set after the other; 0: no more. All that the shape
     * allows come last. */
    uint64_t tiers[PLAN_TIERS_MAX];
};

/* What holds a part of the fleet. */
struct plan_running {
    struct fleet_shape shape;
    struct fleet_place place;
    uint64_t ends_us; /* expected; PLAN_FAR: not known */
};

/* May these tasks (one, or a gang) start at all? Asked in the order of the queue, and told. */
struct plan_gate {
    bool (*ask)(void *arg, size_t task, size_t count);
    void (*take)(void *arg, size_t task, size_t count);
    void *arg;
};

struct plan {
    struct chooser *chooser;
    const struct fleet_node *nodes; /* the chooser's */
    size_t node_count;
    const struct plan_running *running; /* oldest first */
    size_t running_count;
    const struct plan_task *tasks;
    size_t task_count;
    const struct plan_gate *gate; /* NULL: everything may; tasks are packed exactly only then */
    uint64_t now_us, hold_after_us;
    bool search; /* exactly, too: some milliseconds when a task must wait */
};

enum plan_verdict {
    PLAN_INVALID,
    PLAN_STARTS,
    PLAN_FULL,     /* no node has room */
    PLAN_BEHIND,   /* there is room, kept for the task `other` */
    PLAN_GANG,     /* there is no room for the member `other` of its gang beside the rest */
    PLAN_FORBIDDEN /* by the gate */
};

enum plan_step { PLAN_BY_NONE, PLAN_BY_SCORE, PLAN_BY_SEARCH, PLAN_BY_BACKFILL };

struct plan_outcome {
    enum plan_verdict verdict;
    enum plan_step step;      /* of what starts */
    struct fleet_place place; /* of what starts */
    uint32_t other;
    uint64_t at_us; /* when a kept place is expected to come free; PLAN_FAR: not known */
};

/* Decide; what starts is taken from the chooser's nodes. `outcomes` has room for all tasks. Returns
 * how many start, or -ENOMEM (then nothing is taken). */
int plan_make(const struct plan *plan, struct plan_outcome *outcomes);

/* When the task would begin if all before it began in order and none overtook: an upper estimate.
 * PLAN_FAR: not known. Nothing is taken. Returns 0 or -ENOMEM. */
int plan_forecast(const struct plan *plan, size_t task, uint64_t *ret_at_us);

/* A time after another; PLAN_FAR when either is not known. */
uint64_t plan_later(uint64_t at_us, uint64_t length_us);

#endif
