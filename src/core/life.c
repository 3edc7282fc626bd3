/* A job's life: every transition, and what each step asks of engine and cards.
 *
 * queued -> starting: card.create, then the engine; -> running. The end: the exit is seen, the
 * card's last figures are read, the end is made durable, and only then are container and card
 * removed, so that a kill at any instant leaves the exit status to be read again. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "core/core_impl.h"
#include "core/cuda.h"
#include "core/cuda_list.h"
#include "core/devices.h"
#include "core/evict.h"
#include "core/gang.h"
#include "core/learn.h"
#include "core/lesson.h"
#include "core/wait.h"
#include "core/quota.h"

static void clear_begin(struct core *core, struct live_job *live);

static void log_move(const struct live_job *live, const char *kind)
{
    bool matters = live->job.state == JOB_RUNNING || job_state_ended(live->job.state);
    log_event(matters ? LOG_INFO : LOG_DEBUG, kind, "job=%llu device=\"%s\" code=%s text=\"%s\"",
              (unsigned long long)live->job.id, live->job.device ? live->job.device : "",
              live->job.code, live->job.text);
}

void life_move(struct core *core, struct live_job *live, enum job_state to,
               const struct life_reason *reason)
{
    struct job *job = &live->job;
    AUTO_JSON json_t *data = reason->data;
    if (!job_state_may_follow(job->state, to))
        abort(); /* a broken invariant: the record would lie from here on */
    struct store_event event = commit_event(core, reason->kind, job->id);
    event.from = job->state;
    event.to = to;
    event.data = data;
    idle_count(live, event.time_us);
    live->idle_before_ms = job->usage.idle_total_ms;
    job->changed_us = event.time_us;
    job->state = to;
    core->state_counts[event.from]--;
    core->state_counts[to]++;
    live->told = true;
    if (job_state_ended(to)) {
        job->ended_us = job->ended_us ? job->ended_us : event.time_us;
        core->counters.ended[to]++;
    }
    quota_follow(core, live);
    if (job_reason_set(job, reason->code, reason->text) < 0)
        log_event(LOG_ERROR, "memory", "job=%llu", (unsigned long long)job->id);
    commit_job(core, live, &event);
    log_move(live, reason->kind);
}

/* -- the way up -- */

json_t *life_card_params(const struct live_job *live)
{
    char id[JOB_ID_TEXT_MAX];
    json_t *remote = job_interface(&live->job.request) == JOB_CUDA_REMOTE ? json_true() : NULL;
    return json_pack(
        "{s:s, s:s, s:I, s:i, s:b, s:s, s:s, s:o*}", "card", job_id_text(live->job.id, id),
        "device", live->job.device, "memory_bytes", (json_int_t)live->job.request.memory_bytes,
        "share_permille", (int)live->job.request.share_permille, "burst", live->job.request.burst,
        "token", live->job.token, "tenant", live->job.request.tenant, "remote", remote);
}

static void on_ignored(struct core *core, uint64_t job, json_t *result, const struct error *err)
{
    (void)core;
    (void)result;
    if (err)
        log_event(LOG_DEBUG, "card.remove", "job=%llu code=%s", (unsigned long long)job, err->code);
}

static json_t *card_param(uint64_t job)
{
    char id[JOB_ID_TEXT_MAX];
    return json_pack("{s:s}", "card", job_id_text(job, id));
}

void life_requeue(struct core *core, struct live_job *live, const char *code, const char *text)
{
    if (live->has_card)
        (void)cards_ask(core, "card.remove", card_param(live->job.id), on_ignored,
                        live->job.id); /* when it is away, reconciling removes the card */
    live->has_card = live->has_container = live->released = live->away = live->stays = false;
    preempt_over(live);
    gang_back(core, live);
    (void)place_set(core, live, NULL); /* fails only with a device */
    life_move(core, live, JOB_QUEUED,
              &(struct life_reason){.kind = "job.requeued", .code = code, .text = text});
    queue_insert(core, live);
    place_soon(core);
}

static void start_failed(struct core *core, struct live_job *live, const struct error *err)
{
    core->counters.starts_failed++;
    gang_break(core, live);
    life_fail(core, live, err->code, err->text);
}

static void on_engine_started(void *context, const char *id, const struct error *err)
{
    struct core *core = context;
    struct live_job *live = core_find_text(core, id);
    if (!live || live->ending || core->stopping)
        return;
    if (err) {
        live->has_container = false;
        start_failed(core, live, err);
    } else if (live->job.state == JOB_STARTING) {
        life_started(core, live);
    } else if (live->job.state == JOB_STOPPING) {
        (void)engine_stop(core->engine, id, live->job.request.grace_ms, NULL); /* it may be gone */
    }
}

/* NULL-ended, all owned. */
static char **environment_make(const struct job *job, char *const *more)
{
    char id[JOB_ID_TEXT_MAX];
    const char *name;
    json_t *value;
    char restarts[16];
    (void)snprintf(restarts, sizeof(restarts), "%u", job->memory_restarts + job->requeues);
    size_t count = 0, room = json_object_size(job->request.env) + 6;
    for (char *const *variable = more; variable && *variable; variable++)
        room++;
    char **env = calloc(room, sizeof(*env));
    bool failed = !env;
    const struct {
        const char *name, *value;
    } own[] = {
        {"LEAT_JOB_ID", job_id_text(job->id, id)},   {"LEAT_RESTARTS", restarts},
        {"LEAT_CARD_SOCKET", "/run/leat/card.sock"}, {"LEAT_CARD_TOKEN", job->token},
        {"OCL_ICD_VENDORS", "/etc/OpenCL/vendors"},
    };
    for (size_t i = 0; !failed && i < sizeof(own) / sizeof(*own); i++)
        failed = asprintf(&env[count++], "%s=%s", own[i].name, own[i].value) < 0;
    for (; !failed && more && *more; more++)
        failed = !(env[count++] = strdup(*more));
    json_object_foreach (job->request.env, name, value) {
        if (!failed)
            failed = asprintf(&env[count++], "%s=%s", name, json_string_value(value)) < 0;
    }
    if (failed) {
        texts_free(env);
        return NULL;
    }
    return env;
}

static void cleanup_texts(char ***texts)
{
    texts_free(*texts);
}

static void container_start(struct core *core, struct live_job *live)
{
    const struct job_request *request = &live->job.request;
    char id[JOB_ID_TEXT_MAX], socket_dir[PATH_MAX];
    struct error err;
    __attribute__((cleanup(cuda_view_finish))) struct cuda_view cuda = {0};
    const struct device *device = devices_find(core, live->job.device);
    if (job_is_cuda(request) && device &&
        cuda_view_make(device, request, cuda_list_text(core), &cuda, &err) < 0) {
        start_failed(core, live, &err);
        return;
    }
    __attribute__((cleanup(cleanup_texts))) char **env =
        environment_make(&live->job, cuda.variables);
    if (!env || snprintf(socket_dir, sizeof(socket_dir), "%s/card", core->run_dir) >=
                    (int)sizeof(socket_dir)) {
        (void)error_set(&err, -ENOMEM, "out-of-memory", "making the environment");
        start_failed(core, live, &err);
        return;
    }
    const struct engine_task_spec spec = {
        .id = job_id_text(live->job.id, id),
        .image = request->image,
        .argv = (const char *const *)request->command,
        .env = (const char *const *)env,
        .src_dir = request->src,
        .work_dir = request->workdir,
        .mounts = cuda.mounts,
        .mounts_count = cuda.mounts_count,
        .card_socket_dir = core->card_library[0] ? socket_dir : NULL,
        .card_library = core->card_library[0] ? core->card_library : NULL,
        .network = (enum engine_network)job_network_parse(request->network_name),
        .cpus_milli = request->cpus_milli,
        .ram_bytes = request->ram_bytes,
        .pids_max = request->pids,
    };
    live->has_container = true;
    if (engine_start(core->engine, &spec, on_engine_started, core, &err) < 0) {
        live->has_container = false;
        start_failed(core, live, &err);
    }
}

/* Cards that are not of this centre's jobs have come since we last looked. */
static bool taken_by_others(const struct error *err)
{
    return strcmp(err->code, "memory-exceeds-device") == 0 ||
           strcmp(err->code, "share-exceeds-device") == 0;
}

/* It waits, and is not to blame. */
static void wait_for_others(struct core *core, struct live_job *live, const struct error *err)
{
    idle_device_taken(core, live->job.device);
    live->job.starts--;
    live->has_card = false;
    life_requeue(core, live, err->code, err->text);
}

static void on_card_created(struct core *core, uint64_t id, json_t *result, const struct error *err)
{
    struct live_job *live = core_find(core, id);
    (void)result; /* it repeats what was asked */
    if (!live || live->ending || core->stopping)
        return;
    if (err)
        live->has_card = err->errnum == -EEXIST;
    if (live->job.state == JOB_STOPPING)
        life_fail(core, live, "stopped", "stopped before its program was started");
    else if (err && (err->errnum == -ECONNRESET || err->errnum == -EEXIST) &&
             live->job.starts < CORE_STARTS_MAX)
        life_requeue(core, live, err->code, err->text);
    else if (err && taken_by_others(err))
        wait_for_others(core, live, err);
    else if (err)
        start_failed(core, live, err);
    else
        container_start(core, live);
}

void life_place(struct core *core, struct live_job *live, const char *device)
{
    char text[128];
    (void)snprintf(text, sizeof(text), "its card is made on %s", device);
    if (place_set(core, live, device) < 0)
        return;
    queue_remove(core, live);
    live->job.starts++;
    life_move(core, live, JOB_STARTING,
              &(struct life_reason){
                  .kind = "job.starting",
                  .code = "placed",
                  .text = text,
                  .data = json_pack("{s:s, s:i, s:I}", "device", device, "share_permille",
                                    (int)live->job.request.share_permille, "memory_bytes",
                                    (json_int_t)live->job.request.memory_bytes),
              });
    live->has_card = true;
    if (cards_ask(core, "card.create", life_card_params(live), on_card_created, live->job.id) < 0) {
        live->has_card = false;
        life_requeue(core, live, "card-daemon-away", "leat-cardd does not answer");
    }
}

void life_started(struct core *core, struct live_job *live)
{
    live->has_container = true;
    live->job.started_us = live->job.started_us ? live->job.started_us : clock_realtime_us();
    life_move(core, live, JOB_RUNNING,
              &(struct life_reason){
                  .kind = "job.running",
                  .code = "running",
                  .text = "its program runs",
              });
    log_job_changed(core, live->job.id);
}

/* -- the way down -- */

static const struct final {
    enum job_state state;
    const char *kind;
} finals[] = {
    {JOB_SUCCEEDED, "job.succeeded"}, {JOB_FAILED, "job.failed"}, {JOB_STOPPED, "job.stopped"}};

static void life_end(struct core *core, struct live_job *live, enum job_state state,
                     const char *code, const char *text)
{
    const char *kind = finals[state - JOB_SUCCEEDED].kind;
    struct job *job = &live->job;
    live->ending = true;
    preempt_over(live);
    job->usage.share_granted_permille = job->usage.released_permille = 0;
    list_remove(&live->waking);
    if (job->state == JOB_QUEUED)
        queue_remove(core, live);
    json_t *data =
        json_pack("{s:s, s:o, s:o, s:b}", "code", code, "exit_status",
                  job->has_exit && !job->signal ? json_integer(job->exit_status) : json_null(),
                  "signal", job->signal ? json_integer(job->signal) : json_null(), "oom", job->oom);
    life_move(core, live, state,
              &(struct life_reason){.kind = kind, .code = code, .text = text, .data = data});
    if (!job->started_us || !job->has_exit || state != JOB_SUCCEEDED)
        return;
    if (store_batch_measurement(commit_batch(core), job, learn_device(core, job->device)) < 0)
        log_event(LOG_ERROR, "memory", "job=%llu", (unsigned long long)job->id);
    lesson_of_job(core, job);
}

/* -- again, on a larger card -- */

static bool fits_somewhere(const struct core *core, uint64_t bytes)
{
    for (size_t i = 0; i < core->device_count; i++) {
        if (core->devices[i].memory_bytes >= bytes)
            return true;
    }
    return core->device_count == 0; /* not known yet: it is judged when it is placed */
}

/* Should leatd be killed from here on, the next one knows what was decided. */
static void on_restart_durable(struct core *core, void *arg, const struct error *err)
{
    struct live_job *live = core_find(core, (uint64_t)(uintptr_t)arg);
    if (live && !err && !core->stopping)
        clear_begin(core, live);
    else if (live && !core->stopping) {
        live->job.restarting = false;
        life_fail(core, live, err->code, err->text);
    }
}

void life_again(struct core *core, struct live_job *live)
{
    struct job *job = &live->job;
    live->ending = job->restarting = true;
    list_remove(&live->waking);
    struct store_event event = commit_event(core, "job.restarting", job->id);
    commit_job(core, live, &event);
    if (commit_then(core, on_restart_durable, (void *)(uintptr_t)job->id) < 0)
        clear_begin(core, live); /* a kill within it is the end of the job, no more */
}

/* It failed after it was refused memory that Leat, not its user, had thought to be enough: what it
 * wanted is now known. The program goes on from its checkpoint, if it makes any. */
static bool restart_larger(struct core *core, struct live_job *live)
{
    struct job *job = &live->job;
    uint64_t wanted = job->usage.memory_wanted_bytes, bytes = wanted + wanted / 10;
    bool failed = job->has_exit && (job->exit_status || job->signal);
    if (!failed || job->stop_asked || job->oom || job->memory_asked ||
        job->memory_restarts >= job->request.restarts || wanted <= job->request.memory_bytes ||
        !fits_somewhere(core, bytes))
        return false;
    char *basis = strdup("what it wanted when it was refused memory, and a tenth more");
    if (!basis)
        return false;
    free(job->memory_basis);
    job->memory_basis = basis;
    job->request.memory_bytes = bytes;
    job->memory_restarts++;
    life_again(core, live);
    return true;
}

void life_restart(struct core *core, struct live_job *live)
{
    struct job *job = &live->job;
    job->restarting = live->clearing = live->ending = false;
    job->has_exit = false;
    job->exit_status = job->signal = 0;
    job->started_us = job->ended_us = 0;
    job->usage = (struct job_usage){.idle_total_ms = job->usage.idle_total_ms};
    bool evicted = job->state == JOB_STOPPING;
    job->requeues += evicted;
    if (evicted)
        life_requeue(core, live, "evicted",
                     "it gave way to another job; it waits to be started again");
    else if (job->request.gang && !job->mustered)
        life_requeue(core, live, "gang-taken-back",
                     "another of its gang could not start; they wait to start together");
    else
        life_requeue(core, live, "memory-refused",
                     "it was refused memory; it waits for a larger card, on which it goes on");
}

static const char runtime_text[] =
    "its program uses the CUDA runtime library, which asks the driver for tables that a remote "
    "card "
    "does not have; run it without --remote, on a card of its own host";

/* 127 is what shells and the container's init say of a program that is not there. */
static void end_by_status(struct core *core, struct live_job *live)
{
    const struct job *job = &live->job;
    char text[256];
    if (live->runtime_refused)
        (void)snprintf(text, sizeof(text), "%s", runtime_text);
    else if (job->exit_status == 127)
        (void)snprintf(
            text, sizeof(text),
            "its program exited with status 127, as when a command is not found; see its "
            "log, and whether image %s has it: --image names another",
            job->request.image);
    else
        (void)snprintf(text, sizeof(text), "its program exited with status %u; see its log",
                       job->exit_status);
    life_end(core, live, JOB_FAILED, live->runtime_refused ? "cuda-runtime" : "exit-status", text);
}

/* What the exit says, in words. */
static void end_by_exit(struct core *core, struct live_job *live)
{
    const struct job *job = &live->job;
    char text[160];
    if (job->restarting)
        clear_begin(core, live); /* decided before leatd was killed */
    if (job->restarting || restart_larger(core, live))
        return;
    if (job->stop_asked)
        life_end(core, live, JOB_STOPPED, "stopped", "stopped on request");
    else if (job->oom) {
        (void)snprintf(text, sizeof(text),
                       "it used more main memory than its %llu MiB; ask for more with --ram",
                       (unsigned long long)(job->request.ram_bytes >> 20));
        life_end(core, live, JOB_FAILED, "out-of-memory", text);
    } else if (job->signal) {
        (void)snprintf(text, sizeof(text), "its program was ended by signal %u (%s)", job->signal,
                       strsignal((int)job->signal));
        life_end(core, live, JOB_FAILED, "signal", text);
    } else if (!job->has_exit) {
        life_end(core, live, JOB_FAILED, "lost", "its container ended without an exit status");
    } else if (job->exit_status) {
        end_by_status(core, live);
    } else {
        life_end(core, live, JOB_SUCCEEDED, "succeeded", "its program exited with status 0");
    }
}

static void on_last_usage(struct core *core, uint64_t id, json_t *result, const struct error *err)
{
    struct live_job *live = core_find(core, id);
    struct card_usage usage;
    if (!live || core->stopping)
        return;
    if (!err && card_usage_decode(result, &usage, NULL) == 0) {
        idle_usage(live, &usage);
        card_usage_finish(&usage);
    }
    end_by_exit(core, live);
}

void life_exited(struct core *core, struct live_job *live, const struct engine_exit *exit)
{
    struct job *job = &live->job;
    if (live->ending)
        return;
    live->ending = true;
    if (job->state == JOB_STOPPING && exit->ended_us < job->changed_us)
        job->restarting = false; /* nobody had asked it to end yet */
    job->has_exit = exit->status >= 0 || exit->signal;
    job->exit_status = exit->status >= 0 ? (uint32_t)exit->status : 0;
    job->signal = (uint32_t)exit->signal;
    job->oom = exit->oom;
    if (job->state == JOB_STARTING || job->state == JOB_QUEUED)
        life_started(core, live); /* it ran, however briefly */
    /* A short one may have ended before its start was told. */
    job->ended_us = exit->ended_us > job->started_us ? exit->ended_us : job->started_us;
    life_read_usage(core, live);
}

void life_read_usage(struct core *core, struct live_job *live)
{
    uint64_t id = live->job.id;
    bool patient = uv_now(core->loop) < core->cards_by_ms;
    live->unread = false;
    if (!live->has_card)
        end_by_exit(core, live);
    else if (cards_ask(core, "card.show", card_param(id), on_last_usage, id) == 0)
        return;
    else if (patient)
        live->unread = true; /* leat-cardd is only just being asked for */
    else
        end_by_exit(core, live);
}

void life_on_exit(void *context, const char *id, const struct engine_exit *exit)
{
    struct core *core = context;
    struct live_job *live = core_find_text(core, id);
    if (live && !core->stopping)
        life_exited(core, live, exit);
}

void life_fail(struct core *core, struct live_job *live, const char *code, const char *text)
{
    if (live->job.stop_asked)
        life_end(core, live, JOB_STOPPED, "stopped", text);
    else
        life_end(core, live, JOB_FAILED, code, text);
}

/* With the new grace; one that was to be started again is not. */
static void stop_again(struct core *core, struct live_job *live)
{
    if (live->job.restarting) {
        struct store_event event = commit_event(core, "job.stopping", live->job.id);
        live->job.restarting = false;
        (void)job_reason_set(&live->job, "stop-asked",
                             "asked to end; it is killed when its grace is over"); /* or the old */
        commit_job(core, live, &event);
    }
    life_committed(core, live->job.id, JOB_STOPPING);
}

void life_stop(struct core *core, struct live_job *live, uint64_t grace_ms)
{
    struct job *job = &live->job;
    if (live->ending)
        return;
    job->stop_asked = true;
    job->request.grace_ms = grace_ms;
    if (job->state == JOB_QUEUED)
        life_end(core, live, JOB_STOPPED, "stopped", "stopped while it waited");
    else if (job->state == JOB_STOPPING)
        stop_again(core, live);
    else
        life_move(core, live, JOB_STOPPING,
                  &(struct life_reason){
                      .kind = "job.stopping",
                      .code = "stop-asked",
                      .text = "asked to end; it is killed when its grace is over",
                      .data = json_pack("{s:I}", "grace_ms", (json_int_t)grace_ms),
                  });
}

/* -- clearing away -- */

static void clear_check(struct core *core, struct live_job *live)
{
    if (live->has_card || live->has_container)
        return;
    if (live->job.restarting) {
        life_restart(core, live);
        return;
    }
    uint64_t id = live->job.id;
    core_forget(core, live);
    wait_job_forgotten(core, id);
    idle_wake_all(core);
    place_soon(core);
}

static void on_container_removed(void *context, const char *id, const struct error *err)
{
    struct core *core = context;
    struct live_job *live = core_find_text(core, id);
    if (err)
        log_event(LOG_WARN, "container.remove", "job=%s code=%s text=\"%s\"", id, err->code,
                  err->text);
    if (!live)
        return;
    live->has_container = false; /* what is left is taken away at the next start */
    clear_check(core, live);
}

static void on_card_removed(struct core *core, uint64_t id, json_t *result, const struct error *err)
{
    struct live_job *live = core_find(core, id);
    (void)result; /* its figures were read before */
    if (err && strcmp(err->code, "unknown-card") != 0)
        log_event(LOG_WARN, "card.remove", "job=%llu code=%s text=\"%s\"", (unsigned long long)id,
                  err->code, err->text);
    if (!live)
        return;
    live->has_card = false;
    clear_check(core, live);
}

static void clear_begin(struct core *core, struct live_job *live)
{
    char id[JOB_ID_TEXT_MAX];
    if (live->clearing)
        return;
    live->clearing = true;
    if (live->has_card &&
        cards_ask(core, "card.remove", card_param(live->job.id), on_card_removed, live->job.id) < 0)
        live->has_card = false; /* reconciling removes it when leat-cardd is back */
    if (live->has_container && engine_remove(core->engine, job_id_text(live->job.id, id),
                                             on_container_removed, core, NULL) < 0)
        live->has_container = false; /* the next start removes it */
    clear_check(core, live);
}

void life_committed(struct core *core, uint64_t id, enum job_state to)
{
    struct live_job *live = core_find(core, id);
    char text[JOB_ID_TEXT_MAX];
    if (!live)
        return;
    if (job_state_ended(to)) {
        wait_job_ended(core, live);
        clear_begin(core, live);
        log_job_changed(core, id);
    } else if (to == JOB_QUEUED && !live->durable) {
        live->durable = true;
        if (live->job.state == JOB_QUEUED)
            queue_insert(core, live);
        place_soon(core);
    } else if (to == JOB_STOPPING && live->has_container && !live->ending) {
        (void)engine_stop(core->engine, job_id_text(id, text),
                          live->job.restarting ? evict_grace_ms(core, live)
                                               : live->job.request.grace_ms,
                          NULL); /* when it is not there yet, its start finds the state */
    }
}
