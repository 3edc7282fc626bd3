/* leat simulate: plays a trace through the placement function and compares policies. Needs no
 * daemon. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/units.h"
#include "cli/ask.h"
#include "cli/chart.h"
#include "cli/replay.h"
#include "cli/verb.h"
#include "cli/verbs.h"
#include "cli/view.h"
#include "sched/simulate.h"

#define TRACE_LIMIT_BYTES (512u << 20)
#define POLICIES_DEFAULT "leat,fgd,best-fit,packing,random"

static const struct option_spec simulate_options[] = {
    {"nodes", 0, "FILE", "CSV of the nodes (required)"},
    {"tasks", 0, "FILE", "CSV of the tasks (required)"},
    {"sequence", 0, "FILE", "order of arrival and of nodes; may be given again"},
    {"policy", 'p', "LIST", "policies to compare (" POLICIES_DEFAULT ")"},
    {"seed", 0, "NUMBER", "of the policy random (1)"},
    {"in-time", 0, NULL, "tasks wait, run and end by a clock, instead of one pass"},
    {"window", 0, "TIME", "in time: decide at most this often, and exactly: 1s"},
    {"moves-per-hour", 0, "COUNT", "in time: running tasks moved to let a waiting one in (0)"},
    {"no-backfill", 0, NULL, "in time: keep no places for those that wait"},
    {"csv", 0, "FILE", "write the series: percent of time or demand, percent in use"},
    {"svg", 0, "FILE", "draw the series"},
    {0},
};

static const struct view_column simulate_columns[] = {
    {"POLICY", "policy", VIEW_TEXT},
    {"SEQUENCE", "sequence", VIEW_TEXT},
    {"@95%", "at_95", VIEW_TEXT},
    {"@100%", "at_100", VIEW_TEXT},
    {"END", "end", VIEW_TEXT},
    {"FRAGMENT", "fragment", VIEW_TEXT},
    {"PLACED", "placed", VIEW_COUNT},
    {"FAILED", "failed", VIEW_COUNT},
    {"CPU", "failed_cpu", VIEW_COUNT},
    {"SHARED", "failed_shared", VIEW_COUNT},
    {"WHOLE", "failed_whole", VIEW_COUNT},
    {"MULTI", "failed_multi", VIEW_COUNT},
    {"P50", "decision_p50", VIEW_TEXT},
    {"P99", "decision_p99", VIEW_TEXT},
    {0},
};

struct simulation {
    const struct args *args;
    json_t *runs;   /* one object a policy and sequence; owned */
    json_t *series; /* of those, to be drawn; owned */
    bool in_time;
    struct replay_options replay; /* then */
    struct buf csv;               /* the series so far */
    uint64_t seed;
};

static uint64_t wall_ns(void *arg)
{
    (void)arg; /* the clock has no state */
    return clock_monotonic_ns();
}

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Read one of the trace's files and hand its text to `take`. */
static int part_read(struct trace *trace, const char *path,
                     int (*take)(struct trace *trace, const char *text, struct error *err),
                     struct error *err)
{
    AUTO_BUF struct buf text = BUF_INIT;
    int r = file_read(AT_FDCWD, path, TRACE_LIMIT_BYTES, &text, err);
    if (r == 0)
        r = take(trace, text.data, err);
    return r < 0 ? error_context(err, "%s", path) : 0;
}

static int trace_load(struct trace *trace, const struct args *args, const char *sequence,
                      struct error *err)
{
    int r = part_read(trace, args_text(args, "nodes"), trace_read_nodes, err);
    if (r == 0)
        r = part_read(trace, args_text(args, "tasks"), trace_read_tasks, err);
    if (r == 0 && sequence)
        r = part_read(trace, sequence, trace_read_sequence, err);
    else if (r == 0)
        r = trace_order_by_arrival(trace, err);
    return r;
}

static json_t *run_encode(const char *policy, const char *sequence,
                          const struct simulate_result *result)
{
    json_t *run = json_pack(
        "{s:s, s:s?, s:f, s:f, s:f, s:f, s:I, s:I, s:I, s:I, s:I}", "policy", policy, "sequence",
        sequence, "allocated_95_percent", result->allocated_percent[95], "allocated_100_percent",
        result->allocated_percent[100], "allocated_end_percent", result->final_percent,
        "fragment_permille", result->fragment_permille, "placed", (json_int_t)result->placed,
        "failed", (json_int_t)result->failed, "decision_p50_ns",
        (json_int_t)result->decision_p50_ns, "decision_p99_ns", (json_int_t)result->decision_p99_ns,
        "decision_max_ns", (json_int_t)result->decision_max_ns);
    for (int kind = 0; run && kind < SIMULATE_CLASSES; kind++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "failed_%s", simulate_class_name(kind));
        (void)json_object_set_new(run, name, json_integer((json_int_t)result->failed_of[kind]));
    }
    return run;
}

static void series_append(struct simulation *simulation, const char *policy, const char *sequence,
                          const double *percent, size_t count)
{
    char label[128];
    json_t *values = json_array();
    double step = simulation->in_time ? 100.0 / (double)count : 1;
    for (size_t i = 0; i < count; i++) {
        (void)buf_printf(&simulation->csv, "%s,%s,%g,%.3f\n", policy, sequence ? sequence : "",
                         (double)i * step, percent[i]);
        (void)json_array_append_new(values, json_real(percent[i]));
    }
    (void)snprintf(label, sizeof(label), "%s %s", policy, sequence ? sequence : "");
    (void)json_array_append_new(simulation->series,
                                json_pack("{s:s, s:o}", "label", label, "values", values));
}

/* One policy over one order of arrival. */
static int run_play(struct simulation *simulation, const struct trace *trace,
                    const struct choose_rule *rule, const char *sequence, struct error *err)
{
    const struct simulate_options options = {
        .rule = rule, .seed = simulation->seed, .now_ns = wall_ns};
    struct simulate_result result;
    struct replay_result replayed;
    json_t *run;
    int r;
    if (simulation->in_time) {
        simulation->replay.rule = rule;
        simulation->replay.seed = simulation->seed;
        simulation->replay.now_ns = wall_ns;
        r = replay_run(trace, &simulation->replay, &replayed, err);
        run = r < 0 ? NULL : replay_encode(rule->name, sequence, &replayed);
    } else {
        r = simulate_pass(trace, &options, &result, err);
        run = r < 0 ? NULL : run_encode(rule->name, sequence, &result);
    }
    if (r < 0)
        return r;
    (void)json_array_append_new(simulation->runs, run);
    if (simulation->in_time)
        series_append(simulation, rule->name, sequence, replayed.series_percent, REPLAY_SERIES);
    else
        series_append(simulation, rule->name, sequence, result.allocated_percent,
                      SIMULATE_PERCENT_MAX + 1);
    return 0;
}

/* All policies over one order of arrival. */
static int sequence_play(struct simulation *simulation, const char *policies, const char *path,
                         struct error *err)
{
    struct trace trace = {0};
    const char *sequence = path ? file_name(path) : NULL;
    int r = trace_load(&trace, simulation->args, path, err);
    for (const char *next = policies; r == 0 && *next; next += *next == ',') {
        char name[32];
        size_t length = strcspn(next, ",");
        (void)snprintf(name, sizeof(name), "%.*s", (int)length, next);
        next += length;
        const struct choose_rule *rule = choose_rule_find(name);
        if (!rule)
            r = error_set(err, -EINVAL, "unknown-policy",
                          "there is no policy '%s'; there are: " POLICIES_DEFAULT, name);
        else
            r = run_play(simulation, &trace, rule, sequence, err);
    }
    trace_finish(&trace);
    return r;
}

static void percent_set(json_t *row, const char *name, double value)
{
    char text[16];
    (void)snprintf(text, sizeof(text), "%.2f", value);
    (void)json_object_set_new(row, name, json_string(text));
}

static void decision_set(json_t *row, const char *name, const json_t *ns)
{
    char text[32];
    (void)snprintf(text, sizeof(text), "%.1f us", json_number_value(ns) / 1000);
    if (ns)
        (void)json_object_set_new(row, name, json_string(text));
}

static double real_of(const json_t *run, const char *name)
{
    return json_number_value(json_object_get(run, name));
}

/* A line of the table: a run, with its percentages as people read them. */
static json_t *row_of(const json_t *run)
{
    json_t *row = json_copy((json_t *)(uintptr_t)run);
    replay_row(row);
    percent_set(row, "at_95", real_of(run, "allocated_95_percent"));
    percent_set(row, "at_100", real_of(run, "allocated_100_percent"));
    percent_set(row, "end", real_of(run, "allocated_end_percent"));
    percent_set(row, "fragment", real_of(run, "fragment_permille") / 10);
    decision_set(row, "decision_p50", json_object_get(run, "decision_p50_ns"));
    decision_set(row, "decision_p99", json_object_get(run, "decision_p99_ns"));
    return row;
}

#define MEANS 12

/* Mean over the sequences, policy by policy, in the order in which they came. */
static json_t *means_of(const json_t *runs)
{
    static const char *const names[] = {"allocated_95_percent",
                                        "allocated_100_percent",
                                        "allocated_end_percent",
                                        "fragment_permille",
                                        "used_percent",
                                        "peak_percent",
                                        "wait_mean_s",
                                        "wait_p50_s",
                                        "wait_p95_s",
                                        "jct_mean_s",
                                        "slowdown_mean",
                                        "fairness"};
    json_t *means = json_array();
    size_t i;
    json_t *run;
    json_array_foreach (runs, i, run) {
        const char *policy = view_text(run, "policy", "");
        double sums[MEANS] = {0}, count = 0;
        size_t other, first = i;
        json_t *same;
        json_array_foreach (runs, other, same) {
            if (strcmp(view_text(same, "policy", ""), policy) != 0)
                continue;
            first = other < first ? other : first;
            count++;
            for (size_t n = 0; n < MEANS; n++)
                sums[n] += real_of(same, names[n]);
        }
        if (first != i)
            continue;
        json_t *mean = json_pack("{s:s, s:s}", "policy", policy, "sequence", "mean");
        for (size_t n = 0; n < MEANS; n++)
            (void)json_object_set_new(mean, names[n], json_real(sums[n] / count));
        (void)json_array_append_new(means, mean);
    }
    return means;
}

static void simulation_print(const struct simulation *simulation, bool as_json)
{
    AUTO_JSON json_t *means = means_of(simulation->runs);
    if (as_json) {
        AUTO_JSON json_t *all = json_pack("{s:O, s:O}", "runs", simulation->runs, "means", means);
        ask_print(all);
        return;
    }
    AUTO_JSON json_t *rows = json_array();
    size_t i;
    json_t *run;
    json_array_foreach (simulation->runs, i, run)
        (void)json_array_append_new(rows, row_of(run));
    if (json_array_size(means) < json_array_size(simulation->runs)) {
        json_array_foreach (means, i, run)
            (void)json_array_append_new(rows, row_of(run));
    }
    AUTO_BUF struct buf out = BUF_INIT;
    char rules[256];
    if (simulation->in_time) {
        replay_rules(&simulation->replay, rules, sizeof(rules));
        (void)buf_printf(&out, "%s\n", rules);
    }
    view_list(&out, rows, simulation->in_time ? replay_columns : simulate_columns);
    view_flush(&out);
}

static int simulation_write(const struct simulation *simulation, struct error *err)
{
    const char *csv = args_text(simulation->args, "csv"), *svg = args_text(simulation->args, "svg");
    AUTO_BUF struct buf chart = BUF_INIT;
    int r = 0;
    if (csv)
        r = file_write_atomic(AT_FDCWD, csv, simulation->csv.data, simulation->csv.length, 0644,
                              err);
    if (r < 0 || !svg)
        return r;
    chart_svg(&chart, simulation->series,
              simulation->in_time ? "time of the trace" : "arrived demand");
    return file_write_atomic(AT_FDCWD, svg, chart.data, chart.length, 0644, err);
}

static int simulation_play(struct simulation *simulation, struct error *err)
{
    const struct args *args = simulation->args;
    const char *policies = args_text(args, "policy"), *path;
    if (!args_text(args, "nodes") || !args_text(args, "tasks"))
        return error_set(err, -EINVAL, "usage", "--nodes and --tasks are required");
    size_t cursor = 0;
    int r = 0;
    do {
        path = args_next(args, "sequence", &cursor);
        if (!path && json_array_size(simulation->runs))
            break;
        r = sequence_play(simulation, policies ? policies : POLICIES_DEFAULT, path, err);
    } while (r == 0 && path);
    return r < 0 ? r : simulation_write(simulation, err);
}

static int simulate_main(struct cli *cli, const struct args *args, struct error *err)
{
    struct simulation simulation = {.args = args,
                                    .runs = json_array(),
                                    .series = json_array(),
                                    .in_time = args_has(args, "in-time"),
                                    .seed = 1};
    const char *seed = args_text(args, "seed");
    int r = seed ? u64_parse(seed, &simulation.seed, err) : 0;
    (void)buf_puts(&simulation.csv, simulation.in_time
                                        ? "policy,sequence,time_percent,used_percent\n"
                                        : "policy,sequence,arrived_percent,allocated_percent\n");
    if (r == 0)
        r = replay_options_read(args, &simulation.replay, err);
    if (r == 0)
        r = simulation_play(&simulation, err);
    if (r == 0)
        simulation_print(&simulation, cli->json);
    buf_finish(&simulation.csv);
    json_decref(simulation.runs);
    json_decref(simulation.series);
    return r;
}

const struct verb verb_simulate = {
    .name = "simulate",
    .summary = "Play a trace of tasks through the placement and compare policies",
    .details = "Tasks arrive in the order of the sequence (or of their arrival column), none "
               "leaves, and one that fits nowhere is dropped and counted. The table shows the "
               "percentage of all compute that is allocated when the arrived demand passes 95 % "
               "and 100 % of it, and at the end, with the failed tasks by class. With --in-time "
               "they wait for room, run for their duration and leave.",
    .example = "leat simulate --nodes nodes.csv --tasks tasks.csv --policy leat,best-fit",
    .options = simulate_options,
    .run = simulate_main,
};
