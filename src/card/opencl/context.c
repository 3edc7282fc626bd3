/* Contexts and their properties: see context.h. */
#include "card/opencl/context.h"

#include "card/opencl/info.h"
#include "card/opencl/process.h"
#include "card/opencl/queue.h"
#include "card/opencl/subdevice.h"
#include "card/opencl/transfer.h"
#include "opencl_api.h"

static cl_int send_context(struct object *object, uint32_t id)
{
    cl_context context = (cl_context)object;
    const size_t bytes = sizeof(struct wire_context_create) +
                         (size_t)wire_pad8(context->given_count * sizeof(uint32_t));
    struct wire_context_create *record = record_begin(bytes);
    if (!record)
        return CL_DEVICE_NOT_AVAILABLE;
    record->id = id;
    record->device_count = context->given_count;
    for (cl_uint i = 0; i < context->given_count; i++)
        wire_context_create_devices(record)[i] = context->given[i]->object.id;
    record_post(record, WIRE_CONTEXT_CREATE, bytes);
    return CL_SUCCESS;
}

static struct object *no_parent(struct object *object)
{
    return NULL;
}

static void leave_context(struct object *object)
{
    cl_context context = (cl_context)object;
    for (struct context_farewell *farewell = context->farewells; farewell;
         farewell = farewell->next)
        farewell->notify(context, farewell->user_data);
    if (context->hidden_queue)
        object_release(&context->hidden_queue->object);
}

static void destroy_context(struct object *object)
{
    cl_context context = (cl_context)object;
    while (context->farewells) {
        struct context_farewell *farewell = context->farewells;
        context->farewells = farewell->next;
        free(farewell);
    }
    for (cl_uint i = 0; i < context->given_count; i++)
        device_let_go(context->given[i]);
    free(context->given);
    free(context->devices);
    free(context->properties);
    object_free(object);
}

const struct object_kind context_kind = {send_context, no_parent, leave_context, destroy_context};

static cl_int check_devices(cl_uint count, const cl_device_id *devices)
{
    if (!devices || count == 0)
        return CL_INVALID_VALUE;
    for (cl_uint i = 0; i < count; i++)
        if (!handle_is(devices[i], OBJECT_DEVICE))
            return CL_INVALID_DEVICE;
    return CL_SUCCESS;
}

static cl_int check_properties(const cl_context_properties *properties, size_t *ret_count)
{
    size_t count = 0;
    for (; properties && properties[count] != 0; count += 2) {
        for (size_t i = 0; i < count; i += 2)
            if (properties[i] == properties[count])
                return CL_INVALID_PROPERTY;
        if (properties[count] == CL_CONTEXT_PLATFORM) {
            if ((cl_platform_id)properties[count + 1] != &process.platform)
                return CL_INVALID_PLATFORM;
        } else if (properties[count] != CL_CONTEXT_INTEROP_USER_SYNC) {
            return CL_INVALID_PROPERTY;
        }
    }
    *ret_count = count;
    return CL_SUCCESS;
}

static cl_int keep_properties(cl_context context, const cl_context_properties *properties,
                              size_t count)
{
    if (!properties)
        return CL_SUCCESS;
    size_t bytes = (count + 1) * sizeof(*properties);
    context->properties = malloc(bytes);
    if (!context->properties)
        return CL_OUT_OF_HOST_MEMORY;
    memcpy(context->properties, properties, bytes);
    context->properties_bytes = bytes;
    return CL_SUCCESS;
}

/* The device that the executor has under a number: one of those given, or what it is a part of. */
static cl_device_id find_device(const struct _cl_context *context, uint32_t id)
{
    for (cl_uint i = 0; i < context->given_count; i++)
        for (cl_device_id device = context->given[i]; device; device = device->parent)
            if (device->object.id == id)
                return device;
    return &process.devices[0];
}

/* What the driver says that the devices of a context with parts, or of several cards, are: not each
 * keeps to what it was given. */
static cl_int learn_devices(cl_context context)
{
    const uint64_t room = (uint64_t)context->given_count * sizeof(uint32_t);
    uint64_t offset, length = 0;
    cl_int result = object_ensure(&context->object);
    if (result == CL_SUCCESS)
        result = slab_reserve(room, &offset);
    if (result != CL_SUCCESS)
        return result;
    struct wire_context_devices *record = record_begin(sizeof(*record));
    result = CL_DEVICE_NOT_AVAILABLE;
    if (record) {
        record->id = context->object.id;
        record->reply_offset = offset;
        record->reply_room = room;
        result = record_wait(record, WIRE_CONTEXT_DEVICES, sizeof(*record), NULL, &length);
    }
    context->device_count = (cl_uint)(length / sizeof(uint32_t));
    for (cl_uint i = 0; i < context->device_count; i++) {
        uint32_t id;
        memcpy(&id, slab_at(offset + i * sizeof(id)), sizeof(id));
        context->devices[i] = find_device(context, id);
    }
    slab_release(offset, room);
    return result;
}

static cl_int keep_devices(cl_context context, cl_uint count, const cl_device_id *devices)
{
    int first = 1;
    for (cl_uint i = 0; i < count; i++)
        first &= devices[i] == &process.devices[0];
    context->cards = cards_of_devices(devices, count);
    context->devices = calloc(count, sizeof(cl_device_id));
    context->given = first ? NULL : calloc(count, sizeof(cl_device_id));
    if (!context->devices || (!first && !context->given))
        return CL_OUT_OF_HOST_MEMORY;
    context->device_count = 1;
    context->devices[0] = &process.devices[0];
    if (first)
        return CL_SUCCESS;
    context->given_count = count;
    for (cl_uint i = 0; i < count; i++) {
        context->given[i] = devices[i];
        device_hold(devices[i]);
    }
    return learn_devices(context);
}

cl_context api_clCreateContext(const cl_context_properties *properties, cl_uint num_devices,
                               const cl_device_id *devices,
                               void(CL_CALLBACK *pfn_notify)(const char *, const void *, size_t,
                                                             void *),
                               void *user_data, cl_int *errcode_ret)
{
    size_t count = 0;
    cl_context context = NULL;
    cl_int code = !pfn_notify && user_data ? CL_INVALID_VALUE : check_devices(num_devices, devices);
    if (code == CL_SUCCESS)
        code = check_properties(properties, &count);
    if (code == CL_SUCCESS && (process_connect() != CL_SUCCESS || !process_alive()))
        code = CL_DEVICE_NOT_AVAILABLE;
    if (code == CL_SUCCESS) {
        context = object_create(OBJECT_CONTEXT, sizeof(*context));
        code = context ? keep_properties(context, properties, count) : CL_OUT_OF_HOST_MEMORY;
    }
    if (code == CL_SUCCESS)
        code = keep_devices(context, num_devices, devices);
    if (code != CL_SUCCESS) {
        if (context)
            object_release(&context->object);
        *errcode_ret = code;
        return NULL;
    }
    context->notify = pfn_notify;
    context->user_data = user_data;
    return context;
}

cl_context api_clCreateContextFromType(const cl_context_properties *properties,
                                       cl_device_type device_type,
                                       void(CL_CALLBACK *pfn_notify)(const char *, const void *,
                                                                     size_t, void *),
                                       void *user_data, cl_int *errcode_ret)
{
    cl_device_id devices[WIRE_CARDS_MAX];
    cl_uint count;
    *errcode_ret =
        api_clGetDeviceIDs(&process.platform, device_type, WIRE_CARDS_MAX, devices, &count);
    if (*errcode_ret != CL_SUCCESS)
        return NULL;
    return api_clCreateContext(properties, count, devices, pfn_notify, user_data, errcode_ret);
}

cl_int api_clRetainContext(cl_context context)
{
    object_retain(&context->object);
    return CL_SUCCESS;
}

cl_int api_clReleaseContext(cl_context context)
{
    object_release(&context->object);
    return CL_SUCCESS;
}

cl_int api_clGetContextInfo(cl_context context, cl_context_info param_name, size_t param_value_size,
                            void *param_value, size_t *param_value_size_ret)
{
    static const struct info_field fields[] = {
        INFO_VALUE(CL_CONTEXT_REFERENCE_COUNT, struct _cl_context, object.references),
        INFO_VALUE(CL_CONTEXT_NUM_DEVICES, struct _cl_context, device_count),
    };
    struct info_out out = {param_value_size, param_value, param_value_size_ret};
    if (param_name == CL_CONTEXT_DEVICES)
        return info_put(&out, context->devices, context->device_count * sizeof(cl_device_id));
    if (param_name == CL_CONTEXT_PROPERTIES)
        return info_put(&out, context->properties, context->properties_bytes);
    return info_answer(&out, fields, sizeof(fields) / sizeof(fields[0]), context, param_name);
}

cl_int api_clSetContextDestructorCallback(cl_context context,
                                          void(CL_CALLBACK *pfn_notify)(cl_context context,
                                                                        void *user_data),
                                          void *user_data)
{
    if (!pfn_notify)
        return CL_INVALID_VALUE;
    struct context_farewell *farewell = calloc(1, sizeof(*farewell));
    if (!farewell)
        return CL_OUT_OF_HOST_MEMORY;
    farewell->notify = pfn_notify;
    farewell->user_data = user_data;
    lock_take(&context->lock);
    farewell->next = context->farewells;
    context->farewells = farewell;
    lock_give(&context->lock);
    return CL_SUCCESS;
}

static size_t add_target(cl_command_queue queue, struct slot_leaving *targets, size_t most,
                         size_t count)
{
    uint64_t posted = __atomic_load_n(&queue->posted, __ATOMIC_ACQUIRE);
    if (queue_slot_ended(queue->slot, posted))
        return count;
    if (count < most)
        targets[count] = (struct slot_leaving){queue->slot, posted};
    return count + 1;
}

size_t context_unended(cl_context context, struct slot_leaving *targets, size_t most)
{
    size_t count = slots_leaving(&process.queue_slots, targets, most);
    lock_take(&context->lock);
    if (context->hidden_queue)
        count = add_target(context->hidden_queue, targets, most, count);
    for (cl_command_queue queue = context->queues; queue; queue = queue->next)
        count = add_target(queue, targets, most, count);
    lock_give(&context->lock);
    return count;
}

cl_command_queue context_hidden_queue(cl_context context, cl_int *ret_code)
{
    lock_take(&context->lock);
    if (!context->hidden_queue)
        context->hidden_queue =
            queue_create(context, context->devices[0], 0, QUEUE_HIDDEN, ret_code);
    lock_give(&context->lock);
    return context->hidden_queue;
}
