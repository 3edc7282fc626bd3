/* Branch and bound over the places of a few jobs: see window.h. */
#include "sched/window.h"

#include <errno.h>
#include <string.h>

#define OPTIONS_MAX (WINDOW_NODES_MAX * FLEET_NODE_DEVICES_MAX)

struct option {
    struct fleet_place place;
    uint64_t cost;
};

struct search {
    const struct window_problem *problem;
    struct fleet_node nodes[WINDOW_NODES_MAX]; /* as the placed jobs leave them */
    struct window_answer now, *best;
    uint64_t open[WINDOW_RANKS_MAX]; /* value of the jobs not decided yet, by rank */
    bool twin[WINDOW_JOBS_MAX];      /* the job is the same as the one before it */
    bool out_of_steps;
};

/* The search goes down one level a job, so its depth is bounded by WINDOW_JOBS_MAX. */
static void descend(struct search *search, size_t job);

/* Positive when `a` is better. */
static int outcome_compare(const struct window_answer *a, const struct window_answer *b)
{
    for (size_t rank = 0; rank < WINDOW_RANKS_MAX; rank++) {
        if (a->value[rank] != b->value[rank])
            return a->value[rank] > b->value[rank] ? 1 : -1;
    }
    return (a->cost < b->cost) - (a->cost > b->cost);
}

/* Can anything below this point still beat the best? As if every open job found a place for
 * nothing. */
static bool is_hopeful(const struct search *search)
{
    struct window_answer hope = {.cost = search->now.cost};
    for (size_t rank = 0; rank < WINDOW_RANKS_MAX; rank++)
        hope.value[rank] = search->now.value[rank] + search->open[rank];
    return outcome_compare(&hope, search->best) > 0;
}

static bool node_same(const struct fleet_node *a, const struct fleet_node *b)
{
    return a->cpus_free_milli == b->cpus_free_milli && a->ram_free_bytes == b->ram_free_bytes &&
           a->device_count == b->device_count &&
           a->tasks_max - a->tasks == b->tasks_max - b->tasks &&
           memcmp(a->models, b->models, a->device_count * sizeof(a->models[0])) == 0 &&
           memcmp(a->share_free, b->share_free, a->device_count * sizeof(a->share_free[0])) == 0 &&
           memcmp(a->memory_free, b->memory_free, a->device_count * sizeof(a->memory_free[0])) == 0;
}

/* A node that looks like an earlier one offers nothing new. */
static bool node_repeats(const struct search *search, size_t node)
{
    const uint32_t *weights = search->problem->weights;
    for (size_t i = 0; i < node; i++) {
        if (node_same(&search->nodes[i], &search->nodes[node]) &&
            (!weights || weights[i] == weights[node]))
            return true;
    }
    return false;
}

static uint64_t cost_of(const struct window_problem *problem, const struct fleet_shape *shape,
                        size_t node)
{
    uint64_t weight = problem->weights ? problem->weights[node] : 0;
    return weight * shape->count * shape->share_permille / FLEET_WHOLE;
}

/* Among devices with the same room the first are chosen first: any other choice is a renaming. */
static bool devices_rename(const struct fleet_node *node, uint32_t devices)
{
    for (unsigned i = 1; i < node->device_count; i++) {
        for (unsigned j = 0; j < i && devices >> i & 1; j++) {
            if (!(devices >> j & 1) && node->share_free[i] == node->share_free[j] &&
                node->memory_free[i] == node->memory_free[j] && node->models[i] == node->models[j])
                return true;
        }
    }
    return false;
}

/* The next choice of `count` of `total` devices after `devices`, as bits; 0 when there is none
 * (the number with the same bits set that comes next). */
static uint32_t devices_next(uint32_t devices, unsigned total)
{
    uint32_t low = devices & (~devices + 1), ripple = devices + low;
    uint32_t next = low ? ripple | (((devices ^ ripple) >> 2) / low) : 0;
    return next < (1u << total) ? next : 0;
}

static bool devices_fit(const struct fleet_node *node, const struct fleet_shape *shape,
                        uint32_t devices)
{
    for (unsigned i = 0; i < node->device_count; i++) {
        if (devices >> i & 1 && !fleet_device_fits(node, i, shape))
            return false;
    }
    return true;
}

/* Every choice of devices of one node that is not a mere renaming of another. */
static size_t node_options(const struct search *search, const struct fleet_shape *shape, size_t at,
                           struct option *options, size_t room)
{
    const struct fleet_node *node = &search->nodes[at];
    uint64_t cost = cost_of(search->problem, shape, at);
    size_t count = 0;
    if (!fleet_node_fits(node, shape))
        return 0;
    if (shape->count == 0) {
        options[count++] = (struct option){{(uint32_t)at, 0}, cost};
        return count;
    }
    uint32_t devices = (1u << shape->count) - 1;
    for (; devices && count < room; devices = devices_next(devices, node->device_count)) {
        if (!devices_rename(node, devices) && devices_fit(node, shape, devices))
            options[count++] = (struct option){{(uint32_t)at, devices}, cost};
    }
    return count;
}

static size_t job_options(const struct search *search, const struct fleet_shape *shape,
                          struct option options[OPTIONS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < search->problem->node_count && count < OPTIONS_MAX; i++) {
        if (!node_repeats(search, i))
            count += node_options(search, shape, i, options + count, OPTIONS_MAX - count);
    }
    return count;
}

static void try_place(struct search *search, size_t job, const struct option *option)
{
    const struct window_job *asked = &search->problem->jobs[job];
    struct fleet_node before = search->nodes[option->place.node];
    fleet_node_take(&search->nodes[option->place.node], &asked->shape, option->place.devices);
    search->now.places[job] = option->place;
    search->now.value[asked->rank] += asked->value;
    search->now.cost += option->cost;
    descend(search, job + 1);
    search->now.cost -= option->cost;
    search->now.value[asked->rank] -= asked->value;
    search->nodes[option->place.node] = before;
}

static void descend(struct search *search, size_t job)
{
    if (job == search->problem->job_count) {
        if (outcome_compare(&search->now, search->best) > 0) {
            memcpy(search->best->places, search->now.places, sizeof(search->now.places));
            memcpy(search->best->value, search->now.value, sizeof(search->now.value));
            search->best->cost = search->now.cost;
        }
        return;
    }
    if (!is_hopeful(search))
        return;
    const struct window_job *asked = &search->problem->jobs[job];
    search->open[asked->rank] -= asked->value;
    /* Of two jobs that are the same, the later is never placed instead of the earlier. */
    bool may_place = !search->twin[job] || search->now.places[job - 1].node != WINDOW_WAITS;
    struct option options[OPTIONS_MAX];
    size_t count = may_place ? job_options(search, &asked->shape, options) : 0;
    for (size_t i = 0; i < count && !search->out_of_steps; i++) {
        if (++search->now.steps >= search->problem->steps_max)
            search->out_of_steps = true;
        try_place(search, job, &options[i]);
    }
    if (!search->out_of_steps) {
        search->now.places[job] = (struct fleet_place){WINDOW_WAITS, 0};
        descend(search, job + 1);
    }
    search->open[asked->rank] += asked->value;
}

/* Value and cost of the first answer, and whether its places are possible together. */
static int answer_weigh(const struct search *search, struct window_answer *answer)
{
    struct fleet_node nodes[WINDOW_NODES_MAX];
    const struct window_problem *problem = search->problem;
    memcpy(nodes, search->nodes, sizeof(nodes));
    memset(answer->value, 0, sizeof(answer->value));
    answer->cost = 0;
    for (size_t i = 0; i < problem->job_count; i++) {
        const struct window_job *job = &problem->jobs[i];
        struct fleet_place place = answer->places[i];
        if (place.node == WINDOW_WAITS)
            continue;
        if (place.node >= problem->node_count ||
            !fleet_node_fits(&nodes[place.node], &job->shape) ||
            (uint32_t)__builtin_popcount(place.devices) != job->shape.count ||
            place.devices >> nodes[place.node].device_count ||
            !devices_fit(&nodes[place.node], &job->shape, place.devices))
            return -EINVAL;
        fleet_node_take(&nodes[place.node], &job->shape, place.devices);
        answer->value[job->rank] += job->value;
        answer->cost += cost_of(problem, &job->shape, place.node);
    }
    return 0;
}

static int problem_check(const struct window_problem *problem)
{
    if (problem->job_count > WINDOW_JOBS_MAX || problem->node_count > WINDOW_NODES_MAX)
        return -E2BIG;
    for (size_t i = 0; i < problem->job_count; i++) {
        if (problem->jobs[i].rank >= WINDOW_RANKS_MAX || problem->jobs[i].value == 0 ||
            problem->jobs[i].shape.count > FLEET_NODE_DEVICES_MAX)
            return -E2BIG;
    }
    return 0;
}

int window_solve(const struct window_problem *problem, struct window_answer *answer)
{
    struct search search = {.problem = problem, .best = answer};
    int r = problem_check(problem);
    if (r < 0)
        return r;
    memcpy(search.nodes, problem->nodes, problem->node_count * sizeof(*problem->nodes));
    r = answer_weigh(&search, answer);
    if (r < 0)
        return r;
    for (size_t i = 0; i < problem->job_count; i++) {
        const struct window_job *job = &problem->jobs[i], *before = i ? job - 1 : NULL;
        search.open[job->rank] += job->value;
        search.twin[i] = before && before->rank == job->rank && before->value == job->value &&
                         fleet_shape_equal(&before->shape, &job->shape);
    }
    descend(&search, 0);
    answer->steps = search.now.steps;
    answer->exact = !search.out_of_steps;
    return 0;
}
