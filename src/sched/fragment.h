/* How much of a node's idle compute is of no use to the tasks that usually come.
 *
 * Two measures, in thousandths of a device, each the mean over the usual classes of tasks weighted
 * by how common they are:
 *
 *   fit   is the measure of "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with
 *         Fragmentation Gradient Descent" (USENIX ATC 2023): all idle compute when the class
 *         cannot run on the node, else that of the devices too full for one card of the class;
 *   feed  also asks what the node's free CPU can feed: idle compute less what as many tasks of the
 *         class as the CPU allows could use, devices with the most room first.
 *
 * `fit` alone calls a node with eight idle devices and twelve free cores whole, although most of
 * its devices can never be fed; `feed` sees that. */
#ifndef LEAT_SCHED_FRAGMENT_H
#define LEAT_SCHED_FRAGMENT_H

#include <stddef.h>
#include <stdint.h>

#include "sched/fleet.h"

#define FRAGMENT_CLASSES_MAX 64 /* more cost time and gain nothing measurable */

struct fragment_class {
    struct fleet_shape shape;
    double weight; /* part of all tasks, 0..1 */
};

/* The usual classes: the commonest shapes. */
struct fragment_usual {
    struct fragment_class classes[FRAGMENT_CLASSES_MAX];
    size_t count;
};

/* Learn the classes that make up `cover` (0..1) of `count` tasks, at most FRAGMENT_CLASSES_MAX. The
 * same tasks always give the same classes in the same order. Returns 0 or -ENOMEM. */
int fragment_learn(struct fragment_usual *usual, const struct fleet_shape *tasks, size_t count,
                   double cover);

struct fragment {
    double fit, feed;
};

struct fragment fragment_measure(const struct fragment_usual *usual, const struct fleet_node *node);

#endif
