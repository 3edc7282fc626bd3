/* Who may use how much, and who lends to whom: the book of a centre's tenants. Pure: no clock, no
 * I/O; the caller says what time it is. Not thread-safe.
 *
 * Amounts are thousandths of a device's compute; half a device is charged as 500, a whole one as
 * 1000. Tenants form a tree under the centre (the empty name), whose reservation is all there is. A
 * tenant's reservation is part of its parent's; what a parent does not hand down is the pool of its
 * whole family, and the centre's is open to everybody.
 *
 * A job is paid from its tenant's own reservation, then from the pools of its ancestors. What is
 * still missing is borrowed from others who do not use what they reserved: a loan. A tenant that
 * wants its share makes a claim. Nothing that is claimed is lent, and a claim calls loans in. Only
 * loans are ever called, and who comes in through a claim borrows nothing: each reclaim lowers what
 * is owed in all, so that reclaims cannot go on in a circle. */
#ifndef LEAT_SCHED_TENANT_H
#define LEAT_SCHED_TENANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/tenant.h"

struct error;
struct tenants;

#define TENANTS_MAX 1024
#define TENANT_DEPTH_MAX 8 /* levels under the centre */
#define TENANT_ANY_DEVICE UINT32_MAX

/* What a tenant has now. `used` and `history` count the whole family. */
struct tenant_view {
    const struct tenant *tenant; /* borrowed until the next change */
    uint64_t used_milli, borrowed_milli, lent_milli, claimed_milli;
    double history; /* device-seconds, fading with a half-life, over weight */
};

/* What is promised to a borrower, and so to an owner: see tenants_bound_us. */
struct tenant_terms {
    uint64_t minimum_us; /* a loan runs at least this long */
    uint64_t notice_us;  /* between the call and the stop */
    uint64_t grace_us;   /* that stopping may take */
    uint64_t half_life_us;
};

struct tenant_loan {
    uint64_t id;                   /* never used twice */
    uint64_t job;                  /* of the borrower */
    const char *lender, *borrower; /* borrowed until the next change */
    uint32_t milli;
    uint64_t since_us;
    uint64_t due_us; /* when its job stops; 0: not called */
};

enum tenant_loan_event { TENANT_LOAN_INVALID, TENANT_LOAN_MADE, TENANT_LOAN_RETURNED };
typedef void tenant_loan_fn(void *arg, const struct tenant_loan *loan,
                            enum tenant_loan_event event);

/* `on_loan` (may be NULL) hears of every loan. NULL: out
 * of memory. */
struct tenants *tenants_create(const struct tenant_terms *terms, tenant_loan_fn *on_loan,
                               void *arg);
void tenants_destroy(struct tenants *tenants);
/* All devices together: they came or went. What is in use stays in use. */
void tenants_capacity_set(struct tenants *tenants, uint32_t capacity_milli);
/* The most that an owner waits for what it reserved. */
uint64_t tenants_bound_us(const struct tenants *tenants);

/* Make or change one. -EINVAL: "bad-tenant", "unknown-parent", "tenant-circle"; -ENOSPC:
 * "reservation-exceeds" when the parent has not that much to hand down. */
int tenants_set(struct tenants *tenants, const struct tenant *tenant, struct error *err);
/* -ENOENT "unknown-tenant"; -EBUSY "tenant-in-use" while it has jobs or children. */
int tenants_remove(struct tenants *tenants, const char *name, struct error *err);
size_t tenants_count(const struct tenants *tenants);
/* By index, parents and children in no order; the centre is not among them. */
void tenants_view(const struct tenants *tenants, size_t index, uint64_t now_us,
                  struct tenant_view *ret_view);
/* The index of a name, or -ENOENT. */
int tenants_find(const struct tenants *tenants, const char *name);

/* A job as the book sees it. An unknown tenant counts as the centre. */
struct tenant_job {
    uint64_t id;
    const char *tenant; /* borrowed for the call; NULL: the centre */
    uint32_t milli;
    uint32_t device;
    bool idle, suspended;
    bool stops;       /* reclaiming stops it, instead of suspending its card */
    uint64_t lost_us; /* work that stopping it now would lose */
    /* As it was before a restart, so that a minimum run and a notice do not begin anew; 0: from
     * now, and not called. */
    uint64_t since_us, due_us;
};

enum tenant_verdict {
    TENANT_INVALID,
    TENANT_OWN,     /* what it reserved, or its family's pool, is free */
    TENANT_BORROWS, /* others lend */
    TENANT_CLAIMS,  /* it is entitled to what others have borrowed */
    TENANT_LIMITED, /* by a limit, its own or an ancestor's */
    TENANT_SHORT    /* nobody has anything to lend */
};

enum tenant_verdict tenants_ask(const struct tenants *tenants, const struct tenant_job *job);
/* The same once the jobs of these numbers have given up what they have. */
enum tenant_verdict tenants_ask_without(const struct tenants *tenants, const struct tenant_job *job,
                                        const uint64_t *without, size_t count);
/* May a job of higher priority take the place of `victim`? Within its own tenant it may; of another
 * one it may take what is borrowed whole, and nothing else. */
bool tenants_may_preempt(const struct tenants *tenants, const struct tenant_job *job,
                         const struct tenant_job *victim);
/* Pay for the job, whose claim (if any) ends. -EDQUOT unless the verdict is TENANT_OWN or
 * TENANT_BORROWS; -ENOMEM. */
int tenants_charge(struct tenants *tenants, const struct tenant_job *job, uint64_t now_us);
/* The job ended, fell idle or no longer waits: its payment, its loans and its claim end. Others'
 * loans are paid back from what that sets free. */
void tenants_release(struct tenants *tenants, uint64_t job, uint64_t now_us);
/* Tell what changed of a paid job: where it is, how cheap it is to stop. */
void tenants_note(struct tenants *tenants, const struct tenant_job *job);
/* Keep what comes free for this job. -EDQUOT unless the verdict is TENANT_CLAIMS. */
int tenants_claim(struct tenants *tenants, const struct tenant_job *job);

/* One job to stop, no earlier than `due_us`. */
struct tenant_call {
    uint64_t job;
    uint32_t milli; /* that it has in all */
    uint64_t due_us;
};

/* Which borrowers to stop for the claim of `job`: the cheapest (idle, suspended, not
 * stopped, least lost, newest) and no more than it takes. With a device, only those on it, and
 * `milli` of it must come free. Returns how many, at most `room`; 0 also when those would not be
 * enough or are called already. */
size_t tenants_plan(struct tenants *tenants, uint64_t job, uint32_t device, uint32_t milli,
                    uint64_t now_us, struct tenant_call *calls, size_t room);
/* Carry the plan's call out: from now on its loans count as coming back. */
void tenants_call(struct tenants *tenants, const struct tenant_call *call);

/* Is the stop still needed? When it no longer is, because enough came free otherwise, the call is
 * withdrawn and its job stays. To be asked when it is due. */
bool tenants_called(struct tenants *tenants, uint64_t job);

/* Who of two comes first among borrowers: by weight and faded history, at the level where their
 * families part. Negative: `a`; 0: none does. */
int tenants_order(const struct tenants *tenants, const char *a, const char *b, uint64_t now_us);

/* Visit each loan, the oldest first. */
void tenants_loans(const struct tenants *tenants,
                   void (*visit)(void *arg, const struct tenant_loan *loan), void *arg);
uint64_t tenants_debt(const struct tenants *tenants);    /* all that is lent, in thousandths */
uint64_t tenants_claimed(const struct tenants *tenants); /* all that is kept, in thousandths */
/* Do the sums agree with the entries? For tests and assertions. */
bool tenants_consistent(const struct tenants *tenants);

#endif
