/* The program's end of a session, for near.c, which forwards what the program posts and writes what
 * comes back, and departure.c, whose sessions began here and go to another host. One thread
 * forwards, another receives. */
#ifndef LEAT_CARD_RELAY_NEAR_H
#define LEAT_CARD_RELAY_NEAR_H

#include <pthread.h>
#include <stdint.h>

#include "card/executor/consumer.h"
#include "card/relay/bulk.h"
#include "card/relay/conn.h"
#include "card/relay/frame.h"
#include "card/relay/recall.h"

struct error;

#define WELCOME_FDS 3
/* Of a frame that is no data. */
#define NEAR_BODY_MAX \
    (sizeof(struct frame_ends) + WIRE_QUEUES * sizeof(struct queue_end) + \
     (size_t)WIRE_EVENTS * sizeof(struct event_end))
#define RECALL_LANE WIRE_LANES /* of our own questions, and so of the answers */

/* What is known of the kernels' output, so that a program which may print does not ask in vain. */
struct output {
    uint64_t launches;       /* forwarded so far */
    uint64_t launches_asked; /* when it was asked for last */
    int asked_quiet;         /* every command had ended then */
    uint32_t sequence;       /* of the asking; atomic, as what follows */
    uint32_t is_empty;       /* the answer: nothing left */
};

struct near {
    int client_fd;
    int memory_fds[WELCOME_FDS];
    unsigned slot;
    struct conn *conn;
    struct mirror mirror;
    struct ledger_claims *claims;
    uint8_t *body;       /* of the frame being received, NEAR_BODY_MAX */
    uint64_t forwarded;  /* commands */
    uint64_t ended;      /* commands; atomic */
    uint64_t waited;     /* records forwarded whose reply is waited for */
    uint64_t replied;    /* replies; atomic */
    uint64_t claim_told; /* bytes */
    uint64_t sent_ns;
    struct bulk_receiver from_device;
    struct mirror_moved moved; /* of a session that moved, as what follows */
    int (*is_called)(const void *arg);
    const void *called_arg;
    struct recall recall;
    pthread_t receiver;
    int receives; /* there is such a thread */
    int fetched;  /* nothing that comes is the program's any more; atomic, as what follows */
    int needed;   /* the session is there */
    int lost;     /* the connection is broken, or given up */
    pthread_mutex_t send_lock;
    struct bulk_sender to_device; /* with send_lock */

    /* Of who takes the records: the forwarder, but while it sleeps. */
    pthread_mutex_t ring_lock;
    struct consumer consumer;
    struct output output;
    int brings_data; /* the last record, in either direction */
};

/* In near->mirror, by which what comes is written. */
void near_serve(struct near *near, struct wire_session *session, struct ledger_card *ledger);
/* Into what is gathered: with send_lock, but before there is a receiver. */
int near_put(struct near *near, enum frame_kind kind, const void *head, size_t head_bytes,
             uint64_t more_bytes);
int near_put_account(struct near *near);
/* Send what is gathered: 0 or a negative errno, as those above. */
int near_flush(struct near *near);
/* Say that we live. */
void near_ping(struct near *near);
/* All that follow: 0, or a negative errno with err set. They are of the forwarder, who has
 * ring_lock from near_receive on but while it dozes. */
int near_receive(struct near *near, struct error *err); /* from another thread */
int near_forward(struct near *near, const struct wire_header *record, struct error *err);
/* Until somebody calls (0). */
int near_forward_all(struct near *near, struct error *err);
/* The session is over for the program, which finds that out by its socket. */
_Noreturn void near_leave(struct near *near, const struct error *err);

#endif
