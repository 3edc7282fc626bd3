/* Boxes of bytes, checked and copied: see region.h. */
#include "card/opencl/region.h"

void region_linear(struct region *region, cl_mem memory, size_t offset, size_t bytes, char *host)
{
    *region = (struct region){
        .memory = memory,
        .origin = {offset, 0, 0},
        .size = {bytes, 1, 1},
        .row_pitch = bytes,
        .slice_pitch = bytes,
        .host = host,
        .host_row_pitch = bytes,
        .host_slice_pitch = bytes,
    };
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Step from where the last piece ended: along the row, else to the next rows, else slices. */
static int step(const struct region *region, struct piece *piece)
{
    if (piece->size[0] == 0)
        return 1; /* the first */
    for (int axis = 0; axis < 3; axis++) {
        piece->start[axis] += piece->size[axis];
        if (piece->start[axis] < region->size[axis])
            return 1;
        piece->start[axis] = 0;
    }
    return 0;
}

/* As many whole slices as fit, else whole rows of one slice, else a part of one row. */
int region_next(const struct region *region, size_t most, struct piece *piece)
{
    if (!step(region, piece))
        return 0;
    size_t row = region->size[0], slice = row * region->size[1];
    size_t left[3];
    for (int axis = 0; axis < 3; axis++) {
        left[axis] = region->size[axis] - piece->start[axis];
        piece->size[axis] = 1;
    }
    piece->size[0] = least(left[0], row > most ? most : row);
    if (row <= most)
        piece->size[1] = least(left[1], slice <= most ? region->size[1] : most / row);
    if (slice <= most)
        piece->size[2] = least(left[2], most / slice);
    return 1;
}

void region_pack(const struct region *region, const struct piece *piece, char *slab,
                 enum pack_direction direction)
{
    for (size_t z = 0; z < piece->size[2]; z++) {
        for (size_t y = 0; y < piece->size[1]; y++) {
            char *host = region->host + (piece->start[2] + z) * region->host_slice_pitch +
                         (piece->start[1] + y) * region->host_row_pitch + piece->start[0];
            if (direction == PACK_INTO_SLAB)
                memcpy(slab, host, piece->size[0]);
            else
                memcpy(host, slab, piece->size[0]);
            slab += piece->size[0];
        }
    }
}
