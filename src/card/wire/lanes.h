/* The lanes of a process's threads: each takes one at its first record and gives it back when it
 * ends. More threads than lanes share one. One struct lives in the hidden context of a library, and
 * as long as the process; any thread may call its verbs unless they say otherwise. */
#ifndef LEAT_CARD_WIRE_LANES_H
#define LEAT_CARD_WIRE_LANES_H

#include <pthread.h>
#include <stdint.h>

#include "card/wire/producer.h"

struct wire_client;

struct wire_lanes {
    struct wire_client *client;  /* NULL: no session yet */
    uint32_t generation;         /* of the session: counts forks */
    pthread_mutex_t shared_lock; /* the lane of the threads that found no lane of their own */
    struct wire_producer shared;
};

#define WIRE_LANES_INIT \
    { \
        .shared_lock = PTHREAD_MUTEX_INITIALIZER \
    }

/* The session of `client`, which outlives the lanes, has begun: 0 or -EAGAIN. One thread. */
int wire_lanes_open(struct wire_lanes *lanes, struct wire_client *client);
/* In a child after fork, where the parent's session is not ours. */
void wire_lanes_begin_anew(struct wire_lanes *lanes);

/* What came of a record that was waited for. */
struct wire_answer {
    int32_t status;
    uint64_t value, length; /* length: bytes of payload at the record's reply_offset */
};

/* Records. Begin reserves room on this thread's lane (NULL: too large, or the executor is gone);
 * then exactly one of: post, which sends; wait, which sends and waits for the answer: 0, or -EPIPE
 * when the executor is gone. `ret_sequence` (may be NULL) is the record's place in the session. */
void *wire_lanes_begin(struct wire_lanes *lanes, uint64_t length);
uint32_t wire_lanes_post(struct wire_lanes *lanes, void *record, unsigned opcode, uint64_t length);
int wire_lanes_wait(struct wire_lanes *lanes, void *record, unsigned opcode, uint64_t length,
                    struct wire_answer *ret_answer, uint32_t *ret_sequence);

#endif
