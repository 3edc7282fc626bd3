/* How a client waits for its executor: spin for a while where a CPU is to spare, for a wake-up
 * costs more than most commands, then sleep on a futex, and look now and then whether the executor
 * still lives. */
#ifndef LEAT_CARD_WIRE_WAIT_H
#define LEAT_CARD_WIRE_WAIT_H

#include <stdint.h>

struct wire_client;
struct wire_event_state;
struct wire_queue_state;

/* Says whether what is waited for has come. Called often; must not block. */
typedef int (*wire_done_fn)(const void *arg);

/* Wait on a word of its own that the executor changes and wakes. 0, or -EPIPE when the executor
 * is gone. `waiting` (may be NULL) is a flag that tells the other side that a wake-up is needed. */
int wire_wait_word(struct wire_client *client, uint32_t *word, uint32_t *waiting, wire_done_fn done,
                   const void *arg);
/* Wait until `target` commands of a queue have ended, or until an event has; woken for that alone.
 * Same results. */
int wire_wait_queue(struct wire_client *client, struct wire_queue_state *queue, uint64_t target);
int wire_wait_event(struct wire_client *client, struct wire_event_state *event);
/* Wait for something that any change of queue and event states may bring. Same results. */
int wire_wait_completion(struct wire_client *client, wire_done_fn done, const void *arg);
/* Sleep until the completion count differs from `seen`, at most `timeout_ms`. */
void wire_sleep_completion(struct wire_client *client, uint32_t seen, unsigned timeout_ms);
/* Tell the waiters of this process that something changed on this side (a user event). */
void wire_wake_completion(struct wire_client *client);

void futex_wake_all(uint32_t *word);

#endif
