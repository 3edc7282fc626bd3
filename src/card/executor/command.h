/* A command on its way from a record to the driver: its queue, event slot and wait list are looked
 * up, the meter lets it through, the driver takes it and completion.c watches its end. */
#ifndef LEAT_CARD_EXECUTOR_COMMAND_H
#define LEAT_CARD_EXECUTOR_COMMAND_H

#include <stdint.h>

#include "card/executor/opencl.h"

struct error;
struct object;
struct queue;
struct seat;
struct session;

enum order_kind {
    ORDER_PLAIN,
    ORDER_MARKER, /* without a wait list it follows everything earlier in its queue */
    ORDER_BARRIER /* and everything later follows it */
};

struct order {
    struct queue *queue;
    enum order_kind kind;
    uint32_t event;        /* slot, 0: none */
    cl_int error;          /* known failure: the command ends with it, in its turn */
    uint64_t estimate_ns;  /* for the meter */
    uint64_t copied_ns;    /* what the client copies itself here, charged on top */
    uint64_t *pace;        /* learns what it took; may be NULL */
    const char *kernel;    /* its name; NULL: it is no launch */
    int metered;           /* the meter has let it through */
    int holds_slab;        /* its end gives back memory that the client may wait for */
    const uint32_t *slots; /* the wait list as the record has it */
    uint32_t slot_count;
    cl_uint wait_count; /* the wait list as the driver gets it */
    const cl_event *waits;
};

/* Look up queue, event slot and wait list. 0, or -EPROTO. */
int order_open(struct session *session, struct order *order, uint32_t queue_id, uint32_t event,
               const uint32_t *waits, uint32_t wait_count, struct error *err);
/* The object's error becomes the order's, unless it has one already. */
void order_use(struct order *order, const struct object *object);
/* The card of its queue. */
const struct seat *order_seat(const struct session *session, const struct order *order);
/* Wait for share and turn. 1: call the driver and then order_close. 0: it is taken care of: it has
 * an error, or another host has carried it out, after which nothing of it may be looked at. */
int order_enter(struct session *session, struct order *order);
/* The driver took it (status 0, `event` is taken over) or refused it. */
void order_close(struct session *session, struct order *order, cl_int status, cl_event event);

#endif
