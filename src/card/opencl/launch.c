/* Launches: checked here as the device would, then one record with the arguments that changed. */
#include "card/opencl/build.h"
#include "card/opencl/event.h"
#include "card/opencl/kernel.h"
#include "card/opencl/memory.h"
#include "card/opencl/process.h"
#include "card/opencl/program.h"
#include "card/opencl/queue.h"
#include "card/opencl/sampler.h"
#include "card/opencl/sync.h"
#include "opencl_api.h"

#define DIMS_MAX 3

/* The range of a launch as the API gives it. */
struct range {
    cl_uint dims;
    const size_t *offset, *global, *local; /* offset and local may be NULL */
};

static cl_int check_local(const struct wire_kernel_info *kernel, const struct range *range)
{
    const struct device_limits *limits = &process.limits;
    uint64_t items = 1;
    int fixed = kernel->compile_work_group[0] != 0;
    if (!range->local)
        return fixed ? CL_INVALID_WORK_GROUP_SIZE : CL_SUCCESS;
    for (cl_uint i = 0; i < range->dims; i++) {
        if (range->local[i] == 0 || (fixed && range->local[i] != kernel->compile_work_group[i]) ||
            __builtin_mul_overflow(items, range->local[i], &items))
            return CL_INVALID_WORK_GROUP_SIZE;
    }
    if (items > kernel->work_group_size)
        return CL_INVALID_WORK_GROUP_SIZE;
    for (cl_uint i = 0; i < range->dims; i++) {
        if (range->local[i] > limits->work_item_sizes[i])
            return CL_INVALID_WORK_ITEM_SIZE;
        if (range->global[i] % range->local[i] != 0 && !limits->uneven_groups)
            return CL_INVALID_WORK_GROUP_SIZE;
    }
    return CL_SUCCESS;
}

/* Since OpenCL 2.1 a launch of nothing succeeds when its wait list has. */
static int is_empty(const struct range *range)
{
    for (cl_uint i = 0; range->global && i < range->dims; i++)
        if (range->global[i] == 0)
            return 1;
    return !range->global;
}

static cl_int check_range(const struct wire_kernel_info *kernel, const struct range *range)
{
    if (range->dims < 1 || range->dims > DIMS_MAX)
        return CL_INVALID_WORK_DIMENSION;
    if (is_empty(range))
        return CL_SUCCESS;
    size_t end;
    for (cl_uint i = 0; range->offset && i < range->dims; i++)
        if (__builtin_add_overflow(range->offset[i], range->global[i], &end))
            return CL_INVALID_GLOBAL_OFFSET;
    return check_local(kernel, range);
}

/* The executor must know every object that is about to be named. Nothing may be sent once the
 * launch record is begun, so this comes first. */
static cl_int ensure_args(cl_kernel kernel)
{
    for (cl_uint i = 0; i < kernel->arg_count; i++) {
        struct object *object = kernel_arg_object(kernel, i);
        if (!object || !(kernel->args[i].state & KERNEL_ARG_CHANGED))
            continue;
        int is_memory = object->type == OBJECT_MEMORY;
        if ((is_memory ? ((cl_mem)object)->context : ((cl_sampler)object)->context) !=
            kernel->context)
            return CL_INVALID_CONTEXT;
        cl_int result = is_memory ? memory_ensure((cl_mem)object) : object_ensure(object);
        if (result != CL_SUCCESS)
            return result;
    }
    return CL_SUCCESS;
}

/* Append the changed arguments; returns the bytes used. */
static uint32_t put_args(cl_kernel kernel, uint8_t *target)
{
    uint8_t *at = target;
    for (cl_uint i = 0; kernel->changed > 0 && i < kernel->arg_count; i++) {
        struct kernel_arg *arg = &kernel->args[i];
        if (!(arg->state & KERNEL_ARG_CHANGED))
            continue;
        const struct build_arg *info = &kernel->build->args[i];
        const char *value = kernel->values + info->value_offset;
        struct wire_arg head = {i, info->info.kind, arg->bytes};
        size_t bytes = info->info.kind == WIRE_ARG_LOCAL ? 0 : arg->bytes;
        uint32_t id = 0;
        if (arg->state & KERNEL_ARG_SVM) {
            head.kind = WIRE_ARG_SVM;
        } else if (info->info.kind == WIRE_ARG_MEMORY || info->info.kind == WIRE_ARG_SAMPLER) {
            const struct object *object = kernel_arg_object(kernel, i);
            id = object ? object->id : 0;
            value = (const char *)&id;
            head.size_bytes = bytes = sizeof(id);
        }
        memcpy(at, &head, sizeof(head));
        memcpy(at + sizeof(head), value, bytes);
        at += sizeof(head) + wire_pad8(bytes);
        arg->state &= ~(uint32_t)KERNEL_ARG_CHANGED;
        kernel->changed--;
    }
    return (uint32_t)(at - target);
}

static uint64_t axis(const size_t *sizes, cl_uint dims, cl_uint i, uint64_t missing)
{
    return sizes && i < dims ? sizes[i] : missing;
}

static void put_range(struct wire_launch *record, const struct range *range)
{
    record->dims = range->dims;
    record->shape_flags =
        (range->offset ? WIRE_SHAPE_OFFSET : 0) | (range->local ? WIRE_SHAPE_LOCAL : 0);
    record->global_offset_0 = axis(range->offset, range->dims, 0, 0);
    record->global_offset_1 = axis(range->offset, range->dims, 1, 0);
    record->global_offset_2 = axis(range->offset, range->dims, 2, 0);
    record->global_0 = axis(range->global, range->dims, 0, 1);
    record->global_1 = axis(range->global, range->dims, 1, 1);
    record->global_2 = axis(range->global, range->dims, 2, 1);
    record->local_0 = axis(range->local, range->dims, 0, 1);
    record->local_1 = axis(range->local, range->dims, 1, 1);
    record->local_2 = axis(range->local, range->dims, 2, 1);
}

/* With the kernel locked: two launches of one kernel must cross in the order in which their changes
 * were taken. */
static cl_int post_launch(struct command *command, cl_kernel kernel, const struct range *range)
{
    cl_int result = kernel->changed > 0 ? ensure_args(kernel) : CL_SUCCESS;
    if (result != CL_SUCCESS)
        return result;
    size_t tail = kernel->changed > 0 ? kernel->build->tail_bytes : 0;
    struct wire_launch *record = command_begin(command, sizeof(*record), tail);
    if (!record)
        return wire_alive(&process.client) ? CL_OUT_OF_RESOURCES : CL_DEVICE_NOT_AVAILABLE;
    record->queue_id = command->queue->object.id;
    record->kernel_id = kernel->object.id;
    record->event = event_slot(command->event);
    record->wait_count = command_put_waits(command, wire_launch_waits(record));
    put_range(record, range);
    record->args_bytes = put_args(kernel, wire_launch_args(record));
    command_post(command, command->event, record, WIRE_LAUNCH,
                 sizeof(*record) + wire_pad8(record->wait_count * sizeof(uint32_t)) +
                     record->args_bytes);
    return CL_SUCCESS;
}

/* Of a launch that is wrong in both ways PoCL tells of the range. */
static cl_int launch(cl_command_queue queue, cl_kernel kernel, cl_command_type type,
                     const struct range *range, const struct command_waits *waits)
{
    if (queue->context != kernel->context)
        return CL_INVALID_CONTEXT;
    cl_int result = check_range(&kernel->build->info, range);
    if (result == CL_SUCCESS && __atomic_load_n(&kernel->unset, __ATOMIC_RELAXED) > 0)
        result = CL_INVALID_KERNEL_ARGS;
    if (result == CL_SUCCESS)
        result = object_ensure(&kernel->object);
    struct command command;
    if (result == CL_SUCCESS)
        result = command_open(&command, queue, type, waits);
    if (result != CL_SUCCESS)
        return result;
    if (is_empty(range))
        return command_close(&command, sync_post(&command, SYNC_NOTHING), waits);
    lock_take(&kernel->lock);
    result = post_launch(&command, kernel, range);
    lock_give(&kernel->lock);
    return command_close(&command, result, waits);
}

cl_int api_clEnqueueNDRangeKernel(cl_command_queue command_queue, cl_kernel kernel,
                                  cl_uint work_dim, const size_t *global_work_offset,
                                  const size_t *global_work_size, const size_t *local_work_size,
                                  cl_uint num_events_in_wait_list, const cl_event *event_wait_list,
                                  cl_event *event)
{
    const struct command_waits waits = {num_events_in_wait_list, event_wait_list, event};
    const struct range range = {work_dim, global_work_offset, global_work_size, local_work_size};
    return launch(command_queue, kernel, CL_COMMAND_NDRANGE_KERNEL, &range, &waits);
}

cl_int api_clEnqueueTask(cl_command_queue command_queue, cl_kernel kernel,
                         cl_uint num_events_in_wait_list, const cl_event *event_wait_list,
                         cl_event *event)
{
    const struct command_waits waits = {num_events_in_wait_list, event_wait_list, event};
    const size_t one = 1;
    const struct range range = {1, NULL, &one, &one};
    return launch(command_queue, kernel, CL_COMMAND_TASK, &range, &waits);
}
