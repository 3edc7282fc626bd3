/* Queues, events and callbacks. */
#include "world.h"

#include <string.h>

static const cl_command_queue_properties kinds[] = {
    0, CL_QUEUE_PROFILING_ENABLE, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE,
    CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE | CL_QUEUE_PROFILING_ENABLE};

void queues_open(struct world *w)
{
    cl_int code;
    for (unsigned i = 0; i < QUEUES; i++) {
        w->queues[i].properties = kinds[i];
        w->queues[i].handle = clCreateCommandQueue(w->context, w->device, kinds[i], &code);
        need(code, "clCreateCommandQueue");
    }
    w->gates[0] = clCreateUserEvent(w->context, &code);
    need(code, "clCreateUserEvent");
    need(clSetUserEventStatus(w->gates[0], CL_COMPLETE), "clSetUserEventStatus");
    w->gate_count = w->opened = 1;
}

/* The first queue stays, so that there is always one. Contents whose last command is in a queue
 * that goes get an event of it. */
static void replace_queue(struct world *w)
{
    struct queue *queue = &w->queues[1 + dice(w, QUEUES - 1)];
    cl_int code = 1;
    if (!queue->handle) {
        cl_context context = w->context;
        cl_device_id device = w->device;
        cl_command_queue_properties properties = ANY_OF(w, kinds);
        cl_queue_properties list[] = {CL_QUEUE_PROPERTIES, properties, 0};
        switch (wrong(w, 4)) {
        case 1:
            context = NULL;
            break;
        case 2:
            device = NULL;
            break;
        case 3:
            list[1] = properties = 1 << 9;
            break;
        case 4:
            list[0] = properties = 0x1111;
            break;
        default:
            break;
        }
        queue->handle = chance(w, 50)
                            ? clCreateCommandQueue(context, device, properties, &code)
                            : clCreateCommandQueueWithProperties(context, device, list, &code);
        queue->properties = properties;
        queue->gates = 0;
        (void)told(w, "queue", code);
        return;
    }
    for (unsigned i = 0; i < MEMORIES; i++)
        if (w->memories[i] && w->memories[i]->contents->queue == queue) {
            struct contents *contents = w->memories[i]->contents;
            (void)last_of(w, contents);
            contents->queue = &w->queues[0];
            if (chance(w, 50))
                continue;
            await(w, contents->last);
        }
    for (unsigned i = 0; i < SHARED; i++)
        if (w->shared[i].contents && w->shared[i].contents->queue == queue)
            await(w, last_of(w, w->shared[i].contents)), w->shared[i].contents->queue = NULL;
    (void)told(w, "release queue", clReleaseCommandQueue(queue->handle));
    *queue = (struct queue){0};
}

static void flush(struct world *w)
{
    (void)told(w, "flush", clFlush(wrong(w, 1) ? NULL : any_queue(w)->handle));
}

static void finish(struct world *w)
{
    struct queue *queue = any_queue(w);
    open_gates(w, queue->gates);
    (void)told(w, "finish", clFinish(wrong(w, 1) ? NULL : queue->handle));
}

static void marker(struct world *w)
{
    struct command command = command_on(w, any_queue(w));
    command_begin(w, &command);
    bool barrier = chance(w, 50);
    cl_int code = barrier ? clEnqueueBarrierWithWaitList(command.handle, command.count,
                                                         command.waits, command.ret_event)
                          : clEnqueueMarkerWithWaitList(command.handle, command.count,
                                                        command.waits, command.ret_event);
    /* Without a list it waits for all before it. */
    command.gates |= command.queue->gates;
    (void)command_end(w, &command, barrier ? "barrier" : "marker", code);
}

static void make_gate(struct world *w)
{
    cl_int code = 1;
    if (w->gate_count == COUNT_OF(w->gates))
        return;
    cl_event event = clCreateUserEvent(wrong(w, 1) ? NULL : w->context, &code);
    if (!told(w, "user event", code))
        return;
    struct promise *slot = &w->events[dice(w, EVENTS)];
    promise_drop(slot);
    need(clRetainEvent(event), "clRetainEvent");
    *slot = (struct promise){event, (uint64_t)1 << w->gate_count};
    w->gates[w->gate_count++] = event;
}

static void set_gate(struct world *w)
{
    unsigned i = dice(w, w->gate_count);
    switch (wrong(w, 3)) {
    case 1:
        (void)told(w, "set running", clSetUserEventStatus(w->gates[i], CL_RUNNING));
        break;
    case 2:
        (void)told(w, "set nothing", clSetUserEventStatus(NULL, CL_COMPLETE));
        break;
    case 3:
        open_gates(w, (uint64_t)1 << i);
        (void)told(w, "set twice", clSetUserEventStatus(w->gates[i], CL_COMPLETE));
        break;
    default:
        open_gates(w, (uint64_t)1 << i);
        break;
    }
}

/* One that fails, and nothing but waits for it. */
static void failing_gate(struct world *w)
{
    cl_int code = 1, status = 1;
    cl_event pair[2] = {clCreateUserEvent(w->context, &code), w->gates[0]};
    if (!told(w, "user event", code))
        return;
    (void)told(w, "fail", clSetUserEventStatus(pair[0], -1 - (cl_int)dice(w, 70)));
    (void)told(w, "wait", clWaitForEvents(1 + dice(w, 2), pair));
    (void)told(
        w, "ask",
        clGetEventInfo(pair[0], CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof(status), &status, NULL));
    (void)told(w, "status", status);
    (void)told(w, "set again", clSetUserEventStatus(pair[0], CL_COMPLETE));
    need(clReleaseEvent(pair[0]), "clReleaseEvent");
}

static void wait_for_some(struct world *w)
{
    cl_event list[EVENTS];
    cl_uint count = 0;
    for (unsigned i = dice(w, 5); i; i--) {
        struct promise *promise = &w->events[dice(w, EVENTS)];
        if (promise->event) {
            list[count++] = promise->event;
            open_gates(w, promise->gates);
        }
    }
    switch (wrong(w, 4)) {
    case 1:
        (void)told(w, "wait 0", clWaitForEvents(0, list));
        break;
    case 2:
        (void)told(w, "wait none", clWaitForEvents(1, NULL));
        break;
    case 3:
        list[count++] = NULL;
        (void)told(w, "wait null", clWaitForEvents(count, list));
        break;
    case 4:
        list[count++] = w->other->gates[0];
        (void)told(w, "wait foreign", clWaitForEvents(count, list));
        break;
    default:
        (void)told(w, "wait", clWaitForEvents(count, list));
        break;
    }
}

static void look_at_event(struct world *w)
{
    struct promise *promise = &w->events[dice(w, EVENTS)];
    cl_int status = 99;
    size_t size = 0;
    if (!promise->event)
        return;
    bool held = promise->gates & ~w->opened;
    if (!held)
        await(w, *promise);
    (void)told(w, "ask",
               clGetEventInfo(promise->event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof(status),
                              &status, &size));
    if (!held || dice(w, 2))
        say(w, " status %d", held ? status > CL_COMPLETE : status);
}

static void times_of_event(struct world *w)
{
    static const cl_profiling_info names[] = {
        CL_PROFILING_COMMAND_QUEUED, CL_PROFILING_COMMAND_SUBMIT,   CL_PROFILING_COMMAND_START,
        CL_PROFILING_COMMAND_END,    CL_PROFILING_COMMAND_COMPLETE, 0x1111};
    struct promise *promise = &w->events[dice(w, EVENTS)];
    cl_ulong times[COUNT_OF(names)] = {0};
    size_t size = 0;
    if (!promise->event)
        return;
    bool held = promise->gates & ~w->opened;
    if (!held)
        await(w, *promise);
    for (unsigned i = 0; i < COUNT_OF(names); i++)
        (void)told(w, "time",
                   clGetEventProfilingInfo(promise->event, names[i],
                                           wrong(w, 1) ? 4 : sizeof(times[i]), &times[i], &size));
    say(w, " %zu rising %d", size,
        !times[0] || !times[3] ||
            (times[0] <= times[1] && times[1] <= times[2] && times[2] <= times[3]));
}

static void CL_CALLBACK on_event(cl_event event, cl_int status, void *arg)
{
    struct world *w = arg;
    (void)pthread_mutex_lock(&w->lock);
    w->calls++;
    w->failed_calls += status < 0;
    (void)pthread_cond_signal(&w->called);
    (void)pthread_mutex_unlock(&w->lock);
}

static void call_back(struct world *w)
{
    struct promise *promise = &w->events[dice(w, EVENTS)];
    if (!promise->event)
        return;
    cl_int code, stage = CL_COMPLETE; /* PoCL never tells of a user's event that it runs */
    switch (wrong(w, 3)) {
    case 1:
        code = clSetEventCallback(promise->event, 77, on_event, w);
        break;
    case 2:
        code = clSetEventCallback(promise->event, stage, NULL, w);
        break;
    case 3:
        code = clSetEventCallback(NULL, stage, on_event, w);
        break;
    default:
        code = clSetEventCallback(promise->event, stage, on_event, w);
        break;
    }
    w->expected += told(w, "callback", code);
}

static void drop_event(struct world *w)
{
    struct promise *promise = &w->events[dice(w, EVENTS)];
    if (wrong(w, 1))
        (void)told(w, "release", clReleaseEvent(NULL));
    else
        promise_drop(promise);
}

const struct act queue_acts[] = {
    {replace_queue, 6},  {flush, 4},        {finish, 4},        {marker, 8}, {make_gate, 6},
    {set_gate, 6},       {failing_gate, 2}, {wait_for_some, 8}, {settle, 8}, {look_at_event, 8},
    {times_of_event, 5}, {call_back, 5},    {drop_event, 4},    {NULL, 0},
};
