/* The session socket: takes a client's hello, finds its card by the token and has a session
 * started. */
#ifndef LEAT_CARDD_GATE_H
#define LEAT_CARDD_GATE_H

struct cardd;
struct gate;

#define GATE_HELLO_MS 5000  /* a client that has not said hello by then is dropped */
#define GATE_WAITING_MAX 64 /* clients that have not said hello; one more drops the oldest */

/* Serve the listening socket `fd`, which is taken over. NULL: out of memory. */
struct gate *gate_open(struct cardd *cardd, int fd);
/* Frees itself on the loop. NULL is fine. */
void gate_close(struct gate *gate);

#endif
