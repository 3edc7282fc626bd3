/* The cards of a session. Most have one. Of several, each is a device of the session's one
 * platform: number 0 the first card's, number N the device object N, which is made with the
 * session. Memory is charged to each card of its context, for the driver may keep it on any of
 * their devices; a command to the card of its queue. */
#ifndef LEAT_CARD_EXECUTOR_SEAT_H
#define LEAT_CARD_EXECUTOR_SEAT_H

#include <stdint.h>

#include "card/executor/opencl.h"
#include "card/wire/wire.h"

struct device_list;
struct error;
struct executor_order;
struct ledger_card;
struct meter;
struct object;
struct session;
struct trace;

struct seat {
    struct ledger_card *ledger;
    unsigned slot; /* of the session in the ledger */
    struct meter *meter;
    struct trace *trace; /* NULL: none */
    cl_device_id device; /* NULL: the driver was not started */
};

/* Which cards something is charged to: a bit each. 0: the first alone. */
typedef uint32_t seat_set;

/* Once the client is known. 0 or -ENOMEM. */
int seats_open(struct session *session);
/* The objects of the further cards' devices, as they are while a session is suspended: 0, or
 * -EPROTO when the session has others already. */
int seats_place(struct session *session, struct error *err);
/* Find the driver's devices, at the session's start (`order` NULL) or for an order to come back: 0,
 * or a negative errno, and nothing has changed. */
int seats_find_devices(struct session *session, const struct executor_order *order,
                       cl_platform_id *ret_platform, struct error *err);
/* The objects get them, at the start. */
void seats_enter(struct session *session);
cl_int seat_make(struct session *session, struct object *object);
/* The number of the card that a device is a part of, or is. */
unsigned seat_of_device(const struct session *session, uint32_t device_id);
/* The cards of a list of devices. */
seat_set seats_of_devices(const struct session *session, const struct device_list *devices);
/* True for the device object of a further card, which no client can release. */
int seat_is_device(const struct session *session, const struct object *object);

/* Reserve in each ledger: 0, or -ENOSPC: then it counts as freed in each. */
int seats_reserve(struct session *session, seat_set seats, uint64_t bytes);
/* Apply a verb of ledger.h in each. */
void seats_account(struct session *session, seat_set seats, uint64_t bytes,
                   void (*verb)(struct ledger_card *card, unsigned slot, uint64_t bytes));

/* For the meters of all cards, as their verbs. */
void seats_call_off(struct session *session);
void seats_want_share(struct session *session);
void seats_move(struct session *session, const struct executor_order *order);

#endif
