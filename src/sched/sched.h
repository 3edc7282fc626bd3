/* Where each waiting job goes, and why the others wait: devices, nodes and jobs by their names in
 * front of the plan (plan.h), with reasons in words. The daemon, its admission check and `leat
 * explain` call the same functions. No clock and no state; texts are borrowed from the caller.
 *
 * Placement is the 0/1 problem: a card sits on exactly one device; on each device granted + placed
 * stays within its memory and its compute; on each node within its CPU and its RAM. */
#ifndef LEAT_SCHED_SCHED_H
#define LEAT_SCHED_SCHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sched/fleet.h"

struct choose_rule;
struct fragment_usual;

#define SCHED_CODE_MAX 40
#define SCHED_TEXT_MAX 256
#define SCHED_DEVICES_MAX FLEET_MODELS_MAX /* of a state; FLEET_NODE_DEVICES_MAX of one node */
#define SCHED_MOVES_MAX 8                  /* of cards, for one job */
/* Ten minutes of waiting outrank a better packing. */
#define SCHED_HOLD_AFTER_US (10ull * 60 * 1000000)
#define SCHED_FAR UINT64_MAX /* a time that nobody knows */

/* Devices are pooled by what they are for and by who made them. */
enum sched_scenario { SCHED_ANY, SCHED_TRAINING, SCHED_INFERENCE };

enum sched_scenario sched_scenario_parse(const char *job_type);

struct sched_node {
    const char *id;
    uint32_t cpus_milli, cpus_free_milli;
    uint64_t ram_bytes, ram_free_bytes;
};

struct sched_device {
    const char *id, *name, *vendor, *kind;
    uint32_t weight; /* cost of having it, against the others': the cheapest goes first */
    enum sched_scenario scenario; /* SCHED_ANY takes every job */
    bool unhealthy;               /* takes no new jobs until it is mended */
    bool cuda;                    /* for CUDA programs, and for no others */
    size_t node;                  /* index into the nodes */
    uint64_t memory_bytes, memory_free_bytes;
    uint32_t share_permille, share_free_permille; /* of its compute; whole is 1000 */
};

struct sched_job {
    uint64_t id; /* also the order of submission */
    uint32_t priority;
    enum sched_scenario scenario;
    bool cuda;
    const char *device; /* NULL: any */
    /* Words of which the device's vendor, and its name, must have one; those behind a comma only
     * when those before it have no room: "nvidia|amd,intel". NULL: any. */
    const char *vendor, *model;
    uint64_t memory_bytes;
    uint32_t share_permille;
    uint32_t cpus_milli;
    uint64_t ram_bytes;
    uint64_t waiting_since_us;
    uint64_t length_us; /* expected; SCHED_FAR: not known */
    uint32_t turn;      /* of equals in priority the lower goes first */
    uint32_t gang;      /* jobs with the same number start together; 0: alone */
};

/* What a job's tenant may have; see tenant.h. */
enum sched_permit {
    SCHED_PERMIT_INVALID,
    SCHED_PERMITTED,
    SCHED_LIMITED, /* by its tenant's limit */
    SCHED_CALLED,  /* what its tenant reserved is lent, and called in */
    SCHED_KEPT     /* what is free is kept for other tenants */
};

/* Asked for each job (or gang, which stands in a row) in the order of the queue, and told when it
 * is placed. */
struct sched_gate {
    enum sched_permit (*ask)(void *arg, const struct sched_job *jobs, size_t count);
    void (*take)(void *arg, const struct sched_job *jobs, size_t count);
    void *arg;
};

/* A job that has a device: what it holds and when it is expected to end. */
struct sched_running {
    uint64_t job;
    size_t device;
    uint64_t memory_bytes, ram_bytes;
    uint32_t share_permille, cpus_milli;
    uint64_t ends_us; /* SCHED_FAR: not known */
};

/* What a placement is decided from. Arrays belong to the caller; sched_decide lowers the free
 * amounts by what it places, and sorts `jobs` by priority, turn, then submission, the members of a
 * gang behind its first. */
struct sched_state {
    struct sched_node *nodes;
    size_t node_count;
    struct sched_device *devices;
    size_t device_count;
    const struct sched_running *running; /* oldest first; what is in use by others is worked out */
    size_t running_count;
    struct sched_job *jobs;
    size_t job_count;
    const struct sched_gate *gate;      /* NULL: everything is permitted */
    const struct fragment_usual *usual; /* the tasks that usually come; NULL: a guess */
    bool search;                        /* see plan.h */
};

/* Amounts of one kind of each resource; 0 where it plays no part. */
struct sched_amounts {
    uint64_t memory_bytes, ram_bytes;
    uint32_t share_permille, cpus_milli;
};

/* What keeps a job off a device, the gravest first. Those up to SCHED_WHY_NEVER_LAST stay whatever
 * is released; those up to SCHED_WHY_BARRED_LAST until the site's devices or rules change. */
enum sched_why {
    SCHED_WHY_NO_DEVICE,    /* there is none at all */
    SCHED_WHY_OTHER_DEVICE, /* it asked for another one */
    SCHED_WHY_MEMORY_NEVER,
    SCHED_WHY_SHARE_NEVER,
    SCHED_WHY_CPUS_NEVER,
    SCHED_WHY_RAM_NEVER,
    SCHED_WHY_NEVER_LAST = SCHED_WHY_RAM_NEVER,
    SCHED_WHY_OTHER_INTERFACE,
    SCHED_WHY_OTHER_VENDOR,
    SCHED_WHY_OTHER_MODEL,
    SCHED_WHY_OTHER_SCENARIO,
    SCHED_WHY_UNHEALTHY,
    SCHED_WHY_BARRED_LAST = SCHED_WHY_UNHEALTHY,
    SCHED_WHY_LIMIT,    /* of its tenant */
    SCHED_WHY_CALLED,   /* its tenant's share is lent, and called in */
    SCHED_WHY_KEPT,     /* what is free is kept for other tenants */
    SCHED_WHY_GANG,     /* another member of its gang has no room */
    SCHED_WHY_MEMBERS,  /* members of its gang have not come yet */
    SCHED_WHY_IMAGE,    /* its image is not ready */
    SCHED_WHY_PREEMPTS, /* others have been told to give way to it */
    SCHED_WHY_PRIORITY, /* kept free for a job of higher priority */
    SCHED_WHY_HELD,     /* kept free for a job that waits longer */
    SCHED_WHY_RAM,
    SCHED_WHY_CPUS,
    SCHED_WHY_MEMORY,
    SCHED_WHY_FULL, /* all compute is granted */
    SCHED_WHY_SHARE,
    SCHED_WHY_NONE,
    SCHED_WHY_COUNT
};

enum sched_step { SCHED_BY_NONE, SCHED_BY_SCORE, SCHED_BY_SEARCH, SCHED_BY_BACKFILL };

/* What was found out about a job: small, so that it can be kept for each of very many. */
struct sched_finding {
    enum sched_why why;
    enum sched_step step;           /* how a placed job came to its place */
    uint64_t other;                 /* the job that it stands behind, or the member it waits for */
    uint64_t start_us;              /* expected, when a place is kept for it; else SCHED_FAR */
    struct sched_amounts available; /* on the device that comes nearest */
};

struct sched_decision {
    uint64_t job;
    bool placed;
    size_t device; /* of a placed job; else the one that comes nearest, or SIZE_MAX */
    struct sched_finding finding;
};

/* Decide for the whole queue. `decisions` has room for job_count and comes back in the order of the
 * (now sorted) jobs. Returns how many are placed, -ENOMEM, or -E2BIG for too many devices. */
int sched_decide(const struct choose_rule *rule, struct sched_state *state, uint64_t now_us,
                 struct sched_decision *decisions);
/* When this job of the queue would start if all before it started in order: an upper estimate;
 * SCHED_FAR: not known. The gate is not asked. Returns 0 or as sched_decide. */
int sched_forecast(const struct choose_rule *rule, struct sched_state *state, uint64_t job,
                   uint64_t now_us, uint64_t *ret_start_us);
const char *sched_step_name(enum sched_step step); /* "score", "search", "backfill" */

/* Every device as it looks to a job. */
struct sched_candidate {
    size_t device;
    enum sched_why why;  /* SCHED_WHY_NONE: it could go there */
    int score;           /* by the rule; -1 when it could not */
    uint32_t preference; /* 0: tried first, by the job's own order and the devices' weights */
};

/* `candidates` has room for each device, in their order. Returns 0 or as sched_decide. */
int sched_candidates(const struct choose_rule *rule, const struct sched_state *state,
                     const struct sched_job *job, struct sched_candidate *candidates);

/* A running job that may change its device, as it would ask for one now. */
struct sched_movable {
    size_t running; /* of the state */
    struct sched_job job;
    uint64_t devices; /* bit per device of the state: where its card can go */
};

struct sched_move {
    size_t movable, device;
};

/* The one of `movables` that is to move so that `job` finds room, and where to. Returns 1, 0 when
 * no single move helps, or as sched_decide. */
int sched_repack(const struct choose_rule *rule, const struct sched_state *state,
                 const struct sched_job *job, const struct sched_movable *movables, size_t count,
                 struct sched_move *ret_move);
/* The same for several that move at once, and may change places. Returns how many. */
int sched_exchange(const struct choose_rule *rule, const struct sched_state *state,
                   const struct sched_job *job, const struct sched_movable *movables, size_t count,
                   struct sched_move moves[SCHED_MOVES_MAX]);

/* Why a job waits or sits where it sits: the codes of refusals, `leat explain` and the log. */
struct sched_reason {
    char code[SCHED_CODE_MAX]; /* "placed", "memory-busy", "memory-exceeds-device", ... */
    char text[SCHED_TEXT_MAX];
    const char *unblocks; /* what would let it start; empty when it is placed */
    const char *resource; /* that is short: "memory", "compute", "cpus", "ram"; else "" */
    struct sched_amounts asked, available;
    bool never; /* no release can help: a request to refuse */
};

/* Put a finding into words; `device` is the id of the device that it names, or NULL. */
void sched_reason_fill(const struct sched_job *job, const struct sched_finding *finding,
                       const char *device, struct sched_reason *ret_reason);
const char *sched_why_code(enum sched_why why);
/* What keeps this one job off the devices as they are, whatever the queue: the admission check.
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
