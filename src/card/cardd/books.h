/* What a leat-cardd that is killed leaves to the next one: the state of its cards and sessions, in
 * memory that the keeper has mapped before it forked either. Executors get none of it: it has
 * tokens, and the numbers of processes.
 *
 * A card's state is written whole, beside the one before, and becomes true by one store; a
 * session's by the store of its own `state`. So a kill between two instructions finds the one or
 * the other. */
#ifndef LEAT_CARDD_BOOKS_H
#define LEAT_CARDD_BOOKS_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "card/cardd/protocol.h"
#include "card/executor/executor.h"
#include "card/ledger/ledger.h"
#include "card/ledger/trace.h"
#include "card/wire/wire.h"

#define BOOK_ELSEWHERE_DIR_MAX 96 /* a socket's path is little longer */
#define BOOK_ELSEWHERE_HOST_MAX 128
#define BOOKS_CARDS 1280 /* those that leave are counted until they have left */

/* Of struct elsewhere; an empty `dir`: none. */
struct book_elsewhere {
    char dir[BOOK_ELSEWHERE_DIR_MAX], host[BOOK_ELSEWHERE_HOST_MAX], token[WIRE_TOKEN_MAX];
};

/* How many sessions a card has had, and the slots of those that are counted and have not ended: so
 * a leat-cardd that finds one which was not welcomed knows whether it is in the number, however
 * often the one before was killed. */
struct book_count {
    uint64_t total;
    uint64_t slots[LEDGER_SLOTS / 64]; /* a bit each */
};

/* Of struct card, see there; pointers are numbers here. */
struct book_state {
    char name[CARD_NAME_MAX];
    char token[WIRE_TOKEN_MAX];
    char cache_dir[PATH_MAX];
    char file_path[PATH_MAX], saved_path[PATH_MAX]; /* "": none */
    int32_t device, move_to;                        /* numbers of devices; -1: none */
    bool remote, granted, failing, needs_copy_room, leaving, departing;
    struct book_elsewhere elsewhere;
    uint32_t phase;
    uint64_t quota_bytes, created_ns;
    uint32_t share_asked_permille, share_permille, share_kept_permille;
    uint64_t orders; /* number of the last */
    uint64_t kills_seen, phase_since_ns, suspend_ns, resume_ns, suspensions;
    uint64_t bound_to;
    struct book_count counted;
    uint32_t sessions_most;
    struct wire_stats ended_stats;
    uint64_t ended_commands, ended_builds, ended_build_hits;
};

enum book_step {
    BOOK_FREE = 0,
    BOOK_WELCOMING, /* the client may have been welcomed or not */
    BOOK_WELCOMED,  /* it has, and has no executor yet */
    BOOK_FORKED,    /* it may have been handed to `pid` or not */
    BOOK_SERVED,    /* it has; or it is its own executor */
    BOOK_FURTHER    /* of a session of several cards, another of which has the rest */
};

struct book_seat {
    uint32_t card, slot;
};

struct book_session {
    uint32_t step;
    int32_t pid, client_pid;
    uint32_t rebuilding;
    uint8_t id[EXECUTOR_ID_BYTES];
    uint64_t arena_bytes;
    uint32_t seat_count; /* of its cards, this one the first */
    struct book_seat seats[WIRE_CARDS_MAX];
};

struct book_card {
    uint32_t current; /* 0: free; 1 or 2: which of the states is true */
    /* The connection that the card is bound to has sent something that is not answered. */
    uint32_t connection_busy;
    struct book_state states[2];
    struct book_session sessions[LEDGER_SLOTS];
};

/* The pages of one card, each a memory file of its own that is mapped here in keeper, leat-cardd
 * and the card's executors. */
struct card_pages {
    _Alignas(65536) struct ledger_card ledger;
    _Alignas(65536) struct ledger_claims claims;
    _Alignas(65536) struct trace trace;
};

struct books {
    struct book_card *cards;  /* BOOKS_CARDS */
    struct card_pages *pages; /* BOOKS_CARDS; reserved addresses until a card is made */
};

/* 0, or a negative errno. */
int books_open(struct books *books);
void books_close(struct books *books);
/* In an executor: let go of everything but the pages of these cards, of which there is one at least
 * and none twice. */
void books_forget_others(const struct books *books, const struct book_seat *cards, unsigned count);

void book_count_session(struct book_count *count, unsigned slot);
/* It does not count; one that is not counted, or that has ended, is passed over. */
void book_uncount_session(struct book_count *count, unsigned slot);
/* It has ended, and stays counted. */
void book_count_ended(struct book_count *count, unsigned slot);

/* The state that is true; NULL: the place is free. */
const struct book_state *book_read(const struct book_card *book);
void book_write(struct book_card *book, const struct book_state *state);
void book_clear(struct book_card *book);
/* Everything else of the session has been written. */
void book_step(struct book_session *session, enum book_step step);

enum { PAGE_LEDGER, PAGE_CLAIMS, PAGE_TRACE, PAGES };

/* Make the memory files of card `number`, of a size that nobody can change, and map them. */
int pages_make(const struct books *books, unsigned number, int ret_fds[PAGES]);
/* Map them in another process. */
int pages_map(const struct books *books, unsigned number, const int fds[PAGES]);
/* Give up the mapping; none is fine. */
void pages_drop(const struct books *books, unsigned number);

#endif
