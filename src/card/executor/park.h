/* Orders of leat-cardd: the consumer stops at the boundary between two records, all device state
 * leaves the device, and comes back when leat-cardd says so. Clients only see time pass. */
#ifndef LEAT_CARD_EXECUTOR_PARK_H
#define LEAT_CARD_EXECUTOR_PARK_H

struct error;
struct session;
struct wire_header;

/* Watcher's thread, when the control descriptor is readable: take an order and wake the consumer.
 * 0, or -EPIPE when leat-cardd has gone. */
int park_receive(struct session *session);

/* Consumer's thread, as all that follows. 1 when an order waits and can be carried out: commands
 * that wait for an open user event must end first, and only more records can make them. */
int park_due(struct session *session);
/* Carry the order out and, while the session is suspended, wait for the next. `taken` 1: a record
 * is in hand, so a suspended session asks for its share. Otherwise the first record that comes is
 * taken, as consumer_take does. Returns 1 with a record in hand, 0 or -EPROTO. */
int park(struct session *session, const struct wire_header **record, int taken, struct error *err);

/* The waiting alone, for a session that starts suspended. */
int park_wait(struct session *session, const struct wire_header **record, int taken,
              struct error *err);

#endif
