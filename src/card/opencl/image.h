/* Images: made at once, for only the driver knows what it takes; described and checked here from
 * then on. */
#ifndef LEAT_CARD_OPENCL_IMAGE_H
#define LEAT_CARD_OPENCL_IMAGE_H

#include "card/opencl/command.h"
#include "card/opencl/region.h"

struct image_map;

struct image {
    cl_image_format format;
    cl_image_desc desc;                  /* as given */
    size_t width, height, depth, layers; /* as the program is told: 0 where the type has none */
    size_t row_pitch, slice_pitch;       /* so, too */
    size_t extents[3];                   /* pixels, rows and slices, as commands count them */
    size_t pixel_bytes;
    cl_int status;          /* what the driver said of its creation */
    struct image_map *maps; /* under the memory object's lock */
};

/* Send the creation of an image under number `id`; the driver's answer goes to image->status. */
cl_int image_send(cl_mem memory, uint32_t id);
/* Free what makes a memory object an image, if it is one. */
void image_finish(cl_mem memory);

/* A box of pixels and its other end in the program's memory; pitches may be 0. CL_SUCCESS or
 * CL_INVALID_VALUE. */
cl_int image_region(struct region *ret_region, cl_mem memory, const size_t *origin,
                    const size_t *region, size_t row_pitch, size_t slice_pitch, const void *host);
/* The part of clEnqueueUnmapMemObject that is about images. */
cl_int image_unmap(struct command *command, cl_mem memory, const void *pointer);

#endif
