/* Making and ending the control plane, and the table of live jobs. */
#include "core/core.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/path.h"
#include "core/core_impl.h"
#include "core/cuda_list.h"
#include "core/devices.h"
#include "core/wait.h"
#include "core/images.h"
#include "core/estimate_impl.h"
#include "core/models.h"
#include "core/quota.h"
#include "core/teach.h"
#include "model/template.h"
#include "sched/tenant.h"

#define POLL_DEFAULT_MS 500

/* -- the table of live jobs -- */

struct live_job *core_find_text(const struct core *core, const char *id)
{
    return map_get(core->jobs_by_id, id);
}

struct live_job *core_find(const struct core *core, uint64_t id)
{
    char text[JOB_ID_TEXT_MAX];
    return core_find_text(core, job_id_text(id, text));
}

struct live_job *core_adopt(struct core *core, struct job *job)
{
    char text[JOB_ID_TEXT_MAX];
    AUTO_FREE struct live_job *live = calloc(1, sizeof(*live));
    if (!live || map_put(core->jobs_by_id, job_id_text(job->id, text), live, NULL) < 0)
        return NULL;
    live->job = *job;
    job_init(job);
    live->told = true;
    list_append(&core->jobs, &live->link);
    list_init(&live->queued);
    list_init(&live->placed);
    list_init(&live->waking);
    list_init(&live->mates);
    if (live->job.device)
        list_append(&core->placed, &live->placed);
    core->placed_count += live->job.device != NULL;
    core->state_counts[live->job.state]++;
    idle_watch(core); /* also for one that waits: for a card that is not of this centre's jobs */
    return TAKE(live);
}

void core_forget(struct core *core, struct live_job *live)
{
    char text[JOB_ID_TEXT_MAX];
    if (!live)
        return;
    (void)map_remove(core->jobs_by_id, job_id_text(live->job.id, text)); /* it is live itself */
    queue_remove(core, live);
    quota_drop(core, live);
    core->placed_count -= !list_empty(&live->placed);
    core->state_counts[live->job.state]--;
    list_remove(&live->placed);
    list_remove(&live->waking);
    list_remove(&live->link);
    job_finish(&live->job);
    free(live);
}

void core_reply_value(core_reply_fn *reply, void *arg, json_t *value)
{
    struct error err;
    if (value) {
        reply(arg, value, NULL);
        return;
    }
    (void)error_set(&err, -ENOMEM, "out-of-memory", "making the answer");
    reply(arg, NULL, &err);
}

/* -- making -- */

static int folders_set(struct core *core, const struct core_options *options, struct error *err)
{
    const struct {
        const char *from;
        char *to;
    } folders[] = {
        {options->run_dir, core->run_dir},
        {options->state_dir, core->state_dir},
        {options->data_dir ? options->data_dir : "", core->data_dir},
        {options->cardd_path ? options->cardd_path : "", core->cardd_path},
    };
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        if (snprintf(folders[i].to, PATH_MAX, "%s", folders[i].from) >= PATH_MAX)
            return error_set(err, -ENAMETOOLONG, "bad-path", "a path is longer than %d bytes",
                             PATH_MAX - 1);
    }
    int r = dir_make(core->run_dir, 0755, err);
    return r < 0 ? r : dir_make(core->state_dir, 0700, err);
}

static int store_make(struct core *core, struct error *err)
{
    char path[PATH_MAX];
    int r = path_join(core->state_dir, "leat.db", path, err);
    if (r == 0)
        r = store_open(path, &core->store, err);
    if (r < 0)
        return r;
    core->next_job = store_last_job(core->store) + 1;
    core->next_event = store_last_event(core->store) + 1;
    return 0;
}

static bool engine_is_fake(const struct core_options *options)
{
    return options->engine_name && strcmp(options->engine_name, "fake") == 0;
}

static int engine_make(struct core *core, const struct core_options *options, struct error *err)
{
    const struct engine_config config = {
        .run_dir = core->run_dir,
        .state_dir = core->state_dir,
        .data_dir = core->data_dir[0] ? core->data_dir : NULL,
        .fake = options->fake_world,
    };
    const struct engine_callbacks callbacks = {
        .context = core,
        .on_exit = life_on_exit,
        .on_image = images_on_change,
    };
    bool fake = engine_is_fake(options);
    return engine_create(fake ? ENGINE_KIND_FAKE : ENGINE_KIND_LOCAL, core->loop, &config,
                         &callbacks, &core->engine, err);
}

/* The templates that ship, then those of this site, which may replace some. */
static int templates_read(const struct core *core, struct template_set *set, struct error *err)
{
    char folder[PATH_MAX];
    int r = path_join(core->data_dir, "templates", folder, err);
    if (r == 0)
        r = template_set_load(set, folder, err);
    if (r == 0)
        r = path_join(core->state_dir, "templates", folder, err);
    return r == 0 && access(folder, F_OK) == 0 ? template_set_load(set, folder, err) : r;
}

int core_reload(struct core *core, struct error *err)
{
    if (!core->data_dir[0])
        return error_set(err, -ENOENT, "no-templates", "no data folder was named");
    struct template_set *set = template_set_create();
    if (!set)
        return error_set(err, -ENOMEM, "out-of-memory", "reading templates");
    int r = templates_read(core, set, err);
    if (r < 0) {
        template_set_destroy(set);
        return r;
    }
    template_set_destroy(core->templates);
    core->templates = set;
    return 0;
}

/* The client library that programs in containers load: beside us in a build, or installed. Without
 * it a job would run on the host's own drivers, past its card: only tasks that are none may do
 * without. */
static int card_library_find(struct core *core, const struct core_options *options,
                             struct error *err)
{
    static const char *const places[] = {
        "../card/opencl/libleat-opencl.so",
        LEAT_LIBDIR_FROM_BINDIR "/leat/libleat-opencl.so",
        "../lib/leat/libleat-opencl.so",
        NULL,
    };
    int r = path_find_beside("libleat-opencl.so", places, core->card_library, err);
    if (r < 0)
        core->card_library[0] = 0; /* told by core_health */
    return engine_is_fake(options) ? 0 : r;
}

static void timers_init(struct core *core)
{
    uv_timer_t *timers[] = {&core->place_timer, &core->commit_timer, &core->poll_timer,
                            &core->wait_timer};
    for (size_t i = 0; i < sizeof(timers) / sizeof(timers[0]); i++) {
        (void)uv_timer_init(core->loop, timers[i]); /* never fails */
        timers[i]->data = core;
    }
}

static void lists_init(struct core *core)
{
    struct list *lists[] = {&core->jobs,  &core->queue,         &core->placed,  &core->waking,
                            &core->reads, &core->reading,       &core->submits, &core->waits,
                            &core->logs,  &core->subscriptions, &core->lessons};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        list_init(lists[i]);
}

DEFINE_CLEANUP(core, struct core, core_destroy)

int core_create(const struct core_options *options, struct core **ret_core, struct error *err)
{
    CLEANUP(cleanup_core) struct core *core = calloc(1, sizeof(*core));
    if (!core)
        return error_set(err, -ENOMEM, "out-of-memory", "starting");
    core->loop = options->loop;
    core->poll_ms = options->idle_poll_ms ? options->idle_poll_ms : POLL_DEFAULT_MS;
    core->started_us = clock_realtime_us();
    preempt_init(core, options);
    repack_init(core, options->moves_per_hour);
    lists_init(core);
    core->jobs_by_id = map_create();
    core->gangs = map_create();
    if (!core->jobs_by_id || !core->gangs || commit_open(core) < 0 || models_create(core) < 0 ||
        quota_create(core, options) < 0)
        return error_set(err, -ENOMEM, "out-of-memory", "starting");
    int r = folders_set(core, options, err);
    if (r == 0 && place_node_read(core) < 0)
        r = error_set(err, -EIO, "no-proc", "could not read /proc/meminfo");
    if (r == 0)
        r = store_make(core, err);
    if (r == 0)
        r = engine_make(core, options, err);
    if (r == 0)
        r = card_library_find(core, options, err);
    if (r < 0)
        return r;
    *ret_core = TAKE(core);
    return 0;
}

int core_start(struct core *core, struct error *err)
{
    struct error reason;
    timers_init(core);
    core->started = true;
    core->read_busy = true;  /* by what follows */
    core->open_handles += 4; /* the timers */
    core->cards_by_ms = uv_now(core->loop) + CORE_CARDS_PATIENCE_MS;
    if (core_reload(core, &reason) < 0)
        log_event(LOG_WARN, "templates", "code=%s text=\"%s\"", reason.code, reason.text);
    if (core->data_dir[0] && estimate_load(core, &reason) < 0)
        log_event(LOG_WARN, "profiles", "code=%s text=\"%s\"", reason.code, reason.text);
    int r = devices_load(core, err);
    if (r == 0)
        r = quota_load(core, err);
    if (r == 0)
        r = models_load(core, err);
    if (r == 0)
        r = teach_load(core, err);
    if (r == 0)
        r = reconcile_begin(core, err);
    if (r == 0 && cards_open(core) < 0)
        r = error_set(err, -ENOMEM, "out-of-memory", "starting");
    if (r == 0)
        cuda_list_open(core);
    reads_begin(core); /* also after a failure: core_stop waits for them */
    return r;
}

/* -- ending -- */

void core_handle_open(struct core *core)
{
    core->open_handles++;
}

void core_handle_closed(struct core *core)
{
    core->open_handles--;
    core_stop_step(core);
}

static void on_timer_closed(uv_handle_t *handle)
{
    core_handle_closed(handle->data);
}

static void timers_close(struct core *core)
{
    uv_timer_t *timers[] = {&core->place_timer, &core->commit_timer, &core->poll_timer,
                            &core->wait_timer};
    for (size_t i = 0; i < sizeof(timers) / sizeof(timers[0]); i++)
        uv_close((uv_handle_t *)timers[i], on_timer_closed);
}

void core_stop_step(struct core *core)
{
    if (!core->stopping || core->read_busy || !list_empty(&core->reads) || !commit_idle(core))
        return;
    if (!uv_is_closing((uv_handle_t *)&core->commit_timer))
        timers_close(core);
    if (core->open_handles > 0 || !core->stopped)
        return;
    void (*stopped)(void *arg) = core->stopped;
    core->stopped = NULL;
    stopped(core->stopped_arg);
}

void core_stop(struct core *core, void (*stopped)(void *arg), void *arg)
{
    core->stopping = true;
    core->stopped = stopped;
    core->stopped_arg = arg;
    if (!core->started) {
        core->stopped = NULL;
        stopped(arg);
        return;
    }
    wait_cancel_all(core);
    cuda_list_close(core);
    cards_close(core);
    core_stop_step(core);
}

void core_destroy(struct core *core)
{
    if (!core)
        return;
    if (core->engine)
        engine_destroy(core->engine);
    if (core->jobs_by_id) {
        LIST_EACH_SAFE (link, after, &core->jobs)
            core_forget(core, LIST_ENTRY(link, struct live_job, link));
    }
    teach_finish(core);
    commit_close(core);
    cards_destroy(core);
    cuda_list_destroy(core);
    devices_free(core);
    devices_rules_free(core);
    tenants_destroy(core->tenants);
    models_destroy(core);
    store_close(core->store);
    template_set_destroy(core->templates);
    estimate_unload(core);
    map_destroy(core->jobs_by_id);
    map_destroy(core->gangs);
    free(core);
}
