/* Device memory of a CUDA session. Addresses are reserved once for the session and physical memory
 * is mapped there, so that a suspended card's memory comes back to where pointers say it is.
 * Allocations that are much smaller than what the driver hands out share it. */
#include <stdlib.h>

#include "base/error.h"
#include "card/cuda/process.h"
#include "card/executor/cuda.h"
#include "card/ledger/ledger.h"
#include "cuda_api.h"

#define UNITS 4096u /* of a shared chunk: at least the 256 bytes that CUDA aligns to */
#define MINIMUM_GRANULARITY 0
/* Addresses are cheap; this is many times the largest device there is. */
#define RANGE_BYTES (1ull << 42)

struct cuda_chunk {
    struct cuda_chunk *next;
    uint32_t object; /* in the session's table */
    uint32_t context;
    CUdeviceptr address;
    uint64_t bytes;      /* of physical memory */
    uint16_t *units;     /* NULL: one allocation; else where one begins, how many units it has */
    unsigned units_used; /* of a shared one */
};

static struct cuda_memory_kind kind_of(const struct cuda *cuda)
{
    return (struct cuda_memory_kind){.type = CUDA_MEMORY_PINNED,
                                     .location_type = CUDA_LOCATION_DEVICE,
                                     .location_id = cuda->device};
}

CUresult cuda_memory_open(struct cuda *cuda)
{
    const struct cuda_memory_kind kind = kind_of(cuda);
    size_t granule = 0;
    CUresult status = driver_cuMemGetAllocationGranularity(&granule, &kind, MINIMUM_GRANULARITY);
    if (status != CUDA_SUCCESS)
        return status;
    cuda->granule_bytes = granule;
    cuda->range_bytes = RANGE_BYTES;
    return driver_cuMemAddressReserve(&cuda->range, cuda->range_bytes, 0, 0, 0);
}

/* ---- physical memory, as an object of the session ---- */

static CUresult map(struct cuda *cuda, struct object *object, CUmemHandle *ret_handle)
{
    const struct cuda_memory_kind kind = kind_of(cuda);
    const struct cuda_access access = {CUDA_LOCATION_DEVICE, cuda->device, CUDA_ACCESS_READ_WRITE};
    CUmemHandle handle;
    CUresult status = driver_cuMemCreate(&handle, object->size_bytes, &kind, 0);
    if (status != CUDA_SUCCESS)
        return status;
    status = driver_cuMemMap(object->address, object->size_bytes, 0, handle, 0);
    if (status == CUDA_SUCCESS) {
        status = driver_cuMemSetAccess(object->address, object->size_bytes, &access, 1);
        if (status != CUDA_SUCCESS)
            (void)driver_cuMemUnmap(object->address, object->size_bytes); /* just mapped */
    }
    if (status != CUDA_SUCCESS)
        (void)driver_cuMemRelease(handle); /* ours */
    *ret_handle = handle;
    return status;
}

/* Reserved in the ledger first: at the quota the driver is not asked. */
cl_int cuda_memory_make(struct session *session, struct object *object)
{
    struct ledger_card *ledger = session->ledger;
    unsigned slot = session->client.slot;
    uint64_t bytes = object->size_bytes;
    CUmemHandle handle;
    if (object->away)
        ledger_bring_back(ledger, slot, bytes);
    else if (process_reserve((struct charge){session->cuda->device, bytes}) < 0)
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult status = map(session->cuda, object, &handle);
    if (status == CUDA_SUCCESS)
        object->driver = (void *)(uintptr_t)handle;
    else
        (object->away ? ledger_put_away : ledger_release)(ledger, slot, bytes);
    return (cl_int)status;
}

void cuda_memory_unmake(struct session *session, struct object *object)
{
    (void)driver_cuMemUnmap(object->address, object->size_bytes); /* ours, as the handle is */
    (void)driver_cuMemRelease((CUmemHandle)(uintptr_t)object->driver);
}

static cl_int enter_context_of(struct session *session, const struct object *object)
{
    struct error none;
    CUresult status;
    if (cuda_enter(session->cuda, object->parent, &status, &none) < 0)
        return CUDA_ERROR_INVALID_CONTEXT;
    return (cl_int)status;
}

cl_int cuda_memory_read(struct session *session, const struct object *object, void *contents)
{
    cl_int status = enter_context_of(session, object);
    return status ? status
                  : (cl_int)driver_cuMemcpyDtoH_v2(contents, object->address, object->size_bytes);
}

cl_int cuda_memory_write(struct session *session, const struct object *object, const void *contents)
{
    cl_int status = enter_context_of(session, object);
    return status ? status
                  : (cl_int)driver_cuMemcpyHtoD_v2(object->address, contents, object->size_bytes);
}

/* ---- chunks ---- */

/* Where the first gap of so many bytes is: the chunk before it, NULL: at the beginning. */
static CUresult find_gap(struct cuda *cuda, uint64_t bytes, struct cuda_chunk ***ret_at,
                         CUdeviceptr *ret_address)
{
    struct cuda_chunk **at = &cuda->chunks;
    CUdeviceptr address = cuda->range;
    while (*at && (*at)->address - address < bytes) {
        address = (*at)->address + (*at)->bytes;
        at = &(*at)->next;
    }
    *ret_at = at;
    *ret_address = address;
    return address - cuda->range <= cuda->range_bytes - bytes ? CUDA_SUCCESS
                                                              : CUDA_ERROR_OUT_OF_MEMORY;
}

static uint32_t free_object(const struct session *session)
{
    for (uint32_t id = 1; id < WIRE_OBJECTS; id++)
        if (session->objects[id].kind == OBJECT_NONE)
            return id;
    return 0;
}

static void chunk_free(struct cuda *cuda, struct cuda_chunk **at)
{
    struct cuda_chunk *chunk = *at;
    object_release(cuda->session, &cuda->session->objects[chunk->object]);
    *at = chunk->next;
    free(chunk->units);
    free(chunk);
}

/* A chunk of `bytes`, shared or not. */
static CUresult chunk_make(struct cuda *cuda, uint32_t context_id, uint64_t bytes, int shared,
                           struct cuda_chunk **ret_chunk)
{
    struct session *session = cuda->session;
    struct cuda_chunk **at, *chunk;
    CUdeviceptr address;
    struct error none;
    struct object *object;
    uint32_t id = free_object(session);
    CUresult status = find_gap(cuda, bytes, &at, &address);
    if (status != CUDA_SUCCESS || object_place(session, id, &object, &none) < 0)
        return CUDA_ERROR_OUT_OF_MEMORY;
    chunk = calloc(1, sizeof(*chunk));
    if (chunk && shared)
        chunk->units = calloc(UNITS, sizeof(*chunk->units));
    if (!chunk || (shared && !chunk->units)) {
        free(chunk);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    chunk->object = id;
    chunk->context = context_id;
    chunk->address = address;
    chunk->bytes = bytes;
    chunk->next = *at;
    *at = chunk;
    *object = (struct object){.kind = OBJECT_CUDA_MEMORY,
                              .parent = context_id,
                              .is_buffer = 1,
                              .address = address,
                              .size_bytes = bytes};
    status = (CUresult)object_make(session, object);
    if (status != CUDA_SUCCESS)
        chunk_free(cuda, at);
    else
        *ret_chunk = chunk;
    return status;
}

static uint64_t unit_bytes(const struct cuda *cuda)
{
    return cuda->granule_bytes / UNITS;
}

/* A run of free units in a shared chunk: 1, or 0 when there is none. */
static int take_units(struct cuda_chunk *chunk, unsigned count, unsigned *ret_first)
{
    unsigned run = 0;
    if (!chunk->units || UNITS - chunk->units_used < count)
        return 0;
    for (unsigned i = 0; i < UNITS && run < count;) {
        if (chunk->units[i]) {
            i += chunk->units[i];
            run = 0;
            continue;
        }
        run++;
        i++;
        *ret_first = i - run;
    }
    if (run < count)
        return 0;
    chunk->units[*ret_first] = (uint16_t)count;
    chunk->units_used += count;
    return 1;
}

static CUresult take_small(struct cuda *cuda, uint32_t context_id, uint64_t bytes,
                           uint64_t *ret_address)
{
    unsigned count = (unsigned)((bytes + unit_bytes(cuda) - 1) / unit_bytes(cuda)), first = 0;
    struct cuda_chunk *chunk = cuda->chunks;
    while (chunk && (chunk->context != context_id || !take_units(chunk, count, &first)))
        chunk = chunk->next;
    if (!chunk) {
        CUresult status = chunk_make(cuda, context_id, cuda->granule_bytes, 1, &chunk);
        if (status != CUDA_SUCCESS)
            return status;
        (void)take_units(chunk, count, &first); /* it is empty */
    }
    *ret_address = chunk->address + first * unit_bytes(cuda);
    return CUDA_SUCCESS;
}

CUresult cuda_memory_take(struct cuda *cuda, uint32_t context_id, uint64_t bytes,
                          uint64_t *ret_address)
{
    struct cuda_chunk *chunk = NULL;
    uint64_t whole;
    if (!context_id)
        return CUDA_ERROR_INVALID_CONTEXT;
    if (!bytes)
        return CUDA_ERROR_INVALID_VALUE;
    if (bytes <= cuda->granule_bytes / 2)
        return take_small(cuda, context_id, bytes, ret_address);
    if (__builtin_add_overflow(bytes, cuda->granule_bytes - 1, &whole) || whole > cuda->range_bytes)
        return CUDA_ERROR_OUT_OF_MEMORY;
    whole -= whole % cuda->granule_bytes;
    CUresult status = chunk_make(cuda, context_id, whole, 0, &chunk);
    if (status == CUDA_SUCCESS)
        *ret_address = chunk->address;
    return status;
}

/* Where no kernel works on it any more, as the driver's own free does. */
CUresult cuda_memory_give(struct cuda *cuda, uint64_t address)
{
    struct cuda_chunk **at = &cuda->chunks;
    while (*at && address - (*at)->address >= (*at)->bytes)
        at = &(*at)->next;
    struct cuda_chunk *chunk = *at;
    if (!chunk)
        return CUDA_ERROR_INVALID_VALUE;
    uint64_t offset = address - chunk->address;
    CUresult status = driver_cuCtxSynchronize();
    if (chunk->units) {
        uint64_t unit = offset / unit_bytes(cuda);
        if (offset % unit_bytes(cuda) || !chunk->units[unit])
            return CUDA_ERROR_INVALID_VALUE;
        chunk->units_used -= chunk->units[unit];
        chunk->units[unit] = 0;
    } else if (offset) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    if (!chunk->units || chunk->units_used == 0)
        chunk_free(cuda, at);
    return status;
}

void cuda_memory_leave(struct cuda *cuda, uint32_t context_id)
{
    for (struct cuda_chunk **at = &cuda->chunks; *at;) {
        if ((*at)->context == context_id)
            chunk_free(cuda, at);
        else
            at = &(*at)->next;
    }
}
