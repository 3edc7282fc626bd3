/* One card: its name, its token, what it is granted of a device, and the shared pages through which
 * executors and clients account for it. What a card costs its device is decided in cardd.c. */
#ifndef LEAT_CARDD_CARD_H
#define LEAT_CARDD_CARD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/list.h"
#include "card/cardd/books.h"
#include "card/cardd/protocol.h"
#include "card/ledger/ledger.h"
#include "card/wire/wire.h"

struct book_card;
struct cardd;
struct device;
struct elsewhere;
struct json_t;
struct session;
struct spare;
struct trace;
struct watch;

/* Where the contents of a card are. In a phase that ends with -ing its executors have orders. */
enum card_phase {
    CARD_ACTIVE,
    CARD_SUSPENDING,
    CARD_SUSPENDED,
    CARD_RESUMING,
    CARD_SAVING, /* it stays suspended, as in what follows */
    CARD_LOADING,
    CARD_OFFERING, /* suspended, and brought to another host */
    CARD_MOVED,    /* on another host; its executors forward what its programs say */
    CARD_RETURNING /* there still, and brought back */
};

struct card {
    struct list link;
    struct cardd *cardd;
    unsigned number;        /* of its place in the books */
    struct book_card *book; /* what the next leat-cardd is left; see card_save */
    char name[CARD_NAME_MAX];
    char token[WIRE_TOKEN_MAX];
    char *cache_dir;       /* where compiled code is kept for the card's tenant; owned */
    struct device *device; /* borrowed */
    bool remote;           /* of a CUDA device: executors call the driver, not the programs */
    uint64_t quota_bytes;
    uint32_t share_asked_permille, share_permille; /* whole; now, 0 while it is lent */
    uint64_t created_ns;

    int ledger_fd, claims_fd, notify_fd;
    struct ledger_card *ledger; /* shared, written by executors */
    struct ledger_claims *claims;
    struct trace *trace;    /* shared likewise, by the fork alone */
    struct watch *notified; /* an executor wants share */
    bool want_announced;    /* since the share was last set */
    bool confined;          /* has control groups */
    uint64_t kills_seen;    /* of its executors, for want of memory in the group */

    struct spare *spare; /* an executor that waits for a client (spare.h); NULL: none */
    bool spare_wanted;

    struct session *sessions[LEDGER_SLOTS]; /* by slot; owned by session.c */
    unsigned session_count, sessions_most;  /* now, at most at once */
    struct book_count counted;              /* sessions, ever */
    struct wire_stats ended_stats;          /* of the sessions that have ended */
    uint64_t ended_commands, ended_builds, ended_build_hits;

    enum card_phase phase;
    uint64_t orders;      /* to executors: the number of the last */
    bool granted;         /* stands in the device's books */
    bool failing;         /* the phase undoes the one before, which failed with phase_error */
    bool needs_copy_room; /* was suspended once: its control group holds contents twice */
    int file_fd;          /* of the checkpoint while the card is saving or loading; else -1 */
    char *file_path;      /* where it goes when it is saved; owned */
    char *saved_path;    /* of its last checkpoint; NULL: none, or its contents are others; owned */
    uint64_t file_parts; /* written or used so far */
    struct elsewhere *elsewhere;  /* the other host, when it has moved or is to; NULL: none */
    bool departing;               /* the phases lead there */
    bool untold;                  /* it is there, and its sessions are yet to go along */
    struct device *move_to;       /* where it goes when it is suspended; NULL: nowhere */
    uint32_t share_kept_permille; /* while it is away */
    uint64_t phase_connection, phase_request; /* who gets the answer; connection 0: nobody */
    uint64_t phase_since_ns, suspend_ns, resume_ns, suspensions; /* the last ones' durations */
    struct error phase_error;

    uint64_t bound_to; /* number of the control connection the card goes with; 0: none */
    /* Being removed: who asked (connection 0: nobody waits for the answer). */
    bool leaving;
    uint64_t remove_connection, remove_request;
};

/* What a card is made of; borrowed. */
struct card_wish {
    bool remote;
    const char *name;
    const char *token;      /* NULL: a new one */
    const char *cache_root; /* folder of all tenants' compiled code */
    const char *tenant;     /* name of the tenant's folder there */
    uint64_t quota_bytes;
    uint32_t share_permille;
    uint32_t priority;
    bool burst;
};

/* Make the card, its pages and its tenant's folder. Not linked into any list, and not in the books
 * before card_save. */
int card_create(struct cardd *cardd, const struct card_wish *wish, struct device *device,
                struct card **ret_card, struct error *err);
/* Make the card of place `number` in the books once more, without its sessions. NULL with err
 * set. */
struct card *card_adopt(struct cardd *cardd, unsigned number, struct error *err);
void card_destroy(struct card *card); /* no sessions left; NULL is fine */
/* Note in the books what has changed. What others get to see comes after that, so that nothing is
 * undone that they were told of. */
void card_save(const struct card *card);

/* True when the card's programs call the driver themselves, and there are no executors. */
bool card_is_local(const struct card *card);

/* Publish a new share, and wake the executors that wait for it. */
void card_set_share(struct card *card, uint32_t share_permille);
/* True when an executor waits for a share that was released. */
bool card_wants_share(const struct card *card);

/* True when an executor that starts now finds the card off the device. */
bool card_is_away(const struct card *card);
/* True when the card is on another host, or on its way there or back. */
bool card_is_elsewhere(const struct card *card);
/* True when it is there. */
bool card_is_there(const struct card *card);
/* Orders that are out. */
unsigned card_orders_out(const struct card *card);

/* Lowest free slot, or -1. */
int card_free_slot(const struct card *card);
/* After the end of a session's process: keep its figures, then hand its slot out again. `memory`
 * NULL: a local session. */
void card_slot_reap(struct card *card, unsigned slot, const struct wire_session *memory);

/* Everything that is known of the card; NULL: out of memory. */
struct json_t *card_json(const struct card *card);

#endif
