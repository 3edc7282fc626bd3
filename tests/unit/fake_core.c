/* The stand-in for core: see fake_core.h. */
#include "fake_core.h"

#include <errno.h>
#include <stdlib.h>
#include <uv.h>

#include "base/error.h"
#include "base/json.h"
#include "base/list.h"
#include "core/core.h"

#define LATE_MAX 64

struct late {
    core_reply_fn *reply;
    void *arg;
};

struct core_subscription {
    struct list link;
    struct core *core;
    core_event_fn *deliver;
    void *arg;
};

struct core_log {
    struct list link;
    struct core *core;
    uint64_t offset;
    core_log_ready_fn *ready;
    void *arg;
};

struct core {
    struct late late[LATE_MAX];
    unsigned late_count;
    struct list subscriptions, logs;
    uint64_t last_seq;
    uint64_t log_bytes, log_read;
    int log_ended;
};

struct core *fake_core_create(struct uv_loop_s *loop)
{
    struct core *core = calloc(1, sizeof(*core));
    if (!core)
        abort();
    list_init(&core->subscriptions);
    list_init(&core->logs);
    return core;
}

static json_t *event_make(uint64_t seq, const char *kind)
{
    return json_pack("{s:I, s:s}", "seq", (json_int_t)seq, "kind", kind);
}

void fake_core_event(struct core *core, const char *kind)
{
    AUTO_JSON json_t *event = event_make(++core->last_seq, kind);
    LIST_EACH_SAFE (link, after, &core->subscriptions) {
        struct core_subscription *one = LIST_ENTRY(link, struct core_subscription, link);
        one->deliver(one->arg, core->last_seq, event);
    }
}

void fake_core_log(struct core *core, uint64_t bytes, int ended)
{
    core->log_bytes = bytes;
    core->log_ended = ended;
    LIST_EACH_SAFE (link, after, &core->logs) {
        struct core_log *log = LIST_ENTRY(link, struct core_log, link);
        log->ready(log->arg);
    }
}

uint64_t fake_core_log_read(const struct core *core)
{
    return core->log_read;
}

unsigned fake_core_open(const struct core *core)
{
    unsigned count = core->late_count;
    LIST_EACH (link, &core->subscriptions) {
        count++;
    }
    LIST_EACH (link, &core->logs) {
        count++;
    }
    return count;
}

void fake_core_answer(struct core *core)
{
    unsigned count = core->late_count;
    core->late_count = 0;
    for (unsigned i = 0; i < count; i++)
        core->late[i].reply(core->late[i].arg, json_pack("{s:s}", "id", "2"), NULL);
}

static void reply_value(core_reply_fn *reply, void *arg, json_t *value)
{
    struct error err;
    error_set(&err, -ENOMEM, "out-of-memory", "making the answer");
    reply(arg, value, value ? NULL : &err);
}

/* Job 1 answers at once, job 2 late, others not. */
static void reply_for(struct core *core, const char *id, core_reply_fn *reply, void *arg)
{
    struct error err;
    if (strcmp(id, "1") == 0) {
        reply_value(reply, arg, json_pack("{s:s}", "id", id));
    } else if (strcmp(id, "2") == 0 && core->late_count < LATE_MAX) {
        core->late[core->late_count++] = (struct late){reply, arg};
    } else {
        error_set(&err, -ENOENT, "no-such-job", "there is no job '%s'", id);
        reply(arg, NULL, &err);
    }
}

void core_job_submit(struct core *core, const struct json_t *request, const char *key,
                     core_reply_fn *reply, void *arg)
{
    const char *name = json_string_value(json_object_get(request, "name"));
    struct error err;
    if (key && strcmp(key, "taken") == 0) {
        error_set(&err, -EEXIST, "idempotency-conflict", "another request had this key");
        reply(arg, NULL, &err);
        return;
    }
    reply_for(core, name ? name : "1", reply, arg);
}

void core_job_describe(struct core *core, const struct json_t *request, core_reply_fn *reply,
                       void *arg)
{
    reply(arg, json_pack("{s:{}, s:s}", "description", "yaml", ""), NULL);
}

void core_job_get(struct core *core, const char *id, core_reply_fn *reply, void *arg)
{
    reply_for(core, id, reply, arg);
}

void core_job_list(struct core *core, const struct core_job_filter *filter, core_reply_fn *reply,
                   void *arg)
{
    reply(arg,
          json_pack("{s:s*, s:s*, s:i}", "states", filter->states, "cursor", filter->cursor,
                    "limit", (int)filter->limit),
          NULL);
}

void core_job_wait(struct core *core, const char *id, uint64_t timeout_ms, core_reply_fn *reply,
                   void *arg)
{
    reply_for(core, id, reply, arg);
}

void core_job_stop(struct core *core, const char *id, const struct json_t *options,
                   core_reply_fn *reply, void *arg)
{
    reply_for(core, id, reply, arg);
}

void core_job_checkpointed(struct core *core, const char *id, core_reply_fn *reply, void *arg)
{
    (void)core;
    (void)id;
    reply(arg, NULL, NULL);
}

void core_job_remove(struct core *core, const char *id, core_reply_fn *reply, void *arg)
{
    struct error err;
    if (strcmp(id, "1") == 0) {
        reply(arg, NULL, NULL);
        return;
    }
    error_set(&err, -EBUSY, "job-not-ended", "job %s still lives", id);
    reply(arg, NULL, &err);
}

void core_job_explain(struct core *core, const char *id, core_reply_fn *reply, void *arg)
{
    reply_for(core, id, reply, arg);
}

int core_log_open(struct core *core, const char *id, uint64_t offset, core_log_ready_fn *ready,
                  void *arg, struct core_log **ret_log, struct error *err)
{
    if (strcmp(id, "1") != 0)
        return error_set(err, -ENOENT, "no-such-job", "there is no job '%s'", id);
    struct core_log *log = calloc(1, sizeof(*log));
    if (!log)
        return error_set(err, -ENOMEM, "out-of-memory", "opening the log");
    *log = (struct core_log){.core = core, .offset = offset, .ready = ready, .arg = arg};
    list_append(&core->logs, &log->link);
    *ret_log = log;
    return 0;
}

/* Byte n of the log is the letter n modulo 26. */
ssize_t core_log_read(struct core_log *log, void *data, size_t room)
{
    struct core *core = log->core;
    char *bytes = data;
    size_t n = 0;
    for (; n < room && log->offset < core->log_bytes; n++, log->offset++)
        bytes[n] = (char)('a' + log->offset % 26);
    core->log_read += n;
    if (n)
        return (ssize_t)n;
    return core->log_ended ? 0 : -EAGAIN;
}

void core_log_close(struct core_log *log)
{
    if (log)
        list_remove(&log->link);
    free(log);
}

void core_events_read(struct core *core, uint64_t since, uint32_t limit, core_reply_fn *reply,
                      void *arg)
{
    json_t *events = json_array();
    for (uint64_t seq = since + 1; seq <= core->last_seq; seq++) {
        if (json_array_size(events) < (limit ? limit : 100))
            json_array_append_new(events, event_make(seq, "test"));
    }
    reply(arg, json_pack("{s:o, s:I}", "events", events, "last", (json_int_t)core->last_seq), NULL);
}

struct core_subscription *core_events_subscribe(struct core *core, core_event_fn *deliver,
                                                void *arg)
{
    struct core_subscription *one = calloc(1, sizeof(*one));
    if (!one)
        return NULL;
    *one = (struct core_subscription){.core = core, .deliver = deliver, .arg = arg};
    list_append(&core->subscriptions, &one->link);
    return one;
}

void core_events_unsubscribe(struct core_subscription *subscription)
{
    if (subscription)
        list_remove(&subscription->link);
    free(subscription);
}

static void reply_list(const char *member, const char *id, core_reply_fn *reply, void *arg)
{
    reply(arg, id ? json_pack("{s:s}", "id", id) : json_pack("{s:[]}", member), NULL);
}

void core_devices(struct core *core, const char *id, core_reply_fn *reply, void *arg)
{
    reply_list("devices", id, reply, arg);
}

void core_cards(struct core *core, const char *id, core_reply_fn *reply, void *arg)
{
    reply_list("cards", id, reply, arg);
}

void core_card_carry(struct core *core, const char *verb, const char *id,
                     const struct json_t *options, core_reply_fn *reply, void *arg)
{
    reply_list("cards", id, reply, arg);
}

void core_card_resize(struct core *core, const char *id, const struct json_t *request,
                      core_reply_fn *reply, void *arg)
{
    reply_list("cards", id, reply, arg);
}

void core_card_trace(struct core *core, const char *id, const struct json_t *request,
                     core_reply_fn *reply, void *arg)
{
    reply(arg, json_pack("{s:b}", "tracing", 1), NULL);
}

void core_templates(struct core *core, const char *library, const char *type, core_reply_fn *reply,
                    void *arg)
{
    reply_list("templates", library, reply, arg);
}

void core_estimate(struct core *core, const struct json_t *request, core_reply_fn *reply, void *arg)
{
    reply(arg, json_pack("{s:i}", "point_bytes", 1), NULL);
}

void core_knowledge_put(struct core *core, const struct json_t *request, core_reply_fn *reply,
                        void *arg)
{
    reply(arg, json_incref((json_t *)(uintptr_t)request), NULL);
}

void core_knowledge_get(struct core *core, const char *id, core_reply_fn *reply, void *arg)
{
    reply_list("entries", id, reply, arg);
}

void core_knowledge_remove(struct core *core, const char *id, core_reply_fn *reply, void *arg)
{
    reply(arg, NULL, NULL);
}

void core_knowledge_search(struct core *core, const struct json_t *request, core_reply_fn *reply,
                           void *arg)
{
    reply_list("entries", NULL, reply, arg);
}

void core_device_set(struct core *core, const char *id, const struct json_t *request,
                     core_reply_fn *reply, void *arg)
{
    reply_list("devices", id, reply, arg);
}

void core_knowledge_similar(struct core *core, const struct json_t *request, core_reply_fn *reply,
                            void *arg)
{
    reply_list("similar", NULL, reply, arg);
}

void core_knowledge_suggest(struct core *core, const struct json_t *request, core_reply_fn *reply,
                            void *arg)
{
    reply_list("models", NULL, reply, arg);
}

void core_tenants(struct core *core, const char *name, core_reply_fn *reply, void *arg)
{
    reply_list("tenants", name, reply, arg);
}

void core_tenant_set(struct core *core, const char *name, const struct json_t *request,
                     core_reply_fn *reply, void *arg)
{
    reply_list("tenants", name, reply, arg);
}

void core_tenant_remove(struct core *core, const char *name, core_reply_fn *reply, void *arg)
{
    reply(arg, NULL, NULL);
}

void core_models(struct core *core, const char *name, core_reply_fn *reply, void *arg)
{
    reply_list("models", name, reply, arg);
}

void core_model_set(struct core *core, const char *name, const struct json_t *request,
                    core_reply_fn *reply, void *arg)
{
    reply_list("models", name, reply, arg);
}

void core_model_remove(struct core *core, const char *name, core_reply_fn *reply, void *arg)
{
    reply(arg, NULL, NULL);
}

void core_loans(struct core *core, core_reply_fn *reply, void *arg)
{
    reply_list("loans", NULL, reply, arg);
}

void core_queue(struct core *core, core_reply_fn *reply, void *arg)
{
    reply_list("queue", NULL, reply, arg);
}

void core_images(struct core *core, const char *name, core_reply_fn *reply, void *arg)
{
    reply_list("images", name, reply, arg);
}

void core_image_build(struct core *core, const char *name, core_reply_fn *reply, void *arg)
{
    reply_list("images", name, reply, arg);
}

void core_image_import(struct core *core, const struct json_t *request, core_reply_fn *reply,
                       void *arg)
{
    reply(arg, json_incref((json_t *)(uintptr_t)request), NULL);
}

void core_image_remove(struct core *core, const char *name, core_reply_fn *reply, void *arg)
{
    reply(arg, NULL, NULL);
}

struct json_t *core_version(const struct core *core)
{
    return json_pack("{s:s}", "version", LEAT_VERSION);
}

struct json_t *core_health(const struct core *core)
{
    return json_pack("{s:s}", "status", "ok");
}

void core_metrics(const struct core *core,
                  void (*visit)(void *arg, const struct core_metric *metric), void *arg)
{
    const struct core_metric metrics[] = {
        {"leat_jobs", "Jobs by state.", "gauge", "state=\"queued\"", 3},
        {"leat_jobs", "Jobs by state.", "gauge", "state=\"running\"", 0.5},
    };
    for (size_t i = 0; i < 2; i++)
        visit(arg, &metrics[i]);
}

/* What only the daemon calls. */
int core_create(const struct core_options *options, struct core **ret_core, struct error *err)
{
    *ret_core = fake_core_create(options->loop);
    return 0;
}

int core_start(struct core *core, struct error *err)
{
    return 0;
}

int core_reload(struct core *core, struct error *err)
{
    return 0;
}

void core_stop(struct core *core, void (*stopped)(void *arg), void *arg)
{
    struct error err;
    error_set(&err, -ECANCELED, "shutting-down", "leatd is stopping");
    unsigned count = core->late_count;
    core->late_count = 0;
    for (unsigned i = 0; i < count; i++)
        core->late[i].reply(core->late[i].arg, NULL, &err);
    stopped(arg);
}

void core_destroy(struct core *core)
{
    free(core);
}
