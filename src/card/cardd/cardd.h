/* leat-cardd as a whole: the devices, the cards and their sessions on one event loop. One thread,
 * no worker threads: it and the executors are forked by the keeper (keeper.h) without exec. */
#ifndef LEAT_CARDD_CARDD_H
#define LEAT_CARDD_CARDD_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "base/list.h"
#include "card/cardd/audit.h"
#include "card/cardd/books.h"
#include "card/cardd/device.h"
#include "card/cardd/rundir.h"

struct card;
struct confine;
struct control;
struct control_request;
struct error;
struct executor_notice;
struct executor_relay;
struct gate;
struct keeper;
struct seat;
struct session;
struct spares;
struct starter;

#define CARDD_CARDS_MAX 1024

struct cardd {
    uv_loop_t loop;
    struct rundir rundir;
    char cache_dir[PATH_MAX]; /* a folder of compiled code per tenant */
    char instance[17];        /* random, new at every start of a keeper */
    struct devices devices;
    struct books books;
    struct keeper *keeper;
    struct list cards;    /* struct card, serving */
    struct list leaving;  /* struct card, waiting for the end of their executors */
    struct list sessions; /* struct session */
    unsigned card_count;  /* of `cards` */
    struct confine *confine;
    struct control *control; /* cardd.sock */
    struct gate *gate;       /* card.sock */
    struct starter *starter; /* of executors */
    struct spares *spares;   /* executors that wait for a client */
    struct audit_options audit_options;
    struct audit *audit;                /* NULL: none */
    const struct executor_relay *relay; /* as the options have it */
    uint64_t suspended_most_bytes;      /* contents in host memory; 0: no limit */
    uint64_t linger_ms; /* leave after that long without cards and connections; 0: stay */
    uv_timer_t linger;
    uv_signal_t signals[3];
    int ready_fd;  /* of the options, until it is ready */
    bool stopping; /* no new work; ends when the last card has gone */
    bool closing;  /* the last card has gone */
};

struct cardd_options {
    const char *run_dir; /* NULL: the house's rule */
    uint64_t linger_ms;
    uint64_t suspended_most_bytes; /* what suspended cards keep in host memory; 0: no limit */
    struct audit_options audit;
    const struct executor_relay *relay; /* how cards go to other hosts; NULL: not at all */
    int ready_fd; /* gets an empty line and is closed when the sockets serve; 0: none */
};

/* Serve until a signal or the end of the lingering: `ret_status` is what the process is to exit
 * with. On failure the ready_fd is untouched. */
int cardd_run(const struct cardd_options *options, int *ret_status, struct error *err);

/* Who asks for a card. */
struct cardd_caller {
    uint64_t connection;
    int fd;    /* of the connection */
    uid_t uid; /* a card without a tenant belongs to this user */
};

/* Verbs of the control protocol. */
int cardd_card_create(struct cardd *cardd, const struct control_request *request,
                      const struct cardd_caller *caller, struct card **ret_card, struct error *err);
struct card *cardd_card_find(struct cardd *cardd, const char *name, struct error *err);
int cardd_card_set_share(struct card *card, uint32_t share_permille, struct error *err);
/* Change the card's size, its programs running; 0 of a request stays as it is. -EBUSY
 * "memory-in-use" when the card holds more than it is to have. */
int cardd_card_resize(struct cardd *cardd, struct card *card, const struct control_request *request,
                      struct error *err);
/* Kill the card's executors and free it when they have ended; then connection `connection` (0:
 * none) gets the last figures as the answer to its request `request`. */
void cardd_card_remove(struct cardd *cardd, struct card *card, uint64_t connection,
                       uint64_t request);
/* The connection has closed: its bound cards go with it. */
void cardd_connection_closed(struct cardd *cardd, uint64_t connection);
/* It has sent what is not answered yet, or all is answered: for the next leat-cardd. */
void cardd_connection_busy(struct cardd *cardd, uint64_t connection, bool busy);

/* Go on with the cards of a leat-cardd that was killed (adopt.c). */
void cardd_adopt(struct cardd *cardd);
/* Into the list of cards that serve, watched and confined: 0, or -ENOMEM. */
int cardd_card_enlist(struct cardd *cardd, struct card *card);

/* A session has carried out an order, or not. */
void cardd_session_answered(struct cardd *cardd, struct session *session,
                            const struct executor_notice *notice);
/* What the card may take has changed. */
void cardd_confine_again(struct cardd *cardd, const struct card *card);

/* By token, in time that does not depend on it. NULL when there is none. */
struct card *cardd_card_by_token(struct cardd *cardd, const char *token);
/* By its place in the books; NULL when there is none. */
struct card *cardd_card_numbered(struct cardd *cardd, unsigned number);
/* Its process runs, and has this seat. */
void cardd_session_started(struct cardd *cardd, const struct session *session,
                           const struct seat *seat);
/* Called by a session that has been reaped, before it is freed. */
void cardd_session_ended(struct cardd *cardd, struct session *session, int wait_status);
/* A spare executor has ended by itself. */
void cardd_spare_ended(struct card *card);

/* Something that keeps the daemon from leaving has come or gone. */
void cardd_touch(struct cardd *cardd);

#endif
