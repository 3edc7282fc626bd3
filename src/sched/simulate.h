/* Play a trace through the placement function with a virtual clock. Pure but for the caller's
 * clock, which times the decisions. */
#ifndef LEAT_SCHED_SIMULATE_H
#define LEAT_SCHED_SIMULATE_H

#include <stddef.h>
#include <stdint.h>

#include "sched/choose.h"
#include "sched/trace.h"

struct error;

#define SIMULATE_PERCENT_MAX 130 /* of arrived demand, that the series covers */

enum simulate_class {
    SIMULATE_CPU,    /* no card */
    SIMULATE_SHARED, /* a part of one device */
    SIMULATE_WHOLE,  /* one whole device */
    SIMULATE_MULTI,  /* several devices */
    SIMULATE_CLASSES
};

struct simulate_options {
    const struct choose_rule *rule;
    uint64_t seed;                       /* of the rule `random` */
    double cover;                        /* part of the tasks that are usual, 0: 0.95 */
    uint64_t (*now_ns)(void *clock_arg); /* times decisions; NULL: they are not timed */
    void *clock_arg;
};

struct simulate_result {
    /* Compute in use, percent of all, when the arrived demand passes i percent of all; and at the
     * end. */
    double allocated_percent[SIMULATE_PERCENT_MAX + 1];
    double final_percent;
    double fragment_permille; /* idle compute of no use to the usual tasks, of all compute, at the
                                 end */
    size_t placed, failed, failed_of[SIMULATE_CLASSES];
    uint64_t decision_p50_ns, decision_p99_ns, decision_max_ns;
};

const char *simulate_class_name(enum simulate_class kind);
enum simulate_class simulate_class_of(const struct fleet_shape *shape);

/* One pass: tasks arrive in the trace's order, none leaves, one that fits nowhere is dropped. The
 * trace's nodes are left as they were. Returns 0 or -ENOMEM. */
int simulate_pass(const struct trace *trace, const struct simulate_options *options,
                  struct simulate_result *ret_result, struct error *err);

#endif
