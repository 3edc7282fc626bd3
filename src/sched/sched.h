/* Where each waiting job goes, and why the others wait: a pure function of devices, nodes, queue
 * and time. The daemon, `leat explain`, simulations and benchmarks call the same function. Nothing
 * here allocates, asks the clock or keeps state; texts are borrowed from the caller.
 *
 * Placement is the 0/1 problem: a card sits on exactly one device; on each device granted + placed
 * stays within its memory and its compute; on each node within its CPU and its RAM. */
#ifndef LEAT_SCHED_SCHED_H
#define LEAT_SCHED_SCHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCHED_CODE_MAX 40
#define SCHED_TEXT_MAX 256

/* Devices are pooled by what they are for and by who made them. */
enum sched_scenario { SCHED_ANY, SCHED_TRAINING, SCHED_INFERENCE };

enum sched_scenario sched_scenario_parse(const char *job_type);

struct sched_node {
    const char *id;
    uint32_t cpus_milli, cpus_free_milli;
    uint64_t ram_bytes, ram_free_bytes;
};

struct sched_device {
    const char *id, *vendor, *kind;
    enum sched_scenario scenario; /* SCHED_ANY takes every job */
    size_t node;                  /* index into the nodes */
    uint64_t memory_bytes, memory_free_bytes;
    uint32_t share_permille, share_free_permille; /* of its compute; whole is 1000 */
    uint32_t weight_permille;                     /* of the objective; 0 counts as 1000 */
};

struct sched_job {
    uint64_t id; /* also the order of submission */
    uint32_t priority;
    enum sched_scenario scenario;
    const char *device, *vendor; /* NULL: any */
    uint64_t memory_bytes;
    uint32_t share_permille;
    uint32_t cpus_milli;
    uint64_t ram_bytes;
    uint64_t waiting_since_us;
    uint32_t turn; /* of equals in priority the lower goes first */
};

/* What a job's tenant may have; see tenant.h. */
enum sched_permit {
    SCHED_PERMIT_INVALID,
    SCHED_PERMITTED,
    SCHED_LIMITED, /* by its tenant's limit */
    SCHED_CALLED,  /* what its tenant reserved is lent, and called in */
    SCHED_KEPT     /* what is free is kept for other tenants */
};

/* Asked for each job in the order of the queue, and told when one is placed. */
struct sched_gate {
    enum sched_permit (*ask)(void *arg, const struct sched_job *job);
    void (*take)(void *arg, const struct sched_job *job);
    void *arg;
};

/* What a placement is decided from. Arrays belong to the caller; sched_decide works on its scratch
 * copy of the free amounts and sorts `jobs` by priority, turn, then submission. */
struct sched_state {
    struct sched_node *nodes;
    size_t node_count;
    struct sched_device *devices;
    size_t device_count;
    struct sched_job *jobs;
    size_t job_count;
    const struct sched_gate *gate; /* NULL: everything is permitted */
};

/* Amounts of one kind of each resource; 0 where it plays no part. */
struct sched_amounts {
    uint64_t memory_bytes, ram_bytes;
    uint32_t share_permille, cpus_milli;
};

/* Why a job waits or sits where it sits: the same struct for refusals, `leat explain` and the log.
 */
struct sched_reason {
    char code[SCHED_CODE_MAX]; /* "placed", "memory-busy", "exceeds-device", ... */
    char text[SCHED_TEXT_MAX];
    char unblocks[SCHED_TEXT_MAX]; /* what would let it start; empty when it is placed */
    struct sched_amounts asked, available;
    bool never; /* no release can help: a request to refuse */
};

enum sched_verdict { SCHED_VERDICT_INVALID, SCHED_PLACE, SCHED_WAIT };

struct sched_decision {
    uint64_t job;
    enum sched_verdict verdict;
    size_t device; /* with SCHED_PLACE */
    struct sched_reason reason;
};

/* How to choose among the devices that can take a job. Larger scores win, the first of equals
 * stays. */
struct sched_policy {
    const char *name;
    int64_t (*score)(const struct sched_device *device, const struct sched_job *job);
    uint64_t
        hold_after_us; /* a job that waits longer keeps later ones off the devices it could use */
};

extern const struct sched_policy
    sched_policies[]; /* ended by a NULL name; the first is the default */
const struct sched_policy *sched_policy_find(const char *name); /* NULL when unknown */

/* Decide for the whole queue. The free amounts in `state` are lowered by what is placed.
 * `decisions` has room for job_count and comes back in the order of the (now sorted) jobs. Returns
 * how many are placed. */
size_t sched_decide(const struct sched_policy *policy, struct sched_state *state, uint64_t now_us,
                    struct sched_decision *decisions);
/* Why is this one job where it is, given the state without its placement? Also the admission check:
 * `ret_reason->never` is set when even an empty machine could not take it. */
void sched_explain(const struct sched_state *state, const struct sched_job *job,
                   struct sched_reason *ret_reason);

/* The idle rule: is this running job's share to be set free? */
struct sched_activity {
    uint64_t idle_ms;       /* since the last use of the device; 0 while a command is in flight */
    uint64_t age_ms;        /* of the card */
    uint64_t idle_after_ms; /* 0: never */
    bool used;              /* the card did at least one command */
    bool wanted;            /* a command waits for share */
};

bool sched_is_idle(const struct sched_activity *activity);

/* The wake rule: `share_permille` is wanted back on a device with `free_permille`; `ahead` jobs
 * woke earlier and still wait. What was lent is never taken by force: who lent it waits its turn,
 * ahead of every new start on that device. */
bool sched_may_wake(uint32_t share_permille, uint32_t free_permille, size_t ahead);

#endif
