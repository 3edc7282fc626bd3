/* The nodes of a CUDA session's graphs. A node is added without dependencies; they come in records
 * of their own. */
#include <errno.h>

#include "base/error.h"
#include "card/executor/cuda.h"
#include "cuda_api.h"

#define PAIRS 64u /* of nodes, that the driver is told of at once */

/* How every record of a node begins. */
struct node_record {
    struct wire_header header;
    uint32_t context_id, target_id, node_id, change;
};
#define BEGINS_ALIKE(record) \
    _Static_assert(offsetof(struct record, context_id) == \
                           offsetof(struct node_record, context_id) && \
                       offsetof(struct record, change) == offsetof(struct node_record, change), \
                   "the beginning of a node's record")
BEGINS_ALIKE(wire_cuda_kernel_node);
BEGINS_ALIKE(wire_cuda_copy_node);
BEGINS_ALIKE(wire_cuda_fill_node);

/* What a record changes: where, and how that went. */
struct change {
    uint32_t what; /* enum wire_cuda_change */
    struct cuda_object *node;
    CUgraph graph;
    CUgraphExec exec;
    CUcontext context;
    CUresult status;
};

int cuda_place_node(struct cuda *cuda, uint32_t graph_id, uint32_t id,
                    struct cuda_object **ret_node, struct error *err)
{
    struct cuda_object *graph = &cuda->objects[graph_id];
    if (cuda_place(cuda, id, CUDA_KIND_NODE, ret_node, err) < 0)
        return -EPROTO;
    (*ret_node)->graph_id = graph_id;
    (*ret_node)->context = graph->context; /* they end together */
    graph->has_nodes = 1;
    return 0;
}

/* What the record names; `status` says what the driver has said of it. 0 or -EPROTO. */
static int open_change(struct cuda *cuda, const struct wire_header *header, struct change *ret,
                       struct error *err)
{
    const struct node_record *record = (const void *)header;
    struct cuda_object *target = NULL;
    *ret = (struct change){.what = record->change};
    if (record->change >= WIRE_CUDA_CHANGES)
        return BAD_RECORD(err, "there is no change %u", record->change);
    int adds = ret->what == WIRE_CUDA_NODE_ADD, in_exec = ret->what == WIRE_CUDA_NODE_SET_IN_EXEC;
    if (cuda_enter(cuda, record->context_id, &ret->status, err) < 0 ||
        cuda_get(cuda, record->target_id, in_exec ? CUDA_KIND_EXEC : CUDA_KIND_GRAPH, &target,
                 err) < 0 ||
        (adds ? cuda_place_node(cuda, record->target_id, record->node_id, &ret->node, err)
              : cuda_get(cuda, record->node_id, CUDA_KIND_NODE, &ret->node, err)) < 0)
        return -EPROTO;
    ret->graph = in_exec ? NULL : target->graph;
    ret->exec = in_exec ? target->exec : NULL;
    ret->context = record->context_id ? cuda->objects[record->context_id].context_handle : NULL;
    if (ret->status == CUDA_SUCCESS)
        ret->status = target->error;
    if (ret->status == CUDA_SUCCESS)
        ret->status = ret->node->error;
    return 0;
}

static void close_change(struct cuda *cuda, const struct change *change)
{
    if (change->what == WIRE_CUDA_NODE_ADD)
        change->node->error = change->status;
    if (change->status != CUDA_SUCCESS)
        cuda_fail(cuda, change->status);
}

static CUresult change_kernel(const struct change *change, const struct cuda_kernel_node *kernel)
{
    switch (change->what) {
    case WIRE_CUDA_NODE_ADD:
        return driver_cuGraphAddKernelNode(&change->node->node, change->graph, NULL, 0, kernel);
    case WIRE_CUDA_NODE_SET:
        return driver_cuGraphKernelNodeSetParams(change->node->node, kernel);
    default:
        return driver_cuGraphExecKernelNodeSetParams(change->exec, change->node->node, kernel);
    }
}

int handle_cuda_kernel_node(struct session *session, const struct wire_header *header,
                            struct reply *reply, struct error *err)
{
    const struct wire_cuda_kernel_node *record = (const void *)header;
    struct cuda *cuda = session->cuda;
    struct change change;
    CUfunction function = NULL;
    int result = 0;
    if (open_change(cuda, header, &change, err) < 0)
        return -EPROTO;
    if (change.status == CUDA_SUCCESS)
        change.status =
            cuda_function(cuda, record->module_id, record->function, &function, &result, err);
    if (result < 0)
        return result;
    size_t bytes = record->parameters_bytes;
    void *extra[] = {CUDA_LAUNCH_BLOCK, wire_cuda_kernel_node_parameters(record),
                     CUDA_LAUNCH_BLOCK_BYTES, &bytes, CUDA_LAUNCH_END};
    const struct cuda_kernel_node kernel = {.function = function,
                                            .grid_x = record->grid_x,
                                            .grid_y = record->grid_y,
                                            .grid_z = record->grid_z,
                                            .block_x = record->block_x,
                                            .block_y = record->block_y,
                                            .block_z = record->block_z,
                                            .shared_bytes = record->shared_bytes,
                                            .extra = bytes ? extra : NULL};
    if (change.status == CUDA_SUCCESS)
        change.status = change_kernel(&change, &kernel);
    close_change(cuda, &change);
    return 0;
}

static CUresult change_copy(const struct change *change, const struct cuda_copy *copy)
{
    switch (change->what) {
    case WIRE_CUDA_NODE_ADD:
        return driver_cuGraphAddMemcpyNode(&change->node->node, change->graph, NULL, 0, copy,
                                           change->context);
    case WIRE_CUDA_NODE_SET:
        return driver_cuGraphMemcpyNodeSetParams(change->node->node, copy);
    default:
        return driver_cuGraphExecMemcpyNodeSetParams(change->exec, change->node->node, copy,
                                                     change->context);
    }
}

int handle_cuda_copy_node(struct session *session, const struct wire_header *header,
                          struct reply *reply, struct error *err)
{
    const struct wire_cuda_copy_node *record = (const void *)header;
    const struct cuda_copy copy = {.from = {.type = CUDA_SIDE_DEVICE,
                                            .device = record->from,
                                            .pitch = record->from_pitch,
                                            .height = record->from_height},
                                   .to = {.type = CUDA_SIDE_DEVICE,
                                          .device = record->to,
                                          .pitch = record->to_pitch,
                                          .height = record->to_height},
                                   .row_bytes = record->row_bytes,
                                   .rows = record->rows,
                                   .depth = record->depth};
    struct change change;
    if (open_change(session->cuda, header, &change, err) < 0)
        return -EPROTO;
    if (change.status == CUDA_SUCCESS)
        change.status = change_copy(&change, &copy);
    close_change(session->cuda, &change);
    return 0;
}

static CUresult change_fill(const struct change *change, const struct cuda_fill *fill)
{
    switch (change->what) {
    case WIRE_CUDA_NODE_ADD:
        return driver_cuGraphAddMemsetNode(&change->node->node, change->graph, NULL, 0, fill,
                                           change->context);
    case WIRE_CUDA_NODE_SET:
        return driver_cuGraphMemsetNodeSetParams(change->node->node, fill);
    default:
        return driver_cuGraphExecMemsetNodeSetParams(change->exec, change->node->node, fill,
                                                     change->context);
    }
}

int handle_cuda_fill_node(struct session *session, const struct wire_header *header,
                          struct reply *reply, struct error *err)
{
    const struct wire_cuda_fill_node *record = (const void *)header;
    const struct cuda_fill fill = {.to = record->address,
                                   .pitch = record->pitch,
                                   .item = record->item,
                                   .item_bytes = record->item_bytes,
                                   .columns = record->columns,
                                   .rows = record->rows};
    struct change change;
    if (open_change(session->cuda, header, &change, err) < 0)
        return -EPROTO;
    if (change.status == CUDA_SUCCESS)
        change.status = change_fill(&change, &fill);
    close_change(session->cuda, &change);
    return 0;
}

/* ---- dependencies ---- */

/* A node of a pair, and what the driver has said of it. */
static int get_node(struct cuda *cuda, uint32_t id, CUgraphNode *ret_node, CUresult *status,
                    struct error *err)
{
    struct cuda_object *node;
    if (cuda_get(cuda, id, CUDA_KIND_NODE, &node, err) < 0)
        return -EPROTO;
    *ret_node = node->node;
    if (*status == CUDA_SUCCESS)
        *status = node->error;
    return 0;
}

/* Up to PAIRS pairs. */
static int change_edges(struct cuda *cuda, CUgraph graph, const uint32_t *ids, uint32_t pairs,
                        int removes, CUresult *status, struct error *err)
{
    CUgraphNode from[PAIRS], to[PAIRS];
    for (uint32_t i = 0; i < pairs; i++)
        if (get_node(cuda, ids[2 * (size_t)i], &from[i], status, err) < 0 ||
            get_node(cuda, ids[2 * (size_t)i + 1], &to[i], status, err) < 0)
            return -EPROTO;
    if (*status == CUDA_SUCCESS)
        *status = removes ? driver_cuGraphRemoveDependencies(graph, from, to, pairs)
                          : driver_cuGraphAddDependencies(graph, from, to, pairs);
    return 0;
}

int handle_cuda_edges(struct session *session, const struct wire_header *header,
                      struct reply *reply, struct error *err)
{
    const struct wire_cuda_edges *record = (const void *)header;
    const uint32_t *ids = wire_cuda_edges_nodes(record);
    struct cuda *cuda = session->cuda;
    struct cuda_object *graph;
    if (record->count % 2)
        return BAD_RECORD(err, "%u numbers are no pairs", record->count);
    if (cuda_get(cuda, record->graph_id, CUDA_KIND_GRAPH, &graph, err) < 0)
        return -EPROTO;
    CUresult status = graph->error;
    for (uint32_t done = 0, left = record->count / 2; left > 0;) {
        uint32_t pairs = left < PAIRS ? left : PAIRS;
        if (change_edges(cuda, graph->graph, ids + 2 * (size_t)done, pairs, record->removes != 0,
                         &status, err) < 0)
            return -EPROTO;
        done += pairs;
        left -= pairs;
    }
    if (status != CUDA_SUCCESS)
        cuda_fail(cuda, status);
    return 0;
}
