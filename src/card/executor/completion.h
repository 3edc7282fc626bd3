/* The end of commands: times and status are noted, and ends are published to the client in an order
 * it can rely on: a command never before an earlier one of its in-order queue and never before what
 * it waited for, however the driver's threads race.
 *
 * The driver reports the end of a command that somebody may wait for. Others are quiet: commands of
 * an in-order queue without an event and without bytes in the slab. Their ends are looked for, many
 * at a time, and the driver reports the last of them once the consumer has nothing else to do. */
#ifndef LEAT_CARD_EXECUTOR_COMPLETION_H
#define LEAT_CARD_EXECUTOR_COMPLETION_H

#include <stdint.h>

#include "card/executor/opencl.h"

struct order;
struct session;

/* The driver has `event` (one reference, taken over in any case): watch its end. It is entered into
 * the order's event slot. Consumer's thread. */
void completion_watch(struct session *session, const struct order *order, cl_event event);
/* The order ends with its error now; the driver has nothing to do with it. */
void completion_fail(struct session *session, const struct order *order);
/* 1 when the order has nothing to wait for in the driver and nobody can ask for its times: a marker
 * that needs no driver. */
int completion_may_pass(struct session *session, const struct order *order);
/* Such an order has ended. */
void completion_pass(struct session *session, const struct order *order);
/* What waits for an event of the user that is open may fail from now on: its queue has no failure
 * of its own then, and clFinish tells of none. */
void completion_expect_failures(struct session *session);
/* A user event got its status. */
void completion_set_event(struct session *session, uint32_t slot, cl_int status);

/* Let the driver report the last of the quiet commands in flight, before a wait or long work.
 * Consumer's thread. */
void completion_rest(struct session *session);
/* End what the driver failed without calling back: PoCL does not report a command whose wait list
 * failed. Called when the rings are quiet. */
void completion_sweep(struct session *session);
/* End the quiet commands that have ended and free what was kept for late callbacks; the driver has
 * nothing left to call back for. */
void completion_finish(struct session *session);
/* 1 while ends are outstanding. */
int completion_pending(struct session *session);

#endif
