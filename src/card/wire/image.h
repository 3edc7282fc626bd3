/* How large an image is: both sides must come to the same number of bytes, which it is charged for.
 * Pure functions; `order`, `type` and image types are the numbers of OpenCL. */
#ifndef LEAT_CARD_WIRE_IMAGE_H
#define LEAT_CARD_WIRE_IMAGE_H

#include <stdint.h>

/* An image's measures as its description has them; those that its type does not have are
 * ignored. */
struct wire_image_size {
    uint64_t width, height, depth, layers;
};

/* Bytes of one pixel; 0: no such format. */
uint32_t wire_pixel_bytes(uint32_t order, uint32_t type);

/* The largest region a command can name, in pixels, rows and slices (or layers). 0, or -1 when
 * there is no such type. */
int wire_image_extents(uint32_t image_type, const struct wire_image_size *size,
                       uint64_t ret_extents[3]);

/* Bytes of so many pixels without gaps; 0: too many. */
uint64_t wire_image_bytes(uint32_t pixel_bytes, const uint64_t extents[3]);

#endif
