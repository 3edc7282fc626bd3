/* The keeper: the process that is started as leat-cardd. It opens what outlives a leat-cardd that
 * is killed, forks the one that serves, and forks another when that is killed: the run folder's
 * lock and listening sockets, the devices, the books (books.h), the pages of cards, and descriptors
 * that it is handed. It forks the executors, too, so that they are its children and end with it
 * alone.
 *
 * What leat-cardd hands over is with the keeper as soon as a call returns: messages of a dead one
 * are read before the next is forked, which inherits all of it. */
#ifndef LEAT_CARDD_KEEPER_H
#define LEAT_CARDD_KEEPER_H

#include <stdbool.h>
#include <sys/types.h>

#include "card/cardd/books.h"

struct confine;
struct devices;
struct keeper;
struct rundir;

/* Descriptors of a card; those of its pages come first. */
enum kept {
    KEPT_LEDGER = PAGE_LEDGER,
    KEPT_CLAIMS = PAGE_CLAIMS,
    KEPT_NOTIFY = PAGES,
    KEPT_FILE,       /* a checkpoint, while it is written or read */
    KEPT_CONNECTION, /* of the control socket, that the card is bound to */
    KEPT_ELSEWHERE,  /* to the leat-cardd of another host, while the card is there */
    KEPT_OF_CARD
};
/* Descriptors of a session. */
enum kept_of_session {
    KEPT_SESSION, /* its memory */
    KEPT_SOCKET,  /* the connection of its client */
    KEPT_PROCESS, /* the control descriptor of its executor; the pidfd of a local client */
    KEPT_OF_SESSION
};

/* What the keeper is given; all borrowed. */
struct keeper_house {
    struct rundir *rundir;
    struct devices *devices;
    struct confine *confine;
    const struct books *books;
    const struct executor_relay *relay; /* of executors; NULL: none */
    int *ready_fd; /* closed when leat-cardd is ready, and 0 from then on; 0: none */
};

/* NULL: out of memory. */
struct keeper *keeper_open(const struct keeper_house *house);
void keeper_close(struct keeper *keeper);

/* Fork `serve`, which returns its exit status, as often as it is killed, unless it is killed again
 * and again before it has come to keeper_ready. Returns the exit status of the last, or does not
 * return, in its process. */
int keeper_run(struct keeper *keeper, int (*serve)(void *arg), void *arg);

/* For leat-cardd, when it begins: what the one before had handed over, -1: nothing. The number is
 * good in this process and stays the keeper's: leat-cardd owns its copy. */
int keeper_kept(const struct keeper *keeper, unsigned card, enum kept which);
int keeper_kept_of_session(const struct keeper *keeper, unsigned card, unsigned slot,
                           enum kept_of_session which);
/* True for an executor that runs, or has ended and was not reaped. */
bool keeper_has(const struct keeper *keeper, pid_t pid);
/* The children that the one before left, one after another: 0 after the last. */
pid_t keeper_child(const struct keeper *keeper, unsigned index);

/* Requests of leat-cardd. The keeper's end is that of leat-cardd, too, so what cannot be sent needs
 * no answer. */
void keeper_ready(struct keeper *keeper); /* it serves */
/* It is leaving: listen no more, and fork no other. */
void keeper_leave(struct keeper *keeper);
/* Make the pages of a card and map them here, too: 0, or a negative errno. */
int keeper_make_pages(struct keeper *keeper, unsigned card, int ret_fds[PAGES]);
/* Let go of everything of a card. Its place in the books is free. */
void keeper_drop_card(struct keeper *keeper, unsigned card);
/* Hold a copy of `fd`, in the place of the one before; -1: let go. */
void keeper_hold(struct keeper *keeper, unsigned card, enum kept which, int fd);
/* `count` of them, from `which` on. */
void keeper_hold_of_session(struct keeper *keeper, unsigned card, unsigned slot,
                            enum kept_of_session which, const int *fds, unsigned count);
/* Let go of everything of a session. */
void keeper_drop_session(struct keeper *keeper, unsigned card, unsigned slot);
/* Have an executor of a card forked with this end of its control descriptor, for the session that
 * the books have in `slot`, if it is no spare one. What comes of it is the first message at the
 * other end. */
void keeper_fork(struct keeper *keeper, unsigned card, unsigned slot, bool is_spare,
                 int executors_fd);
/* That message: its pid, or a negative errno; 0 when it has not come and is not to be waited
 * for. */
pid_t keeper_forked(int control_fd, bool wait);
/* Reap it if it has ended: 1, with its wait status, else 0. */
int keeper_reap(struct keeper *keeper, pid_t pid, int *ret_status);

#endif
