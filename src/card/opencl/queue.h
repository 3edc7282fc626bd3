/* Command queues: how many commands were posted, against the shared count of those that ended. */
#ifndef LEAT_CARD_OPENCL_QUEUE_H
#define LEAT_CARD_OPENCL_QUEUE_H

#include "card/opencl/object.h"

struct wire_queue_state;

struct _cl_command_queue {
    struct object object;
    cl_context context;
    cl_command_queue next; /* in the context's list */
    cl_device_id device;   /* held */
    cl_command_queue_properties properties;
    cl_queue_properties *property_list; /* as given, with the closing 0; NULL when none was */
    size_t property_list_bytes;
    struct wire_queue_state *state;
    uint32_t slot;   /* of `state` */
    uint32_t told;   /* the context's notification was called for an error; atomic */
    uint32_t hidden; /* holds no reference to its context, which owns it */
    uint32_t lock; /* held while a command is filled and posted, so that `posted` counts in order */
    uint64_t posted; /* value that state->completed has when everything posted has ended */
};

enum queue_use { QUEUE_OF_USER, QUEUE_HIDDEN };

cl_command_queue queue_create(cl_context context, cl_device_id device,
                              cl_command_queue_properties properties, enum queue_use use,
                              cl_int *ret_code);

static inline int queue_in_order(const struct _cl_command_queue *queue)
{
    return !(queue->properties & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE);
}

/* Wait until everything posted so far has ended. CL_SUCCESS or CL_DEVICE_NOT_AVAILABLE. */
cl_int queue_wait(cl_command_queue queue);
/* Wait until one command has ended: with its event, or, in order, with so many completions of its
 * queue. Same results; nothing is observed. */
cl_int queue_wait_for(struct wire_queue_state *state, uint64_t target,
                      const struct _cl_event *event);
/* Have the queue's context told of an error, once in the queue's life. */
void queue_tell(cl_command_queue queue, cl_int error);
/* What is known to have gone wrong with commands of this queue: the first error, or CL_SUCCESS. Who
 * finds it first has the context told. */
cl_int queue_error(cl_command_queue queue);

/* Whether everything that the queue which had `slot` posted has ended. */
int queue_slot_ended(uint32_t slot, uint64_t posted);

#endif
