/* Small groups of devices packed anew: see regroup.h. */
#include "sched/regroup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ITEMS_MAX (REGROUP_DEVICES_MAX * REGROUP_PARTS_MAX + 1)
#define TRIES_MAX 16       /* groups of the same kinds of boxes */
#define NOBODY SIZE_MAX    /* the waiting task, among the running */
#define NOWHERE UINT32_MAX /* it comes from no box */

/* A device of which movable tasks have parts. */
struct box {
    uint32_t node, device; /* its number on the node */
    uint32_t room;         /* what the movable tasks hold, and what is idle */
    uint32_t idle;
    uint32_t cpus_free_milli; /* of the node */
    size_t count;
    size_t tasks[REGROUP_PARTS_MAX];    /* of the running; by falling share */
    uint32_t shares[REGROUP_PARTS_MAX]; /* of the same; the rest is 0 */
};

/* Boxes with the same shares in them. */
struct kind {
    const struct box *boxes;
    size_t count;
};

struct item {
    const struct fleet_shape *shape;
    size_t task;
    uint32_t from; /* of the group's boxes */
    uint32_t at;
};

struct regroup {
    const struct repack *repack;
    const struct fleet_shape *shape;
    struct box *boxes;
    struct kind *kinds; /* by falling idle compute */
    size_t box_count, kind_count;
    const struct kind *chosen[REGROUP_DEVICES_MAX];
    size_t wanted; /* boxes of a group */
    size_t steps;
    /* The group looked at. */
    const struct box *group[REGROUP_DEVICES_MAX];
    struct fleet_node nodes[REGROUP_DEVICES_MAX];
    size_t node_of[REGROUP_DEVICES_MAX]; /* boxes of one node share a copy of it */
    struct item items[ITEMS_MAX];
    size_t item_count;
};

/* -- the boxes -- */

/* A movable task with a part of one device. */
struct part {
    uint32_t node, device, share_permille;
    size_t task;
};

static int by_device(const void *left, const void *right)
{
    const struct part *a = left, *b = right;
    if (a->node != b->node)
        return a->node < b->node ? -1 : 1;
    if (a->device != b->device)
        return a->device < b->device ? -1 : 1;
    if (a->share_permille != b->share_permille)
        return a->share_permille > b->share_permille ? -1 : 1;
    return (a->task > b->task) - (a->task < b->task);
}

static int filling_order(const struct box *a, const struct box *b)
{
    if (a->idle != b->idle)
        return a->idle > b->idle ? -1 : 1;
    if (a->room != b->room)
        return a->room > b->room ? -1 : 1;
    return memcmp(a->shares, b->shares, sizeof(a->shares));
}

/* Of equally filled ones that with the most CPU beside it first. */
static int by_filling(const void *left, const void *right)
{
    const struct box *a = left, *b = right;
    int order = filling_order(a, b);
    if (order == 0 && a->cpus_free_milli != b->cpus_free_milli)
        order = a->cpus_free_milli > b->cpus_free_milli ? -1 : 1;
    if (order == 0 && a->node != b->node)
        order = a->node < b->node ? -1 : 1;
    return order ? order : (a->device > b->device) - (a->device < b->device);
}

static size_t parts_list(const struct repack *repack, struct part *parts)
{
    size_t count = 0;
    for (size_t i = 0; i < repack->running_count; i++) {
        const struct repack_task *task = &repack->running[i];
        if (!task->movable || task->shape.count != 1 || task->shape.share_permille >= FLEET_WHOLE)
            continue;
        parts[count++] =
            (struct part){task->place.node, (uint32_t)__builtin_ctz(task->place.devices),
                          task->shape.share_permille, i};
    }
    if (count)
        qsort(parts, count, sizeof(*parts), by_device);
    return count;
}

static void boxes_fill(struct regroup *regroup, const struct part *parts, size_t count)
{
    for (size_t begin = 0, end; begin < count; begin = end) {
        const struct fleet_node *node = &regroup->repack->nodes[parts[begin].node];
        struct box *box = &regroup->boxes[regroup->box_count];
        *box = (struct box){.node = parts[begin].node,
                            .device = parts[begin].device,
                            .idle = node->share_free[parts[begin].device],
                            .cpus_free_milli = node->cpus_free_milli};
        box->room = box->idle;
        for (end = begin;
             end < count && parts[end].node == box->node && parts[end].device == box->device;
             end++) {
            box->room += parts[end].share_permille;
            if (box->count == REGROUP_PARTS_MAX)
                continue;
            box->shares[box->count] = parts[end].share_permille;
            box->tasks[box->count++] = parts[end].task;
        }
        regroup->box_count += end - begin <= REGROUP_PARTS_MAX;
    }
}

static void kinds_fill(struct regroup *regroup)
{
    if (regroup->box_count)
        qsort(regroup->boxes, regroup->box_count, sizeof(*regroup->boxes), by_filling);
    for (size_t i = 0; i < regroup->box_count; i++) {
        const struct box *box = &regroup->boxes[i];
        if (i == 0 || filling_order(box - 1, box) != 0)
            regroup->kinds[regroup->kind_count++] = (struct kind){box, 0};
        regroup->kinds[regroup->kind_count - 1].count++;
    }
}

static int regroup_init(struct regroup *regroup)
{
    size_t room = regroup->repack->running_count + 1;
    struct part *parts = calloc(room, sizeof(*parts));
    size_t count = parts ? parts_list(regroup->repack, parts) : 0;
    regroup->boxes = calloc(count + 1, sizeof(*regroup->boxes));
    regroup->kinds = calloc(count + 1, sizeof(*regroup->kinds));
    if (parts && regroup->boxes && regroup->kinds) {
        boxes_fill(regroup, parts, count);
        kinds_fill(regroup);
    }
    bool good = parts && regroup->boxes && regroup->kinds;
    free(parts);
    return good ? 0 : -ENOMEM;
}

/* -- one group -- */

static bool step(struct regroup *regroup)
{
    return regroup->steps < REGROUP_STEPS_MAX && ++regroup->steps;
}

static int by_share(const void *left, const void *right)
{
    const struct item *a = left, *b = right;
    if (a->shape->share_permille != b->shape->share_permille)
        return a->shape->share_permille > b->shape->share_permille ? -1 : 1;
    return (a->task > b->task) - (a->task < b->task);
}

/* What is to be packed into the group's boxes: all their tasks, and the waiting one. */
static void items_fill(struct regroup *regroup)
{
    regroup->item_count = 0;
    for (uint32_t i = 0; i < regroup->wanted; i++) {
        const struct box *box = regroup->group[i];
        for (size_t k = 0; k < box->count; k++)
            regroup->items[regroup->item_count++] =
                (struct item){&regroup->repack->running[box->tasks[k]].shape, box->tasks[k], i, i};
    }
    regroup->items[regroup->item_count++] = (struct item){regroup->shape, NOBODY, NOWHERE, NOWHERE};
    qsort(regroup->items, regroup->item_count, sizeof(regroup->items[0]), by_share);
}

/* Do the shares fit from item `index` on, as far as compute goes? Depth: ITEMS_MAX. */
static bool shares_fit(struct regroup *regroup, size_t index, uint32_t rooms[REGROUP_DEVICES_MAX])
{
    if (index == regroup->item_count)
        return true;
    uint32_t share = regroup->items[index].shape->share_permille;
    bool fits = false;
    for (size_t i = 0; i < regroup->wanted && !fits; i++) {
        bool again = (i > 0 && rooms[i] == rooms[i - 1]) || (i > 1 && rooms[i] == rooms[i - 2]);
        if (rooms[i] < share || again || !step(regroup))
            continue;
        rooms[i] -= share;
        fits = shares_fit(regroup, index + 1, rooms);
        rooms[i] += share;
    }
    return fits;
}

/* Copies of the group's nodes, without the items. */
static void nodes_empty(struct regroup *regroup)
{
    const struct repack *repack = regroup->repack;
    for (size_t i = 0; i < regroup->wanted; i++) {
        size_t at = 0;
        while (at < i && regroup->group[at]->node != regroup->group[i]->node)
            at++;
        regroup->node_of[i] = at;
        if (at == i)
            regroup->nodes[i] = repack->nodes[regroup->group[i]->node];
    }
    for (size_t i = 0; i < regroup->item_count; i++) {
        const struct item *item = &regroup->items[i];
        if (item->task != NOBODY)
            fleet_node_give(&regroup->nodes[regroup->node_of[item->from]], item->shape,
                            repack->running[item->task].place.devices);
    }
}

static bool may_go(const struct regroup *regroup, const struct item *item, uint32_t to)
{
    return item->from == NOWHERE || item->from == to || regroup->repack->may_stay ||
           regroup->group[item->from]->node != regroup->group[to]->node;
}

/* Find boxes for the items from `index` on, each in its own when that will do. Depth: ITEMS_MAX. */
static bool items_seat(struct regroup *regroup, size_t index)
{
    if (index == regroup->item_count)
        return true;
    struct item *item = &regroup->items[index];
    for (uint32_t i = 0; i <= regroup->wanted; i++) {
        uint32_t to = i ? i - 1 : item->from;
        if (to == NOWHERE || (i && to == item->from) || !may_go(regroup, item, to))
            continue;
        struct fleet_node *node = &regroup->nodes[regroup->node_of[to]];
        uint32_t devices = 1u << regroup->group[to]->device;
        if (!step(regroup) || !fleet_node_has(node, item->shape, devices))
            continue;
        item->at = to;
        fleet_node_take(node, item->shape, devices);
        if (items_seat(regroup, index + 1))
            return true;
        fleet_node_give(node, item->shape, devices);
    }
    return false;
}

/* The moves of a group that was packed; 0 when there are too many. */
static int answer(const struct regroup *regroup, struct repack_move *moves,
                  struct fleet_place *ret_place)
{
    int count = 0;
    for (size_t i = 0; i < regroup->item_count; i++) {
        const struct item *item = &regroup->items[i];
        const struct box *box = regroup->group[item->at];
        const struct fleet_place to = {box->node, 1u << box->device};
        if (item->task == NOBODY)
            *ret_place = to;
        else if (item->at != item->from && count == REPACK_MOVES_MAX)
            return 0;
        else if (item->at != item->from)
            moves[count++] = (struct repack_move){item->task, to};
    }
    return count;
}

/* Other groups of the same kinds may have the CPU, the memory or the models. */
static int groups_try(struct regroup *regroup, struct repack_move *moves,
                      struct fleet_place *ret_place)
{
    size_t most = 1;
    for (size_t i = 0; i < regroup->wanted; i++)
        most = regroup->chosen[i]->count > most ? regroup->chosen[i]->count : most;
    for (size_t try = 0; try < TRIES_MAX && try < most; try++) {
        for (size_t i = 0, same = 0; i < regroup->wanted; i++) {
            const struct kind *kind = regroup->chosen[i];
            same = i && regroup->chosen[i - 1] == kind ? same + 1 : 0;
            regroup->group[i] = &kind->boxes[(try + same) % kind->count];
        }
        items_fill(regroup);
        nodes_empty(regroup);
        int count = items_seat(regroup, 0) ? answer(regroup, moves, ret_place) : 0;
        if (count > 0)
            return count;
    }
    return 0;
}

/* -- all groups -- */

/* Groups of these kinds and `depth` more, each kind no more often than it has boxes. */
static int kinds_try(struct regroup *regroup, size_t depth, size_t from, uint32_t idle,
                     struct repack_move *moves, struct fleet_place *ret_place)
{
    uint32_t missing = regroup->shape->share_permille;
    missing = missing > idle ? missing - idle : 0;
    if (depth == regroup->wanted) {
        uint32_t rooms[REGROUP_DEVICES_MAX];
        for (size_t i = 0; i < regroup->wanted; i++) {
            regroup->group[i] = regroup->chosen[i]->boxes;
            rooms[i] = regroup->group[i]->room;
        }
        items_fill(regroup);
        return shares_fit(regroup, 0, rooms) ? groups_try(regroup, moves, ret_place) : 0;
    }
    for (size_t i = from; i < regroup->kind_count && step(regroup); i++) {
        const struct kind *kind = &regroup->kinds[i];
        size_t used = 0;
        for (size_t k = 0; k < depth; k++)
            used += regroup->chosen[k] == kind;
        if (kind->boxes->idle * (regroup->wanted - depth) < missing)
            break; /* those that follow have less */
        if (used == kind->count)
            continue;
        regroup->chosen[depth] = kind;
        int count = kinds_try(regroup, depth + 1, i, idle + kind->boxes->idle, moves, ret_place);
        if (count > 0)
            return count;
    }
    return 0;
}

int regroup_find(const struct repack *repack, const struct fleet_shape *shape,
                 struct repack_move moves[REPACK_MOVES_MAX], struct fleet_place *ret_place)
{
    struct regroup *regroup = calloc(1, sizeof(*regroup));
    if (!regroup)
        return -ENOMEM;
    regroup->repack = repack;
    regroup->shape = shape;
    int r = shape->count == 1 ? regroup_init(regroup) : 0;
    for (regroup->wanted = 2; r == 0 && regroup->wanted <= REGROUP_DEVICES_MAX; regroup->wanted++)
        r = kinds_try(regroup, 0, 0, 0, moves, ret_place);
    free(regroup->boxes);
    free(regroup->kinds);
    free(regroup);
    return r;
}
