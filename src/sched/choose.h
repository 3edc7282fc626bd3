/* Which node and devices of a fleet take a task: one score per (node, shape), kept until the node
 * changes, so that a decision scores only what changed since the shape was last seen and then looks
 * for the best of a row of bytes.
 *
 * A decision costs O(n) byte comparisons for n nodes and O(changed) scorings, each O(classes x
 * devices of the node). Scores are whole numbers 0..100 and ties go to the first node of the fleet,
 * so the same fleet and tasks always give the same places. Pure; not thread-safe. */
#ifndef LEAT_SCHED_CHOOSE_H
#define LEAT_SCHED_CHOOSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sched/fleet.h"
#include "sched/fragment.h"

#define CHOOSE_SCORE_MAX 100
#define CHOOSE_SHAPES_MAX 4096 /* the least recently met shape makes room for a new one */

struct chooser;

/* What a rule sees of one node. */
struct choose_case {
    const struct fleet_node *node;
    const struct fleet_shape *shape;
    const struct fragment_usual *usual;
    struct fragment before; /* of the node as it is */
    double mix;             /* part of `fit` in the measure, 0..1 */
    uint64_t random;        /* of this node and shape, for the rule `random` */
};

/* A rule scores a node that fits: 0..CHOOSE_SCORE_MAX, and the devices it would take. */
struct choose_rule {
    const char *name;
    int (*score)(const struct choose_case *c, uint32_t *ret_devices);
    double mix;
};

extern const struct choose_rule choose_rules[]; /* ended by a NULL name; the first is the default */
const struct choose_rule *choose_rule_find(const char *name); /* NULL when unknown */

/* `nodes` (in order of preference at ties) and `usual` are borrowed until chooser_destroy; the
 * nodes change only through the chooser. NULL: out of memory. */
struct chooser *chooser_create(const struct choose_rule *rule, struct fleet_node *nodes,
                               size_t count, const struct fragment_usual *usual, uint64_t seed);
void chooser_destroy(struct chooser *chooser); /* accepts NULL */

/* The place for a task of the shape, without taking it: 0, -ENOSPC when none fits, or -ENOMEM. */
int chooser_find(struct chooser *chooser, const struct fleet_shape *shape,
                 struct fleet_place *ret_place);
/* The same among the places that `accept` agrees to, which may take other devices of the node
 * instead. */
typedef bool chooser_accept_fn(void *arg, uint32_t node, uint32_t *devices);
int chooser_find_if(struct chooser *chooser, const struct fleet_shape *shape,
                    chooser_accept_fn *accept, void *arg, struct fleet_place *ret_place);
/* The score of one node as it is now and the devices it would give, or -ENOSPC. Not remembered. */
int chooser_score(const struct chooser *chooser, const struct fleet_shape *shape, uint32_t node,
                  uint32_t *ret_devices);
void chooser_take(struct chooser *chooser, const struct fleet_shape *shape,
                  struct fleet_place place);
void chooser_give(struct chooser *chooser, const struct fleet_shape *shape,
                  struct fleet_place place);

#endif
