/* Amounts of a node: see fleet.h. */
#include "sched/fleet.h"

#include <assert.h>

bool fleet_device_fits(const struct fleet_node *node, unsigned index,
                       const struct fleet_shape *shape)
{
    return node->share_free[index] >= shape->share_permille &&
           node->memory_free[index] >= shape->memory_bytes &&
           (!shape->models || shape->models >> node->models[index] & 1);
}

uint32_t fleet_node_first_devices(const struct fleet_node *node, const struct fleet_shape *shape)
{
    uint32_t chosen = 0, wanted = shape->count;
    for (unsigned i = 0; i < node->device_count && wanted; i++) {
        if (fleet_device_fits(node, i, shape)) {
            chosen |= 1u << i;
            wanted--;
        }
    }
    return wanted ? 0 : chosen;
}

bool fleet_node_fits(const struct fleet_node *node, const struct fleet_shape *shape)
{
    if (shape->cpus_milli > node->cpus_free_milli || shape->ram_bytes > node->ram_free_bytes ||
        node->tasks >= node->tasks_max)
        return false;
    if (shape->count == 0)
        return true;
    return fleet_node_first_devices(node, shape) != 0;
}

bool fleet_node_has(const struct fleet_node *node, const struct fleet_shape *shape,
                    uint32_t devices)
{
    if (!fleet_node_fits(node, shape))
        return false;
    for (unsigned i = 0; i < node->device_count; i++) {
        if (devices >> i & 1 && !fleet_device_fits(node, i, shape))
            return false;
    }
    return true;
}

void fleet_node_take(struct fleet_node *node, const struct fleet_shape *shape, uint32_t devices)
{
    assert(node->cpus_free_milli >= shape->cpus_milli && node->ram_free_bytes >= shape->ram_bytes);
    node->cpus_free_milli -= shape->cpus_milli;
    node->ram_free_bytes -= shape->ram_bytes;
    node->tasks++;
    for (unsigned i = 0; i < node->device_count; i++) {
        if (devices >> i & 1) {
            assert(fleet_device_fits(node, i, shape));
            node->share_free[i] -= shape->share_permille;
            node->memory_free[i] -= shape->memory_bytes;
        }
    }
}

void fleet_node_give(struct fleet_node *node, const struct fleet_shape *shape, uint32_t devices)
{
    assert(node->tasks > 0);
    node->cpus_free_milli += shape->cpus_milli;
    node->ram_free_bytes += shape->ram_bytes;
    node->tasks--;
    for (unsigned i = 0; i < node->device_count; i++) {
        if (devices >> i & 1) {
            node->share_free[i] += shape->share_permille;
            node->memory_free[i] += shape->memory_bytes;
        }
    }
}

uint32_t fleet_node_idle_permille(const struct fleet_node *node)
{
    uint32_t idle = 0;
    for (unsigned i = 0; i < node->device_count; i++)
        idle += node->share_free[i];
    return idle;
}

bool fleet_shape_equal(const struct fleet_shape *a, const struct fleet_shape *b)
{
    return a->cpus_milli == b->cpus_milli && a->count == b->count &&
           a->share_permille == b->share_permille && a->memory_bytes == b->memory_bytes &&
           a->ram_bytes == b->ram_bytes && a->models == b->models;
}
