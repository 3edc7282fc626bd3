/* What both sides of the keeper's socket share. */
#ifndef LEAT_CARDD_KEEPER_IMPL_H
#define LEAT_CARDD_KEEPER_IMPL_H

#include "card/cardd/keeper.h"

enum keeper_verb {
    KEEPER_READY = 1,
    KEEPER_LEAVE,
    KEEPER_HOLD,
    KEEPER_HOLD_OF_SESSION,
    KEEPER_DROP_CARD,
    KEEPER_DROP_SESSION,
    KEEPER_FORK, /* answered over the executor's control descriptor */
    /* These are answered. */
    KEEPER_PAGES,
    KEEPER_REAP
};

/* One message each, with the descriptors that it hands over. */
struct keeper_request {
    enum keeper_verb verb;
    uint32_t card, slot, which;
    int32_t value;
};
struct keeper_reply {
    int32_t value, status;
};

struct kept_card {
    int of_card[KEPT_OF_CARD];
    int of_session[LEDGER_SLOTS][KEPT_OF_SESSION];
};

/* leat-cardd has the copy of the moment when it was forked. */
struct keeper {
    struct keeper_house house;
    struct kept_card *cards[BOOKS_CARDS]; /* NULL: the card has no pages */
    pid_t *children;                      /* executors that were not reaped */
    unsigned child_count, child_room;
    int fd; /* to the other of the two */
    /* The keeper's own. */
    pid_t daemon;
    int daemon_fd, signal_fd;
    unsigned unready; /* starts since one was ready */
    bool leaving;
};

#endif
