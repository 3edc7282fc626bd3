/* Events, their status and their times: see event.h. */
#include "card/opencl/event.h"

#include "card/opencl/context.h"
#include "card/opencl/info.h"
#include "card/opencl/process.h"
#include "card/opencl/queue.h"
#include "card/opencl/transfer.h"
#include "card/wire/wait.h"
#include "opencl_api.h"

static struct wire_event_state *state_of(const struct _cl_event *event)
{
    return wire_event(&process.client, event->slot);
}

int event_slot_ended(uint32_t slot, uint64_t posted)
{
    const struct wire_event_state *state = wire_event(&process.client, slot);
    return !posted || __atomic_load_n(&state->status, __ATOMIC_ACQUIRE) <= CL_COMPLETE;
}

static struct object *no_parent(struct object *object)
{
    return NULL;
}

static void destroy_event(struct object *object)
{
    cl_event event = (cl_event)object;
    if (!event->queue && event->user_status > CL_COMPLETE) /* and never will be set */
        (void)__atomic_sub_fetch(&process.user_events_open, 1, __ATOMIC_RELEASE);
    if (event->crossed) {
        struct wire_event_release *record = record_begin(sizeof(*record));
        if (record) {
            record->event = event->slot;
            record_post(record, WIRE_EVENT_RELEASE, sizeof(*record));
        }
    }
    slots_give(&process.event_slots, event->slot, event->posted);
    if (event->first)
        object_release(&event->first->object);
    struct object *parent = event->queue ? &event->queue->object : &event->context->object;
    object_free(object);
    object_release(parent);
}

const struct object_kind event_kind = {NULL, no_parent, NULL, destroy_event};

static cl_event create(cl_context context, cl_command_queue queue, cl_command_type type)
{
    uint32_t slot = slots_take(&process.event_slots);
    if (slot == 0)
        return NULL;
    cl_event event = object_create(OBJECT_EVENT, sizeof(*event));
    if (!event) {
        slots_give(&process.event_slots, slot, 0);
        return NULL;
    }
    event->context = context;
    event->queue = queue;
    event->type = type;
    event->slot = slot;
    event->user_status = CL_SUBMITTED;
    __atomic_store_n(&state_of(event)->status, CL_QUEUED, __ATOMIC_RELEASE);
    object_retain(queue ? &queue->object : &context->object);
    return event;
}

cl_event event_create(cl_command_queue queue, cl_command_type type)
{
    return create(queue->context, queue, type);
}

cl_int event_status(const struct _cl_event *event)
{
    const cl_int *word = event->queue ? &state_of(event)->status : &event->user_status;
    cl_int status = __atomic_load_n(word, __ATOMIC_ACQUIRE);
    if (status > CL_COMPLETE && !wire_alive(&process.client))
        return CL_DEVICE_NOT_AVAILABLE;
    return status;
}

void event_observe(const struct _cl_event *event)
{
    if (event->queue)
        transfers_observe(event->queue->state, queue_in_order(event->queue) ? event->target : 0);
}

static int ended(const void *arg)
{
    return event_ended(arg);
}

/* Wait until it ended; CL_SUCCESS whatever its status, or CL_DEVICE_NOT_AVAILABLE. Observes. */
static cl_int event_wait(cl_event event)
{
    cl_int result = CL_SUCCESS;
    if (event->queue)
        result = queue_wait_for(event->queue->state, event->target, event);
    else if (wire_wait_completion(&process.client, ended, event) < 0)
        result = CL_DEVICE_NOT_AVAILABLE;
    event_observe(event);
    return result;
}

/* An event of the user crosses when the first command waits for it. */
static cl_int send_user_event(cl_event event)
{
    cl_int result = object_ensure(&event->context->object);
    if (result != CL_SUCCESS)
        return result;
    struct wire_user_event_create *record = record_begin(sizeof(*record));
    if (!record)
        return CL_DEVICE_NOT_AVAILABLE;
    record->event = event->slot;
    record->context_id = event->context->object.id;
    record_post(record, WIRE_USER_EVENT_CREATE, sizeof(*record));
    event->crossed = 1;
    return CL_SUCCESS;
}

static cl_int send_user_status(const struct _cl_event *event)
{
    struct wire_user_event_set *record = record_begin(sizeof(*record));
    if (!record)
        return CL_DEVICE_NOT_AVAILABLE;
    record->event = event->slot;
    record->status = event->user_status;
    record_post(record, WIRE_USER_EVENT_SET, sizeof(*record));
    return CL_SUCCESS;
}

cl_int event_ensure(cl_event event)
{
    if (event->queue)
        return CL_SUCCESS;
    lock_take(&event->lock);
    cl_int result = event->crossed ? CL_SUCCESS : send_user_event(event);
    /* One that has failed already must fail its followers there, too. */
    if (result == CL_SUCCESS && event->crossed == 1 && event->user_status < CL_COMPLETE) {
        result = send_user_status(event);
        event->crossed = 2;
    }
    lock_give(&event->lock);
    return result;
}

cl_event api_clCreateUserEvent(cl_context context, cl_int *errcode_ret)
{
    cl_event event = create(context, NULL, CL_COMMAND_USER);
    if (event)
        (void)__atomic_add_fetch(&process.user_events_open, 1, __ATOMIC_RELEASE);
    else
        *errcode_ret = CL_OUT_OF_HOST_MEMORY;
    return event;
}

cl_int api_clSetUserEventStatus(cl_event event, cl_int execution_status)
{
    if (event->queue)
        return CL_INVALID_EVENT;
    if (execution_status > CL_COMPLETE)
        return CL_INVALID_VALUE;
    cl_int result = CL_INVALID_OPERATION; /* once only */
    lock_take(&event->lock);
    if (event->user_status > CL_COMPLETE) {
        __atomic_store_n(&event->user_status, execution_status, __ATOMIC_RELEASE);
        result = CL_SUCCESS;
        (void)__atomic_sub_fetch(&process.user_events_open, 1, __ATOMIC_RELEASE);
        if (event->crossed == 1) {
            result = send_user_status(event);
            event->crossed = 2;
        }
    }
    lock_give(&event->lock);
    wire_wake_completion(&process.client);
    return result;
}

cl_int api_clRetainEvent(cl_event event)
{
    object_retain(&event->object);
    return CL_SUCCESS;
}

cl_int api_clReleaseEvent(cl_event event)
{
    object_release(&event->object);
    return CL_SUCCESS;
}

cl_int api_clWaitForEvents(cl_uint num_events, const cl_event *event_list)
{
    if (num_events == 0 || !event_list)
        return CL_INVALID_VALUE;
    for (cl_uint i = 0; i < num_events; i++) {
        if (!handle_is(event_list[i], OBJECT_EVENT))
            return CL_INVALID_EVENT;
        if (event_list[i]->context != event_list[0]->context)
            return CL_INVALID_CONTEXT;
    }
    cl_int result = CL_SUCCESS;
    for (cl_uint i = 0; i < num_events; i++) {
        cl_int waited = event_wait(event_list[i]);
        if (waited != CL_SUCCESS)
            return waited;
        if (event_status(event_list[i]) < CL_COMPLETE)
            result = CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST;
    }
    return result;
}

cl_int api_clGetEventInfo(cl_event event, cl_event_info param_name, size_t param_value_size,
                          void *param_value, size_t *param_value_size_ret)
{
    static const struct info_field fields[] = {
        INFO_VALUE(CL_EVENT_COMMAND_QUEUE, struct _cl_event, queue),
        INFO_VALUE(CL_EVENT_CONTEXT, struct _cl_event, context),
        INFO_VALUE(CL_EVENT_COMMAND_TYPE, struct _cl_event, type),
        INFO_VALUE(CL_EVENT_REFERENCE_COUNT, struct _cl_event, object.references),
    };
    struct info_out out = {param_value_size, param_value, param_value_size_ret};
    if (param_name != CL_EVENT_COMMAND_EXECUTION_STATUS)
        return info_answer(&out, fields, sizeof(fields) / sizeof(fields[0]), event, param_name);
    cl_int status = event_status(event);
    if (status <= CL_COMPLETE)
        event_observe(event);
    return info_put(&out, &status, sizeof(status));
}

cl_int api_clGetEventProfilingInfo(cl_event event, cl_profiling_info param_name,
                                   size_t param_value_size, void *param_value,
                                   size_t *param_value_size_ret)
{
    struct info_out out = {param_value_size, param_value, param_value_size_ret};
    if (!event->queue || !(event->queue->properties & CL_QUEUE_PROFILING_ENABLE) ||
        event_status(event) != CL_COMPLETE)
        return CL_PROFILING_INFO_NOT_AVAILABLE;
    const struct wire_event_state *last = state_of(event);
    const struct wire_event_state *first = event->first ? state_of(event->first) : last;
    cl_ulong end_ns;
    switch (param_name) {
    case CL_PROFILING_COMMAND_QUEUED:
        return info_put(&out, &first->queued_ns, sizeof(cl_ulong));
    case CL_PROFILING_COMMAND_SUBMIT:
        return info_put(&out, &first->submit_ns, sizeof(cl_ulong));
    case CL_PROFILING_COMMAND_START:
        return info_put(&out, &first->start_ns, sizeof(cl_ulong));
    case CL_PROFILING_COMMAND_END:
    case CL_PROFILING_COMMAND_COMPLETE:
        end_ns = last->end_ns + event->copied_ns;
        return info_put(&out, &end_ns, sizeof(end_ns));
    default:
        return CL_INVALID_VALUE;
    }
}

cl_int api_clSetEventCallback(cl_event event, cl_int command_exec_callback_type,
                              void(CL_CALLBACK *pfn_notify)(cl_event, cl_int, void *),
                              void *user_data)
{
    if (!pfn_notify || command_exec_callback_type < CL_COMPLETE ||
        command_exec_callback_type > CL_SUBMITTED)
        return CL_INVALID_VALUE;
    return callback_add(event, command_exec_callback_type, pfn_notify, user_data);
}
