/* True share of compute: measured device time charged to a credit bucket per card, and one turn per
 * device, so that what is measured is device time and not time spent waiting for a neighbour.
 *
 * Credit: a card gains share_permille/1000 ns per ns of wall time, up to METER_BURST_NS while it is
 * idle, and loses what its commands took on the device. A command is handed over only while the
 * credit, and METER_RESUME_NS on top, cover what is in flight already. Turn: cards of one device
 * take turns of about METER_QUANTUM_NS when more than one wants the device, the one first that had
 * least for its share; a holder with nothing in flight can be relieved of it at once, so a lone
 * card never pays for it, and leat-cardd frees the turn of a killed executor.
 *
 * Burst: a card that is allowed to goes on without credit while nobody with credit wants the
 * device, at most METER_QUANTUM_NS of work at a time, and owes nothing for it. Priority: of those
 * with credit, and of those without, who has the higher one gets the turn, at the end of a command.
 * It changes when a card gets its share, not how much: credit is what it was. */
#ifndef LEAT_CARD_METER_H
#define LEAT_CARD_METER_H

#include <stdint.h>

struct ledger_card;

#define METER_BURST_NS 20000000ll /* credit an idle card may save up */
/* A card that waits for others may save up what it gains in so long. */
#define METER_BACKLOG_NS 400000000ll
/* A card may get into debt by this much, and then waits for as much: one wake-up, many commands. */
#define METER_RESUME_NS 1000000ll
/* Estimated work in the driver, so that it can be called off. */
#define METER_IN_FLIGHT_NS 20000000ull
/* Longest pause that counts as dispatch; PoCL compiles in longer ones. */
#define METER_GAP_NS 500000ull
#define METER_UNKNOWN_NS 10000000ull /* estimate for a kernel that never ran */
/* A turn, when others wait: 30 times what it costs to pass it on. */
#define METER_QUANTUM_NS 4000000ull
/* A turn in which nothing ends for so long is taken over: a hung kernel of one card must not stop
 * the others. */
#define METER_PATIENCE_NS 2000000000ull
#define METER_GRACE_NS 500000ull   /* for who was called to take the turn, then it is everybody's */
#define METER_LAG_NS 50000000ull   /* virtual time that a card may be behind the others ... */
#define METER_LEAD_NS 200000000ull /* ... and ahead of them */
#define METER_PRIORITY_MAX 9       /* goes before 0 */

/* One that asks for the turn. */
struct meter_wish {
    _Alignas(64) uint32_t owner; /* 0: free */
    uint32_t called;             /* futex */
    uint32_t class;              /* and virtual time: see struct turn_rank */
    uint64_t virtual_ns;
};
#define METER_WISHES 32

/* Shared by all executors of one device; a zeroed page is a free device. */
struct meter_device {
    _Alignas(64) uint32_t turn; /* 0 free, else owner and marks: see turn.c */
    uint64_t turn_since_ns, free_since_ns;
    uint64_t life_ns;              /* when a command last ended */
    uint64_t virtual_ns;           /* of who had the turn last */
    _Alignas(64) uint64_t busy_ns; /* device time of all cards */
    struct meter_wish wishes[METER_WISHES];
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
 * `estimate_ns` is what the command will probably take, METER_UNKNOWN_NS for a kernel that never
 * ran; 0: the command may depend on the client's user events, so nothing in flight is waited for.
 * `flush` is called before a wait for what is in flight, to hand all of it to the device. One
 * thread a meter. Returns 0, -ECANCELED after meter_stop, or -EINTR after meter_call_off. */
int meter_enter(struct meter *meter, uint64_t estimate_ns, void (*flush)(void *arg), void *arg);
/* From any thread: the meter_enter that waits, or else the next one, returns -EINTR. */
void meter_call_off(struct meter *meter);
/* Make leat-cardd see that this session waits for a share that was released. */
void meter_want_share(struct meter *meter);
/* The session goes on on another device; nothing is in flight. */
void meter_move(struct meter *meter, struct meter_device *device);
/* When a command was handed over and when the device ran it (device clock; all equal when it did
 * not). */
struct meter_span {
    uint64_t queued_ns, start_ns, end_ns;
    uint64_t commands; /* how many it stands for; 0 counts as 1 */
    uint64_t aside_ns; /* charged on top, for work that the device's clock does not show */
};

/* The command ended. `estimate_ns` is the one given to meter_enter. Overlapping commands of one
 * session are charged once. They should be told in the order in which they ended; of what is told
 * after a later one, the part that lies in the pause before that is charged.
 * A command that was handed over before the last one ended is charged for the device's own pause
 * between the two as well, up to METER_GAP_NS: nobody else could use it, and many short commands
 * keep the device as busy as a few long ones. Returns what was charged, in ns. Any thread. */
uint64_t meter_charge(struct meter *meter, const struct meter_span *span, uint64_t estimate_ns);
/* Around work for the card that is no device command, as the build of a program: the card counts as
 * used meanwhile; nothing is charged. Any thread. */
void meter_work_begin(struct meter *meter);
void meter_work_end(struct meter *meter);
/* Let meter_enter return -ECANCELED, now and ever after. Any thread. */
void meter_stop(struct meter *meter);

/* leat-cardd: the session is gone; free its turn. */
void meter_reap(struct meter_device *device, uint32_t owner);

#endif
