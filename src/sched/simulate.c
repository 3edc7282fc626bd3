/* One pass over a trace: see simulate.h. */
#include "sched/simulate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "sched/plan.h"

#define COVER_USUAL 0.95 /* as in the published experiment */

struct pass {
    struct fleet_node *nodes;
    size_t node_count;
    struct fragment_usual usual;
    struct chooser *chooser;
    uint64_t *times_ns;
    double capacity, arrived, allocated; /* thousandths of a device */
    int percent;                         /* next entry of the series */
};

const char *simulate_class_name(enum simulate_class kind)
{
    static const char *const names[] = {"cpu", "shared", "whole", "multi"};
    return kind < SIMULATE_CLASSES ? names[kind] : "invalid";
}

enum simulate_class simulate_class_of(const struct fleet_shape *shape)
{
    if (shape->count == 0)
        return SIMULATE_CPU;
    if (shape->count > 1)
        return SIMULATE_MULTI;
    return shape->share_permille == FLEET_WHOLE ? SIMULATE_WHOLE : SIMULATE_SHARED;
}

static void pass_finish(struct pass *pass)
{
    chooser_destroy(pass->chooser);
    free(pass->nodes);
    free(pass->times_ns);
}

static int pass_init(struct pass *pass, const struct trace *trace,
                     const struct simulate_options *options)
{
    pass->node_count = trace->node_count;
    pass->nodes = calloc(trace->node_count + 1, sizeof(*pass->nodes));
    pass->times_ns = calloc(trace->order_count + 1, sizeof(*pass->times_ns));
    struct fleet_shape *shapes = calloc(trace->task_count + 1, sizeof(*shapes));
    int r = pass->nodes && pass->times_ns && shapes ? 0 : -ENOMEM;
    if (r == 0) {
        memcpy(pass->nodes, trace->nodes, trace->node_count * sizeof(*pass->nodes));
        for (size_t i = 0; i < trace->task_count; i++)
            shapes[i] = trace->tasks[i].shape;
        r = fragment_learn(&pass->usual, shapes, trace->task_count,
                           options->cover > 0 ? options->cover : COVER_USUAL);
    }
    free(shapes);
    if (r < 0)
        return r;
    for (size_t i = 0; i < trace->node_count; i++)
        pass->capacity += (double)pass->nodes[i].device_count * FLEET_WHOLE;
    pass->chooser =
        chooser_create(options->rule, pass->nodes, trace->node_count, &pass->usual, options->seed);
    return pass->chooser ? 0 : -ENOMEM;
}

/* Find and take a place; the time of it is kept. */
static int decide(struct pass *pass, const struct simulate_options *options,
                  const struct fleet_shape *shape, uint64_t *ret_time_ns)
{
    const struct plan_task task = {.shape = *shape, .length_us = PLAN_FAR};
    const struct plan plan = {.chooser = pass->chooser,
                              .nodes = pass->nodes,
                              .node_count = pass->node_count,
                              .tasks = &task,
                              .task_count = 1};
    struct plan_outcome outcome;
    uint64_t start = options->now_ns ? options->now_ns(options->clock_arg) : 0;
    int r = plan_make(&plan, &outcome);
    *ret_time_ns = options->now_ns ? options->now_ns(options->clock_arg) - start : 0;
    return r == 0 ? -ENOSPC : r;
}

static void series_advance(struct pass *pass, struct simulate_result *result)
{
    double now = pass->capacity > 0 ? pass->allocated / pass->capacity * 100 : 0;
    while (pass->percent <= SIMULATE_PERCENT_MAX &&
           pass->arrived * 100 >= pass->percent * pass->capacity)
        result->allocated_percent[pass->percent++] = now;
    result->final_percent = now;
}

static int by_value(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static void times_summarise(uint64_t *times_ns, size_t count, struct simulate_result *result)
{
    if (count == 0)
        return;
    qsort(times_ns, count, sizeof(*times_ns), by_value);
    result->decision_p50_ns = times_ns[count / 2];
    result->decision_p99_ns = times_ns[count - 1 - count / 100];
    result->decision_max_ns = times_ns[count - 1];
}

static int pass_run(struct pass *pass, const struct trace *trace,
                    const struct simulate_options *options, struct simulate_result *result)
{
    series_advance(pass, result);
    for (size_t i = 0; i < trace->order_count; i++) {
        const struct fleet_shape *shape = &trace->tasks[trace->order[i]].shape;
        double asked = (double)shape->count * shape->share_permille;
        int r = decide(pass, options, shape, &pass->times_ns[i]);
        if (r == -ENOMEM)
            return r;
        pass->arrived += asked;
        if (r > 0) {
            pass->allocated += asked;
            result->placed++;
        } else {
            result->failed++;
            result->failed_of[simulate_class_of(shape)]++;
        }
        series_advance(pass, result);
    }
    while (pass->percent <= SIMULATE_PERCENT_MAX)
        result->allocated_percent[pass->percent++] = result->final_percent;
    double fragment = 0;
    for (size_t i = 0; i < trace->node_count; i++)
        fragment += fragment_measure(&pass->usual, &pass->nodes[i]).fit;
    result->fragment_permille = pass->capacity > 0 ? fragment / pass->capacity * 1000 : 0;
    times_summarise(pass->times_ns, trace->order_count, result);
    return 0;
}

int simulate_pass(const struct trace *trace, const struct simulate_options *options,
                  struct simulate_result *ret_result, struct error *err)
{
    struct pass pass = {0};
    struct simulate_result result = {0};
    int r = pass_init(&pass, trace, options);
    if (r == 0)
        r = pass_run(&pass, trace, options, &result);
    pass_finish(&pass);
    if (r < 0)
        return error_set(err, r, "out-of-memory", "simulating %zu tasks", trace->order_count);
    *ret_result = result;
    return 0;
}
