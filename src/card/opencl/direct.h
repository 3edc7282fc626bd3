/* Transfers and maps of buffers in the arena: their bytes are this process's memory, too, so that
 * one memcpy at the right place in the queue is the whole transfer, and a map moves nothing. */
#ifndef LEAT_CARD_OPENCL_DIRECT_H
#define LEAT_CARD_OPENCL_DIRECT_H

#include "card/opencl/command.h"
#include "card/opencl/region.h"
#include "card/opencl/transfer.h"

enum direct_way { DIRECT_READ, DIRECT_WRITE };

/* Copy now; the region's buffer has a range. */
void direct_copy(const struct region *region, enum direct_way way);
/* Do a whole transfer that way: 1 with its result, or 0 when it must go through the slab, because
 * the buffer has no range or because the caller does not wait and what comes before in the queue
 * has not ended. The open command posts one record, which takes the place in the queue and is
 * charged for the bytes. */
int direct_transfer(struct command *command, const struct region *region, enum direct_way way,
                    enum transfer_wait wait, cl_int *ret_result);
/* A map or unmap in place: takes its turn in the queue and moves nothing. The caller has entered
 * the arena, which is left on return. */
cl_int direct_pass(struct command *command, enum transfer_wait wait);

#endif
