/* A remote card: streams, their captures, and events. They are made at once and told of; what
 * cannot be made shows when it is waited for. */
#include <string.h>

#include "card/cuda/remote_graph.h"
#include "cuda_api.h"

struct CUstream_st {
    struct remote_object object;
    int capturing;
};

struct CUevent_st {
    struct remote_object object;
};

CUresult remote_tell_on_stream(enum wire_cuda_call what, const void *handle, enum remote_kind kind,
                               CUstream stream, uint64_t flags)
{
    struct remote_call call = {.call = what, .first = flags};
    CUresult result = remote_stream_id(stream, &call.other);
    if (result != CUDA_SUCCESS || !remote_is(handle, kind))
        return CUDA_ERROR_INVALID_HANDLE;
    call.object = remote_id(handle);
    return remote_tell(&call);
}

/* ---- streams ---- */

CUresult remote_stream_id(CUstream stream, uint32_t *ret_id)
{
    int is_null = !stream || stream == CUDA_STREAM_LEGACY || stream == CUDA_STREAM_PER_THREAD;
    if (!is_null && !remote_is(stream, REMOTE_STREAM))
        return CUDA_ERROR_INVALID_HANDLE;
    *ret_id = is_null ? 0 : stream->object.id;
    return CUDA_SUCCESS;
}

CUresult remote_cuStreamCreateWithPriority(CUstream *stream, unsigned flags, int priority)
{
    struct remote_call call = {
        .call = WIRE_CUDA_STREAM_CREATE, .first = flags, .second = (uint64_t)(int64_t)priority};
    if (!remote_context())
        return CUDA_ERROR_INVALID_CONTEXT;
    return remote_make(REMOTE_STREAM, sizeof(**stream), &call, (void **)stream);
}

CUresult remote_cuStreamCreate(CUstream *stream, unsigned flags)
{
    return remote_cuStreamCreateWithPriority(stream, flags, 0);
}

CUresult remote_cuStreamDestroy_v2(CUstream stream)
{
    return remote_end(stream, REMOTE_STREAM, WIRE_CUDA_STREAM_DESTROY);
}

static CUresult ask_stream(CUstream stream, enum wire_cuda_call what)
{
    struct remote_call call = {.call = what};
    if (!remote_context())
        return CUDA_ERROR_INVALID_CONTEXT;
    CUresult result = remote_stream_id(stream, &call.object);
    return result == CUDA_SUCCESS ? remote_ask(&call, NULL) : result;
}

CUresult remote_cuStreamSynchronize(CUstream stream)
{
    return ask_stream(stream, WIRE_CUDA_STREAM_WAIT);
}

CUresult remote_cuStreamQuery(CUstream stream)
{
    return ask_stream(stream, WIRE_CUDA_STREAM_QUERY);
}

CUresult remote_cuStreamWaitEvent(CUstream stream, CUevent event, unsigned flags)
{
    return remote_tell_on_stream(WIRE_CUDA_EVENT_FOLLOW, event, REMOTE_EVENT, stream, flags);
}

/* ---- events ---- */

CUresult remote_cuEventCreate(CUevent *event, unsigned flags)
{
    struct remote_call call = {.call = WIRE_CUDA_EVENT_CREATE, .first = flags};
    if (!remote_context())
        return CUDA_ERROR_INVALID_CONTEXT;
    return remote_make(REMOTE_EVENT, sizeof(**event), &call, (void **)event);
}

CUresult remote_cuEventDestroy_v2(CUevent event)
{
    return remote_end(event, REMOTE_EVENT, WIRE_CUDA_EVENT_DESTROY);
}

CUresult remote_cuEventRecord(CUevent event, CUstream stream)
{
    return remote_tell_on_stream(WIRE_CUDA_EVENT_RECORD, event, REMOTE_EVENT, stream, 0);
}

static CUresult ask_event(CUevent event, enum wire_cuda_call what)
{
    if (!remote_is(event, REMOTE_EVENT))
        return CUDA_ERROR_INVALID_HANDLE;
    const struct remote_call call = {.call = what, .object = event->object.id};
    return remote_ask(&call, NULL);
}

CUresult remote_cuEventQuery(CUevent event)
{
    return ask_event(event, WIRE_CUDA_EVENT_QUERY);
}

CUresult remote_cuEventSynchronize(CUevent event)
{
    return ask_event(event, WIRE_CUDA_EVENT_WAIT);
}

CUresult remote_cuEventElapsedTime(float *ms, CUevent start, CUevent end)
{
    if (!ms)
        return CUDA_ERROR_INVALID_VALUE;
    if (!remote_is(start, REMOTE_EVENT) || !remote_is(end, REMOTE_EVENT))
        return CUDA_ERROR_INVALID_HANDLE;
    const struct remote_call call = {
        .call = WIRE_CUDA_EVENT_ELAPSED, .object = start->object.id, .other = end->object.id};
    uint64_t answer = 0;
    CUresult result = remote_ask(&call, &answer);
    uint32_t bits = (uint32_t)answer;
    if (result == CUDA_SUCCESS)
        memcpy(ms, &bits, sizeof(*ms));
    return result;
}

/* ---- captures ---- */

CUresult remote_cuStreamBeginCapture_v2(CUstream stream, int mode)
{
    if (!remote_is(stream, REMOTE_STREAM))
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED; /* the null stream cannot be captured */
    const struct remote_call call = {
        .call = WIRE_CUDA_CAPTURE_BEGIN, .object = stream->object.id, .first = (uint64_t)mode};
    CUresult result = remote_ask(&call, NULL);
    if (result == CUDA_SUCCESS)
        stream->capturing = 1;
    return result;
}

CUresult remote_cuStreamEndCapture(CUstream stream, CUgraph *ret_graph)
{
    if (!remote_is(stream, REMOTE_STREAM))
        return CUDA_ERROR_INVALID_VALUE;
    struct remote_call call = {.call = WIRE_CUDA_CAPTURE_END, .other = stream->object.id};
    CUresult result = remote_make_now(REMOTE_GRAPH, sizeof(**ret_graph), &call, (void **)ret_graph);
    if (ret_graph)
        stream->capturing = 0;
    return result;
}

CUresult remote_cuStreamIsCapturing(CUstream stream, int *status)
{
    uint32_t id;
    if (!status)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult result = remote_stream_id(stream, &id);
    if (result == CUDA_SUCCESS)
        *status = id && stream->capturing;
    return result;
}
