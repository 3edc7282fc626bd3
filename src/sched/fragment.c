/* Fragmentation of a node: see fragment.h. */
#include "sched/fragment.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

struct tally {
    const struct fleet_shape *shape;
    size_t first; /* where it was seen first: ties keep that order */
    size_t count;
};

static int shape_order(const struct fleet_shape *a, const struct fleet_shape *b)
{
    const uint64_t left[] = {a->cpus_milli,   a->count,     a->share_permille,
                             a->memory_bytes, a->ram_bytes, a->models};
    const uint64_t right[] = {b->cpus_milli,   b->count,     b->share_permille,
                              b->memory_bytes, b->ram_bytes, b->models};
    for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++) {
        if (left[i] != right[i])
            return left[i] < right[i] ? -1 : 1;
    }
    return 0;
}

static int by_shape(const void *a, const void *b)
{
    const struct tally *left = a, *right = b;
    int order = shape_order(left->shape, right->shape);
    return order ? order : (left->first > right->first) - (left->first < right->first);
}

static int by_count(const void *a, const void *b)
{
    const struct tally *left = a, *right = b;
    if (left->count != right->count)
        return left->count > right->count ? -1 : 1;
    return (left->first > right->first) - (left->first < right->first);
}

int fragment_learn(struct fragment_usual *usual, const struct fleet_shape *tasks, size_t count,
                   double cover)
{
    usual->count = 0;
    if (count == 0)
        return 0;
    struct tally *tallies = calloc(count, sizeof(*tallies));
    if (!tallies)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        tallies[i] = (struct tally){&tasks[i], i, 1};
    qsort(tallies, count, sizeof(*tallies), by_shape);
    size_t kinds = 0;
    for (size_t i = 1; i < count; i++) {
        if (fleet_shape_equal(tallies[kinds].shape, tallies[i].shape))
            tallies[kinds].count++;
        else
            tallies[++kinds] = tallies[i];
    }
    kinds++;
    qsort(tallies, kinds, sizeof(*tallies), by_count);
    size_t covered = 0;
    for (size_t i = 0; i < kinds && (double)covered < cover * (double)count &&
                       usual->count < FRAGMENT_CLASSES_MAX;
         i++) {
        double weight = (double)tallies[i].count / (double)count;
        usual->classes[usual->count++] = (struct fragment_class){*tallies[i].shape, weight};
        covered += tallies[i].count;
    }
    free(tallies);
    return 0;
}

/* A node as the measures look at it: devices by falling room. */
struct view {
    const struct fleet_node *node;
    uint32_t idle;
    unsigned count;
    uint32_t room[FLEET_NODE_DEVICES_MAX];
    uint64_t memory[FLEET_NODE_DEVICES_MAX];
    uint64_t model[FLEET_NODE_DEVICES_MAX]; /* as a bit of a shape's models */
};

static void view_fill(struct view *view, const struct fleet_node *node)
{
    view->node = node;
    view->idle = 0;
    view->count = node->device_count;
    for (unsigned i = 0; i < node->device_count; i++) {
        uint32_t room = node->share_free[i];
        unsigned at = i;
        for (; at > 0 && view->room[at - 1] < room; at--) {
            view->room[at] = view->room[at - 1];
            view->memory[at] = view->memory[at - 1];
            view->model[at] = view->model[at - 1];
        }
        view->room[at] = room;
        view->memory[at] = node->memory_free[i];
        view->model[at] = 1ull << node->models[i];
        view->idle += room;
    }
}

/* What one class finds on a node. */
struct finding {
    uint32_t fit;    /* idle compute of the devices that can hold a card */
    uint32_t usable; /* the part of it that the free CPU can feed */
    unsigned devices;
};

static bool device_suits(const struct view *view, unsigned i, const struct fleet_shape *shape)
{
    return view->memory[i] >= shape->memory_bytes &&
           (!shape->models || shape->models & view->model[i]);
}

static struct finding look_single(const struct view *view, const struct fleet_shape *shape,
                                  uint64_t fed)
{
    struct finding found = {0};
    for (unsigned i = 0; i < view->count && view->room[i] >= shape->share_permille; i++) {
        if (!device_suits(view, i, shape))
            continue;
        found.devices++;
        found.fit += view->room[i];
        if (fed > 0) {
            uint64_t here = view->room[i] / shape->share_permille;
            found.usable += view->room[i];
            fed -= here < fed ? here : fed;
        }
    }
    return found;
}

static struct finding look_group(const struct view *view, const struct fleet_shape *shape,
                                 uint64_t fed)
{
    struct finding found = {0};
    uint32_t room[FLEET_NODE_DEVICES_MAX];
    for (unsigned i = 0; i < view->count && view->room[i] >= shape->share_permille; i++) {
        if (!device_suits(view, i, shape))
            continue;
        room[found.devices++] = view->room[i];
        found.fit += view->room[i];
    }
    uint64_t groups = found.devices / shape->count;
    uint64_t used = (fed < groups ? fed : groups) * shape->count;
    for (unsigned i = 0; i < used; i++)
        found.usable += room[i];
    return found;
}

/* A task without cards leaves all idle compute unused, as in the published measure. */
static struct finding look(const struct view *view, const struct fleet_shape *shape)
{
    const struct fleet_node *node = view->node;
    if (shape->count == 0 || shape->share_permille == 0 ||
        shape->cpus_milli > node->cpus_free_milli || shape->ram_bytes > node->ram_free_bytes ||
        node->tasks >= node->tasks_max)
        return (struct finding){0};
    uint64_t fed = shape->cpus_milli ? node->cpus_free_milli / shape->cpus_milli : UINT32_MAX;
    struct finding found =
        shape->count == 1 ? look_single(view, shape, fed) : look_group(view, shape, fed);
    return found.devices >= shape->count ? found : (struct finding){0};
}

struct fragment fragment_measure(const struct fragment_usual *usual, const struct fleet_node *node)
{
    struct view view;
    view_fill(&view, node);
    struct fragment sum = {0};
    for (size_t i = 0; i < usual->count; i++) {
        struct finding found = look(&view, &usual->classes[i].shape);
        sum.fit += usual->classes[i].weight * (view.idle - found.fit);
        sum.feed += usual->classes[i].weight * (view.idle - found.usable);
    }
    return sum;
}
