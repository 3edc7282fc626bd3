/* A remote card: graphs. Nodes are told of as they are added, without their dependencies, which
 * follow as pairs; what the driver says of them shows when the graph is instantiated. */
#include "card/cuda/remote_graph.h"

#include "card/cuda/remote_module.h"
#include "cuda_api.h"

#define PAIRS 512u /* of nodes, in one record */

/* What a record of a node is about. */
struct change {
    enum wire_cuda_change what;
    uint32_t target, node, context;
};

typedef CUresult sender(const struct change *change, const void *params);

/* ---- dependencies ---- */

static int are_nodes(const CUgraphNode *nodes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!nodes || !remote_is(nodes[i], REMOTE_NODE))
            return 0;
    return 1;
}

/* `to` NULL: all lead to `end`. */
static CUresult send_pairs(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to,
                           CUgraphNode end, size_t count, int removes)
{
    while (count > 0) {
        uint32_t pairs = count < PAIRS ? (uint32_t)count : PAIRS;
        uint64_t length = sizeof(struct wire_cuda_edges) + (uint64_t)pairs * 2 * sizeof(uint32_t);
        struct wire_cuda_edges *record = remote_begin(length);
        if (!record)
            return CUDA_ERROR_SYSTEM_NOT_READY;
        record->graph_id = graph->object.id;
        record->removes = (uint32_t)removes;
        record->count = pairs * 2;
        uint32_t *ids = wire_cuda_edges_nodes(record);
        for (uint32_t i = 0; i < pairs; i++) {
            ids[2 * (size_t)i] = from[i]->object.id;
            ids[2 * (size_t)i + 1] = (to ? to[i] : end)->object.id;
        }
        CUresult result = remote_post(record, WIRE_CUDA_EDGES, length);
        if (result != CUDA_SUCCESS)
            return result;
        from += pairs;
        to = to ? to + pairs : NULL;
        count -= pairs;
    }
    return CUDA_SUCCESS;
}

static CUresult change_edges(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to,
                             size_t count, int removes)
{
    if (!remote_is(graph, REMOTE_GRAPH) || !are_nodes(from, count) || !are_nodes(to, count))
        return CUDA_ERROR_INVALID_VALUE;
    return send_pairs(graph, from, to, NULL, count, removes);
}

CUresult remote_cuGraphAddDependencies(CUgraph graph, const CUgraphNode *from,
                                       const CUgraphNode *to, size_t count)
{
    return change_edges(graph, from, to, count, 0);
}

CUresult remote_cuGraphRemoveDependencies(CUgraph graph, const CUgraphNode *from,
                                          const CUgraphNode *to, size_t count)
{
    return change_edges(graph, from, to, count, 1);
}

CUresult remote_cuGraphAddDependencies_v2(CUgraph graph, const CUgraphNode *from,
                                          const CUgraphNode *to, const void *edges, size_t count)
{
    return edges ? CUDA_ERROR_NOT_SUPPORTED : change_edges(graph, from, to, count, 0);
}

CUresult remote_cuGraphRemoveDependencies_v2(CUgraph graph, const CUgraphNode *from,
                                             const CUgraphNode *to, const void *edges, size_t count)
{
    return edges ? CUDA_ERROR_NOT_SUPPORTED : change_edges(graph, from, to, count, 1);
}

/* ---- nodes ---- */

static void drop_node(CUgraphNode node)
{
    *node->at = node->next;
    if (node->next)
        node->next->at = node->at;
    remote_destroy(node);
}

static CUresult add_node(CUgraphNode *ret_node, CUgraph graph, const CUgraphNode *after,
                         size_t count, int type, CUcontext context, sender *send,
                         const void *params)
{
    struct change change = {.what = WIRE_CUDA_NODE_ADD};
    CUresult result = remote_context_id_of(context, &change.context);
    if (!ret_node || !remote_is(graph, REMOTE_GRAPH) || !are_nodes(after, count))
        return CUDA_ERROR_INVALID_VALUE;
    if (result != CUDA_SUCCESS)
        return result;
    CUgraphNode node = remote_create(REMOTE_NODE, sizeof(*node));
    if (!node)
        return CUDA_ERROR_OUT_OF_MEMORY;
    node->graph = graph;
    node->type = type;
    node->next = graph->nodes;
    node->at = &graph->nodes;
    if (node->next)
        node->next->at = &node->next;
    graph->nodes = node;
    change.target = graph->object.id;
    change.node = node->object.id;
    result = send(&change, params);
    if (result == CUDA_SUCCESS)
        result = send_pairs(graph, after, NULL, node, count, 0);
    if (result == CUDA_SUCCESS)
        *ret_node = node;
    else
        drop_node(node);
    return result;
}

/* In the graph, or in what was made of it: `exec`, which is NULL for none. */
static CUresult set_node(CUgraphNode node, int type, const CUgraphExec *exec, CUcontext context,
                         sender *send, const void *params)
{
    struct change change = {.what = exec ? WIRE_CUDA_NODE_SET_IN_EXEC : WIRE_CUDA_NODE_SET};
    if (!remote_is(node, REMOTE_NODE) || (exec && !remote_is(*exec, REMOTE_EXEC)))
        return CUDA_ERROR_INVALID_HANDLE;
    if (node->type != type)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult result = remote_context_id_of(context, &change.context);
    change.target = exec ? (*exec)->object.id : node->graph->object.id;
    change.node = node->object.id;
    return result == CUDA_SUCCESS ? send(&change, params) : result;
}

CUresult remote_cuGraphNodeGetType(CUgraphNode node, int *type)
{
    if (!remote_is(node, REMOTE_NODE))
        return CUDA_ERROR_INVALID_HANDLE;
    if (!type)
        return CUDA_ERROR_INVALID_VALUE;
    *type = node->type;
    return CUDA_SUCCESS;
}

CUresult remote_cuGraphDestroyNode(CUgraphNode node)
{
    if (!remote_is(node, REMOTE_NODE))
        return CUDA_ERROR_INVALID_HANDLE;
    const struct remote_call call = {.call = WIRE_CUDA_NODE_DESTROY, .object = node->object.id};
    CUresult result = remote_tell(&call);
    drop_node(node);
    return result;
}

/* ---- kernels ---- */

static CUresult send_kernel(const struct change *change, const void *params)
{
    const struct cuda_kernel_node *kernel = params;
    struct remote_parameters parameters;
    if (!kernel)
        return CUDA_ERROR_INVALID_VALUE;
    CUfunction function = kernel->function;
    if (!remote_is(function, REMOTE_FUNCTION))
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult result = remote_parameters_read(function, kernel->params, kernel->extra, &parameters);
    if (result != CUDA_SUCCESS)
        return result;
    uint64_t length = sizeof(struct wire_cuda_kernel_node) + wire_pad8(parameters.block_bytes);
    struct wire_cuda_kernel_node *record = remote_begin(length);
    if (!record)
        return CUDA_ERROR_SYSTEM_NOT_READY;
    record->context_id = change->context;
    record->target_id = change->target;
    record->node_id = change->node;
    record->change = change->what;
    record->module_id = remote_id(function->module);
    record->function = function->index;
    record->grid_x = kernel->grid_x;
    record->grid_y = kernel->grid_y;
    record->grid_z = kernel->grid_z;
    record->block_x = kernel->block_x;
    record->block_y = kernel->block_y;
    record->block_z = kernel->block_z;
    record->shared_bytes = kernel->shared_bytes;
    record->parameters_bytes = (uint32_t)parameters.block_bytes;
    remote_parameters_put(function, &parameters, wire_cuda_kernel_node_parameters(record));
    return remote_post(record, WIRE_CUDA_KERNEL_NODE, length);
}

CUresult remote_cuGraphAddKernelNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *after,
                                     size_t count, const struct cuda_kernel_node *params)
{
    return add_node(node, graph, after, count, CUDA_NODE_KERNEL, NULL, send_kernel, params);
}

CUresult remote_cuGraphAddKernelNode_v2(CUgraphNode *node, CUgraph graph, const CUgraphNode *after,
                                        size_t count, const struct cuda_kernel_node *params)
{
    return add_node(node, graph, after, count, CUDA_NODE_KERNEL, params ? params->context : NULL,
                    send_kernel, params);
}

CUresult remote_cuGraphKernelNodeSetParams(CUgraphNode node, const struct cuda_kernel_node *params)
{
    return set_node(node, CUDA_NODE_KERNEL, NULL, NULL, send_kernel, params);
}

CUresult remote_cuGraphKernelNodeSetParams_v2(CUgraphNode node,
                                              const struct cuda_kernel_node *params)
{
    return set_node(node, CUDA_NODE_KERNEL, NULL, params ? params->context : NULL, send_kernel,
                    params);
}

CUresult remote_cuGraphExecKernelNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                               const struct cuda_kernel_node *params)
{
    return set_node(node, CUDA_NODE_KERNEL, &exec, NULL, send_kernel, params);
}

CUresult remote_cuGraphExecKernelNodeSetParams_v2(CUgraphExec exec, CUgraphNode node,
                                                  const struct cuda_kernel_node *params)
{
    return set_node(node, CUDA_NODE_KERNEL, &exec, params ? params->context : NULL, send_kernel,
                    params);
}

/* ---- copies and fills ---- */

/* Where a side of a copy begins. What a program's own memory holds at a launch is not known to who
 * runs the graph. */
static CUresult start_of(const struct cuda_copy_side *side, uint64_t *ret_address)
{
    int is_device = side->type == CUDA_SIDE_DEVICE ||
                    (side->type == CUDA_SIDE_UNIFIED && remote_memory_has(side->device));
    if (!is_device)
        return CUDA_ERROR_NOT_SUPPORTED;
    *ret_address = side->device + side->x_bytes + (side->y + side->z * side->height) * side->pitch;
    return CUDA_SUCCESS;
}

static CUresult send_copy(const struct change *change, const void *params)
{
    const struct cuda_copy *copy = params;
    uint64_t from, to;
    if (!copy)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult result = start_of(&copy->from, &from);
    if (result == CUDA_SUCCESS)
        result = start_of(&copy->to, &to);
    if (result != CUDA_SUCCESS)
        return result;
    struct wire_cuda_copy_node *record = remote_begin(sizeof(*record));
    if (!record)
        return CUDA_ERROR_SYSTEM_NOT_READY;
    record->context_id = change->context;
    record->target_id = change->target;
    record->node_id = change->node;
    record->change = change->what;
    record->to = to;
    record->to_pitch = copy->to.pitch;
    record->to_height = copy->to.height;
    record->from = from;
    record->from_pitch = copy->from.pitch;
    record->from_height = copy->from.height;
    record->row_bytes = copy->row_bytes;
    record->rows = copy->rows;
    record->depth = copy->depth;
    return remote_post(record, WIRE_CUDA_COPY_NODE, sizeof(*record));
}

static CUresult send_fill(const struct change *change, const void *params)
{
    const struct cuda_fill *fill = params;
    if (!fill)
        return CUDA_ERROR_INVALID_VALUE;
    struct wire_cuda_fill_node *record = remote_begin(sizeof(*record));
    if (!record)
        return CUDA_ERROR_SYSTEM_NOT_READY;
    record->context_id = change->context;
    record->target_id = change->target;
    record->node_id = change->node;
    record->change = change->what;
    record->item_bytes = fill->item_bytes;
    record->item = fill->item;
    record->address = fill->to;
    record->pitch = fill->pitch;
    record->columns = fill->columns;
    record->rows = fill->rows;
    return remote_post(record, WIRE_CUDA_FILL_NODE, sizeof(*record));
}

CUresult remote_cuGraphAddMemcpyNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *after,
                                     size_t count, const struct cuda_copy *copy, CUcontext context)
{
    return add_node(node, graph, after, count, CUDA_NODE_COPY, context, send_copy, copy);
}

CUresult remote_cuGraphMemcpyNodeSetParams(CUgraphNode node, const struct cuda_copy *copy)
{
    return set_node(node, CUDA_NODE_COPY, NULL, NULL, send_copy, copy);
}

CUresult remote_cuGraphExecMemcpyNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                               const struct cuda_copy *copy, CUcontext context)
{
    return set_node(node, CUDA_NODE_COPY, &exec, context, send_copy, copy);
}

CUresult remote_cuGraphAddMemsetNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *after,
                                     size_t count, const struct cuda_fill *fill, CUcontext context)
{
    return add_node(node, graph, after, count, CUDA_NODE_FILL, context, send_fill, fill);
}

CUresult remote_cuGraphMemsetNodeSetParams(CUgraphNode node, const struct cuda_fill *fill)
{
    return set_node(node, CUDA_NODE_FILL, NULL, NULL, send_fill, fill);
}

CUresult remote_cuGraphExecMemsetNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                               const struct cuda_fill *fill, CUcontext context)
{
    return set_node(node, CUDA_NODE_FILL, &exec, context, send_fill, fill);
}

/* ---- others ---- */

static CUresult send_empty(const struct change *change, const void *params)
{
    const struct remote_call call = {
        .call = WIRE_CUDA_NODE_EMPTY, .object = change->node, .other = change->target};
    return remote_tell(&call);
}

static CUresult send_child(const struct change *change, const void *params)
{
    const struct remote_call call = {.call = WIRE_CUDA_NODE_CHILD,
                                     .object = change->node,
                                     .other = change->target,
                                     .first = remote_id(params)};
    return remote_tell(&call);
}

CUresult remote_cuGraphAddEmptyNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *after,
                                    size_t count)
{
    return add_node(node, graph, after, count, CUDA_NODE_EMPTY, NULL, send_empty, NULL);
}

CUresult remote_cuGraphAddChildGraphNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *after,
                                         size_t count, CUgraph child)
{
    return remote_is(child, REMOTE_GRAPH) && child != graph
               ? add_node(node, graph, after, count, CUDA_NODE_GRAPH, NULL, send_child, child)
               : CUDA_ERROR_INVALID_VALUE;
}

/* ---- graphs ---- */

CUresult remote_cuGraphCreate(CUgraph *graph, unsigned flags)
{
    struct remote_call call = {.call = WIRE_CUDA_GRAPH_CREATE};
    return flags ? CUDA_ERROR_INVALID_VALUE
                 : remote_make(REMOTE_GRAPH, sizeof(**graph), &call, (void **)graph);
}

/* The numbers of its nodes are free when the executor has been told. */
CUresult remote_cuGraphDestroy(CUgraph graph)
{
    CUgraphNode node = remote_is(graph, REMOTE_GRAPH) ? graph->nodes : NULL;
    CUresult result = remote_end(graph, REMOTE_GRAPH, WIRE_CUDA_GRAPH_DESTROY);
    while (node) {
        CUgraphNode next = node->next;
        remote_destroy(node);
        node = next;
    }
    return result;
}

CUresult remote_cuGraphInstantiateWithFlags(CUgraphExec *exec, CUgraph graph,
                                            unsigned long long flags)
{
    if (!remote_is(graph, REMOTE_GRAPH))
        return CUDA_ERROR_INVALID_HANDLE;
    struct remote_call call = {
        .call = WIRE_CUDA_GRAPH_INSTANTIATE, .other = graph->object.id, .first = flags};
    return remote_make_now(REMOTE_EXEC, sizeof(**exec), &call, (void **)exec);
}

/* The driver's log and the node that it is about stay where the driver is. */
CUresult remote_cuGraphInstantiate_v2(CUgraphExec *exec, CUgraph graph, CUgraphNode *wrong,
                                      char *log, size_t log_bytes)
{
    if (wrong)
        *wrong = NULL;
    if (log && log_bytes)
        log[0] = '\0';
    return remote_cuGraphInstantiateWithFlags(exec, graph, 0);
}

CUresult remote_cuGraphInstantiate(CUgraphExec *exec, CUgraph graph, CUgraphNode *wrong, char *log,
                                   size_t log_bytes)
{
    return remote_cuGraphInstantiate_v2(exec, graph, wrong, log, log_bytes);
}

CUresult remote_cuGraphExecDestroy(CUgraphExec exec)
{
    return remote_end(exec, REMOTE_EXEC, WIRE_CUDA_EXEC_DESTROY);
}

CUresult remote_cuGraphLaunch(CUgraphExec exec, CUstream stream)
{
    return remote_tell_on_stream(WIRE_CUDA_GRAPH_LAUNCH, exec, REMOTE_EXEC, stream, 0);
}
