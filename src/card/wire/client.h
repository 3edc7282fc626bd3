/* The client's end of a session: connect, map the shared memory, notice when the executor is gone.
 * One struct per process and session; its verbs may be called by any thread unless they say
 * otherwise. */
#ifndef LEAT_CARD_WIRE_CLIENT_H
#define LEAT_CARD_WIRE_CLIENT_H

#include <stdint.h>

#include "card/wire/load.h"
#include "card/wire/wire.h"

struct wire_client {
    struct wire_session *session; /* mapped, NULL when not connected */
    uint64_t session_bytes;
    int socket_fd;
    unsigned slot;        /* of this session in the first card's ledger and claims pages */
    uint32_t sequence;    /* number of the next record; atomic */
    uint32_t dead;        /* 1 once the executor is gone; atomic */
    int poison;           /* a record is filled with rubbish first: see LEAT_CARD_POISON */
    uint64_t lanes_taken; /* bit per lane; atomic */
    uint32_t spin_ns;     /* how long a wait spins before it sleeps, adapted by success; atomic */
    uint32_t vain;        /* spins of full length in line that met nothing; atomic */
    struct wire_load load;
};

/* What the welcome carries besides the session; the caller maps and closes them. -1: not there. */
struct wire_pages {
    int ledger_fd;
    int claims_fd;          /* of a session */
    int turn_fd, notify_fd; /* of a CUDA program that calls the driver itself */
    unsigned further_count; /* cards of the session beside the first */
    struct wire_further {
        int ledger_fd, claims_fd;
        unsigned slot; /* of the session in these pages */
    } further[WIRE_FURTHER_MAX];
};

#define WIRE_TEXT_MAX 256

/* Connect to `path` and show `token`, or, for one session with several cards, their tokens with '+'
 * between. 0, or a negative errno with one sentence in `ret_text`.
 * Without a session (`client->session` NULL), which only WIRE_HELLO_CUDA may come to, nothing but
 * the slot is known to `client` and there is nothing to disconnect. */
int wire_connect(struct wire_client *client, const char *path, const char *token,
                 enum wire_hello_flags flags, struct wire_pages *ret_pages,
                 char ret_text[WIRE_TEXT_MAX]);
/* A session of another host that is made again from the checkpoint that comes over `checkpoint_fd`,
 * borrowed. The answer to the first record that waits says that it is; when it cannot be, the
 * connection ends with a second welcome, which says why (wire_last_words). */
int wire_connect_moved(struct wire_client *client, const char *path, const char *token,
                       const uint8_t session[WIRE_SESSION_ID_BYTES], int checkpoint_fd,
                       struct wire_pages *ret_pages, char ret_text[WIRE_TEXT_MAX]);
/* Why the session has ended, as far as leat-cardd has said so; else "". */
void wire_last_words(const struct wire_client *client, char ret_text[WIRE_TEXT_MAX]);
/* Unmap and close. Not while another thread uses the session. Leaves it as never connected. */
void wire_disconnect(struct wire_client *client);

/* 1 while the executor serves this session. Cheap: reads what earlier checks found. */
static inline int wire_alive(const struct wire_client *client)
{
    return !__atomic_load_n(&client->dead, __ATOMIC_RELAXED);
}

/* As wire_alive, and looks at the socket (a system call). */
int wire_check_alive(struct wire_client *client);

static inline void *wire_at(const struct wire_client *client, uint64_t offset)
{
    return (char *)client->session + offset;
}

static inline struct wire_queue_state *wire_queue(const struct wire_client *client, uint32_t slot)
{
    return (struct wire_queue_state *)wire_at(client, client->session->queues_offset) + slot;
}

static inline struct wire_event_state *wire_event(const struct wire_client *client, uint32_t slot)
{
    return (struct wire_event_state *)wire_at(client, client->session->events_offset) + slot;
}

#endif
