/* A remote card: launches. Parameters travel as one block, laid out as the module's reply told. */
#include <string.h>

#include "card/cuda/remote_module.h"
#include "cuda_api.h"

static CUresult read_extra(void **extra, struct remote_parameters *ret)
{
    for (; extra && *extra != CUDA_LAUNCH_END; extra += 2) {
        if (*extra == CUDA_LAUNCH_BLOCK)
            ret->block = extra[1];
        else if (*extra == CUDA_LAUNCH_BLOCK_BYTES)
            ret->block_bytes = *(const size_t *)extra[1];
        else
            return CUDA_ERROR_INVALID_VALUE;
    }
    return ret->block || !ret->block_bytes ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult remote_parameters_read(CUfunction function, void **each, void **extra,
                                struct remote_parameters *ret)
{
    *ret = (struct remote_parameters){.each = each};
    if (each && extra)
        return CUDA_ERROR_INVALID_VALUE;
    if (!each && !extra)
        return function->parameter_count ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
    if (each) {
        ret->block_bytes = function->block_bytes;
        return CUDA_SUCCESS;
    }
    CUresult result = read_extra(extra, ret);
    return ret->block_bytes > PARAMETERS_MAX ? CUDA_ERROR_INVALID_VALUE : result;
}

void remote_parameters_put(CUfunction function, const struct remote_parameters *from, uint8_t *to)
{
    if (from->block) {
        memcpy(to, from->block, from->block_bytes);
        return;
    }
    memset(to, 0, from->block_bytes); /* gaps between parameters */
    for (uint32_t i = 0; i < function->parameter_count; i++)
        memcpy(to + function->parameters[i].offset, from->each[i], function->parameters[i].bytes);
}

static CUresult launch(const struct cuda_launch *shape, CUfunction function, void **each,
                       void **extra, int cooperative)
{
    struct remote_parameters parameters;
    uint32_t stream;
    if (!remote_context())
        return CUDA_ERROR_INVALID_CONTEXT;
    if (!remote_is(function, REMOTE_FUNCTION))
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult result = remote_stream_id(shape->stream, &stream);
    if (result == CUDA_SUCCESS)
        result = remote_parameters_read(function, each, extra, &parameters);
    if (result != CUDA_SUCCESS)
        return result;
    uint64_t length = sizeof(struct wire_cuda_launch) + wire_pad8(parameters.block_bytes);
    struct wire_cuda_launch *record = remote_begin(length);
    if (!record)
        return CUDA_ERROR_SYSTEM_NOT_READY;
    record->context_id = remote_context_id();
    record->stream_id = stream;
    record->module_id = ((const struct remote_object *)function->module)->id;
    record->function = function->index;
    record->grid_x = shape->grid_x;
    record->grid_y = shape->grid_y;
    record->grid_z = shape->grid_z;
    record->block_x = shape->block_x;
    record->block_y = shape->block_y;
    record->block_z = shape->block_z;
    record->shared_bytes = shape->shared_bytes;
    record->cooperative = (uint32_t)cooperative;
    record->parameters_bytes = (uint32_t)parameters.block_bytes;
    remote_parameters_put(function, &parameters, wire_cuda_launch_parameters(record));
    return remote_post(record, WIRE_CUDA_LAUNCH, length);
}

CUresult remote_cuLaunchKernel(CUfunction function, unsigned grid_x, unsigned grid_y,
                               unsigned grid_z, unsigned block_x, unsigned block_y,
                               unsigned block_z, unsigned shared_bytes, CUstream stream,
                               void **params, void **extra)
{
    const struct cuda_launch shape = {grid_x,  grid_y,       grid_z, block_x, block_y,
                                      block_z, shared_bytes, stream, NULL,    0};
    return launch(&shape, function, params, extra, 0);
}

CUresult remote_cuLaunchCooperativeKernel(CUfunction function, unsigned grid_x, unsigned grid_y,
                                          unsigned grid_z, unsigned block_x, unsigned block_y,
                                          unsigned block_z, unsigned shared_bytes, CUstream stream,
                                          void **params)
{
    const struct cuda_launch shape = {grid_x,  grid_y,       grid_z, block_x, block_y,
                                      block_z, shared_bytes, stream, NULL,    0};
    return launch(&shape, function, params, NULL, 1);
}

CUresult remote_cuLaunchKernelEx(const struct cuda_launch *shape, CUfunction function,
                                 void **params, void **extra)
{
    if (!shape)
        return CUDA_ERROR_INVALID_VALUE;
    return shape->attribute_count ? CUDA_ERROR_NOT_SUPPORTED
                                  : launch(shape, function, params, extra, 0);
}
