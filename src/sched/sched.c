/* From names to the plan and back: see sched.h. The findings and words for those who wait are in
 * explain.c. */
#include "sched/sched.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sched/choose.h"
#include "sched/plan.h"
#include "sched/repack.h"
#include "sched/sched_impl.h"

/* Until there is history: tasks with a whole, a half and a quarter of a device. */
static const struct fragment_usual usual_guess = {
    .classes = {{{.count = 1, .share_permille = 1000}, 0.3},
                {{.count = 1, .share_permille = 500}, 0.4},
                {{.count = 1, .share_permille = 250}, 0.3}},
    .count = 3,
};

enum sched_scenario sched_scenario_parse(const char *job_type)
{
    static const struct {
        const char *type;
        enum sched_scenario scenario;
    } types[] = {
        {"training", SCHED_TRAINING},
        {"distributed-training", SCHED_TRAINING},
        {"inference", SCHED_INFERENCE},
    };
    for (size_t i = 0; job_type && i < sizeof(types) / sizeof(types[0]); i++) {
        if (strcmp(types[i].type, job_type) == 0)
            return types[i].scenario;
    }
    return SCHED_ANY;
}

/* -- the order of the queue -- */

static int by_rank(const void *left, const void *right)
{
    const struct sched_job *a = left, *b = right;
    if (a->priority != b->priority)
        return a->priority > b->priority ? -1 : 1;
    if (a->turn != b->turn)
        return a->turn < b->turn ? -1 : 1;
    return (a->id > b->id) - (a->id < b->id);
}

static void queue_sort(struct sched_state *state)
{
    struct sched_job *jobs = state->jobs;
    if (state->job_count)
        qsort(jobs, state->job_count, sizeof(*jobs), by_rank);
    for (size_t i = 0; i < state->job_count; i++) {
        size_t end = i + 1;
        for (size_t k = end; jobs[i].gang && k < state->job_count; k++) {
            if (jobs[k].gang != jobs[i].gang)
                continue;
            struct sched_job member = jobs[k];
            memmove(&jobs[end + 1], &jobs[end], (k - end) * sizeof(*jobs));
            jobs[end++] = member;
        }
        i = end - 1;
    }
}

/* -- the fleet behind the names -- */

/* Each device is a model of its own, for a job may ask for it by name. */
struct picture {
    struct fleet_node *nodes;
    unsigned slots[SCHED_DEVICES_MAX];         /* of each device on its node */
    size_t (*devices)[FLEET_NODE_DEVICES_MAX]; /* of each slot of each node */
    struct plan_running *running;
    struct plan_task *tasks;
    struct plan_outcome *outcomes;
    struct chooser *chooser;
    struct plan plan;
};

static void picture_finish(struct picture *picture)
{
    chooser_destroy(picture->chooser);
    free(picture->nodes);
    free(picture->devices);
    free(picture->running);
    free(picture->tasks);
    free(picture->outcomes);
}

static int nodes_draw(struct picture *picture, const struct sched_state *state)
{
    for (size_t i = 0; i < state->node_count; i++) {
        const struct sched_node *node = &state->nodes[i];
        picture->nodes[i] = (struct fleet_node){
            .cpus_milli = node->cpus_milli,
            .cpus_free_milli = node->cpus_free_milli,
            .ram_bytes = node->ram_bytes,
            .ram_free_bytes = node->ram_free_bytes,
            .tasks_max = UINT32_MAX,
        };
    }
    for (size_t i = 0; i < state->device_count; i++) {
        const struct sched_device *device = &state->devices[i];
        struct fleet_node *node = &picture->nodes[device->node];
        if (node->device_count == FLEET_NODE_DEVICES_MAX)
            return -E2BIG;
        unsigned slot = node->device_count++;
        node->share_free[slot] = device->share_free_permille;
        node->memory_free[slot] = device->memory_free_bytes;
        node->models[slot] = (uint8_t)i;
        picture->slots[i] = slot;
        picture->devices[device->node][slot] = i;
    }
    return 0;
}

static void running_add(struct picture *picture, const struct sched_state *state,
                        const struct sched_running *running)
{
    size_t node = state->devices[running->device].node;
    picture->nodes[node].tasks++;
    picture->running[picture->plan.running_count++] = (struct plan_running){
        .shape = {.cpus_milli = running->cpus_milli,
                  .count = 1,
                  .share_permille = running->share_permille,
                  .memory_bytes = running->memory_bytes,
                  .ram_bytes = running->ram_bytes},
        .place = {(uint32_t)node, 1u << picture->slots[running->device]},
        .ends_us = running->ends_us,
    };
}

/* What is in use and not by the running jobs comes back nobody knows when. */
static void running_draw(struct picture *picture, const struct sched_state *state)
{
    for (size_t i = 0; i < state->running_count; i++)
        running_add(picture, state, &state->running[i]);
    for (size_t i = 0; i < state->device_count; i++) {
        const struct sched_device *device = &state->devices[i];
        struct sched_running rest = {
            .device = i,
            .memory_bytes = device->memory_bytes - device->memory_free_bytes,
            .share_permille = device->share_permille - device->share_free_permille,
            .ends_us = SCHED_FAR,
        };
        for (size_t k = 0; k < state->running_count; k++) {
            const struct sched_running *running = &state->running[k];
            if (running->device != i)
                continue;
            rest.memory_bytes -= running->memory_bytes < rest.memory_bytes ? running->memory_bytes
                                                                           : rest.memory_bytes;
            rest.share_permille -= running->share_permille < rest.share_permille
                                       ? running->share_permille
                                       : rest.share_permille;
        }
        if (rest.memory_bytes || rest.share_permille)
            running_add(picture, state, &rest);
    }
}

static bool is_allowed(const struct sched_state *state, const struct sched_device *device,
                       const struct sched_job *job)
{
    return sched_obstacle(state, device, job) > SCHED_WHY_BARRED_LAST;
}

static struct fleet_shape shape_of(const struct sched_state *state, const struct sched_job *job)
{
    struct fleet_shape shape = {
        .cpus_milli = job->cpus_milli,
        .count = 1,
        .share_permille = job->share_permille,
        .memory_bytes = job->memory_bytes,
        .ram_bytes = job->ram_bytes,
    };
    for (size_t i = 0; i < state->device_count; i++)
        shape.models |= (uint64_t)is_allowed(state, &state->devices[i], job) << i;
    return shape;
}

/* The devices that the job may have, the best liked first: none when it likes all the same. */
static void tiers_draw(const struct sched_state *state, const struct sched_job *job,
                       struct plan_task *task)
{
    uint64_t left = task->shape.models;
    for (size_t tier = 0; tier < PLAN_TIERS_MAX && left; tier++) {
        uint64_t best = UINT64_MAX, chosen = 0;
        for (size_t i = 0; i < state->device_count; i++) {
            uint64_t preference = sched_preference(&state->devices[i], job);
            if (!(left >> i & 1) || preference > best)
                continue;
            chosen = preference < best ? 0 : chosen;
            best = preference;
            chosen |= 1ull << i;
        }
        left &= ~chosen;
        task->tiers[tier] = tier || left ? chosen : 0;
    }
}

static void tasks_draw(struct picture *picture, const struct sched_state *state)
{
    for (size_t i = 0; i < state->job_count; i++) {
        const struct sched_job *job = &state->jobs[i];
        struct plan_task *task = &picture->tasks[i];
        *task = (struct plan_task){
            .shape = shape_of(state, job),
            .rank = i ? picture->tasks[i - 1].rank : 0,
            .gang = job->gang,
            .length_us = job->length_us,
            .since_us = job->waiting_since_us,
        };
        if (i && (job->priority != job[-1].priority || job->turn != job[-1].turn))
            task->rank++;
        tiers_draw(state, job, task);
        /* No device will do: it must not become "any will". */
        if (task->shape.models == 0)
            task->shape.cpus_milli = UINT32_MAX;
    }
}

static int picture_draw(struct picture *picture, const struct choose_rule *rule,
                        const struct sched_state *state, uint64_t now_us)
{
    size_t jobs = state->job_count;
    *picture = (struct picture){
        .nodes = calloc(state->node_count + 1, sizeof(*picture->nodes)),
        .devices = calloc(state->node_count + 1, sizeof(*picture->devices)),
        .running =
            calloc(state->running_count + state->device_count + 1, sizeof(*picture->running)),
        .tasks = calloc(jobs + 1, sizeof(*picture->tasks)),
        .outcomes = calloc(jobs + 1, sizeof(*picture->outcomes)),
    };
    int r = picture->nodes && picture->devices && picture->running && picture->tasks &&
                    picture->outcomes
                ? 0
                : -ENOMEM;
    if (r == 0)
        r = state->device_count > SCHED_DEVICES_MAX ? -E2BIG : nodes_draw(picture, state);
    if (r == 0) {
        running_draw(picture, state);
        tasks_draw(picture, state);
        picture->chooser = chooser_create(rule, picture->nodes, state->node_count,
                                          state->usual ? state->usual : &usual_guess, 1);
        r = picture->chooser ? 0 : -ENOMEM;
    }
    picture->plan.chooser = picture->chooser;
    picture->plan.nodes = picture->nodes;
    picture->plan.node_count = state->node_count;
    picture->plan.running = picture->running;
    picture->plan.tasks = picture->tasks;
    picture->plan.task_count = jobs;
    picture->plan.now_us = now_us;
    picture->plan.hold_after_us = SCHED_HOLD_AFTER_US;
    picture->plan.search = state->search;
    if (r < 0)
        picture_finish(picture);
    return r;
}

/* -- deciding -- */

struct asking {
    const struct sched_state *state;
    struct sched_decision *decisions;
};

/* What the permit says is kept as the finding until the plan is made. */
static bool gate_ask(void *arg, size_t task, size_t count)
{
    static const enum sched_why whys[] = {
        [SCHED_PERMIT_INVALID] = SCHED_WHY_NONE, [SCHED_PERMITTED] = SCHED_WHY_NONE,
        [SCHED_LIMITED] = SCHED_WHY_LIMIT,       [SCHED_CALLED] = SCHED_WHY_CALLED,
        [SCHED_KEPT] = SCHED_WHY_KEPT,
    };
    const struct asking *asking = arg;
    const struct sched_gate *gate = asking->state->gate;
    enum sched_why why = whys[gate->ask(gate->arg, &asking->state->jobs[task], count)];
    for (size_t i = 0; i < count; i++)
        asking->decisions[task + i].finding.why = why;
    return why == SCHED_WHY_NONE;
}

static void gate_take(void *arg, size_t task, size_t count)
{
    const struct asking *asking = arg;
    const struct sched_gate *gate = asking->state->gate;
    gate->take(gate->arg, &asking->state->jobs[task], count);
}

static void place(struct sched_state *state, size_t index, const struct sched_job *job)
{
    struct sched_device *device = &state->devices[index];
    struct sched_node *node = &state->nodes[device->node];
    device->memory_free_bytes -= job->memory_bytes;
    device->share_free_permille -= job->share_permille;
    node->cpus_free_milli -= job->cpus_milli;
    node->ram_free_bytes -= job->ram_bytes;
}

/* Why the plan lets a job wait that its permit does not keep. */
static enum sched_why why_of(const struct sched_state *state, size_t index,
                             const struct plan_outcome *outcome, enum sched_why nearest)
{
    if (outcome->verdict == PLAN_GANG)
        return SCHED_WHY_GANG;
    if (outcome->verdict != PLAN_BEHIND)
        return nearest;
    return state->jobs[outcome->other].priority > state->jobs[index].priority ? SCHED_WHY_PRIORITY
                                                                              : SCHED_WHY_HELD;
}

static void waiter_find(const struct sched_state *state, size_t index,
                        const struct plan_outcome *outcome, struct sched_decision *decision)
{
    struct sched_finding *finding = &decision->finding;
    enum sched_why permit = finding->why;
    enum sched_why nearest = sched_nearest(state, &state->jobs[index], &decision->device);
    finding->start_us = outcome->at_us;
    finding->why = why_of(state, index, outcome, nearest);
    if (outcome->verdict == PLAN_GANG || outcome->verdict == PLAN_BEHIND)
        finding->other = state->jobs[outcome->other].id;
    /* Of two obstacles, that of the machine is told when no more than others' patience would help
     * the tenant's. */
    bool kept_only = permit == SCHED_WHY_KEPT && nearest != SCHED_WHY_NONE;
    if (nearest <= SCHED_WHY_BARRED_LAST || kept_only)
        finding->why = nearest;
    else if (outcome->verdict == PLAN_FORBIDDEN)
        finding->why = permit;
    finding->available = sched_available(state, decision->device, finding->why);
}

static size_t device_of(const struct picture *picture, struct fleet_place place)
{
    return picture->devices[place.node][__builtin_ctz(place.devices)];
}

int sched_decide(const struct choose_rule *rule, struct sched_state *state, uint64_t now_us,
                 struct sched_decision *decisions)
{
    struct picture picture;
    struct asking asking = {state, decisions};
    const struct plan_gate gate = {gate_ask, gate_take, &asking};
    queue_sort(state);
    int r = picture_draw(&picture, rule, state, now_us);
    if (r < 0)
        return r;
    for (size_t i = 0; i < state->job_count; i++)
        decisions[i] = (struct sched_decision){
            .job = state->jobs[i].id,
            .finding = {.why = SCHED_WHY_NONE, .start_us = SCHED_FAR},
        };
    picture.plan.gate = state->gate ? &gate : NULL;
    r = plan_make(&picture.plan, picture.outcomes);
    for (size_t i = 0; r >= 0 && i < state->job_count; i++) {
        if (picture.outcomes[i].verdict != PLAN_STARTS)
            continue;
        decisions[i].placed = true;
        decisions[i].device = device_of(&picture, picture.outcomes[i].place);
        decisions[i].finding.step = (enum sched_step)picture.outcomes[i].step;
        place(state, decisions[i].device, &state->jobs[i]);
        decisions[i].finding.available =
            sched_available(state, decisions[i].device, SCHED_WHY_NONE);
    }
    for (size_t i = 0; r >= 0 && i < state->job_count; i++) {
        if (!decisions[i].placed)
            waiter_find(state, i, &picture.outcomes[i], &decisions[i]);
    }
    picture_finish(&picture);
    return r;
}

const char *sched_step_name(enum sched_step step)
{
    static const char *const names[] = {"none", "score", "search", "backfill"};
    return names[step];
}

int sched_forecast(const struct choose_rule *rule, struct sched_state *state, uint64_t job,
                   uint64_t now_us, uint64_t *ret_start_us)
{
    struct picture picture;
    size_t index = 0;
    queue_sort(state);
    int r = picture_draw(&picture, rule, state, now_us);
    if (r < 0)
        return r;
    while (index < state->job_count && state->jobs[index].id != job)
        index++;
    *ret_start_us = SCHED_FAR;
    if (index < state->job_count)
        r = plan_forecast(&picture.plan, index, ret_start_us);
    picture_finish(&picture);
    return r;
}

int sched_candidates(const struct choose_rule *rule, const struct sched_state *state,
                     const struct sched_job *job, struct sched_candidate *candidates)
{
    struct picture picture;
    struct sched_state alone = *state;
    alone.job_count = 0;
    int r = picture_draw(&picture, rule, &alone, 0);
    if (r < 0)
        return r;
    for (size_t i = 0; i < state->device_count; i++) {
        struct fleet_shape shape = shape_of(state, job);
        uint32_t devices;
        candidates[i] = (struct sched_candidate){
            .device = i, .why = sched_obstacle(state, &state->devices[i], job), .score = -1};
        for (size_t k = 0; k < state->device_count; k++)
            candidates[i].preference += sched_preference(&state->devices[k], job) <
                                        sched_preference(&state->devices[i], job);
        shape.models = 1ull << i;
        if (candidates[i].why == SCHED_WHY_NONE)
            candidates[i].score =
                chooser_score(picture.chooser, &shape, (uint32_t)state->devices[i].node, &devices);
    }
    picture_finish(&picture);
    return 0;
}

_Static_assert(SCHED_MOVES_MAX == REPACK_MOVES_MAX, "moves are handed on as they are found");

/* By how many moves the job finds room: 0, as found, or a negative errno. */
static int moves_find(const struct choose_rule *rule, const struct sched_state *state,
                      const struct sched_job *job, const struct sched_movable *movables,
                      size_t count, bool may_swap, struct sched_move moves[SCHED_MOVES_MAX])
{
    struct picture picture;
    struct sched_state alone = *state;
    struct repack_task *tasks = calloc(count + 1, sizeof(*tasks));
    alone.job_count = 0;
    int r = tasks ? picture_draw(&picture, rule, &alone, 0) : -ENOMEM;
    if (r < 0) {
        free(tasks);
        return r;
    }
    for (size_t i = 0; i < count; i++) {
        const struct plan_running *running = &picture.running[movables[i].running];
        tasks[i] = (struct repack_task){running->shape, running->place, true};
        tasks[i].shape.models = shape_of(state, &movables[i].job).models & movables[i].devices;
        tasks[i].movable = tasks[i].shape.models != 0; /* 0 would be: any */
    }
    const struct repack repack = {.chooser = picture.chooser,
                                  .nodes = picture.nodes,
                                  .running = tasks,
                                  .running_count = count,
                                  .may_stay = true,
                                  .may_swap = may_swap};
    const struct fleet_shape shape = shape_of(state, job);
    struct repack_move found[REPACK_MOVES_MAX];
    struct fleet_place place;
    r = shape.models ? chooser_find(picture.chooser, &shape, &place) : 0;
    if (r == -ENOSPC) /* else it needs none */
        r = repack_find(&repack, &shape, found, &place);
    for (int i = 0; i < r; i++)
        moves[i] = (struct sched_move){found[i].task, device_of(&picture, found[i].to)};
    picture_finish(&picture);
    free(tasks);
    return r;
}

int sched_repack(const struct choose_rule *rule, const struct sched_state *state,
                 const struct sched_job *job, const struct sched_movable *movables, size_t count,
                 struct sched_move *ret_move)
{
    struct sched_move moves[SCHED_MOVES_MAX];
    int r = moves_find(rule, state, job, movables, count, false, moves);
    if (r == 1)
        *ret_move = moves[0];
    return r > 1 ? 0 : r;
}

int sched_exchange(const struct choose_rule *rule, const struct sched_state *state,
                   const struct sched_job *job, const struct sched_movable *movables, size_t count,
                   struct sched_move moves[SCHED_MOVES_MAX])
{
    return moves_find(rule, state, job, movables, count, true, moves);
}
