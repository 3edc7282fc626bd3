/* The fake driver: host memory, copies and fills. They take no time, and are done when the call
 * returns. */
#include <stdlib.h>
#include <string.h>

#include "fake-cuda/driver.h"

static void *at(CUdeviceptr address)
{
    return (void *)(uintptr_t)address;
}

API CUresult cuMemHostAlloc(void **pointer, size_t bytes, unsigned flags)
{
    *pointer = malloc(bytes);
    return *pointer ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

API CUresult cuMemFreeHost(void *pointer)
{
    free(pointer);
    return CUDA_SUCCESS;
}

API CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes, CUstream stream)
{
    memcpy(at(to), from, bytes);
    return CUDA_SUCCESS;
}
TWIN(cuMemcpyHtoDAsync_v2, _ptsz);

API CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void *from, size_t bytes)
{
    return cuMemcpyHtoDAsync_v2(to, from, bytes, NULL);
}
TWIN(cuMemcpyHtoD_v2, _ptds);

API CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes, CUstream stream)
{
    memcpy(to, at(from), bytes);
    return CUDA_SUCCESS;
}
TWIN(cuMemcpyDtoHAsync_v2, _ptsz);

API CUresult cuMemcpyDtoH_v2(void *to, CUdeviceptr from, size_t bytes)
{
    return cuMemcpyDtoHAsync_v2(to, from, bytes, NULL);
}
TWIN(cuMemcpyDtoH_v2, _ptds);

API CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream)
{
    memmove(at(to), at(from), bytes);
    return CUDA_SUCCESS;
}
TWIN(cuMemcpyDtoDAsync_v2, _ptsz);

API CUresult cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes)
{
    return cuMemcpyDtoDAsync_v2(to, from, bytes, NULL);
}
TWIN(cuMemcpyDtoD_v2, _ptds);

API CUresult cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream)
{
    return cuMemcpyDtoDAsync_v2(to, from, bytes, stream); /* all is host memory */
}
TWIN(cuMemcpyAsync, _ptsz);

API CUresult cuMemcpy(CUdeviceptr to, CUdeviceptr from, size_t bytes)
{
    return cuMemcpyDtoDAsync_v2(to, from, bytes, NULL);
}
TWIN(cuMemcpy, _ptds);

static CUresult fill(CUdeviceptr to, size_t pitch, const void *item, size_t item_bytes,
                     size_t columns, size_t rows)
{
    for (size_t row = 0; row < rows; row++)
        for (size_t column = 0; column < columns; column++)
            memcpy(at(to + row * pitch + column * item_bytes), item, item_bytes);
    return CUDA_SUCCESS;
}

#define FILLS(bits, type) \
    API CUresult cuMemsetD2D##bits##Async(CUdeviceptr to, size_t pitch, type item, size_t columns, \
                                          size_t rows, CUstream stream) \
    { \
        return fill(to, pitch, &item, sizeof(item), columns, rows); \
    } \
    API CUresult cuMemsetD2D##bits##_v2(CUdeviceptr to, size_t pitch, type item, size_t columns, \
                                        size_t rows) \
    { \
        return fill(to, pitch, &item, sizeof(item), columns, rows); \
    } \
    API CUresult cuMemsetD##bits##Async(CUdeviceptr to, type item, size_t count, CUstream stream) \
    { \
        return fill(to, 0, &item, sizeof(item), count, 1); \
    } \
    API CUresult cuMemsetD##bits##_v2(CUdeviceptr to, type item, size_t count) \
    { \
        return fill(to, 0, &item, sizeof(item), count, 1); \
    }

FILLS(8, unsigned char)
FILLS(16, unsigned short)
FILLS(32, unsigned)
