/* A remote card: memory, and what moves there. What the program has is known here, too, so that
 * pointers can be told apart without asking. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "card/cuda/remote.h"
#include "cuda_api.h"

#define PITCH_BYTES 512u /* rows of a pitched allocation start at multiples */

struct piece {
    CUdeviceptr address;
    uint64_t bytes;
    uint32_t context;
};

/* By address. */
static struct {
    pthread_mutex_t lock;
    struct piece *items;
    size_t count, room;
} pieces = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- what the program has ---- */

/* With the lock, as all here: the first piece that begins behind the address. */
static size_t find_behind(CUdeviceptr address)
{
    size_t low = 0, high = pieces.count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (pieces.items[middle].address <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int keep(const struct piece *piece)
{
    if (pieces.count == pieces.room) {
        size_t room = pieces.room ? pieces.room * 2 : 64;
        struct piece *more = realloc(pieces.items, room * sizeof(*more));
        if (!more)
            return -1;
        pieces.items = more;
        pieces.room = room;
    }
    size_t at = find_behind(piece->address);
    memmove(&pieces.items[at + 1], &pieces.items[at],
            (pieces.count - at) * sizeof(pieces.items[0]));
    pieces.items[at] = *piece;
    pieces.count++;
    return 0;
}

/* The piece that holds the address: 1 and a copy, or 0. */
static int look_up(CUdeviceptr address, struct piece *ret_piece)
{
    (void)pthread_mutex_lock(&pieces.lock);
    size_t behind = find_behind(address);
    int found =
        behind > 0 && address - pieces.items[behind - 1].address < pieces.items[behind - 1].bytes;
    if (found)
        *ret_piece = pieces.items[behind - 1];
    (void)pthread_mutex_unlock(&pieces.lock);
    return found;
}

int remote_memory_has(CUdeviceptr address)
{
    struct piece piece;
    return look_up(address, &piece);
}

static int forget(CUdeviceptr address)
{
    (void)pthread_mutex_lock(&pieces.lock);
    size_t behind = find_behind(address);
    int found = behind > 0 && pieces.items[behind - 1].address == address;
    if (found) {
        memmove(&pieces.items[behind - 1], &pieces.items[behind],
                (pieces.count - behind) * sizeof(pieces.items[0]));
        pieces.count--;
    }
    (void)pthread_mutex_unlock(&pieces.lock);
    return found;
}

void remote_memory_forget(uint32_t context_id)
{
    size_t kept = 0;
    (void)pthread_mutex_lock(&pieces.lock);
    for (size_t i = 0; i < pieces.count; i++)
        if (pieces.items[i].context != context_id)
            pieces.items[kept++] = pieces.items[i];
    pieces.count = kept;
    (void)pthread_mutex_unlock(&pieces.lock);
}

void remote_memory_clear(void)
{
    (void)pthread_mutex_init(&pieces.lock, NULL);
    pieces.count = 0;
}

/* ---- taking and giving ---- */

static CUresult give(CUdeviceptr pointer)
{
    const struct remote_call call = {.call = WIRE_CUDA_MEMORY_GIVE, .first = pointer};
    return remote_tell(&call);
}

CUresult remote_cuMemAlloc_v2(CUdeviceptr *pointer, size_t bytes)
{
    const struct remote_call call = {.call = WIRE_CUDA_MEMORY_TAKE, .first = bytes};
    uint64_t address = 0;
    if (!pointer || !bytes)
        return CUDA_ERROR_INVALID_VALUE;
    if (!remote_context())
        return CUDA_ERROR_INVALID_CONTEXT;
    CUresult result = remote_ask(&call, &address);
    if (result != CUDA_SUCCESS)
        return result;
    const struct piece piece = {address, bytes, remote_context_id()};
    (void)pthread_mutex_lock(&pieces.lock);
    int kept = keep(&piece);
    (void)pthread_mutex_unlock(&pieces.lock);
    if (kept < 0) {
        (void)give(address); /* nothing more can be done for it */
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    *pointer = address;
    return CUDA_SUCCESS;
}

CUresult remote_cuMemAllocPitch_v2(CUdeviceptr *pointer, size_t *pitch, size_t width, size_t height,
                                   unsigned element_bytes)
{
    size_t row = (width + PITCH_BYTES - 1) / PITCH_BYTES * PITCH_BYTES, bytes;
    if (!pitch || row < width || (element_bytes != 4 && element_bytes != 8 && element_bytes != 16))
        return CUDA_ERROR_INVALID_VALUE;
    if (__builtin_mul_overflow(row, height, &bytes))
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult result = remote_cuMemAlloc_v2(pointer, bytes);
    if (result == CUDA_SUCCESS)
        *pitch = row;
    return result;
}

CUresult remote_cuMemFree_v2(CUdeviceptr pointer)
{
    if (!pointer)
        return CUDA_SUCCESS;
    return forget(pointer) ? give(pointer) : CUDA_ERROR_INVALID_VALUE;
}

CUresult remote_cuMemGetAddressRange_v2(CUdeviceptr *base, size_t *bytes, CUdeviceptr pointer)
{
    struct piece piece;
    if (!look_up(pointer, &piece))
        return CUDA_ERROR_NOT_FOUND;
    if (base)
        *base = piece.address;
    if (bytes)
        *bytes = piece.bytes;
    return CUDA_SUCCESS;
}

CUresult remote_cuMemGetInfo_v2(size_t *free_bytes, size_t *total_bytes)
{
    const struct remote_call call = {.call = WIRE_CUDA_MEMORY_LEFT};
    uint64_t left = 0;
    if (!remote_context())
        return CUDA_ERROR_INVALID_CONTEXT;
    CUresult result = remote_ask(&call, &left);
    if (result != CUDA_SUCCESS)
        return result;
    if (free_bytes)
        *free_bytes = left;
    if (total_bytes)
        *total_bytes = remote_quota_bytes();
    return CUDA_SUCCESS;
}

/* Host memory stays with the program. */
CUresult remote_cuMemHostAlloc(void **pointer, size_t bytes, unsigned flags)
{
    const unsigned mapped = 2; /* CU_MEMHOSTALLOC_DEVICEMAP: no device could reach it */
    if (!pointer || !bytes)
        return CUDA_ERROR_INVALID_VALUE;
    if (flags & mapped)
        return CUDA_ERROR_NOT_SUPPORTED;
    void *memory;
    if (posix_memalign(&memory, 4096, bytes) != 0)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *pointer = memory;
    return CUDA_SUCCESS;
}

CUresult remote_cuMemAllocHost_v2(void **pointer, size_t bytes)
{
    return remote_cuMemHostAlloc(pointer, bytes, 0);
}

CUresult remote_cuMemFreeHost(void *pointer)
{
    free(pointer);
    return CUDA_SUCCESS;
}

/* ---- copies ---- */

/* For every copy and fill: a context, and the stream's number. */
static CUresult begin(CUstream stream, uint32_t *ret_stream)
{
    return remote_context() ? remote_stream_id(stream, ret_stream) : CUDA_ERROR_INVALID_CONTEXT;
}

static CUresult upload_piece(CUdeviceptr to, const void *from, uint64_t bytes, uint32_t stream)
{
    uint64_t offset;
    CUresult result = remote_room(bytes, &offset);
    if (result != CUDA_SUCCESS)
        return result;
    memcpy(remote_room_at(offset), from, bytes);
    struct wire_cuda_upload *record = remote_begin(sizeof(*record));
    if (!record)
        return CUDA_ERROR_SYSTEM_NOT_READY;
    record->context_id = remote_context_id();
    record->stream_id = stream;
    record->address = to;
    record->slab_offset = offset;
    record->length = bytes;
    remote_room_lend(offset, bytes);
    return remote_post(record, WIRE_CUDA_UPLOAD, sizeof(*record));
}

static CUresult download_piece(void *to, CUdeviceptr from, uint64_t bytes, uint32_t stream)
{
    uint64_t offset;
    CUresult result = remote_room(bytes, &offset);
    if (result != CUDA_SUCCESS)
        return result;
    struct wire_cuda_download *record = remote_begin(sizeof(*record));
    if (!record)
        return CUDA_ERROR_SYSTEM_NOT_READY;
    record->context_id = remote_context_id();
    record->stream_id = stream;
    record->address = from;
    record->reply_offset = offset;
    record->reply_room = bytes;
    result = remote_wait(record, WIRE_CUDA_DOWNLOAD, sizeof(*record), NULL, NULL);
    if (result == CUDA_SUCCESS)
        memcpy(to, remote_room_at(offset), bytes);
    remote_room_give(offset, bytes);
    return result;
}

/* What is uploaded lies in the session when the call returns, as it would in the driver's staging
 * memory; the device has it later. */
CUresult remote_cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes,
                                     CUstream stream)
{
    uint32_t id;
    CUresult result = begin(stream, &id);
    while (result == CUDA_SUCCESS && bytes > 0) {
        uint64_t piece = bytes < REMOTE_PIECE_BYTES ? bytes : REMOTE_PIECE_BYTES;
        result = upload_piece(to, from, piece, id);
        to += piece;
        from = (const char *)from + piece;
        bytes -= piece;
    }
    return result;
}

CUresult remote_cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes, CUstream stream)
{
    uint32_t id;
    CUresult result = begin(stream, &id);
    while (result == CUDA_SUCCESS && bytes > 0) {
        uint64_t piece = bytes < REMOTE_PIECE_BYTES ? bytes : REMOTE_PIECE_BYTES;
        result = download_piece(to, from, piece, id);
        to = (char *)to + piece;
        from += piece;
        bytes -= piece;
    }
    return result;
}

CUresult remote_cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes,
                                     CUstream stream)
{
    uint32_t id;
    CUresult result = begin(stream, &id);
    if (result != CUDA_SUCCESS || bytes == 0)
        return result;
    struct wire_cuda_copy *record = remote_begin(sizeof(*record));
    if (!record)
        return CUDA_ERROR_SYSTEM_NOT_READY;
    record->context_id = remote_context_id();
    record->stream_id = id;
    record->to = to;
    record->from = from;
    record->bytes = bytes;
    return remote_post(record, WIRE_CUDA_COPY, sizeof(*record));
}

CUresult remote_cuMemcpyHtoD_v2(CUdeviceptr to, const void *from, size_t bytes)
{
    return remote_cuMemcpyHtoDAsync_v2(to, from, bytes, NULL);
}

CUresult remote_cuMemcpyDtoH_v2(void *to, CUdeviceptr from, size_t bytes)
{
    return remote_cuMemcpyDtoHAsync_v2(to, from, bytes, NULL);
}

CUresult remote_cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes)
{
    return remote_cuMemcpyDtoDAsync_v2(to, from, bytes, NULL);
}

/* Which side is the device's shows in the addresses. */
CUresult remote_cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream)
{
    struct piece piece;
    int to_device = look_up(to, &piece), from_device = look_up(from, &piece);
    uint32_t id;
    if (to_device && from_device)
        return remote_cuMemcpyDtoDAsync_v2(to, from, bytes, stream);
    if (to_device)
        return remote_cuMemcpyHtoDAsync_v2(to, (const void *)(uintptr_t)from, bytes, stream);
    if (from_device)
        return remote_cuMemcpyDtoHAsync_v2((void *)(uintptr_t)to, from, bytes, stream);
    CUresult result = begin(stream, &id);
    if (result == CUDA_SUCCESS && id)
        result = remote_cuStreamSynchronize(stream);
    else if (result == CUDA_SUCCESS)
        result = remote_cuCtxSynchronize();
    if (result == CUDA_SUCCESS)
        memcpy((void *)(uintptr_t)to, (const void *)(uintptr_t)from, bytes);
    return result;
}

CUresult remote_cuMemcpy(CUdeviceptr to, CUdeviceptr from, size_t bytes)
{
    return remote_cuMemcpyAsync(to, from, bytes, NULL);
}

/* ---- fills ---- */

struct fill {
    CUdeviceptr to;
    uint32_t item_bytes, item;
    uint64_t pitch, columns, rows;
};

static CUresult fill(const struct fill *what, CUstream stream)
{
    uint32_t id;
    CUresult result = begin(stream, &id);
    if (result != CUDA_SUCCESS)
        return result;
    struct wire_cuda_fill *record = remote_begin(sizeof(*record));
    if (!record)
        return CUDA_ERROR_SYSTEM_NOT_READY;
    record->context_id = remote_context_id();
    record->stream_id = id;
    record->item_bytes = what->item_bytes;
    record->item = what->item;
    record->address = what->to;
    record->pitch = what->pitch;
    record->columns = what->columns;
    record->rows = what->rows;
    return remote_post(record, WIRE_CUDA_FILL, sizeof(*record));
}

/* The twelve ways to say so. */
#define FILLS(bits, type) \
    CUresult remote_cuMemsetD##bits##Async(CUdeviceptr to, type item, size_t count, \
                                           CUstream stream) \
    { \
        const struct fill what = {to, (bits) / 8, item, 0, count, 1}; \
        return fill(&what, stream); \
    } \
    CUresult remote_cuMemsetD##bits##_v2(CUdeviceptr to, type item, size_t count) \
    { \
        return remote_cuMemsetD##bits##Async(to, item, count, NULL); \
    } \
    CUresult remote_cuMemsetD2D##bits##Async(CUdeviceptr to, size_t pitch, type item, \
                                             size_t columns, size_t rows, CUstream stream) \
    { \
        const struct fill what = {to, (bits) / 8, item, pitch, columns, rows}; \
        return fill(&what, stream); \
    } \
    CUresult remote_cuMemsetD2D##bits##_v2(CUdeviceptr to, size_t pitch, type item, \
                                           size_t columns, size_t rows) \
    { \
        return remote_cuMemsetD2D##bits##Async(to, pitch, item, columns, rows, NULL); \
    }

FILLS(8, unsigned char)
FILLS(16, unsigned short)
FILLS(32, unsigned)
