/* Bytes of an image by its format and size: see image.h. */
#include "card/wire/image.h"

#include <stddef.h>

/* CL_R, CL_A, CL_RG, CL_RA, CL_RGB, CL_RGBA, CL_BGRA, CL_ARGB, CL_INTENSITY, CL_LUMINANCE, CL_Rx,
 * CL_RGx, CL_RGBx, CL_DEPTH, CL_DEPTH_STENCIL, CL_sRGB, CL_sRGBx, CL_sRGBA, CL_sBGRA, CL_ABGR */
#define FIRST_ORDER 0x10b0u
static const uint8_t channels[] = {1, 1, 2, 2, 3, 4, 4, 4, 1, 1, 2, 3, 4, 1, 0, 3, 4, 4, 4, 4};

/* CL_SNORM_INT8, _INT16, CL_UNORM_INT8, _INT16, then the three that hold a whole pixel (CL_UNORM_
 * SHORT_565, _SHORT_555, _INT_101010), CL_SIGNED_INT8, 16, 32, CL_UNSIGNED_INT8, 16, 32,
 * CL_HALF_FLOAT, CL_FLOAT */
#define FIRST_TYPE 0x10d0u
#define WHOLE_FIRST 4
#define WHOLE_LAST 6
static const uint8_t channel_bytes[] = {1, 2, 1, 2, 2, 2, 4, 1, 2, 4, 1, 2, 4, 2, 4};

uint32_t wire_pixel_bytes(uint32_t order, uint32_t type)
{
    uint32_t o = order - FIRST_ORDER, t = type - FIRST_TYPE;
    if (o >= sizeof(channels) || t >= sizeof(channel_bytes))
        return 0;
    return t >= WHOLE_FIRST && t <= WHOLE_LAST ? channel_bytes[t] : channels[o] * channel_bytes[t];
}

/* Which measures an image type has for rows and slices, from CL_MEM_OBJECT_IMAGE2D on: 2D, 3D, 2D
 * array, 1D, 1D array, 1D buffer. */
enum measure { ONE, HEIGHT, DEPTH, LAYERS };
#define FIRST_IMAGE_TYPE 0x10f1u
static const struct {
    uint8_t rows, slices;
} shapes[] = {{HEIGHT, ONE}, {HEIGHT, DEPTH}, {HEIGHT, LAYERS},
              {ONE, ONE},    {LAYERS, ONE},   {ONE, ONE}};

int wire_image_extents(uint32_t image_type, const struct wire_image_size *size,
                       uint64_t ret_extents[3])
{
    const uint64_t measures[] = {
        [ONE] = 1, [HEIGHT] = size->height, [DEPTH] = size->depth, [LAYERS] = size->layers};
    uint32_t shape = image_type - FIRST_IMAGE_TYPE;
    if (shape >= sizeof(shapes) / sizeof(shapes[0]))
        return -1;
    ret_extents[0] = size->width;
    ret_extents[1] = measures[shapes[shape].rows];
    ret_extents[2] = measures[shapes[shape].slices];
    return 0;
}

uint64_t wire_image_bytes(uint32_t pixel_bytes, const uint64_t extents[3])
{
    uint64_t bytes = pixel_bytes;
    for (int i = 0; i < 3; i++)
        if (__builtin_mul_overflow(bytes, extents[i], &bytes))
            return 0;
    return bytes;
}
