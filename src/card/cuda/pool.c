/* Stream-ordered and graph memory: see pool.h. The lock is held over calls into the driver, as a
 * charge must be made of what one call alone has changed; none of these calls waits for the device,
 * but for the one that finds the card full and lets the stream end to shrink the pool. */
#include "card/cuda/pool.h"

#include <pthread.h>

#include "card/cuda/memory.h"
#include "card/cuda/process.h"
#include "cuda_api.h"

#define POOLS_MAX 64

/* A device's graph memory has no handle. */
struct pool {
    CUmemPool handle;
    CUdevice device; /* < 0: it is of the host */
    uint64_t charged_bytes;
};

static struct {
    pthread_mutex_t lock;
    struct pool items[POOLS_MAX];
    struct pool graphs[CARD_DEVICES_MAX];
    uint32_t graph_devices; /* a bit for each that may have graph memory */
} pools = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Of a pool that was not made here: one of a device, or another process's, for which the current
 * device stands. */
static CUdevice device_of(CUmemPool handle)
{
    CUmemPool its_own;
    int count = 0;
    (void)driver_cuDeviceGetCount(&count); /* else there are none to compare with */
    for (CUdevice device = 0; device < count; device++)
        if (driver_cuDeviceGetDefaultMemPool(&its_own, device) == CUDA_SUCCESS && its_own == handle)
            return device;
    return process_device();
}

static struct pool *find(CUmemPool handle)
{
    struct pool *at = pools.items;
    while (at < pools.items + POOLS_MAX && at->handle != handle)
        at++;
    return at < pools.items + POOLS_MAX ? at : NULL;
}

static struct pool *pool_note(CUmemPool handle, CUdevice device)
{
    struct pool *vacant = find(NULL);
    if (vacant)
        *vacant = (struct pool){.handle = handle, .device = device};
    return vacant;
}

static struct pool *pool_find(CUmemPool handle)
{
    struct pool *known = find(handle);
    return known ? known : pool_note(handle, device_of(handle));
}

static int has_graphs(CUdevice device)
{
    return device >= 0 && device < CARD_DEVICES_MAX && (pools.graph_devices >> device & 1);
}

static uint64_t graph_memory(CUdevice device, int attribute)
{
    uint64_t bytes = 0;
    return driver_cuDeviceGetGraphMemAttribute(device, attribute, &bytes) == CUDA_SUCCESS ? bytes
                                                                                          : 0;
}

static uint64_t reserved_bytes(const struct pool *pool)
{
    uint64_t bytes = 0;
    if (!pool->handle)
        return graph_memory(pool->device, CUDA_GRAPH_MEMORY_RESERVED);
    if (driver_cuMemPoolGetAttribute(pool->handle, CUDA_POOL_RESERVED_NOW, &bytes) != CUDA_SUCCESS)
        return 0;
    return bytes;
}

/* The most that it may grow by for `bytes` more. What graphs reserved and do not use serves
 * others. */
static uint64_t growth(const struct pool *pool, uint64_t bytes)
{
    if (pool->handle)
        return bytes;
    uint64_t reserved = reserved_bytes(pool);
    uint64_t used = graph_memory(pool->device, CUDA_GRAPH_MEMORY_USED);
    uint64_t idle = reserved > used ? reserved - used : 0;
    return bytes > idle ? bytes - idle : 0;
}

/* A pool that has shrunk is charged less. */
static void lower(struct pool *pool)
{
    uint64_t held = reserved_bytes(pool);
    if (held >= pool->charged_bytes)
        return;
    process_release((struct charge){pool->device, pool->charged_bytes - held});
    pool->charged_bytes = held;
}

static void lower_all(CUdevice device)
{
    for (struct pool *pool = pools.items; pool < pools.items + POOLS_MAX; pool++)
        if (pool->handle && pool->device == device && pool->charged_bytes)
            lower(pool);
    if (has_graphs(device))
        lower(&pools.graphs[device]);
}

/* A pool that has gone, or a device without graph memory, is no matter. */
static void trim_all(CUdevice device)
{
    for (struct pool *pool = pools.items; pool < pools.items + POOLS_MAX; pool++)
        if (pool->handle && pool->device == device)
            (void)driver_cuMemPoolTrimTo(pool->handle, 0);
    if (has_graphs(device))
        (void)driver_cuDeviceGraphMemTrim(device);
    lower_all(device);
}

void pools_reconcile(CUdevice device)
{
    (void)pthread_mutex_lock(&pools.lock);
    lower_all(device);
    (void)pthread_mutex_unlock(&pools.lock);
}

void pools_trim(CUdevice device)
{
    (void)pthread_mutex_lock(&pools.lock);
    trim_all(device);
    (void)pthread_mutex_unlock(&pools.lock);
}

void pools_clear(void)
{
    (void)pthread_mutex_init(&pools.lock, NULL);
    for (unsigned i = 0; i < POOLS_MAX; i++)
        pools.items[i] = (struct pool){0};
    for (unsigned i = 0; i < CARD_DEVICES_MAX; i++)
        pools.graphs[i] = (struct pool){0};
    pools.graph_devices = 0;
}

void pools_note_graphs(CUdevice device)
{
    (void)pthread_mutex_lock(&pools.lock);
    pools.graphs[device].device = device;
    __atomic_or_fetch(&pools.graph_devices, 1u << device, __ATOMIC_RELAXED);
    (void)pthread_mutex_unlock(&pools.lock);
}

int pools_have_graphs(void)
{
    return __atomic_load_n(&pools.graph_devices, __ATOMIC_RELAXED) != 0;
}

/* The three calls of one flavour of the null stream. */
struct calls {
    CUresult (*allocate)(CUdeviceptr *, size_t, CUmemPool, CUstream);
    CUresult (*free)(CUdeviceptr, CUstream);
    CUresult (*synchronize)(CUstream);
    CUresult (*is_capturing)(CUstream, int *);
};

static const struct calls legacy = {driver_cuMemAllocFromPoolAsync, driver_cuMemFreeAsync,
                                    driver_cuStreamSynchronize, driver_cuStreamIsCapturing};
static const struct calls per_thread = {driver_cuMemAllocFromPoolAsync_ptsz,
                                        driver_cuMemFreeAsync_ptsz, driver_cuStreamSynchronize_ptsz,
                                        driver_cuStreamIsCapturing_ptsz};

static int reserve_growth(const struct pool *pool, uint64_t bytes, uint64_t *ret_room)
{
    *ret_room = growth(pool, bytes);
    if (process_reserve((struct charge){pool->device, *ret_room}) == 0)
        return 1;
    *ret_room = 0;
    return 0;
}

/* Room for the most that the pool may grow by, none when there is too little; with the lock
 * held. */
static CUresult make_room(const struct calls *calls, struct pool *pool, CUstream stream,
                          uint64_t bytes, uint64_t *ret_room)
{
    lower(pool);
    if (reserve_growth(pool, bytes, ret_room))
        return CUDA_SUCCESS;
    lower_all(pool->device);
    (void)calls->synchronize(stream); /* what was freed on it is idle then */
    if (!pool->handle && reserve_growth(pool, bytes, ret_room))
        return CUDA_SUCCESS;
    trim_all(pool->device);
    lower(pool);
    return reserve_growth(pool, bytes, ret_room) ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

/* Charge what the pool has grown by, of `room` that is reserved. What there is no room for is not
 * charged. */
static CUresult settle(struct pool *pool, uint64_t room)
{
    uint64_t held = reserved_bytes(pool);
    uint64_t grown = held > pool->charged_bytes ? held - pool->charged_bytes : 0;
    if (grown > room && process_reserve((struct charge){pool->device, grown - room}) < 0) {
        pool->charged_bytes += room;
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    if (grown < room)
        process_release((struct charge){pool->device, room - grown});
    pool->charged_bytes += grown;
    return CUDA_SUCCESS;
}

/* The pool took more than there was room for. */
static CUresult undo(const struct calls *calls, struct pool *pool, CUdeviceptr pointer,
                     CUstream stream)
{
    (void)calls->free(pointer, stream); /* just allocated */
    (void)calls->synchronize(stream);
    (void)driver_cuMemPoolTrimTo(pool->handle, 0);
    lower(pool);
    return CUDA_ERROR_OUT_OF_MEMORY;
}

/* With the lock held. */
static CUresult allocate_counted(const struct calls *calls, struct pool *pool, CUdeviceptr *pointer,
                                 size_t bytes, CUstream stream)
{
    struct card_view unused;
    enum card_state state = process_card(pool->device, &unused);
    uint64_t most, room;
    if (state == CARD_NONE)
        return calls->allocate(pointer, bytes, pool->handle, stream);
    if (state != CARD_READY)
        return CUDA_ERROR_SYSTEM_NOT_READY;
    if (__builtin_add_overflow(bytes, POOL_STEP_BYTES - 1, &most))
        return CUDA_ERROR_OUT_OF_MEMORY;
    most -= most % POOL_STEP_BYTES;
    CUresult result = make_room(calls, pool, stream, most, &room);
    if (result != CUDA_SUCCESS)
        return result;
    result = calls->allocate(pointer, bytes, pool->handle, stream);
    if (result != CUDA_SUCCESS)
        process_release((struct charge){pool->device, room});
    else if (settle(pool, room) != CUDA_SUCCESS)
        result = undo(calls, pool, *pointer, stream);
    return result;
}

static CUresult allocate(const struct calls *calls, CUdeviceptr *pointer, size_t bytes,
                         CUmemPool handle, CUstream stream)
{
    int capturing = 0;
    if (!process_has_cards() ||
        (calls->is_capturing(stream, &capturing) == CUDA_SUCCESS && capturing))
        return calls->allocate(pointer, bytes, handle, stream); /* a node: its graph is charged */
    (void)pthread_mutex_lock(&pools.lock);
    struct pool *pool = pool_find(handle);
    CUresult result =
        pool ? allocate_counted(calls, pool, pointer, bytes, stream) : CUDA_ERROR_OUT_OF_MEMORY;
    (void)pthread_mutex_unlock(&pools.lock);
    return result;
}

/* A launch that took more than was expected cannot be undone: it is charged as far as the quota
 * goes, and seen by the auditor. */
CUresult pools_run_graph(CUresult (*call)(CUgraphExec, CUstream), CUgraphExec graph,
                         CUstream stream, enum stream_flavour flavour,
                         const uint64_t bytes[CARD_DEVICES_MAX])
{
    const struct calls *calls = flavour == STREAM_PER_THREAD ? &per_thread : &legacy;
    uint64_t rooms[CARD_DEVICES_MAX] = {0};
    CUresult result = CUDA_SUCCESS;
    int capturing = 0;
    if (calls->is_capturing(stream, &capturing) == CUDA_SUCCESS && capturing)
        return call(graph, stream); /* part of another graph, which is charged */
    (void)pthread_mutex_lock(&pools.lock);
    for (unsigned i = 0; i < CARD_DEVICES_MAX && result == CUDA_SUCCESS; i++)
        if (bytes[i])
            result = make_room(calls, &pools.graphs[i], stream, bytes[i], &rooms[i]);
    if (result == CUDA_SUCCESS)
        result = call(graph, stream);
    for (unsigned i = 0; i < CARD_DEVICES_MAX; i++)
        if (bytes[i])
            (void)settle(&pools.graphs[i], rooms[i]); /* one that failed may have taken some */
    (void)pthread_mutex_unlock(&pools.lock);
    return result;
}

static CUresult allocate_current(const struct calls *calls, CUdeviceptr *pointer, size_t bytes,
                                 CUstream stream)
{
    CUdevice device;
    CUmemPool pool;
    CUresult result = driver_cuCtxGetDevice(&device);
    if (result == CUDA_SUCCESS)
        result = driver_cuDeviceGetMemPool(&pool, device);
    return result == CUDA_SUCCESS ? allocate(calls, pointer, bytes, pool, stream) : result;
}

CUresult api_cuMemAllocAsync(CUdeviceptr *pointer, size_t bytes, CUstream stream)
{
    return allocate_current(&legacy, pointer, bytes, stream);
}

CUresult api_cuMemAllocAsync_ptsz(CUdeviceptr *pointer, size_t bytes, CUstream stream)
{
    return allocate_current(&per_thread, pointer, bytes, stream);
}

CUresult api_cuMemAllocFromPoolAsync(CUdeviceptr *pointer, size_t bytes, CUmemPool pool,
                                     CUstream stream)
{
    return allocate(&legacy, pointer, bytes, pool, stream);
}

CUresult api_cuMemAllocFromPoolAsync_ptsz(CUdeviceptr *pointer, size_t bytes, CUmemPool pool,
                                          CUstream stream)
{
    return allocate(&per_thread, pointer, bytes, pool, stream);
}

/* Linear memory may be freed in stream order too: then it is the block's charge that goes, once the
 * stream has come that far. */
static CUresult free_async(const struct calls *calls, CUdeviceptr pointer, CUstream stream)
{
    struct charge charge = blocks_take(BLOCK_MEMORY, pointer);
    CUresult result = calls->free(pointer, stream);
    if (charge.bytes && result == CUDA_SUCCESS)
        (void)calls->synchronize(stream);
    return memory_freed(result, BLOCK_MEMORY, pointer, charge);
}

CUresult api_cuMemFreeAsync(CUdeviceptr pointer, CUstream stream)
{
    return free_async(&legacy, pointer, stream);
}

CUresult api_cuMemFreeAsync_ptsz(CUdeviceptr pointer, CUstream stream)
{
    return free_async(&per_thread, pointer, stream);
}

/* Which device a pool is of, its handle does not tell later. One too many is found out to be so by
 * the first allocation. */
CUresult api_cuMemPoolCreate(CUmemPool *handle, const struct cuda_pool_kind *kind)
{
    CUresult result = driver_cuMemPoolCreate(handle, kind);
    if (result != CUDA_SUCCESS || !process_has_cards())
        return result;
    (void)pthread_mutex_lock(&pools.lock);
    (void)pool_note(*handle, kind->location_type == CUDA_LOCATION_DEVICE ? kind->location_id : -1);
    (void)pthread_mutex_unlock(&pools.lock);
    return result;
}

CUresult api_cuMemPoolTrimTo(CUmemPool handle, size_t keep_bytes)
{
    CUresult result = driver_cuMemPoolTrimTo(handle, keep_bytes);
    (void)pthread_mutex_lock(&pools.lock);
    struct pool *pool = find(handle);
    if (pool)
        lower(pool);
    (void)pthread_mutex_unlock(&pools.lock);
    return result;
}

/* What is allocated of a pool outlives it: it stays charged until the process ends, as nobody can
 * be asked any more. */
CUresult api_cuMemPoolDestroy(CUmemPool handle)
{
    (void)pthread_mutex_lock(&pools.lock);
    struct pool *pool = find(handle);
    if (pool) {
        (void)driver_cuMemPoolTrimTo(handle, 0); /* a pool that is wrong fails below as well */
        lower(pool);
    }
    CUresult result = driver_cuMemPoolDestroy(handle);
    if (pool && result == CUDA_SUCCESS)
        *pool = (struct pool){0};
    (void)pthread_mutex_unlock(&pools.lock);
    return result;
}
