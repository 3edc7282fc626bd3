/* Kernel launches: changed arguments first, then the range. */
#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "card/executor/command.h"
#include "card/executor/session.h"
#include "card/meter/meter.h"

struct arg_cursor {
    const uint8_t *at, *end;
};

/* Step to the next argument: 1 with `ret_bytes` pointing to its value, 0 at the end, -EPROTO. */
static int next_arg(struct arg_cursor *cursor, struct wire_arg *ret_arg, const void **ret_bytes,
                    struct error *err)
{
    uint64_t left = (uint64_t)(cursor->end - cursor->at);
    if (left < sizeof(*ret_arg))
        return left == 0 ? 0 : BAD_RECORD(err, "an argument is cut off");
    memcpy(ret_arg, cursor->at, sizeof(*ret_arg));
    uint64_t bytes = ret_arg->size_bytes;
    if (ret_arg->kind == WIRE_ARG_MEMORY || ret_arg->kind == WIRE_ARG_SAMPLER)
        bytes = sizeof(uint32_t);
    else if (ret_arg->kind == WIRE_ARG_LOCAL)
        bytes = 0;
    left -= sizeof(*ret_arg);
    if (bytes > left || wire_pad8(bytes) > left)
        return BAD_RECORD(err, "argument %u is cut off", ret_arg->index);
    *ret_bytes = cursor->at + sizeof(*ret_arg);
    cursor->at += sizeof(*ret_arg) + wire_pad8(bytes);
    return 1;
}

/* Set an argument that names an object; 0 is a null buffer. */
static int set_object(struct session *session, cl_kernel kernel, const struct wire_arg *arg,
                      const void *bytes, cl_int *ret_status, struct error *err)
{
    uint32_t id;
    struct object *object;
    memcpy(&id, bytes, sizeof(id));
    if (id == 0) {
        *ret_status = clSetKernelArg(kernel, arg->index, sizeof(cl_mem), NULL);
        return 0;
    }
    enum object_kind kind = arg->kind == WIRE_ARG_MEMORY ? OBJECT_MEMORY : OBJECT_SAMPLER;
    if (object_get(session, id, kind, &object, err) < 0)
        return -EPROTO;
    *ret_status = object->error
                      ? object->error
                      : clSetKernelArg(kernel, arg->index, sizeof(object->driver), &object->driver);
    return 0;
}

static int set_pointer(struct session *session, cl_kernel kernel, const struct wire_arg *arg,
                       const void *bytes, cl_int *ret_status, struct error *err)
{
    uint64_t address;
    if (arg->size_bytes != sizeof(address))
        return BAD_RECORD(err, "argument %u is no pointer", arg->index);
    memcpy(&address, bytes, sizeof(address));
    *ret_status = CL_INVALID_ARG_VALUE; /* as it has been freed since */
    if (svm_holds(session, address))
        *ret_status = clSetKernelArgSVMPointer(kernel, arg->index, (void *)(uintptr_t)address);
    return 0;
}

static int set_arg(struct session *session, cl_kernel kernel, const struct wire_arg *arg,
                   const void *bytes, cl_int *ret_status, struct error *err)
{
    switch (arg->kind) {
    case WIRE_ARG_VALUE:
        *ret_status = clSetKernelArg(kernel, arg->index, arg->size_bytes, bytes);
        return 0;
    case WIRE_ARG_LOCAL:
        *ret_status = clSetKernelArg(kernel, arg->index, arg->size_bytes, NULL);
        return 0;
    case WIRE_ARG_SVM:
        return set_pointer(session, kernel, arg, bytes, ret_status, err);
    case WIRE_ARG_MEMORY:
    case WIRE_ARG_SAMPLER:
        return set_object(session, kernel, arg, bytes, ret_status, err);
    default:
        return BAD_RECORD(err, "argument %u is of no kind", arg->index);
    }
}

/* Room for the argument's value; NULL: out of memory. */
static struct kernel_arg *arg_place(struct kernel *kernel, uint32_t index)
{
    if (index >= kernel->arg_count) {
        uint32_t count = index + 8 < KERNEL_ARGS_MAX ? index + 8 : KERNEL_ARGS_MAX;
        struct kernel_arg *args = realloc(kernel->args, count * sizeof(*args));
        if (!args)
            return NULL;
        memset(args + kernel->arg_count, 0, (count - kernel->arg_count) * sizeof(*args));
        kernel->args = args;
        kernel->arg_count = count;
    }
    return &kernel->args[index];
}

static int has_bytes(uint32_t kind)
{
    return kind == WIRE_ARG_VALUE || kind == WIRE_ARG_SVM;
}

/* Keep the value an argument got, for a kernel that is made again. */
static cl_int keep_arg(struct kernel_arg *kept, const struct wire_arg *arg, const void *bytes)
{
    if (has_bytes(arg->kind)) {
        if (!kept->bytes || kept->size_bytes < arg->size_bytes) {
            void *larger = realloc(kept->bytes, arg->size_bytes ? arg->size_bytes : 1);
            if (!larger)
                return CL_OUT_OF_HOST_MEMORY;
            kept->bytes = larger;
        }
        memcpy(kept->bytes, bytes, arg->size_bytes);
    } else {
        free(kept->bytes); /* the size is not theirs any more */
        kept->bytes = NULL;
        if (arg->kind != WIRE_ARG_LOCAL)
            memcpy(&kept->object, bytes, sizeof(kept->object));
    }
    kept->kind = arg->kind;
    kept->size_bytes = arg->size_bytes;
    kept->is_set = 1;
    return CL_SUCCESS;
}

/* Values that the driver took before are taken again; an object that the client has released since
 * is one that no launch uses before it is set anew. */
void kernel_set_again(struct session *session, struct object *object)
{
    const struct kernel *kernel = object->extra;
    for (uint32_t i = 0; i < kernel->arg_count; i++) {
        const struct kernel_arg *kept = &kernel->args[i];
        const struct wire_arg arg = {
            .index = i, .kind = kept->kind, .size_bytes = kept->size_bytes};
        const void *bytes = has_bytes(kept->kind) ? kept->bytes : &kept->object;
        cl_int status;
        if (kept->is_set)
            (void)set_arg(session, object->driver, &arg, bytes, &status, NULL);
    }
    svm_tell(session, kernel, object->driver);
}

/* A refused value stays refused for later launches that do not set it again. */
static void note_arg(struct kernel *kernel, struct kernel_arg *kept, cl_int status)
{
    kernel->refused_count += (uint32_t)(status != 0) - (uint32_t)(kept->error != 0);
    kept->error = status;
}

static cl_int first_arg_error(const struct kernel *kernel)
{
    for (uint32_t i = 0; i < kernel->arg_count && kernel->refused_count; i++) {
        if (kernel->args[i].error)
            return kernel->args[i].error;
    }
    return CL_SUCCESS;
}

/* Apply the changed arguments; a driver's refusal becomes the order's error. */
static int set_args(struct session *session, struct order *order, struct object *object,
                    const struct wire_launch *record, struct error *err)
{
    const uint8_t *args = wire_launch_args(record);
    struct arg_cursor cursor = {args, args + record->args_bytes};
    struct kernel *kernel = object->extra;
    struct wire_arg arg;
    const void *bytes;
    int more;
    while ((more = next_arg(&cursor, &arg, &bytes, err)) > 0) {
        cl_int status = CL_SUCCESS;
        if (arg.index >= KERNEL_ARGS_MAX)
            return BAD_RECORD(err, "argument %u is out of range", arg.index);
        struct kernel_arg *kept = arg_place(kernel, arg.index);
        if (!kept && !order->error)
            order->error = CL_OUT_OF_HOST_MEMORY;
        if (!kept || object->error)
            continue; /* the launch fails anyhow */
        if (set_arg(session, object->driver, &arg, bytes, &status, err) < 0)
            return -EPROTO;
        if (!status)
            status = keep_arg(kept, &arg, bytes);
        note_arg(kernel, kept, status);
    }
    if (more == 0 && !order->error)
        order->error = object->error ? object->error : first_arg_error(kernel);
    return more;
}

/* Where this kernel's time at this size is learned: sizes within a factor of two share. */
static uint64_t *find_pace(struct session *session, const struct kernel *kernel,
                           const size_t global[3], uint32_t dims)
{
    unsigned size = 0;
    for (uint32_t i = 0; i < dims; i++)
        size += global[i] ? 64 - (unsigned)__builtin_clzll(global[i]) : 0;
    return &session->paces[(kernel->pace_base + size * 2654435761u) % PACES];
}

static uint64_t estimate_ns(const uint64_t *pace)
{
    uint64_t known = __atomic_load_n(pace, __ATOMIC_RELAXED);
    return known ? known : METER_UNKNOWN_NS;
}

int handle_launch(struct session *session, const struct wire_header *header, struct reply *reply,
                  struct error *err)
{
    const struct wire_launch *record = (const void *)header;
    const size_t offset[3] = {record->global_offset_0, record->global_offset_1,
                              record->global_offset_2};
    const size_t global[3] = {record->global_0, record->global_1, record->global_2};
    const size_t local[3] = {record->local_0, record->local_1, record->local_2};
    struct order order;
    struct object *kernel;
    if (order_open(session, &order, record->queue_id, record->event, wire_launch_waits(record),
                   record->wait_count, err) < 0 ||
        object_get(session, record->kernel_id, OBJECT_KERNEL, &kernel, err) < 0 ||
        set_args(session, &order, kernel, record, err) < 0)
        return -EPROTO;
    if (!order.error && (record->dims < 1 || record->dims > 3))
        order.error = CL_INVALID_WORK_DIMENSION;
    if (!order.error) {
        order.pace = find_pace(session, kernel->extra, global, record->dims);
        order.estimate_ns = estimate_ns(order.pace);
        order.kernel = ((const struct kernel *)kernel->extra)->name;
    }
    if (!order_enter(session, &order))
        return 0;
    cl_event event;
    cl_int status =
        clEnqueueNDRangeKernel(order.queue->driver, kernel->driver, record->dims,
                               record->shape_flags & WIRE_SHAPE_OFFSET ? offset : NULL, global,
                               record->shape_flags & WIRE_SHAPE_LOCAL ? local : NULL,
                               order.wait_count, order.waits, &event);
    order_close(session, &order, status, event);
    return 0;
}
