/* The life of a command: its wait list is looked up, the meter lets it through, the driver takes
 * it, and when it ends its times, status and counters are written where the client sees them. */
#ifndef LEAT_CARD_EXECUTOR_COMMAND_H
#define LEAT_CARD_EXECUTOR_COMMAND_H

#include <stdint.h>

#include "card/executor/opencl.h"

struct error;
struct object;
struct queue;
struct session;

/* A command on its way to the driver. */
struct order {
    struct queue *queue;
    uint32_t event;       /* slot, 0: none */
    cl_int error;         /* known failure: the command ends with it and the driver never sees it */
    uint64_t estimate_ns; /* not 0 */
    uint64_t *pace;       /* learns what it took; may be NULL */
    cl_uint wait_count;
    const cl_event *waits; /* NULL when wait_count is 0 */
};

/* Look up queue, event slot and wait list. 0, or -EPROTO. */
int order_open(struct session *session, struct order *order, uint32_t queue_id, uint32_t event,
               const uint32_t *waits, uint32_t wait_count, struct error *err);
/* The object's error becomes the order's, unless it has one already. */
void order_use(struct order *order, const struct object *object);
/* Wait for share and turn. 1: call the driver and then order_close. 0: the command has ended with
 * an error, say no more about it. */
int order_enter(struct session *session, struct order *order);
/* The driver took it (status 0, `event` owned now) or refused it. */
void order_close(struct session *session, struct order *order, cl_int status, cl_event event);

/* End what the driver failed without calling back. Rare: called when the rings are quiet. */
void commands_sweep(struct session *session);
/* 1 while the driver has commands. */
int commands_pending(struct session *session);

#endif
