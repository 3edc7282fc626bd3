/* The exact placement of a few waiting jobs at once: the 0/1 problem in which each job takes one
 * of its possible places or waits, each device holds at most what it has, and a job of several
 * cards gets all or none. Solved by depth-first branch and bound from a given first answer, within
 * a budget of steps.
 *
 * The aim is lexicographic, so that packing never costs order: first as much value as possible of
 * the highest rank, then of the next, and so on; among equals the smallest sum of weights of the
 * devices used. */
#ifndef LEAT_SCHED_WINDOW_H
#define LEAT_SCHED_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sched/fleet.h"

#define WINDOW_JOBS_MAX 32
#define WINDOW_NODES_MAX 32
#define WINDOW_RANKS_MAX 8
#define WINDOW_WAITS UINT32_MAX /* node of a job that is not placed */

struct window_job {
    struct fleet_shape shape;
    uint32_t rank;  /* 0 is the highest; below WINDOW_RANKS_MAX */
    uint32_t value; /* of having it placed; at least 1 */
};

struct window_problem {
    const struct fleet_node *nodes; /* borrowed */
    const uint32_t *weights;        /* per node: cost of one whole device there; NULL: all 0 */
    size_t node_count;
    const struct window_job *jobs; /* in order: earlier ones first among equals; borrowed */
    size_t job_count;
    uint64_t steps_max; /* places tried at most; the answer is the best one found until then */
};

struct window_answer {
    struct fleet_place places[WINDOW_JOBS_MAX]; /* node WINDOW_WAITS: it waits */
    uint64_t value[WINDOW_RANKS_MAX];           /* placed, by rank */
    uint64_t cost;
    uint64_t steps;
    bool exact; /* the search was finished: no answer is better */
};

/* Improve `answer`, whose places must be possible (all waiting is). It is never made worse. A
 * problem beyond the limits is refused with -E2BIG, an impossible first answer with -EINVAL. */
int window_solve(const struct window_problem *problem, struct window_answer *answer);

#endif
