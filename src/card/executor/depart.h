/* A session goes to another host: its client leaves the arena, which is memory of this one; all
 * that the session is goes there, and when leat-cardd says so its records follow. Until then the
 * card can come back to its device here; later it is fetched back, and until leat-cardd says so it
 * can go on there. Consumer's thread. */
#ifndef LEAT_CARD_EXECUTOR_DEPART_H
#define LEAT_CARD_EXECUTOR_DEPART_H

struct error;
struct session;

/* Tell the client, if it was not told, and look: 1 when it is out and all that it posted till then
 * has been carried out, or when it takes too long. `taken` 1: a record is in hand. */
int arena_is_left(struct session *session, int taken);
/* As arena_is_left of a suspended session, which carries nothing out, with the waiting: 0, or
 * -EBUSY with err set when what names the arena is still to be carried out. */
int arena_leave_away(struct session *session, struct error *err);
/* To the other host, to which `fd` leads, borrowed, and wait until it has it: 0, or a negative
 * errno with err set. */
int session_offer(struct session *session, int fd, struct error *err);
/* It is here for good, and the client may use the arena if it was never away; or nothing. */
void session_stay(struct session *session);
/* It is the other host's now; one that has come back and was not to stay leaves its device. 0, or a
 * negative errno with err set: -EPROTO when it has not been offered. */
int session_depart(struct session *session, struct error *err);
/* Forward what the program posts until leat-cardd has an order. It ends with the process. */
void session_forward(struct session *session);
/* Become what the session is at the other host, away from the device: 0, or a negative errno with
 * err set. The other host goes on having it, and it may be forwarded there again. */
int session_fetch(struct session *session, struct error *err);

#endif
