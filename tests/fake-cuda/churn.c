/* Taking and giving memory of all kinds: at random, and on one device while another is current. */
#include <stdio.h>
#include <stdlib.h>

#include "fake-cuda/api.h"
#include "fake-cuda/probe.h"

#define HELD 64
#define DEVICES 2

enum family {
    LINEAR,
    MANAGED,
    PITCHED,
    ASYNC,
    POOLED,
    VIRTUAL,
    RELEASED,
    ARRAY,
    LEVELS,
    GRAPH,
    FAMILIES
};

struct held {
    enum family family;
    CUdevice device;
    CUdeviceptr key, address, bytes; /* key 0: nothing */
};

static CUresult take_virtual(struct held *h)
{
    const struct cuda_memory_kind kind = {.type = 1, .location_type = 1, .location_id = h->device};
    CUmemHandle handle, again;
    CUresult result = cuMemCreate(&handle, h->bytes, &kind, 0);
    if (result != CUDA_SUCCESS)
        return result;
    CHECK(cuMemAddressReserve(&h->address, h->bytes, 0, 0, 0));
    CHECK(cuMemMap(h->address, h->bytes, 0, handle, 0));
    if (h->family == RELEASED) { /* the mapping alone holds it, and a handle that came back */
        CHECK(cuMemRelease(handle));
        CHECK(cuMemRetainAllocationHandle(&again, (void *)(uintptr_t)h->address));
        CHECK(cuMemRelease(again));
    }
    h->key = handle;
    return CUDA_SUCCESS;
}

CUgraph allocating_graph(CUdevice device, size_t bytes, int frees, CUdeviceptr *pointer)
{
    struct cuda_allocation allocation = {
        .pool = {.type = 1, .location_type = 1, .location_id = device}, .bytes = bytes};
    CUgraphNode made, freed;
    CUgraph graph;
    CHECK(cuGraphCreate(&graph, 0));
    CHECK(cuGraphAddMemAllocNode(&made, graph, NULL, 0, &allocation));
    if (frees)
        CHECK(cuGraphAddMemFreeNode(&freed, graph, &made, 1, allocation.pointer));
    *pointer = allocation.pointer;
    return graph;
}

static CUresult take_graph(struct held *h)
{
    CUgraphExec exec;
    CUdeviceptr pointer;
    CUgraph graph = allocating_graph(h->device, h->bytes, 0, &pointer);
    CUresult result = cuGraphInstantiateWithFlags(&exec, graph, 0);
    CHECK(cuGraphDestroy(graph));
    if (result != CUDA_SUCCESS)
        return result;
    result = h->bytes % 32 == 0 ? cuGraphLaunch(exec, NULL) : cuGraphUpload(exec, NULL);
    h->key = pointer;
    h->address = (uintptr_t)exec;
    if (result != CUDA_SUCCESS)
        CHECK(cuGraphExecDestroy(exec));
    return result;
}

static CUresult take(struct held *h, CUmemPool pool)
{
    size_t pitch, rows = 1 + h->bytes / 65536;
    struct cuda_array_shape flat = {h->bytes / 4096 + 1, 64, 0x20, 2};
    struct cuda_array3d_shape deep = {h->bytes / 65536 + 1, 64, 4, 0x20, 4, 0};
    switch (h->family) {
    case LINEAR:
        return cuMemAlloc_v2((CUdeviceptr *)&h->key, h->bytes);
    case MANAGED:
        return cuMemAllocManaged((CUdeviceptr *)&h->key, h->bytes, 1);
    case PITCHED:
        return cuMemAllocPitch_v2((CUdeviceptr *)&h->key, &pitch, 65500, rows, 4);
    case ASYNC:
        return cuMemAllocAsync((CUdeviceptr *)&h->key, h->bytes, NULL);
    case POOLED:
        return cuMemAllocFromPoolAsync((CUdeviceptr *)&h->key, h->bytes, pool, NULL);
    case VIRTUAL:
    case RELEASED:
        return take_virtual(h);
    case ARRAY:
        return h->bytes & 1 ? cuArrayCreate_v2((CUarray *)&h->key, &flat)
                            : cuArray3DCreate_v2((CUarray *)&h->key, &deep);
    case LEVELS:
        return cuMipmappedArrayCreate((CUmipmappedArray *)&h->key, &deep, 3);
    case GRAPH:
        return take_graph(h);
    case FAMILIES:
        break;
    }
    return CUDA_ERROR_INVALID_VALUE;
}

/* A graph that was only uploaded has memory and no pointer. */
static int is_launched(const struct held *h)
{
    return h->bytes % 32 == 0;
}

static void give(struct held *h)
{
    if (h->family == ARRAY)
        CHECK(cuArrayDestroy((CUarray)(uintptr_t)h->key));
    else if (h->family == LEVELS)
        CHECK(cuMipmappedArrayDestroy((CUmipmappedArray)(uintptr_t)h->key));
    else if (h->family == VIRTUAL || h->family == RELEASED) {
        if (h->family == VIRTUAL)
            CHECK(cuMemRelease(h->key));
        CHECK(cuMemUnmap(h->address, h->bytes));
        CHECK(cuMemAddressFree(h->address, h->bytes));
    } else if (h->family != GRAPH || is_launched(h))
        CHECK(h->bytes & 2 ? cuMemFreeAsync(h->key, NULL) : cuMemFree_v2(h->key));
    if (h->family == GRAPH)
        CHECK(cuGraphExecDestroy((CUgraphExec)(uintptr_t)h->address));
    h->key = 0;
}

/* The process's devices, of which any is current at any time. */
struct ground {
    int devices;
    CUcontext contexts[DEVICES];
    CUmemPool pools[DEVICES];
    unsigned seed;
};

static void open_ground(struct ground *ground)
{
    CHECK(cuDeviceGetCount(&ground->devices));
    for (int d = 0; d < ground->devices && d < DEVICES; d++) {
        const struct cuda_pool_kind kind = {.type = 1, .location_type = 1, .location_id = d};
        CHECK(cuDevicePrimaryCtxRetain(&ground->contexts[d], d));
        CHECK(cuMemPoolCreate(&ground->pools[d], &kind));
    }
}

static void close_ground(const struct ground *ground)
{
    CUmemPool pool;
    for (int d = 0; d < ground->devices; d++) {
        CHECK(cuDeviceGetDefaultMemPool(&pool, d));
        CHECK(cuMemPoolTrimTo(pool, 0));
        CHECK(cuMemPoolDestroy(ground->pools[d]));
        CHECK(cuDeviceGraphMemTrim(d));
    }
}

static CUdevice any_device(struct ground *ground)
{
    return ground->devices > 1 ? rand_r(&ground->seed) % ground->devices : 0;
}

/* What names its device is asked for while any other is current. */
static int names_its_device(enum family family)
{
    return family == POOLED || family == VIRTUAL || family == RELEASED || family == GRAPH;
}

static CUresult take_any(struct ground *ground, struct held *h)
{
    *h = (struct held){.device = any_device(ground),
                       .family = (enum family)(rand_r(&ground->seed) % FAMILIES),
                       .bytes = 1 + (unsigned)rand_r(&ground->seed) % (8u << 20)};
    CUdevice current = names_its_device(h->family) ? any_device(ground) : h->device;
    CHECK(cuCtxSetCurrent(ground->contexts[current]));
    CUresult result = take(h, ground->pools[h->device]);
    if (result != CUDA_SUCCESS)
        h->key = 0;
    return result;
}

static void give_any(struct ground *ground, struct held *h)
{
    CHECK(cuCtxSetCurrent(ground->contexts[any_device(ground)]));
    give(h);
}

int churn(unsigned long operations, unsigned seed)
{
    struct held held[HELD] = {0};
    struct ground ground = {.seed = seed};
    unsigned long granted = 0, refused = 0;
    open_ground(&ground);
    while (operations--) {
        struct held *h = &held[rand_r(&ground.seed) % HELD];
        if (h->key) {
            give_any(&ground, h);
            continue;
        }
        CUresult result = take_any(&ground, h);
        if (result != CUDA_SUCCESS && result != CUDA_ERROR_OUT_OF_MEMORY)
            check(result, "take");
        granted += result == CUDA_SUCCESS;
        refused += result != CUDA_SUCCESS;
    }
    for (int i = 0; i < HELD; i++)
        if (held[i].key)
            give_any(&ground, &held[i]);
    close_ground(&ground);
    (void)printf("granted=%lu refused=%lu\n", granted, refused);
    (void)fflush(stdout);
    (void)getchar(); /* until the test has looked */
    return 0;
}

/* ---- several devices ---- */

static size_t left_mib(void)
{
    size_t left;
    CHECK(cuMemGetInfo_v2(&left, NULL));
    return left >> 20;
}

/* What is left of both devices, in MiB, as "A/B". */
static void tell_left(const struct ground *ground, const char *what)
{
    (void)printf("%s=", what);
    for (int d = 0; d < ground->devices; d++) {
        CHECK(cuCtxSetCurrent(ground->contexts[d]));
        (void)printf("%zu%s", left_mib(), d + 1 < ground->devices ? "/" : " ");
    }
}

/* Each kind of memory of the second device, taken and given while the first is current. */
int devices(void)
{
    static const enum family families[] = {POOLED, VIRTUAL, RELEASED, GRAPH};
    static const char *const names[] = {"pooled", "virtual", "released", "graph"};
    struct ground ground = {0};
    CUdevice beyond;
    size_t total[DEVICES] = {0};
    open_ground(&ground);
    for (int d = 0; d < ground.devices; d++)
        CHECK(cuDeviceTotalMem_v2(&total[d], d));
    (void)printf("count=%d total=%zu/%zu beyond=%d ", ground.devices, total[0] >> 20,
                 total[1] >> 20, (int)cuDeviceGet(&beyond, ground.devices));
    if (ground.devices != 2)
        return 1;
    for (int i = 0; i < 4; i++) {
        struct held h = {families[i], 1, 0, 0, 8u << 20};
        CHECK(cuCtxSetCurrent(ground.contexts[0]));
        CHECK(take(&h, ground.pools[1]));
        tell_left(&ground, names[i]);
        CHECK(cuCtxSetCurrent(ground.contexts[0]));
        give(&h);
        CHECK(cuMemPoolTrimTo(ground.pools[1], 0));
        CHECK(cuDeviceGraphMemTrim(1));
    }
    struct held linear = {LINEAR, 1, 0, 0, (16u << 20) + 2}, pooled = {ASYNC, 1, 0, 0, 4u << 20};
    CHECK(cuCtxSetCurrent(ground.contexts[1]));
    CHECK(take(&linear, NULL));
    CHECK(take(&pooled, NULL));
    tell_left(&ground, "current");
    CHECK(cuCtxSetCurrent(ground.contexts[0]));
    give(&linear); /* in stream order, on the other device */
    give(&pooled);
    close_ground(&ground);
    tell_left(&ground, "rest");
    struct held most = {VIRTUAL, 1, 0, 0, total[1] + 1};
    (void)printf("over=%d\n", (int)take(&most, NULL));
    return 0;
}
