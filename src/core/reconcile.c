/* The truth after a start: what the store says, what containers and cards are really there. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "base/path.h"
#include "core/core_impl.h"
#include "core/quota.h"

/* -- jobs and containers -- */

static int adopt_stored(void *arg, const struct job *job)
{
    struct core *core = arg;
    AUTO_JSON json_t *record = job_record_encode(job);
    struct job copy;
    job_init(&copy);
    int r = record ? job_record_decode(record, &copy, NULL) : -ENOMEM;
    struct live_job *live = r == 0 ? core_adopt(core, &copy) : NULL;
    job_finish(&copy);
    if (!live)
        return -ENOMEM;
    live->durable = true;
    live->released = live->job.state == JOB_IDLE;
    live->has_card = live->job.device != NULL;
    live->idle_before_ms = live->job.usage.idle_total_ms;
    quota_follow(core, live);
    return 0;
}

static void on_orphan_removed(void *context, const char *id, const struct error *err)
{
    (void)context;
    if (err)
        log_event(LOG_WARN, "container.remove", "job=%s code=%s text=\"%s\"", id, err->code,
                  err->text);
}

static void container_remove(struct core *core, const char *id)
{
    log_event(LOG_INFO, "container.orphan", "job=%s", id);
    (void)engine_remove(core->engine, id, on_orphan_removed, core, NULL); /* or the next start */
}

/* Jobs whose container is not there. */
static void container_missing(struct core *core, struct live_job *live)
{
    if (live->has_container || live->ending)
        return;
    if (live->job.state == JOB_QUEUED)
        queue_insert(core, live);
    else if (live->job.state == JOB_STARTING)
        life_requeue(core, live, "restarted", "leatd was restarted before its container was made");
    else if (live->job.restarting)
        life_restart(core, live);
    else
        life_fail(core, live, "lost", "its container was gone when leatd was started again");
}

static void on_broken_removed(void *context, const char *id, const struct error *err)
{
    struct core *core = context;
    struct live_job *live = core_find_text(core, id);
    on_orphan_removed(core, id, err);
    if (!live || core->stopping)
        return;
    live->has_container = false;
    container_missing(core, live);
    place_soon(core);
}

/* Half a container, left by a kill: it must be gone before the job gets another. */
static void container_broken(struct core *core, struct live_job *live, const char *id)
{
    live->has_container =
        engine_remove(core->engine, id, on_broken_removed, core, NULL) == 0; /* or the next start */
}

static void container_seen(struct core *core, const struct engine_task *task)
{
    uint64_t id;
    struct live_job *live = core_find_text(core, task->id);
    if (job_id_parse(task->id, &id, NULL) < 0)
        return; /* the engine's own */
    if (!live) {
        container_remove(core, task->id);
    } else if (task->state == ENGINE_TASK_BROKEN) {
        container_broken(core, live, task->id);
    } else if (task->state == ENGINE_TASK_ENDED) {
        live->has_container = true;
        life_exited(core, live, &task->exit);
    } else {
        live->has_container = true;
        if (live->job.state == JOB_STARTING || live->job.state == JOB_QUEUED)
            life_started(core, live);
        if (live->job.state == JOB_STOPPING)
            life_committed(core, live->job.id, JOB_STOPPING);
    }
}

static void on_containers(void *context, const struct engine_task *tasks, size_t count,
                          const struct error *err)
{
    struct core *core = context;
    if (core->stopping)
        return;
    if (err) {
        log_event(LOG_ERROR, "engine.list", "code=%s text=\"%s\"", err->code, err->text);
        (void)uv_timer_start(&core->place_timer, reconcile_again, 1000, 0); /* never NULL */
        return;
    }
    for (size_t i = 0; i < count; i++)
        container_seen(core, &tasks[i]);
    LIST_EACH_SAFE (link, after, &core->jobs)
        container_missing(core, LIST_ENTRY(link, struct live_job, link));
    core->engine_known = true;
    reconcile_folders(core);
    reconcile_card_daemon(core);
    place_soon(core);
}

void reconcile_again(uv_timer_t *timer)
{
    struct core *core = timer->data;
    struct error err;
    if (engine_list(core->engine, on_containers, core, &err) < 0)
        log_event(LOG_ERROR, "engine.list", "code=%s text=\"%s\"", err.code, err.text);
}

int reconcile_begin(struct core *core, struct error *err)
{
    int r = store_jobs_live(core->store, adopt_stored, core, err);
    if (r < 0)
        return r;
    return engine_list(core->engine, on_containers, core, err);
}

void reconcile_unread(struct core *core)
{
    LIST_EACH_SAFE (link, after, &core->placed) {
        struct live_job *live = LIST_ENTRY(link, struct live_job, placed);
        if (live->unread)
            life_read_usage(core, live);
    }
}

/* -- folders: a kill may have come between forgetting a job and removing what it wrote -- */

struct sweep {
    struct read_request read;
    char jobs_dir[PATH_MAX];
    uint64_t below; /* jobs from here on are new */
};

static void folder_consider(struct store *store, const struct sweep *sweep, int dir_fd,
                            const char *name)
{
    struct job job;
    struct error err;
    uint64_t id;
    if (job_id_parse(name, &id, NULL) < 0 || id >= sweep->below)
        return;
    if (store_job_read(store, id, &job, &err) == 0)
        job_finish(&job);
    else if (err.errnum == -ENOENT)
        (void)dir_remove_tree(dir_fd, name, NULL); /* the next start tries again */
}

static void sweep_work(struct store *store, struct read_request *read)
{
    struct sweep *sweep = LIST_ENTRY(read, struct sweep, read);
    DIR *folder = opendir(sweep->jobs_dir);
    if (!folder)
        return;
    for (struct dirent *entry; (entry = readdir(folder));)
        folder_consider(store, sweep, dirfd(folder), entry->d_name);
    (void)closedir(folder); /* it was only read */
}

static void sweep_done(struct core *core, struct read_request *read)
{
    (void)core;
    free(LIST_ENTRY(read, struct sweep, read));
}

void reconcile_folders(struct core *core)
{
    struct sweep *sweep = calloc(1, sizeof(*sweep));
    if (!sweep || path_join(core->state_dir, "jobs", sweep->jobs_dir, NULL) < 0) {
        free(sweep);
        return; /* the next start tries again */
    }
    sweep->below = store_last_job(core->store) + 1;
    sweep->read.work = sweep_work;
    sweep->read.done = sweep_done;
    reads_add(core, &sweep->read);
}

/* -- cards -- */

static void on_card_fixed(struct core *core, uint64_t job, json_t *result, const struct error *err)
{
    (void)core;
    (void)result;
    if (err)
        log_event(LOG_WARN, "card.reconcile", "job=%llu code=%s text=\"%s\"",
                  (unsigned long long)job, err->code, err->text);
}

static bool wants_card(const struct live_job *live)
{
    return live->job.device && live->has_container && !live->ending;
}

static void share_fix(struct core *core, struct live_job *live, uint32_t share_permille)
{
    char id[JOB_ID_TEXT_MAX];
    json_t *params = json_pack("{s:s, s:i}", "card", job_id_text(live->job.id, id),
                               "share_permille", (int)share_permille);
    (void)cards_ask(core, "card.set_share", params, on_card_fixed, live->job.id); /* or next time */
}

/* A card of ours: an orphan, or one whose share may differ from what the store says. */
static void card_seen(struct core *core, const struct card_usage *usage)
{
    uint64_t id;
    struct live_job *live = core_find_text(core, usage->card);
    if (job_id_parse(usage->card, &id, NULL) < 0)
        return; /* made by someone else */
    if (live && live->has_container && !live->job.device) {
        /* leatd was killed before it could write where the job was placed. */
        live->has_card = place_set(core, live, usage->device) == 0;
    }
    if (!live || live->clearing || !live->job.device) {
        log_event(LOG_INFO, "card.orphan", "card=%s", usage->card);
        (void)cards_ask(core, "card.remove", json_pack("{s:s}", "card", usage->card), on_card_fixed,
                        id); /* or next time */
        return;
    }
    live->card_seen = true;
    if (live->ending)
        return;
    uint32_t share = live->released ? 0 : live->job.request.share_permille;
    live->away = usage->state && strcmp(usage->state, "suspended") == 0;
    if (!live->away && usage->share_permille != share && !live->sharing)
        share_fix(core, live, share);
}

/* leat-cardd was restarted below a running job: the same card again, under the same token. */
static void card_make_again(struct core *core, struct live_job *live)
{
    log_event(LOG_INFO, "card.again", "job=%llu", (unsigned long long)live->job.id);
    (void)cards_ask(core, "card.create", life_card_params(live), on_card_fixed, live->job.id);
    live->away = false;
    if (live->released)
        share_fix(core, live, 0);
}

static void on_cards(struct core *core, uint64_t job, json_t *result, const struct error *err)
{
    (void)job;
    size_t index;
    json_t *object;
    if (err)
        return;
    LIST_EACH (link, &core->jobs)
        LIST_ENTRY(link, struct live_job, link)->card_seen = false;
    json_array_foreach (json_object_get(result, "cards"), index, object) {
        struct card_usage usage;
        if (card_usage_decode(object, &usage, NULL) == 0) {
            card_seen(core, &usage);
            card_usage_finish(&usage);
        }
    }
    LIST_EACH (link, &core->jobs) {
        struct live_job *live = LIST_ENTRY(link, struct live_job, link);
        if (wants_card(live) && !live->card_seen)
            card_make_again(core, live);
    }
    core->cards_known = true;
    reconcile_unread(core);
    if (core->known)
        core->known(core->known_arg);
    core->known = NULL;
    idle_cards_seen(core, json_object_get(result, "cards"));
    place_soon(core);
}

void core_on_known(struct core *core, void (*known)(void *arg), void *arg)
{
    core->known = known;
    core->known_arg = arg;
    if (core->cards_known) {
        core->known = NULL;
        known(arg);
    }
}

/* -- devices -- */

void devices_free(struct core *core)
{
    for (size_t i = 0; i < core->device_count; i++)
        device_finish(&core->devices[i]);
    free(core->devices);
    free(core->foreign);
    core->devices = NULL;
    core->foreign = NULL;
    core->device_count = 0;
}

static void on_devices(struct core *core, uint64_t job, json_t *result, const struct error *err)
{
    (void)job;
    const json_t *list = json_object_get(result, "devices");
    size_t room = json_array_size(list);
    if (err)
        return;
    devices_free(core);
    if (room > FLEET_NODE_DEVICES_MAX) {
        log_event(LOG_WARN, "devices", "there=%zu used=%d", room, FLEET_NODE_DEVICES_MAX);
        room = FLEET_NODE_DEVICES_MAX;
    }
    core->devices = calloc(room + 1, sizeof(*core->devices));
    core->foreign = calloc(room + 1, sizeof(*core->foreign));
    for (size_t i = 0; core->devices && core->foreign && i < room; i++) {
        struct error reason;
        if (device_decode(json_array_get(list, i), &core->devices[core->device_count], &reason) ==
            0)
            core->device_count++;
        else
            log_event(LOG_WARN, "device", "text=\"%s\"", reason.text);
    }
    quota_devices_changed(core);
}

static void on_subscribed(struct core *core, uint64_t job, json_t *result, const struct error *err)
{
    (void)core;
    (void)job;
    (void)result;
    if (err)
        log_event(LOG_ERROR, "cardd.subscribe", "code=%s text=\"%s\"", err->code, err->text);
}

/* Answers come in the order of the questions. When the connection breaks in between, the next one
 * begins from the front. */
void reconcile_card_daemon(struct core *core)
{
    core->cards_known = false;
    if (!core->engine_known)
        return; /* which cards are wanted is not known yet */
    (void)cards_ask(core, "subscribe", NULL, on_subscribed, 0);
    (void)cards_ask(core, "device.list", NULL, on_devices, 0);
    (void)cards_ask(core, "card.list", NULL, on_cards, 0);
}
