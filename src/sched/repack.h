/* Which running tasks to move so that one that waits finds room: the tier for idle time. A move is
 * only proposed when it lets the waiting task in. Pure; nothing is taken or given. */
#ifndef LEAT_SCHED_REPACK_H
#define LEAT_SCHED_REPACK_H

#include <stddef.h>

#include "sched/choose.h"
#include "sched/fleet.h"

#define REPACK_MOVES_MAX 8 /* for one waiting task */

struct repack_task {
    struct fleet_shape shape;
    struct fleet_place place;
    bool movable;
};

struct repack {
    struct chooser *chooser;
    const struct fleet_node *nodes; /* the chooser's */
    const struct repack_task *running;
    size_t running_count;
    bool may_stay; /* a move may end on another device of the same node */
    bool may_swap; /* tasks may change places */
};

struct repack_move {
    size_t task; /* of the running */
    struct fleet_place to;
};

/* The moves for a task of the shape, and where it then goes: the fewest that one node needs, small
 * tasks before large ones; else two tasks that change places, or several as regroup.h finds them.
 * Returns how many, 0 when there are none, or -ENOMEM. Costs O(running log running), for each node
 * tried O(nodes), and for swaps O(tasks of the nodes tried x running). */
int repack_find(const struct repack *repack, const struct fleet_shape *shape,
                struct repack_move moves[REPACK_MOVES_MAX], struct fleet_place *ret_place);

#endif
