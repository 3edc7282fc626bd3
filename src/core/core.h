/* The control plane of one centre: takes requests, owns the life of every job, and joins store,
 * scheduler, engine and cards. No HTTP here.
 *
 * Everything runs on the one uv loop given at core_create; no call is thread-safe, none blocks.
 * Results are JSON values exactly as the REST interface shows them: a reply owns the reference it
 * gets. Job ids are decimal texts in JSON. A reply may come before the call that asked for it
 * returns. */
#ifndef LEAT_CORE_CORE_H
#define LEAT_CORE_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct core;
struct core_log;
struct core_subscription;
struct engine_fake_world;
struct error;
struct json_t;
struct uv_loop_s;

struct core_options {
    struct uv_loop_s *loop;                     /* borrowed until core_destroy */
    const char *run_dir, *state_dir, *data_dir; /* absolute; made when missing (data_dir is not) */
    const char *cardd_path;  /* leat-cardd to start when none answers; NULL: start none */
    const char *engine_name; /* "local" or "fake"; NULL: "local" */
    struct engine_fake_world *fake_world; /* of the fake engine; NULL: one of its own */
    uint32_t idle_poll_ms;                /* how often cards are asked for their usage; 0: 500 */
    uint64_t loan_minimum_ms;             /* that a borrower of compute may run; 0: a minute */
    uint64_t loan_notice_ms; /* before borrowed compute is taken back; 0: half a minute */
    bool no_preemption;      /* no job gives way to one of higher priority; the times above hold */
    uint32_t moves_per_hour; /* of cards to other devices, to let a waiting job in */
};

/* Opens the store and the engine. All strings are copied. */
int core_create(const struct core_options *options, struct core **ret_core, struct error *err);
/* Reconcile the stored jobs with containers and cards, then begin to place and start. Requests are
 * taken from now on. */
int core_start(struct core *core, struct error *err);
/* Read templates and the image map again. On failure those that were read before stay. */
int core_reload(struct core *core, struct error *err);
/* Call `known` once, when containers and cards are known for the first time after core_start: from
 * then on jobs are placed and devices can be listed. */
void core_on_known(struct core *core, void (*known)(void *arg), void *arg);
/* Leave jobs, containers and cards running; write what is unwritten; close all handles. `stopped`
 * comes on the loop when core_destroy may follow; by then every open reply has been given
 * (-ECANCELED). */
void core_stop(struct core *core, void (*stopped)(void *arg), void *arg);
void core_destroy(struct core *core); /* accepts NULL, and a core that was never started */

/* Exactly one of `result` (a new reference for the callee) and `err` (borrowed) is set; both are
 * NULL when there is success without content. The errno of err maps to HTTP: -EINVAL 400, -ENOENT
 * 404, -EBUSY and -EEXIST 409, -EFBIG 413, -ENOSPC and -EDQUOT 422, -EAGAIN and -EIO 503. */
typedef void core_reply_fn(void *arg, struct json_t *result, const struct error *err);

/* Take a job. `request` is the REST body (borrowed). The reply is JOB, given when the job is
 * durable. With the `key` of an earlier request (may be NULL) the same job is given again; -EEXIST
 * "idempotency-conflict" when the request differs. */
void core_job_submit(struct core *core, const struct json_t *request, const char *key,
                     core_reply_fn *reply, void *arg);
/* What would be done: {"description":{...},"yaml":"..."}. */
void core_job_describe(struct core *core, const struct json_t *request, core_reply_fn *reply,
                       void *arg);
void core_job_get(struct core *core, const char *id, core_reply_fn *reply, void *arg); /* JOB */

struct core_job_filter {
    const char *states; /* "queued,running"; NULL: all */
    const char *cursor; /* of the page before; NULL: the newest */
    uint32_t limit;     /* 0: 100; at most 500 */
};
/* {"jobs":[JOB...],"next_cursor":text|null}, newest first. */
void core_job_list(struct core *core, const struct core_job_filter *filter, core_reply_fn *reply,
                   void *arg);
/* JOB when it has ended, or as it is after `timeout_ms`. The reply always comes. */
void core_job_wait(struct core *core, const char *id, uint64_t timeout_ms, core_reply_fn *reply,
                   void *arg);
/* Ask it to end. `options` is the REST body: NULL or {"grace":"10s"}. JOB as it is now. */
void core_job_stop(struct core *core, const char *id, const struct json_t *options,
                   core_reply_fn *reply, void *arg);
/* Its state is saved: work is lost from here on only, and its card may be taken at once when it was
 * told that it will be. -EBUSY "job-not-running". No content. */
void core_job_checkpointed(struct core *core, const char *id, core_reply_fn *reply, void *arg);
/* Forget an ended job, its folder and its log. -EBUSY "job-not-ended" while it lives. No
 * content. */
void core_job_remove(struct core *core, const char *id, core_reply_fn *reply, void *arg);
/* {"job","state","code","text","asked":{},"available":{},"unblocks"} */
void core_job_explain(struct core *core, const char *id, core_reply_fn *reply, void *arg);

/* A job's log, read as it grows: pull until core_log_read says -EAGAIN, then wait for `ready`. */
typedef void core_log_ready_fn(void *arg);
int core_log_open(struct core *core, const char *id, uint64_t offset, core_log_ready_fn *ready,
                  void *arg, struct core_log **ret_log, struct error *err);
/* Bytes read; 0: the job has ended and all is read; -EAGAIN: nothing now, `ready` will be
 * called. */
ssize_t core_log_read(struct core_log *log, void *data, size_t room);
void core_log_close(struct core_log *log); /* accepts NULL */

/* {"events":[...],"last":SEQ}, oldest first, those after `since`. limit 0: 100; at most 500. */
void core_events_read(struct core *core, uint64_t since, uint32_t limit, core_reply_fn *reply,
                      void *arg);
/* Every event from now on, once it is durable; `event` is borrowed for the call. NULL: out of
 * memory. To miss none: subscribe first, then read since the last one seen, and drop what comes
 * twice by `seq`. */
typedef void core_event_fn(void *arg, uint64_t seq, const struct json_t *event);
struct core_subscription *core_events_subscribe(struct core *core, core_event_fn *deliver,
                                                void *arg);
void core_events_unsubscribe(struct core_subscription *subscription); /* accepts NULL */

/* A NULL id gives the whole list: {"devices":[...]}, {"cards":[...]}, {"templates":[...]},
 * {"images":[...]}; an id gives the one object. */
void core_devices(struct core *core, const char *id, core_reply_fn *reply, void *arg);
/* Say which jobs a device takes; `request` is the REST body. Replies when it is durable. */
void core_device_set(struct core *core, const char *id, const struct json_t *request,
                     core_reply_fn *reply, void *arg);
void core_cards(struct core *core, const char *id, core_reply_fn *reply, void *arg);
/* Take the card's contents off its device ("suspend"), bring them back ("resume"), or both
 * ("move"). `options` is the REST body: NULL or {"device":ID}. The card, when it is done. */
void core_card_carry(struct core *core, const char *verb, const char *id,
                     const struct json_t *options, core_reply_fn *reply, void *arg);
/* Change its size: `request` is the REST body (borrowed), {"memory","share","suspend"}. */
void core_card_resize(struct core *core, const char *id, const struct json_t *request,
                      core_reply_fn *reply, void *arg);
/* Begin or end a trace of its commands: `request` is the REST body (borrowed), {"on":bool}. */
void core_card_trace(struct core *core, const char *id, const struct json_t *request,
                     core_reply_fn *reply, void *arg);
void core_templates(struct core *core, const char *library, const char *type, core_reply_fn *reply,
                    void *arg);
/* How much memory a model needs, how that could be less and which devices hold it; `request` is the
 * REST body (borrowed). */
void core_estimate(struct core *core, const struct json_t *request, core_reply_fn *reply,
                   void *arg);
/* Registered models: a NULL name gives {"models":[...]}. `request` is the REST body. Set and remove
 * reply when the change is durable. */
void core_models(struct core *core, const char *name, core_reply_fn *reply, void *arg);
void core_model_set(struct core *core, const char *name, const struct json_t *request,
                    core_reply_fn *reply, void *arg);
void core_model_remove(struct core *core, const char *name, core_reply_fn *reply, void *arg);
void core_images(struct core *core, const char *name, core_reply_fn *reply, void *arg);
/* The reply comes when the work has begun (IMAGE, state "building"); events image.ready or
 * image.failed tell the end. */
void core_image_build(struct core *core, const char *name, core_reply_fn *reply, void *arg);
/* `request` is {"name","source"}. */
void core_image_import(struct core *core, const struct json_t *request, core_reply_fn *reply,
                       void *arg);
void core_image_remove(struct core *core, const char *name, core_reply_fn *reply, void *arg);

/* Tenants: a NULL name gives {"tenants":[...]}. `request` is the REST body: what a tenant reserves.
 * Set and remove reply when the change is durable. */
void core_tenants(struct core *core, const char *name, core_reply_fn *reply, void *arg);
void core_tenant_set(struct core *core, const char *name, const struct json_t *request,
                     core_reply_fn *reply, void *arg);
void core_tenant_remove(struct core *core, const char *name, core_reply_fn *reply, void *arg);
void core_loans(struct core *core, core_reply_fn *reply, void *arg); /* {"loans":[...]} */
/* {"queue":[...],"waiting":N}: who waits, in the order of the queue, and why. */
void core_queue(struct core *core, core_reply_fn *reply, void *arg);

/* The knowledge base: ENTRY as knowledge_encode makes it. A put replaces the entry of the same kind
 * and name and replies when it is durable; -ENOSPC "knowledge-full" when there is no room. */
void core_knowledge_put(struct core *core, const struct json_t *request, core_reply_fn *reply,
                        void *arg);
void core_knowledge_get(struct core *core, const char *id, core_reply_fn *reply, void *arg);
void core_knowledge_remove(struct core *core, const char *id, core_reply_fn *reply, void *arg);
/* {"entries":[ENTRY and "score", "needs_bytes" and "needs_basis" when it had to fit],"words":"all"
 * |"any","more":bool}, best first. With words that no entry holds together, those that hold any. */
void core_knowledge_search(struct core *core, const struct json_t *request, core_reply_fn *reply,
                           void *arg);

/* Tasks that are like {"name","task","attributes"}, and what is known of them and not of it:
 * {"name","task","similar":[{"name","task","similarity","attributes"}],"missing":[names]}. */
void core_knowledge_similar(struct core *core, const struct json_t *request, core_reply_fn *reply,
                            void *arg);
/* The same, with "where", "fits" and "limit" as of a search, and "models":[{"name","score",
 * "needs_bytes","needs_basis","values","attributes"}], the best first, that fit into
 * "memory_bytes": what was named, or what is free on "device". */
void core_knowledge_suggest(struct core *core, const struct json_t *request, core_reply_fn *reply,
                            void *arg);

/* New references, NULL: out of memory. */
struct json_t *core_version(const struct core *core); /* {"version","engine","runtime",...} */
struct json_t *core_health(const struct core *core);  /* {"status":"ok|degraded","checks":[...]} */

/* One figure of /metrics. */
struct core_metric {
    const char *name, *help;
    const char *type;  /* "counter" or "gauge" */
    const char *label; /* "state=\"running\"", or NULL */
    double value;
};
/* Visit every figure; figures of one name come one after the other. */
void core_metrics(const struct core *core,
                  void (*visit)(void *arg, const struct core_metric *metric), void *arg);

#endif
