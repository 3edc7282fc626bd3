/* From the live state to a question for the scheduler, and from its answer to actions. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/map.h"
#include "core/core_impl.h"
#include "core/cuda.h"
#include "core/devices.h"
#include "core/images.h"
#include "core/quota.h"
#include "sched/choose.h"

/* -- the queue: by priority, then in order of submission -- */

static bool ranks_before(const struct job *a, const struct job *b)
{
    if (a->request.priority != b->request.priority)
        return a->request.priority > b->request.priority;
    return a->id < b->id;
}

#define GANG_KEY_MAX (2 * JOB_NAME_MAX + 2)

static const char *gang_key(const struct job *job, char key[GANG_KEY_MAX])
{
    (void)snprintf(key, GANG_KEY_MAX, "%s/%s", job->request.tenant, job->request.gang);
    return key;
}

/* Is it still to start together with others? */
static bool in_gang(const struct live_job *live)
{
    return live->job.request.gang && !live->job.mustered;
}

static size_t gang_count(const struct live_job *live)
{
    size_t count = 1;
    LIST_EACH (link, &live->mates)
        count++;
    return count;
}

static void gang_join(struct core *core, struct live_job *live)
{
    char key[GANG_KEY_MAX];
    struct live_job *mate = map_get(core->gangs, gang_key(&live->job, key));
    if (mate && gang_count(mate) < JOB_GANG_MAX)
        list_append(&mate->mates, &live->mates);
    else if (mate || map_put(core->gangs, key, live, NULL) < 0)
        live->job.mustered = true; /* too many of one name, or out of memory: it starts alone */
}

static void gang_leave(struct core *core, struct live_job *live)
{
    char key[GANG_KEY_MAX];
    if (map_get(core->gangs, gang_key(&live->job, key)) == live) {
        (void)map_remove(core->gangs, key); /* it is there */
        if (!list_empty(&live->mates))
            (void)map_put(core->gangs, key, LIST_ENTRY(live->mates.next, struct live_job, mates),
                          NULL); /* room for the key has just come free */
    }
    list_remove(&live->mates);
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
    if (in_gang(live))
        gang_join(core, live);
}

void queue_remove(struct core *core, struct live_job *live)
{
    if (list_empty(&live->queued))
        return;
    list_remove(&live->queued);
    core->queue_count--;
    if (live->job.request.gang)
        gang_leave(core, live);
}

/* -- what there is -- */

int place_set(struct core *core, struct live_job *live, const char *device)
{
    char *copy = device ? strdup(device) : NULL;
    if (device && !copy)
        return -ENOMEM;
    free(live->job.device);
    live->job.device = copy;
    core->placed_count -= !list_empty(&live->placed);
    list_remove(&live->placed);
    core->placed_count += copy != NULL;
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
    if (live->away)
        return;
    TAKE_AWAY(device->memory_free_bytes, live->job.request.memory_bytes);
    if (!live->released)
        TAKE_AWAY(device->share_free_permille, live->job.request.share_permille);
}

/* When a job that began at `started_us` is expected to end; one that is late gets a quarter
 * more. */
static uint64_t end_of(const struct job *job, uint64_t now_us)
{
    uint64_t length_us = place_length_us(job);
    uint64_t begin_us = job->started_us ? job->started_us : now_us;
    if (job->preempt_due_us) /* it gives way then, if not before */
        return job->preempt_due_us > now_us ? job->preempt_due_us : now_us;
    if (length_us == SCHED_FAR)
        return SCHED_FAR;
    if (!job->request.expect_ms && job->prediction.remaining_ms) /* by what it has computed */
        return now_us + job->prediction.remaining_ms * 1000;
    return begin_us + length_us > now_us ? begin_us + length_us : now_us + length_us / 4;
}

/* Charge the job to the state and note what that took. */
static void run(struct sched_state *state, const struct live_job *live, uint64_t now_us,
                struct sched_running *running)
{
    const struct sched_device *device = device_find(state, live->job.device);
    const struct sched_node node = state->nodes[0];
    const struct sched_device before = device ? *device : (struct sched_device){0};
    charge(state, live);
    if (!device)
        return;
    running[state->running_count++] = (struct sched_running){
        .job = live->job.id,
        .device = (size_t)(device - state->devices),
        .memory_bytes = before.memory_free_bytes - device->memory_free_bytes,
        .share_permille = before.share_free_permille - device->share_free_permille,
        .cpus_milli = node.cpus_free_milli - state->nodes[0].cpus_free_milli,
        .ram_bytes = node.ram_free_bytes - state->nodes[0].ram_free_bytes,
        .ends_us = end_of(&live->job, now_us),
    };
}

int place_state_make(const struct core *core, const struct live_job *except, size_t job_room,
                     struct sched_state *ret_state)
{
    struct sched_running *running = calloc(core->placed_count + 1, sizeof(*running));
    uint64_t now_us = clock_realtime_us();
    struct sched_state state = {
        .nodes = calloc(1, sizeof(*state.nodes)),
        .devices = calloc(core->device_count + 1, sizeof(*state.devices)),
        .jobs = calloc(job_room + 1, sizeof(*state.jobs)),
        .running = running,
        .usual = core->recent_count >= CORE_RECENT_MIN ? &core->usual : NULL,
        .node_count = 1,
        .device_count = core->device_count,
    };
    if (!state.nodes || !state.devices || !state.jobs || !running) {
        place_state_finish(&state);
        return -ENOMEM;
    }
    state.nodes[0] = core->node;
    state.nodes[0].cpus_free_milli = core->node.cpus_milli * CORE_CPU_OVERCOMMIT;
    state.nodes[0].ram_free_bytes = core->node.ram_bytes;
    for (size_t i = 0; i < core->device_count; i++) {
        const struct device *device = &core->devices[i];
        const struct device_rule *rule = devices_rule(core, device->id);
        state.devices[i] = (struct sched_device){
            .id = device->id,
            .name = device->name,
            .vendor = device->vendor ? device->vendor : "",
            .kind = device->kind ? device->kind : "",
            .scenario = sched_scenario_parse(rule->pool),
            .unhealthy = !rule->healthy,
            .weight = rule->weight,
            .cuda = cuda_is_device(device),
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
            run(&state, live, now_us, running);
    }
    *ret_state = state;
    return 0;
}

void place_state_finish(struct sched_state *state)
{
    free(state->nodes);
    free(state->devices);
    free(state->jobs);
    free((void *)(uintptr_t)state->running);
    *state = (struct sched_state){0};
}

uint64_t place_length_us(const struct job *job)
{
    uint64_t length_ms =
        job->request.expect_ms ? job->request.expect_ms : job->prediction.duration_ms;
    return length_ms && length_ms < SCHED_FAR / 1000 ? length_ms * 1000 : SCHED_FAR;
}

struct sched_job place_job(const struct job *job)
{
    return (struct sched_job){
        .id = job->id,
        .priority = job->request.priority,
        .scenario = sched_scenario_parse(job->request.type),
        .cuda = job_is_cuda(&job->request),
        .device = job->request.device,
        .vendor = job->request.vendor,
        .model = job->request.device_model,
        .memory_bytes = job->request.memory_bytes,
        .share_permille = job->request.share_permille,
        .cpus_milli = job->request.cpus_milli,
        .ram_bytes = job->request.ram_bytes,
        .waiting_since_us = job->created_us,
        .length_us = place_length_us(job),
    };
}

/* -- the tasks that usually come -- */

static void recent_add(struct core *core, const struct job *job)
{
    core->recent[core->recent_count++ % CORE_RECENT_MAX] = (struct fleet_shape){
        .cpus_milli = job->request.cpus_milli,
        .count = 1,
        .share_permille = job->request.share_permille,
        .memory_bytes = job->request.memory_bytes,
        .ram_bytes = job->request.ram_bytes,
    };
    size_t known = core->recent_count < CORE_RECENT_MAX ? core->recent_count : CORE_RECENT_MAX;
    if (core->recent_count % CORE_RECENT_MIN == 0 &&
        fragment_learn(&core->usual, core->recent, known, CORE_RECENT_COVER) < 0)
        core->recent_count = 0; /* out of memory: guess on */
}

/* -- deciding -- */

static void find(const struct core *core, struct live_job *live,
                 const struct sched_finding *finding, size_t device)
{
    live->finding = *finding;
    live->nearest = device;
    live->told = false;
    live->pass = core->pass;
}

/* What keeps this job out of the plan whatever is free. */
static enum sched_why unready(struct core *core, const struct live_job *live)
{
    if (!images_ready(core, live->job.request.image))
        return SCHED_WHY_IMAGE;
    if (!in_gang(live))
        return SCHED_WHY_NONE;
    bool all = gang_count(live) >= live->job.request.gang_size;
    LIST_EACH (link, &live->mates) {
        const struct live_job *mate = LIST_ENTRY(link, struct live_job, mates);
        all = all && images_ready(core, mate->job.request.image);
    }
    return all ? SCHED_WHY_NONE : SCHED_WHY_MEMBERS;
}

static void add(struct core *core, struct sched_state *state, struct live_job *live, uint32_t gang)
{
    struct sched_job *job = &state->jobs[state->job_count++];
    *job = place_job(&live->job);
    job->gang = gang;
    live->pass = core->pass;
}

void place_collect(struct core *core, struct sched_state *state)
{
    core->pass++;
    LIST_EACH (link, &core->queue) {
        struct live_job *live = LIST_ENTRY(link, struct live_job, queued);
        size_t count = in_gang(live) ? gang_count(live) : 1;
        if (live->pass == core->pass && in_gang(live))
            continue; /* it came with the first of its gang */
        if (state->job_count + count > CORE_PLACE_WINDOW)
            break;
        const struct sched_finding finding = {.why = unready(core, live), .start_us = SCHED_FAR};
        if (finding.why != SCHED_WHY_NONE) {
            find(core, live, &finding, SIZE_MAX);
            continue;
        }
        uint32_t gang = count > 1 ? (uint32_t)state->job_count + 1 : 0;
        add(core, state, live, gang);
        for (struct list *mate = live->mates.next; in_gang(live) && mate != &live->mates;
             mate = mate->next)
            add(core, state, LIST_ENTRY(mate, struct live_job, mates), gang);
    }
}

/* Compute that an idle job wants back is not for new ones. */
static void keep_for_waking(struct core *core, struct sched_state *state)
{
    LIST_EACH (link, &core->waking) {
        const struct live_job *live = LIST_ENTRY(link, struct live_job, waking);
        struct sched_device *device = device_find(state, live->job.device);
        if (device && !quota_defers(core, live) && !preempt_defers(core, live))
            device->share_free_permille = 0;
    }
}

static enum sched_permit gate_ask(void *arg, const struct sched_job *jobs, size_t count)
{
    return quota_ask(arg, core_find(arg, jobs->id), count * jobs->share_permille);
}

static void gate_take(void *arg, const struct sched_job *jobs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        quota_take(arg, core_find(arg, jobs[i].id));
}

/* The exact search is for a window of time in which several came, not for every event. */
static bool search_is_due(struct core *core)
{
    uint64_t now_ms = uv_now(core->loop);
    if (core->queue_count < 2 || now_ms < core->search_after_ms)
        return false;
    core->search_after_ms = now_ms + CORE_SEARCH_EVERY_MS;
    return true;
}

/* How many are placed, or a negative errno. */
static int decide(struct core *core, struct sched_state *state)
{
    uint64_t begin_ns = clock_monotonic_ns();
    const struct sched_gate gate = {gate_ask, gate_take, core};
    int r = place_state_make(core, NULL, CORE_PLACE_WINDOW, state);
    if (r < 0)
        return r;
    keep_for_waking(core, state);
    place_collect(core, state);
    state->gate = quota_turns(core, state) ? &gate : NULL;
    state->search = search_is_due(core);
    r = sched_decide(choose_rules, state, clock_realtime_us(), core->decisions);
    core->counters.decision_ns += clock_monotonic_ns() - begin_ns;
    core->counters.decisions += state->job_count;
    return r;
}

static void carry_out(struct core *core, struct sched_state *state)
{
    /* The rest of a gang is known by this when its first leaves the queue. */
    for (size_t i = 0; i < state->job_count; i++) {
        if (core->decisions[i].placed)
            core_find(core, core->decisions[i].job)->job.mustered = true;
    }
    for (size_t i = 0; i < state->job_count; i++) {
        const struct sched_decision *decision = &core->decisions[i];
        struct live_job *live = core_find(core, decision->job);
        preempt_find(live, &core->decisions[i].finding);
        find(core, live, &decision->finding, decision->device);
        if (decision->placed) {
            core->counters.placements++;
            recent_add(core, &live->job);
            explain_placed(core, live, state, decision);
            life_place(core, live, state->devices[decision->device].id);
        }
    }
}

void place_on_timer(uv_timer_t *timer)
{
    struct core *core = timer->data;
    struct sched_state state = {.job_count = 0};
    if (core->stopping || !core->engine_known || !core->cards_known || list_empty(&core->queue) ||
        repack_is_busy(core))
        return;
    int placed = decide(core, &state);
    if (placed >= 0)
        carry_out(core, &state);
    else
        log_event(LOG_ERROR, "placement", "errno=%d", -placed);
    place_state_finish(&state);
    if (placed > 0 && !list_empty(&core->queue))
        place_soon(core); /* there may be room for those beyond the window */
}

void place_soon(struct core *core)
{
    if (!core->stopping && !uv_is_active((uv_handle_t *)&core->place_timer))
        (void)uv_timer_start(&core->place_timer, place_on_timer, 0, 0); /* never NULL */
}
