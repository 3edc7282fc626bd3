/* Wait lists, events and room in the ring of a command: see command.h. */
#include "card/opencl/command.h"

#include "card/opencl/event.h"
#include "card/opencl/process.h"
#include "card/opencl/queue.h"
#include "card/opencl/transfer.h"

const cl_event command_rehearsal;

cl_int command_check_list(const struct command_waits *waits)
{
    return !waits->list == !waits->count ? CL_SUCCESS : CL_INVALID_EVENT_WAIT_LIST;
}

cl_int command_check_waits(const struct _cl_command_queue *queue, const struct command_waits *waits)
{
    if (command_check_list(waits) != CL_SUCCESS)
        return CL_INVALID_EVENT_WAIT_LIST;
    for (cl_uint i = 0; i < waits->count; i++) {
        if (!handle_is(waits->list[i], OBJECT_EVENT))
            return CL_INVALID_EVENT_WAIT_LIST;
        if (waits->list[i]->context != queue->context)
            return CL_INVALID_CONTEXT;
    }
    return CL_SUCCESS;
}

cl_int command_open(struct command *command, cl_command_queue queue, cl_command_type type,
                    const struct command_waits *waits)
{
    cl_int result = command_check_waits(queue, waits);
    if (result == CL_SUCCESS && waits->ret_event == &command_rehearsal)
        return COMMAND_REHEARSED;
    if (result == CL_SUCCESS)
        result = object_ensure(&queue->object);
    for (cl_uint i = 0; result == CL_SUCCESS && i < waits->count; i++)
        result = event_ensure(waits->list[i]);
    if (result != CL_SUCCESS)
        return result;
    *command = (struct command){
        .queue = queue, .type = type, .wait_count = waits->count, .waits = waits->list};
    if (waits->ret_event) {
        command->event = event_create(queue, type);
        if (!command->event)
            return CL_OUT_OF_HOST_MEMORY;
    }
    return CL_SUCCESS;
}

void *command_begin(struct command *command, size_t fixed, size_t tail)
{
    size_t slots = (size_t)wire_pad8(command->wait_count * sizeof(uint32_t));
    lock_take(&command->queue->lock);
    void *record = record_begin(fixed + slots + tail);
    if (!record)
        lock_give(&command->queue->lock);
    return record;
}

uint32_t command_put_waits(const struct command *command, uint32_t *slots)
{
    uint32_t count = 0;
    for (cl_uint i = 0; i < command->wait_count; i++)
        if (event_status(command->waits[i]) != CL_COMPLETE)
            slots[count++] = command->waits[i]->slot;
    return count;
}

void command_post(struct command *command, cl_event event, void *record, unsigned opcode,
                  size_t length)
{
    command->target = command->queue->posted + 1;
    if (event) {
        event->target = command->target;
        event->posted = 1;
    }
    record_post(record, opcode, length);
    __atomic_store_n(&command->queue->posted, command->target, __ATOMIC_RELEASE);
    lock_give(&command->queue->lock);
}

/* Strict mode: the command and all before it have ended, and the first error among them is told
 * here. Not while an event of the user is open: the program may have to return to set it. */
static cl_int settle(cl_command_queue queue, uint64_t target)
{
    if (__atomic_load_n(&process.user_events_open, __ATOMIC_ACQUIRE) > 0)
        return CL_SUCCESS;
    if (queue_wait(queue) != CL_SUCCESS)
        return CL_DEVICE_NOT_AVAILABLE;
    transfers_observe(queue->state, target);
    cl_int error = queue_error(queue);
    __atomic_store_n(&queue->state->error, 0, __ATOMIC_RELEASE);
    return error;
}

cl_int command_close(struct command *command, cl_int result, const struct command_waits *waits)
{
    if (result == CL_DEVICE_NOT_AVAILABLE)
        queue_tell(command->queue, result);
    if (process.strict && result == CL_SUCCESS && command->target > 0)
        result = settle(command->queue, command->target);
    if (!command->event)
        return result;
    if (result == CL_SUCCESS)
        *waits->ret_event = command->event;
    else
        object_release(&command->event->object);
    return result;
}

uint32_t event_slot(const struct _cl_event *event)
{
    return event ? event->slot : 0;
}
