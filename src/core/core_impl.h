/* What the files of core share: the live state of a centre. One file owns each part of it; the
 * functions below are what the others may ask of it. Loop thread only. */
#ifndef LEAT_CORE_CORE_IMPL_H
#define LEAT_CORE_CORE_IMPL_H

#include <limits.h>
#include <uv.h>

#include "base/list.h"
#include "core/core.h"
#include "core/idle.h"
#include "core/notice.h"
#include "core/place.h"
#include "core/preempt.h"
#include "core/repack.h"
#include "engine/engine.h"
#include "model/device.h"
#include "model/job.h"
#include "sched/fragment.h"
#include "sched/sched.h"
#include "store/store.h"

struct cards;
struct commit_unit;
struct error;
struct map;
struct template_set;
struct tenants;

#define CORE_QUEUE_MAX 100000       /* queued jobs; beyond it requests are refused */
#define CORE_PLACE_WINDOW 256       /* waiting jobs looked at in one decision */
#define CORE_SEARCH_EVERY_MS 200    /* between two exact searches */
#define CORE_RECENT_MAX 1024        /* placed jobs from which the usual ones are learnt */
#define CORE_RECENT_MIN 32          /* before those, a guess is better; also how often to learn */
#define CORE_RECENT_COVER 0.95      /* part of the recent ones that is usual */
#define CORE_CPU_OVERCOMMIT 8       /* limits of CPU are ceilings, not reservations */
#define CORE_CARDS_PATIENCE_MS 3000 /* after a start, before ends are told without last figures */
#define CORE_STARTS_MAX 3           /* of one job, when the machine and not the job is to blame */

/* A job that lives, or whose container or card is not yet cleared away. */
struct live_job {
    struct list link;   /* core.jobs, in order of submission */
    struct list queued; /* core.queue while queued and durable, by rank */
    struct list placed; /* core.placed while it has a device */
    struct list waking; /* core.waking while it is idle and a command of it waits */
    struct list mates;  /* ring of the members of its gang that are queued */
    struct job job;
    bool durable;            /* its first commit has come through */
    bool has_container;      /* the engine may know it */
    bool has_card;           /* leat-cardd may know it */
    bool runtime_refused;    /* by its card: see card_usage */
    bool released;           /* its share is free for others */
    bool away;               /* its card is suspended: its memory is free for others, too */
    bool sharing;            /* a request about its share or its device is under way */
    bool ending;             /* its end was seen; nothing more to decide */
    bool card_seen;          /* by the reconciliation under way */
    bool unread;             /* it ended; its card's figures are read when leat-cardd answers */
    bool clearing;           /* its end is durable; container and card are being removed */
    bool paid;               /* its tenant's account is charged with its share */
    bool claims;             /* what comes free is kept for it */
    enum idle_why taking;    /* by the card.set_share under way */
    bool preempts;           /* others have been told to give way to it */
    bool stays;              /* its card cannot leave its device */
    uint64_t idle_before_ms; /* in earlier times of being idle */
    struct sched_finding finding; /* of the last decision about it; start_us 0: there was none */
    size_t nearest;               /* the device that the finding names, or SIZE_MAX */
    uint64_t pass;                /* the last placement that looked at it */
    bool told;                    /* its reason says what was found */
};

struct grant {
    uint64_t memory_bytes;
    uint32_t share_permille;
};

/* Counters of /metrics. */
struct core_counters {
    uint64_t submits, refusals, commits, commit_failures, decisions, placements;
    uint64_t idle_releases, preemptions, wakes, card_reconnects, starts_failed;
    uint64_t ended[JOB_STATE_COUNT];
    uint64_t decision_ns;
};

struct core {
    uv_loop_t *loop;
    char run_dir[PATH_MAX], state_dir[PATH_MAX], data_dir[PATH_MAX], cardd_path[PATH_MAX];
    char card_library[PATH_MAX]; /* empty: none found */
    uint32_t poll_ms;
    uint64_t started_us;
    struct store *store;
    struct engine *engine;
    bool engine_known;    /* its containers are reconciled with the store */
    uint64_t cards_by_ms; /* until then, on the loop's clock, leat-cardd is waited for */
    bool polling;         /* a card.list is under way */
    bool cards_known;     /* the cards of this connection are reconciled too: jobs may be placed */
    void (*known)(void *arg); /* called once when both are; NULL: nobody waits */
    void *known_arg;
    struct template_set *templates;
    struct profiles *profiles; /* estimate.c; NULL: none was read */
    struct map *models;        /* models.c: struct model, by name; owned */

    struct map *jobs_by_id; /* struct live_job, by decimal id */
    struct list jobs, queue, placed, waking;
    struct map *gangs; /* by tenant and gang: a queued member */
    uint64_t pass;     /* number of the placement under way */
    size_t queue_count, placed_count;
    size_t state_counts[JOB_STATE_COUNT]; /* of the live jobs */
    uint64_t next_job, next_event, next_lesson;

    struct preemption preemption;
    struct repacking repacking;
    struct tenants *tenants;  /* quota.c */
    bool counted, recounting; /* its capacity is known, is being counted for the first time */
    struct cards *cards;      /* connection to leat-cardd */
    struct cuda_listing *cuda_listing; /* cuda_list.c */
    struct device *devices;
    struct device_rule *rules; /* devices.c */
    size_t device_count, rule_count;
    struct grant *foreign; /* per device: cards that are not of this centre's jobs */
    struct sched_node node;
    struct sched_decision decisions[CORE_PLACE_WINDOW];
    uint64_t search_after_ms; /* on the loop's clock */
    struct fleet_shape recent[CORE_RECENT_MAX];
    size_t recent_count; /* ever */
    struct fragment_usual usual;

    uv_timer_t place_timer, commit_timer, poll_timer, wait_timer;
    unsigned open_handles;
    bool started, stopping;
    void (*stopped)(void *arg);
    void *stopped_arg;

    struct commit_unit *collecting, *committing; /* commit.c */
    uv_work_t commit_work;
    bool commit_failed;         /* the last one */
    struct list reads, reading; /* reads.c */
    uv_work_t read_work;
    bool read_busy;
    struct list lessons;       /* teach.c: those that wait for the round under way */
    bool teaching;             /* there is one */
    struct list submits;       /* submit.c: requests whose history is being read */
    struct list subscriptions; /* events.c */
    struct list waits;         /* wait.c */
    struct list logs;          /* log.c */
    struct core_counters counters;
};

/* -- core.c -- */
void core_handle_open(struct core *core); /* count a handle that core_stop must wait for */
void core_handle_closed(struct core *core);
void core_stop_step(struct core *core); /* something ended that core_stop may wait for */
struct live_job *core_find(const struct core *core, uint64_t id); /* NULL: not live */
/* By the text of REST. NULL: not live or no number. */
struct live_job *core_find_text(const struct core *core, const char *id);
struct live_job *core_adopt(struct core *core, struct job *job); /* takes it; NULL: no memory */
void core_forget(struct core *core, struct live_job *live);
/* `value` may be NULL for lack of memory; the reference is handed on. */
void core_reply_value(core_reply_fn *reply, void *arg, struct json_t *value);

/* -- commit.c: group commit and publication -- */
int commit_open(struct core *core);
void commit_close(struct core *core);
struct store_batch *commit_batch(struct core *core);
/* Events get their number here. `data` is borrowed. */
struct store_event commit_event(struct core *core, const char *kind, uint64_t job);
/* Write the job with the event, publish it when durable. Failing for lack of memory is logged. */
void commit_job(struct core *core, struct live_job *live, const struct store_event *event);
void commit_note(struct core *core, const struct store_event *event); /* of no job's record */
/* Call `done` when everything put so far is durable, or with err when its commit failed. */
typedef void commit_done_fn(struct core *core, void *arg, const struct error *err);
int commit_then(struct core *core, commit_done_fn *done, void *arg);
/* Reply when everything put so far is durable, and let waiting jobs see what has changed. `value`
 * (NULL: no content) is taken over. */
void commit_reply(struct core *core, struct json_t *value, core_reply_fn *reply, void *arg);
/* Nothing of this job shall be written: its request is being refused. */
void commit_drop_job(struct core *core, uint64_t job);
/* Nothing is left to write, or it cannot be written now. */
bool commit_idle(const struct core *core);

/* -- reads.c: store reads on the pool, one at a time -- */
struct read_request {
    struct list link;
    void (*work)(struct store *store, struct read_request *request); /* on a pool thread */
    void (*done)(struct core *core, struct read_request *request);   /* on the loop; owns request */
};
void reads_add(struct core *core, struct read_request *request);
/* The start is over, during which the loop reads itself: go on with what was added. */
void reads_begin(struct core *core);

/* -- life.c: what happens to a job -- */
struct life_reason {
    const char *kind; /* of the event */
    const char *code, *text;
    struct json_t *data; /* of the event; a reference that is taken; may be NULL */
};
/* Every change of state goes through here: record, journal and reason in one. */
void life_move(struct core *core, struct live_job *live, enum job_state to,
               const struct life_reason *reason);
/* The job's move to `to` is durable: do what had to wait for that. */
void life_committed(struct core *core, uint64_t job, enum job_state to);
/* Make its card and its container on `device`. */
void life_place(struct core *core, struct live_job *live, const char *device);
/* Its program runs. */
void life_started(struct core *core, struct live_job *live);
/* Its program has ended. */
void life_exited(struct core *core, struct live_job *live, const struct engine_exit *exit);
/* The last figures of an ended job's card, then its end. */
void life_read_usage(struct core *core, struct live_job *live);
/* It cannot go on: the end that no exit status tells. */
void life_fail(struct core *core, struct live_job *live, const char *code, const char *text);
void life_restart(struct core *core, struct live_job *live); /* it is cleared away */
/* Once that is durable, clear it away and then queue it again. */
void life_again(struct core *core, struct live_job *live);
/* Not its fault: back to the queue. */
void life_requeue(struct core *core, struct live_job *live, const char *code, const char *text);
void life_stop(struct core *core, struct live_job *live, uint64_t grace_ms);
void life_on_exit(void *context, const char *id, const struct engine_exit *exit);
struct json_t *life_card_params(const struct live_job *live); /* card.create's; NULL: memory */

/* -- cards.c: leat-cardd's control protocol -- */
typedef void cards_reply_fn(struct core *core, uint64_t job, struct json_t *result,
                            const struct error *err);
int cards_open(struct core *core);
void cards_close(struct core *core);
void cards_destroy(struct core *core);
bool cards_connected(const struct core *core);
/* Ask; `params` (a reference that is taken; may be NULL) becomes the request. The reply comes
 * later, with an error when the connection breaks first. -ENOTCONN: no reply will come. `result` is
 * borrowed. */
int cards_ask(struct core *core, const char *op, struct json_t *params, cards_reply_fn *reply,
              uint64_t job);
const char *cards_instance(const struct core *core); /* "" when never connected */

/* -- reconcile.c -- */
/* Read the live jobs, then ask the engine which containers there are. */
int reconcile_begin(struct core *core, struct error *err);
void reconcile_again(uv_timer_t *timer);
void devices_free(struct core *core);
/* Go on with ended jobs that waited for leat-cardd. */
void reconcile_unread(struct core *core);
/* Remove folders of jobs that are no longer known. */
void reconcile_folders(struct core *core);
/* leat-cardd answers (again): learn its devices, put its cards right. */
void reconcile_card_daemon(struct core *core);

/* -- events.c, log.c -- */
void events_publish(struct core *core, uint64_t seq, const struct json_t *event);
void log_job_changed(struct core *core, uint64_t job); /* it started, or ended durably */

#endif
