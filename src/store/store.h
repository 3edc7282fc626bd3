/* The one truth of jobs: an SQLite database with a row per job, a journal of events, idempotency
 * keys and measurements of earlier runs. WAL with full synchronisation: what store_commit has
 * returned for survives a kill and a power failure.
 *
 * Thread rule: store_commit has one caller at a time and reads have one caller at a time (each its
 * own connection); a commit and a read may run at once. All calls block. Batches belong to their
 * maker. */
#ifndef LEAT_STORE_STORE_H
#define LEAT_STORE_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "model/device.h"
#include "model/job.h"
#include "model/knowledge.h"
#include "model/model.h"
#include "model/tenant.h"

struct error;
struct json_t;
struct knowledge_query;
struct store;
struct store_batch;

#define STORE_SCHEMA_VERSION 9
#define STORE_IDEMPOTENCY_MAX 255 /* bytes of a key */
#define STORE_LIST_MAX 500        /* jobs or events in one answer */

/* Open or make `path`, bring an older schema up to date. Refuses a database that is damaged
 * ("store-damaged"), made by a newer Leat ("store-newer"), not Leat's ("store-foreign") or open in
 * another process ("store-in-use"), and leaves it as it is. */
int store_open(const char *path, struct store **ret_store, struct error *err);
void store_close(struct store *store);

/* Highest numbers in use, for the caller who hands out the next ones. */
uint64_t store_last_job(const struct store *store);
uint64_t store_last_event(const struct store *store);

struct store_event {
    uint64_t seq;              /* handed out by the caller, rising */
    uint64_t time_us;          /* real time */
    const char *kind;          /* "job.submitted", "job.running", "job.idle", ... */
    uint64_t job;              /* 0: none */
    enum job_state from, to;   /* JOB_STATE_INVALID: no change of state */
    const struct json_t *data; /* may be NULL */
};

/* A batch collects copies; it becomes one transaction. Calls give 0 or -ENOMEM and after a failure
 * the batch stays without the thing that failed. */
struct store_batch *store_batch_create(void); /* NULL: out of memory */
void store_batch_destroy(struct store_batch *batch);
size_t store_batch_count(const struct store_batch *batch); /* operations in it */
/* Write the job's whole record together with the event of its transition (may be NULL). */
int store_batch_job(struct store_batch *batch, const struct job *job,
                    const struct store_event *event);
int store_batch_job_remove(struct store_batch *batch, uint64_t job,
                           const struct store_event *event);
int store_batch_event(struct store_batch *batch, const struct store_event *event);
/* Remember which job a key made and for which request (a digest text). */
int store_batch_idempotency(struct store_batch *batch, const char *key, const char *digest,
                            uint64_t job, uint64_t time_us);
/* What an ended job measured on a device of that model (may be NULL), for later predictions. */
int store_batch_measurement(struct store_batch *batch, const struct job *job, const char *device);
int store_batch_tenant(struct store_batch *batch, const struct tenant *tenant);
int store_batch_device(struct store_batch *batch, const struct device_rule *rule);
int store_batch_tenant_remove(struct store_batch *batch, const char *name);
int store_batch_model(struct store_batch *batch, const struct model *model);
int store_batch_model_remove(struct store_batch *batch, const char *name);
/* Write an entry of the knowledge base over the one of its kind and name. */
int store_batch_knowledge(struct store_batch *batch, const struct knowledge *entry);
int store_batch_knowledge_remove(struct store_batch *batch, uint64_t id);
/* What the knowledge base is to learn, under a number of the caller's; and that it has. */
int store_batch_lesson(struct store_batch *batch, uint64_t id, const struct json_t *record);
int store_batch_lesson_remove(struct store_batch *batch, uint64_t id);
/* Append all of `from` to `to`; `from` is empty afterwards. */
void store_batch_join(struct store_batch *to, struct store_batch *from);
/* Take out everything that concerns `job`. */
void store_batch_drop_job(struct store_batch *batch, uint64_t job);

/* Write the batch in one durable transaction: all of it or, on failure, nothing. */
int store_commit(struct store *store, const struct store_batch *batch, struct error *err);

/* Reads. Jobs come back initialised; the caller finishes them. */
int store_job_read(struct store *store, uint64_t id, struct job *ret_job, struct error *err);

struct store_query {
    uint32_t states; /* bit per enum job_state; 0: all */
    uint64_t before; /* only ids below; 0: from the newest */
    size_t limit;    /* 1..STORE_LIST_MAX */
};
/* Newest first. `visit` gets each job (borrowed for the call); a negative result ends the walk and
 * is returned. */
int store_jobs_list(struct store *store, const struct store_query *query,
                    int (*visit)(void *arg, const struct job *job), void *arg, struct error *err);
/* All jobs that have not ended, oldest first; no limit. */
int store_jobs_live(struct store *store, int (*visit)(void *arg, const struct job *job), void *arg,
                    struct error *err);
/* All rules of devices; `visit` as above. */
int store_devices(struct store *store, int (*visit)(void *arg, const struct device_rule *rule),
                  void *arg, struct error *err);
/* All tenants; `visit` as above. */
int store_tenants(struct store *store, int (*visit)(void *arg, const struct tenant *tenant),
                  void *arg, struct error *err);
/* All registered models, by name; `visit` as above. */
int store_models(struct store *store, int (*visit)(void *arg, const struct model *model), void *arg,
                 struct error *err);
/* All lessons that were not removed, oldest first; `visit` as above, the record is borrowed. */
int store_lessons(struct store *store, int (*visit)(void *arg, uint64_t id, struct json_t *record),
                  void *arg, struct error *err);
/* {"events":[...],"last":SEQ}, oldest first, those after `since`; `last` is the newest of the page,
 * or `since` when there are none: ask again with it. */
int store_events_read(struct store *store, uint64_t since, size_t limit, struct json_t **ret_page,
                      struct error *err);
/* The job that `key` made and the digest it was made from: 0 with *ret_job 0 when the key is new.
 * `ret_digest` (may be NULL) is owned by the caller. */
int store_idempotency_find(struct store *store, const char *key, uint64_t *ret_job,
                           char **ret_digest, struct error *err);
/* Events as the REST interface shows them; also for those that are not from the store. */
struct json_t *store_event_encode(const struct store_event *event);

struct store_measurement {
    uint64_t job;
    uint64_t program_bytes, data_bytes, wall_ms, device_time_ns, memory_peak_bytes;
    uint64_t memory_point_bytes, steps, step_kflop;
    uint32_t share_permille;
    bool same_kind; /* library and type; without it no run of these is known */
    bool same_family, same_program, same_model, same_device;
};
/* What is alike in runs; texts may be empty, not NULL. */
struct store_likeness {
    const char *library, *type, *program, *family, *model;
    const char *device; /* the model of device */
};
/* The newest `room` measurements of the library and type: those of the family first, then those of
 * the model and of the program. Without any, the newest of others. Returns how many, or a negative
 * errno. */
int store_measurements(struct store *store, const struct store_likeness *like,
                       struct store_measurement *measurements, size_t room, struct error *err);

#define STORE_KNOWLEDGE_MAX 200000     /* entries; core refuses more */
#define STORE_KNOWLEDGE_CANDIDATES 128 /* entries that a search looks at, of those that match */

/* The entry of a number, or of a kind and a name. -ENOENT "unknown-entry". The caller finishes
 * it. */
int store_knowledge_read(struct store *store, uint64_t id, struct knowledge *ret_entry,
                         struct error *err);
int store_knowledge_find(struct store *store, enum knowledge_kind kind, const char *name,
                         struct knowledge *ret_entry, struct error *err);
int store_knowledge_count(struct store *store, uint64_t *ret_count, struct error *err);
enum store_words { STORE_WORDS_ALL, STORE_WORDS_ANY };
/* Entries that meet the query, its words all or any of them: in the order of its `sort`, else the
 * newest first. `visit` says for each 1 to count it, 0 not to, or a negative errno, and may take
 * its content, leaving it initialised; after STORE_KNOWLEDGE_CANDIDATES counted ones (`limit` with
 * a sort) the walk ends. */
int store_knowledge_search(struct store *store, const struct knowledge_query *query,
                           enum store_words words, int (*visit)(void *arg, struct knowledge *entry),
                           void *arg, struct error *err);

#endif
