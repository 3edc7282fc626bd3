/* Commands that move nothing: markers, barriers, and maps that need no data. */
#ifndef LEAT_CARD_OPENCL_SYNC_H
#define LEAT_CARD_OPENCL_SYNC_H

#include "card/opencl/command.h"

enum sync_shape { SYNC_MARKER, SYNC_BARRIER, SYNC_NOTHING }; /* `shape` of a SYNC_POINT */

/* Post one for an open command. */
cl_int sync_post(struct command *command, enum sync_shape shape);
/* As sync_post, for a place in the queue at which this process moves `bytes` itself. */
cl_int sync_post_copied(struct command *command, uint64_t bytes);

#endif
