/* An OpenCL driver that does nothing, for the executor under the fuzzer: handles are counted heap
 * objects, so that a handle used after its release or as another kind is found; commands complete
 * at once and touch the first and the last byte of their host memory. */
#include <stdlib.h>
#include <string.h>

#include "card/executor/opencl.h"
#include "fake_opencl.h"

int fake_opencl_shares_memory;

enum kind { CONTEXT = 1, QUEUE, MEMORY, SAMPLER, PROGRAM, KERNEL, EVENT, DEVICE };

/* Every handle points to one of these. */
struct handle {
    enum kind kind;
    unsigned references;
    cl_int status;          /* of an event */
    struct handle *blocker; /* of an event: what it waits for */
    struct handle *next;    /* of a blocked event */
    struct handle *context; /* of a program, one reference */
    size_t bytes;           /* of memory */
    struct handle *size;    /* of memory: what says how much of it is of use; no reference */
    void(CL_CALLBACK *on_freed)(cl_mem, void *);
    void(CL_CALLBACK *on_status)(cl_event, cl_int, void *);
    void *arg;
};

static void *make(enum kind kind, cl_int *status)
{
    struct handle *handle = calloc(1, sizeof(*handle));
    if (!handle)
        abort();
    handle->kind = kind;
    handle->references = 1;
    if (status)
        *status = CL_SUCCESS;
    return handle;
}

static struct handle *check(const void *object, enum kind kind)
{
    struct handle *handle = (struct handle *)(uintptr_t)object;
    if (!handle || handle->kind != kind || handle->references == 0)
        abort();
    return handle;
}

static cl_int release(const void *object, enum kind kind)
{
    struct handle *handle = check(object, kind);
    if (--handle->references)
        return CL_SUCCESS;
    if (handle->kind == EVENT && handle->status > 0 && handle->blocker)
        abort(); /* nobody would see its end */
    if (handle->on_freed)
        handle->on_freed((cl_mem)(void *)handle, handle->arg);
    if (handle->context)
        (void)release(handle->context, CONTEXT);
    free(handle);
    return CL_SUCCESS;
}

static cl_program make_program(cl_context context, cl_int *status)
{
    struct handle *program = make(PROGRAM, status);
    program->context = check(context, CONTEXT);
    program->context->references++;
    return (cl_program)(void *)program;
}

static void touch(const void *memory, size_t bytes, int is_write)
{
    volatile unsigned char *at = (volatile unsigned char *)(uintptr_t)memory;
    if (bytes == 0)
        return;
    unsigned char first = at[0], last = at[bytes - 1];
    if (is_write) {
        at[0] = first;
        at[bytes - 1] = last;
    }
}

static struct handle *blocked; /* events that wait for a user event */

/* An event has its status: so have those that wait for it. */
static void settle(struct handle *event)
{
    struct handle **link = &blocked;
    while (*link) {
        struct handle *waiting = *link;
        if (waiting->blocker != event) {
            link = &waiting->next;
            continue;
        }
        *link = waiting->next;
        waiting->status = event->status < 0 ? -1 : CL_COMPLETE;
        waiting->references++;
        if (waiting->status == CL_COMPLETE && waiting->on_status)
            waiting->on_status((cl_event)(void *)waiting, CL_COMPLETE, waiting->arg);
        settle(waiting);
        (void)release(waiting, EVENT);
        link = &blocked;
    }
}

/* Hand out a command's event; it fails when one it waits for has failed. */
static cl_int command(cl_command_queue queue, cl_uint count, const cl_event *waits, cl_event *event)
{
    check(queue, QUEUE);
    struct handle *made = make(EVENT, NULL);
    for (cl_uint i = 0; i < count; i++) {
        struct handle *earlier = check(waits[i], EVENT);
        if (earlier->status < 0)
            made->status = -1;
        else if (earlier->status > 0)
            made->blocker = earlier;
    }
    if (made->blocker && made->status == CL_COMPLETE) {
        made->status = CL_QUEUED;
        made->next = blocked;
        blocked = made;
    }
    if (!event) /* of one that blocks, and nobody asks for it */
        return release(made, EVENT);
    *event = (cl_event)(void *)made;
    return CL_SUCCESS;
}

cl_int clGetPlatformIDs(cl_uint room, cl_platform_id *platforms, cl_uint *count)
{
    return CL_INVALID_VALUE;
}

cl_int clGetDeviceIDs(cl_platform_id platform, cl_device_type type, cl_uint room,
                      cl_device_id *devices, cl_uint *count)
{
    static struct handle root = {.kind = DEVICE, .references = 1};
    devices[0] = (cl_device_id)(void *)&root;
    return CL_SUCCESS;
}

cl_int clGetPlatformInfo(cl_platform_id platform, cl_platform_info what, size_t room, void *value,
                         size_t *length)
{
    return CL_INVALID_VALUE;
}

static cl_int tell(const void *answer, size_t bytes, size_t room, void *value, size_t *length)
{
    if (value && room < bytes)
        return CL_INVALID_VALUE;
    if (value)
        memcpy(value, answer, bytes);
    if (length)
        *length = bytes;
    return CL_SUCCESS;
}

cl_int clGetDeviceInfo(cl_device_id device, cl_device_info what, size_t room, void *value,
                       size_t *length)
{
    const cl_bool unified = CL_TRUE;
    const cl_device_type type = CL_DEVICE_TYPE_CPU;
    const cl_uint align_bits = 128 * 8;
    const cl_platform_id platform = NULL;
    if (!fake_opencl_shares_memory)
        return CL_INVALID_VALUE;
    switch (what) {
    case CL_DEVICE_PLATFORM:
        return tell(&platform, sizeof(platform), room, value, length);
    case CL_DEVICE_TYPE:
        return tell(&type, sizeof(type), room, value, length);
    case CL_DEVICE_HOST_UNIFIED_MEMORY:
        return tell(&unified, sizeof(unified), room, value, length);
    case CL_DEVICE_MEM_BASE_ADDR_ALIGN:
        return tell(&align_bits, sizeof(align_bits), room, value, length);
    default:
        return CL_INVALID_VALUE;
    }
}

/* Any division but one by counts is into two. */
cl_int clCreateSubDevices(cl_device_id device, const cl_device_partition_property *properties,
                          cl_uint room, cl_device_id *parts, cl_uint *count)
{
    check(device, DEVICE);
    const cl_device_partition_property *end = properties;
    while (*end) /* and one more is there */
        end++;
    const cl_uint made =
        *properties == CL_DEVICE_PARTITION_BY_COUNTS ? (cl_uint)(end - properties - 1) : 2;
    if (end[1] || made == 0 || (parts && room < made))
        return CL_INVALID_VALUE;
    for (cl_uint i = 0; parts && i < made; i++)
        parts[i] = make(DEVICE, NULL);
    if (count)
        *count = made;
    return CL_SUCCESS;
}

cl_int clReleaseDevice(cl_device_id device)
{
    return release(device, DEVICE);
}

cl_int clGetContextInfo(cl_context context, cl_context_info what, size_t room, void *value,
                        size_t *length)
{
    const cl_device_id none = NULL;
    check(context, CONTEXT);
    if (value)
        memcpy(value, &none, room < sizeof(none) ? room : sizeof(none));
    if (length)
        *length = sizeof(none);
    return CL_SUCCESS;
}

cl_context clCreateContext(const cl_context_properties *properties, cl_uint count,
                           const cl_device_id *devices,
                           void(CL_CALLBACK *notify)(const char *, const void *, size_t, void *),
                           void *arg, cl_int *status)
{
    for (cl_uint i = 0; i < count; i++)
        check(devices[i], DEVICE);
    return make(CONTEXT, status);
}

cl_int clReleaseContext(cl_context context)
{
    return release(context, CONTEXT);
}

cl_command_queue clCreateCommandQueue(cl_context context, cl_device_id device,
                                      cl_command_queue_properties properties, cl_int *status)
{
    check(context, CONTEXT);
    check(device, DEVICE);
    return make(QUEUE, status);
}

cl_int clReleaseCommandQueue(cl_command_queue queue)
{
    return release(queue, QUEUE);
}

cl_int clFlush(cl_command_queue queue)
{
    check(queue, QUEUE);
    return CL_SUCCESS;
}

cl_int clFinish(cl_command_queue queue)
{
    check(queue, QUEUE);
    return CL_SUCCESS;
}

cl_mem clCreateBuffer(cl_context context, cl_mem_flags flags, size_t bytes, void *host,
                      cl_int *status)
{
    check(context, CONTEXT);
    *status = bytes ? CL_SUCCESS : CL_INVALID_BUFFER_SIZE;
    if (!bytes)
        return NULL;
    if (flags & CL_MEM_USE_HOST_PTR)
        touch(host, bytes, 1);
    struct handle *memory = make(MEMORY, status);
    memory->bytes = bytes;
    return (cl_mem)(void *)memory;
}

cl_mem clCreateSubBuffer(cl_mem parent, cl_mem_flags flags, cl_buffer_create_type type,
                         const void *info, cl_int *status)
{
    const cl_buffer_region *region = info;
    struct handle *whole = check(parent, MEMORY);
    if (region->origin > whole->bytes || region->size > whole->bytes - region->origin) {
        *status = CL_INVALID_VALUE;
        return NULL;
    }
    struct handle *memory = make(MEMORY, status);
    memory->bytes = region->size;
    return (cl_mem)(void *)memory;
}

cl_mem clCreateImage(cl_context context, cl_mem_flags flags, const cl_image_format *format,
                     const cl_image_desc *desc, void *host, cl_int *status)
{
    check(context, CONTEXT);
    if (desc->buffer)
        check(desc->buffer, MEMORY);
    *status = desc->image_width ? CL_SUCCESS : CL_INVALID_IMAGE_SIZE;
    return desc->image_width ? make(MEMORY, status) : NULL;
}

cl_int clSetMemObjectDestructorCallback(cl_mem memory, void(CL_CALLBACK *notify)(cl_mem, void *),
                                        void *arg)
{
    check(memory, MEMORY)->on_freed = notify;
    check(memory, MEMORY)->arg = arg;
    return CL_SUCCESS;
}

cl_int clReleaseMemObject(cl_mem memory)
{
    return release(memory, MEMORY);
}

cl_int clRetainMemObject(cl_mem memory)
{
    check(memory, MEMORY)->references++;
    return CL_SUCCESS;
}

static cl_int CL_API_CALL set_content_size(cl_mem memory, cl_mem size)
{
    check(memory, MEMORY)->size = check(size, MEMORY);
    check(size, MEMORY)->size = NULL;
    return CL_SUCCESS;
}

void *clGetExtensionFunctionAddressForPlatform(cl_platform_id platform, const char *name)
{
    (void)platform;
    return strcmp(name, "clSetContentSizeBufferPoCL") == 0 ? (void *)set_content_size : NULL;
}

cl_sampler clCreateSampler(cl_context context, cl_bool normalized, cl_addressing_mode addressing,
                           cl_filter_mode filter, cl_int *status)
{
    check(context, CONTEXT);
    return make(SAMPLER, status);
}

cl_int clReleaseSampler(cl_sampler sampler)
{
    return release(sampler, SAMPLER);
}

cl_program clCreateProgramWithSource(cl_context context, cl_uint count, const char **texts,
                                     const size_t *lengths, cl_int *status)
{
    check(context, CONTEXT);
    touch(texts[0], lengths ? lengths[0] : strlen(texts[0]) + 1, 0);
    return make_program(context, status);
}

cl_program clCreateProgramWithBinary(cl_context context, cl_uint count, const cl_device_id *devices,
                                     const size_t *lengths, const unsigned char **binaries,
                                     cl_int *loaded, cl_int *status)
{
    check(context, CONTEXT);
    for (cl_uint i = 0; i < count; i++)
        touch(binaries[i], lengths[i], 0);
    return make_program(context, status);
}

cl_program clCreateProgramWithBuiltInKernels(cl_context context, cl_uint count,
                                             const cl_device_id *devices, const char *names,
                                             cl_int *status)
{
    check(context, CONTEXT);
    if (names[0] != 'x')
        return make_program(context, status);
    *status = CL_INVALID_VALUE;
    return NULL;
}

cl_int clBuildProgram(cl_program program, cl_uint count, const cl_device_id *devices,
                      const char *options, void(CL_CALLBACK *notify)(cl_program, void *), void *arg)
{
    check(program, PROGRAM);
    return options && strstr(options, "fail") ? CL_BUILD_PROGRAM_FAILURE : CL_SUCCESS;
}

cl_int clCompileProgram(cl_program program, cl_uint count, const cl_device_id *devices,
                        const char *options, cl_uint header_count, const cl_program *headers,
                        const char **names, void(CL_CALLBACK *notify)(cl_program, void *),
                        void *arg)
{
    check(program, PROGRAM);
    return options && strstr(options, "fail") ? CL_COMPILE_PROGRAM_FAILURE : CL_SUCCESS;
}

cl_program clLinkProgram(cl_context context, cl_uint count, const cl_device_id *devices,
                         const char *options, cl_uint input_count, const cl_program *inputs,
                         void(CL_CALLBACK *notify)(cl_program, void *), void *arg, cl_int *status)
{
    check(context, CONTEXT);
    for (cl_uint i = 0; i < input_count; i++)
        check(inputs[i], PROGRAM);
    return make_program(context, status);
}

cl_int clGetProgramBuildInfo(cl_program program, cl_device_id device, cl_program_build_info what,
                             size_t room, void *value, size_t *length)
{
    check(program, PROGRAM);
    return CL_INVALID_VALUE;
}

cl_int clGetProgramInfo(cl_program program, cl_program_info what, size_t room, void *value,
                        size_t *length)
{
    const size_t bytes = 100;
    const struct handle *handle = check(program, PROGRAM);
    if (length)
        *length = sizeof(void *);
    if (what == CL_PROGRAM_BINARIES)
        memset(*(unsigned char **)value, 7, bytes);
    else if (value && what == CL_PROGRAM_CONTEXT)
        memcpy(value, &handle->context, sizeof(handle->context));
    else if (value)
        memcpy(value, &bytes, sizeof(bytes)); /* or devices that are none of ours */
    return CL_SUCCESS;
}

cl_int clReleaseProgram(cl_program program)
{
    return release(program, PROGRAM);
}

cl_kernel clCreateKernel(cl_program program, const char *name, cl_int *status)
{
    check(program, PROGRAM);
    *status = strchr(name, '?') ? CL_INVALID_KERNEL_NAME : CL_SUCCESS;
    return *status ? NULL : make(KERNEL, status);
}

cl_int clCreateKernelsInProgram(cl_program program, cl_uint room, cl_kernel *kernels,
                                cl_uint *count)
{
    check(program, PROGRAM);
    for (cl_uint i = 0; kernels && i < room; i++)
        kernels[i] = make(KERNEL, NULL);
    if (count)
        *count = 1;
    return CL_SUCCESS;
}

cl_int clReleaseKernel(cl_kernel kernel)
{
    return release(kernel, KERNEL);
}

cl_int clGetKernelInfo(cl_kernel kernel, cl_kernel_info what, size_t room, void *value,
                       size_t *length)
{
    const cl_uint args = 3;
    check(kernel, KERNEL);
    if (what != CL_KERNEL_NUM_ARGS)
        return CL_INVALID_VALUE;
    memcpy(value, &args, sizeof(args));
    return CL_SUCCESS;
}

cl_int clGetKernelArgInfo(cl_kernel kernel, cl_uint index, cl_kernel_arg_info what, size_t room,
                          void *value, size_t *length)
{
    check(kernel, KERNEL);
    return CL_KERNEL_ARG_INFO_NOT_AVAILABLE;
}

cl_int clGetKernelWorkGroupInfo(cl_kernel kernel, cl_device_id device,
                                cl_kernel_work_group_info what, size_t room, void *value,
                                size_t *length)
{
    check(kernel, KERNEL);
    return CL_INVALID_VALUE;
}

/* Argument 0 is a buffer, 1 is local memory, others are values of 4 bytes. */
cl_int clSetKernelArg(cl_kernel kernel, cl_uint index, size_t bytes, const void *value)
{
    check(kernel, KERNEL);
    if (value)
        touch(value, bytes, 0);
    if (index == 1)
        return value ? CL_INVALID_ARG_VALUE : CL_SUCCESS;
    if (index > 1)
        return !value ? CL_INVALID_ARG_VALUE : bytes == 4 ? CL_SUCCESS : CL_INVALID_ARG_SIZE;
    return bytes == sizeof(cl_mem) ? CL_SUCCESS : CL_INVALID_ARG_SIZE;
}

cl_int clSetKernelArgSVMPointer(cl_kernel kernel, cl_uint index, const void *pointer)
{
    check(kernel, KERNEL);
    touch(pointer, 1, 1);
    return CL_SUCCESS;
}

cl_int clRetainContext(cl_context context)
{
    check(context, CONTEXT)->references++;
    return CL_SUCCESS;
}

void *clSVMAlloc(cl_context context, cl_svm_mem_flags flags, size_t bytes, cl_uint alignment)
{
    check(context, CONTEXT);
    return bytes && bytes < (1u << 20) ? aligned_alloc(4096, (bytes + 4095) / 4096 * 4096) : NULL;
}

void clSVMFree(cl_context context, void *pointer)
{
    check(context, CONTEXT);
    free(pointer);
}

cl_int clSetKernelExecInfo(cl_kernel kernel, cl_kernel_exec_info name, size_t bytes,
                           const void *value)
{
    void *const *pointers = value;
    check(kernel, KERNEL);
    for (size_t i = 0; i < bytes / sizeof(*pointers); i++)
        touch(pointers[i], 1, 1);
    return CL_SUCCESS;
}

cl_event clCreateUserEvent(cl_context context, cl_int *status)
{
    check(context, CONTEXT);
    struct handle *event = make(EVENT, status);
    event->status = CL_SUBMITTED;
    return (cl_event)(void *)event;
}

cl_int clSetUserEventStatus(cl_event event, cl_int status)
{
    check(event, EVENT)->status = status;
    settle(check(event, EVENT));
    return CL_SUCCESS;
}

cl_int clRetainEvent(cl_event event)
{
    check(event, EVENT)->references++;
    return CL_SUCCESS;
}

cl_int clReleaseEvent(cl_event event)
{
    return release(event, EVENT);
}

cl_int clWaitForEvents(cl_uint count, const cl_event *events)
{
    check(events[0], EVENT);
    return CL_SUCCESS;
}

/* What completes does so at once; what failed is never reported, as PoCL does it. */
cl_int clSetEventCallback(cl_event event, cl_int when,
                          void(CL_CALLBACK *notify)(cl_event, cl_int, void *), void *arg)
{
    struct handle *handle = check(event, EVENT);
    if (handle->status == CL_COMPLETE)
        notify(event, CL_COMPLETE, arg);
    handle->on_status = notify;
    handle->arg = arg;
    return CL_SUCCESS;
}

cl_int clGetEventInfo(cl_event event, cl_event_info what, size_t room, void *value, size_t *length)
{
    memcpy(value, &check(event, EVENT)->status, sizeof(cl_int));
    return CL_SUCCESS;
}

cl_int clGetEventProfilingInfo(cl_event event, cl_profiling_info what, size_t room, void *value,
                               size_t *length)
{
    const cl_ulong time = 1000 + what;
    check(event, EVENT);
    memcpy(value, &time, sizeof(time));
    return CL_SUCCESS;
}

cl_int clEnqueueWriteBuffer(cl_command_queue queue, cl_mem memory, cl_bool blocking, size_t offset,
                            size_t bytes, const void *host, cl_uint count, const cl_event *waits,
                            cl_event *event)
{
    check(memory, MEMORY);
    touch(host, bytes, 0);
    return command(queue, count, waits, event);
}

cl_int clEnqueueReadBuffer(cl_command_queue queue, cl_mem memory, cl_bool blocking, size_t offset,
                           size_t bytes, void *host, cl_uint count, const cl_event *waits,
                           cl_event *event)
{
    check(memory, MEMORY);
    touch(host, bytes, 1);
    return command(queue, count, waits, event);
}

cl_int clEnqueueWriteBufferRect(cl_command_queue queue, cl_mem memory, cl_bool blocking,
                                const size_t *origin, const size_t *host_origin,
                                const size_t *region, size_t row, size_t slice, size_t host_row,
                                size_t host_slice, const void *host, cl_uint count,
                                const cl_event *waits, cl_event *event)
{
    check(memory, MEMORY);
    touch(host, region[0] * region[1] * region[2], 0);
    return command(queue, count, waits, event);
}

cl_int clEnqueueReadBufferRect(cl_command_queue queue, cl_mem memory, cl_bool blocking,
                               const size_t *origin, const size_t *host_origin,
                               const size_t *region, size_t row, size_t slice, size_t host_row,
                               size_t host_slice, void *host, cl_uint count, const cl_event *waits,
                               cl_event *event)
{
    check(memory, MEMORY);
    touch(host, region[0] * region[1] * region[2], 1);
    return command(queue, count, waits, event);
}

cl_int clEnqueueCopyBuffer(cl_command_queue queue, cl_mem source, cl_mem target, size_t from,
                           size_t to, size_t bytes, cl_uint count, const cl_event *waits,
                           cl_event *event)
{
    check(source, MEMORY);
    check(target, MEMORY);
    return command(queue, count, waits, event);
}

cl_int clEnqueueCopyBufferRect(cl_command_queue queue, cl_mem source, cl_mem target,
                               const size_t *from, const size_t *to, const size_t *region,
                               size_t from_row, size_t from_slice, size_t to_row, size_t to_slice,
                               cl_uint count, const cl_event *waits, cl_event *event)
{
    check(source, MEMORY);
    check(target, MEMORY);
    return command(queue, count, waits, event);
}

/* The executor has checked that as many bytes as the region's pixels have lie at `host`. */
cl_int clEnqueueReadImage(cl_command_queue queue, cl_mem image, cl_bool blocking,
                          const size_t *origin, const size_t *region, size_t row_pitch,
                          size_t slice_pitch, void *host, cl_uint count, const cl_event *waits,
                          cl_event *event)
{
    check(image, MEMORY);
    touch(host, region[0] * region[1] * region[2], 1);
    return command(queue, count, waits, event);
}

cl_int clEnqueueWriteImage(cl_command_queue queue, cl_mem image, cl_bool blocking,
                           const size_t *origin, const size_t *region, size_t row_pitch,
                           size_t slice_pitch, const void *host, cl_uint count,
                           const cl_event *waits, cl_event *event)
{
    check(image, MEMORY);
    touch(host, region[0] * region[1] * region[2], 0);
    return command(queue, count, waits, event);
}

cl_int clEnqueueFillImage(cl_command_queue queue, cl_mem image, const void *color,
                          const size_t *origin, const size_t *region, cl_uint count,
                          const cl_event *waits, cl_event *event)
{
    check(image, MEMORY);
    touch(color, 4 * sizeof(cl_uint), 0);
    return command(queue, count, waits, event);
}

cl_int clEnqueueCopyImage(cl_command_queue queue, cl_mem from, cl_mem to, const size_t *from_origin,
                          const size_t *to_origin, const size_t *region, cl_uint count,
                          const cl_event *waits, cl_event *event)
{
    check(from, MEMORY);
    check(to, MEMORY);
    return command(queue, count, waits, event);
}

cl_int clEnqueueCopyImageToBuffer(cl_command_queue queue, cl_mem from, cl_mem to,
                                  const size_t *origin, const size_t *region, size_t offset,
                                  cl_uint count, const cl_event *waits, cl_event *event)
{
    check(from, MEMORY);
    check(to, MEMORY);
    return command(queue, count, waits, event);
}

cl_int clEnqueueCopyBufferToImage(cl_command_queue queue, cl_mem from, cl_mem to, size_t offset,
                                  const size_t *origin, const size_t *region, cl_uint count,
                                  const cl_event *waits, cl_event *event)
{
    check(from, MEMORY);
    check(to, MEMORY);
    return command(queue, count, waits, event);
}

cl_int clEnqueueFillBuffer(cl_command_queue queue, cl_mem memory, const void *pattern,
                           size_t pattern_bytes, size_t offset, size_t bytes, cl_uint count,
                           const cl_event *waits, cl_event *event)
{
    check(memory, MEMORY);
    touch(pattern, pattern_bytes, 0);
    return command(queue, count, waits, event);
}

cl_int clEnqueueMigrateMemObjects(cl_command_queue queue, cl_uint count, const cl_mem *objects,
                                  cl_mem_migration_flags flags, cl_uint wait_count,
                                  const cl_event *waits, cl_event *event)
{
    for (cl_uint i = 0; i < count; i++)
        check(objects[i], MEMORY);
    return command(queue, wait_count, waits, event);
}

cl_int clEnqueueMarkerWithWaitList(cl_command_queue queue, cl_uint count, const cl_event *waits,
                                   cl_event *event)
{
    return command(queue, count, waits, event);
}

cl_int clEnqueueBarrierWithWaitList(cl_command_queue queue, cl_uint count, const cl_event *waits,
                                    cl_event *event)
{
    return command(queue, count, waits, event);
}

cl_int clEnqueueNDRangeKernel(cl_command_queue queue, cl_kernel kernel, cl_uint dims,
                              const size_t *offset, const size_t *global, const size_t *local,
                              cl_uint count, const cl_event *waits, cl_event *event)
{
    check(kernel, KERNEL);
    touch(global, dims * sizeof(size_t), 0);
    return global[0] == 0 ? CL_INVALID_GLOBAL_WORK_SIZE : command(queue, count, waits, event);
}
