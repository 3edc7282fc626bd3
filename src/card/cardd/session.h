/* A session: one client process of a card, served by an executor, a child process of ours. */
#ifndef LEAT_CARDD_SESSION_H
#define LEAT_CARDD_SESSION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/list.h"
#include "card/cardd/process.h"
#include "card/executor/executor.h"

struct book_session;
struct card;
struct cardd;
struct error;
struct watch;
struct wire_session;

/* Where a session stands in a card's pages and books. */
struct seat {
    struct card *card;
    unsigned slot;
    struct book_session *book;
};

struct session {
    struct list link;          /* in cardd's list of all sessions */
    struct list starting;      /* in one of the starter's, until it has its executor */
    int session_fd, socket_fd; /* its memory and its client; -1: a local session */
    uint64_t arena_bytes;      /* as its memory was made */
    struct cardd *cardd;
    struct seat seats[WIRE_CARDS_MAX]; /* one a card, of which the first ... */
    unsigned seat_count;
    struct card *card; /* ... is this, which executor, books and builds belong to */
    unsigned slot;
    struct book_session *book;
    struct process process; /* the executor, or the client that is its own */
    pid_t client_pid;       /* as seen from here; 0 when it is not visible */
    struct watch *ended, *notices;
    uint8_t id[EXECUTOR_ID_BYTES];
    unsigned replaced; /* executors whose place another took */
    bool rebuilding;   /* the last of them from a checkpoint, and not done yet */
    bool moved;        /* it has come from another host, and its client is a relay */
    bool offered;      /* to the other host that the card moves to */
    int moved_fd;   /* brings the checkpoint of one from another host, until it is rebuilt; or -1 */
    bool overdrawn; /* a local one: it holds more of its device than of its card */
    uint64_t order; /* number of the one that has gone to the executor and is not answered; or 0 */
    struct card *ordered_by;
    /* First page of the session memory, read-only; NULL: a local session, in which the client's own
     * process has the slot. */
    const struct wire_session *memory;
};

/* Of a session that comes from another host. */
struct session_origin {
    const uint8_t *id; /* EXECUTOR_ID_BYTES */
    int checkpoint_fd; /* borrowed */
};
/* The cards that a client asks for, which have been found to go together. */
struct session_cards {
    struct card *cards[WIRE_CARDS_MAX];
    unsigned count;
};
/* Welcome the client at the other end of `socket_fd`, a descriptor that stays the caller's, and
 * have an executor forked soon (start.h). The session ends itself: at the end of its process it is
 * reaped and cardd_session_ended called. `origin` NULL: it begins here. */
int session_start(struct cardd *cardd, const struct session_cards *cards, int socket_fd,
                  const struct session_origin *origin, struct error *err);
/* Take over the session in `slot`, of a leat-cardd that was killed. What cannot be gone on with
 * ends, and its slot is free. */
void session_adopt(struct cardd *cardd, struct card *card, unsigned slot);
/* Give the client to a spare executor, or ask for one, which it gets when that is forked. On
 * failure the session is gone, and its client sees that. */
int session_launch(struct session *session);
/* Send an order for `card`, one of the session's; cardd_session_answered follows, or the session
 * ends. Not while one is out. */
void session_order(struct session *session, struct card *card, const struct executor_order *order);
/* Give the client at the other end of `socket_fd` a slot and the pages of its card: it calls the
 * driver itself. Its process is watched, and reaped like an executor. */
int session_attach(struct cardd *cardd, struct card *card, int socket_fd, struct error *err);
/* It has been rebuilt from a checkpoint, or it could not, for a reason, and ends. */
void session_rebuilt(struct session *session, bool well, const char *reason);
void session_kill(struct session *session);
/* True when one of its cards is away, `but` (NULL: none) not looked at: then the session is. */
bool session_is_away(const struct session *session, const struct card *but);

#endif
