/* From the live state to a question for the scheduler, and from its answer to actions. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "core/core_impl.h"
#include "core/images.h"
#include "core/quota.h"

/* -- the queue: by priority, then in order of submission -- */

static bool ranks_before(const struct job *a, const struct job *b)
{
    if (a->request.priority != b->request.priority)
        return a->request.priority > b->request.priority;
    return a->id < b->id;
}

void queue_insert(struct core *core, struct live_job *live)
{
    if (!list_empty(&live->queued))
        return;
    struct list *after = core->queue.prev; /* nearly always the last */
    while (after != &core->queue &&
           ranks_before(&live->job, &LIST_ENTRY(after, struct live_job, queued)->job))
        after = after->prev;
    list_append(after->next, &live->queued);
    core->queue_count++;
}

void queue_remove(struct core *core, struct live_job *live)
{
    if (list_empty(&live->queued))
        return;
    list_remove(&live->queued);
    core->queue_count--;
}

/* -- what there is -- */

int place_set(struct core *core, struct live_job *live, const char *device)
{
    char *copy = device ? strdup(device) : NULL;
    if (device && !copy)
        return -ENOMEM;
    free(live->job.device);
    live->job.device = copy;
    list_remove(&live->placed);
    if (copy)
        list_append(&core->placed, &live->placed);
    return 0;
}

int place_node_read(struct core *core)
{
    static const char label[] = "MemTotal:";
    AUTO_BUF struct buf text = BUF_INIT;
    int r = file_read(AT_FDCWD, "/proc/meminfo", 1u << 20, &text, NULL);
    const char *line = r == 0 && text.data ? strstr(text.data, label) : NULL;
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    core->node = (struct sched_node){
        .id = "local",
        .cpus_milli = (uint32_t)(cpus > 0 ? cpus : 1) * 1000,
        .ram_bytes = line ? strtoull(line + sizeof(label) - 1, NULL, 10) * 1024 : 0,
    };
    return core->node.ram_bytes ? 0 : -EIO;
}

static enum sched_scenario device_scenario(const struct device *device)
{
    (void)device; /* every device of one machine takes both until a site divides them */
    return SCHED_ANY;
}

static struct sched_device *device_find(struct sched_state *state, const char *id)
{
    for (size_t i = 0; id && i < state->device_count; i++) {
        if (strcmp(state->devices[i].id, id) == 0)
            return &state->devices[i];
    }
    return NULL;
}

#define TAKE_AWAY(from, amount) ((from) -= (amount) < (from) ? (amount) : (from))

static void charge(struct sched_state *state, const struct live_job *live)
{
    struct sched_device *device = device_find(state, live->job.device);
    TAKE_AWAY(state->nodes[0].cpus_free_milli, live->job.request.cpus_milli);
    TAKE_AWAY(state->nodes[0].ram_free_bytes, live->job.request.ram_bytes);
    if (!device)
        return;
    TAKE_AWAY(device->memory_free_bytes, live->job.request.memory_bytes);
    if (!live->released)
        TAKE_AWAY(device->share_free_permille, live->job.request.share_permille);
}

int place_state_make(const struct core *core, const struct live_job *except, size_t job_room,
                     struct sched_state *ret_state)
{
    struct sched_state state = {
        .nodes = calloc(1, sizeof(*state.nodes)),
        .devices = calloc(core->device_count + 1, sizeof(*state.devices)),
        .jobs = calloc(job_room + 1, sizeof(*state.jobs)),
        .node_count = 1,
        .device_count = core->device_count,
    };
    if (!state.nodes || !state.devices || !state.jobs) {
        place_state_finish(&state);
        return -ENOMEM;
    }
    state.nodes[0] = core->node;
    state.nodes[0].cpus_free_milli = core->node.cpus_milli * CORE_CPU_OVERCOMMIT;
    state.nodes[0].ram_free_bytes = core->node.ram_bytes;
    for (size_t i = 0; i < core->device_count; i++) {
        const struct device *device = &core->devices[i];
        state.devices[i] = (struct sched_device){
            .id = device->id,
            .vendor = device->vendor ? device->vendor : "",
            .kind = device->kind ? device->kind : "",
            .scenario = device_scenario(device),
            .memory_bytes = device->memory_bytes,
            .memory_free_bytes = device->memory_bytes,
            .share_permille = SHARE_WHOLE_PERMILLE,
            .share_free_permille = SHARE_WHOLE_PERMILLE,
        };
        TAKE_AWAY(state.devices[i].memory_free_bytes, core->foreign[i].memory_bytes);
        TAKE_AWAY(state.devices[i].share_free_permille, core->foreign[i].share_permille);
    }
    LIST_EACH (link, &core->placed) {
        const struct live_job *live = LIST_ENTRY(link, struct live_job, placed);
        if (live != except)
            charge(&state, live);
    }
    *ret_state = state;
    return 0;
}

void place_state_finish(struct sched_state *state)
{
    free(state->nodes);
    free(state->devices);
    free(state->jobs);
    *state = (struct sched_state){0};
}

struct sched_job place_job(const struct job *job)
{
    return (struct sched_job){
        .id = job->id,
        .priority = job->request.priority,
        .scenario = sched_scenario_parse(job->request.type),
        .device = job->request.device,
        .memory_bytes = job->request.memory_bytes,
        .share_permille = job->request.share_permille,
        .cpus_milli = job->request.cpus_milli,
        .ram_bytes = job->request.ram_bytes,
        .waiting_since_us = job->created_us,
    };
}

/* -- deciding -- */

static void explain_waiting(struct live_job *live, const struct sched_reason *reason)
{
    live->reason = *reason;
    if (!live->job.code || strcmp(live->job.code, reason->code) != 0 ||
        strcmp(live->job.text, reason->text) != 0)
        (void)job_reason_set(&live->job, reason->code, reason->text); /* shown, not recorded */
}

static void explain_image(struct live_job *live)
{
    struct sched_reason reason = {.code = "image-not-ready", .unblocks = "the image is ready"};
    (void)snprintf(reason.text, sizeof(reason.text), "the image '%.64s' is not ready",
                   live->job.request.image);
    explain_waiting(live, &reason);
}

/* The first of the queue whose image can be started. */
static void collect(struct core *core, struct sched_state *state)
{
    LIST_EACH (link, &core->queue) {
        struct live_job *live = LIST_ENTRY(link, struct live_job, queued);
        if (state->job_count == CORE_PLACE_WINDOW)
            break;
        if (images_ready(core, live->job.request.image))
            state->jobs[state->job_count++] = place_job(&live->job);
        else
            explain_image(live);
    }
}

/* Compute that an idle job wants back is not for new ones. */
static void keep_for_waking(struct core *core, struct sched_state *state)
{
    LIST_EACH (link, &core->waking) {
        const struct live_job *live = LIST_ENTRY(link, struct live_job, waking);
        struct sched_device *device = device_find(state, live->job.device);
        if (device && !quota_defers(core, live))
            device->share_free_permille = 0;
    }
}

static enum sched_permit gate_ask(void *arg, const struct sched_job *job)
{
    return quota_ask(arg, core_find(arg, job->id));
}

static void gate_take(void *arg, const struct sched_job *job)
{
    quota_take(arg, core_find(arg, job->id));
}

static void decide(struct core *core, struct sched_state *state)
{
    uint64_t begin_ns = clock_monotonic_ns();
    const struct sched_gate gate = {gate_ask, gate_take, core};
    state->gate = &gate;
    quota_turns(core, state);
    (void)sched_decide(sched_policies, state, clock_realtime_us(), core->decisions);
    core->counters.decision_ns += clock_monotonic_ns() - begin_ns;
    core->counters.decisions += state->job_count;
    for (size_t i = 0; i < state->job_count; i++) {
        const struct sched_decision *decision = &core->decisions[i];
        struct live_job *live = core_find(core, decision->job);
        if (decision->verdict == SCHED_PLACE) {
            core->counters.placements++;
            life_place(core, live, state->devices[decision->device].id);
        } else {
            explain_waiting(live, &decision->reason);
        }
    }
}

void place_on_timer(uv_timer_t *timer)
{
    struct core *core = timer->data;
    struct sched_state state;
    if (core->stopping || !core->engine_known || !core->cards_known || list_empty(&core->queue))
        return;
    if (place_state_make(core, NULL, CORE_PLACE_WINDOW, &state) < 0) {
        log_event(LOG_ERROR, "memory", "what=placement");
        return;
    }
    keep_for_waking(core, &state);
    collect(core, &state);
    decide(core, &state);
    place_state_finish(&state);
}

void place_soon(struct core *core)
{
    if (!core->stopping && !uv_is_active((uv_handle_t *)&core->place_timer))
        (void)uv_timer_start(&core->place_timer, place_on_timer, 0, 0); /* never NULL */
}

/* -- explaining -- */

static json_t *amounts_encode(const struct sched_amounts *amounts)
{
    return json_pack("{s:I, s:I, s:i, s:i}", "memory_bytes", (json_int_t)amounts->memory_bytes,
                     "ram_bytes", (json_int_t)amounts->ram_bytes, "share_permille",
                     (int)amounts->share_permille, "cpus_milli", (int)amounts->cpus_milli);
}

static void reason_make(const struct core *core, const struct live_job *live,
                        struct sched_reason *ret_reason)
{
    struct sched_state state;
    if (place_state_make(core, live, 0, &state) < 0)
        return;
    struct sched_job asked = place_job(&live->job);
    sched_explain(&state, &asked, ret_reason);
    place_state_finish(&state);
}

json_t *place_explain(const struct core *core, const struct live_job *live)
{
    char id[JOB_ID_TEXT_MAX];
    struct sched_reason reason = {.code = ""};
    const struct job *job = &live->job;
    reason_make(core, live, &reason);
    bool waits = job->state == JOB_QUEUED;
    if (waits && !core->cards_known)
        (void)snprintf(reason.unblocks, sizeof(reason.unblocks), "leat-cardd answers");
    else if (waits && live->reason.code[0])
        reason = live->reason;
    return json_pack("{s:s, s:s, s:s*, s:s*, s:o, s:o, s:s}", "job", job_id_text(job->id, id),
                     "state", job_state_name(job->state), "code", waits ? reason.code : job->code,
                     "text", waits ? reason.text : job->text, "asked",
                     amounts_encode(&reason.asked), "available", amounts_encode(&reason.available),
                     "unblocks", waits ? reason.unblocks : "");
}
