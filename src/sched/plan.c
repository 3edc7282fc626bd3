/* The walk through the queue: see plan.h. */
#include "sched/plan.h"

#include <errno.h>
#include <stdlib.h>

#include "sched/plan_impl.h"

void planner_take(struct planner *planner, size_t task, struct fleet_place place)
{
    planner->outcomes[task].verdict = PLAN_STARTS;
    planner->outcomes[task].place = place;
    chooser_take(planner->plan->chooser, &planner->plan->tasks[task].shape, place);
}

void planner_give(struct planner *planner, size_t task)
{
    planner->outcomes[task].verdict = PLAN_FULL;
    chooser_give(planner->plan->chooser, &planner->plan->tasks[task].shape,
                 planner->outcomes[task].place);
}

/* -- kept places -- */

static bool ends_before(const struct planner *planner, const struct head *head, size_t task)
{
    uint64_t ends_us = plan_later(planner->plan->now_us, planner->plan->tasks[task].length_us);
    return head->then.at_us != PLAN_FAR && ends_us <= head->then.at_us;
}

/* Would the task take what a held place waits for? */
static bool takes_held(const struct planner *planner, const struct head *head, uint32_t node,
                       uint32_t devices)
{
    const struct fleet_node *now = &planner->plan->nodes[node];
    for (size_t i = 0; head->held && i < head->count; i++) {
        const struct fleet_shape *shape = &planner->plan->tasks[head->task + i].shape;
        if (head->places[i].node == node &&
            (head->places[i].devices & devices || now->cpus_free_milli < shape->cpus_milli ||
             now->ram_free_bytes < shape->ram_bytes))
            return true;
    }
    return false;
}

struct asker {
    struct planner *planner;
    size_t task;
    struct fleet_shape shape; /* of the task, on the devices that are being tried */
};

static bool heads_allow(const struct asker *asker, uint32_t node, uint32_t devices)
{
    struct planner *planner = asker->planner;
    for (size_t i = 0; i < planner->head_count; i++) {
        const struct head *head = planner->heads[i];
        if (ends_before(planner, head, asker->task))
            continue;
        if (takes_held(planner, head, node, devices) ||
            !fleet_node_has(&head->then.nodes[node], &planner->plan->tasks[asker->task].shape,
                            devices)) {
            planner->refuser = head->task;
            return false;
        }
    }
    return true;
}

/* The devices that score best, else any other single one of the node. */
static bool accept(void *arg, uint32_t node, uint32_t *devices)
{
    const struct asker *asker = arg;
    const struct plan *plan = asker->planner->plan;
    const struct fleet_shape *shape = &asker->shape;
    if (heads_allow(asker, node, *devices))
        return true;
    for (unsigned i = 0; shape->count == 1 && i < plan->nodes[node].device_count; i++) {
        if (fleet_device_fits(&plan->nodes[node], i, shape) && heads_allow(asker, node, 1u << i)) {
            *devices = 1u << i;
            return true;
        }
    }
    return false;
}

static void heads_note(struct planner *planner, size_t task)
{
    const struct fleet_place place = planner->outcomes[task].place;
    for (size_t i = 0; i < planner->head_count; i++) {
        if (!ends_before(planner, planner->heads[i], task))
            fleet_node_take(&planner->heads[i]->then.nodes[place.node],
                            &planner->plan->tasks[task].shape, place.devices);
    }
}

/* Keep a place for the tasks, if there is reason to: they are the first that must wait and it is
 * known until when, or they have waited long. Without memory no place is kept. */
static void head_add(struct planner *planner, size_t task, size_t count)
{
    const struct plan *plan = planner->plan;
    uint64_t since_us = plan->tasks[task].since_us;
    bool held = plan->now_us > since_us && plan->now_us - since_us >= plan->hold_after_us;
    bool last = task + count == plan->task_count; /* nobody is behind it */
    if ((!held && task != planner->first_blocked) || last || count > PLAN_GANG_MAX ||
        planner->head_count == PLAN_HEADS_MAX)
        return;
    struct head *head = calloc(1, sizeof(*head));
    if (!head || timeline_init(&head->then, plan, planner->outcomes, 0) < 0) {
        free(head);
        return;
    }
    head->task = task;
    head->count = count;
    head->held = held;
    bool seated = timeline_seat(&head->then, &plan->tasks[task], count, head->places);
    if (!seated || (!held && head->then.at_us == PLAN_FAR)) {
        timeline_finish(&head->then);
        free(head);
        return;
    }
    for (size_t i = 0; i < count; i++)
        planner->outcomes[task + i].at_us = head->then.at_us;
    planner->heads[planner->head_count++] = head;
}

/* -- the walk -- */

/* On the devices that it likes best, else on the next best, at last on any. */
static int place_find(struct planner *planner, size_t task, struct fleet_place *ret_place)
{
    const struct plan_task *asked = &planner->plan->tasks[task];
    struct chooser *chooser = planner->plan->chooser;
    struct asker asker = {planner, task, asked->shape};
    int r = -ENOSPC;
    for (size_t i = 0; i <= PLAN_TIERS_MAX && r == -ENOSPC; i++) {
        bool last = i == PLAN_TIERS_MAX || !asked->tiers[i];
        asker.shape.models = last ? asked->shape.models : asked->tiers[i];
        r = planner->head_count ? chooser_find_if(chooser, &asker.shape, accept, &asker, ret_place)
                                : chooser_find(chooser, &asker.shape, ret_place);
        i = last ? PLAN_TIERS_MAX : i;
    }
    return r;
}

static bool start(struct planner *planner, size_t task)
{
    const struct plan *plan = planner->plan;
    const struct fleet_shape *shape = &plan->tasks[task].shape;
    struct fleet_place place;
    int r = place_find(planner, task, &place);
    planner->out_of_memory = planner->out_of_memory || r == -ENOMEM;
    if (r == 0) {
        planner_take(planner, task, place);
        planner->outcomes[task].step = planner->head_count ? PLAN_BY_BACKFILL : PLAN_BY_SCORE;
        return true;
    }
    bool behind =
        planner->head_count && r == -ENOSPC && chooser_find(plan->chooser, shape, &place) == 0;
    planner->outcomes[task].verdict = behind ? PLAN_BEHIND : PLAN_FULL;
    planner->outcomes[task].other = behind ? (uint32_t)planner->refuser : 0;
    return false;
}

/* All or none. */
static bool start_together(struct planner *planner, size_t task, size_t count)
{
    size_t started = 0;
    while (started < count && start(planner, task + started))
        started++;
    if (started == count) {
        for (size_t i = 0; i < count; i++)
            heads_note(planner, task + i);
        return true;
    }
    for (size_t i = 0; i < count; i++) {
        struct plan_outcome *outcome = &planner->outcomes[task + i];
        if (i < started)
            planner_give(planner, task + i);
        if (count == 1 || (i == started && outcome->verdict == PLAN_BEHIND))
            continue;
        outcome->verdict = PLAN_GANG;
        outcome->other = (uint32_t)(task + started);
    }
    return false;
}

static void walk(struct planner *planner)
{
    const struct plan *plan = planner->plan;
    for (size_t task = 0, count; task < plan->task_count; task += count) {
        count = plan_gang_count(plan, task);
        if (plan->gate && !plan->gate->ask(plan->gate->arg, task, count)) {
            for (size_t i = 0; i < count; i++)
                planner->outcomes[task + i].verdict = PLAN_FORBIDDEN;
            continue;
        }
        bool started = start_together(planner, task, count);
        if (!started && planner->first_blocked == plan->task_count) {
            planner->first_blocked = task;
            started = count == 1 && seat_blocked(planner);
            planner->first_blocked = started ? plan->task_count : task;
        }
        if (!started)
            head_add(planner, task, count);
        else if (plan->gate)
            plan->gate->take(plan->gate->arg, task, count);
    }
}

static void heads_finish(struct planner *planner)
{
    for (size_t i = 0; i < planner->head_count; i++) {
        timeline_finish(&planner->heads[i]->then);
        free(planner->heads[i]);
    }
}

int plan_make(const struct plan *plan, struct plan_outcome *outcomes)
{
    struct planner planner = {
        .plan = plan, .outcomes = outcomes, .first_blocked = plan->task_count};
    int started = 0;
    for (size_t i = 0; i < plan->task_count; i++)
        outcomes[i] = (struct plan_outcome){.at_us = PLAN_FAR};
    walk(&planner);
    if (planner.head_count == 0 && planner.first_blocked < plan->task_count)
        seat_others(&planner);
    heads_finish(&planner);
    for (size_t i = 0; i < plan->task_count; i++) {
        if (outcomes[i].verdict == PLAN_STARTS && planner.out_of_memory)
            planner_give(&planner, i);
        started += outcomes[i].verdict == PLAN_STARTS;
    }
    return planner.out_of_memory ? -ENOMEM : started;
}
