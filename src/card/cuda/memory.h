/* Reserving room on the card before the driver is asked. Any thread. */
#ifndef LEAT_CARD_CUDA_MEMORY_H
#define LEAT_CARD_CUDA_MEMORY_H

#include "card/cuda/blocks.h"
#include "card/cuda/types.h"

/* CUDA_SUCCESS, or what the program is to be told. What the device's pools gave back is counted
 * first, and what they hold idle is let go. */
CUresult memory_reserve(struct charge charge);
/* The driver has answered `result` about `key`: on success what was reserved stays charged, else it
 * is released. Returns the result. */
CUresult memory_settle(CUresult result, enum block_kind kind, uint64_t key, struct charge reserved);
/* After a free: what `key` was charged with, forgotten already before it, as the driver may hand
 * out its address again at once. Returns the result. */
CUresult memory_freed(CUresult result, enum block_kind kind, uint64_t key, struct charge charge);
/* More or less than was reserved is needed: 0 when there is no room for it, and nothing changed. */
int memory_adjust(struct charge *reserved, uint64_t needed_bytes);

#endif
