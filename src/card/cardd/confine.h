/* The outer truth about a CPU card: control groups around its executors, below the group that
 * leat-cardd itself is in (version 1: memory and cpu; version 2: both in one). They catch what the
 * ledger and the meter cannot see: a driver or compiler that takes too much.
 *
 * Memory is a limit: the card's quota and an allowance for driver and compiler. Compute is neither
 * capped nor weighed by share, all cards' groups weigh the same: each has the device to itself in
 * its turn, and a kernel that got less of the processors then would only be charged for longer. The
 * exact share is the meter's work.
 *
 * Without writable control groups every call succeeds and does nothing. */
#ifndef LEAT_CARDD_CONFINE_H
#define LEAT_CARDD_CONFINE_H

#include <stdint.h>
#include <uv.h>

struct confine;
struct error;

/* What driver and compiler may take beside the quota. PoCL 3.1 with LLVM 15 was seen to take 130 to
 * 155 MiB per executor, the staging area of the session included (clinfo, CLBlast and the digits
 * trainer, cold cache); large programs take more. */
#define CONFINE_ALLOWANCE_BYTES (1024ull << 20) /* with one session or none */
#define CONFINE_SESSION_BYTES (256ull << 20)    /* for every session more at once */
/* As many are allowed for: a program that forks without end fills its own group. */
#define CONFINE_SESSIONS_MAX 16

/* What a card may take. */
struct confine_limits {
    uint64_t quota_bytes;
    unsigned sessions_most; /* at once, so far: memory limits never shrink under a program */
};

/* Find the groups, remove those that dead instances left, make one for this `instance`. NULL only
 * when memory runs out; without writable groups the reason is in `err` and confine_active is 0. */
struct confine *confine_create(const char *instance, struct error *err);
/* Remove the groups of this instance; those of its cards are empty. NULL is fine. */
void confine_destroy(struct confine *confine);
int confine_active(const struct confine *confine);

/* In a process forked later, which handles the cards on its loop; confine_close ends that. 0, or a
 * negative errno of libuv. */
int confine_start(struct confine *confine, uv_loop_t *loop);

/* Make the groups of a card, or take them over. On failure none is left. */
int confine_add(struct confine *confine, const char *card, const struct confine_limits *limits,
                struct error *err);
/* Something in `limits` has changed. */
int confine_update(struct confine *confine, const char *card, const struct confine_limits *limits,
                   struct error *err);
/* In the executor: move the calling process into the card's groups. 0 or -errno. */
int confine_enter(const struct confine *confine, const char *card);
/* How many processes of the card the kernel has killed for want of memory. */
uint64_t confine_kills(const struct confine *confine, const char *card);
/* The card's executors have ended: kill what they left and remove the groups, later if the kernel
 * still holds them. */
void confine_remove(struct confine *confine, const char *card);

/* Wait for the groups that the kernel still holds: `closed` is called on the loop when there are
 * none, or after CONFINE_LEAVE_MS at the latest. */
void confine_close(struct confine *confine, void (*closed)(void *arg), void *arg);
#define CONFINE_LEAVE_MS 2000

#endif
