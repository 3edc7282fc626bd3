/* Packing what holds parts of two or three devices anew, so that a waiting task fits beside it:
 * what is idle in small parts on several devices comes together on one. Pure; nothing is taken or
 * given. */
#ifndef LEAT_SCHED_REGROUP_H
#define LEAT_SCHED_REGROUP_H

#include "sched/repack.h"

#define REGROUP_DEVICES_MAX 3
#define REGROUP_PARTS_MAX 8      /* movable tasks of one device; fuller ones are left alone */
#define REGROUP_STEPS_MAX 100000 /* of one search: some milliseconds */

/* As repack_find, for a task of one card, whatever `may_swap` says. Devices that are filled alike
 * count as one until their tasks' CPU, memory and models are looked at. Costs O(running log
 * running) and at most REGROUP_STEPS_MAX steps. */
int regroup_find(const struct repack *repack, const struct fleet_shape *shape,
                 struct repack_move moves[REPACK_MOVES_MAX], struct fleet_place *ret_place);

#endif
