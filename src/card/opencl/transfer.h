/* Moving content between the user's memory and buffers, through the session's slab in pieces,
 * several in flight so that both sides copy at once.
 *
 * A write copies at the call; a blocking one has ended at its return if its event is asked for, so
 * that its times can be told, else nobody could tell. A blocking read copies out as pieces arrive.
 * What a read that does not block has fetched lies in the slab until somebody observes a
 * completion: every call through which a program can learn that a command ended calls
 * transfers_observe first. */
#ifndef LEAT_CARD_OPENCL_TRANSFER_H
#define LEAT_CARD_OPENCL_TRANSFER_H

#include <stddef.h>
#include <stdint.h>

#include "card/opencl/command.h"
#include "card/opencl/region.h"

struct wire_queue_state;

enum transfer_wait { TRANSFER_POSTED, TRANSFER_BLOCKING };

/* `command` is open and is left to the caller to close; its target covers the whole transfer. */
cl_int transfer_write(struct command *command, const struct region *region,
                      enum transfer_wait wait);
cl_int transfer_read(struct command *command, const struct region *region, enum transfer_wait wait);

/* Copy out what has arrived, and what kernels printed. Whatever the shared counter says, reads on
 * queue `state` up to `target` completions have arrived (the caller saw a later command of that
 * queue end). */
void transfers_observe(const struct wire_queue_state *state, uint64_t target);

/* 1 when something would still be copied there. */
int transfers_are_due(const char *host, size_t bytes);

/* Memory that is about to be freed: what would still be copied there is dropped. */
void transfers_forget(const char *host, size_t bytes);

/* Room in the slab for one payload; waits for older transfers, but not while nothing can end before
 * the program sets an event. CL_SUCCESS, CL_OUT_OF_HOST_MEMORY when there will be none, or
 * CL_DEVICE_NOT_AVAILABLE. */
cl_int slab_reserve(uint64_t bytes, uint64_t *ret_offset);
void slab_release(uint64_t offset, uint64_t bytes);
char *slab_at(uint64_t offset);

#endif
