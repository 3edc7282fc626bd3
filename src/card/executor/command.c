/* Commands from record to completion: see command.h. Completion runs on the driver's threads. */
#include "card/executor/command.h"

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "card/executor/session.h"
#include "card/ledger/futex.h"
#include "card/meter/meter.h"

struct command {
    struct list link; /* in session->commands */
    struct session *session;
    cl_event event; /* one reference owned */
    uint32_t event_slot, queue_slot;
    uint64_t estimate_ns;
    uint64_t *pace;
    int done; /* under commands_lock; whoever sets it ends the command */
};

struct times {
    uint64_t queued_ns, submit_ns, start_ns, end_ns;
};

static void publish_event(struct session *session, uint32_t slot, cl_int status,
                          const struct times *times)
{
    struct wire_event_state *state = &session->event_states[slot];
    state->queued_ns = times->queued_ns;
    state->submit_ns = times->submit_ns;
    state->start_ns = times->start_ns;
    state->end_ns = times->end_ns;
    __atomic_store_n(&state->status, status, __ATOMIC_RELEASE);
}

static void publish_change(struct session *session)
{
    struct wire_session *shared = session->shared;
    __atomic_add_fetch(&shared->completion, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&shared->waiters, __ATOMIC_SEQ_CST))
        futex_wake(&shared->completion, INT_MAX);
}

static void publish_command(struct session *session, uint32_t queue_slot, uint32_t event_slot,
                            cl_int status, const struct times *times)
{
    struct wire_queue_state *queue = &session->queue_states[queue_slot];
    int32_t none = 0;
    if (event_slot)
        publish_event(session, event_slot, status, times);
    if (status < 0)
        (void)__atomic_compare_exchange_n(&queue->error, &none, status, 0, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED); /* the first error stays */
    __atomic_add_fetch(&queue->completed, 1, __ATOMIC_RELEASE);
    publish_change(session);
}

static struct times read_times(cl_event event)
{
    struct times times = {0};
    (void)clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_QUEUED, sizeof(uint64_t),
                                  &times.queued_ns, NULL);
    (void)clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_SUBMIT, sizeof(uint64_t),
                                  &times.submit_ns, NULL);
    (void)clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_START, sizeof(uint64_t),
                                  &times.start_ns, NULL);
    /* Last, so that a driver without times leaves a command that took none. */
    if (clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_END, sizeof(uint64_t), &times.end_ns,
                                NULL) != CL_SUCCESS)
        times.end_ns = times.start_ns;
    return times;
}

/* A moving average: an eighth of the newest. */
static void learn_pace(uint64_t *pace, uint64_t took_ns)
{
    uint64_t old = __atomic_load_n(pace, __ATOMIC_RELAXED);
    uint64_t learned = old ? old - old / 8 + took_ns / 8 : took_ns;
    __atomic_store_n(pace, learned ? learned : 1, __ATOMIC_RELAXED);
}

/* 1 when the caller is the one to end this command. */
static int claim_end(struct command *command)
{
    struct session *session = command->session;
    pthread_mutex_lock(&session->commands_lock);
    int first = !command->done;
    command->done = 1;
    if (first)
        list_remove(&command->link);
    pthread_mutex_unlock(&session->commands_lock);
    return first;
}

static void end_command(struct command *command, cl_int status)
{
    struct session *session = command->session;
    struct times times = {0};
    if (status == CL_COMPLETE) {
        times = read_times(command->event);
        if (command->pace && times.end_ns >= times.start_ns)
            learn_pace(command->pace, times.end_ns - times.start_ns);
    }
    meter_charge(session->meter, times.start_ns, times.end_ns, command->estimate_ns);
    publish_command(session, command->queue_slot, command->event_slot, status, &times);
    (void)clReleaseEvent(command->event); /* ours; nothing to do about a refusal */
}

static void CL_CALLBACK on_complete(cl_event event, cl_int status, void *arg)
{
    struct command *command = arg;
    if (!claim_end(command))
        return; /* swept: the sweep keeps the struct for a late call like this one */
    end_command(command, status);
    free(command);
}

void commands_sweep(struct session *session)
{
    struct list failed = LIST_INIT(failed);
    pthread_mutex_lock(&session->commands_lock);
    LIST_EACH_SAFE (link, after, &session->commands) {
        struct command *command = LIST_ENTRY(link, struct command, link);
        cl_int status = CL_QUEUED;
        (void)clGetEventInfo(command->event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof(status),
                             &status, NULL);
        if (status >= 0)
            continue;
        command->done = 1;
        list_remove(link);
        list_append(&failed, link);
    }
    pthread_mutex_unlock(&session->commands_lock);
    LIST_EACH_SAFE (link, after, &failed) {
        struct command *command = LIST_ENTRY(link, struct command, link);
        cl_int status = CL_OUT_OF_RESOURCES;
        (void)clGetEventInfo(command->event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof(status),
                             &status, NULL);
        list_remove(link);
        end_command(command, status);
        /* Not freed: the driver may still call back. Failures are few and the process ends. */
    }
}

int commands_pending(struct session *session)
{
    pthread_mutex_lock(&session->commands_lock);
    int pending = !list_empty(&session->commands);
    pthread_mutex_unlock(&session->commands_lock);
    return pending;
}

static int find_waits(struct session *session, struct order *order, const uint32_t *waits,
                      uint32_t wait_count, struct error *err)
{
    for (uint32_t i = 0; i < wait_count; i++) {
        uint32_t slot = waits[i];
        if (slot == 0 || slot >= WIRE_EVENTS || !session->events[slot].in_use)
            return BAD_RECORD(err, "no event %u to wait for", slot);
        if (session->events[slot].driver)
            session->wait_list[order->wait_count++] = session->events[slot].driver;
        else
            order->error = CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST;
    }
    order->waits = order->wait_count ? session->wait_list : NULL;
    return 0;
}

int order_open(struct session *session, struct order *order, uint32_t queue_id, uint32_t event,
               const uint32_t *waits, uint32_t wait_count, struct error *err)
{
    struct object *queue;
    *order = (struct order){.event = event, .estimate_ns = 1};
    if (object_get(session, queue_id, OBJECT_QUEUE, &queue, err) < 0)
        return -EPROTO;
    if (event >= WIRE_EVENTS || (event && session->events[event].in_use))
        return BAD_RECORD(err, "event %u is not free", event);
    order->queue = queue->extra;
    order_use(order, queue);
    return find_waits(session, order, waits, wait_count, err);
}

void order_use(struct order *order, const struct object *object)
{
    if (!order->error)
        order->error = object->error;
}

static void take_slot(struct session *session, uint32_t slot, cl_event driver)
{
    if (slot)
        session->events[slot] = (struct event_slot){.driver = driver, .in_use = 1};
}

static void fail_order(struct session *session, struct order *order, cl_int error)
{
    const struct times never = {0};
    take_slot(session, order->event, NULL);
    publish_command(session, order->queue->slot, order->event, error, &never);
}

static void flush_for_meter(void *arg)
{
    session_flush(arg);
}

int order_enter(struct session *session, struct order *order)
{
    if (session->user_events_open)
        order->estimate_ns = 0; /* what is in flight may never end by itself */
    if (!order->error &&
        meter_enter(session->meter, order->estimate_ns, flush_for_meter, session) < 0)
        order->error = CL_DEVICE_NOT_AVAILABLE;
    if (order->error)
        fail_order(session, order, order->error);
    return !order->error;
}

static void mark_dirty(struct session *session, struct queue *queue)
{
    if (queue->dirty)
        return;
    queue->dirty = 1;
    session->dirty[session->dirty_count++] = queue;
}

void order_close(struct session *session, struct order *order, cl_int status, cl_event event)
{
    struct command *command = status == CL_SUCCESS ? calloc(1, sizeof(*command)) : NULL;
    if (!command) {
        if (status == CL_SUCCESS) {
            (void)clReleaseEvent(event); /* it runs unseen; its order ends here */
            status = CL_OUT_OF_HOST_MEMORY;
        }
        meter_charge(session->meter, 0, 0, order->estimate_ns);
        fail_order(session, order, status);
        return;
    }
    *command = (struct command){.session = session,
                                .event = event,
                                .event_slot = order->event,
                                .queue_slot = order->queue->slot,
                                .estimate_ns = order->estimate_ns,
                                .pace = order->pace};
    if (order->event)
        (void)clRetainEvent(event); /* the slot's reference */
    take_slot(session, order->event, event);
    mark_dirty(session, order->queue);
    pthread_mutex_lock(&session->commands_lock);
    list_append(&session->commands, &command->link);
    pthread_mutex_unlock(&session->commands_lock);
    /* May call back at once, here. Without a callback the sweep finds the end. */
    (void)clSetEventCallback(event, CL_COMPLETE, on_complete, command);
}

void session_flush(struct session *session)
{
    for (unsigned i = 0; i < session->dirty_count; i++) {
        session->dirty[i]->dirty = 0;
        (void)clFlush(session->dirty[i]->driver); /* a broken queue shows in its commands */
    }
    session->dirty_count = 0;
}

int handle_flush(struct session *session, const struct wire_header *header, struct reply *reply,
                 struct error *err)
{
    const struct wire_flush *record = (const void *)header;
    struct object *queue;
    if (object_get(session, record->queue_id, OBJECT_QUEUE, &queue, err) < 0)
        return -EPROTO;
    session_flush(session);
    return 0;
}

int handle_user_event_create(struct session *session, const struct wire_header *header,
                             struct reply *reply, struct error *err)
{
    const struct wire_user_event_create *record = (const void *)header;
    struct object *context;
    if (object_get(session, record->context_id, OBJECT_CONTEXT, &context, err) < 0)
        return -EPROTO;
    if (record->event == 0 || record->event >= WIRE_EVENTS || session->events[record->event].in_use)
        return BAD_RECORD(err, "event %u is not free", record->event);
    cl_int status;
    cl_event event = clCreateUserEvent(context->driver, &status);
    if (status != CL_SUCCESS)
        event = NULL; /* what waits for it fails */
    take_slot(session, record->event, event);
    session->events[record->event].user_open = event != NULL;
    session->user_events_open += event != NULL;
    return 0;
}

/* NULL with err set when there is no such event. */
static struct event_slot *find_event(struct session *session, uint32_t slot, struct error *err)
{
    if (slot != 0 && slot < WIRE_EVENTS && session->events[slot].in_use)
        return &session->events[slot];
    (void)BAD_RECORD(err, "no event %u", slot); /* for the caller to return */
    return NULL;
}

static void close_user_event(struct session *session, struct event_slot *event)
{
    session->user_events_open -= event->user_open;
    event->user_open = 0;
}

int handle_user_event_set(struct session *session, const struct wire_header *header,
                          struct reply *reply, struct error *err)
{
    const struct wire_user_event_set *record = (const void *)header;
    const struct times never = {0};
    struct event_slot *event = find_event(session, record->event, err);
    if (!event)
        return -EPROTO;
    if (!event->user_open || record->status > 0)
        return BAD_RECORD(err, "event %u cannot be set to %d", record->event, record->status);
    close_user_event(session, event);
    (void)clSetUserEventStatus(event->driver, record->status); /* checked above */
    publish_event(session, record->event, record->status, &never);
    publish_change(session);
    if (record->status < 0)
        commands_sweep(session);
    return 0;
}

int handle_event_release(struct session *session, const struct wire_header *header,
                         struct reply *reply, struct error *err)
{
    const struct wire_event_release *record = (const void *)header;
    struct event_slot *event = find_event(session, record->event, err);
    if (!event)
        return -EPROTO;
    close_user_event(session, event);
    if (event->driver)
        (void)clReleaseEvent(event->driver); /* ours */
    *event = (struct event_slot){0};
    return 0;
}
