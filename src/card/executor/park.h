/* Orders of leat-cardd: the consumer stops at the boundary between two records, all device state
 * leaves the device, and comes back when leat-cardd says so. Clients only see time pass. */
#ifndef LEAT_CARD_EXECUTOR_PARK_H
#define LEAT_CARD_EXECUTOR_PARK_H

struct session;

/* Watcher's thread, when the control descriptor is readable: take an order and wake the consumer.
 * 0, or -EPIPE when leat-cardd has gone. */
int park_receive(struct session *session);

/* Consumer's thread, as all that follows. 1 when an order waits and can be carried out: commands
 * that wait for an open user event must end first, and only more records can make them. `taken` 1:
 * a record is in hand. */
int park_due(struct session *session, int taken);
/* Everything in the driver ends, and what clients released is freed. */
void park_settle(struct session *session);
/* 1 when one waits for what shows only when it is looked at. */
int park_looks(const struct session *session);
/* Carry the order out and, while the session is suspended, wait for the next. With a record in
 * hand, or when one comes, which stays where it is, a suspended session asks for
 * its share. 1: the record in hand is to be carried out now; another host may have done that. */
int park(struct session *session, int taken);
/* The waiting alone, for a session that starts suspended. */
int park_wait(struct session *session);
/* Carry out the first order, which makes the session what it was in another process. 1: a record
 * is in hand, which the consumer took last, 0: none is; negative: the session is of no use. */
int park_rebuild(struct session *session);

#endif
