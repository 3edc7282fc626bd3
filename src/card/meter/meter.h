/* True share of compute: measured device time charged to a credit bucket per card, and one turn per
 * device, so that what is measured is device time and not time spent waiting for a neighbour.
 *
 * Credit: a card gains share_permille/1000 ns per ns of wall time, up to METER_BURST_NS, and loses
 * what its commands took on the device. A command is handed over only while the credit is not
 * negative (less an estimate of what is in flight). Turn: cards of one device take turns of about
 * METER_QUANTUM_NS when more than one wants the device; a holder with nothing in flight can be
 * relieved of it at once, so a lone card never pays for it, and leat-cardd frees the turn of a
 * killed executor. */
#ifndef LEAT_CARD_METER_H
#define LEAT_CARD_METER_H

#include <stdint.h>

struct ledger_card;

#define METER_BURST_NS 20000000ull  /* credit an idle card may save up */
#define METER_QUANTUM_NS 2000000ull /* a turn, when others wait */

/* Shared by all executors of one device; a zeroed page is a free device. */
struct meter_device {
    _Alignas(64) uint32_t turn; /* 0 free, else owner: see meter.c */
    uint32_t waiters;
    uint64_t turn_since_ns;
    _Alignas(64) uint64_t busy_ns; /* device time of all cards */
};

/* Executor side, opaque state of one session. */
struct meter;

/* `owner` is unique among the live sessions of the device, not 0: the executor's pid, with which
 * leat-cardd reaps it. `notify_fd` is an eventfd (borrowed), written each time share_wanted is set,
 * so that leat-cardd needs no timer to see it. NULL: out of memory. */
struct meter *meter_create(struct ledger_card *card, struct meter_device *device, uint32_t owner,
                           unsigned slot, int notify_fd);
void meter_destroy(struct meter *meter);

/* Before a command is handed to the driver: waits for share (released or in debt) and for the turn.
 * `estimate_ns` is what the command will probably take (0: unknown). May be interrupted by
 * meter_stop. `drain` is called, when the turn must be given up, to wait for everything in flight.
 * Returns 0, or -ECANCELED after meter_stop. */
int meter_enter(struct meter *meter, uint64_t estimate_ns, void (*drain)(void *arg), void *arg);
/* After a command ended: the device ran it from start_ns to end_ns (device clock). Overlapping
 * commands of one session are charged once. Any thread. */
void meter_charge(struct meter *meter, uint64_t start_ns, uint64_t end_ns, uint64_t estimate_ns);
/* Nothing more is waiting in the rings: let others take the turn as soon as nothing is in flight.
 */
void meter_rest(struct meter *meter);
void meter_stop(struct meter *meter);

/* leat-cardd: the session is gone; free its turn. */
void meter_reap(struct meter_device *device, uint32_t owner);

#endif
