/* When executors are forked: once no client knocks any more. A client has been welcomed by then and
 * can ask for everything about its device, so many that start at once do not wait for each other's
 * executors. */
#ifndef LEAT_CARDD_START_H
#define LEAT_CARDD_START_H

#include <stdbool.h>
#include <uv.h>

struct session;
struct starter;

/* NULL: out of memory. */
struct starter *starter_open(uv_loop_t *loop);
/* Frees itself on the loop; no sessions are left in it. NULL is fine. */
void starter_close(struct starter *starter);
/* A client has knocked: others may follow at once. */
void starter_hold(struct starter *starter);
/* Nobody waits for an executor, and nobody has knocked for a while. */
bool starter_rested(const struct starter *starter);
/* session_launch is called when it is its turn. */
void starter_add(struct starter *starter, struct session *session);
/* It has an executor, or ends; one that was never added is fine. */
void starter_remove(struct starter *starter, struct session *session);

#endif
