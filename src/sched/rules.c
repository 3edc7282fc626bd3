/* The rules that score a node for a task: see choose.h. Published ones as their papers' simulator
 * has them (github.com/hkust-adsl/kubernetes-scheduler-simulator), and Leat's own. */
#include <math.h>
#include <string.h>

#include "sched/choose.h"

/* The largest node and the most compute of the published experiment weigh CPU against compute in
 * best-fit. */
#define FIT_CPUS_MILLI 128000.0
#define FIT_PERMILLE 8000.0

/* The fullest device that can still hold one card. */
static uint32_t tightest_device(const struct fleet_node *node, const struct fleet_shape *shape)
{
    int best = -1;
    for (unsigned i = 0; i < node->device_count; i++) {
        if (fleet_device_fits(node, i, shape) &&
            (best < 0 || node->share_free[i] < node->share_free[best]))
            best = (int)i;
    }
    return best < 0 ? 0 : 1u << best;
}

static uint32_t tightest_devices(const struct fleet_node *node, const struct fleet_shape *shape)
{
    if (shape->count == 1)
        return tightest_device(node, shape);
    return fleet_node_first_devices(node, shape);
}

static int score_random(const struct choose_case *c, uint32_t *ret_devices)
{
    *ret_devices = tightest_devices(c->node, c->shape);
    return (int)(c->random % (CHOOSE_SCORE_MAX + 1));
}

static int score_best_fit(const struct choose_case *c, uint32_t *ret_devices)
{
    double cpus = (double)c->node->cpus_free_milli - c->shape->cpus_milli;
    double compute = (double)fleet_node_idle_permille(c->node) -
                     (double)c->shape->count * c->shape->share_permille;
    *ret_devices = tightest_devices(c->node, c->shape);
    double left = 0.5 * cpus / FIT_CPUS_MILLI + 0.5 * compute / FIT_PERMILLE;
    return left >= 1 ? 0 : (int)((1 - left) * CHOOSE_SCORE_MAX);
}

/* Shared devices first, then free devices of used nodes, then free nodes. */
static int score_packing(const struct choose_case *c, uint32_t *ret_devices)
{
    uint32_t devices = tightest_devices(c->node, c->shape);
    int free_devices = 0, opened = 0, room_percent = 0;
    *ret_devices = devices;
    for (unsigned i = 0; i < c->node->device_count; i++) {
        int whole = c->node->share_free[i] == FLEET_WHOLE;
        free_devices += whole;
        if (devices >> i & 1) {
            opened += whole;
            room_percent += (int)(c->node->share_free[i] * 100 / FLEET_WHOLE);
        }
    }
    if (c->shape->count == 0)
        return 0;
    if (free_devices == (int)c->node->device_count) {
        int score = CHOOSE_SCORE_MAX / 3 - free_devices;
        return score > free_devices ? score : free_devices;
    }
    if (opened) {
        int score = CHOOSE_SCORE_MAX / 2 - opened;
        return score > CHOOSE_SCORE_MAX / 3 ? score : CHOOSE_SCORE_MAX / 3;
    }
    int score = CHOOSE_SCORE_MAX - room_percent / 10;
    return score > CHOOSE_SCORE_MAX / 2 ? score : CHOOSE_SCORE_MAX / 2;
}

static double mixed(struct fragment fragment, double mix)
{
    return mix * fragment.fit + (1 - mix) * fragment.feed;
}

/* How much less (or more) fragment the node has with the task on these devices, squeezed into
 * 0..100. The coarseness is wanted: it lets near-equals fall to the fleet's order, and exact scores
 * do worse. */
static int score_descent(const struct choose_case *c, uint32_t devices)
{
    struct fleet_node after = *c->node;
    fleet_node_take(&after, c->shape, devices);
    double gain = mixed(c->before, c->mix) - mixed(fragment_measure(c->usual, &after), c->mix);
    return (int)(CHOOSE_SCORE_MAX / (1 + exp(-gain / FLEET_WHOLE)));
}

static int same_device_before(const struct fleet_node *node, unsigned index)
{
    for (unsigned i = 0; i < index; i++) {
        if (node->share_free[i] == node->share_free[index] &&
            node->memory_free[i] == node->memory_free[index] &&
            node->models[i] == node->models[index])
            return 1;
    }
    return 0;
}

static int score_fragment(const struct choose_case *c, uint32_t *ret_devices)
{
    if (c->shape->count != 1 || c->shape->share_permille == FLEET_WHOLE) {
        *ret_devices = fleet_node_first_devices(c->node, c->shape);
        return score_descent(c, *ret_devices);
    }
    int best = -1;
    for (unsigned i = 0; i < c->node->device_count; i++) {
        if (!fleet_device_fits(c->node, i, c->shape) || same_device_before(c->node, i))
            continue;
        int score = score_descent(c, 1u << i);
        if (score > best) {
            best = score;
            *ret_devices = 1u << i;
        }
    }
    return best;
}

const struct choose_rule choose_rules[] = {
    {"leat", score_fragment, 0.75},    {"fgd", score_fragment, 1.0},
    {"best-fit", score_best_fit, 1.0}, {"packing", score_packing, 1.0},
    {"random", score_random, 1.0},     {NULL, NULL, 0},
};

const struct choose_rule *choose_rule_find(const char *name)
{
    for (const struct choose_rule *rule = choose_rules; rule->name; rule++) {
        if (strcmp(rule->name, name) == 0)
            return rule;
    }
    return NULL;
}
