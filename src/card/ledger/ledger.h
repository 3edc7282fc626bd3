/* How much of a card's memory is granted: shared pages without a total that could go wrong.
 *
 * Truth is one slot per session. A reservation is announced in the session's own slot, then all
 * slots are summed; what does not fit is taken back and refused. Two sessions that announce at once
 * see each other, so the sum of what was granted never exceeds the quota, not for an instant, and a
 * session that is killed at any instruction is undone by zeroing its slot.
 *
 * Two pages per card: the *ledger page* is written by executors and leat-cardd only (clients map it
 * read-only); the *claims page* is written by the clients of the card, so that clCreateBuffer can
 * be decided exactly without a round trip. Executors never believe a claim. */
#ifndef LEAT_CARD_LEDGER_H
#define LEAT_CARD_LEDGER_H

#include <stdint.h>

#define LEDGER_MAGIC 0x4745444cu
#define LEDGER_SLOTS 256 /* sessions of one card at once */

struct ledger_slot {
    _Alignas(64) uint32_t state; /* 0 free, 1 in use; owned by leat-cardd */
    uint32_t pid;                /* executor */
    uint64_t start_time;         /* of that pid; of a card that no daemon looks after */
    uint64_t used_bytes;         /* committed to the driver */
    uint64_t pending_bytes;      /* announced, not yet committed */
    uint64_t freed_total_bytes;  /* ever released; clients use it to lower their claim */
    uint64_t device_time_ns;     /* measured device time of this session */
    uint64_t commands;           /* device commands executed */
    /* Commands handed to the driver and not ended, and builds under way. It goes with the slot when
     * the executor is killed, so that the card does not look busy for ever. */
    uint64_t commands_in_flight;
    uint64_t builds;     /* programs built by the driver */
    uint64_t build_hits; /* builds answered with a kept result instead */
    uint64_t away_bytes; /* suspended: reserved, but in host memory and not on the device */
    uint32_t own_pid;    /* of a program that writes its slot itself: as it is known to itself */
    uint32_t begun; /* 1: the executor has taken a record, so that no other can take its place */
};

/* Written by leat-cardd: quota, share. Written by executors: usage. 64-bit words, atomic access. */
struct ledger_card {
    uint32_t magic, version;
    uint64_t quota_bytes;
    uint64_t peak_bytes;     /* highest sum of used_bytes ever seen */
    uint64_t refusals;       /* reservations refused */
    uint64_t device_time_ns; /* of all sessions, ended ones included */
    uint64_t throttled_ns;   /* time executors held commands back for the share */
    uint64_t last_use_ns; /* CLOCK_MONOTONIC of the end of the last device command, or of the last
                             wait for share */
    /* The share. 0: released (idle); commands wait on `share_permille` (futex) until leat-cardd
     * sets it again. */
    _Alignas(64) uint32_t share_permille;
    uint32_t share_wanted;    /* set to 1 by an executor that waits while the share is 0 */
    uint32_t tracing;         /* 1: commands are noted, see trace.h; by leat-cardd */
    uint32_t slots_end;       /* slots from here on were never in use; 0: not known */
    uint32_t runtime_refused; /* by an executor: 1, a program was one on the CUDA runtime library */
    uint32_t burst;    /* by leat-cardd: 1, the card may use what the others leave of the device */
    uint32_t priority; /* by leat-cardd, METER_PRIORITY_MAX at most: who goes first of those with
                          credit */
    _Alignas(64) int64_t credit_ns; /* compute credit of the card, see meter */
    uint64_t credit_time_ns;        /* when the credit was last brought up to date */
    uint64_t virtual_ns;            /* device time over share, for the order of turns */
    _Alignas(64) struct ledger_slot slots[LEDGER_SLOTS];
};

/* The claims page: monotonic count of bytes each client ever created (less what it destroyed
 * unsent). What programs were refused is kept for as long as the card: it tells how much would have
 * been enough, as far as clients can be believed. */
struct ledger_claims {
    uint64_t refusals;     /* told to programs by clients alone */
    uint64_t wanted_bytes; /* the most that there was ever to be, what was refused and all */
    struct {
        _Alignas(64) uint64_t claimed_total_bytes;
    } slots[LEDGER_SLOTS];
};

/* leat-cardd: the slot goes into use. */
void ledger_open_slot(struct ledger_card *card, unsigned slot);

/* Executor side. Reserve `bytes` for `slot`: 0, or -ENOSPC when it would pass the quota (nothing is
 * changed). One reservation at a time per slot (caller's lock). */
int ledger_reserve(struct ledger_card *card, unsigned slot, uint64_t bytes);
/* Give back what ledger_reserve gave. */
void ledger_release(struct ledger_card *card, unsigned slot, uint64_t bytes);
/* Committed bytes leave the device for host memory and stay reserved; they come back; they are
 * given up while they are away. */
void ledger_put_away(struct ledger_card *card, unsigned slot, uint64_t bytes);
void ledger_bring_back(struct ledger_card *card, unsigned slot, uint64_t bytes);
void ledger_drop_away(struct ledger_card *card, unsigned slot, uint64_t bytes);
/* A buffer of the client that got no memory: counts as freed, so that the client lowers its
 * claim. */
void ledger_forgo(struct ledger_card *card, unsigned slot, uint64_t bytes);
/* Sum of what is committed now, and of what is away. */
uint64_t ledger_used(const struct ledger_card *card);
uint64_t ledger_away(const struct ledger_card *card);

/* Client side. Claim room for a buffer that will be created later: 0 or -ENOSPC. The claim is
 * lowered by the executor's freed_total_bytes, or by ledger_unclaim for what was never sent. */
int ledger_claim(const struct ledger_card *card, struct ledger_claims *claims, unsigned slot,
                 uint64_t bytes);
void ledger_unclaim(struct ledger_claims *claims, unsigned slot, uint64_t bytes);
/* A program is told that there is no room for `bytes`. */
void ledger_note_refusal(const struct ledger_card *card, struct ledger_claims *claims,
                         uint64_t bytes);

/* leat-cardd's side. Change the quota while sessions reserve and claim: 0, or -EBUSY when more than
 * that is held or promised to clients (`ret_held_bytes`), and nothing has changed. */
int ledger_resize(struct ledger_card *card, const struct ledger_claims *claims,
                  uint64_t quota_bytes, uint64_t *ret_held_bytes);

#endif
