/* A remote card: its device, contexts, and the names of errors. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "card/cuda/remote.h"
#include "cuda_api.h"

#define CONTEXTS_DEEP 32
#define API_VERSION 3020 /* of contexts that cuCtxCreate_v2 makes */
/* CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR; the minor one follows. */
#define ATTRIBUTE_MAJOR 75

struct CUctx_st {
    struct remote_object object;
    unsigned flags;
};

/* The thread's stack of contexts; the last is current. */
static __thread struct {
    CUcontext items[CONTEXTS_DEEP];
    unsigned count;
} stack;

/* The device's own context. */
static struct {
    pthread_mutex_t lock;
    CUcontext context;
    unsigned references, flags;
} primary = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- errors ---- */

static const struct {
    CUresult code;
    const char *name, *text;
} errors[] = {
    {CUDA_SUCCESS, "CUDA_SUCCESS", "no error"},
    {CUDA_ERROR_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {CUDA_ERROR_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {CUDA_ERROR_NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {CUDA_ERROR_INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {CUDA_ERROR_INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {CUDA_ERROR_INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {CUDA_ERROR_NO_BINARY_FOR_GPU, "CUDA_ERROR_NO_BINARY_FOR_GPU",
     "no kernel image is available for execution on the device"},
    {CUDA_ERROR_PEER_ACCESS_UNSUPPORTED, "CUDA_ERROR_PEER_ACCESS_UNSUPPORTED",
     "peer access is not supported between these two devices"},
    {CUDA_ERROR_INVALID_PTX, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
    {CUDA_ERROR_FILE_NOT_FOUND, "CUDA_ERROR_FILE_NOT_FOUND", "file not found"},
    {CUDA_ERROR_INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {CUDA_ERROR_NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {CUDA_ERROR_NOT_READY, "CUDA_ERROR_NOT_READY", "device not ready"},
    {CUDA_ERROR_ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS",
     "an illegal memory access was encountered"},
    {CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES",
     "too many resources requested for launch"},
    {CUDA_ERROR_PEER_ACCESS_NOT_ENABLED, "CUDA_ERROR_PEER_ACCESS_NOT_ENABLED",
     "peer access has not been enabled"},
    {CUDA_ERROR_LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {CUDA_ERROR_NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    {CUDA_ERROR_SYSTEM_NOT_READY, "CUDA_ERROR_SYSTEM_NOT_READY", "system not yet initialized"},
    {CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
     "operation not permitted when stream is capturing"},
    {CUDA_ERROR_UNKNOWN, "CUDA_ERROR_UNKNOWN", "unknown error"},
};

static CUresult find_error(CUresult code, const char **text, int is_name)
{
    if (!text)
        return CUDA_ERROR_INVALID_VALUE;
    *text = NULL;
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
        if (errors[i].code == code)
            *text = is_name ? errors[i].name : errors[i].text;
    return *text ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult remote_cuGetErrorString(CUresult code, const char **text)
{
    return find_error(code, text, 0);
}

CUresult remote_cuGetErrorName(CUresult code, const char **text)
{
    return find_error(code, text, 1);
}

/* ---- the device: one, number 0 ---- */

/* The device, where the program means it. */
static const struct wire_cuda_device *device_of(CUdevice number, const void *ret, CUresult *result)
{
    const struct wire_cuda_device *device = remote_device();
    *result = !device       ? CUDA_ERROR_NOT_INITIALIZED
              : !ret        ? CUDA_ERROR_INVALID_VALUE
              : number != 0 ? CUDA_ERROR_INVALID_DEVICE
                            : CUDA_SUCCESS;
    return *result == CUDA_SUCCESS ? device : NULL;
}

CUresult remote_cuInit(unsigned flags)
{
    if (flags)
        return CUDA_ERROR_INVALID_VALUE;
    return remote_device() ? CUDA_SUCCESS : CUDA_ERROR_SYSTEM_NOT_READY;
}

CUresult remote_cuDriverGetVersion(int *version)
{
    CUresult result;
    const struct wire_cuda_device *device = device_of(0, version, &result);
    if (device)
        *version = device->driver_version;
    return result;
}

CUresult remote_cuDeviceGetCount(int *count)
{
    CUresult result;
    if (device_of(0, count, &result))
        *count = 1;
    return result;
}

CUresult remote_cuDeviceGet(CUdevice *device, int ordinal)
{
    CUresult result;
    if (device_of(ordinal, device, &result))
        *device = 0;
    return result;
}

CUresult remote_cuDeviceGetName(char *name, int length, CUdevice number)
{
    CUresult result;
    const struct wire_cuda_device *device = device_of(number, name, &result);
    if (device && length > 0)
        (void)snprintf(name, (size_t)length, "%s", device->name);
    return result;
}

CUresult remote_cuDeviceGetUuid(unsigned char *uuid, CUdevice number)
{
    CUresult result;
    const struct wire_cuda_device *device = device_of(number, uuid, &result);
    if (device)
        memcpy(uuid, device->uuid, sizeof(device->uuid));
    return result;
}

CUresult remote_cuDeviceGetUuid_v2(unsigned char *uuid, CUdevice number)
{
    return remote_cuDeviceGetUuid(uuid, number);
}

CUresult remote_cuDeviceGetAttribute(int *value, int attribute, CUdevice number)
{
    CUresult result;
    const struct wire_cuda_device *device = device_of(number, value, &result);
    if (!device)
        return result;
    if (attribute < 0 || attribute >= WIRE_CUDA_ATTRIBUTES || !device->attribute_known[attribute])
        return CUDA_ERROR_INVALID_VALUE;
    *value = device->attributes[attribute];
    return CUDA_SUCCESS;
}

CUresult remote_cuDeviceComputeCapability(int *major, int *minor, CUdevice number)
{
    CUresult result = remote_cuDeviceGetAttribute(major, ATTRIBUTE_MAJOR, number);
    return result == CUDA_SUCCESS ? remote_cuDeviceGetAttribute(minor, ATTRIBUTE_MAJOR + 1, number)
                                  : result;
}

CUresult remote_cuDeviceCanAccessPeer(int *can, CUdevice number, CUdevice peer)
{
    CUresult result;
    if (device_of(number | peer, can, &result))
        *can = 0;
    return result;
}

/* Of two devices; there is one. */
CUresult remote_cuDeviceGetP2PAttribute(int *value, int attribute, CUdevice number, CUdevice peer)
{
    return value ? CUDA_ERROR_INVALID_DEVICE : CUDA_ERROR_INVALID_VALUE;
}

CUresult remote_cuDeviceTotalMem_v2(size_t *bytes, CUdevice number)
{
    CUresult result;
    if (device_of(number, bytes, &result))
        *bytes = remote_quota_bytes();
    return result;
}

/* ---- contexts ---- */

CUcontext remote_context(void)
{
    CUcontext context = stack.count ? stack.items[stack.count - 1] : NULL;
    return remote_is(context, REMOTE_CONTEXT) ? context : NULL;
}

uint32_t remote_context_id(void)
{
    CUcontext context = remote_context();
    return context ? context->object.id : 0;
}

CUresult remote_context_id_of(CUcontext context, uint32_t *ret_id)
{
    if (!context)
        context = remote_context();
    if (!remote_is(context, REMOTE_CONTEXT))
        return CUDA_ERROR_INVALID_CONTEXT;
    *ret_id = context->object.id;
    return CUDA_SUCCESS;
}

static CUresult create(unsigned flags, int is_primary, CUcontext *ret_context)
{
    CUcontext context = remote_create(REMOTE_CONTEXT, sizeof(*context));
    if (!context)
        return CUDA_ERROR_OUT_OF_MEMORY;
    const struct remote_call call = {.call = WIRE_CUDA_CONTEXT_CREATE,
                                     .object = context->object.id,
                                     .first = flags,
                                     .second = (uint64_t)is_primary};
    CUresult result = remote_ask(&call, NULL);
    if (result != CUDA_SUCCESS) {
        remote_destroy(context);
        return result;
    }
    context->flags = flags;
    *ret_context = context;
    return CUDA_SUCCESS;
}

static CUresult destroy(CUcontext context, int is_primary)
{
    const struct remote_call call = {.call = WIRE_CUDA_CONTEXT_DESTROY,
                                     .object = context->object.id,
                                     .first = (uint64_t)is_primary};
    remote_memory_forget(context->object.id);
    CUresult result = remote_ask(&call, NULL);
    remote_destroy(context);
    return result;
}

CUresult remote_cuCtxPushCurrent_v2(CUcontext context)
{
    if (!remote_is(context, REMOTE_CONTEXT))
        return CUDA_ERROR_INVALID_CONTEXT;
    if (stack.count == CONTEXTS_DEEP)
        return CUDA_ERROR_OUT_OF_MEMORY;
    stack.items[stack.count++] = context;
    return CUDA_SUCCESS;
}

CUresult remote_cuCtxPopCurrent_v2(CUcontext *context)
{
    if (!stack.count)
        return CUDA_ERROR_INVALID_CONTEXT;
    CUcontext top = stack.items[--stack.count];
    if (context)
        *context = top;
    return CUDA_SUCCESS;
}

CUresult remote_cuCtxSetCurrent(CUcontext context)
{
    if (stack.count)
        stack.count--;
    return context ? remote_cuCtxPushCurrent_v2(context) : CUDA_SUCCESS;
}

CUresult remote_cuCtxGetCurrent(CUcontext *context)
{
    if (!context)
        return CUDA_ERROR_INVALID_VALUE;
    *context = remote_context();
    return CUDA_SUCCESS;
}

CUresult remote_cuCtxGetDevice(CUdevice *device)
{
    if (!device)
        return CUDA_ERROR_INVALID_VALUE;
    if (!remote_context())
        return CUDA_ERROR_INVALID_CONTEXT;
    *device = 0;
    return CUDA_SUCCESS;
}

CUresult remote_cuCtxGetFlags(unsigned *flags)
{
    CUcontext context = remote_context();
    if (!flags)
        return CUDA_ERROR_INVALID_VALUE;
    if (!context)
        return CUDA_ERROR_INVALID_CONTEXT;
    *flags = context->flags;
    return CUDA_SUCCESS;
}

CUresult remote_cuCtxGetApiVersion(CUcontext context, unsigned *version)
{
    if (context ? !remote_is(context, REMOTE_CONTEXT) : !remote_context())
        return CUDA_ERROR_INVALID_CONTEXT;
    if (!version)
        return CUDA_ERROR_INVALID_VALUE;
    *version = API_VERSION;
    return CUDA_SUCCESS;
}

CUresult remote_cuCtxCreate_v2(CUcontext *context, unsigned flags, CUdevice number)
{
    CUresult result;
    if (!device_of(number, context, &result))
        return result;
    if (stack.count == CONTEXTS_DEEP)
        return CUDA_ERROR_OUT_OF_MEMORY;
    result = create(flags, 0, context);
    return result == CUDA_SUCCESS ? remote_cuCtxPushCurrent_v2(*context) : result;
}

CUresult remote_cuCtxDestroy_v2(CUcontext context)
{
    if (!remote_is(context, REMOTE_CONTEXT) || context == primary.context)
        return CUDA_ERROR_INVALID_CONTEXT;
    if (remote_context() == context)
        stack.count--;
    return destroy(context, 0);
}

/* The current context, and another one of the same device. */
static CUresult check_peer(CUcontext peer)
{
    CUcontext context = remote_context();
    return context && remote_is(peer, REMOTE_CONTEXT) && peer != context
               ? CUDA_SUCCESS
               : CUDA_ERROR_INVALID_CONTEXT;
}

CUresult remote_cuCtxEnablePeerAccess(CUcontext peer, unsigned flags)
{
    CUresult result = flags ? CUDA_ERROR_INVALID_VALUE : check_peer(peer);
    return result == CUDA_SUCCESS ? CUDA_ERROR_PEER_ACCESS_UNSUPPORTED : result;
}

CUresult remote_cuCtxDisablePeerAccess(CUcontext peer)
{
    CUresult result = check_peer(peer);
    return result == CUDA_SUCCESS ? CUDA_ERROR_PEER_ACCESS_NOT_ENABLED : result;
}

CUresult remote_cuCtxSynchronize(void)
{
    const struct remote_call call = {.call = WIRE_CUDA_CONTEXT_WAIT};
    return remote_context() ? remote_ask(&call, NULL) : CUDA_ERROR_INVALID_CONTEXT;
}

CUresult remote_cuCtxSetLimit(int limit, size_t value)
{
    const struct remote_call call = {
        .call = WIRE_CUDA_LIMIT_SET, .first = (uint64_t)limit, .second = value};
    return remote_context() ? remote_ask(&call, NULL) : CUDA_ERROR_INVALID_CONTEXT;
}

CUresult remote_cuCtxGetLimit(size_t *value, int limit)
{
    const struct remote_call call = {.call = WIRE_CUDA_LIMIT_GET, .first = (uint64_t)limit};
    uint64_t answer = 0;
    if (!value)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult result = remote_context() ? remote_ask(&call, &answer) : CUDA_ERROR_INVALID_CONTEXT;
    if (result == CUDA_SUCCESS)
        *value = answer;
    return result;
}

/* ---- the primary context ---- */

static int has_primary(void)
{
    return primary.references && remote_is(primary.context, REMOTE_CONTEXT);
}

CUresult remote_cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice number)
{
    CUresult result;
    if (!device_of(number, context, &result))
        return result;
    (void)pthread_mutex_lock(&primary.lock);
    if (!has_primary()) {
        primary.references = 0;
        result = create(primary.flags, 1, &primary.context);
    }
    if (result == CUDA_SUCCESS) {
        primary.references++;
        *context = primary.context;
    }
    (void)pthread_mutex_unlock(&primary.lock);
    return result;
}

static CUresult release(CUdevice number, int all)
{
    CUresult result;
    if (!device_of(number, &result, &result))
        return result;
    (void)pthread_mutex_lock(&primary.lock);
    if (!has_primary())
        result = all ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
    else if (all || --primary.references == 0) {
        primary.references = 0;
        result = destroy(primary.context, 1);
        primary.context = NULL;
    }
    (void)pthread_mutex_unlock(&primary.lock);
    return result;
}

CUresult remote_cuDevicePrimaryCtxRelease_v2(CUdevice number)
{
    return release(number, 0);
}

CUresult remote_cuDevicePrimaryCtxReset_v2(CUdevice number)
{
    return release(number, 1);
}

CUresult remote_cuDevicePrimaryCtxSetFlags_v2(CUdevice number, unsigned flags)
{
    CUresult result;
    if (device_of(number, &flags, &result))
        primary.flags = flags;
    return result;
}

CUresult remote_cuDevicePrimaryCtxGetState(CUdevice number, unsigned *flags, int *active)
{
    CUresult result;
    if (!device_of(number, flags && active ? flags : NULL, &result))
        return result;
    (void)pthread_mutex_lock(&primary.lock);
    *flags = primary.flags;
    *active = has_primary();
    (void)pthread_mutex_unlock(&primary.lock);
    return CUDA_SUCCESS;
}
