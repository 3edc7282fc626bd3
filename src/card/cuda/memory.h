/* Reserving room on the card before the driver is asked. Any thread. */
#ifndef LEAT_CARD_CUDA_MEMORY_H
#define LEAT_CARD_CUDA_MEMORY_H

#include "card/cuda/blocks.h"
#include "card/cuda/types.h"

/* CUDA_SUCCESS, or what the program is to be told. What pools gave back is counted first,
 * and what they hold idle is let go. */
CUresult memory_reserve(uint64_t bytes);
/* The driver has answered `result` about `key`: on success `reserved` bytes stay charged, else they
 * are released. Returns the result. */
CUresult memory_settle(CUresult result, enum block_kind kind, uint64_t key, uint64_t reserved);
/* Before a free: what `key` is charged with, forgotten already, as the driver may hand out its
 * address again at once. memory_freed ends it. */
CUresult memory_freed(CUresult result, enum block_kind kind, uint64_t key, uint64_t bytes);

#endif
