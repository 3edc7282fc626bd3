/* What the driver gave this process and what each is charged for: by pointer or handle, counted by
 * references. One table, one lock; nothing here calls the driver. Any thread. */
#ifndef LEAT_CARD_CUDA_BLOCKS_H
#define LEAT_CARD_CUDA_BLOCKS_H

#include <stdint.h>

#include "card/cuda/types.h"

/* Bytes of a device's memory. */
struct charge {
    CUdevice device; /* as the driver numbers them in this process; < 0: none, nothing is charged */
    uint64_t bytes;
};

enum block_kind {
    BLOCK_INVALID,
    BLOCK_MEMORY,  /* a device pointer */
    BLOCK_ARRAY,   /* plain and mipmapped */
    BLOCK_HANDLE,  /* physical memory: charged while a handle or a mapping holds it */
    BLOCK_MAPPING, /* an address at which a handle is mapped */
    BLOCK_GRAPH    /* an executable graph: what its nodes allocate, which is not charged by itself;
                      once for each device */
};

/* Remember what is charged for `key`. -ENOMEM. */
int blocks_add(enum block_kind kind, uint64_t key, struct charge charge);
/* Forget one reference to `key`; returns what nothing holds any more, no bytes for what is
 * unknown. */
struct charge blocks_take(enum block_kind kind, uint64_t key);
/* Call `visit` for all that is charged for `key`. */
void blocks_visit(enum block_kind kind, uint64_t key,
                  void (*visit)(const struct charge *charge, void *arg), void *arg);
/* `handle` is mapped at [address, address + bytes). An unknown handle is fine. -ENOMEM. */
int blocks_map(uint64_t handle, uint64_t address, uint64_t bytes);
/* All mappings inside the range are gone; `freed` is called with what nothing holds any more. */
void blocks_unmap(uint64_t address, uint64_t bytes, void (*freed)(struct charge charge));
/* The driver gave `handle` for the memory mapped at `address`. -ENOMEM. */
int blocks_retain(uint64_t handle, uint64_t address);
/* Forget everything: a child after fork has none of it. */
void blocks_clear(void);

#endif
