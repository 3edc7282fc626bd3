/* Driver, objects and contexts of a CUDA session: see cuda.h. */
#include "card/executor/cuda.h"

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "card/cuda/driver.h"
#include "card/cuda/process.h"
#include "card/executor/cuda_wait.h"
#include "card/executor/park.h"
#include "cuda_api.h"

#define MIG "MIG-" /* begins the names of a divided device's parts */

int driver_refuses(void)
{
    return CUDA_ERROR_NOT_SUPPORTED;
}

static CUresult missing(void)
{
    return CUDA_ERROR_NOT_FOUND;
}

const struct driver_library driver_library = {
    .variable = "LEAT_CUDA_DRIVER", .file = "libcuda.so.1", .missing = (void *)missing};

/* ---- objects ---- */

int cuda_get(struct cuda *cuda, uint32_t id, enum cuda_kind kind, struct cuda_object **ret_object,
             struct error *err)
{
    if (id == 0 || id >= WIRE_OBJECTS || cuda->objects[id].kind != kind)
        return BAD_RECORD(err, "object %u is not there or of another kind", id);
    *ret_object = &cuda->objects[id];
    return 0;
}

int cuda_place(struct cuda *cuda, uint32_t id, enum cuda_kind kind, struct cuda_object **ret_object,
               struct error *err)
{
    if (id == 0 || id >= WIRE_OBJECTS || cuda->objects[id].kind != CUDA_KIND_NONE)
        return BAD_RECORD(err, "object id %u is not free", id);
    if (id >= cuda->objects_end)
        cuda->objects_end = id + 1;
    *ret_object = &cuda->objects[id];
    **ret_object = (struct cuda_object){.kind = kind, .reply = BUF_INIT};
    return 0;
}

int cuda_stream(struct cuda *cuda, uint32_t id, CUstream *ret_stream, CUresult *ret_status,
                struct error *err)
{
    struct cuda_object *object = NULL;
    if (id && cuda_get(cuda, id, CUDA_KIND_STREAM, &object, err) < 0)
        return -EPROTO;
    *ret_stream = object ? object->stream : NULL;
    *ret_status = object ? object->error : CUDA_SUCCESS;
    return 0;
}

static void drop_nodes(struct cuda *cuda, const struct cuda_object *graph)
{
    uint32_t graph_id = (uint32_t)(graph - cuda->objects);
    for (uint32_t id = 1; id < cuda->objects_end; id++)
        if (cuda->objects[id].kind == CUDA_KIND_NODE && cuda->objects[id].graph_id == graph_id)
            cuda_drop(cuda, &cuda->objects[id]);
}

void cuda_drop(struct cuda *cuda, struct cuda_object *object)
{
    if (object->has_nodes)
        drop_nodes(cuda, object);
    if (!object->error && object->handle) {
        switch (object->kind) { /* ours: the driver cannot refuse */
        case CUDA_KIND_MODULE:
            (void)driver_cuModuleUnload(object->module);
            break;
        case CUDA_KIND_STREAM:
            cuda_wait_ended(cuda, &(struct cuda_wait){.stream = object->stream});
            (void)api_cuStreamDestroy_v2(object->stream);
            break;
        case CUDA_KIND_EVENT:
            cuda_wait_ended(cuda, &(struct cuda_wait){.event = object->event});
            (void)driver_cuEventDestroy_v2(object->event);
            break;
        case CUDA_KIND_GRAPH:
            (void)driver_cuGraphDestroy(object->graph);
            break;
        case CUDA_KIND_EXEC:
            (void)driver_cuGraphExecDestroy(object->exec);
            break;
        case CUDA_KIND_NODE: /* goes with its graph */
        case CUDA_KIND_CONTEXT:
        case CUDA_KIND_NONE:
            break;
        }
    }
    free(object->functions);
    buf_finish(&object->reply);
    *object = (struct cuda_object){0};
}

/* ---- contexts ---- */

int cuda_enter(struct cuda *cuda, uint32_t context_id, CUresult *ret_status, struct error *err)
{
    struct cuda_object *context = NULL;
    *ret_status = CUDA_SUCCESS;
    if (context_id == cuda->current)
        return 0;
    if (context_id && cuda_get(cuda, context_id, CUDA_KIND_CONTEXT, &context, err) < 0)
        return -EPROTO;
    *ret_status = context && context->error
                      ? context->error
                      : driver_cuCtxSetCurrent(context ? context->context_handle : NULL);
    if (*ret_status == CUDA_SUCCESS)
        cuda->current = context_id;
    return 0;
}

CUcontext cuda_context(const struct cuda *cuda, uint32_t context_id)
{
    return context_id ? cuda->objects[context_id].context_handle : NULL;
}

void cuda_settle(struct cuda *cuda)
{
    const struct cuda_wait anything = {0};
    struct error none;
    CUresult status;
    uint32_t before = cuda->current;
    for (uint32_t id = 1; id < cuda->objects_end; id++) {
        if (cuda->objects[id].kind == CUDA_KIND_CONTEXT && !cuda->objects[id].error &&
            cuda_enter(cuda, id, &status, &none) == 0 && status == CUDA_SUCCESS)
            (void)driver_cuCtxSynchronize(); /* an error stays, and is told to who asks */
    }
    (void)cuda_enter(cuda, before, &status, &none); /* it was there a moment ago */
    cuda_wait_ended(cuda, &anything);
}

CUresult cuda_context_end(struct cuda *cuda, uint32_t id)
{
    struct cuda_object *context = &cuda->objects[id];
    struct error none;
    CUresult status;
    (void)cuda_enter(cuda, id, &status, &none); /* it is there */
    if (status != CUDA_SUCCESS)
        return status;
    (void)driver_cuCtxSynchronize(); /* what it says has been, or will be told */
    const struct cuda_wait in_it = {.context = context->context_handle};
    cuda_wait_ended(cuda, &in_it);
    for (uint32_t i = 1; i < cuda->objects_end; i++)
        if (cuda->objects[i].kind != CUDA_KIND_CONTEXT && cuda->objects[i].context == id)
            cuda_drop(cuda, &cuda->objects[i]);
    cuda_memory_leave(cuda, id);
    status = context->context ? api_cuDevicePrimaryCtxRelease_v2(cuda->device)
                              : api_cuCtxDestroy_v2(context->context_handle);
    (void)driver_cuCtxSetCurrent(NULL); /* cannot fail */
    cuda->current = 0;
    cuda_drop(cuda, context);
    return status;
}

void cuda_clear(struct cuda *cuda)
{
    cuda_wait_ended(cuda, &(struct cuda_wait){0});
    for (uint32_t id = 1; id < cuda->objects_end; id++)
        if (cuda->objects[id].kind == CUDA_KIND_CONTEXT)
            (void)cuda_context_end(cuda, id); /* nobody is told any more */
    for (uint32_t id = 1; id < cuda->objects_end; id++)
        cuda_drop(cuda, &cuda->objects[id]);
    cuda->late = CUDA_SUCCESS;
    cuda->captures = 0;
    cuda->objects_end = 0;
}

/* ---- what fails ---- */

void cuda_fail(struct cuda *cuda, CUresult status)
{
    if (!cuda->late)
        cuda->late = status;
}

CUresult cuda_told(struct cuda *cuda)
{
    CUresult status = cuda->late;
    cuda->late = CUDA_SUCCESS;
    return status;
}

/* ---- the driver ---- */

/* A wait for the card's share was called off: an order of leat-cardd. */
static void called_off(void *arg)
{
    struct session *session = arg;
    if (park_due(session, 0))
        (void)park(session, 1); /* it is still due: contexts go to no other host */
}

/* A part of a divided device is the only one that is seen; of the others, the number is NVML's. */
static void choose_device(const struct executor_params *params, int *ret_ordinal)
{
    int is_part = params->uuid && strncmp(params->uuid, MIG, strlen(MIG)) == 0;
    (void)setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID", 1); /* out of memory: the driver fails, too */
    if (is_part)
        (void)setenv("CUDA_VISIBLE_DEVICES", params->uuid, 1);
    else
        (void)unsetenv("CUDA_VISIBLE_DEVICES");
    *ret_ordinal = is_part ? 0 : (int)params->cards[0].device_index;
}

int cuda_open(struct session *session, struct error *err)
{
    const struct card_view view = {session->ledger, session->meter, session->client.slot};
    struct cuda *cuda = calloc(1, sizeof(*cuda));
    int ordinal;
    if (cuda)
        cuda->objects = table_create(WIRE_OBJECTS, sizeof(*cuda->objects));
    if (!cuda || !cuda->objects) {
        free(cuda);
        return error_set(err, -ENOMEM, "no-memory", "no memory for a session");
    }
    session->cuda = cuda;
    cuda->session = session;
    process_adopt(&view, called_off, session);
    choose_device(&session->params, &ordinal);
    CUresult status = driver_cuInit(0);
    if (status == CUDA_SUCCESS)
        status = driver_cuDeviceGet(&cuda->device, ordinal);
    if (status == CUDA_SUCCESS)
        status = cuda_memory_open(cuda);
    return status == CUDA_SUCCESS
               ? 0
               : error_set(err, -ENODEV, "no-device",
                           "the CUDA driver does not give device %u (CUDA error %d)",
                           session->params.cards[0].device_index, (int)status);
}

/* ---- records ---- */

static void describe(const struct cuda *cuda, struct wire_cuda_device *ret)
{
    *ret = (struct wire_cuda_device){0};
    /* What the driver does not tell stays 0. */
    (void)driver_cuDriverGetVersion(&ret->driver_version);
    (void)driver_cuDeviceGetName(ret->name, sizeof(ret->name), cuda->device);
    (void)driver_cuDeviceGetUuid_v2(ret->uuid, cuda->device);
    for (int i = 1; i < WIRE_CUDA_ATTRIBUTES; i++)
        ret->attribute_known[i] =
            driver_cuDeviceGetAttribute(&ret->attributes[i], i, cuda->device) == CUDA_SUCCESS;
}

int handle_cuda_open(struct session *session, const struct wire_header *header, struct reply *reply,
                     struct error *err)
{
    const struct wire_cuda_open *record = (const void *)header;
    struct wire_cuda_device device;
    if (slab_check(record->reply_offset, record->reply_room, err) < 0)
        return -EPROTO;
    if (record->reply_room < sizeof(device))
        return BAD_RECORD(err, "no room for a device in %llu bytes",
                          (unsigned long long)record->reply_room);
    describe(session->cuda, &device);
    memcpy(session->slab + record->reply_offset, &device, sizeof(device));
    reply->length = sizeof(device);
    return 0;
}

int handle_cuda_ask(struct session *session, const struct wire_header *header, struct reply *reply,
                    struct error *err)
{
    const struct wire_cuda_ask *record = (const void *)header;
    struct cuda *cuda = session->cuda;
    int result = 0;
    if (record->call == WIRE_CUDA_PAUSE)
        return 0;
    reply->status = cuda_told(cuda);
    if (!reply->status)
        reply->status = cuda_call(cuda, record, reply, &result, err);
    return result;
}

int handle_cuda_tell(struct session *session, const struct wire_header *header, struct reply *reply,
                     struct error *err)
{
    int result = 0;
    CUresult status = cuda_call(session->cuda, (const void *)header, reply, &result, err);
    if (status != CUDA_SUCCESS)
        cuda_fail(session->cuda, status);
    return result;
}
