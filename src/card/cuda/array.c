/* Arrays, plain and mipmapped: charged by their shape, then by what the driver says they need. */
#include <errno.h>

#include "card/cuda/memory.h"
#include "card/cuda/process.h"
#include "cuda_api.h"

/* Bytes of a channel; formats of unknown width count as the widest. */
static uint64_t channel_bytes(int format)
{
    switch (format) {
    case 0x01: /* CU_AD_FORMAT_UNSIGNED_INT8 */
    case 0x08: /* CU_AD_FORMAT_SIGNED_INT8 */
        return 1;
    case 0x02: /* CU_AD_FORMAT_UNSIGNED_INT16 */
    case 0x09: /* CU_AD_FORMAT_SIGNED_INT16 */
    case 0x10: /* CU_AD_FORMAT_HALF */
        return 2;
    default:
        return 4;
    }
}

static uint64_t at_least_one(uint64_t value)
{
    return value ? value : 1;
}

/* Rows are counted as padded: more than drivers take, so that nothing is allocated that turns out
 * not to be covered. What the driver says afterwards is charged. */
#define ROW_BYTES 512u

/* Of one level; UINT64_MAX when it does not fit. */
static uint64_t level_bytes(const struct cuda_array3d_shape *shape, unsigned level)
{
    uint64_t width = at_least_one(shape->width >> level);
    uint64_t height = at_least_one(shape->height >> level);
    uint64_t depth = at_least_one(shape->depth >> level), bytes;
    if (__builtin_mul_overflow(width, channel_bytes(shape->format) * at_least_one(shape->channels),
                               &bytes) ||
        __builtin_add_overflow(bytes, ROW_BYTES - 1, &bytes))
        return UINT64_MAX;
    bytes -= bytes % ROW_BYTES;
    if (__builtin_mul_overflow(bytes, height, &bytes) ||
        __builtin_mul_overflow(bytes, depth, &bytes))
        return UINT64_MAX;
    return bytes;
}

/* Sparse arrays have no memory of their own: what is mapped into them is charged as handles. */
static uint64_t shape_bytes(const struct cuda_array3d_shape *shape, unsigned levels)
{
    uint64_t sum = 0;
    if (!shape || (shape->flags & (CUDA_ARRAY_SPARSE | CUDA_ARRAY_DEFERRED_MAPPING)))
        return 0;
    for (unsigned level = 0; level < levels && level < 64; level++)
        if (__builtin_add_overflow(sum, level_bytes(shape, level), &sum))
            return UINT64_MAX;
    return sum;
}

/* What the driver has for one kind of array. */
struct kind {
    CUresult (*ask)(struct cuda_requirements *needs, CUarray array, CUdevice device);
    CUresult (*destroy)(CUarray array);
};

static const struct kind plain = {driver_cuArrayGetMemoryRequirements, driver_cuArrayDestroy};
static const struct kind mipmapped = {driver_cuMipmappedArrayGetMemoryRequirements,
                                      driver_cuMipmappedArrayDestroy};

static CUresult settle(const struct kind *kind, CUresult result, const CUarray *array,
                       struct charge charge)
{
    struct cuda_requirements needs = {0};
    if (result != CUDA_SUCCESS)
        return memory_settle(result, BLOCK_ARRAY, 0, charge);
    if (charge.bytes && charge.device >= 0 &&
        kind->ask(&needs, *array, charge.device) == CUDA_SUCCESS &&
        !memory_adjust(&charge, needs.bytes)) {
        (void)kind->destroy(*array); /* just made */
        process_release(charge);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    return memory_settle(result, BLOCK_ARRAY, (uintptr_t)*array, charge);
}

static CUresult destroy(const struct kind *kind, CUarray array)
{
    struct charge charge = blocks_take(BLOCK_ARRAY, (uintptr_t)array);
    return memory_freed(kind->destroy(array), BLOCK_ARRAY, (uintptr_t)array, charge);
}

CUresult api_cuArrayCreate_v2(CUarray *array, const struct cuda_array_shape *shape)
{
    struct cuda_array3d_shape flat = {0};
    if (shape)
        flat = (struct cuda_array3d_shape){shape->width,  shape->height,   0,
                                           shape->format, shape->channels, 0};
    const struct charge charge = {process_device(), shape ? shape_bytes(&flat, 1) : 0};
    CUresult result = memory_reserve(charge);
    if (result != CUDA_SUCCESS)
        return result;
    return settle(&plain, driver_cuArrayCreate_v2(array, shape), array, charge);
}

CUresult api_cuArray3DCreate_v2(CUarray *array, const struct cuda_array3d_shape *shape)
{
    const struct charge charge = {process_device(), shape_bytes(shape, 1)};
    CUresult result = memory_reserve(charge);
    if (result != CUDA_SUCCESS)
        return result;
    return settle(&plain, driver_cuArray3DCreate_v2(array, shape), array, charge);
}

CUresult api_cuMipmappedArrayCreate(CUmipmappedArray *array, const struct cuda_array3d_shape *shape,
                                    unsigned levels)
{
    const struct charge charge = {process_device(), shape_bytes(shape, levels)};
    CUresult result = memory_reserve(charge);
    if (result != CUDA_SUCCESS)
        return result;
    return settle(&mipmapped, driver_cuMipmappedArrayCreate(array, shape, levels), array, charge);
}

CUresult api_cuArrayDestroy(CUarray array)
{
    return destroy(&plain, array);
}

CUresult api_cuMipmappedArrayDestroy(CUmipmappedArray array)
{
    return destroy(&mipmapped, array);
}
