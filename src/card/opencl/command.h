/* From an enqueue call to a posted record: the wait list is checked and sent ahead, an event is
 * made when the caller wants one, and the record is filled in the ring under the queue's lock.
 *
 *   command_open   check and prepare; nothing to undo when it fails
 *   command_begin  room for the record, with the queue locked
 *   command_post   send it; once per begin
 *   command_close  hand the event out, or drop it */
#ifndef LEAT_CARD_OPENCL_COMMAND_H
#define LEAT_CARD_OPENCL_COMMAND_H

#include <stddef.h>

#include "card/opencl/object.h"

struct command {
    cl_command_queue queue;
    cl_command_type type;
    cl_uint wait_count;
    const cl_event *waits;
    cl_event event;  /* NULL: nobody asked for one */
    uint64_t target; /* of the queue, with which the last record posted has ended */
};

/* The wait list and the event pointer as every enqueue call has them. */
struct command_waits {
    cl_uint count;
    const cl_event *list;
    cl_event *ret_event; /* may be NULL */
};

/* An enqueue call that is given this for its event is only rehearsed: `command_open`, which comes
 * after all checks and in front of all else, is COMMAND_REHEARSED, and the call returns that. */
extern const cl_event command_rehearsal;
#define COMMAND_REHEARSED 1

/* What `command_open` looks at first, for calls that owe their caller another answer after it: that
 * there is a list when there is a count, and then each event. */
cl_int command_check_list(const struct command_waits *waits);
cl_int command_check_waits(const struct _cl_command_queue *queue,
                           const struct command_waits *waits);
cl_int command_open(struct command *command, cl_command_queue queue, cl_command_type type,
                    const struct command_waits *waits);
/* Room for `fixed` bytes, the wait list and `tail` bytes; NULL when the executor is gone or it is
 * more than a record holds. */
void *command_begin(struct command *command, size_t fixed, size_t tail);
/* Write the slots of those events that have not completed; returns how many. */
uint32_t command_put_waits(const struct command *command, uint32_t *slots);
/* `event` (may be NULL) becomes the event of this record. */
void command_post(struct command *command, cl_event event, void *record, unsigned opcode,
                  size_t length);
/* Returns `result`; on success the event goes to the caller. */
cl_int command_close(struct command *command, cl_int result, const struct command_waits *waits);

uint32_t event_slot(const struct _cl_event *event); /* 0 for NULL */

#endif
