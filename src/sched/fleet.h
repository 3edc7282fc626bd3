/* A fleet: many nodes with a few devices each, and the shapes of the tasks that are placed on
 * them, kept so that a decision touches little: amounts in flat arrays, each shape known by a small
 * number. Pure state: no clock, no randomness, no I/O. Not thread-safe.
 *
 * Units: compute in thousandths of one device, CPU in thousandths of a core, memory in bytes. */
#ifndef LEAT_SCHED_FLEET_H
#define LEAT_SCHED_FLEET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLEET_NODE_DEVICES_MAX 16
#define FLEET_MODELS_MAX 64
#define FLEET_WHOLE 1000u /* compute of one device */

/* What one task asks. `count` cards, each with the same part of a device; 0 cards: only CPU. */
struct fleet_shape {
    uint32_t cpus_milli;
    uint32_t count;
    uint32_t share_permille; /* per card; FLEET_WHOLE: a whole device, untouched by others */
    uint64_t memory_bytes;   /* of the device, per card */
    uint64_t ram_bytes;
    uint64_t models; /* bit per device model that will do; 0: any */
};

struct fleet_node {
    uint32_t cpus_milli, cpus_free_milli;
    uint64_t ram_bytes, ram_free_bytes;
    uint32_t device_count;
    uint32_t tasks, tasks_max;
    uint8_t models[FLEET_NODE_DEVICES_MAX]; /* per device; below FLEET_MODELS_MAX */
    uint32_t share_free[FLEET_NODE_DEVICES_MAX];
    uint64_t memory_free[FLEET_NODE_DEVICES_MAX];
};

/* Where one task sits: a node and, by bits, its devices. */
struct fleet_place {
    uint32_t node;
    uint32_t devices; /* bit i: device i of the node */
};

/* Can the node take the shape now? */
bool fleet_node_fits(const struct fleet_node *node, const struct fleet_shape *shape);
/* The devices for a shape that asks for whole devices or more than one card: the first that will
 * do. 0 when the node cannot take it (or it asks for none). */
uint32_t fleet_node_first_devices(const struct fleet_node *node, const struct fleet_shape *shape);
/* Is device `index` able to hold one card of the shape? */
bool fleet_device_fits(const struct fleet_node *node, unsigned index,
                       const struct fleet_shape *shape);

/* Can it take the shape on exactly these devices? */
bool fleet_node_has(const struct fleet_node *node, const struct fleet_shape *shape,
                    uint32_t devices);

/* Lower or raise the free amounts; the caller has asked fleet_node_fits before taking. */
void fleet_node_take(struct fleet_node *node, const struct fleet_shape *shape, uint32_t devices);
void fleet_node_give(struct fleet_node *node, const struct fleet_shape *shape, uint32_t devices);

/* Compute of the node's devices that nobody holds, thousandths. */
uint32_t fleet_node_idle_permille(const struct fleet_node *node);

/* Two tasks are of one class when these agree. */
bool fleet_shape_equal(const struct fleet_shape *a, const struct fleet_shape *b);

#endif
