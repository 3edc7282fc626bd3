/* Command queues, flush and finish: see queue.h. */
#include "card/opencl/queue.h"

#include "card/opencl/context.h"
#include "card/opencl/event.h"
#include "card/opencl/info.h"
#include "card/opencl/process.h"
#include "card/opencl/subdevice.h"
#include "card/opencl/transfer.h"
#include "card/wire/wait.h"
#include "opencl_api.h"

static cl_int send_queue(struct object *object, uint32_t id)
{
    cl_command_queue queue = (cl_command_queue)object;
    struct wire_queue_create *record = record_begin(sizeof(*record));
    if (!record)
        return CL_DEVICE_NOT_AVAILABLE;
    record->id = id;
    record->context_id = queue->context->object.id;
    record->properties = queue->properties | (queue->hidden ? WIRE_QUEUE_FIRST : 0);
    record->queue_slot = queue->slot;
    record->device_id = queue->device->object.id;
    record_post(record, WIRE_QUEUE_CREATE, sizeof(*record));
    return CL_SUCCESS;
}

static struct object *queue_parent(struct object *object)
{
    return &((cl_command_queue)object)->context->object;
}

static int ended(const struct wire_queue_state *state, uint64_t posted)
{
    return (int64_t)(__atomic_load_n(&state->completed, __ATOMIC_ACQUIRE) - posted) >= 0;
}

/* A queue may be released before its commands ended, even while they wait for an event of the
 * user. */
int queue_slot_ended(uint32_t slot, uint64_t posted)
{
    return ended(wire_queue(&process.client, slot), posted);
}

static void enlist(cl_command_queue queue)
{
    cl_context context = queue->context;
    lock_take(&context->lock);
    queue->next = context->queues;
    context->queues = queue;
    lock_give(&context->lock);
}

static void strike_off(cl_command_queue queue)
{
    cl_context context = queue->context;
    lock_take(&context->lock);
    cl_command_queue *link = &context->queues;
    while (*link && *link != queue)
        link = &(*link)->next;
    if (*link)
        *link = queue->next;
    lock_give(&context->lock);
}

static void destroy_queue(struct object *object)
{
    cl_command_queue queue = (cl_command_queue)object;
    cl_context context = queue->hidden ? NULL : queue->context;
    slots_give(&process.queue_slots, queue->slot, queue->posted);
    if (!queue->hidden)
        strike_off(queue);
    free(queue->property_list);
    device_let_go(queue->device);
    object_free(object);
    if (context)
        object_release(&context->object);
}

const struct object_kind queue_kind = {send_queue, queue_parent, NULL, destroy_queue};

cl_command_queue queue_create(cl_context context, cl_device_id device,
                              cl_command_queue_properties properties, enum queue_use use,
                              cl_int *ret_code)
{
    uint32_t slot = slots_take(&process.queue_slots);
    cl_command_queue queue = slot ? object_create(OBJECT_QUEUE, sizeof(*queue)) : NULL;
    if (!queue) {
        if (slot)
            slots_give(&process.queue_slots, slot, 0);
        *ret_code = slot ? CL_OUT_OF_HOST_MEMORY : CL_OUT_OF_RESOURCES;
        return NULL;
    }
    queue->context = context;
    queue->device = device;
    device_hold(device);
    queue->properties = properties;
    queue->slot = slot;
    queue->state = wire_queue(&process.client, slot);
    queue->hidden = use == QUEUE_HIDDEN;
    queue->posted = __atomic_load_n(&queue->state->completed, __ATOMIC_ACQUIRE);
    queue->state->error = 0;
    if (!queue->hidden) {
        object_retain(&context->object);
        enlist(queue);
    }
    return queue;
}

/* Whether a part of one of the context's devices may have a queue is for the driver to say. */
static cl_command_queue queue_ask(cl_command_queue queue, cl_int *ret_code)
{
    cl_int result = object_ensure(&queue->object);
    struct wire_object_status *record = result == CL_SUCCESS ? record_begin(sizeof(*record)) : NULL;
    if (record) {
        record->id = queue->object.id;
        result = record_wait(record, WIRE_OBJECT_STATUS, sizeof(*record), NULL, NULL);
    } else if (result == CL_SUCCESS) {
        result = CL_DEVICE_NOT_AVAILABLE;
    }
    if (result == CL_SUCCESS)
        return queue;
    object_release(&queue->object);
    *ret_code = result;
    return NULL;
}

cl_command_queue api_clCreateCommandQueue(cl_context context, cl_device_id device,
                                          cl_command_queue_properties properties,
                                          cl_int *errcode_ret)
{
    const cl_command_queue_properties known =
        CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE | CL_QUEUE_PROFILING_ENABLE;
    const cl_command_queue_properties on_device = CL_QUEUE_ON_DEVICE | CL_QUEUE_ON_DEVICE_DEFAULT;
    int index = device_stands_for(device, context->devices, context->device_count);
    if (index < 0)
        *errcode_ret = CL_INVALID_DEVICE;
    else if (properties & ~(known | on_device))
        *errcode_ret = CL_INVALID_VALUE;
    else if (properties & ~device_number(device, CL_DEVICE_QUEUE_ON_HOST_PROPERTIES))
        *errcode_ret = CL_INVALID_QUEUE_PROPERTIES;
    if (*errcode_ret != CL_SUCCESS)
        return NULL;
    cl_command_queue queue = queue_create(context, device, properties, QUEUE_OF_USER, errcode_ret);
    return queue && context->devices[index] != device ? queue_ask(queue, errcode_ret) : queue;
}

static cl_int read_properties(const cl_queue_properties *list,
                              cl_command_queue_properties *ret_properties, size_t *ret_count)
{
    size_t count = 0;
    for (; list && list[count] != 0; count += 2) {
        if (list[count] == CL_QUEUE_PROPERTIES)
            *ret_properties = list[count + 1];
        else
            return CL_INVALID_VALUE; /* CL_QUEUE_SIZE is for queues on the device */
    }
    *ret_count = count;
    return CL_SUCCESS;
}

cl_command_queue api_clCreateCommandQueueWithProperties(cl_context context, cl_device_id device,
                                                        const cl_queue_properties *properties,
                                                        cl_int *errcode_ret)
{
    cl_command_queue_properties bits = 0;
    size_t count = 0;
    *errcode_ret = read_properties(properties, &bits, &count);
    if (*errcode_ret != CL_SUCCESS)
        return NULL;
    cl_command_queue queue = api_clCreateCommandQueue(context, device, bits, errcode_ret);
    if (!queue || !properties)
        return queue;
    queue->property_list_bytes = (count + 1) * sizeof(*properties);
    queue->property_list = malloc(queue->property_list_bytes);
    if (!queue->property_list) {
        object_release(&queue->object);
        *errcode_ret = CL_OUT_OF_HOST_MEMORY;
        return NULL;
    }
    memcpy(queue->property_list, properties, queue->property_list_bytes);
    return queue;
}

cl_int api_clRetainCommandQueue(cl_command_queue command_queue)
{
    object_retain(&command_queue->object);
    return CL_SUCCESS;
}

cl_int api_clReleaseCommandQueue(cl_command_queue command_queue)
{
    object_release(&command_queue->object);
    return CL_SUCCESS;
}

cl_int api_clGetCommandQueueInfo(cl_command_queue command_queue, cl_command_queue_info param_name,
                                 size_t param_value_size, void *param_value,
                                 size_t *param_value_size_ret)
{
    static const struct info_field fields[] = {
        INFO_VALUE(CL_QUEUE_CONTEXT, struct _cl_command_queue, context),
        INFO_VALUE(CL_QUEUE_DEVICE, struct _cl_command_queue, device),
        INFO_VALUE(CL_QUEUE_PROPERTIES, struct _cl_command_queue, properties),
        INFO_VALUE(CL_QUEUE_REFERENCE_COUNT, struct _cl_command_queue, object.references),
    };
    struct info_out out = {param_value_size, param_value, param_value_size_ret};
    const cl_command_queue none = NULL;
    if (param_name == CL_QUEUE_PROPERTIES_ARRAY)
        return info_put(&out, command_queue->property_list, command_queue->property_list_bytes);
    if (param_name == CL_QUEUE_DEVICE_DEFAULT)
        return info_put(&out, &none, sizeof(none));
    if (param_name == CL_QUEUE_SIZE)
        return CL_INVALID_COMMAND_QUEUE; /* only a queue on the device has one */
    return info_answer(&out, fields, sizeof(fields) / sizeof(fields[0]), command_queue, param_name);
}

cl_int queue_wait_for(struct wire_queue_state *state, uint64_t target,
                      const struct _cl_event *event)
{
    int waited = event ? wire_wait_event(&process.client, wire_event(&process.client, event->slot))
                       : wire_wait_queue(&process.client, state, target);
    return waited < 0 ? CL_DEVICE_NOT_AVAILABLE : CL_SUCCESS;
}

void queue_tell(cl_command_queue queue, cl_int error)
{
    if (__atomic_exchange_n(&queue->told, 1, __ATOMIC_RELAXED) == 0)
        callback_tell(queue->context, error);
}

cl_int queue_wait(cl_command_queue queue)
{
    uint64_t posted = __atomic_load_n(&queue->posted, __ATOMIC_ACQUIRE);
    cl_int result = queue_wait_for(queue->state, posted, NULL);
    if (result != CL_SUCCESS)
        queue_tell(queue, result);
    return result;
}

cl_int queue_error(cl_command_queue queue)
{
    cl_int error = __atomic_load_n(&queue->state->error, __ATOMIC_ACQUIRE);
    if (error != CL_SUCCESS)
        queue_tell(queue, error);
    return error;
}

cl_int api_clFlush(cl_command_queue command_queue)
{
    if (command_queue->object.id == 0)
        return CL_SUCCESS; /* nothing was ever sent */
    struct wire_flush *record = record_begin(sizeof(*record));
    if (!record)
        return CL_DEVICE_NOT_AVAILABLE;
    record->queue_id = command_queue->object.id;
    record_post(record, WIRE_FLUSH, sizeof(*record));
    return CL_SUCCESS;
}

cl_int api_clFinish(cl_command_queue command_queue)
{
    uint64_t target = __atomic_load_n(&command_queue->posted, __ATOMIC_ACQUIRE);
    if (queue_wait(command_queue) != CL_SUCCESS)
        return CL_DEVICE_NOT_AVAILABLE;
    transfers_observe(command_queue->state, target);
    return queue_error(command_queue);
}
