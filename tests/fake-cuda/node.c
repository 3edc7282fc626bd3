/* The fake driver: nodes of graphs that compute, and the order in which they run. */
#include <stdlib.h>
#include <string.h>

#include "fake-cuda/driver.h"
#include "fake-cuda/graph.h"

CUresult cuMemsetD2D8Async(CUdeviceptr, size_t, unsigned char, size_t, size_t, CUstream);
CUresult cuMemsetD2D16Async(CUdeviceptr, size_t, unsigned short, size_t, size_t, CUstream);
CUresult cuMemsetD2D32Async(CUdeviceptr, size_t, unsigned, size_t, size_t, CUstream);

/* ---- dependencies ---- */

void graph_depend(CUgraph graph, CUgraphNode node, const CUgraphNode *after, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct edge *edge = calloc(1, sizeof(*edge));
        *edge = (struct edge){after[i], node, graph->edges};
        graph->edges = edge;
    }
}

API CUresult cuGraphAddDependencies(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to,
                                    size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (from[i] == to[i])
            return CUDA_ERROR_INVALID_VALUE;
        graph_depend(graph, to[i], &from[i], 1);
    }
    return CUDA_SUCCESS;
}

static struct edge **find(CUgraph graph, CUgraphNode from, CUgraphNode to)
{
    struct edge **at = &graph->edges;
    while (*at && ((*at)->from != from || (*at)->to != to))
        at = &(*at)->next;
    return at;
}

API CUresult cuGraphRemoveDependencies(CUgraph graph, const CUgraphNode *from,
                                       const CUgraphNode *to, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct edge **at = find(graph, from[i], to[i]), *gone = *at;
        if (!gone)
            return CUDA_ERROR_INVALID_VALUE;
        *at = gone->next;
        free(gone);
    }
    return CUDA_SUCCESS;
}

static int is_ready(CUgraph graph, CUgraphNode node)
{
    for (struct edge *edge = graph->edges; edge; edge = edge->next)
        if (edge->to == node && !edge->from->placed)
            return 0;
    return 1;
}

static CUresult place(CUgraphNode node, CUgraphExec exec)
{
    node->placed = 1;
    if (node->child)
        return graph_order(node->child, exec);
    exec->steps = realloc(exec->steps, (exec->count + 1) * sizeof(*exec->steps));
    exec->steps[exec->count++] = (struct step){node, node->work};
    return CUDA_SUCCESS;
}

CUresult graph_order(CUgraph graph, CUgraphExec exec)
{
    CUresult result = CUDA_SUCCESS;
    unsigned left = 0, before = 0;
    for (CUgraphNode node = graph->nodes; node; node = node->next) {
        node->placed = 0;
        left++;
    }
    while (left != before && result == CUDA_SUCCESS) {
        before = left;
        for (CUgraphNode node = graph->nodes; node && result == CUDA_SUCCESS; node = node->next) {
            if (node->placed || !is_ready(graph, node))
                continue;
            result = place(node, exec);
            left--;
        }
    }
    return left ? CUDA_ERROR_INVALID_VALUE : result;
}

/* ---- what nodes do ---- */

static void copy(const struct cuda_copy *copy)
{
    for (size_t z = 0; z < copy->depth; z++)
        for (size_t y = 0; y < copy->rows; y++) {
            CUdeviceptr to = copy->to.device + copy->to.x_bytes +
                             (copy->to.y + y + (copy->to.z + z) * copy->to.height) * copy->to.pitch;
            CUdeviceptr from =
                copy->from.device + copy->from.x_bytes +
                (copy->from.y + y + (copy->from.z + z) * copy->from.height) * copy->from.pitch;
            memmove((void *)(uintptr_t)to, (const void *)(uintptr_t)from, copy->row_bytes);
        }
}

static CUresult fill(const struct cuda_fill *fill, CUstream stream)
{
    switch (fill->item_bytes) {
    case 1:
        return cuMemsetD2D8Async(fill->to, fill->pitch, (unsigned char)fill->item, fill->columns,
                                 fill->rows, stream);
    case 2:
        return cuMemsetD2D16Async(fill->to, fill->pitch, (unsigned short)fill->item, fill->columns,
                                  fill->rows, stream);
    default:
        return cuMemsetD2D32Async(fill->to, fill->pitch, fill->item, fill->columns, fill->rows,
                                  stream);
    }
}

CUresult graph_run(CUgraphExec exec, CUstream stream)
{
    CUresult result = CUDA_SUCCESS;
    for (unsigned i = 0; i < exec->count && result == CUDA_SUCCESS; i++) {
        const struct work *work = &exec->steps[i].work;
        if (work->type == CUDA_NODE_KERNEL)
            result = fake_launch(work->function, stream, work->parameters);
        else if (work->type == CUDA_NODE_COPY)
            copy(&work->copy);
        else if (work->type == CUDA_NODE_FILL)
            result = fill(&work->fill, stream);
    }
    return result;
}

/* ---- adding nodes, and changing them ---- */

/* The work of a node in its graph, or in what was made of it. */
static struct work *work_of(CUgraphExec exec, CUgraphNode node)
{
    for (unsigned i = 0; exec && i < exec->count; i++)
        if (exec->steps[i].node == node)
            return &exec->steps[i].work;
    return exec ? NULL : &node->work;
}

static CUresult set_kernel(struct work *work, const struct cuda_kernel_node *params)
{
    if (!work || work->type != CUDA_NODE_KERNEL)
        return CUDA_ERROR_INVALID_VALUE;
    work->function = params->function;
    return fake_pack(params->function, params->params, params->extra, work->parameters);
}

static CUresult set_copy(struct work *work, const struct cuda_copy *params)
{
    if (!work || work->type != CUDA_NODE_COPY)
        return CUDA_ERROR_INVALID_VALUE;
    if (params->from.type != CUDA_SIDE_DEVICE || params->to.type != CUDA_SIDE_DEVICE)
        return CUDA_ERROR_NOT_SUPPORTED;
    work->copy = *params;
    return CUDA_SUCCESS;
}

static CUresult set_fill(struct work *work, const struct cuda_fill *params)
{
    int is_size = params->item_bytes == 1 || params->item_bytes == 2 || params->item_bytes == 4;
    if (!work || work->type != CUDA_NODE_FILL || !is_size)
        return CUDA_ERROR_INVALID_VALUE;
    work->fill = *params;
    return CUDA_SUCCESS;
}

static CUgraphNode add(CUgraphNode *ret_node, CUgraph graph, const CUgraphNode *after, size_t count,
                       int type)
{
    *ret_node = graph_add(graph, type);
    graph_depend(graph, *ret_node, after, count);
    return *ret_node;
}

API CUresult cuGraphAddEmptyNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *after,
                                 size_t count)
{
    (void)add(node, graph, after, count, CUDA_NODE_EMPTY);
    return CUDA_SUCCESS;
}

API CUresult cuGraphAddKernelNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *after,
                                  size_t count, const struct cuda_kernel_node *params)
{
    return set_kernel(&add(node, graph, after, count, CUDA_NODE_KERNEL)->work, params);
}

API CUresult cuGraphAddKernelNode_v2(CUgraphNode *node, CUgraph graph, const CUgraphNode *after,
                                     size_t count, const struct cuda_kernel_node *params)
{
    return cuGraphAddKernelNode(node, graph, after, count, params);
}

API CUresult cuGraphKernelNodeSetParams(CUgraphNode node, const struct cuda_kernel_node *params)
{
    return set_kernel(&node->work, params);
}

API CUresult cuGraphExecKernelNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                            const struct cuda_kernel_node *params)
{
    return set_kernel(work_of(exec, node), params);
}

API CUresult cuGraphAddMemcpyNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *after,
                                  size_t count, const struct cuda_copy *params, CUcontext context)
{
    return set_copy(&add(node, graph, after, count, CUDA_NODE_COPY)->work, params);
}

API CUresult cuGraphMemcpyNodeSetParams(CUgraphNode node, const struct cuda_copy *params)
{
    return set_copy(&node->work, params);
}

API CUresult cuGraphExecMemcpyNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                            const struct cuda_copy *params, CUcontext context)
{
    return set_copy(work_of(exec, node), params);
}

API CUresult cuGraphAddMemsetNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *after,
                                  size_t count, const struct cuda_fill *params, CUcontext context)
{
    return set_fill(&add(node, graph, after, count, CUDA_NODE_FILL)->work, params);
}

API CUresult cuGraphMemsetNodeSetParams(CUgraphNode node, const struct cuda_fill *params)
{
    return set_fill(&node->work, params);
}

API CUresult cuGraphExecMemsetNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                            const struct cuda_fill *params, CUcontext context)
{
    return set_fill(work_of(exec, node), params);
}
