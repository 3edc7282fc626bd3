/* Linear, managed and virtual memory, and arrays: the card is asked first, the driver second. */
#include "card/cuda/memory.h"

#include <errno.h>

#include "card/cuda/pool.h"
#include "card/cuda/process.h"
#include "cuda_api.h"

CUresult memory_reserve(uint64_t bytes)
{
    int r = process_reserve(bytes);
    if (r == -ENOSPC) {
        pools_reconcile();
        r = process_reserve(bytes);
    }
    if (r == -ENOSPC) {
        pools_trim();
        r = process_reserve(bytes);
    }
    if (r == -EIO)
        return CUDA_ERROR_SYSTEM_NOT_READY;
    return r < 0 ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_SUCCESS;
}

CUresult memory_settle(CUresult result, enum block_kind kind, uint64_t key, uint64_t reserved)
{
    if (result != CUDA_SUCCESS)
        process_release(reserved);
    else if (blocks_add(kind, key, reserved) < 0)
        return CUDA_SUCCESS; /* stays charged until the process ends: never too little */
    return result;
}

CUresult memory_freed(CUresult result, enum block_kind kind, uint64_t key, uint64_t bytes)
{
    if (result == CUDA_SUCCESS)
        process_release(bytes);
    else if (bytes)
        (void)blocks_add(kind, key, bytes); /* without memory it stays charged */
    return result;
}

/* ---- linear memory ---- */

CUresult api_cuMemAlloc_v2(CUdeviceptr *pointer, size_t bytes)
{
    CUresult result = memory_reserve(bytes);
    if (result != CUDA_SUCCESS)
        return result;
    result = driver_cuMemAlloc_v2(pointer, bytes);
    return memory_settle(result, BLOCK_MEMORY, result == CUDA_SUCCESS ? *pointer : 0, bytes);
}

CUresult api_cuMemAllocManaged(CUdeviceptr *pointer, size_t bytes, unsigned flags)
{
    CUresult result = memory_reserve(bytes);
    if (result != CUDA_SUCCESS)
        return result;
    result = driver_cuMemAllocManaged(pointer, bytes, flags);
    return memory_settle(result, BLOCK_MEMORY, result == CUDA_SUCCESS ? *pointer : 0, bytes);
}

/* The widest pitch of a driver: rows start at multiples of 512 bytes. What it turns out to be is
 * charged. */
#define PITCH_BYTES 512u

CUresult api_cuMemAllocPitch_v2(CUdeviceptr *pointer, size_t *pitch, size_t width, size_t height,
                                unsigned element_bytes)
{
    uint64_t padded, reserved;
    if (__builtin_add_overflow(width, PITCH_BYTES - 1, &padded) ||
        __builtin_mul_overflow(padded / PITCH_BYTES * PITCH_BYTES, height, &reserved))
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult result = memory_reserve(reserved);
    if (result != CUDA_SUCCESS)
        return result;
    result = driver_cuMemAllocPitch_v2(pointer, pitch, width, height, element_bytes);
    if (result != CUDA_SUCCESS)
        return memory_settle(result, BLOCK_MEMORY, 0, reserved);
    uint64_t held = (uint64_t)*pitch * height;
    if (held > reserved && memory_reserve(held - reserved) != CUDA_SUCCESS) {
        (void)driver_cuMemFree_v2(*pointer); /* just allocated */
        process_release(reserved);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    if (held < reserved)
        process_release(reserved - held);
    return memory_settle(result, BLOCK_MEMORY, *pointer, held);
}

CUresult api_cuMemFree_v2(CUdeviceptr pointer)
{
    uint64_t bytes = blocks_take(BLOCK_MEMORY, pointer);
    return memory_freed(driver_cuMemFree_v2(pointer), BLOCK_MEMORY, pointer, bytes);
}

/* ---- virtual memory ---- */

CUresult api_cuMemCreate(CUmemHandle *handle, size_t bytes, const struct cuda_memory_kind *kind,
                         unsigned long long flags)
{
    uint64_t charged = kind && kind->location_type == CUDA_LOCATION_DEVICE ? bytes : 0;
    CUresult result = memory_reserve(charged);
    if (result != CUDA_SUCCESS)
        return result;
    result = driver_cuMemCreate(handle, bytes, kind, flags);
    return memory_settle(result, BLOCK_HANDLE, result == CUDA_SUCCESS ? *handle : 0, charged);
}

CUresult api_cuMemRelease(CUmemHandle handle)
{
    uint64_t bytes = blocks_take(BLOCK_HANDLE, handle); /* 0 while a mapping holds it */
    return memory_freed(driver_cuMemRelease(handle), BLOCK_HANDLE, handle, bytes);
}

CUresult api_cuMemMap(CUdeviceptr pointer, size_t bytes, size_t offset, CUmemHandle handle,
                      unsigned long long flags)
{
    CUresult result = driver_cuMemMap(pointer, bytes, offset, handle, flags);
    if (result != CUDA_SUCCESS || blocks_map(handle, pointer, bytes) == 0)
        return result;
    (void)driver_cuMemUnmap(pointer, bytes); /* just mapped */
    return CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult api_cuMemUnmap(CUdeviceptr pointer, size_t bytes)
{
    CUresult result = driver_cuMemUnmap(pointer, bytes);
    if (result == CUDA_SUCCESS)
        process_release(blocks_unmap(pointer, bytes));
    return result;
}

CUresult api_cuMemRetainAllocationHandle(CUmemHandle *handle, void *address)
{
    CUresult result = driver_cuMemRetainAllocationHandle(handle, address);
    if (result == CUDA_SUCCESS && blocks_retain(*handle, (uintptr_t)address) < 0) {
        (void)driver_cuMemRelease(*handle); /* just retained */
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    return result;
}
