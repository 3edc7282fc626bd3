/* Markers, barriers and waits for events, as commands of a queue: see sync.h. */
#include "card/opencl/sync.h"

#include "card/opencl/event.h"
#include "card/opencl/process.h"
#include "card/opencl/queue.h"
#include "opencl_api.h"

static cl_int post(struct command *command, enum sync_shape shape, uint64_t copied_bytes)
{
    struct wire_sync_point *record = command_begin(command, sizeof(*record), 0);
    if (!record)
        return CL_DEVICE_NOT_AVAILABLE;
    record->queue_id = command->queue->object.id;
    record->event = event_slot(command->event);
    record->wait_count = command_put_waits(command, wire_sync_point_waits(record));
    /* An empty list means "everything before", which a list of ended events does not. */
    record->shape = command->wait_count > 0 && record->wait_count == 0 ? SYNC_NOTHING : shape;
    record->copied_bytes = copied_bytes;
    command_post(command, command->event, record, WIRE_SYNC_POINT,
                 sizeof(*record) + wire_pad8(record->wait_count * sizeof(uint32_t)));
    return CL_SUCCESS;
}

cl_int sync_post(struct command *command, enum sync_shape shape)
{
    return post(command, shape, 0);
}

cl_int sync_post_copied(struct command *command, uint64_t bytes)
{
    return post(command, SYNC_NOTHING, bytes);
}

static cl_int enqueue(cl_command_queue queue, cl_command_type type, enum sync_shape shape,
                      const struct command_waits *waits)
{
    struct command command;
    cl_int result = command_open(&command, queue, type, waits);
    if (result != CL_SUCCESS)
        return result;
    return command_close(&command, sync_post(&command, shape), waits);
}

cl_int api_clEnqueueMarkerWithWaitList(cl_command_queue command_queue,
                                       cl_uint num_events_in_wait_list,
                                       const cl_event *event_wait_list, cl_event *event)
{
    const struct command_waits waits = {num_events_in_wait_list, event_wait_list, event};
    return enqueue(command_queue, CL_COMMAND_MARKER, SYNC_MARKER, &waits);
}

cl_int api_clEnqueueBarrierWithWaitList(cl_command_queue command_queue,
                                        cl_uint num_events_in_wait_list,
                                        const cl_event *event_wait_list, cl_event *event)
{
    const struct command_waits waits = {num_events_in_wait_list, event_wait_list, event};
    return enqueue(command_queue, CL_COMMAND_BARRIER, SYNC_BARRIER, &waits);
}

cl_int api_clEnqueueMarker(cl_command_queue command_queue, cl_event *event)
{
    if (!event)
        return CL_INVALID_VALUE;
    return api_clEnqueueMarkerWithWaitList(command_queue, 0, NULL, event);
}

cl_int api_clEnqueueBarrier(cl_command_queue command_queue)
{
    return api_clEnqueueBarrierWithWaitList(command_queue, 0, NULL, NULL);
}

cl_int api_clEnqueueWaitForEvents(cl_command_queue command_queue, cl_uint num_events,
                                  const cl_event *event_list)
{
    if (num_events == 0 || !event_list)
        return CL_INVALID_VALUE;
    cl_int result = api_clEnqueueBarrierWithWaitList(command_queue, num_events, event_list, NULL);
    return result == CL_INVALID_EVENT_WAIT_LIST ? CL_INVALID_EVENT : result;
}
