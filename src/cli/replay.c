/* Runs in time: see replay.h. */
#include "cli/replay.h"

#include <errno.h>
#include <stdio.h>

#include "base/error.h"
#include "base/units.h"

const struct view_column replay_columns[] = {
    {"POLICY", "policy", VIEW_TEXT},     {"SEQUENCE", "sequence", VIEW_TEXT},
    {"STARTED", "started", VIEW_COUNT},  {"WAITING", "waiting", VIEW_COUNT},
    {"USED", "used", VIEW_TEXT},         {"PEAK", "peak", VIEW_TEXT},
    {"WAIT", "wait_mean", VIEW_TEXT},    {"P50", "wait_p50", VIEW_TEXT},
    {"P95", "wait_p95", VIEW_TEXT},      {"JCT", "jct_mean", VIEW_TEXT},
    {"SLOWDOWN", "slowdown", VIEW_TEXT}, {"FAIRNESS", "fair", VIEW_TEXT},
    {"MOVES", "moves", VIEW_COUNT},      {"DECISION", "decision_p50", VIEW_TEXT},
    {"P99", "decision_p99", VIEW_TEXT},  {0},
};

int replay_options_read(const struct args *args, struct replay_options *options, struct error *err)
{
    const char *window = args_text(args, "window"), *moves = args_text(args, "moves-per-hour");
    uint64_t window_ms = 0, number = 0;
    int r = window ? duration_parse(window, &window_ms, err) : 0;
    if (r == 0 && moves)
        r = u64_parse(moves, &number, err);
    if (r == 0 && number > UINT32_MAX)
        r = error_set(err, -EINVAL, "bad-number", "'%s' moves an hour are too many", moves);
    options->window_s = (double)window_ms / 1000;
    options->moves_per_hour = (uint32_t)number;
    options->search = window_ms > 0;
    options->backfill = !args_has(args, "no-backfill");
    return r;
}

json_t *replay_encode(const char *policy, const char *sequence, const struct replay_result *result)
{
    const struct {
        const char *name;
        double value;
    } figures[] = {
        {"wait_mean_s", result->wait_mean_s},     {"wait_p50_s", result->wait_p50_s},
        {"wait_p95_s", result->wait_p95_s},       {"wait_max_s", result->wait_max_s},
        {"jct_mean_s", result->jct_mean_s},       {"jct_p95_s", result->jct_p95_s},
        {"slowdown_mean", result->slowdown_mean}, {"used_percent", result->used_percent},
        {"peak_percent", result->peak_percent},   {"fairness", result->fairness},
        {"makespan_s", result->makespan_s},
    };
    json_t *run = json_pack("{s:s, s:s?, s:I, s:I, s:I, s:I, s:I}", "policy", policy, "sequence",
                            sequence, "started", (json_int_t)result->started, "waiting",
                            (json_int_t)result->waiting, "moves", (json_int_t)result->moves,
                            "decision_p50_ns", (json_int_t)result->decision_p50_ns,
                            "decision_p99_ns", (json_int_t)result->decision_p99_ns);
    for (size_t i = 0; run && i < sizeof(figures) / sizeof(figures[0]); i++)
        (void)json_object_set_new(run, figures[i].name, json_real(figures[i].value));
    return run;
}

void replay_row(json_t *row)
{
    static const struct {
        const char *to, *from, *unit;
        int digits;
    } texts[] = {
        {"used", "used_percent", "", 2},       {"peak", "peak_percent", "", 2},
        {"wait_mean", "wait_mean_s", " s", 0}, {"wait_p50", "wait_p50_s", " s", 0},
        {"wait_p95", "wait_p95_s", " s", 0},   {"jct_mean", "jct_mean_s", " s", 0},
        {"slowdown", "slowdown_mean", "", 2},  {"fair", "fairness", "", 3},
    };
    char text[32];
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        double value = json_number_value(json_object_get(row, texts[i].from));
        (void)snprintf(text, sizeof(text), "%.*f%s", texts[i].digits, value, texts[i].unit);
        (void)json_object_set_new(row, texts[i].to, json_string(text));
    }
}

void replay_rules(const struct replay_options *options, char *text, size_t room)
{
    (void)snprintf(text, room,
                   "Other rules than the one-pass game: what finds no room waits and is tried "
                   "again%s%s%s.",
                   options->backfill ? ", beside kept places" : "",
                   options->window_s > 0 ? ", arrivals are decided together" : "",
                   options->moves_per_hour ? ", running tasks may be moved" : "");
}
