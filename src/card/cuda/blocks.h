/* What the driver gave this process and what each is charged for: by pointer or handle, counted by
 * references. One table, one lock; nothing here calls the driver. Any thread. */
#ifndef LEAT_CARD_CUDA_BLOCKS_H
#define LEAT_CARD_CUDA_BLOCKS_H

#include <stdint.h>

enum block_kind {
    BLOCK_INVALID,
    BLOCK_MEMORY,  /* a device pointer */
    BLOCK_ARRAY,   /* plain and mipmapped */
    BLOCK_HANDLE,  /* physical memory: charged while a handle or a mapping holds it */
    BLOCK_MAPPING, /* an address at which a handle is mapped */
    BLOCK_GRAPH /* an executable graph: what its nodes allocate, which is not charged by itself */
};

/* Remember `bytes` charged for `key`; a known handle gets one more reference. -ENOMEM. */
int blocks_add(enum block_kind kind, uint64_t key, uint64_t bytes);
/* Forget one reference to `key`; returns the bytes that nothing holds any more, 0 for what is
 * unknown. */
uint64_t blocks_take(enum block_kind kind, uint64_t key);
/* The same, and nothing is forgotten. */
uint64_t blocks_look(enum block_kind kind, uint64_t key);
/* `handle` is mapped at [address, address + bytes). An unknown handle is fine. -ENOMEM. */
int blocks_map(uint64_t handle, uint64_t address, uint64_t bytes);
/* All mappings inside the range are gone; returns the bytes that nothing holds any more. */
uint64_t blocks_unmap(uint64_t address, uint64_t bytes);
/* The driver gave `handle` for the memory mapped at `address`. -ENOMEM. */
int blocks_retain(uint64_t handle, uint64_t address);
/* Forget everything: a child after fork has none of it. */
void blocks_clear(void);

#endif
