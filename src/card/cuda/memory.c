/* Linear, managed and virtual memory, and arrays: the card is asked first, the driver second. */
#include "card/cuda/memory.h"

#include <errno.h>

#include "card/cuda/pool.h"
#include "card/cuda/process.h"
#include "cuda_api.h"

CUresult memory_reserve(struct charge charge)
{
    int r = process_reserve(charge);
    if (r == -ENOSPC) {
        pools_reconcile(charge.device);
        r = process_reserve(charge);
    }
    if (r == -ENOSPC) {
        pools_trim(charge.device);
        r = process_reserve(charge);
    }
    if (r == -EIO)
        return CUDA_ERROR_SYSTEM_NOT_READY;
    return r < 0 ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_SUCCESS;
}

CUresult memory_settle(CUresult result, enum block_kind kind, uint64_t key, struct charge reserved)
{
    if (result != CUDA_SUCCESS)
        process_release(reserved);
    else if (blocks_add(kind, key, reserved) < 0)
        return CUDA_SUCCESS; /* stays charged until the process ends: never too little */
    return result;
}

CUresult memory_freed(CUresult result, enum block_kind kind, uint64_t key, struct charge charge)
{
    if (result == CUDA_SUCCESS)
        process_release(charge);
    else if (charge.bytes)
        (void)blocks_add(kind, key, charge); /* without memory it stays charged */
    return result;
}

int memory_adjust(struct charge *reserved, uint64_t needed_bytes)
{
    struct charge change = {reserved->device, 0};
    if (needed_bytes > reserved->bytes) {
        change.bytes = needed_bytes - reserved->bytes;
        if (memory_reserve(change) != CUDA_SUCCESS)
            return 0;
    } else {
        change.bytes = reserved->bytes - needed_bytes;
        process_release(change);
    }
    reserved->bytes = needed_bytes;
    return 1;
}

/* ---- linear memory ---- */

CUresult api_cuMemAlloc_v2(CUdeviceptr *pointer, size_t bytes)
{
    const struct charge charge = {process_device(), bytes};
    CUresult result = memory_reserve(charge);
    if (result != CUDA_SUCCESS)
        return result;
    result = driver_cuMemAlloc_v2(pointer, bytes);
    return memory_settle(result, BLOCK_MEMORY, result == CUDA_SUCCESS ? *pointer : 0, charge);
}

CUresult api_cuMemAllocManaged(CUdeviceptr *pointer, size_t bytes, unsigned flags)
{
    const struct charge charge = {process_device(), bytes};
    CUresult result = memory_reserve(charge);
    if (result != CUDA_SUCCESS)
        return result;
    result = driver_cuMemAllocManaged(pointer, bytes, flags);
    return memory_settle(result, BLOCK_MEMORY, result == CUDA_SUCCESS ? *pointer : 0, charge);
}

/* The widest pitch of a driver: rows start at multiples of 512 bytes. What it turns out to be is
 * charged. */
#define PITCH_BYTES 512u

CUresult api_cuMemAllocPitch_v2(CUdeviceptr *pointer, size_t *pitch, size_t width, size_t height,
                                unsigned element_bytes)
{
    struct charge charge = {.device = process_device()};
    uint64_t padded;
    if (__builtin_add_overflow(width, PITCH_BYTES - 1, &padded) ||
        __builtin_mul_overflow(padded / PITCH_BYTES * PITCH_BYTES, height, &charge.bytes))
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult result = memory_reserve(charge);
    if (result != CUDA_SUCCESS)
        return result;
    result = driver_cuMemAllocPitch_v2(pointer, pitch, width, height, element_bytes);
    if (result != CUDA_SUCCESS)
        return memory_settle(result, BLOCK_MEMORY, 0, charge);
    if (!memory_adjust(&charge, (uint64_t)*pitch * height)) {
        (void)driver_cuMemFree_v2(*pointer); /* just allocated */
        process_release(charge);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    return memory_settle(result, BLOCK_MEMORY, *pointer, charge);
}

CUresult api_cuMemFree_v2(CUdeviceptr pointer)
{
    struct charge charge = blocks_take(BLOCK_MEMORY, pointer);
    return memory_freed(driver_cuMemFree_v2(pointer), BLOCK_MEMORY, pointer, charge);
}

/* ---- virtual memory ---- */

/* Charged to the device that is asked for, whichever is current. */
CUresult api_cuMemCreate(CUmemHandle *handle, size_t bytes, const struct cuda_memory_kind *kind,
                         unsigned long long flags)
{
    int on_device = kind && kind->location_type == CUDA_LOCATION_DEVICE;
    const struct charge charge = {on_device ? kind->location_id : -1, on_device ? bytes : 0};
    CUresult result = memory_reserve(charge);
    if (result != CUDA_SUCCESS)
        return result;
    result = driver_cuMemCreate(handle, bytes, kind, flags);
    return memory_settle(result, BLOCK_HANDLE, result == CUDA_SUCCESS ? *handle : 0, charge);
}

CUresult api_cuMemRelease(CUmemHandle handle)
{
    struct charge charge = blocks_take(BLOCK_HANDLE, handle); /* none while a mapping holds it */
    return memory_freed(driver_cuMemRelease(handle), BLOCK_HANDLE, handle, charge);
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
        blocks_unmap(pointer, bytes, process_release);
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
