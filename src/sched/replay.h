/* Play a trace in time through the placement function: tasks arrive, wait, run and end by a virtual
 * clock. Pure but for the caller's clock, which times the decisions.
 *
 * Tasks without a duration stay for ever, and a trace without arrivals has one task a second: so
 * the published sequence is played with other rules than its own, in which what fits nowhere waits
 * and is tried again, several arrivals are decided at once, and running tasks may be moved. */
#ifndef LEAT_SCHED_REPLAY_H
#define LEAT_SCHED_REPLAY_H

#include <stddef.h>
#include <stdint.h>

#include "sched/choose.h"
#include "sched/trace.h"

struct error;

#define REPLAY_SERIES 200 /* points of time in the series */

struct replay_options {
    const struct choose_rule *rule;
    uint64_t seed;
    double window_s;         /* decide at most this often; 0: at each event */
    uint32_t moves_per_hour; /* of running tasks, to let a waiting one in; 0: none */
    bool search, backfill;
    uint64_t (*now_ns)(void *clock_arg); /* times decisions; NULL: they are not timed */
    void *clock_arg;
};

struct replay_result {
    size_t started, waiting, moves; /* `waiting` have not started when all has been played */
    double wait_mean_s, wait_p50_s, wait_p95_s, wait_max_s;
    double jct_mean_s, jct_p95_s; /* from arrival to end, of those that end */
    double slowdown_mean; /* that time over the duration, of those that last 10 s and more */
    double used_percent;  /* of all compute, over the time of the trace */
    double peak_percent;  /* the most compute in use at once */
    double fairness;      /* Jain's index of the tenants' mean slowdown: 1 is equal */
    double makespan_s;
    double series_percent[REPLAY_SERIES]; /* compute in use, over the time of the trace */
    uint64_t decision_p50_ns, decision_p99_ns;
};

/* The trace's nodes are left as they were. Returns 0 or -ENOMEM. */
int replay_run(const struct trace *trace, const struct replay_options *options,
               struct replay_result *ret_result, struct error *err);

#endif
