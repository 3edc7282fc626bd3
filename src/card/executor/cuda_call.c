/* The calls that numbers are enough for: a table of what each does with the driver. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "card/executor/cuda.h"
#include "card/executor/cuda_wait.h"
#include "card/ledger/ledger.h"
#include "cuda_api.h"

/* The call under way. What breaks the protocol goes to `result` and `err`. */
struct call {
    struct cuda *cuda;
    const struct wire_cuda_ask *record;
    struct reply *reply;
    int result;
    struct error *err;
};

/* ---- what the fields name; NULL: not there (the protocol is broken), or refused by the driver
 * ---- */

static struct cuda_object *named(struct call *call, uint32_t id, enum cuda_kind kind,
                                 CUresult *ret_status)
{
    struct cuda_object *object = NULL;
    *ret_status = CUDA_ERROR_INVALID_HANDLE;
    if (cuda_get(call->cuda, id, kind, &object, call->err) < 0) {
        call->result = call->err->errnum;
        return NULL;
    }
    *ret_status = object->error;
    return object->error ? NULL : object;
}

static struct cuda_object *placed(struct call *call, uint32_t id, enum cuda_kind kind)
{
    struct cuda_object *object = NULL;
    if (cuda_place(call->cuda, id, kind, &object, call->err) < 0)
        call->result = call->err->errnum;
    else
        object->context = call->record->context_id;
    return object;
}

static CUresult stream_named(struct call *call, uint32_t id, CUstream *ret_stream)
{
    CUresult status = CUDA_ERROR_INVALID_HANDLE;
    if (cuda_stream(call->cuda, id, ret_stream, &status, call->err) < 0)
        call->result = call->err->errnum;
    return status;
}

/* What the record's object does on its other one, a stream. */
static const struct cuda_object *on_stream(struct call *call, enum cuda_kind kind,
                                           CUstream *ret_stream, CUresult *ret_status)
{
    *ret_status = stream_named(call, call->record->other_id, ret_stream);
    return *ret_status == CUDA_SUCCESS ? named(call, call->record->object_id, kind, ret_status)
                                       : NULL;
}

/* What was made, or not: the place keeps the error. */
static CUresult made(struct cuda_object *object, CUresult status)
{
    object->error = status;
    return status;
}

/* Its client waits: what was not made has no place, and nothing of it is the driver's. */
static CUresult made_or_told(struct call *call, struct cuda_object *object, CUresult status)
{
    object->error = status;
    if (status != CUDA_SUCCESS)
        cuda_drop(call->cuda, object);
    return status;
}

/* The card remembers it for whoever asks why the program failed. */
static CUresult runtime_refused(struct call *call)
{
    __atomic_store_n(&call->cuda->session->ledger->runtime_refused, 1, __ATOMIC_RELAXED);
    return CUDA_SUCCESS;
}

/* ---- contexts ---- */

static CUresult nothing(struct call *call)
{
    return CUDA_SUCCESS;
}

static CUresult context_create(struct call *call)
{
    struct cuda *cuda = call->cuda;
    struct cuda_object *object = placed(call, call->record->object_id, CUDA_KIND_CONTEXT);
    unsigned flags = (unsigned)call->record->first;
    CUresult status;
    if (!object)
        return CUDA_ERROR_INVALID_VALUE;
    object->context = call->record->second == 1;
    if (object->context) {
        (void)driver_cuDevicePrimaryCtxSetFlags_v2(cuda->device, flags); /* others are used then */
        status = driver_cuDevicePrimaryCtxRetain(&object->context_handle, cuda->device);
    } else {
        status = driver_cuCtxCreate_v2(&object->context_handle, flags, cuda->device);
        if (status == CUDA_SUCCESS)
            cuda->current = call->record->object_id; /* as the driver has made it */
    }
    return made_or_told(call, object, status);
}

static CUresult context_destroy(struct call *call)
{
    CUresult status;
    uint32_t id = call->record->object_id;
    return named(call, id, CUDA_KIND_CONTEXT, &status) ? cuda_context_end(call->cuda, id) : status;
}

/* Only whoever asks is answered later. */
static CUresult wait_for(struct call *call, struct cuda_wait wait)
{
    const struct wire_cuda_ask *record = call->record;
    wait.context = cuda_context(call->cuda, record->context_id);
    return record->header.opcode == WIRE_CUDA_ASK
               ? cuda_wait(call->cuda, &wait, record->header.sequence, call->reply)
               : CUDA_ERROR_NOT_SUPPORTED;
}

static CUresult context_wait(struct call *call)
{
    return wait_for(call, (struct cuda_wait){.kind = CUDA_WAIT_CONTEXT});
}

static CUresult limit_set(struct call *call)
{
    return driver_cuCtxSetLimit((int)call->record->first, call->record->second);
}

static CUresult limit_get(struct call *call)
{
    size_t value = 0;
    CUresult status = driver_cuCtxGetLimit(&value, (int)call->record->first);
    call->reply->value = value;
    return status;
}

/* ---- memory and functions ---- */

static CUresult memory_take(struct call *call)
{
    return cuda_memory_take(call->cuda, call->record->context_id, call->record->first,
                            &call->reply->value);
}

static CUresult memory_give(struct call *call)
{
    return cuda_memory_give(call->cuda, call->record->first);
}

static CUresult memory_left(struct call *call)
{
    size_t left = 0, whole;
    CUresult status = api_cuMemGetInfo_v2(&left, &whole);
    call->reply->value = left;
    return status;
}

static CUresult module_unload(struct call *call)
{
    CUresult status;
    struct cuda_object *module = named(call, call->record->object_id, CUDA_KIND_MODULE, &status);
    if (module)
        cuda_drop(call->cuda, module);
    return status;
}

static CUresult function_named(struct call *call, CUfunction *ret_function)
{
    return cuda_function(call->cuda, call->record->object_id, call->record->other_id, ret_function,
                         &call->result, call->err);
}

static CUresult function_set(struct call *call)
{
    CUfunction function = NULL;
    CUresult status = function_named(call, &function);
    return status == CUDA_SUCCESS ? driver_cuFuncSetAttribute(function, (int)call->record->first,
                                                              (int)call->record->second)
                                  : status;
}

static CUresult function_occupancy(struct call *call)
{
    CUfunction function = NULL;
    int blocks = 0;
    CUresult status = function_named(call, &function);
    if (status == CUDA_SUCCESS)
        status = driver_cuOccupancyMaxActiveBlocksPerMultiprocessor(
            &blocks, function, (int)call->record->first, call->record->second);
    call->reply->value = (uint64_t)blocks;
    return status;
}

/* ---- streams and events ---- */

static CUresult stream_create(struct call *call)
{
    struct cuda_object *object = placed(call, call->record->object_id, CUDA_KIND_STREAM);
    return object ? made(object, driver_cuStreamCreateWithPriority(&object->stream,
                                                                   (unsigned)call->record->first,
                                                                   (int)call->record->second))
                  : CUDA_ERROR_INVALID_VALUE;
}

static CUresult event_create(struct call *call)
{
    struct cuda_object *object = placed(call, call->record->object_id, CUDA_KIND_EVENT);
    return object
               ? made(object, driver_cuEventCreate(&object->event, (unsigned)call->record->first))
               : CUDA_ERROR_INVALID_VALUE;
}

/* A refused one is there all the same, to be forgotten. */
static CUresult forget(struct call *call, enum cuda_kind kind)
{
    struct cuda_object *object;
    uint32_t id = call->record->object_id;
    if (id && id < WIRE_OBJECTS && call->cuda->objects[id].kind == CUDA_KIND_NONE)
        return CUDA_SUCCESS; /* it has gone with its context */
    if (cuda_get(call->cuda, id, kind, &object, call->err) < 0)
        call->result = call->err->errnum;
    else
        cuda_drop(call->cuda, object);
    return CUDA_SUCCESS;
}

static CUresult stream_destroy(struct call *call)
{
    return forget(call, CUDA_KIND_STREAM);
}

static CUresult event_destroy(struct call *call)
{
    return forget(call, CUDA_KIND_EVENT);
}

static CUresult graph_destroy(struct call *call)
{
    return forget(call, CUDA_KIND_GRAPH);
}

static CUresult exec_destroy(struct call *call)
{
    return forget(call, CUDA_KIND_EXEC);
}

static CUresult stream_wait(struct call *call)
{
    CUstream stream = NULL;
    CUresult status = stream_named(call, call->record->object_id, &stream);
    return status == CUDA_SUCCESS
               ? wait_for(call, (struct cuda_wait){.kind = CUDA_WAIT_STREAM, .stream = stream})
               : status;
}

static CUresult stream_query(struct call *call)
{
    CUstream stream = NULL;
    CUresult status = stream_named(call, call->record->object_id, &stream);
    return status == CUDA_SUCCESS ? driver_cuStreamQuery(stream) : status;
}

static CUresult event_record(struct call *call)
{
    CUstream stream = NULL;
    CUresult status;
    const struct cuda_object *event = on_stream(call, CUDA_KIND_EVENT, &stream, &status);
    return event ? driver_cuEventRecord(event->event, stream) : status;
}

static CUresult event_follow(struct call *call)
{
    CUstream stream = NULL;
    CUresult status;
    const struct cuda_object *event = on_stream(call, CUDA_KIND_EVENT, &stream, &status);
    return event ? driver_cuStreamWaitEvent(stream, event->event, (unsigned)call->record->first)
                 : status;
}

static CUresult event_wait(struct call *call)
{
    CUresult status;
    const struct cuda_object *event =
        named(call, call->record->object_id, CUDA_KIND_EVENT, &status);
    return event
               ? wait_for(call, (struct cuda_wait){.kind = CUDA_WAIT_EVENT, .event = event->event})
               : status;
}

static CUresult event_query(struct call *call)
{
    CUresult status;
    const struct cuda_object *event =
        named(call, call->record->object_id, CUDA_KIND_EVENT, &status);
    return event ? driver_cuEventQuery(event->event) : status;
}

static CUresult event_elapsed(struct call *call)
{
    CUresult status;
    float ms = 0;
    uint32_t bits;
    const struct cuda_object *start =
        named(call, call->record->object_id, CUDA_KIND_EVENT, &status);
    const struct cuda_object *end =
        start ? named(call, call->record->other_id, CUDA_KIND_EVENT, &status) : NULL;
    if (!end)
        return status;
    status = driver_cuEventElapsedTime(&ms, start->event, end->event);
    memcpy(&bits, &ms, sizeof(bits));
    call->reply->value = bits;
    return status;
}

/* ---- graphs ---- */

static CUresult graph_create(struct call *call)
{
    struct cuda_object *graph = placed(call, call->record->object_id, CUDA_KIND_GRAPH);
    return graph ? made(graph, driver_cuGraphCreate(&graph->graph, 0)) : CUDA_ERROR_INVALID_VALUE;
}

/* The graph that the record's other object is, with the place of a node to be. NULL as with
 * `named`. */
static const struct cuda_object *graph_for_node(struct call *call, struct cuda_object **ret_node,
                                                CUresult *ret_status)
{
    const struct wire_cuda_ask *record = call->record;
    const struct cuda_object *graph = named(call, record->other_id, CUDA_KIND_GRAPH, ret_status);
    if (graph &&
        cuda_place_node(call->cuda, record->other_id, record->object_id, ret_node, call->err) < 0) {
        call->result = call->err->errnum;
        return NULL;
    }
    return graph;
}

static CUresult node_empty(struct call *call)
{
    struct cuda_object *node;
    CUresult status;
    const struct cuda_object *graph = graph_for_node(call, &node, &status);
    return graph ? made(node, driver_cuGraphAddEmptyNode(&node->node, graph->graph, NULL, 0))
                 : status;
}

static CUresult node_child(struct call *call)
{
    struct cuda_object *node;
    CUresult status;
    const struct cuda_object *child =
        named(call, (uint32_t)call->record->first, CUDA_KIND_GRAPH, &status);
    const struct cuda_object *graph = child ? graph_for_node(call, &node, &status) : NULL;
    return graph ? made(node, driver_cuGraphAddChildGraphNode(&node->node, graph->graph, NULL, 0,
                                                              child->graph))
                 : status;
}

static CUresult node_destroy(struct call *call)
{
    CUresult status;
    const struct cuda_object *node = named(call, call->record->object_id, CUDA_KIND_NODE, &status);
    status = node ? driver_cuGraphDestroyNode(node->node) : CUDA_SUCCESS; /* else it never was */
    (void)forget(call, CUDA_KIND_NODE); /* cannot fail but for the protocol */
    return status;
}

static CUresult capture_begin(struct call *call)
{
    CUstream stream = NULL;
    CUresult status = stream_named(call, call->record->object_id, &stream);
    if (status == CUDA_SUCCESS)
        status = driver_cuStreamBeginCapture_v2(stream, (int)call->record->first);
    call->cuda->captures += status == CUDA_SUCCESS;
    return status;
}

static CUresult capture_end(struct call *call)
{
    CUstream stream = NULL;
    CUresult status = stream_named(call, call->record->other_id, &stream);
    struct cuda_object *graph =
        status == CUDA_SUCCESS ? placed(call, call->record->object_id, CUDA_KIND_GRAPH) : NULL;
    if (!graph)
        return status;
    call->cuda->captures -= call->cuda->captures > 0; /* however it ends */
    return made_or_told(call, graph, driver_cuStreamEndCapture(stream, &graph->graph));
}

static CUresult graph_instantiate(struct call *call)
{
    CUresult status;
    const struct cuda_object *graph = named(call, call->record->other_id, CUDA_KIND_GRAPH, &status);
    struct cuda_object *exec = graph ? placed(call, call->record->object_id, CUDA_KIND_EXEC) : NULL;
    if (!exec)
        return status;
    return made_or_told(
        call, exec,
        driver_cuGraphInstantiateWithFlags(&exec->exec, graph->graph, call->record->first));
}

static CUresult graph_launch(struct call *call)
{
    CUstream stream = NULL;
    CUresult status;
    const struct cuda_object *exec = on_stream(call, CUDA_KIND_EXEC, &stream, &status);
    return exec ? api_cuGraphLaunch(exec->exec, stream) : status;
}

static CUresult (*const calls[WIRE_CUDA_CALLS])(struct call *) = {
    [WIRE_CUDA_NOTHING] = nothing,
    [WIRE_CUDA_PAUSE] = nothing,
    [WIRE_CUDA_CONTEXT_CREATE] = context_create,
    [WIRE_CUDA_CONTEXT_DESTROY] = context_destroy,
    [WIRE_CUDA_CONTEXT_WAIT] = context_wait,
    [WIRE_CUDA_LIMIT_SET] = limit_set,
    [WIRE_CUDA_LIMIT_GET] = limit_get,
    [WIRE_CUDA_MEMORY_TAKE] = memory_take,
    [WIRE_CUDA_MEMORY_GIVE] = memory_give,
    [WIRE_CUDA_MEMORY_LEFT] = memory_left,
    [WIRE_CUDA_MODULE_UNLOAD] = module_unload,
    [WIRE_CUDA_FUNCTION_SET] = function_set,
    [WIRE_CUDA_FUNCTION_OCCUPANCY] = function_occupancy,
    [WIRE_CUDA_STREAM_CREATE] = stream_create,
    [WIRE_CUDA_STREAM_DESTROY] = stream_destroy,
    [WIRE_CUDA_STREAM_WAIT] = stream_wait,
    [WIRE_CUDA_STREAM_QUERY] = stream_query,
    [WIRE_CUDA_EVENT_CREATE] = event_create,
    [WIRE_CUDA_EVENT_DESTROY] = event_destroy,
    [WIRE_CUDA_EVENT_RECORD] = event_record,
    [WIRE_CUDA_EVENT_FOLLOW] = event_follow,
    [WIRE_CUDA_EVENT_WAIT] = event_wait,
    [WIRE_CUDA_EVENT_QUERY] = event_query,
    [WIRE_CUDA_EVENT_ELAPSED] = event_elapsed,
    [WIRE_CUDA_CAPTURE_BEGIN] = capture_begin,
    [WIRE_CUDA_CAPTURE_END] = capture_end,
    [WIRE_CUDA_GRAPH_DESTROY] = graph_destroy,
    [WIRE_CUDA_GRAPH_INSTANTIATE] = graph_instantiate,
    [WIRE_CUDA_GRAPH_LAUNCH] = graph_launch,
    [WIRE_CUDA_EXEC_DESTROY] = exec_destroy,
    [WIRE_CUDA_GRAPH_CREATE] = graph_create,
    [WIRE_CUDA_NODE_EMPTY] = node_empty,
    [WIRE_CUDA_NODE_CHILD] = node_child,
    [WIRE_CUDA_NODE_DESTROY] = node_destroy,
    [WIRE_CUDA_RUNTIME_REFUSED] = runtime_refused,
};

CUresult cuda_call(struct cuda *cuda, const struct wire_cuda_ask *record, struct reply *reply,
                   int *result, struct error *err)
{
    struct call call = {.cuda = cuda, .record = record, .reply = reply, .err = err};
    CUresult status = CUDA_SUCCESS;
    if (record->call >= WIRE_CUDA_CALLS) {
        *result = BAD_RECORD(err, "there is no call %u", record->call);
        return CUDA_ERROR_NOT_SUPPORTED;
    }
    *result = cuda_enter(cuda, record->context_id, &status, err);
    if (*result < 0 || status != CUDA_SUCCESS)
        return status;
    status = calls[record->call](&call);
    *result = call.result;
    return status;
}
