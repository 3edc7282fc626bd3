/* What plan.c (the walk through the queue), seat.c (exact seating) and timeline.c (what comes free
 * when) share. */
#ifndef LEAT_SCHED_PLAN_IMPL_H
#define LEAT_SCHED_PLAN_IMPL_H

#include "sched/plan.h"

#define PLAN_GANG_MAX 64 /* members; no place is kept for a larger one */

/* The fleet as it becomes when what runs ends. */
struct release {
    struct fleet_shape shape;
    struct fleet_place place;
    uint64_t ends_us;
    size_t age; /* of equals the oldest ends first */
};

struct timeline {
    struct fleet_node *nodes;
    size_t node_count;
    struct release *releases; /* by their ends */
    size_t count, next;
    uint64_t at_us;
};

/* A place that is kept, and the fleet at the time at which it is expected to come free. */
struct head {
    size_t task, count;
    struct timeline then;
    struct fleet_place places[PLAN_GANG_MAX];
    bool held; /* against all that could delay it */
};

struct planner {
    const struct plan *plan;
    struct plan_outcome *outcomes;
    struct head *heads[PLAN_HEADS_MAX];
    size_t head_count;
    size_t first_blocked; /* task; the count of all while none is */
    size_t refuser;       /* the task for which a place was refused to another */
    bool out_of_memory;
};

/* From the nodes as they are, with what runs and what `outcomes` starts (may be NULL) to end;
 * room for `more` further releases. 0 or -ENOMEM. */
int timeline_init(struct timeline *timeline, const struct plan *plan,
                  const struct plan_outcome *outcomes, size_t more);
void timeline_finish(struct timeline *timeline);
/* Go on until all these tasks have a place, which is taken. False when they never have. */
bool timeline_seat(struct timeline *timeline, const struct plan_task *tasks, size_t count,
                   struct fleet_place *places);
/* How many tasks from `task` on start together. */
size_t plan_gang_count(const struct plan *plan, size_t task);

/* Take or give back what an outcome places. */
void planner_take(struct planner *planner, size_t task, struct fleet_place place);
void planner_give(struct planner *planner, size_t task);

/* Move those placed before the first blocked task so that it finds room. True when it starts. */
bool seat_blocked(struct planner *planner);
/* Pack those after it as full as can be. */
void seat_others(struct planner *planner);

#endif
