/* Commands from record to driver: see command.h. */
#include "card/executor/command.h"

#include <errno.h>

#include "base/error.h"
#include "card/executor/completion.h"
#include "card/executor/park.h"
#include "card/executor/session.h"
#include "card/meter/meter.h"

static int find_waits(struct session *session, struct order *order, const uint32_t *waits,
                      uint32_t wait_count, struct error *err)
{
    for (uint32_t i = 0; i < wait_count; i++) {
        if (waits[i] == 0 || waits[i] >= WIRE_EVENTS || !session->events[waits[i]].in_use)
            return BAD_RECORD(err, "no event %u to wait for", waits[i]);
        const struct event_slot *slot = &session->events[waits[i]];
        if (slot->settled)
            continue;
        if (slot->driver)
            session->wait_list[order->wait_count++] = slot->driver;
        if (!slot->driver || slot->error)
            order->error = CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST;
    }
    order->slots = waits;
    order->slot_count = wait_count;
    order->waits = order->wait_count ? session->wait_list : NULL;
    return 0;
}

static void end_first(struct session *session)
{
    cl_command_queue driver = session->first->driver;
    session->first = NULL;
    if (driver)
        (void)clFinish(driver); /* what failed shows in its commands */
}

int order_open(struct session *session, struct order *order, uint32_t queue_id, uint32_t event,
               const uint32_t *waits, uint32_t wait_count, struct error *err)
{
    struct object *queue;
    *order = (struct order){.event = event, .estimate_ns = 1};
    if (object_get(session, queue_id, OBJECT_QUEUE, &queue, err) < 0)
        return -EPROTO;
    if (event >= WIRE_EVENTS)
        return BAD_RECORD(err, "no event slot %u", event);
    if (session->events[event].user_open)
        return BAD_RECORD(err, "slot %u is an open user event's", event);
    order->queue = queue->extra;
    if (session->first && session->first != order->queue)
        end_first(session);
    order_use(order, queue);
    return find_waits(session, order, waits, wait_count, err);
}

void order_use(struct order *order, const struct object *object)
{
    if (!order->error)
        order->error = object->error;
}

static void mark_dirty(struct session *session, struct queue *queue)
{
    if (queue->dirty)
        return;
    if (session->dirty_count == WIRE_QUEUES) /* more queues than slots: a client that is wrong */
        session_flush(session);
    queue->dirty = 1;
    session->dirty[session->dirty_count++] = queue;
}

/* End an order with its error, but not before what it waits for: a marker stands in for it. */
static void fail_order(struct session *session, struct order *order)
{
    cl_event event;
    if (order->queue->driver && (order->queue->in_order || order->wait_count) &&
        clEnqueueMarkerWithWaitList(order->queue->driver, order->wait_count, order->waits,
                                    &event) == CL_SUCCESS) {
        mark_dirty(session, order->queue);
        completion_watch(session, order, event);
        return;
    }
    completion_fail(session, order);
}

/* The meter was called off: leat-cardd wants something. What the command waits for may have ended
 * for good meanwhile. 0: another host has carried the command out, and what it names is not where
 * it was. */
static int park_before(struct session *session, struct order *order)
{
    if (!park_due(session, 1))
        return 1;
    if (!park(session, 1)) /* the record is not begun */
        return 0;
    order->wait_count = 0;
    (void)find_waits(session, order, order->slots, order->slot_count, NULL); /* as before */
    return 1;
}

static void flush_for_meter(void *arg)
{
    session_flush(arg);
    completion_rest(arg);
}

const struct seat *order_seat(const struct session *session, const struct order *order)
{
    return &session->seats[order->queue->seat];
}

int order_enter(struct session *session, struct order *order)
{
    if (session->user_events_open)
        order->estimate_ns = 0; /* what is in flight may never end by itself */
    while (!order->error && !order->metered) {
        int entered = meter_enter(order_seat(session, order)->meter, order->estimate_ns,
                                  flush_for_meter, session);
        order->metered = entered == 0;
        if (entered == -EINTR && !park_before(session, order))
            return 0;
        if (entered < 0 && entered != -EINTR)
            order->error = CL_DEVICE_NOT_AVAILABLE;
    }
    if (order->error)
        fail_order(session, order);
    return !order->error;
}

void order_close(struct session *session, struct order *order, cl_int status, cl_event event)
{
    if (status == CL_SUCCESS) {
        mark_dirty(session, order->queue);
        if (order->queue->first)
            session->first = order->queue;
        completion_watch(session, order, event);
        return;
    }
    const struct meter_span never = {0};
    meter_charge(order_seat(session, order)->meter, &never, order->estimate_ns);
    order->metered = 0;
    order->error = status;
    fail_order(session, order);
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
