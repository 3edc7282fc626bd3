/* What is asked: jobs, lists, explanations, devices, cards, templates; and stop and remove. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/units.h"
#include "core/core_impl.h"
#include "core/devices.h"
#include "core/wait.h"
#include "model/template.h"

#define LIST_DEFAULT 100
#define ENDED_STATES ((1u << JOB_SUCCEEDED) | (1u << JOB_FAILED) | (1u << JOB_STOPPED))
#define ALL_STATES (((1u << JOB_STATE_COUNT) - 1) & ~1u)

/* A question to the store: filled on the pool, answered on the loop. */
struct query {
    struct read_request read;
    core_reply_fn *reply;
    void *arg;
    uint64_t id, since;
    size_t limit;
    uint32_t states;
    bool explain;
    json_t *result;
    struct error err;
};

static struct query *query_create(core_reply_fn *reply, void *arg)
{
    struct query *query = calloc(1, sizeof(*query));
    if (!query) {
        core_reply_value(reply, arg, NULL);
        return NULL;
    }
    query->reply = reply;
    query->arg = arg;
    return query;
}

static void query_answer(struct query *query)
{
    if (query->err.errnum)
        query->reply(query->arg, NULL, &query->err);
    else
        core_reply_value(query->reply, query->arg,
                         query->result ? json_incref(query->result) : NULL);
    json_decref(query->result);
    free(query);
}

static void query_done(struct core *core, struct read_request *read)
{
    (void)core;
    query_answer(LIST_ENTRY(read, struct query, read));
}

static void query_run(struct core *core, struct query *query,
                      void (*work)(struct store *store, struct read_request *request),
                      void (*done)(struct core *core, struct read_request *request))
{
    query->read.work = work;
    query->read.done = done;
    reads_add(core, &query->read);
}

static void refuse(core_reply_fn *reply, void *arg, int errnum, const char *code, const char *text)
{
    struct error err;
    (void)error_set(&err, errnum, code, "%s", text);
    reply(arg, NULL, &err);
}

/* -- one job -- */

static json_t *explain_ended(const struct job *job)
{
    char id[JOB_ID_TEXT_MAX];
    return json_pack("{s:s, s:s, s:s, s:s, s:{}, s:{}, s:s}", "job", job_id_text(job->id, id),
                     "state", job_state_name(job->state), "code", job->code ? job->code : "",
                     "text", job->text ? job->text : "", "asked", "available", "unblocks", "");
}

static void job_read(struct store *store, struct read_request *read)
{
    struct query *query = LIST_ENTRY(read, struct query, read);
    struct job job;
    if (store_job_read(store, query->id, &job, &query->err) < 0)
        return;
    query->result = query->explain ? explain_ended(&job) : job_encode(&job);
    job_finish(&job);
}

/* The live job, or NULL after the question has gone to the store (or was refused). */
static struct live_job *live_or_ask(struct core *core, const char *id, bool explain,
                                    core_reply_fn *reply, void *arg)
{
    struct error err;
    uint64_t number;
    if (job_id_parse(id, &number, &err) < 0) {
        err.errnum = -ENOENT; /* there is no such job either */
        reply(arg, NULL, &err);
        return NULL;
    }
    struct live_job *live = core_find(core, number);
    if (live && live->durable)
        return live;
    struct query *query = query_create(reply, arg);
    if (query) {
        query->id = number;
        query->explain = explain;
        query_run(core, query, job_read, query_done);
    }
    return NULL;
}

void core_job_get(struct core *core, const char *id, core_reply_fn *reply, void *arg)
{
    struct live_job *live = live_or_ask(core, id, false, reply, arg);
    if (!live)
        return;
    explain_tell(core, live);
    core_reply_value(reply, arg, job_encode(&live->job));
}

void core_job_explain(struct core *core, const char *id, core_reply_fn *reply, void *arg)
{
    struct live_job *live = live_or_ask(core, id, true, reply, arg);
    if (live)
        core_reply_value(reply, arg, explain_encode(core, live));
}

/* -- stop -- */

struct stop {
    uint64_t id;
    core_reply_fn *reply;
    void *arg;
};

static void stop_committed(struct core *core, void *arg, const struct error *err)
{
    AUTO_FREE struct stop *stop = arg;
    char id[JOB_ID_TEXT_MAX];
    if (err)
        stop->reply(stop->arg, NULL, err);
    else
        core_job_get(core, job_id_text(stop->id, id), stop->reply, stop->arg);
}

static int grace_decode(const json_t *options, uint64_t *grace_ms, struct error *err)
{
    static const struct json_field fields[] = {
        {"grace", JSON_KIND_DURATION, 0, JSON_OPTIONAL},
        {NULL, JSON_KIND_INVALID, 0, JSON_OPTIONAL},
    };
    int r = options ? json_decode(options, fields, grace_ms, err) : 0;
    if (r == 0 && *grace_ms > JOB_GRACE_MAX_MS)
        return error_set(err, -EINVAL, "bad-grace", "'grace' is at most one hour");
    return r;
}

void core_job_stop(struct core *core, const char *id, const json_t *options, core_reply_fn *reply,
                   void *arg)
{
    struct error err;
    struct live_job *live = live_or_ask(core, id, false, reply, arg); /* an ended one stays so */
    if (!live)
        return;
    uint64_t grace_ms = live->job.request.grace_ms;
    if (grace_decode(options, &grace_ms, &err) < 0) {
        reply(arg, NULL, &err);
        return;
    }
    struct stop *stop = calloc(1, sizeof(*stop));
    if (!stop) {
        core_reply_value(reply, arg, NULL);
        return;
    }
    *stop = (struct stop){.id = live->job.id, .reply = reply, .arg = arg};
    life_stop(core, live, grace_ms);
    if (commit_then(core, stop_committed, stop) < 0) {
        free(stop);
        core_reply_value(reply, arg, NULL);
    }
}

/* -- remove -- */

struct removal {
    uv_work_t work;
    struct core *core;
    core_reply_fn *reply;
    void *arg;
    char path[PATH_MAX + JOB_ID_TEXT_MAX + 8];
};

static void removal_work(uv_work_t *work)
{
    struct removal *removal = work->data;
    (void)dir_remove_tree(AT_FDCWD, removal->path, NULL); /* the next start takes what is left */
}

static void removal_after(uv_work_t *work, int status)
{
    (void)status; /* nothing cancels it */
    struct removal *removal = work->data;
    removal->reply(removal->arg, NULL, NULL);
    core_handle_closed(removal->core);
    free(removal);
}

static void removal_committed(struct core *core, void *arg, const struct error *err)
{
    struct removal *removal = arg;
    if (err) {
        removal->reply(removal->arg, NULL, err);
        free(removal);
        return;
    }
    core_handle_open(core);
    removal->work.data = removal;
    if (uv_queue_work(core->loop, &removal->work, removal_work, removal_after) < 0)
        abort(); /* only for a NULL callback */
}

/* The job is in the store, ended, and nothing of it is live. */
static void removal_begin(struct core *core, struct read_request *read)
{
    struct query *query = LIST_ENTRY(read, struct query, read);
    struct removal *removal = query->err.errnum ? NULL : calloc(1, sizeof(*removal));
    if (!removal) {
        query_answer(query);
        return;
    }
    struct store_event event = commit_event(core, "job.removed", query->id);
    *removal = (struct removal){.core = core, .reply = query->reply, .arg = query->arg};
    (void)snprintf(removal->path, sizeof(removal->path), "%s/jobs/%llu", core->state_dir,
                   (unsigned long long)query->id);
    if (store_batch_job_remove(commit_batch(core), query->id, NULL) < 0 ||
        commit_then(core, removal_committed, removal) < 0) {
        free(removal);
        query_answer(query);
        return;
    }
    commit_note(core, &event);
    json_decref(query->result);
    free(query);
}

void core_job_remove(struct core *core, const char *id, core_reply_fn *reply, void *arg)
{
    struct error err;
    uint64_t number;
    if (job_id_parse(id, &number, &err) < 0) {
        err.errnum = -ENOENT;
        reply(arg, NULL, &err);
        return;
    }
    struct live_job *live = core_find(core, number);
    if (live && job_state_ended(live->job.state) && !core->stopping) {
        wait_and_remove(core, number, reply, arg);
        return;
    }
    if (live) {
        (void)error_set(&err, -EBUSY, "job-not-ended", "job %s has not ended; stop it first", id);
        reply(arg, NULL, &err);
        return;
    }
    struct query *query = query_create(reply, arg);
    if (!query)
        return;
    query->id = number;
    query_run(core, query, job_read, removal_begin);
}

/* -- lists -- */

static int list_add(void *arg, const struct job *job)
{
    json_t *jobs = arg;
    return json_array_append_new(jobs, job_encode(job)) < 0 ? -ENOMEM : 0;
}

static void list_read(struct store *store, struct read_request *read)
{
    struct query *query = LIST_ENTRY(read, struct query, read);
    const struct store_query question = {
        .states = query->states & ENDED_STATES,
        .before = query->since,
        .limit = query->limit,
    };
    query->result = json_array();
    if (!query->result)
        return;
    if (question.states)
        (void)store_jobs_list(store, &question, list_add, query->result, &query->err);
}

/* 0 past the end. */
static uint64_t listed_id(const json_t *job)
{
    const char *text = json_string_value(json_object_get(job, "id"));
    uint64_t id = 0;
    if (text)
        (void)u64_parse(text, &id, NULL); /* made by us */
    return id;
}

static bool is_listed(const struct live_job *live, const struct query *query)
{
    return live->durable && (query->states & (1u << live->job.state)) &&
           (!query->since || live->job.id < query->since);
}

/* Those that live are known here, those that ended in the store; both come newest first. One that
 * is in both is taken from here. Returns 0 or -ENOMEM. */
static int list_merge(const struct core *core, const struct query *query, json_t *jobs)
{
    size_t stored = 0;
    for (struct list *link = core->jobs.prev; link != &core->jobs; link = link->prev) {
        struct live_job *live = LIST_ENTRY(link, struct live_job, link);
        while (listed_id(json_array_get(query->result, stored)) > live->job.id) {
            if (json_array_append(jobs, json_array_get(query->result, stored++)) < 0)
                return -ENOMEM;
        }
        stored += listed_id(json_array_get(query->result, stored)) == live->job.id;
        if (!is_listed(live, query))
            continue;
        explain_tell(core, live);
        if (list_add(jobs, &live->job) < 0)
            return -ENOMEM;
    }
    for (; stored < json_array_size(query->result); stored++) {
        if (json_array_append(jobs, json_array_get(query->result, stored)) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* The first `limit`, with where the next page begins. */
static json_t *list_page(const struct core *core, const struct query *query)
{
    AUTO_JSON json_t *page = json_array();
    AUTO_JSON json_t *jobs = json_array();
    if (!page || !jobs || list_merge(core, query, jobs) < 0)
        return NULL;
    for (size_t i = 0; i < query->limit && i < json_array_size(jobs); i++) {
        if (json_array_append(page, json_array_get(jobs, i)) < 0)
            return NULL;
    }
    bool full = json_array_size(page) == query->limit;
    const json_t *last = full ? json_array_get(page, query->limit - 1) : NULL;
    return json_pack("{s:O, s:o}", "jobs", page, "next_cursor",
                     last ? json_incref(json_object_get(last, "id")) : json_null());
}

static void list_done(struct core *core, struct read_request *read)
{
    struct query *query = LIST_ENTRY(read, struct query, read);
    json_t *page = query->err.errnum || !query->result ? NULL : list_page(core, query);
    json_decref(query->result);
    query->result = page;
    query_answer(query);
}

static int states_parse(const char *text, uint32_t *ret_states, struct error *err)
{
    uint32_t states = 0;
    char name[32];
    while (text && *text) {
        size_t length = strcspn(text, ",");
        (void)snprintf(name, sizeof(name), "%.*s", (int)(length < 31 ? length : 31), text);
        enum job_state state = job_state_parse(name);
        if (state == JOB_STATE_INVALID)
            return error_set(err, -EINVAL, "bad-state",
                             "'%s' is no state; they are: queued, starting, running, idle, "
                             "stopping, succeeded, failed, stopped",
                             name);
        states |= 1u << state;
        text += length + (text[length] == ',');
    }
    *ret_states = states ? states : ALL_STATES;
    return 0;
}

static int limit_check(uint32_t limit, size_t *ret_limit, struct error *err)
{
    if (limit > STORE_LIST_MAX)
        return error_set(err, -EINVAL, "bad-limit", "'limit' is at most %d; got %u", STORE_LIST_MAX,
                         limit);
    *ret_limit = limit ? limit : LIST_DEFAULT;
    return 0;
}

void core_job_list(struct core *core, const struct core_job_filter *filter, core_reply_fn *reply,
                   void *arg)
{
    struct error err;
    uint32_t states = 0;
    uint64_t before = 0;
    size_t limit = 0;
    if (states_parse(filter->states, &states, &err) < 0 ||
        limit_check(filter->limit, &limit, &err) < 0 ||
        (filter->cursor && filter->cursor[0] && u64_parse(filter->cursor, &before, &err) < 0)) {
        reply(arg, NULL, &err);
        return;
    }
    struct query *query = query_create(reply, arg);
    if (!query)
        return;
    query->states = states;
    query->since = before;
    query->limit = limit;
    query_run(core, query, list_read, list_done);
}

static void events_read(struct store *store, struct read_request *read)
{
    struct query *query = LIST_ENTRY(read, struct query, read);
    (void)store_events_read(store, query->since, query->limit, &query->result, &query->err);
}

void core_events_read(struct core *core, uint64_t since, uint32_t limit, core_reply_fn *reply,
                      void *arg)
{
    struct error err;
    size_t checked = 0;
    if (limit_check(limit, &checked, &err) < 0) {
        reply(arg, NULL, &err);
        return;
    }
    struct query *query = query_create(reply, arg);
    if (!query)
        return;
    query->since = since;
    query->limit = checked;
    query_run(core, query, events_read, query_done);
}

/* -- devices and cards, as leat-cardd sees them now -- */

struct lookup {
    core_reply_fn *reply;
    void *arg;
    struct core *core;
    const char *list, *member; /* name of the list and of the id in its objects */
    char id[JOB_NAME_MAX];     /* empty: all */
};

static json_t *lookup_find(const struct lookup *lookup, json_t *list)
{
    size_t index;
    json_t *object;
    json_array_foreach (list, index, object) {
        const char *id = json_string_value(json_object_get(object, lookup->member));
        if (id && strcmp(id, lookup->id) == 0)
            return object;
    }
    return NULL;
}

static void lookup_answer(const struct lookup *lookup, json_t *result)
{
    json_t *list = json_object_get(result, lookup->list);
    json_t *found = lookup->id[0] ? lookup_find(lookup, list) : NULL, *device;
    size_t index;
    json_array_foreach (list, index, device) {
        if (lookup->core)
            devices_show_rule(lookup->core, device);
    }
    struct error err;
    if (!lookup->id[0]) {
        core_reply_value(lookup->reply, lookup->arg, json_pack("{s:O}", lookup->list, list));
    } else if (found) {
        core_reply_value(lookup->reply, lookup->arg, json_incref(found));
    } else {
        (void)error_set(&err, -ENOENT,
                        strcmp(lookup->member, "id") == 0 ? "unknown-device" : "unknown-card",
                        "there is no '%s'", lookup->id);
        lookup->reply(lookup->arg, NULL, &err);
    }
}

static void on_lookup(struct core *core, uint64_t slot, json_t *result, const struct error *err)
{
    AUTO_FREE struct lookup *lookup = (struct lookup *)(uintptr_t)slot;
    (void)core;
    if (err)
        lookup->reply(lookup->arg, NULL, err);
    else
        lookup_answer(lookup, result);
}

static void lookup_run(struct core *core, const char *op, const struct lookup *question)
{
    AUTO_FREE struct lookup *lookup = malloc(sizeof(*lookup));
    if (!lookup) {
        core_reply_value(question->reply, question->arg, NULL);
        return;
    }
    *lookup = *question;
    if (cards_ask(core, op, NULL, on_lookup, (uint64_t)(uintptr_t)lookup) < 0)
        refuse(question->reply, question->arg, -EAGAIN, "card-daemon-away",
               "leat-cardd does not answer; leatd keeps trying, ask again");
    else
        (void)TAKE(lookup);
}

void core_devices(struct core *core, const char *id, core_reply_fn *reply, void *arg)
{
    struct lookup lookup = {
        .core = core, .reply = reply, .arg = arg, .list = "devices", .member = "id"};
    (void)snprintf(lookup.id, sizeof(lookup.id), "%s", id ? id : "");
    lookup_run(core, "device.list", &lookup);
}

void core_cards(struct core *core, const char *id, core_reply_fn *reply, void *arg)
{
    struct lookup lookup = {.reply = reply, .arg = arg, .list = "cards", .member = "card"};
    (void)snprintf(lookup.id, sizeof(lookup.id), "%s", id ? id : "");
    lookup_run(core, "card.list", &lookup);
}

/* -- templates -- */

void core_templates(struct core *core, const char *library, const char *type, core_reply_fn *reply,
                    void *arg)
{
    struct error err;
    if (!core->templates) {
        refuse(reply, arg, -EIO, "no-templates", "no template was read");
    } else if (!library) {
        core_reply_value(reply, arg, template_set_json(core->templates));
    } else {
        const struct template *template = template_find(core->templates, library, type, &err);
        if (template)
            core_reply_value(reply, arg, template_json(template));
        else
            reply(arg, NULL, &err);
    }
}
