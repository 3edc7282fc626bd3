/* Recording, enqueueing and telling of command buffers: see command_buffer.h. */
#include "card/opencl/command_buffer.h"

#include "card/opencl/event.h"
#include "card/opencl/info.h"
#include "card/opencl/process.h"
#include "card/opencl/queue.h"
#include "card/opencl/sync.h"
#include "opencl_api.h"

static struct object *no_parent(struct object *object)
{
    return NULL;
}

static void recorded_free(struct recorded *command)
{
    for (unsigned i = 0; i < 2; i++)
        if (command->held[i])
            object_release(command->held[i]);
    free(command->waits);
    free(command);
}

static void run_free(struct command_run *run)
{
    object_release(&run->event->object);
    free(run);
}

static void destroy_buffer(struct object *object)
{
    cl_command_buffer_khr buffer = (cl_command_buffer_khr)object;
    struct object *queue = &buffer->queue->object;
    while (buffer->runs) {
        struct command_run *run = buffer->runs;
        buffer->runs = run->next;
        run_free(run);
    }
    for (cl_uint i = 0; i < buffer->command_count; i++)
        recorded_free(buffer->commands[i]);
    free(buffer->commands);
    free(buffer->properties);
    object_free(object);
    object_release(queue);
}

const struct object_kind command_buffer_kind = {NULL, no_parent, NULL, destroy_buffer};

/* With the lock: drop the runs that have ended; whether any is left. */
static int is_pending(cl_command_buffer_khr buffer)
{
    struct command_run **link = &buffer->runs;
    while (*link) {
        struct command_run *run = *link;
        if (event_ended(run->event)) {
            *link = run->next;
            run_free(run);
        } else {
            link = &run->next;
        }
    }
    return buffer->posting > 0 || buffer->runs;
}

static cl_command_buffer_state_khr state_of(cl_command_buffer_khr buffer)
{
    lock_take(&buffer->lock);
    const int is_final = buffer->is_final, pending = is_pending(buffer);
    lock_give(&buffer->lock);
    if (!is_final)
        return CL_COMMAND_BUFFER_STATE_RECORDING_KHR;
    return pending ? CL_COMMAND_BUFFER_STATE_PENDING_KHR : CL_COMMAND_BUFFER_STATE_EXECUTABLE_KHR;
}

static cl_int read_properties(const cl_command_buffer_properties_khr *list,
                              cl_command_buffer_flags_khr *ret_flags, size_t *ret_bytes)
{
    size_t count = 0;
    for (; list && list[count] != 0; count += 2) {
        if (list[count] != CL_COMMAND_BUFFER_FLAGS_KHR || count > 0 ||
            (list[count + 1] & ~(cl_properties)CL_COMMAND_BUFFER_SIMULTANEOUS_USE_KHR))
            return CL_INVALID_VALUE; /* unknown, or named twice */
        *ret_flags = list[count + 1];
    }
    *ret_bytes = list ? (count + 1) * sizeof(*list) : 0;
    return CL_SUCCESS;
}

cl_command_buffer_khr
api_clCreateCommandBufferKHR(cl_uint num_queues, const cl_command_queue *queues,
                             const cl_command_buffer_properties_khr *properties,
                             cl_int *errcode_ret)
{
    cl_command_buffer_flags_khr flags = 0;
    size_t bytes = 0;
    if (num_queues != 1 || !queues)
        *errcode_ret = CL_INVALID_VALUE;
    else if (!handle_is(queues[0], OBJECT_QUEUE))
        *errcode_ret = CL_INVALID_COMMAND_QUEUE;
    else
        *errcode_ret = read_properties(properties, &flags, &bytes);
    if (*errcode_ret != CL_SUCCESS)
        return NULL;
    cl_command_buffer_khr buffer = object_create(OBJECT_COMMAND_BUFFER, sizeof(*buffer));
    void *kept = bytes > 0 ? malloc(bytes) : NULL;
    if (!buffer || (bytes > 0 && !kept)) {
        free(kept);
        free(buffer);
        *errcode_ret = CL_OUT_OF_HOST_MEMORY;
        return NULL;
    }
    if (kept)
        memcpy(kept, properties, bytes);
    buffer->properties = kept;
    buffer->properties_bytes = bytes;
    buffer->flags = flags;
    buffer->queue = queues[0];
    object_retain(&queues[0]->object);
    return buffer;
}

cl_int api_clFinalizeCommandBufferKHR(cl_command_buffer_khr command_buffer)
{
    lock_take(&command_buffer->lock);
    command_buffer->is_final = 1;
    lock_give(&command_buffer->lock);
    return CL_SUCCESS;
}

cl_int api_clRetainCommandBufferKHR(cl_command_buffer_khr command_buffer)
{
    object_retain(&command_buffer->object);
    return CL_SUCCESS;
}

cl_int api_clReleaseCommandBufferKHR(cl_command_buffer_khr command_buffer)
{
    object_release(&command_buffer->object);
    return CL_SUCCESS;
}

cl_int recording_check(const struct recording *recording)
{
    if (recording->queue)
        return CL_INVALID_COMMAND_QUEUE; /* without cl_khr_command_buffer_multi_device */
    if (recording->ret_handle)
        return CL_INVALID_VALUE; /* without cl_khr_command_buffer_mutable_dispatch */
    lock_take(&recording->buffer->lock);
    const int is_final = recording->buffer->is_final;
    lock_give(&recording->buffer->lock);
    return is_final ? CL_INVALID_OPERATION : CL_SUCCESS;
}

static cl_int check_points(const struct recording *recording)
{
    if (!recording->waits != !recording->wait_count)
        return CL_INVALID_SYNC_POINT_WAIT_LIST_KHR;
    for (cl_uint i = 0; i < recording->wait_count; i++)
        if (recording->waits[i] == 0 || recording->waits[i] > recording->buffer->command_count)
            return CL_INVALID_SYNC_POINT_WAIT_LIST_KHR;
    return CL_SUCCESS;
}

/* A copy with references and the list of sync points; NULL: no memory. */
static struct recorded *recorded_copy(const struct recorded *command,
                                      const struct recording *recording)
{
    const size_t bytes = recording->wait_count * sizeof(*recording->waits);
    struct recorded *copy = malloc(sizeof(*copy));
    cl_sync_point_khr *waits = bytes > 0 ? malloc(bytes) : NULL;
    if (!copy || (bytes > 0 && !waits)) {
        free(waits);
        free(copy);
        return NULL;
    }
    *copy = *command;
    copy->waits = waits;
    copy->wait_count = recording->wait_count;
    if (waits)
        memcpy(waits, recording->waits, bytes);
    for (unsigned i = 0; i < 2; i++)
        if (copy->held[i])
            object_retain(copy->held[i]);
    return copy;
}

/* With the lock. */
static cl_int append(cl_command_buffer_khr buffer, const struct recording *recording,
                     const struct recorded *command)
{
    cl_int result = check_points(recording);
    if (result != CL_SUCCESS)
        return result;
    const cl_uint count = buffer->command_count;
    if (count == RECORDED_MAX || recording->wait_count > RECORDED_MAX)
        return CL_OUT_OF_RESOURCES;
    if ((count & (count - 1)) == 0) { /* room for twice as many */
        const size_t room = count == 0 ? 1 : (size_t)count * 2;
        struct recorded **more = realloc(buffer->commands, room * sizeof(struct recorded *));
        if (!more)
            return CL_OUT_OF_HOST_MEMORY;
        buffer->commands = more;
    }
    buffer->commands[count] = recorded_copy(command, recording);
    if (!buffer->commands[count])
        return CL_OUT_OF_HOST_MEMORY;
    buffer->command_count++;
    for (cl_uint i = 0; i < recording->wait_count; i++)
        buffer->commands[recording->waits[i] - 1]->is_followed = 1;
    if (buffer->waits_most < recording->wait_count)
        buffer->waits_most = recording->wait_count;
    return CL_SUCCESS;
}

cl_int recording_append(const struct recording *recording, const struct recorded *command)
{
    cl_command_buffer_khr buffer = recording->buffer;
    const struct command_waits rehearsal = {.ret_event = (cl_event *)(uintptr_t)&command_rehearsal};
    cl_int result = recording_check(recording);
    if (result != CL_SUCCESS)
        return result;
    result = command->enqueue(command, buffer->queue, &rehearsal);
    if (result != COMMAND_REHEARSED)
        return result;
    lock_take(&buffer->lock);
    result = buffer->is_final ? CL_INVALID_OPERATION : append(buffer, recording, command);
    const cl_sync_point_khr point = buffer->command_count;
    lock_give(&buffer->lock);
    if (result == CL_SUCCESS && recording->ret_point)
        *recording->ret_point = point;
    return result;
}

/* One run of a buffer while it is posted. */
struct posting {
    cl_command_buffer_khr buffer;
    cl_command_queue queue;
    const struct command_waits *waits; /* of the enqueue call */
    cl_event *events;                  /* of each command, NULL where none is needed */
    cl_event *list;                    /* room for any wait list */
};

/* In order each command has the program's wait list, too, so that it fails with it. */
static cl_uint put_waits(const struct posting *posting)
{
    for (cl_uint i = 0; i < posting->waits->count; i++)
        posting->list[i] = posting->waits->list[i];
    return posting->waits->count;
}

static cl_int post_command(const struct posting *posting, cl_uint i)
{
    const struct recorded *command = posting->buffer->commands[i];
    const int in_order = queue_in_order(posting->queue);
    cl_uint count = put_waits(posting);
    for (cl_uint w = 0; !in_order && w < command->wait_count; w++)
        posting->list[count++] = posting->events[command->waits[w] - 1];
    const struct command_waits waits = {count, count > 0 ? posting->list : NULL,
                                        in_order && i > 0 ? NULL : &posting->events[i]};
    return command->enqueue(command, posting->queue, &waits);
}

/* The command whose event is the run's: it ends after all others and began with the first. */
static cl_int post_end(const struct posting *posting, cl_event *ret_event)
{
    struct command command;
    cl_uint count = put_waits(posting);
    for (cl_uint i = 0; i < posting->buffer->command_count; i++)
        if (posting->events[i] && !posting->buffer->commands[i]->is_followed)
            posting->list[count++] = posting->events[i];
    const struct command_waits waits = {count, count > 0 ? posting->list : NULL, ret_event};
    cl_int result = command_open(&command, posting->queue, CL_COMMAND_COMMAND_BUFFER_KHR, &waits);
    if (result != CL_SUCCESS)
        return result;
    command.event->first = posting->buffer->command_count > 0 ? posting->events[0] : NULL;
    if (command.event->first)
        object_retain(&command.event->first->object);
    return command_close(&command, sync_post(&command, SYNC_NOTHING), &waits);
}

static cl_int post_all(struct posting *posting, cl_event *ret_event)
{
    const size_t count = posting->buffer->command_count;
    const size_t room = count + posting->buffer->waits_most + posting->waits->count;
    posting->events = calloc(count + room + 1, sizeof(cl_event));
    if (!posting->events)
        return CL_OUT_OF_HOST_MEMORY;
    posting->list = posting->events + count;
    cl_int result = CL_SUCCESS;
    for (cl_uint i = 0; result == CL_SUCCESS && i < count; i++)
        result = post_command(posting, i);
    if (result == CL_SUCCESS)
        result = post_end(posting, ret_event);
    for (size_t i = 0; i < count; i++)
        if (posting->events[i])
            object_release(&posting->events[i]->object);
    free(posting->events);
    return result;
}

/* The queue to use: the buffer's, or one that is like it. */
static cl_int choose_queue(cl_command_buffer_khr buffer, cl_uint count,
                           const cl_command_queue *queues, cl_command_queue *ret_queue)
{
    if (!queues != !count || count > 1)
        return CL_INVALID_VALUE;
    cl_command_queue queue = queues ? queues[0] : buffer->queue;
    if (!handle_is(queue, OBJECT_QUEUE))
        return CL_INVALID_COMMAND_QUEUE;
    if (queue->context != buffer->queue->context)
        return CL_INVALID_CONTEXT;
    if (queue->device != buffer->queue->device || queue->properties != buffer->queue->properties)
        return CL_INCOMPATIBLE_COMMAND_QUEUE_KHR;
    *ret_queue = queue;
    return CL_SUCCESS;
}

static cl_int begin_run(cl_command_buffer_khr buffer)
{
    lock_take(&buffer->lock);
    const int allowed =
        buffer->is_final &&
        (!is_pending(buffer) || (buffer->flags & CL_COMMAND_BUFFER_SIMULTANEOUS_USE_KHR));
    buffer->posting += allowed;
    lock_give(&buffer->lock);
    return allowed ? CL_SUCCESS : CL_INVALID_OPERATION;
}

static void end_posting(cl_command_buffer_khr buffer, struct command_run *run)
{
    lock_take(&buffer->lock);
    buffer->posting--;
    if (run) {
        run->next = buffer->runs;
        buffer->runs = run;
    }
    lock_give(&buffer->lock);
}

cl_int api_clEnqueueCommandBufferKHR(cl_uint num_queues, cl_command_queue *queues,
                                     cl_command_buffer_khr command_buffer,
                                     cl_uint num_events_in_wait_list,
                                     const cl_event *event_wait_list, cl_event *event)
{
    const struct command_waits waits = {num_events_in_wait_list, event_wait_list, event};
    struct posting posting = {.buffer = command_buffer, .waits = &waits};
    cl_int result = choose_queue(command_buffer, num_queues, queues, &posting.queue);
    if (result == CL_SUCCESS)
        result = command_check_waits(posting.queue, &waits);
    if (result == CL_SUCCESS)
        result = begin_run(command_buffer);
    if (result != CL_SUCCESS)
        return result;
    struct command_run *run = calloc(1, sizeof(*run));
    result = run ? post_all(&posting, &run->event) : CL_OUT_OF_HOST_MEMORY;
    if (result != CL_SUCCESS) {
        free(run);
        end_posting(command_buffer, NULL);
        return result;
    }
    if (event) {
        object_retain(&run->event->object);
        *event = run->event;
    }
    end_posting(command_buffer, run);
    return CL_SUCCESS;
}

cl_int api_clGetCommandBufferInfoKHR(cl_command_buffer_khr command_buffer,
                                     cl_command_buffer_info_khr param_name, size_t param_value_size,
                                     void *param_value, size_t *param_value_size_ret)
{
    static const struct info_field fields[] = {
        INFO_VALUE(CL_COMMAND_BUFFER_QUEUES_KHR, struct _cl_command_buffer_khr, queue),
        INFO_VALUE(CL_COMMAND_BUFFER_REFERENCE_COUNT_KHR, struct _cl_command_buffer_khr,
                   object.references),
    };
    struct info_out out = {param_value_size, param_value, param_value_size_ret};
    const cl_uint queues = 1;
    cl_command_buffer_state_khr state;
    switch (param_name) {
    case CL_COMMAND_BUFFER_NUM_QUEUES_KHR:
        return info_put(&out, &queues, sizeof(queues));
    case CL_COMMAND_BUFFER_STATE_KHR:
        state = state_of(command_buffer);
        return info_put(&out, &state, sizeof(state));
    case CL_COMMAND_BUFFER_PROPERTIES_ARRAY_KHR:
        return info_put(&out, command_buffer->properties, command_buffer->properties_bytes);
    default:
        return info_answer(&out, fields, sizeof(fields) / sizeof(fields[0]), command_buffer,
                           param_name);
    }
}
