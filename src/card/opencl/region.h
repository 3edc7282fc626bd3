/* The two ends of a transfer: a box of bytes in a buffer and one in the user's memory. A plain run
 * of bytes is a box of one row. */
#ifndef LEAT_CARD_OPENCL_REGION_H
#define LEAT_CARD_OPENCL_REGION_H

#include <stddef.h>

#include "card/opencl/object.h"

struct region {
    cl_mem memory;
    size_t origin[3]; /* in the buffer: bytes, rows, slices */
    size_t size[3];   /* bytes, rows, slices; none is 0 */
    size_t row_pitch, slice_pitch;
    char *host; /* first byte of the box in the user's memory */
    size_t host_row_pitch, host_slice_pitch;
};

/* A part of a region that is packed into the slab without gaps. */
struct piece {
    size_t start[3]; /* relative to the region */
    size_t size[3];
};

void region_linear(struct region *region, cl_mem memory, size_t offset, size_t bytes, char *host);
static inline int region_is_linear(const struct region *region)
{
    return region->size[1] == 1 && region->size[2] == 1;
}

/* Walk the region in pieces of at most `most` bytes; start with a zeroed piece. 0 at the end. */
int region_next(const struct region *region, size_t most, struct piece *piece);
static inline size_t piece_bytes(const struct piece *piece)
{
    return piece->size[0] * piece->size[1] * piece->size[2];
}

enum pack_direction { PACK_INTO_SLAB, PACK_OUT_OF_SLAB };
void region_pack(const struct region *region, const struct piece *piece, char *slab,
                 enum pack_direction direction);

#endif
