/* Moves that let one more task in: see repack.h. */
#include "sched/repack.h"

#include <errno.h>
#include <stdlib.h>

#include "sched/regroup.h"

#define TRIES_MAX 64  /* nodes for whose tasks other places are sought */
#define VICTIMS_MAX 3 /* tasks of one node that leave it */

/* The movable tasks by node, small ones first. */
struct entry {
    const struct repack_task *task;
    size_t index;
};

static uint64_t size_of(const struct fleet_shape *shape)
{
    return (uint64_t)shape->count * shape->share_permille;
}

static int by_node(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    if (a->task->place.node != b->task->place.node)
        return a->task->place.node < b->task->place.node ? -1 : 1;
    if (size_of(&a->task->shape) != size_of(&b->task->shape))
        return size_of(&a->task->shape) < size_of(&b->task->shape) ? -1 : 1;
    return (a->index > b->index) - (a->index < b->index);
}

/* Which of the node's tasks to take away so that the shape fits: the fewest, up to
 * VICTIMS_MAX. 0: not possible. */
static size_t victims_find(const struct fleet_node *node, const struct entry *entries, size_t count,
                           const struct fleet_shape *shape, size_t victims[VICTIMS_MAX])
{
    for (size_t i = 0; i < count; i++) {
        struct fleet_node without = *node;
        fleet_node_give(&without, &entries[i].task->shape, entries[i].task->place.devices);
        victims[0] = i;
        if (fleet_node_fits(&without, shape))
            return 1;
    }
    for (size_t first = 0; first < count; first++) {
        struct fleet_node without = *node;
        size_t taken = 0;
        for (size_t i = first; i < count && taken < VICTIMS_MAX; i++) {
            /* Those that share a device with the first. */
            if (!(entries[i].task->place.devices & entries[first].task->place.devices))
                continue;
            fleet_node_give(&without, &entries[i].task->shape, entries[i].task->place.devices);
            victims[taken++] = i;
            if (fleet_node_fits(&without, shape))
                return taken;
        }
    }
    return 0;
}

struct asker {
    const struct repack *repack;
    uint32_t node, kept; /* devices of the node that the waiting task is to have */
};

static bool accept(void *arg, uint32_t node, uint32_t *devices)
{
    const struct asker *asker = arg;
    if (node != asker->node)
        return true;
    return asker->repack->may_stay && *devices && !(*devices & asker->kept);
}

static const struct fleet_node *node_of(const struct repack *repack, uint32_t node)
{
    return &repack->nodes[node];
}

/* Places for the victims elsewhere, with the waiting task already on the node. On success they are
 * the moves; the chooser is left as it was. */
static int places_find(const struct repack *repack, const struct entry *entries,
                       const size_t *victims, size_t count, const struct fleet_shape *shape,
                       struct repack_move *moves, struct fleet_place *ret_place)
{
    uint32_t node = entries[victims[0]].task->place.node;
    for (size_t i = 0; i < count; i++)
        chooser_give(repack->chooser, &entries[victims[i]].task->shape,
                     entries[victims[i]].task->place);
    *ret_place = (struct fleet_place){node, fleet_node_first_devices(node_of(repack, node), shape)};
    chooser_take(repack->chooser, shape, *ret_place);
    struct asker asker = {repack, node, ret_place->devices};
    size_t found = 0;
    int r = 0;
    for (; found < count && r == 0; found++) {
        const struct entry *entry = &entries[victims[found]];
        moves[found].task = entry->index;
        r = chooser_find_if(repack->chooser, &entry->task->shape, accept, &asker, &moves[found].to);
        if (r < 0)
            break;
        chooser_take(repack->chooser, &entry->task->shape, moves[found].to);
    }
    for (size_t i = 0; i < found; i++)
        chooser_give(repack->chooser, &entries[victims[i]].task->shape, moves[i].to);
    chooser_give(repack->chooser, shape, *ret_place);
    for (size_t i = 0; i < count; i++)
        chooser_take(repack->chooser, &entries[victims[i]].task->shape,
                     entries[victims[i]].task->place);
    return r == -ENOMEM ? r : found == count ? (int)count : 0;
}

/* -- two change places -- */

/* Of what one device has. */
static bool is_part(const struct fleet_shape *shape)
{
    return shape->count == 1 && shape->share_permille < FLEET_WHOLE;
}

static uint32_t share_free(const struct repack *repack, const struct repack_task *task)
{
    return node_of(repack, task->place.node)->share_free[__builtin_ctz(task->place.devices)];
}

/* Two that ask for the same compute may change places to set CPU free; two unlike parts of devices
 * to bring what is idle on both together. */
static bool swap_is_apt(const struct repack *repack, const struct repack_task *a,
                        const struct repack_task *b, const struct fleet_shape *shape)
{
    if (a->shape.count == b->shape.count && a->shape.share_permille == b->shape.share_permille)
        return b->shape.cpus_milli < a->shape.cpus_milli;
    if (!is_part(&a->shape) || !is_part(&b->shape) || !is_part(shape) ||
        a->shape.share_permille < b->shape.share_permille)
        return false;
    uint32_t more = a->shape.share_permille - b->shape.share_permille;
    return share_free(repack, b) >= more && share_free(repack, a) + more >= shape->share_permille;
}

/* Would the shape find room on the node of `a` if `a` and `b` changed places? */
static bool swap_helps(const struct repack *repack, const struct repack_task *a,
                       const struct repack_task *b, const struct fleet_shape *shape)
{
    const struct fleet_node *near = node_of(repack, a->place.node);
    const struct fleet_node *far = node_of(repack, b->place.node);
    if (near->cpus_free_milli + a->shape.cpus_milli < b->shape.cpus_milli + shape->cpus_milli ||
        far->cpus_free_milli + b->shape.cpus_milli < a->shape.cpus_milli ||
        a->place.node == b->place.node || !swap_is_apt(repack, a, b, shape))
        return false;
    struct fleet_node here = *near, there = *far;
    fleet_node_give(&here, &a->shape, a->place.devices);
    fleet_node_give(&there, &b->shape, b->place.devices);
    if (!fleet_node_has(&here, &b->shape, a->place.devices) ||
        !fleet_node_has(&there, &a->shape, b->place.devices))
        return false;
    fleet_node_take(&here, &b->shape, a->place.devices);
    return fleet_node_fits(&here, shape);
}

/* Has the node the devices for the shape, and only its CPU or RAM not? */
static bool is_starved(const struct fleet_node *node, const struct fleet_shape *shape)
{
    struct fleet_node fed = *node;
    fed.cpus_free_milli = UINT32_MAX;
    fed.ram_free_bytes = UINT64_MAX;
    return shape->count && fleet_node_fits(&fed, shape);
}

/* The most that is idle on any device of which a part is taken. */
static uint32_t most_idle(const struct repack *repack, const struct entry *entries, size_t count)
{
    uint32_t most = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t idle = is_part(&entries[i].task->shape) ? share_free(repack, entries[i].task) : 0;
        most = idle > most ? idle : most;
    }
    return most;
}

static int swap_find(const struct repack *repack, const struct entry *entries, size_t count,
                     const struct fleet_shape *shape, struct repack_move *moves,
                     struct fleet_place *ret_place)
{
    uint32_t most = most_idle(repack, entries, count);
    for (size_t i = 0; i < count; i++) {
        const struct repack_task *a = entries[i].task;
        struct fleet_node here = *node_of(repack, a->place.node);
        bool joins = is_part(shape) && is_part(&a->shape) &&
                     share_free(repack, a) + most >= shape->share_permille;
        bool apt = joins || is_starved(&here, shape);
        for (size_t k = 0; apt && k < count; k++) {
            const struct repack_task *b = entries[k].task;
            if (!swap_helps(repack, a, b, shape))
                continue;
            moves[0] = (struct repack_move){entries[i].index, {b->place.node, b->place.devices}};
            moves[1] = (struct repack_move){entries[k].index, {a->place.node, a->place.devices}};
            fleet_node_give(&here, &a->shape, a->place.devices);
            fleet_node_take(&here, &b->shape, a->place.devices);
            *ret_place =
                (struct fleet_place){a->place.node, fleet_node_first_devices(&here, shape)};
            return 2;
        }
    }
    return 0;
}

int repack_find(const struct repack *repack, const struct fleet_shape *shape,
                struct repack_move moves[REPACK_MOVES_MAX], struct fleet_place *ret_place)
{
    struct entry *entries = malloc((repack->running_count + 1) * sizeof(*entries));
    size_t count = 0, tries = 0;
    int r = 0;
    if (!entries)
        return -ENOMEM;
    for (size_t i = 0; i < repack->running_count; i++) {
        if (repack->running[i].movable)
            entries[count++] = (struct entry){&repack->running[i], i};
    }
    if (count)
        qsort(entries, count, sizeof(*entries), by_node);
    for (size_t begin = 0, end; r == 0 && begin < count && tries < TRIES_MAX; begin = end) {
        size_t victims[VICTIMS_MAX];
        uint32_t node = entries[begin].task->place.node;
        for (end = begin; end < count && entries[end].task->place.node == node;)
            end++;
        size_t taken =
            victims_find(node_of(repack, node), &entries[begin], end - begin, shape, victims);
        if (taken == 0)
            continue;
        tries++;
        r = places_find(repack, &entries[begin], victims, taken, shape, moves, ret_place);
    }
    if (r == 0 && repack->may_swap)
        r = swap_find(repack, entries, count, shape, moves, ret_place);
    if (r == 0 && repack->may_swap)
        r = regroup_find(repack, shape, moves, ret_place);
    free(entries);
    return r;
}
