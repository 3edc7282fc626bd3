/* User events and the release of event slots. */
#include <errno.h>

#include "base/error.h"
#include "card/executor/completion.h"
#include "card/executor/session.h"

/* NULL with err set when there is no such event. */
static struct event_slot *find_event(struct session *session, uint32_t slot, struct error *err)
{
    if (slot != 0 && slot < WIRE_EVENTS && session->events[slot].in_use)
        return &session->events[slot];
    (void)BAD_RECORD(err, "no event %u", slot); /* for the caller to return */
    return NULL;
}

/* A user event that nobody can set any more fails, so that what waits for it ends. */
static void abandon(struct session *session, struct event_slot *event)
{
    event->user_open = 0;
    session->user_events_open--;
    completion_expect_failures(session);
    if (event->driver) /* else the session is away from its device */
        (void)clSetUserEventStatus(event->driver, CL_INVALID_EVENT); /* it was open */
    completion_sweep(session);
}

void event_clear(struct session *session, uint32_t slot)
{
    struct event_slot *event = &session->events[slot];
    if (event->user_open)
        abandon(session, event);
    if (event->driver)
        (void)clReleaseEvent(event->driver); /* the slot's reference */
    pthread_mutex_lock(&session->commands_lock);
    *event = (struct event_slot){0};
    pthread_mutex_unlock(&session->commands_lock);
}

void event_use(struct session *session, uint32_t slot)
{
    session->events[slot].in_use = 1;
    if (slot >= session->events_end)
        session->events_end = slot + 1;
}

int handle_user_event_create(struct session *session, const struct wire_header *header,
                             struct reply *reply, struct error *err)
{
    const struct wire_user_event_create *record = (const void *)header;
    struct object *context;
    if (object_get(session, record->context_id, OBJECT_CONTEXT, &context, err) < 0)
        return -EPROTO;
    if (record->event == 0 || record->event >= WIRE_EVENTS)
        return BAD_RECORD(err, "no event slot %u", record->event);
    struct event_slot *slot = &session->events[record->event];
    cl_int status = context->error;
    cl_event event = NULL;
    if (!status)
        event = clCreateUserEvent(context->driver, &status);
    event_clear(session, record->event);
    event_use(session, record->event);
    slot->driver = status == CL_SUCCESS ? event : NULL; /* NULL: what waits for it fails */
    slot->user_open = slot->driver != NULL;
    slot->context = record->context_id;
    session->user_events_open += slot->user_open;
    return 0;
}

int handle_user_event_set(struct session *session, const struct wire_header *header,
                          struct reply *reply, struct error *err)
{
    const struct wire_user_event_set *record = (const void *)header;
    struct event_slot *slot = find_event(session, record->event, err);
    if (!slot)
        return -EPROTO;
    if (record->status > 0)
        return BAD_RECORD(err, "event %u cannot be set to %d", record->event, record->status);
    if (slot->user_open) {
        session->user_events_open--;
        slot->user_open = 0;
        if (record->status < 0)
            completion_expect_failures(session);
        if (slot->driver) /* else its context did not come back */
            (void)clSetUserEventStatus(slot->driver, record->status); /* checked above */
    }
    completion_set_event(session, record->event, record->status);
    if (record->status < 0)
        completion_sweep(session);
    return 0;
}

int handle_event_release(struct session *session, const struct wire_header *header,
                         struct reply *reply, struct error *err)
{
    const struct wire_event_release *record = (const void *)header;
    if (!find_event(session, record->event, err))
        return -EPROTO;
    event_clear(session, record->event);
    return 0;
}
