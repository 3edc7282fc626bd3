/* Placement: who goes where, in which order. The words for those who wait are in explain.c. */
#include "sched/sched.h"

#include <stdlib.h>
#include <string.h>

#include "sched/sched_impl.h"

#define HOLD_AFTER_US (10ull * 60 * 1000000) /* ten minutes of waiting outrank a better packing */
#define HELD_MAX 8                           /* jobs that may hold devices at once */

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

static uint64_t part_permille(uint64_t part, uint64_t whole)
{
    return whole ? (uint64_t)((unsigned __int128)part * 1000 / whole) : 0;
}

/* Least left over, of memory and compute together: what stays is one large piece elsewhere. */
static int64_t score_best_fit(const struct sched_device *device, const struct sched_job *job)
{
    uint64_t memory_left =
        part_permille(device->memory_free_bytes - job->memory_bytes, device->memory_bytes);
    uint64_t share_left =
        part_permille(device->share_free_permille - job->share_permille, device->share_permille);
    int64_t weight = device->weight_permille ? device->weight_permille : 1000;
    return weight * 2000 - 1000 * (int64_t)(memory_left + share_left);
}

/* Most left over: jobs disturb each other least. */
static int64_t score_spread(const struct sched_device *device, const struct sched_job *job)
{
    int64_t weight = device->weight_permille ? device->weight_permille : 1000;
    return 2 * (weight * 2000 - 1000 * 1000) - score_best_fit(device, job);
}

const struct sched_policy sched_policies[] = {
    {"best-fit", score_best_fit, HOLD_AFTER_US},
    {"spread", score_spread, HOLD_AFTER_US},
    {NULL, NULL, 0},
};

const struct sched_policy *sched_policy_find(const char *name)
{
    for (const struct sched_policy *policy = sched_policies; policy->name; policy++) {
        if (strcmp(policy->name, name) == 0)
            return policy;
    }
    return NULL;
}

static int by_rank(const void *left, const void *right)
{
    const struct sched_job *a = left, *b = right;
    if (a->priority != b->priority)
        return a->priority > b->priority ? -1 : 1;
    if (a->turn != b->turn)
        return a->turn < b->turn ? -1 : 1;
    return (a->id > b->id) - (a->id < b->id);
}

enum obstacle sched_obstacle(const struct sched_state *state, const struct sched_device *device,
                             const struct sched_job *job)
{
    const struct sched_node *node = &state->nodes[device->node];
    const struct {
        bool met;
        enum obstacle obstacle;
    } conditions[] = {
        {!job->device || strcmp(job->device, device->id) == 0, OBSTACLE_OTHER_DEVICE},
        {!job->vendor || strcmp(job->vendor, device->vendor) == 0, OBSTACLE_OTHER_VENDOR},
        {job->scenario == SCHED_ANY || device->scenario == SCHED_ANY ||
             job->scenario == device->scenario,
         OBSTACLE_OTHER_SCENARIO},
        {job->memory_bytes <= device->memory_bytes, OBSTACLE_MEMORY_NEVER},
        {job->share_permille <= device->share_permille, OBSTACLE_SHARE_NEVER},
        {job->cpus_milli <= node->cpus_milli, OBSTACLE_CPUS_NEVER},
        {job->ram_bytes <= node->ram_bytes, OBSTACLE_RAM_NEVER},
        {job->ram_bytes <= node->ram_free_bytes, OBSTACLE_RAM},
        {job->cpus_milli <= node->cpus_free_milli, OBSTACLE_CPUS},
        {job->memory_bytes <= device->memory_free_bytes, OBSTACLE_MEMORY},
        {job->share_permille <= device->share_free_permille, OBSTACLE_SHARE},
    };
    for (size_t i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++) {
        if (!conditions[i].met)
            return conditions[i].obstacle;
    }
    return OBSTACLE_NONE;
}

/* Jobs that have waited so long that what they could use is kept for them. */
struct holders {
    const struct sched_job *jobs[HELD_MAX];
    size_t count;
};

static bool is_held(const struct holders *holders, const struct sched_state *state,
                    const struct sched_device *device)
{
    for (size_t i = 0; i < holders->count; i++) {
        if (sched_obstacle(state, device, holders->jobs[i]) > OBSTACLE_NEVER_LAST)
            return true;
    }
    return false;
}

/* The best device of those that can take the job, or NULL with the least grave obstacle met. */
static struct sched_device *choose(const struct sched_policy *policy,
                                   const struct sched_state *state, const struct holders *holders,
                                   const struct sched_job *job,
                                   const struct sched_device **ret_nearest,
                                   enum obstacle *ret_obstacle)
{
    struct sched_device *best = NULL;
    int64_t best_score = 0;
    *ret_nearest = NULL;
    *ret_obstacle = OBSTACLE_NO_DEVICE;
    for (size_t i = 0; i < state->device_count; i++) {
        struct sched_device *device = &state->devices[i];
        enum obstacle obstacle = sched_obstacle(state, device, job);
        if (obstacle > OBSTACLE_NEVER_LAST && is_held(holders, state, device))
            obstacle = OBSTACLE_HELD;
        if (!*ret_nearest || obstacle > *ret_obstacle) {
            *ret_nearest = device;
            *ret_obstacle = obstacle;
        }
        if (obstacle != OBSTACLE_NONE)
            continue;
        int64_t score = policy->score(device, job);
        if (!best || score > best_score) {
            best = device;
            best_score = score;
        }
    }
    return best;
}

static void place(struct sched_state *state, struct sched_device *device,
                  const struct sched_job *job)
{
    struct sched_node *node = &state->nodes[device->node];
    device->memory_free_bytes -= job->memory_bytes;
    device->share_free_permille -= job->share_permille;
    node->cpus_free_milli -= job->cpus_milli;
    node->ram_free_bytes -= job->ram_bytes;
}

/* May the job's tenant have it? Of two obstacles, that of the machine is told when no more than
 * others' patience would help the tenant's. */
static enum obstacle tenant_obstacle(const struct sched_gate *gate, const struct sched_job *job,
                                     enum obstacle obstacle)
{
    if (!gate || obstacle <= OBSTACLE_NEVER_LAST)
        return obstacle;
    switch (gate->ask(gate->arg, job)) {
    case SCHED_LIMITED:
        return OBSTACLE_LIMIT;
    case SCHED_CALLED:
        return OBSTACLE_CALLED;
    case SCHED_KEPT:
        return obstacle == OBSTACLE_NONE ? OBSTACLE_KEPT : obstacle;
    case SCHED_PERMITTED:
    case SCHED_PERMIT_INVALID:
        break;
    }
    return obstacle;
}

size_t sched_decide(const struct sched_policy *policy, struct sched_state *state, uint64_t now_us,
                    struct sched_decision *decisions)
{
    struct holders holders = {.count = 0};
    size_t placed = 0;
    if (state->job_count)
        qsort(state->jobs, state->job_count, sizeof(*state->jobs), by_rank);
    for (size_t i = 0; i < state->job_count; i++) {
        const struct sched_job *job = &state->jobs[i];
        const struct sched_device *nearest;
        enum obstacle obstacle;
        struct sched_device *best = choose(policy, state, &holders, job, &nearest, &obstacle);
        obstacle = tenant_obstacle(state->gate, job, obstacle);
        best = obstacle == OBSTACLE_NONE ? best : NULL;
        decisions[i] = (struct sched_decision){
            .job = job->id,
            .verdict = best ? SCHED_PLACE : SCHED_WAIT,
            .device = best ? (size_t)(best - state->devices) : 0,
        };
        sched_reason_fill(state, job, best ? best : nearest, obstacle, &decisions[i].reason);
        if (best) {
            place(state, best, job);
            placed++;
            if (state->gate)
                state->gate->take(state->gate->arg, job);
        } else if (obstacle >= OBSTACLE_HELD && holders.count < HELD_MAX &&
                   now_us - job->waiting_since_us >= policy->hold_after_us) {
            holders.jobs[holders.count++] = job;
        }
    }
    return placed;
}

void sched_explain(const struct sched_state *state, const struct sched_job *job,
                   struct sched_reason *ret_reason)
{
    const struct holders none = {.count = 0};
    const struct sched_device *nearest;
    enum obstacle obstacle;
    const struct sched_device *best =
        choose(sched_policies, state, &none, job, &nearest, &obstacle);
    sched_reason_fill(state, job, best ? best : nearest, obstacle, ret_reason);
}
