/* The allocation nodes of graphs: see graph.h. */
#include "card/cuda/graph.h"

#include <stdlib.h>

#include "card/cuda/blocks.h"
#include "card/cuda/pool.h"
#include "card/cuda/process.h"
#include "card/ledger/ledger.h"
#include "cuda_api.h"

#define DEPTH_MAX 32 /* of graphs in graphs */

/* Of each device. */
struct need {
    uint64_t bytes[CARD_DEVICES_MAX];
};

static CUresult add_graph(CUgraph graph, unsigned depth, struct need *need);

static CUresult add_allocation(CUgraphNode node, struct need *need)
{
    struct cuda_allocation params = {0};
    struct card_view unused;
    uint64_t step;
    CUresult result = driver_cuGraphMemAllocNodeGetParams(node, &params);
    if (result != CUDA_SUCCESS || params.pool.location_type != CUDA_LOCATION_DEVICE)
        return result;
    CUdevice device = params.pool.location_id;
    enum card_state state = process_card(device, &unused);
    if (state == CARD_NONE)
        return result;
    if (state != CARD_READY || device >= CARD_DEVICES_MAX)
        return CUDA_ERROR_SYSTEM_NOT_READY;
    if (__builtin_add_overflow(params.bytes, POOL_STEP_BYTES - 1, &step) ||
        __builtin_add_overflow(need->bytes[device], step - step % POOL_STEP_BYTES,
                               &need->bytes[device]))
        return CUDA_ERROR_OUT_OF_MEMORY;
    return result;
}

static CUresult add_node(CUgraphNode node, unsigned depth, struct need *need)
{
    CUgraph child;
    int type;
    CUresult result = driver_cuGraphNodeGetType(node, &type);
    if (result != CUDA_SUCCESS)
        return result;
    if (type == CUDA_NODE_MEM_ALLOC)
        return add_allocation(node, need);
    if (type != CUDA_NODE_GRAPH)
        return result;
    result = driver_cuGraphChildGraphNodeGetGraph(node, &child);
    return result == CUDA_SUCCESS ? add_graph(child, depth + 1, need) : result;
}

static CUresult add_graph(CUgraph graph, unsigned depth, struct need *need)
{
    size_t count = 0;
    CUresult result = driver_cuGraphGetNodes(graph, NULL, &count);
    if (result != CUDA_SUCCESS || count == 0)
        return result;
    CUgraphNode *nodes = depth < DEPTH_MAX ? calloc(count, sizeof(CUgraphNode)) : NULL;
    if (!nodes)
        return CUDA_ERROR_OUT_OF_MEMORY;
    result = driver_cuGraphGetNodes(graph, nodes, &count);
    for (size_t i = 0; i < count && result == CUDA_SUCCESS; i++)
        result = add_node(nodes[i], depth, need);
    free(nodes);
    return result;
}

/* What the graph allocates, if the cards could ever have room for it. */
static CUresult survey(CUgraph graph, struct need *ret_need)
{
    struct need need = {0};
    struct card_view view;
    CUresult result = process_has_cards() ? add_graph(graph, 0, &need) : CUDA_SUCCESS;
    if (result != CUDA_SUCCESS)
        return result;
    for (int device = 0; device < CARD_DEVICES_MAX; device++) {
        if (!need.bytes[device] || process_card(device, &view) != CARD_READY)
            continue;
        if (need.bytes[device] > __atomic_load_n(&view.ledger->quota_bytes, __ATOMIC_RELAXED))
            return CUDA_ERROR_OUT_OF_MEMORY;
        pools_note_graphs(device);
    }
    *ret_need = need;
    return CUDA_SUCCESS;
}

static void add_need(const struct charge *charge, void *arg)
{
    struct need *need = arg;
    need->bytes[charge->device] += charge->bytes;
}

static int allocates(const struct need *need)
{
    int device = 0;
    while (device < CARD_DEVICES_MAX && !need->bytes[device])
        device++;
    return device < CARD_DEVICES_MAX;
}

/* What was noted when it was made; 0: it allocates nothing. */
static int recall(CUgraphExec graph, struct need *ret_need)
{
    *ret_need = (struct need){0};
    if (pools_have_graphs())
        blocks_visit(BLOCK_GRAPH, (uintptr_t)graph, add_need, ret_need);
    return allocates(ret_need);
}

static void forget(CUgraphExec graph)
{
    while (blocks_take(BLOCK_GRAPH, (uintptr_t)graph).bytes)
        continue;
}

/* 0 or -ENOMEM, and nothing is noted. */
static int note(CUgraphExec graph, const struct need *need)
{
    int r = 0;
    for (int device = 0; device < CARD_DEVICES_MAX && r == 0; device++)
        if (need->bytes[device])
            r = blocks_add(BLOCK_GRAPH, (uintptr_t)graph,
                           (struct charge){device, need->bytes[device]});
    if (r < 0)
        forget(graph);
    return r;
}

static CUresult remember(CUresult result, const CUgraphExec *exec, const struct need *need)
{
    if (result != CUDA_SUCCESS || note(*exec, need) == 0)
        return result;
    (void)driver_cuGraphExecDestroy(*exec); /* just made */
    return CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult graph_run(CUresult (*call)(CUgraphExec, CUstream), CUgraphExec graph, CUstream stream,
                   enum stream_flavour flavour)
{
    struct need need;
    return recall(graph, &need) ? pools_run_graph(call, graph, stream, flavour, need.bytes)
                                : call(graph, stream);
}

static CUresult instantiate_logged(CUresult (*make)(CUgraphExec *, CUgraph, CUgraphNode *, char *,
                                                    size_t),
                                   CUgraphExec *exec, CUgraph graph, CUgraphNode *wrong, char *log,
                                   size_t log_bytes)
{
    struct need need;
    CUresult result = survey(graph, &need);
    return result == CUDA_SUCCESS ? remember(make(exec, graph, wrong, log, log_bytes), exec, &need)
                                  : result;
}

CUresult api_cuGraphInstantiate(CUgraphExec *exec, CUgraph graph, CUgraphNode *wrong, char *log,
                                size_t log_bytes)
{
    return instantiate_logged(driver_cuGraphInstantiate, exec, graph, wrong, log, log_bytes);
}

CUresult api_cuGraphInstantiate_v2(CUgraphExec *exec, CUgraph graph, CUgraphNode *wrong, char *log,
                                   size_t log_bytes)
{
    return instantiate_logged(driver_cuGraphInstantiate_v2, exec, graph, wrong, log, log_bytes);
}

CUresult api_cuGraphInstantiateWithFlags(CUgraphExec *exec, CUgraph graph, unsigned long long flags)
{
    struct need need;
    CUresult result = survey(graph, &need);
    if (result == CUDA_SUCCESS)
        result = remember(driver_cuGraphInstantiateWithFlags(exec, graph, flags), exec, &need);
    return result;
}

/* One that uploads as well is first made, then uploaded. */
static CUresult instantiate(CUresult (*make)(CUgraphExec *, CUgraph, struct cuda_instantiation *),
                            CUresult (*upload)(CUgraphExec, CUstream), CUgraphExec *exec,
                            CUgraph graph, struct cuda_instantiation *params,
                            enum stream_flavour flavour)
{
    struct need need;
    CUresult result = survey(graph, &need);
    cuuint64_t flags = params ? params->flags : 0;
    if (result != CUDA_SUCCESS)
        return result;
    int uploads = allocates(&need) && (flags & CUDA_INSTANTIATE_UPLOAD);
    if (uploads)
        params->flags = flags & ~(cuuint64_t)CUDA_INSTANTIATE_UPLOAD;
    result = remember(make(exec, graph, params), exec, &need);
    if (!uploads)
        return result;
    params->flags = flags;
    if (result == CUDA_SUCCESS &&
        (result = graph_run(upload, *exec, params->stream, flavour)) != CUDA_SUCCESS)
        (void)api_cuGraphExecDestroy(*exec); /* just made */
    return result;
}

CUresult api_cuGraphInstantiateWithParams(CUgraphExec *exec, CUgraph graph,
                                          struct cuda_instantiation *params)
{
    return instantiate(driver_cuGraphInstantiateWithParams, driver_cuGraphUpload, exec, graph,
                       params, STREAM_LEGACY);
}

CUresult api_cuGraphInstantiateWithParams_ptsz(CUgraphExec *exec, CUgraph graph,
                                               struct cuda_instantiation *params)
{
    return instantiate(driver_cuGraphInstantiateWithParams_ptsz, driver_cuGraphUpload_ptsz, exec,
                       graph, params, STREAM_PER_THREAD);
}

CUresult api_cuGraphUpload(CUgraphExec graph, CUstream stream)
{
    return graph_run(driver_cuGraphUpload, graph, stream, STREAM_LEGACY);
}

CUresult api_cuGraphUpload_ptsz(CUgraphExec graph, CUstream stream)
{
    return graph_run(driver_cuGraphUpload_ptsz, graph, stream, STREAM_PER_THREAD);
}

/* Its memory stays with the device's graph memory, for others, until that is trimmed. */
CUresult api_cuGraphExecDestroy(CUgraphExec graph)
{
    struct need need;
    int known = recall(graph, &need);
    if (known)
        forget(graph);
    CUresult result = driver_cuGraphExecDestroy(graph);
    if (result != CUDA_SUCCESS && known)
        (void)note(graph, &need); /* without memory it is launched uncounted */
    return result;
}

CUresult api_cuDeviceGraphMemTrim(CUdevice device)
{
    CUresult result = driver_cuDeviceGraphMemTrim(device);
    pools_reconcile(device);
    return result;
}
