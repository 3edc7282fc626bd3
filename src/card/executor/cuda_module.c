/* Modules of a CUDA session, what their client is told of them, and launches. */
#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "card/executor/cuda.h"
#include "cuda_api.h"

#define PARAMETERS_MAX 1024 /* of one kernel: what fits into 4 KiB as pointers, twice */

CUresult cuda_function(struct cuda *cuda, uint32_t module_id, uint32_t index,
                       CUfunction *ret_function, int *result, struct error *err)
{
    struct cuda_object *module;
    if (cuda_get(cuda, module_id, CUDA_KIND_MODULE, &module, err) < 0 ||
        index >= module->function_count) {
        *result = BAD_RECORD(err, "there is no function %u in module %u", index, module_id);
        return CUDA_ERROR_INVALID_HANDLE;
    }
    *ret_function = module->functions[index];
    return CUDA_SUCCESS;
}

/* ---- telling of functions ---- */

static void put_padded(struct buf *reply, const void *data, size_t length)
{
    static const char zeros[8];
    (void)buf_append(reply, data, length); /* failures are remembered in the buf */
    (void)buf_append(reply, zeros, wire_pad8(length) - length);
}

static CUresult put_function(struct buf *reply, CUfunction function)
{
    struct wire_cuda_function head = {0};
    struct wire_cuda_parameter parameters[PARAMETERS_MAX];
    const char *name = NULL;
    size_t offset, bytes;
    CUresult status = driver_cuFuncGetName(&name, function);
    if (status != CUDA_SUCCESS)
        return status;
    head.name_length = (uint32_t)strlen(name) + 1;
    while (head.parameter_count < sizeof(parameters) / sizeof(parameters[0]) &&
           driver_cuFuncGetParamInfo(function, head.parameter_count, &offset, &bytes) ==
               CUDA_SUCCESS)
        parameters[head.parameter_count++] =
            (struct wire_cuda_parameter){(uint32_t)offset, (uint32_t)bytes};
    for (int i = 0; i < WIRE_CUDA_FUNCTION_ATTRIBUTES; i++)
        (void)driver_cuFuncGetAttribute(&head.attributes[i], i, function); /* 0 if there is none */
    (void)buf_append(reply, &head, sizeof(head)); /* failures are remembered in the buf */
    put_padded(reply, name, head.name_length);
    (void)buf_append(reply, parameters, head.parameter_count * sizeof(parameters[0]));
    return CUDA_SUCCESS;
}

/* All functions of the module, which needs a driver of CUDA 12.4. */
static CUresult list_functions(struct cuda_object *module)
{
    unsigned count = 0;
    CUresult status = driver_cuModuleGetFunctionCount(&count, module->module);
    if (status != CUDA_SUCCESS || count == 0)
        return status;
    module->functions = calloc(count, sizeof(*module->functions));
    if (!module->functions)
        return CUDA_ERROR_OUT_OF_MEMORY;
    status = driver_cuModuleEnumerateFunctions(module->functions, count, module->module);
    for (unsigned i = 0; i < count && status == CUDA_SUCCESS; i++)
        status = put_function(&module->reply, module->functions[i]);
    module->function_count = status == CUDA_SUCCESS ? count : 0;
    return module->reply.failed ? CUDA_ERROR_OUT_OF_MEMORY : status;
}

static void answer(struct session *session, const struct cuda_object *module, uint64_t offset,
                   uint64_t room, struct reply *reply)
{
    reply->value = module->reply.length;
    reply->length = reply->value < room ? reply->value : room;
    if (reply->length)
        memcpy(session->slab + offset, module->reply.data, reply->length);
}

int handle_cuda_module_load(struct session *session, const struct wire_header *header,
                            struct reply *reply, struct error *err)
{
    const struct wire_cuda_module_load *record = (const void *)header;
    struct cuda *cuda = session->cuda;
    struct cuda_object *module;
    CUresult status;
    if (slab_check(record->slab_offset, record->length, err) < 0 ||
        slab_check(record->reply_offset, record->reply_room, err) < 0 ||
        cuda_place(cuda, record->id, CUDA_KIND_MODULE, &module, err) < 0 ||
        cuda_enter(cuda, record->context_id, &status, err) < 0)
        return -EPROTO;
    /* A copy: its end must stay where it is while the driver reads. */
    char *image = status == CUDA_SUCCESS ? malloc(record->length + 1) : NULL;
    if (status == CUDA_SUCCESS && !image)
        status = CUDA_ERROR_OUT_OF_MEMORY;
    if (status == CUDA_SUCCESS)
        status = cuda_told(cuda);
    if (status == CUDA_SUCCESS) {
        memcpy(image, session->slab + record->slab_offset, record->length);
        image[record->length] = '\0';
        module->context = record->context_id;
        status = driver_cuModuleLoadData(&module->module, image);
    }
    free(image);
    if (status == CUDA_SUCCESS)
        status = list_functions(module);
    reply->status = status;
    if (status == CUDA_SUCCESS)
        answer(session, module, record->reply_offset, record->reply_room, reply);
    else
        cuda_drop(cuda, module); /* its client has been told */
    return 0;
}

int handle_cuda_module_functions(struct session *session, const struct wire_header *header,
                                 struct reply *reply, struct error *err)
{
    const struct wire_cuda_module_functions *record = (const void *)header;
    struct cuda_object *module;
    if (slab_check(record->reply_offset, record->reply_room, err) < 0 ||
        cuda_get(session->cuda, record->id, CUDA_KIND_MODULE, &module, err) < 0)
        return -EPROTO;
    answer(session, module, record->reply_offset, record->reply_room, reply);
    return 0;
}

int handle_cuda_module_global(struct session *session, const struct wire_header *header,
                              struct reply *reply, struct error *err)
{
    const struct wire_cuda_module_global *record = (const void *)header;
    struct cuda_object *module;
    CUdeviceptr address = 0;
    size_t bytes = 0;
    uint64_t found[2];
    if (slab_check(record->reply_offset, record->reply_room, err) < 0 ||
        cuda_get(session->cuda, record->id, CUDA_KIND_MODULE, &module, err) < 0)
        return -EPROTO;
    if (record->reply_room < sizeof(found))
        return BAD_RECORD(err, "no room for an address");
    char *name = strndup((const char *)wire_cuda_module_global_name(record), record->name_length);
    reply->status = name ? driver_cuModuleGetGlobal_v2(&address, &bytes, module->module, name)
                         : CUDA_ERROR_OUT_OF_MEMORY;
    free(name);
    found[0] = address;
    found[1] = bytes;
    memcpy(session->slab + record->reply_offset, found, sizeof(found));
    reply->length = sizeof(found);
    return 0;
}

/* ---- launches ---- */

static CUresult launch(const struct wire_cuda_launch *record, CUfunction function, CUstream stream)
{
    size_t bytes = record->parameters_bytes;
    void *extra[] = {CUDA_LAUNCH_BLOCK, wire_cuda_launch_parameters(record),
                     CUDA_LAUNCH_BLOCK_BYTES, &bytes, CUDA_LAUNCH_END};
    return api_cuLaunchKernel(function, record->grid_x, record->grid_y, record->grid_z,
                              record->block_x, record->block_y, record->block_z,
                              record->shared_bytes, stream, NULL, bytes ? extra : NULL);
}

/* The driver takes a cooperative launch's parameters one by one only. */
static CUresult launch_cooperative(const struct wire_cuda_launch *record, CUfunction function,
                                   CUstream stream)
{
    uint8_t *block = wire_cuda_launch_parameters(record);
    void *each[PARAMETERS_MAX];
    size_t offset, bytes;
    for (size_t i = 0; i < sizeof(each) / sizeof(each[0]) &&
                       driver_cuFuncGetParamInfo(function, i, &offset, &bytes) == CUDA_SUCCESS;
         i++) {
        if (offset + bytes > record->parameters_bytes)
            return CUDA_ERROR_INVALID_VALUE;
        each[i] = block + offset;
    }
    return api_cuLaunchCooperativeKernel(function, record->grid_x, record->grid_y, record->grid_z,
                                         record->block_x, record->block_y, record->block_z,
                                         record->shared_bytes, stream, each);
}

int handle_cuda_launch(struct session *session, const struct wire_header *header,
                       struct reply *reply, struct error *err)
{
    const struct wire_cuda_launch *record = (const void *)header;
    struct cuda *cuda = session->cuda;
    CUfunction function = NULL;
    CUstream stream = NULL;
    CUresult entered, status = CUDA_SUCCESS;
    int result = 0;
    if (cuda_stream(cuda, record->stream_id, &stream, &status, err) < 0 ||
        cuda_enter(cuda, record->context_id, &entered, err) < 0)
        return -EPROTO;
    if (entered == CUDA_SUCCESS && status == CUDA_SUCCESS)
        status = cuda_function(cuda, record->module_id, record->function, &function, &result, err);
    if (result < 0)
        return result;
    if (entered == CUDA_SUCCESS && status == CUDA_SUCCESS)
        status = (record->cooperative ? launch_cooperative : launch)(record, function, stream);
    if (entered != CUDA_SUCCESS || status != CUDA_SUCCESS)
        cuda_fail(cuda, entered != CUDA_SUCCESS ? entered : status);
    return 0;
}
