#include "fake_cuda.h"

#include <stdlib.h>
#include <string.h>

#include "cuda_api.h"

#define GRANULE_BYTES (2u << 20)
#define RANGE_AT (1ull << 45)

/* Every handle points to one of these. */
struct handle {
    int lives;
};

static long alive; /* atomic: measurements have a thread */
static __thread CUcontext current;

static CUresult make(void *ret_handle)
{
    struct handle *handle = calloc(1, sizeof(*handle));
    if (!handle)
        abort();
    handle->lives = 1;
    memcpy(ret_handle, &handle, sizeof(handle));
    (void)__atomic_add_fetch(&alive, 1, __ATOMIC_RELAXED);
    return CUDA_SUCCESS;
}

/* A handle that was given back is found by the sanitizer. */
static void check(void *object)
{
    const struct handle *handle = object;
    if (handle && !handle->lives)
        abort();
}

static CUresult unmake(void *object)
{
    check(object);
    if (!object)
        abort();
    (void)__atomic_sub_fetch(&alive, 1, __ATOMIC_RELAXED);
    free(object);
    return CUDA_SUCCESS;
}

static CUresult nothing(void)
{
    return CUDA_SUCCESS;
}

static CUresult refuse(void)
{
    return CUDA_ERROR_INVALID_VALUE;
}

static CUresult device_get(CUdevice *device, int ordinal)
{
    *device = ordinal;
    return CUDA_SUCCESS;
}

static CUresult granularity(size_t *bytes, const void *kind, int option)
{
    *bytes = GRANULE_BYTES;
    return CUDA_SUCCESS;
}

static CUresult reserve(CUdeviceptr *address)
{
    *address = RANGE_AT;
    return CUDA_SUCCESS;
}

static CUresult context_create(CUcontext *context, unsigned flags, CUdevice device)
{
    CUresult result = make(context);
    current = *context;
    return result;
}

/* There is one, and it stays. */
static CUresult primary_retain(CUcontext *context, CUdevice device)
{
    static struct handle primary = {1};
    *context = (CUcontext)(void *)&primary;
    return CUDA_SUCCESS;
}

static CUresult set_current(CUcontext context)
{
    check(context);
    current = context;
    return CUDA_SUCCESS;
}

static CUresult get_current(CUcontext *context)
{
    *context = current;
    return CUDA_SUCCESS;
}

static CUresult end_capture(CUstream stream, CUgraph *graph)
{
    check(stream);
    return make(graph);
}

/* A node goes with its graph, so that the graph stands for it. */
static CUresult add_node(CUgraphNode *node, CUgraph graph)
{
    check(graph);
    *node = (CUgraphNode)(void *)graph;
    return CUDA_SUCCESS;
}

static CUresult set_in_exec(CUgraphExec exec, CUgraphNode node)
{
    check(exec);
    check(node);
    return CUDA_SUCCESS;
}

static CUresult change_edges(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to,
                             size_t count)
{
    check(graph);
    for (size_t i = 0; i < count; i++) {
        check(from[i]);
        check(to[i]);
    }
    return CUDA_SUCCESS;
}

static CUresult enumerate(CUfunction *functions, unsigned count, CUmodule module)
{
    check(module);
    for (unsigned i = 0; i < count; i++)
        functions[i] = (CUfunction)(void *)module;
    return CUDA_SUCCESS;
}

static CUresult function_count(unsigned *count, CUmodule module)
{
    check(module);
    *count = 2;
    return CUDA_SUCCESS;
}

static CUresult function_name(const char **name, CUfunction function)
{
    *name = "kernel";
    return CUDA_SUCCESS;
}

static CUresult parameter(CUfunction function, size_t index, size_t *offset, size_t *bytes)
{
    if (index > 1)
        return CUDA_ERROR_INVALID_VALUE;
    *offset = index * 8;
    *bytes = 8;
    return CUDA_SUCCESS;
}

/* First and last byte of what a transfer reads or writes here. */
static CUresult upload(CUdeviceptr to, const void *from, size_t bytes, CUstream stream)
{
    const volatile uint8_t *at = from;
    check(stream);
    if (bytes)
        (void)(at[0] + at[bytes - 1]);
    return CUDA_SUCCESS;
}

static CUresult download(void *to, CUdeviceptr from, size_t bytes, CUstream stream)
{
    uint8_t *at = to;
    check(stream);
    if (bytes)
        at[0] = at[bytes - 1] = 1;
    return CUDA_SUCCESS;
}

static CUresult first_is_handle(void *handle)
{
    check(handle);
    return CUDA_SUCCESS;
}

static CUresult elapsed(float *ms, CUevent start, CUevent end)
{
    check(start);
    check(end);
    *ms = 1;
    return CUDA_SUCCESS;
}

void fake_cuda_install(void)
{
    static const struct {
        enum cuda_name name;
        void *function;
    } known[] = {
        {CUDA_cuDeviceGet, (void *)device_get},
        {CUDA_cuMemGetAllocationGranularity, (void *)granularity},
        {CUDA_cuMemAddressReserve, (void *)reserve},
        {CUDA_cuMemCreate, (void *)make},
        {CUDA_cuMemRelease, (void *)unmake},
        {CUDA_cuCtxCreate_v2, (void *)context_create},
        {CUDA_cuCtxDestroy_v2, (void *)unmake},
        {CUDA_cuDevicePrimaryCtxRetain, (void *)primary_retain},
        {CUDA_cuCtxSetCurrent, (void *)set_current},
        {CUDA_cuCtxGetCurrent, (void *)get_current},
        {CUDA_cuStreamCreateWithPriority, (void *)make},
        {CUDA_cuStreamDestroy_v2, (void *)unmake},
        {CUDA_cuStreamSynchronize, (void *)first_is_handle},
        {CUDA_cuStreamQuery, (void *)first_is_handle},
        {CUDA_cuStreamWaitEvent, (void *)first_is_handle},
        {CUDA_cuStreamEndCapture, (void *)end_capture},
        {CUDA_cuEventCreate, (void *)make},
        {CUDA_cuEventDestroy_v2, (void *)unmake},
        {CUDA_cuEventRecord, (void *)first_is_handle},
        {CUDA_cuEventElapsedTime, (void *)elapsed},
        {CUDA_cuGraphCreate, (void *)make},
        {CUDA_cuGraphDestroy, (void *)unmake},
        {CUDA_cuGraphAddKernelNode, (void *)add_node},
        {CUDA_cuGraphAddMemcpyNode, (void *)add_node},
        {CUDA_cuGraphAddMemsetNode, (void *)add_node},
        {CUDA_cuGraphAddEmptyNode, (void *)add_node},
        {CUDA_cuGraphAddChildGraphNode, (void *)add_node},
        {CUDA_cuGraphKernelNodeSetParams, (void *)first_is_handle},
        {CUDA_cuGraphMemcpyNodeSetParams, (void *)first_is_handle},
        {CUDA_cuGraphMemsetNodeSetParams, (void *)first_is_handle},
        {CUDA_cuGraphExecKernelNodeSetParams, (void *)set_in_exec},
        {CUDA_cuGraphExecMemcpyNodeSetParams, (void *)set_in_exec},
        {CUDA_cuGraphExecMemsetNodeSetParams, (void *)set_in_exec},
        {CUDA_cuGraphAddDependencies, (void *)change_edges},
        {CUDA_cuGraphRemoveDependencies, (void *)change_edges},
        {CUDA_cuGraphDestroyNode, (void *)first_is_handle},
        {CUDA_cuGraphInstantiateWithFlags, (void *)make},
        {CUDA_cuGraphExecDestroy, (void *)unmake},
        {CUDA_cuModuleLoadData, (void *)make},
        {CUDA_cuModuleUnload, (void *)unmake},
        {CUDA_cuModuleGetFunctionCount, (void *)function_count},
        {CUDA_cuModuleEnumerateFunctions, (void *)enumerate},
        {CUDA_cuModuleGetGlobal_v2, (void *)refuse},
        {CUDA_cuFuncGetName, (void *)function_name},
        {CUDA_cuFuncGetParamInfo, (void *)parameter},
        {CUDA_cuMemcpyHtoDAsync_v2, (void *)upload},
        {CUDA_cuMemcpyDtoHAsync_v2, (void *)download},
    };
    for (unsigned i = 0; i < CUDA_NAMES; i++)
        driver_table[i] = (void *)nothing;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        driver_table[known[i].name] = known[i].function;
}

long fake_cuda_alive(void)
{
    return __atomic_load_n(&alive, __ATOMIC_RELAXED);
}
