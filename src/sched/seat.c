/* Exact seating of a few tasks of one plan by window.h: see plan_impl.h. It rearranges only what
 * this plan has placed itself, and only where nobody must be asked whether a task may start. */
#include <stdlib.h>
#include <string.h>

#include "sched/plan_impl.h"
#include "sched/window.h"

struct seating {
    struct planner *planner;
    size_t tasks[WINDOW_JOBS_MAX];
    struct window_job jobs[WINDOW_JOBS_MAX];
    size_t task_count;
    uint32_t numbers[WINDOW_NODES_MAX]; /* of the nodes, in the fleet */
    struct fleet_node nodes[WINDOW_NODES_MAX];
    size_t node_count;
    struct window_answer answer;
};

static bool is_movable(const struct planner *planner, size_t task)
{
    return planner->outcomes[task].verdict == PLAN_STARTS && !planner->plan->tasks[task].gang;
}

static void task_add(struct seating *seating, size_t task, uint32_t rank)
{
    const struct fleet_shape *shape = &seating->planner->plan->tasks[task].shape;
    uint32_t value = shape->count * shape->share_permille;
    size_t at = seating->task_count++;
    seating->tasks[at] = task;
    seating->jobs[at] = (struct window_job){
        .shape = *shape,
        .rank = rank < WINDOW_RANKS_MAX ? rank : WINDOW_RANKS_MAX - 1,
        .value = value ? value : 1,
    };
}

/* Its number among the seating's nodes; WINDOW_WAITS when it is not among them and there is no more
 * room. */
static uint32_t node_add(struct seating *seating, uint32_t number)
{
    uint32_t at = 0;
    while (at < seating->node_count && seating->numbers[at] != number)
        at++;
    if (at < seating->node_count)
        return at;
    if (at == WINDOW_NODES_MAX)
        return WINDOW_WAITS;
    seating->numbers[at] = number;
    seating->nodes[seating->node_count++] = seating->planner->plan->nodes[number];
    return at;
}

/* The nodes of those that are placed come first, then others with room for one of the tasks. */
static void nodes_fill(struct seating *seating)
{
    const struct plan *plan = seating->planner->plan;
    for (size_t i = 0; i < seating->task_count; i++) {
        const struct plan_outcome *outcome = &seating->planner->outcomes[seating->tasks[i]];
        struct fleet_place *place = &seating->answer.places[i];
        *place = (struct fleet_place){WINDOW_WAITS, 0};
        if (outcome->verdict != PLAN_STARTS)
            continue;
        *place =
            (struct fleet_place){node_add(seating, outcome->place.node), outcome->place.devices};
        fleet_node_give(&seating->nodes[place->node], &seating->jobs[i].shape, place->devices);
        seating->answer.value[seating->jobs[i].rank] += seating->jobs[i].value;
    }
    for (uint32_t n = 0; n < plan->node_count && seating->node_count < WINDOW_NODES_MAX; n++) {
        for (size_t i = 0; i < seating->task_count; i++) {
            if (fleet_node_fits(&plan->nodes[n], &seating->jobs[i].shape)) {
                (void)node_add(seating, n); /* one may be left over */
                break;
            }
        }
    }
}

static void apply(struct seating *seating)
{
    struct planner *planner = seating->planner;
    for (size_t i = 0; i < seating->task_count; i++) {
        if (planner->outcomes[seating->tasks[i]].verdict == PLAN_STARTS)
            planner_give(planner, seating->tasks[i]);
    }
    for (size_t i = 0; i < seating->task_count; i++) {
        struct fleet_place place = seating->answer.places[i];
        if (place.node == WINDOW_WAITS)
            continue;
        place.node = seating->numbers[place.node];
        planner_take(planner, seating->tasks[i], place);
        planner->outcomes[seating->tasks[i]].step = PLAN_BY_SEARCH;
    }
}

/* True when a better answer than the present one was found, which then holds. */
static bool solve(struct seating *seating)
{
    struct window_problem problem = {
        .nodes = seating->nodes,
        .jobs = seating->jobs,
        .job_count = seating->task_count,
        .steps_max = PLAN_STEPS,
    };
    nodes_fill(seating);
    problem.node_count = seating->node_count;
    const struct window_answer before = seating->answer;
    if (window_solve(&problem, &seating->answer) < 0 ||
        memcmp(seating->answer.value, before.value, sizeof(before.value)) == 0)
        return false;
    apply(seating);
    return true;
}

bool seat_blocked(struct planner *planner)
{
    const struct plan *plan = planner->plan;
    struct seating seating = {.planner = planner};
    if (plan->gate || !plan->search || planner->head_count)
        return false;
    size_t first = planner->first_blocked;
    while (first > 0 && planner->first_blocked - first < WINDOW_JOBS_MAX - 1)
        first--;
    for (size_t task = first; task < planner->first_blocked; task++) {
        if (is_movable(planner, task))
            task_add(&seating, task, 0);
    }
    if (seating.task_count == 0)
        return false;
    task_add(&seating, planner->first_blocked, 1);
    return solve(&seating);
}

void seat_others(struct planner *planner)
{
    const struct plan *plan = planner->plan;
    struct seating seating = {.planner = planner};
    size_t start = planner->first_blocked + plan_gang_count(plan, planner->first_blocked);
    bool any = false;
    uint32_t rank = 0;
    if (plan->gate || !plan->search)
        return;
    for (size_t task = start; task < plan->task_count; task++) {
        rank += task > start && plan->tasks[task].rank != plan->tasks[task - 1].rank;
        bool waits = planner->outcomes[task].verdict == PLAN_FULL && !plan->tasks[task].gang;
        if (seating.task_count == WINDOW_JOBS_MAX || (!waits && !is_movable(planner, task)))
            continue;
        any = any || !waits;
        task_add(&seating, task, rank);
    }
    if (any)
        (void)solve(&seating); /* what holds already is good as well */
}
