/* The executor's answers to platform and device queries, indexed by name. */
#ifndef LEAT_CARD_OPENCL_SNAPSHOT_H
#define LEAT_CARD_OPENCL_SNAPSHOT_H

#include <stddef.h>
#include <stdint.h>

struct wire_info;

struct snapshot {
    const struct wire_info **infos; /* sorted by `of`, then `name`; they lie where they lay */
    size_t count;
};

/* Index the run of answers at `start`, which stays there. 0 or -errno. */
int snapshot_init(struct snapshot *snapshot, const void *start, uint64_t length);
void snapshot_finish(struct snapshot *snapshot);
/* The answer and its length, or NULL. `of`: enum wire_info_of. */
const void *snapshot_find(const struct snapshot *snapshot, uint32_t of, uint32_t name,
                          size_t *ret_length);
/* A number of up to 8 bytes; 0 when the executor has none. */
uint64_t snapshot_number(const struct snapshot *snapshot, uint32_t of, uint32_t name);

#endif
