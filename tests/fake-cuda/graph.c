#include "fake-cuda/graph.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "fake-cuda/device.h"

#define API __attribute__((visibility("default")))
#define TWIN(name, suffix) \
    extern __typeof__(name) name##suffix __attribute__((alias(#name), visibility("default")))
#define STEP_BYTES (2ull << 20)
#define UPLOAD_FLAG 2 /* CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD */

#pragma GCC diagnostic ignored "-Wmissing-prototypes"

CUresult cuGraphDestroy(CUgraph graph);
CUresult cuGraphDestroyNode(CUgraphNode node);
CUresult cuGraphExecDestroy(CUgraphExec exec);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static CUgraphNode known;
static uint64_t reserved[FAKE_DEVICES], used[FAKE_DEVICES];

static uint64_t rounded(uint64_t bytes)
{
    return (bytes + STEP_BYTES - 1) / STEP_BYTES * STEP_BYTES;
}

CUgraphNode graph_add(CUgraph graph, int type)
{
    CUgraphNode node = calloc(1, sizeof(*node)), *at = &graph->nodes;
    node->work.type = type;
    node->graph = graph;
    while (*at)
        at = &(*at)->next;
    *at = node;
    return node;
}

CUresult graph_allocate(CUgraph graph, CUgraphNode *node, CUdeviceptr *pointer, uint64_t bytes,
                        int device)
{
    CUgraphNode made = graph_add(graph, CUDA_NODE_MEM_ALLOC);
    made->bytes = bytes;
    made->device = device;
    made->pointer = (uintptr_t)mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    (void)pthread_mutex_lock(&lock);
    made->next_known = known;
    known = made;
    (void)pthread_mutex_unlock(&lock);
    *pointer = made->pointer;
    if (node)
        *node = made;
    return CUDA_SUCCESS;
}

CUresult graph_free(CUgraph graph, CUgraphNode *node, CUdeviceptr pointer)
{
    CUgraphNode made = graph_add(graph, CUDA_NODE_MEM_FREE);
    made->pointer = pointer;
    if (node)
        *node = made;
    return CUDA_SUCCESS;
}

/* ---- with the lock held ---- */

static int free_pointer(CUdeviceptr pointer)
{
    for (CUgraphNode node = known; node; node = node->next_known) {
        if (node->pointer != pointer || !node->live)
            continue;
        node->live = 0;
        used[node->device] -= rounded(node->bytes);
        return 1;
    }
    return 0;
}

/* Physical memory for all that the graph allocates and that does not live already. */
static CUresult back(CUgraph graph, uint64_t needed[FAKE_DEVICES])
{
    for (CUgraphNode node = graph->nodes; node; node = node->next) {
        int d = node->device;
        if (node->child && back(node->child, needed) != CUDA_SUCCESS)
            return CUDA_ERROR_OUT_OF_MEMORY;
        if (node->work.type != CUDA_NODE_MEM_ALLOC || node->live)
            continue;
        needed[d] += rounded(node->bytes);
        if (used[d] + needed[d] <= reserved[d])
            continue;
        if (fake_take(d, used[d] + needed[d] - reserved[d]) < 0)
            return CUDA_ERROR_OUT_OF_MEMORY;
        reserved[d] = used[d] + needed[d];
    }
    return CUDA_SUCCESS;
}

/* What the graph allocates lives, until it is freed here or later. */
static void run(CUgraph graph)
{
    for (CUgraphNode node = graph->nodes; node; node = node->next) {
        if (node->child)
            run(node->child);
        else if (node->work.type == CUDA_NODE_MEM_FREE)
            (void)free_pointer(node->pointer);
        else if (node->work.type == CUDA_NODE_MEM_ALLOC && !node->live) {
            node->live = 1;
            used[node->device] += rounded(node->bytes);
        }
    }
}

/* ---- what the driver calls, and programs ---- */

CUresult graph_take(CUgraphExec exec)
{
    uint64_t needed[FAKE_DEVICES] = {0};
    (void)pthread_mutex_lock(&lock);
    CUresult result = back(exec->graph, needed);
    if (result == CUDA_SUCCESS)
        run(exec->graph);
    (void)pthread_mutex_unlock(&lock);
    return result;
}

int graph_free_pointer(CUdeviceptr pointer)
{
    (void)pthread_mutex_lock(&lock);
    int is_graphs = free_pointer(pointer);
    (void)pthread_mutex_unlock(&lock);
    return is_graphs;
}

API CUresult cuGraphCreate(CUgraph *graph, unsigned flags)
{
    *graph = calloc(1, sizeof(**graph));
    return CUDA_SUCCESS;
}

API CUresult cuGraphAddMemAllocNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *after,
                                    size_t count, struct cuda_allocation *params)
{
    return graph_allocate(graph, node, &params->pointer, params->bytes, params->pool.location_id);
}

/* The parameters of a node of any type lie behind 16 bytes. */
API CUresult cuGraphAddNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *after,
                            size_t count, void *params)
{
    struct cuda_allocation *allocation = (struct cuda_allocation *)((char *)params + 16);
    if (*(int *)params != CUDA_NODE_MEM_ALLOC)
        return CUDA_ERROR_NOT_SUPPORTED;
    return cuGraphAddMemAllocNode(node, graph, after, count, allocation);
}

API CUresult cuGraphAddMemFreeNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *after,
                                   size_t count, CUdeviceptr pointer)
{
    return graph_free(graph, node, pointer);
}

API CUresult cuGraphAddChildGraphNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *after,
                                      size_t count, CUgraph child)
{
    *node = graph_add(graph, CUDA_NODE_GRAPH);
    graph_depend(graph, *node, after, count);
    (*node)->child = child;
    child->others++;
    graph->duration_ns += child->duration_ns;
    return CUDA_SUCCESS;
}

API CUresult cuGraphGetNodes(CUgraph graph, CUgraphNode *nodes, size_t *count)
{
    size_t found = 0;
    for (CUgraphNode node = graph->nodes; node; node = node->next, found++)
        if (nodes && found < *count)
            nodes[found] = node;
    *count = found;
    return CUDA_SUCCESS;
}

API CUresult cuGraphNodeGetType(CUgraphNode node, int *type)
{
    *type = node->work.type;
    return CUDA_SUCCESS;
}

API CUresult cuGraphChildGraphNodeGetGraph(CUgraphNode node, CUgraph *graph)
{
    *graph = node->child;
    return CUDA_SUCCESS;
}

API CUresult cuGraphMemAllocNodeGetParams(CUgraphNode node, struct cuda_allocation *params)
{
    *params = (struct cuda_allocation){
        .pool = {.location_type = CUDA_LOCATION_DEVICE, .location_id = node->device},
        .bytes = node->bytes,
        .pointer = node->pointer};
    return CUDA_SUCCESS;
}

API CUresult cuGraphInstantiateWithFlags(CUgraphExec *exec, CUgraph graph, unsigned long long flags)
{
    *exec = calloc(1, sizeof(**exec));
    (*exec)->graph = graph;
    graph->others++;
    CUresult result = graph_order(graph, *exec);
    if (result != CUDA_SUCCESS)
        (void)cuGraphExecDestroy(*exec);
    return result;
}

API CUresult cuGraphInstantiate_v2(CUgraphExec *exec, CUgraph graph, CUgraphNode *wrong, char *log,
                                   size_t log_bytes)
{
    return cuGraphInstantiateWithFlags(exec, graph, 0);
}

/* Memory that an upload prepares is there for the launch, and for others before it. */
API CUresult cuGraphUpload(CUgraphExec exec, CUstream stream)
{
    uint64_t needed[FAKE_DEVICES] = {0};
    (void)pthread_mutex_lock(&lock);
    CUresult result = back(exec->graph, needed);
    (void)pthread_mutex_unlock(&lock);
    return result;
}
TWIN(cuGraphUpload, _ptsz);

API CUresult cuGraphInstantiateWithParams(CUgraphExec *exec, CUgraph graph,
                                          struct cuda_instantiation *params)
{
    CUresult result = cuGraphInstantiateWithFlags(exec, graph, params->flags);
    if (result == CUDA_SUCCESS && (params->flags & UPLOAD_FLAG))
        result = cuGraphUpload(*exec, params->stream);
    return result;
}
TWIN(cuGraphInstantiateWithParams, _ptsz);

static void forget(CUgraphNode node)
{
    CUgraphNode *at = &known;
    (void)pthread_mutex_lock(&lock);
    while (*at && *at != node)
        at = &(*at)->next_known;
    if (*at)
        *at = node->next_known;
    (void)pthread_mutex_unlock(&lock);
    if (node->child)
        (void)cuGraphDestroy(node->child);
    if (node->bytes)
        (void)munmap((void *)(uintptr_t)node->pointer, node->bytes);
    free(node);
}

API CUresult cuGraphDestroyNode(CUgraphNode node)
{
    CUgraphNode *at = &node->graph->nodes;
    for (struct edge **edge = &node->graph->edges, *gone; (gone = *edge);) {
        if (gone->from == node || gone->to == node) {
            *edge = gone->next;
            free(gone);
        } else {
            edge = &gone->next;
        }
    }
    while (*at != node)
        at = &(*at)->next;
    *at = node->next;
    forget(node);
    return CUDA_SUCCESS;
}

API CUresult cuGraphDestroy(CUgraph graph)
{
    if (graph->others--)
        return CUDA_SUCCESS;
    while (graph->nodes)
        (void)cuGraphDestroyNode(graph->nodes);
    free(graph);
    return CUDA_SUCCESS;
}

API CUresult cuGraphExecDestroy(CUgraphExec exec)
{
    (void)cuGraphDestroy(exec->graph);
    free(exec->steps);
    free(exec);
    return CUDA_SUCCESS;
}

API CUresult cuDeviceGetGraphMemAttribute(CUdevice device, int attribute, void *value)
{
    (void)pthread_mutex_lock(&lock);
    *(uint64_t *)value = attribute == CUDA_GRAPH_MEMORY_RESERVED ? reserved[device] : used[device];
    (void)pthread_mutex_unlock(&lock);
    return CUDA_SUCCESS;
}

API CUresult cuDeviceGraphMemTrim(CUdevice device)
{
    (void)pthread_mutex_lock(&lock);
    fake_give(device, reserved[device] - used[device]);
    reserved[device] = used[device];
    (void)pthread_mutex_unlock(&lock);
    return CUDA_SUCCESS;
}
