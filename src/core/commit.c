/* Group commit: everything put while one commit runs becomes the next one. What is durable is then
 * published, and those who wait for it are told. */
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "core/core_impl.h"

#define RETRY_MS 1000 /* after a failed commit: a full disk does not empty at once */

struct publication {
    struct list link;
    uint64_t seq, job;
    enum job_state to;
    json_t *event;
};

struct waiter {
    struct list link;
    commit_done_fn *done;
    void *arg;
};

struct commit_unit {
    struct store_batch *batch;
    struct list publications, waiters;
    int result;
    struct error err;
};

static struct commit_unit *unit_create(void)
{
    struct commit_unit *unit = calloc(1, sizeof(*unit));
    if (!unit)
        return NULL;
    list_init(&unit->publications);
    list_init(&unit->waiters);
    unit->batch = store_batch_create();
    if (!unit->batch) {
        free(unit);
        return NULL;
    }
    return unit;
}

static void publication_destroy(struct publication *publication)
{
    list_remove(&publication->link);
    json_decref(publication->event);
    free(publication);
}

static void unit_destroy(struct commit_unit *unit)
{
    if (!unit)
        return;
    LIST_EACH_SAFE (link, after, &unit->publications)
        publication_destroy(LIST_ENTRY(link, struct publication, link));
    LIST_EACH_SAFE (link, after, &unit->waiters)
        free(LIST_ENTRY(link, struct waiter, link));
    store_batch_destroy(unit->batch);
    free(unit);
}

static void commit_on_timer(uv_timer_t *timer);

static void commit_soon(struct core *core, uint64_t after_ms)
{
    if (!core->committing && !uv_is_active((uv_handle_t *)&core->commit_timer))
        (void)uv_timer_start(&core->commit_timer, commit_on_timer, after_ms, 0); /* never NULL */
}

int commit_open(struct core *core)
{
    core->collecting = unit_create();
    return core->collecting ? 0 : -ENOMEM;
}

void commit_close(struct core *core)
{
    unit_destroy(core->collecting);
    core->collecting = NULL;
}

static bool unit_is_empty(const struct commit_unit *unit)
{
    return store_batch_count(unit->batch) == 0 && list_empty(&unit->waiters);
}

bool commit_idle(const struct core *core)
{
    return !core->committing && (unit_is_empty(core->collecting) || core->commit_failed);
}

struct store_batch *commit_batch(struct core *core)
{
    commit_soon(core, 0);
    return core->collecting->batch;
}

struct store_event commit_event(struct core *core, const char *kind, uint64_t job)
{
    return (struct store_event){
        .seq = core->next_event++,
        .time_us = clock_realtime_us(),
        .kind = kind,
        .job = job,
    };
}

static int publication_add(struct core *core, const struct store_event *event)
{
    struct publication *publication = calloc(1, sizeof(*publication));
    if (!publication)
        return -ENOMEM;
    list_init(&publication->link);
    publication->seq = event->seq;
    publication->job = event->job;
    publication->to = event->to;
    publication->event = store_event_encode(event);
    if (!publication->event) {
        free(publication);
        return -ENOMEM;
    }
    list_append(&core->collecting->publications, &publication->link);
    return 0;
}

void commit_job(struct core *core, struct live_job *live, const struct store_event *event)
{
    int r = store_batch_job(commit_batch(core), &live->job, event);
    if (r == 0)
        r = publication_add(core, event);
    if (r < 0)
        log_event(LOG_ERROR, "store.batch", "job=%llu errno=%d", (unsigned long long)live->job.id,
                  -r);
}

void commit_note(struct core *core, const struct store_event *event)
{
    int r = store_batch_event(commit_batch(core), event);
    if (r == 0)
        r = publication_add(core, event);
    if (r < 0)
        log_event(LOG_ERROR, "store.batch", "kind=%s errno=%d", event->kind, -r);
}

int commit_then(struct core *core, commit_done_fn *done, void *arg)
{
    struct waiter *waiter = calloc(1, sizeof(*waiter));
    if (!waiter)
        return -ENOMEM;
    waiter->done = done;
    waiter->arg = arg;
    list_append(&core->collecting->waiters, &waiter->link);
    commit_soon(core, 0);
    return 0;
}

struct answer {
    core_reply_fn *reply;
    void *arg;
    json_t *value; /* NULL: no content */
};

static void on_answer_durable(struct core *core, void *arg, const struct error *err)
{
    AUTO_FREE struct answer *answer = arg;
    AUTO_JSON json_t *value = answer->value;
    if (err) {
        answer->reply(answer->arg, NULL, err);
        return;
    }
    answer->reply(answer->arg, json_incref(value), NULL);
    idle_wake_all(core);
    place_soon(core);
}

void commit_reply(struct core *core, json_t *value, core_reply_fn *reply, void *arg)
{
    struct answer *answer = malloc(sizeof(*answer));
    if (answer)
        *answer = (struct answer){reply, arg, value};
    if (answer && commit_then(core, on_answer_durable, answer) == 0)
        return;
    free(answer);
    json_decref(value);
    core_reply_value(reply, arg, NULL);
}

void commit_drop_job(struct core *core, uint64_t job)
{
    struct commit_unit *units[] = {core->committing, core->collecting};
    for (size_t i = 0; i < 2; i++) {
        if (!units[i])
            continue;
        store_batch_drop_job(units[i]->batch, job);
        LIST_EACH_SAFE (link, after, &units[i]->publications) {
            struct publication *publication = LIST_ENTRY(link, struct publication, link);
            if (publication->job == job)
                publication_destroy(publication);
        }
    }
}

static void waiters_tell(struct core *core, struct commit_unit *unit, const struct error *err)
{
    while (!list_empty(&unit->waiters)) {
        struct waiter *waiter = LIST_ENTRY(unit->waiters.next, struct waiter, link);
        list_remove(&waiter->link);
        waiter->done(core, waiter->arg, err);
        free(waiter);
    }
}

static void unit_succeeded(struct core *core, struct commit_unit *unit)
{
    core->counters.commits++;
    while (!list_empty(&unit->publications)) {
        struct publication *publication =
            LIST_ENTRY(unit->publications.next, struct publication, link);
        events_publish(core, publication->seq, publication->event);
        if (publication->job && publication->to)
            life_committed(core, publication->job, publication->to);
        publication_destroy(publication);
    }
    waiters_tell(core, unit, NULL);
    unit_destroy(unit);
}

/* Nothing of it was written. Requests are refused and dropped; what happened anyway is kept. */
static void unit_failed(struct core *core, struct commit_unit *unit)
{
    core->counters.commit_failures++;
    log_event(LOG_ERROR, "store.commit", "code=%s text=\"%s\"", unit->err.code, unit->err.text);
    core->committing = unit; /* so that commit_drop_job finds it */
    waiters_tell(core, unit, &unit->err);
    core->committing = NULL;
    struct commit_unit *later = core->collecting;
    store_batch_join(unit->batch, later->batch);
    LIST_EACH_SAFE (link, after, &later->publications) {
        list_remove(link);
        list_append(&unit->publications, link);
    }
    LIST_EACH_SAFE (link, after, &later->waiters) {
        list_remove(link);
        list_append(&unit->waiters, link);
    }
    core->collecting = unit;
    unit_destroy(later);
}

static void commit_work(uv_work_t *work)
{
    struct core *core = work->data;
    struct commit_unit *unit = core->committing;
    unit->result = store_batch_count(unit->batch) == 0
                       ? 0
                       : store_commit(core->store, unit->batch, &unit->err);
}

static void commit_after(uv_work_t *work, int status)
{
    (void)status; /* nothing cancels it */
    struct core *core = work->data;
    struct commit_unit *unit = core->committing;
    int result = unit->result;
    core->committing = NULL;
    if (result == 0)
        unit_succeeded(core, unit);
    else
        unit_failed(core, unit);
    core->commit_failed = result < 0;
    if (!unit_is_empty(core->collecting))
        commit_soon(core, result == 0 ? 0 : RETRY_MS);
    core_stop_step(core);
}

static void commit_on_timer(uv_timer_t *timer)
{
    struct core *core = timer->data;
    if (core->committing)
        return;
    struct commit_unit *next = unit_create();
    if (!next) {
        (void)uv_timer_start(timer, commit_on_timer, RETRY_MS, 0); /* memory may come back */
        return;
    }
    core->committing = core->collecting;
    core->collecting = next;
    core->commit_work.data = core;
    if (uv_queue_work(core->loop, &core->commit_work, commit_work, commit_after) < 0)
        abort(); /* only for a NULL callback */
}
