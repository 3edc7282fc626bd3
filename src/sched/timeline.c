/* What comes free when: see plan_impl.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sched/plan_impl.h"

#define NOWHERE UINT32_MAX

uint64_t plan_later(uint64_t at_us, uint64_t length_us)
{
    return length_us >= PLAN_FAR - at_us ? PLAN_FAR : at_us + length_us;
}

size_t plan_gang_count(const struct plan *plan, size_t task)
{
    size_t count = 1;
    while (plan->tasks[task].gang && task + count < plan->task_count &&
           plan->tasks[task + count].gang == plan->tasks[task].gang)
        count++;
    return count;
}

static int by_end(const void *left, const void *right)
{
    const struct release *a = left, *b = right;
    if (a->ends_us != b->ends_us)
        return a->ends_us < b->ends_us ? -1 : 1;
    return (a->age > b->age) - (a->age < b->age);
}

int timeline_init(struct timeline *timeline, const struct plan *plan,
                  const struct plan_outcome *outcomes, size_t more)
{
    size_t started = outcomes ? plan->task_count : 0;
    *timeline = (struct timeline){
        .nodes = malloc((plan->node_count + 1) * sizeof(*timeline->nodes)),
        .node_count = plan->node_count,
        .releases =
            malloc((plan->running_count + started + more + 1) * sizeof(*timeline->releases)),
        .at_us = plan->now_us,
    };
    if (!timeline->nodes || !timeline->releases) {
        timeline_finish(timeline);
        return -ENOMEM;
    }
    memcpy(timeline->nodes, plan->nodes, plan->node_count * sizeof(*plan->nodes));
    for (size_t i = 0; i < plan->running_count; i++) {
        const struct plan_running *running = &plan->running[i];
        timeline->releases[timeline->count++] =
            (struct release){running->shape, running->place, running->ends_us, i};
    }
    for (size_t i = 0; i < started; i++) {
        if (outcomes[i].verdict == PLAN_STARTS)
            timeline->releases[timeline->count++] = (struct release){
                plan->tasks[i].shape, outcomes[i].place,
                plan_later(plan->now_us, plan->tasks[i].length_us), plan->running_count + i};
    }
    qsort(timeline->releases, timeline->count, sizeof(*timeline->releases), by_end);
    return 0;
}

void timeline_finish(struct timeline *timeline)
{
    free(timeline->nodes);
    free(timeline->releases);
    *timeline = (struct timeline){0};
}

static bool seat_on(struct timeline *timeline, const struct fleet_shape *shape, uint32_t node,
                    struct fleet_place *place)
{
    if (!fleet_node_fits(&timeline->nodes[node], shape))
        return false;
    *place = (struct fleet_place){node, fleet_node_first_devices(&timeline->nodes[node], shape)};
    fleet_node_take(&timeline->nodes[node], shape, place->devices);
    return true;
}

bool timeline_seat(struct timeline *timeline, const struct plan_task *tasks, size_t count,
                   struct fleet_place *places)
{
    size_t missing = count;
    for (size_t i = 0; i < count; i++) {
        places[i].node = NOWHERE;
        for (uint32_t n = 0; n < timeline->node_count && places[i].node == NOWHERE; n++)
            missing -= seat_on(timeline, &tasks[i].shape, n, &places[i]);
    }
    while (missing && timeline->next < timeline->count) {
        const struct release *release = &timeline->releases[timeline->next++];
        fleet_node_give(&timeline->nodes[release->place.node], &release->shape,
                        release->place.devices);
        timeline->at_us = release->ends_us > timeline->at_us ? release->ends_us : timeline->at_us;
        for (size_t i = 0; i < count; i++) {
            if (places[i].node == NOWHERE)
                missing -= seat_on(timeline, &tasks[i].shape, release->place.node, &places[i]);
        }
    }
    return missing == 0;
}

/* What is seated ends as well. */
static void timeline_add(struct timeline *timeline, const struct release *release)
{
    size_t at = timeline->count++;
    for (; at > timeline->next && timeline->releases[at - 1].ends_us > release->ends_us; at--)
        timeline->releases[at] = timeline->releases[at - 1];
    timeline->releases[at] = *release;
}

int plan_forecast(const struct plan *plan, size_t task, uint64_t *ret_at_us)
{
    struct timeline timeline;
    struct fleet_place places[PLAN_GANG_MAX];
    bool known = true;
    if (timeline_init(&timeline, plan, NULL, plan->task_count) < 0)
        return -ENOMEM;
    for (size_t i = 0; known && i <= task;) {
        size_t count = plan_gang_count(plan, i);
        known = count <= PLAN_GANG_MAX &&
                timeline_seat(&timeline, &plan->tasks[i], count, places) &&
                timeline.at_us != PLAN_FAR;
        for (size_t k = 0; known && k < count; k++)
            timeline_add(&timeline,
                         &(struct release){
                             .shape = plan->tasks[i + k].shape,
                             .place = places[k],
                             .ends_us = plan_later(timeline.at_us, plan->tasks[i + k].length_us),
                         });
        i += count;
    }
    *ret_at_us = known ? timeline.at_us : PLAN_FAR;
    timeline_finish(&timeline);
    return 0;
}
