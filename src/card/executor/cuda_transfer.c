/* Copies and fills of a CUDA session. What comes from the slab has been read when the driver's call
 * returns, for it is no memory that a device could read itself. */
#include <errno.h>

#include "base/error.h"
#include "card/executor/cuda.h"
#include "card/executor/cuda_wait.h"
#include "cuda_api.h"

/* Context and stream of a transfer. 0 with what the driver says of them, or -EPROTO. */
static int enter(struct cuda *cuda, uint32_t context_id, uint32_t stream_id, CUstream *ret_stream,
                 CUresult *ret_status, struct error *err)
{
    CUresult status = CUDA_SUCCESS;
    if (cuda_enter(cuda, context_id, ret_status, err) < 0 ||
        cuda_stream(cuda, stream_id, ret_stream, &status, err) < 0)
        return -EPROTO;
    if (*ret_status == CUDA_SUCCESS)
        *ret_status = status;
    return 0;
}

/* What lies in the slab now is no part of a graph, which is launched later. */
static CUresult refuse_capture(CUstream stream)
{
    int capturing = 0;
    CUresult status = driver_cuStreamIsCapturing(stream, &capturing);
    return status == CUDA_SUCCESS && capturing ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED : status;
}

static void finish(struct cuda *cuda, CUresult status)
{
    if (status != CUDA_SUCCESS)
        cuda_fail(cuda, status);
}

int handle_cuda_upload(struct session *session, const struct wire_header *header,
                       struct reply *reply, struct error *err)
{
    const struct wire_cuda_upload *record = (const void *)header;
    CUstream stream = NULL;
    CUresult status;
    if (slab_check(record->slab_offset, record->length, err) < 0 ||
        enter(session->cuda, record->context_id, record->stream_id, &stream, &status, err) < 0)
        return -EPROTO;
    if (status == CUDA_SUCCESS)
        status = refuse_capture(stream);
    if (status == CUDA_SUCCESS)
        status = driver_cuMemcpyHtoDAsync_v2(record->address, session->slab + record->slab_offset,
                                             record->length, stream);
    finish(session->cuda, status);
    return 0;
}

int handle_cuda_download(struct session *session, const struct wire_header *header,
                         struct reply *reply, struct error *err)
{
    const struct wire_cuda_download *record = (const void *)header;
    CUstream stream = NULL;
    CUresult status;
    if (slab_check(record->reply_offset, record->reply_room, err) < 0 ||
        enter(session->cuda, record->context_id, record->stream_id, &stream, &status, err) < 0)
        return -EPROTO;
    if (status == CUDA_SUCCESS)
        status = cuda_told(session->cuda);
    if (status == CUDA_SUCCESS)
        status = refuse_capture(stream);
    const struct cuda_wait copy = {.kind = CUDA_WAIT_COPY,
                                   .context = cuda_context(session->cuda, record->context_id),
                                   .stream = stream,
                                   .to = session->slab + record->reply_offset,
                                   .from = record->address,
                                   .bytes = record->reply_room};
    reply->status =
        status == CUDA_SUCCESS ? cuda_wait(session->cuda, &copy, header->sequence, reply) : status;
    return 0;
}

int handle_cuda_copy(struct session *session, const struct wire_header *header, struct reply *reply,
                     struct error *err)
{
    const struct wire_cuda_copy *record = (const void *)header;
    CUstream stream = NULL;
    CUresult status;
    if (enter(session->cuda, record->context_id, record->stream_id, &stream, &status, err) < 0)
        return -EPROTO;
    if (status == CUDA_SUCCESS)
        status = driver_cuMemcpyDtoDAsync_v2(record->to, record->from, record->bytes, stream);
    finish(session->cuda, status);
    return 0;
}

static CUresult fill(const struct wire_cuda_fill *record, CUstream stream)
{
    switch (record->item_bytes) {
    case 1:
        return driver_cuMemsetD2D8Async(record->address, record->pitch, (uint8_t)record->item,
                                        record->columns, record->rows, stream);
    case 2:
        return driver_cuMemsetD2D16Async(record->address, record->pitch, (uint16_t)record->item,
                                         record->columns, record->rows, stream);
    case 4:
        return driver_cuMemsetD2D32Async(record->address, record->pitch, record->item,
                                         record->columns, record->rows, stream);
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

int handle_cuda_fill(struct session *session, const struct wire_header *header, struct reply *reply,
                     struct error *err)
{
    const struct wire_cuda_fill *record = (const void *)header;
    CUstream stream = NULL;
    CUresult status;
    if (enter(session->cuda, record->context_id, record->stream_id, &stream, &status, err) < 0)
        return -EPROTO;
    if (status == CUDA_SUCCESS)
        status = fill(record, stream);
    finish(session->cuda, status);
    return 0;
}
