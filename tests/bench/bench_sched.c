/* What one decision costs in a fleet of so many nodes that is nearly full: tasks come and go, and
 * each is decided alone, as for an event.
 *
 * usage: bench_sched NODES...      prints NODES, p50 and p99 in nanoseconds, tab-separated */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "sched/plan.h"

#define DECISIONS 4000
#define DEVICES 8
#define LOAD_PERCENT 85

struct held {
    struct fleet_shape shape;
    struct fleet_place place;
};

struct fleet {
    struct fleet_node *nodes;
    struct held *held;
    size_t node_count, held_count;
    uint64_t capacity, used, seed;
    struct chooser *chooser;
};

static uint64_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
    return *seed >> 33;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Shares and counts as in a mixed cluster: mostly parts of a device, some of several. */
static struct fleet_shape shape_random(uint64_t *seed)
{
    static const struct fleet_shape shapes[] = {
        {.count = 1, .share_permille = 100, .cpus_milli = 2000},
        {.count = 1, .share_permille = 200, .cpus_milli = 4000},
        {.count = 1, .share_permille = 250, .cpus_milli = 4000},
        {.count = 1, .share_permille = 330, .cpus_milli = 6000},
        {.count = 1, .share_permille = 500, .cpus_milli = 6000},
        {.count = 1, .share_permille = 500, .cpus_milli = 12000},
        {.count = 1, .share_permille = 1000, .cpus_milli = 8000},
        {.count = 1, .share_permille = 1000, .cpus_milli = 12000},
        {.count = 2, .share_permille = 1000, .cpus_milli = 16000},
        {.count = 4, .share_permille = 1000, .cpus_milli = 32000},
    };
    return shapes[next_random(seed) % (sizeof(shapes) / sizeof(shapes[0]))];
}

/* Decide about one random task, and hold what it gets. Returns the time that took. */
static uint64_t decide(struct fleet *fleet)
{
    const struct plan_task task = {.shape = shape_random(&fleet->seed), .length_us = PLAN_FAR};
    const struct plan plan = {.chooser = fleet->chooser,
                              .nodes = fleet->nodes,
                              .node_count = fleet->node_count,
                              .tasks = &task,
                              .task_count = 1};
    struct plan_outcome outcome;
    uint64_t start = now_ns();
    int started = plan_make(&plan, &outcome);
    uint64_t took = now_ns() - start;
    if (started == 1) {
        fleet->held[fleet->held_count++] = (struct held){task.shape, outcome.place};
        fleet->used += (uint64_t)task.shape.count * task.shape.share_permille;
    }
    return took;
}

static void release(struct fleet *fleet)
{
    size_t index = next_random(&fleet->seed) % fleet->held_count;
    struct held *held = &fleet->held[index];
    chooser_give(fleet->chooser, &held->shape, held->place);
    fleet->used -= (uint64_t)held->shape.count * held->shape.share_permille;
    *held = fleet->held[--fleet->held_count];
}

/* Fill the node in part, before the chooser looks at it. */
static void fill(struct fleet *fleet, uint32_t number)
{
    struct fleet_node *node = &fleet->nodes[number];
    *node = (struct fleet_node){.cpus_milli = 96000,
                                .cpus_free_milli = 96000,
                                .device_count = DEVICES,
                                .tasks_max = UINT32_MAX};
    for (unsigned i = 0; i < DEVICES; i++)
        node->share_free[i] = FLEET_WHOLE;
    uint32_t left = DEVICES * FLEET_WHOLE * (100 - LOAD_PERCENT) / 100;
    for (unsigned tries = 0; tries < 100 && fleet_node_idle_permille(node) > left; tries++) {
        struct fleet_shape shape = shape_random(&fleet->seed);
        if (!fleet_node_fits(node, &shape))
            continue;
        const struct fleet_place place = {number, fleet_node_first_devices(node, &shape)};
        fleet_node_take(node, &shape, place.devices);
        fleet->held[fleet->held_count++] = (struct held){shape, place};
        fleet->used += (uint64_t)shape.count * shape.share_permille;
    }
}

static int by_value(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static int measure(size_t nodes)
{
    struct fleet fleet = {.node_count = nodes, .seed = 1};
    static struct fragment_usual usual;
    struct fleet_shape tasks[1000];
    uint64_t times[DECISIONS];
    fleet.nodes = calloc(nodes, sizeof(*fleet.nodes));
    fleet.held = calloc(nodes * 100 + DECISIONS, sizeof(*fleet.held));
    for (size_t i = 0; fleet.nodes && fleet.held && i < nodes; i++)
        fill(&fleet, (uint32_t)i);
    for (size_t i = 0; i < 1000; i++)
        tasks[i] = shape_random(&fleet.seed);
    if (!fleet.nodes || !fleet.held || fragment_learn(&usual, tasks, 1000, 0.95) < 0)
        return -1;
    fleet.chooser = chooser_create(choose_rules, fleet.nodes, nodes, &usual, 1);
    if (!fleet.chooser)
        return -1;
    fleet.capacity = (uint64_t)nodes * DEVICES * FLEET_WHOLE;
    for (size_t i = 0; i < DECISIONS; i++) {
        while (fleet.used * 100 > fleet.capacity * LOAD_PERCENT)
            release(&fleet);
        times[i] = decide(&fleet);
    }
    qsort(times, DECISIONS, sizeof(times[0]), by_value);
    (void)printf("%zu\t%llu\t%llu\n", nodes, (unsigned long long)times[DECISIONS / 2],
                 (unsigned long long)times[DECISIONS - 1 - DECISIONS / 100]);
    chooser_destroy(fleet.chooser);
    free(fleet.nodes);
    free(fleet.held);
    return 0;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        char *end;
        unsigned long long nodes = strtoull(argv[i], &end, 10);
        if (*end || nodes == 0 || measure((size_t)nodes) < 0)
            return 1;
    }
    return argc > 1 ? 0 : 2;
}
