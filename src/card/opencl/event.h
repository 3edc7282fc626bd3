/* Events: of commands, whose status the executor writes into a slot of the session, and of the
 * user, whose status lives here. */
#ifndef LEAT_CARD_OPENCL_EVENT_H
#define LEAT_CARD_OPENCL_EVENT_H

#include "card/opencl/object.h"

struct wire_event_state;

struct _cl_event {
    struct object object;
    cl_context context;
    cl_command_queue queue; /* NULL for an event of the user */
    cl_command_type type;
    uint32_t slot;      /* in the session's event table */
    uint32_t posted;    /* the command was sent; else the slot can be used again at once */
    uint64_t target;    /* completions of the queue with which this command has ended, in order */
    uint64_t copied_ns; /* this process copied itself after the device's part */
    cl_event first;     /* the first piece of a command sent in pieces, for its times; or NULL */
    cl_int user_status; /* of an event of the user; atomic */
    uint32_t crossed;   /* an event of the user the executor knows; under `lock` */
    uint32_t lock;
};

/* An event for a command of `queue` that is about to be posted. NULL: no memory or no slot. */
cl_event event_create(cl_command_queue queue, cl_command_type type);

/* CL_QUEUED .. CL_COMPLETE, or negative; CL_DEVICE_NOT_AVAILABLE when it can never complete. */
cl_int event_status(const struct _cl_event *event);

static inline int event_ended(const struct _cl_event *event)
{
    return event_status(event) <= CL_COMPLETE;
}

/* Make the effects of an ended event visible: what was read on its queue is copied out. */
void event_observe(const struct _cl_event *event);
/* Let a command at the executor wait for this event; 0: nothing to wait for (it has completed). */
cl_int event_ensure(cl_event event);

/* Whether the command of the event which had `slot` has ended; `posted` is 0 when none was sent. */
int event_slot_ended(uint32_t slot, uint64_t posted);

/* Start to watch for calls that the user asked for (callback.c). */
cl_int callback_add(cl_event event, cl_int type,
                    void(CL_CALLBACK *notify)(cl_event, cl_int, void *), void *user_data);
/* Have the context's notification called, if it was made with one. */
void callback_tell(cl_context context, cl_int error);
/* Have `act(arg)` called by that thread as soon as `ended(arg)`, which is asked at each completion.
 * CL_SUCCESS, or an error when that cannot be. */
cl_int callback_when(int (*ended)(const void *arg), void (*act)(void *arg), void *arg);

#endif
