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
    {"csv", 0, "FILE", "write the series: arrived and allocated percent"},
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
    {"P50", "decision_p50_ns", VIEW_NS},
    {"P99", "decision_p99_ns", VIEW_NS},
    {0},
};

struct simulation {
    const struct args *args;
    json_t *runs;   /* one object a policy and sequence; owned */
    struct buf csv; /* the series so far */
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

static void series_append(struct buf *csv, const char *policy, const char *sequence,
                          const struct simulate_result *result)
{
    for (int i = 0; i <= SIMULATE_PERCENT_MAX; i++)
        (void)buf_printf(csv, "%s,%s,%d,%.3f\n", policy, sequence ? sequence : "", i,
                         result->allocated_percent[i]);
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
        struct simulate_options options = {
            .rule = choose_rule_find(name), .seed = simulation->seed, .now_ns = wall_ns};
        struct simulate_result result;
        if (!options.rule)
            r = error_set(err, -EINVAL, "unknown-policy",
                          "there is no policy '%s'; there are: " POLICIES_DEFAULT, name);
        else
            r = simulate_pass(&trace, &options, &result, err);
        if (r == 0) {
            (void)json_array_append_new(simulation->runs, run_encode(name, sequence, &result));
            series_append(&simulation->csv, name, sequence, &result);
        }
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
    percent_set(row, "at_95", real_of(run, "allocated_95_percent"));
    percent_set(row, "at_100", real_of(run, "allocated_100_percent"));
    percent_set(row, "end", real_of(run, "allocated_end_percent"));
    percent_set(row, "fragment", real_of(run, "fragment_permille") / 10);
    decision_set(row, "decision_p50", json_object_get(run, "decision_p50_ns"));
    decision_set(row, "decision_p99", json_object_get(run, "decision_p99_ns"));
    return row;
}

/* Mean over the sequences, policy by policy, in the order in which they came. */
static json_t *means_of(const json_t *runs)
{
    static const char *const names[] = {"allocated_95_percent", "allocated_100_percent",
                                        "allocated_end_percent", "fragment_permille"};
    json_t *means = json_array();
    size_t i;
    json_t *run;
    json_array_foreach (runs, i, run) {
        const char *policy = view_text(run, "policy", "");
        double sums[4] = {0}, count = 0;
        size_t other, first = i;
        json_t *same;
        json_array_foreach (runs, other, same) {
            if (strcmp(view_text(same, "policy", ""), policy) != 0)
                continue;
            first = other < first ? other : first;
            count++;
            for (size_t n = 0; n < 4; n++)
                sums[n] += real_of(same, names[n]);
        }
        if (first != i)
            continue;
        json_t *mean = json_pack("{s:s, s:s}", "policy", policy, "sequence", "mean");
        for (size_t n = 0; n < 4; n++)
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
    view_list(&out, rows, simulate_columns);
    view_flush(&out);
}

static int simulation_play(struct simulation *simulation, struct error *err)
{
    const struct args *args = simulation->args;
    const char *policies = args_text(args, "policy"), *csv = args_text(args, "csv"), *path;
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
    if (r == 0 && csv)
        r = file_write_atomic(AT_FDCWD, csv, simulation->csv.data, simulation->csv.length, 0644,
                              err);
    return r;
}

static int simulate_main(struct cli *cli, const struct args *args, struct error *err)
{
    struct simulation simulation = {.args = args, .runs = json_array(), .seed = 1};
    const char *seed = args_text(args, "seed");
    int r = seed ? u64_parse(seed, &simulation.seed, err) : 0;
    (void)buf_puts(&simulation.csv, "policy,sequence,arrived_percent,allocated_percent\n");
    if (r == 0)
        r = simulation_play(&simulation, err);
    if (r == 0)
        simulation_print(&simulation, cli->json);
    buf_finish(&simulation.csv);
    json_decref(simulation.runs);
    return r;
}

const struct verb verb_simulate = {
    .name = "simulate",
    .summary = "Play a trace of tasks through the placement and compare policies",
    .details = "Tasks arrive in the order of the sequence (or of their arrival column), none "
               "leaves, and one that fits nowhere is dropped and counted. The table shows the "
               "percentage of all compute that is allocated when the arrived demand passes 95 % "
               "and 100 % of it, and at the end, with the failed tasks by class.",
    .example = "leat simulate --nodes nodes.csv --tasks tasks.csv --policy leat,best-fit",
    .options = simulate_options,
    .run = simulate_main,
};
