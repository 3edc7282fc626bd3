/* A CUDA driver without a device: physical memory is counted, kernels are known by name, and time
 * passes as the truth file says. Memory is host memory, so that copies are real. Only the
 * documented calls that tests need are there. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "card/cuda/types.h"
#include "fake-cuda/device.h"
#include "fake-cuda/driver.h"
#include "fake-cuda/graph.h"

#define BUCKETS 4096u
#define SMALL_BYTES (64u << 10)
#define POOL_STEP (2ull << 20)

struct block {
    struct block *next;
    uint64_t key, bytes;
    int device, kind;
    unsigned references; /* of physical memory: handles and mappings */
    struct block *physical;
    CUmemPool pool;
};

enum { MEMORY = 1, POOLED, ARRAY, HANDLE, MAPPING };

struct CUctx_st {
    int device;
};
struct CUstream_st {
    CUstream next_dead; /* kept, so that its use is seen */
    atomic_int is_dead;
    _Atomic uint64_t tail_ns; /* when all that was enqueued has ended */
    struct CUgraph_st *capturing;
};
struct CUevent_st {
    _Atomic uint64_t at_ns;
};
struct CUmemPoolHandle_st {
    int device;
    uint64_t reserved, used;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct block *buckets[BUCKETS];
static uint64_t next_handle = 1;
static struct CUstream_st default_streams[FAKE_DEVICES];
static struct CUctx_st contexts[FAKE_DEVICES] = {{0}, {1}};
static struct CUmemPoolHandle_st pools[FAKE_DEVICES] = {{.device = 0}, {.device = 1}};
/* In the threads' static part: leak checkers lose their way in what a library adds later. */
static __thread CUcontext current __attribute__((tls_model("initial-exec")));
static size_t limits[8];

/* ---- blocks ---- */

static struct block **find(int kind, uint64_t key)
{
    struct block **at = &buckets[(key * 0x9e3779b97f4a7c15u) >> 52];
    while (*at && ((*at)->key != key || (kind && (*at)->kind != kind)))
        at = &(*at)->next;
    return at;
}

static struct block *put(int kind, uint64_t key, uint64_t bytes, int device)
{
    struct block **head = &buckets[(key * 0x9e3779b97f4a7c15u) >> 52];
    struct block *block = calloc(1, sizeof(*block));
    *block = (struct block){*head, key, bytes, device, kind, 1, NULL, NULL};
    *head = block;
    return block;
}

static void drop(struct block **at)
{
    struct block *block = *at;
    *at = block->next;
    free(block);
}

static int device_now(void)
{
    return current ? current->device : 0;
}

/* A stream that has gone must not be used. */
static CUstream stream_of(CUstream stream)
{
    if ((uintptr_t)stream <= 2) /* null, legacy, per thread */
        return &default_streams[device_now()];
    if (stream->is_dead)
        abort();
    return stream;
}

static void *map_host(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

/* Small blocks come from the heap, as a driver's do from what it holds. */
static void *take_host(size_t bytes)
{
    return bytes > SMALL_BYTES ? map_host(bytes) : aligned_alloc(256, (bytes + 255) / 256 * 256);
}

static void give_host(uint64_t pointer, size_t bytes)
{
    if (bytes > SMALL_BYTES)
        (void)munmap((void *)(uintptr_t)pointer, bytes);
    else
        free((void *)(uintptr_t)pointer);
}

static CUresult allocate(const char *name, CUdeviceptr *pointer, size_t bytes)
{
    if (!pointer || !bytes)
        return CUDA_ERROR_INVALID_VALUE;
    if (!current)
        return CUDA_ERROR_INVALID_CONTEXT;
    if (fake_fails(name) || fake_take(device_now(), bytes) < 0)
        return CUDA_ERROR_OUT_OF_MEMORY;
    void *host = take_host(bytes);
    if (!host) {
        fake_give(device_now(), bytes);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    (void)pthread_mutex_lock(&lock);
    (void)put(MEMORY, (uintptr_t)host, bytes, device_now());
    (void)pthread_mutex_unlock(&lock);
    *pointer = (uintptr_t)host;
    return CUDA_SUCCESS;
}

/* ---- devices and contexts ---- */

API CUresult cuInit(unsigned flags)
{
    return fake_truth() ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

API CUresult cuDriverGetVersion(int *version)
{
    *version = 13000;
    return CUDA_SUCCESS;
}

API CUresult cuDeviceGetCount(int *count)
{
    *count = fake_devices();
    return CUDA_SUCCESS;
}

API CUresult cuDeviceGet(CUdevice *device, int ordinal)
{
    if (ordinal < 0 || ordinal >= fake_devices())
        return CUDA_ERROR_INVALID_DEVICE;
    *device = ordinal;
    return CUDA_SUCCESS;
}

API CUresult cuDeviceGetName(char *name, int length, CUdevice device)
{
    (void)snprintf(name, (size_t)length, "Leat fake CUDA device");
    return CUDA_SUCCESS;
}

API CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice device)
{
    *bytes = fake_truth()->memory_bytes;
    return CUDA_SUCCESS;
}

API CUresult cuDeviceGetUuid_v2(unsigned char *uuid, CUdevice device)
{
    memset(uuid, 0, 16);
    uuid[15] = (unsigned char)fake_physical(device);
    return CUDA_SUCCESS;
}

API CUresult cuDeviceGetAttribute(int *value, int attribute, CUdevice device)
{
    if (attribute < 1 || attribute > 150)
        return CUDA_ERROR_INVALID_VALUE;
    *value = attribute * 2;
    return CUDA_SUCCESS;
}

API CUresult cuDeviceComputeCapability(int *major, int *minor, CUdevice device)
{
    return cuDeviceGetAttribute(major, 75, device) + cuDeviceGetAttribute(minor, 76, device);
}

API CUresult cuDeviceCanAccessPeer(int *can, CUdevice device, CUdevice peer)
{
    *can = 0;
    return CUDA_SUCCESS;
}

API CUresult cuCtxEnablePeerAccess(CUcontext peer, unsigned flags)
{
    return peer == current ? CUDA_ERROR_INVALID_CONTEXT : CUDA_ERROR_PEER_ACCESS_UNSUPPORTED;
}

API CUresult cuCtxDisablePeerAccess(CUcontext peer)
{
    return peer == current ? CUDA_ERROR_INVALID_CONTEXT : CUDA_ERROR_PEER_ACCESS_NOT_ENABLED;
}

API CUresult cuCtxSetLimit(int limit, size_t value)
{
    limits[limit & 7] = value;
    return CUDA_SUCCESS;
}

API CUresult cuCtxGetLimit(size_t *value, int limit)
{
    *value = limits[limit & 7];
    return CUDA_SUCCESS;
}

API CUresult cuDevicePrimaryCtxSetFlags_v2(CUdevice device, unsigned flags)
{
    return CUDA_SUCCESS;
}

API CUresult cuCtxCreate_v2(CUcontext *context, unsigned flags, CUdevice device)
{
    if (device < 0 || device >= fake_devices())
        return CUDA_ERROR_INVALID_DEVICE;
    *context = current = &contexts[device];
    return CUDA_SUCCESS;
}

API CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device)
{
    *context = &contexts[device];
    return CUDA_SUCCESS;
}

API CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device)
{
    return CUDA_SUCCESS;
}

API CUresult cuCtxDestroy_v2(CUcontext context)
{
    if (current == context)
        current = NULL;
    return CUDA_SUCCESS;
}

API CUresult cuCtxSetCurrent(CUcontext context)
{
    current = context;
    return CUDA_SUCCESS;
}

API CUresult cuCtxGetCurrent(CUcontext *context)
{
    *context = current;
    return CUDA_SUCCESS;
}

API CUresult cuCtxGetDevice(CUdevice *device)
{
    *device = device_now();
    return current ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
}

/* ---- memory ---- */

API CUresult cuMemGetInfo_v2(size_t *free_bytes, size_t *total_bytes)
{
    const struct fake_truth *t = fake_truth();
    *total_bytes = t->memory_bytes;
    *free_bytes = t->memory_bytes - t->used_bytes[fake_physical(device_now())];
    return CUDA_SUCCESS;
}

API CUresult cuMemAlloc_v2(CUdeviceptr *pointer, size_t bytes)
{
    return allocate("cuMemAlloc_v2", pointer, bytes);
}

API CUresult cuMemAllocManaged(CUdeviceptr *pointer, size_t bytes, unsigned flags)
{
    return allocate("cuMemAllocManaged", pointer, bytes);
}

API CUresult cuMemAllocPitch_v2(CUdeviceptr *pointer, size_t *pitch, size_t width, size_t height,
                                unsigned element)
{
    size_t padded = (width + 255) / 256 * 256;
    CUresult result = allocate("cuMemAllocPitch_v2", pointer, padded * height);
    if (result == CUDA_SUCCESS)
        *pitch = padded;
    return result;
}

API CUresult cuMemFreeAsync(CUdeviceptr pointer, CUstream stream)
{
    if (stream_of(stream)->capturing)
        return graph_free(stream_of(stream)->capturing, NULL, pointer);
    if (graph_free_pointer(pointer))
        return CUDA_SUCCESS;
    (void)pthread_mutex_lock(&lock);
    struct block **at = find(MEMORY, pointer);
    if (!*at)
        at = find(POOLED, pointer);
    struct block *block = *at;
    CUresult result = block ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    if (block) {
        give_host(pointer, block->bytes);
        if (block->pool)
            block->pool->used -= block->bytes;
        else
            fake_give(block->device, block->bytes);
        drop(at);
    }
    (void)pthread_mutex_unlock(&lock);
    return result;
}
TWIN(cuMemFreeAsync, _ptsz);

API CUresult cuMemFree_v2(CUdeviceptr pointer)
{
    return cuMemFreeAsync(pointer, NULL);
}

/* ---- pools: memory is taken in steps and kept until the pool is trimmed ---- */

API CUresult cuDeviceGetMemPool(CUmemPool *pool, CUdevice device)
{
    *pool = &pools[device];
    return CUDA_SUCCESS;
}
API CUresult cuDeviceGetDefaultMemPool(CUmemPool *pool, CUdevice device)
{
    return cuDeviceGetMemPool(pool, device);
}

API CUresult cuMemPoolCreate(CUmemPool *pool, const struct cuda_pool_kind *kind)
{
    if (!kind || kind->location_type != CUDA_LOCATION_DEVICE)
        return CUDA_ERROR_INVALID_VALUE;
    *pool = calloc(1, sizeof(**pool));
    (*pool)->device = kind->location_id;
    return CUDA_SUCCESS;
}

API CUresult cuMemPoolTrimTo(CUmemPool pool, size_t keep)
{
    (void)pthread_mutex_lock(&lock);
    uint64_t least = (pool->used + POOL_STEP - 1) / POOL_STEP * POOL_STEP;
    if (least < keep)
        least = keep;
    if (pool->reserved > least) {
        fake_give(pool->device, pool->reserved - least);
        pool->reserved = least;
    }
    (void)pthread_mutex_unlock(&lock);
    return CUDA_SUCCESS;
}

API CUresult cuMemPoolDestroy(CUmemPool pool)
{
    (void)cuMemPoolTrimTo(pool, 0);
    return CUDA_SUCCESS;
}

API CUresult cuMemPoolGetAttribute(CUmemPool pool, int attribute, void *value)
{
    if (attribute != CUDA_POOL_RESERVED_NOW)
        return CUDA_ERROR_INVALID_VALUE;
    *(uint64_t *)value = pool->reserved;
    return CUDA_SUCCESS;
}

API CUresult cuMemAllocFromPoolAsync(CUdeviceptr *pointer, size_t bytes, CUmemPool pool,
                                     CUstream stream)
{
    CUresult result = CUDA_SUCCESS;
    CUgraph graph = stream_of(stream)->capturing;
    if (graph)
        return graph_allocate(graph, NULL, pointer, bytes, pool->device);
    if (fake_fails("cuMemAllocFromPoolAsync"))
        return CUDA_ERROR_OUT_OF_MEMORY;
    (void)pthread_mutex_lock(&lock);
    uint64_t needed = (pool->used + bytes + POOL_STEP - 1) / POOL_STEP * POOL_STEP;
    uint64_t grow = needed > pool->reserved ? needed - pool->reserved : 0;
    void *host = NULL;
    if (grow && fake_take(pool->device, grow) < 0)
        result = CUDA_ERROR_OUT_OF_MEMORY;
    else
        host = take_host(bytes);
    if (host) {
        pool->reserved += grow;
        pool->used += bytes;
        put(POOLED, (uintptr_t)host, bytes, pool->device)->pool = pool;
        *pointer = (uintptr_t)host;
    }
    (void)pthread_mutex_unlock(&lock);
    return result;
}
TWIN(cuMemAllocFromPoolAsync, _ptsz);

API CUresult cuMemAllocAsync(CUdeviceptr *pointer, size_t bytes, CUstream stream)
{
    return cuMemAllocFromPoolAsync(pointer, bytes, &pools[device_now()], stream);
}
TWIN(cuMemAllocAsync, _ptsz);

/* ---- virtual memory ---- */

/* With the lock held: one handle or mapping less. */
static void physical_unref(struct block *block)
{
    if (--block->references)
        return;
    fake_give(block->device, block->bytes);
    struct block **at = find(HANDLE, block->key);
    if (*at)
        drop(at);
}

API CUresult cuMemAddressReserve(CUdeviceptr *pointer, size_t bytes, size_t alignment,
                                 CUdeviceptr wish, unsigned long long flags)
{
    *pointer = (uintptr_t)map_host(bytes);
    return CUDA_SUCCESS;
}

API CUresult cuMemAddressFree(CUdeviceptr pointer, size_t bytes)
{
    (void)munmap((void *)(uintptr_t)pointer, bytes);
    return CUDA_SUCCESS;
}

API CUresult cuMemCreate(CUmemHandle *handle, size_t bytes, const struct cuda_memory_kind *kind,
                         unsigned long long flags)
{
    if (fake_fails("cuMemCreate") || fake_take(kind->location_id, bytes) < 0)
        return CUDA_ERROR_OUT_OF_MEMORY;
    (void)pthread_mutex_lock(&lock);
    *handle = next_handle++;
    (void)put(HANDLE, *handle, bytes, kind->location_id);
    (void)pthread_mutex_unlock(&lock);
    return CUDA_SUCCESS;
}

API CUresult cuMemRelease(CUmemHandle handle)
{
    (void)pthread_mutex_lock(&lock);
    struct block *block = *find(HANDLE, handle);
    if (block)
        physical_unref(block);
    (void)pthread_mutex_unlock(&lock);
    return block ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

API CUresult cuMemMap(CUdeviceptr pointer, size_t bytes, size_t offset, CUmemHandle handle,
                      unsigned long long flags)
{
    (void)pthread_mutex_lock(&lock);
    struct block *block = *find(HANDLE, handle);
    if (block) {
        block->references++;
        put(MAPPING, pointer, bytes, block->device)->physical = block;
    }
    (void)pthread_mutex_unlock(&lock);
    return block ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

API CUresult cuMemUnmap(CUdeviceptr pointer, size_t bytes)
{
    (void)pthread_mutex_lock(&lock);
    struct block **at = find(MAPPING, pointer);
    CUresult result = *at ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    if (*at) {
        struct block *physical = (*at)->physical;
        /* What was there is lost, as with physical memory that goes elsewhere. */
        (void)madvise((void *)(uintptr_t)pointer, bytes, MADV_DONTNEED);
        drop(at);
        physical_unref(physical);
    }
    (void)pthread_mutex_unlock(&lock);
    return result;
}

API CUresult cuMemSetAccess(CUdeviceptr pointer, size_t bytes, const struct cuda_access *access,
                            size_t count)
{
    return CUDA_SUCCESS;
}

API CUresult cuMemGetAllocationGranularity(size_t *bytes, const struct cuda_memory_kind *kind,
                                           int option)
{
    *bytes = POOL_STEP;
    return CUDA_SUCCESS;
}

API CUresult cuMemRetainAllocationHandle(CUmemHandle *handle, void *address)
{
    (void)pthread_mutex_lock(&lock);
    struct block *mapping = *find(MAPPING, (uintptr_t)address);
    if (mapping) {
        mapping->physical->references++;
        *handle = mapping->physical->key;
    }
    (void)pthread_mutex_unlock(&lock);
    return mapping ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/* ---- arrays: rows of 64 bytes, four bytes an element ---- */

static uint64_t array_bytes(const struct cuda_array3d_shape *shape, unsigned levels)
{
    uint64_t bytes = 0;
    for (unsigned l = 0; l < levels; l++) {
        uint64_t w = shape->width >> l, h = shape->height >> l, d = shape->depth >> l;
        bytes += ((w ? w : 1) * 4 * shape->channels + 63) / 64 * 64 * (h ? h : 1) * (d ? d : 1);
    }
    return bytes;
}

static CUresult array_make(CUarray *array, const struct cuda_array3d_shape *shape, unsigned levels)
{
    uint64_t bytes = array_bytes(shape, levels);
    if (fake_take(device_now(), bytes) < 0)
        return CUDA_ERROR_OUT_OF_MEMORY;
    (void)pthread_mutex_lock(&lock);
    *array = (CUarray)(uintptr_t)(0x100000000000u + next_handle++);
    (void)put(ARRAY, (uintptr_t)*array, bytes, device_now());
    (void)pthread_mutex_unlock(&lock);
    return CUDA_SUCCESS;
}

API CUresult cuArray3DCreate_v2(CUarray *array, const struct cuda_array3d_shape *shape)
{
    return array_make(array, shape, 1);
}

API CUresult cuArrayCreate_v2(CUarray *array, const struct cuda_array_shape *shape)
{
    struct cuda_array3d_shape flat = {shape->width,  shape->height,   0,
                                      shape->format, shape->channels, 0};
    return array_make(array, &flat, 1);
}

API CUresult cuMipmappedArrayCreate(CUarray *array, const struct cuda_array3d_shape *shape,
                                    unsigned levels)
{
    return array_make(array, shape, levels);
}

API CUresult cuArrayDestroy(CUarray array)
{
    (void)pthread_mutex_lock(&lock);
    struct block **at = find(ARRAY, (uintptr_t)array);
    CUresult result = *at ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
    if (*at) {
        fake_give((*at)->device, (*at)->bytes);
        drop(at);
    }
    (void)pthread_mutex_unlock(&lock);
    return result;
}
API CUresult cuMipmappedArrayDestroy(CUarray array)
{
    return cuArrayDestroy(array);
}

API CUresult cuArrayGetMemoryRequirements(struct cuda_requirements *needs, CUarray array,
                                          CUdevice device)
{
    (void)pthread_mutex_lock(&lock);
    const struct block *block = *find(ARRAY, (uintptr_t)array);
    *needs = (struct cuda_requirements){block ? block->bytes : 0, 64, {0}};
    (void)pthread_mutex_unlock(&lock);
    return block ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}
API CUresult cuMipmappedArrayGetMemoryRequirements(struct cuda_requirements *needs, CUarray array,
                                                   CUdevice device)
{
    return cuArrayGetMemoryRequirements(needs, array, device);
}

/* ---- streams, events, launches ---- */

static void sleep_until(uint64_t at_ns)
{
    struct timespec at = {(time_t)(at_ns / 1000000000u), (long)(at_ns % 1000000000u)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
        ;
}

static uint64_t tail_of(CUstream stream)
{
    uint64_t now = fake_now_ns(), tail = stream_of(stream)->tail_ns;
    return tail > now ? tail : now;
}

/* Other threads may enqueue into the same stream. */
static void tail_move(CUstream stream, uint64_t at_ns)
{
    uint64_t tail = stream->tail_ns;
    while (tail < at_ns && !atomic_compare_exchange_weak(&stream->tail_ns, &tail, at_ns))
        continue;
}

API CUresult cuStreamCreate(CUstream *stream, unsigned flags)
{
    *stream = calloc(1, sizeof(**stream));
    return CUDA_SUCCESS;
}

API CUresult cuStreamCreateWithPriority(CUstream *stream, unsigned flags, int priority)
{
    return cuStreamCreate(stream, flags);
}

API CUresult cuStreamDestroy_v2(CUstream stream)
{
    static CUstream dead;
    (void)pthread_mutex_lock(&lock);
    stream->next_dead = dead;
    dead = stream;
    (void)pthread_mutex_unlock(&lock);
    stream->is_dead = 1;
    return CUDA_SUCCESS;
}

API CUresult cuStreamSynchronize(CUstream stream)
{
    sleep_until(stream_of(stream)->tail_ns);
    return CUDA_SUCCESS;
}
TWIN(cuStreamSynchronize, _ptsz);

API CUresult cuStreamQuery(CUstream stream)
{
    return stream_of(stream)->tail_ns > fake_now_ns() ? CUDA_ERROR_NOT_READY : CUDA_SUCCESS;
}
TWIN(cuStreamQuery, _ptsz);

API CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned flags)
{
    tail_move(stream_of(stream), event->at_ns);
    return CUDA_SUCCESS;
}
TWIN(cuStreamWaitEvent, _ptsz);

API CUresult cuCtxSynchronize(void)
{
    sleep_until(__atomic_load_n(&fake_truth()->busy_until_ns[fake_physical(device_now())],
                                __ATOMIC_SEQ_CST));
    return CUDA_SUCCESS;
}

API CUresult cuStreamIsCapturing(CUstream stream, int *status)
{
    *status = stream_of(stream)->capturing != NULL;
    return CUDA_SUCCESS;
}
TWIN(cuStreamIsCapturing, _ptsz);

API CUresult cuStreamBeginCapture_v2(CUstream stream, int mode)
{
    stream_of(stream)->capturing = calloc(1, sizeof(struct CUgraph_st));
    return CUDA_SUCCESS;
}

API CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph)
{
    *graph = stream_of(stream)->capturing;
    stream_of(stream)->capturing = NULL;
    return CUDA_SUCCESS;
}

API CUresult cuEventCreate(CUevent *event, unsigned flags)
{
    if (fake_fails("cuEventCreate"))
        return CUDA_ERROR_OUT_OF_MEMORY;
    *event = calloc(1, sizeof(**event));
    return CUDA_SUCCESS;
}

API CUresult cuEventDestroy_v2(CUevent event)
{
    free(event);
    return CUDA_SUCCESS;
}

API CUresult cuEventRecord(CUevent event, CUstream stream)
{
    event->at_ns = tail_of(stream);
    return CUDA_SUCCESS;
}
TWIN(cuEventRecord, _ptsz);

API CUresult cuEventQuery(CUevent event)
{
    return event->at_ns > fake_now_ns() ? CUDA_ERROR_NOT_READY : CUDA_SUCCESS;
}

API CUresult cuEventSynchronize(CUevent event)
{
    sleep_until(event->at_ns);
    return CUDA_SUCCESS;
}

API CUresult cuEventElapsedTime(float *ms, CUevent start, CUevent end)
{
    if (end->at_ns > fake_now_ns())
        return CUDA_ERROR_NOT_READY;
    *ms = (float)((double)(int64_t)(end->at_ns - start->at_ns) / 1e6);
    return CUDA_SUCCESS;
}

void fake_enqueue(CUstream stream, uint64_t duration_ns)
{
    CUstream s = stream_of(stream);
    if (s->capturing) {
        s->capturing->duration_ns += duration_ns;
        return;
    }
    tail_move(s, fake_run(device_now(), s->tail_ns, duration_ns, NULL));
}

API CUresult cuGraphLaunch(CUgraphExec graph, CUstream stream)
{
    CUresult result = graph_take(graph);
    if (result == CUDA_SUCCESS && graph->graph->duration_ns)
        fake_enqueue(stream, graph->graph->duration_ns);
    return result == CUDA_SUCCESS ? graph_run(graph, stream) : result;
}
TWIN(cuGraphLaunch, _ptsz);

/* ---- look-up ---- */

API CUresult cuGetExportTable(const void **table, const void *id)
{
    static const uint64_t answer[2] = {16, 42};
    *table = answer;
    return CUDA_SUCCESS;
}

API CUresult cuGetProcAddress_v2(const char *symbol, void **function, int version, uint64_t flags,
                                 int *status)
{
#define ROW(base, name, since, twin) \
    { \
        base, (void *)name, since, twin \
    }
    static const struct {
        const char *base;
        void *function;
        int since, twin;
    } rows[] = {
        ROW("cuInit", cuInit, 2000, 0),
        ROW("cuMemAlloc", cuMemAlloc_v2, 3020, 0),
        ROW("cuMemFree", cuMemFree_v2, 3020, 0),
        ROW("cuLaunchKernel", cuLaunchKernel_ptsz, 7000, 1),
        ROW("cuLaunchKernel", cuLaunchKernel, 4000, 0),
        ROW("cuMemFreeAsync", cuMemFreeAsync_ptsz, 11020, 1),
        ROW("cuMemFreeAsync", cuMemFreeAsync, 11020, 0),
        ROW("cuGetProcAddress", cuGetProcAddress_v2, 12000, 0),
        ROW("cuGraphInstantiate", cuGraphInstantiateWithFlags, 12000, 0),
        ROW("cuGraphInstantiate", cuGraphInstantiate_v2, 11000, 0),
        ROW("cuNewerThanLeat", cuInit, 2000, 0),
    };
    *function = NULL;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) && !*function; i++) {
        if (strcmp(rows[i].base, symbol) == 0 && rows[i].since <= version &&
            (!rows[i].twin || (flags & CUDA_PER_THREAD_STREAM_FLAG)))
            *function = rows[i].function;
    }
    if (status)
        *status = *function ? 0 : 1;
    return *function ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

API CUresult cuGetProcAddress(const char *symbol, void **function, int version, uint64_t flags)
{
    return cuGetProcAddress_v2(symbol, function, version, flags, NULL);
}
