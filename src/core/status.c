/* How the centre itself is: version, health, figures. */
#include "base/clock.h"
#include "base/json.h"
#include "core/core_impl.h"

json_t *core_version(const struct core *core)
{
    AUTO_JSON json_t *engine = engine_report(core->engine);
    AUTO_JSON json_t *runtime = json_incref(json_object_get(engine, "runtime"));
    char time[TIME_TEXT_MAX];
    return json_pack("{s:s, s:s, s:i, s:s, s:O*, s:O*, s:s, s:s}", "name", "leatd", "version",
                     LEAT_VERSION, "schema", STORE_SCHEMA_VERSION, "started",
                     time_text(core->started_us, time), "runtime", runtime, "engine", engine,
                     "card_instance", cards_instance(core), "card_library", core->card_library);
}

static json_t *check(const char *name, bool good, const char *text)
{
    return json_pack("{s:s, s:s, s:s}", "name", name, "status", good ? "ok" : "degraded", "text",
                     good ? "" : text);
}

json_t *core_health(const struct core *core)
{
    bool cards = cards_connected(core), devices = core->device_count > 0;
    bool library = core->card_library[0], store = !core->commit_failed;
    bool good = cards && devices && library && store && core->templates;
    return json_pack(
        "{s:s, s:[o, o, o, o, o]}", "status", good ? "ok" : "degraded", "checks",
        check("store", store, "the last write failed; it is tried again"),
        check("card-daemon", cards, "leat-cardd does not answer"),
        check("devices", devices, "no OpenCL device is known; see: clinfo -l"),
        check("card-library", library, "libleat-opencl.so was not found beside leatd"),
        check("templates", core->templates, "no template was read; see the log of leatd"));
}

struct visitor {
    void (*visit)(void *arg, const struct core_metric *metric);
    void *arg;
};

static void give_states(const struct core *core, const struct visitor *visitor)
{
    char label[48];
    for (enum job_state state = JOB_QUEUED; state <= JOB_STOPPING; state++) {
        (void)snprintf(label, sizeof(label), "state=\"%s\"", job_state_name(state));
        visitor->visit(visitor->arg,
                       &(struct core_metric){"leat_jobs", "Live jobs by state.", "gauge", label,
                                             (double)core->state_counts[state]});
    }
    for (enum job_state state = JOB_SUCCEEDED; state < JOB_STATE_COUNT; state++) {
        (void)snprintf(label, sizeof(label), "state=\"%s\"", job_state_name(state));
        visitor->visit(visitor->arg,
                       &(struct core_metric){
                           "leat_jobs_ended_total", "Jobs that ended since the start, by state.",
                           "counter", label, (double)core->counters.ended[state]});
    }
}

/* What a card shows, out of the usage of its job. */
static const struct card_figure {
    const char *name, *help, *type, *more; /* `more`: a label of its own, or "" */
    size_t offset, bytes;                  /* of a uint64_t or uint32_t in struct job */
    double per_unit;
} card_figures[] = {
#define OF_JOB(member) offsetof(struct job, member), sizeof(((struct job *)0)->member)
#define USED(member) OF_JOB(usage.member)
    {"leat_card_memory_quota_bytes", "Device memory granted.", "gauge", "",
     OF_JOB(request.memory_bytes), 1},
    {"leat_card_share_granted_ratio", "Share of the device's compute granted now.", "gauge", "",
     USED(share_granted_permille), 1e3},
    {"leat_card_share_used_ratio", "Share used while the job ran and was not idle.", "gauge", "",
     USED(share_measured_permille), 1e3},
    {"leat_card_memory_used_bytes", "Device memory in use.", "gauge", "", USED(memory_used_bytes),
     1},
    {"leat_card_memory_peak_bytes", "Most device memory ever in use.", "gauge", "",
     USED(memory_peak_bytes), 1},
    {"leat_card_device_seconds_total", "Device time used.", "counter", "", USED(device_time_ns),
     1e9},
    {"leat_card_throttled_seconds_total", "Time commands waited for their share.", "counter", "",
     USED(throttled_ns), 1e9},
    {"leat_card_idle_seconds", "Time since the device was last used.", "gauge", "", USED(idle_ms),
     1e3},
    {"leat_card_commands_total", "Commands run on the device.", "counter", "", USED(commands), 1},
    {"leat_card_refusals_total", "Allocations refused for the quota.", "counter", "",
     USED(refusals), 1},
    {"leat_card_calls_total", "API calls by the way they went.", "counter", ",way=\"local\"",
     USED(calls_local), 1},
    {"leat_card_calls_total", "API calls by the way they went.", "counter", ",way=\"posted\"",
     USED(calls_posted), 1},
    {"leat_card_calls_total", "API calls by the way they went.", "counter", ",way=\"waited\"",
     USED(calls_waited), 1},
    {"leat_card_records_total", "Messages from programs to their card.", "counter", "",
     USED(records), 1},
    {"leat_card_bytes_total", "Bytes moved, by direction.", "counter", ",to=\"device\"",
     USED(bytes_to_device), 1},
    {"leat_card_bytes_total", "Bytes moved, by direction.", "counter", ",to=\"program\"",
     USED(bytes_from_device), 1},
    {"leat_card_carried_bytes_total", "Bytes carried between hosts, by direction.", "counter",
     ",to=\"device\"", USED(carried_to_device_bytes), 1},
    {"leat_card_carried_bytes_total", "Bytes carried between hosts, by direction.", "counter",
     ",to=\"program\"", USED(carried_from_device_bytes), 1},
    {"leat_card_line_bytes_total", "What went over the line for them.", "counter", ",to=\"device\"",
     USED(line_to_device_bytes), 1},
    {"leat_card_line_bytes_total", "What went over the line for them.", "counter",
     ",to=\"program\"", USED(line_from_device_bytes), 1},
    {"leat_card_wait_seconds_total", "Time programs waited for their card.", "counter", "",
     USED(wait_ns), 1e9},
    {"leat_card_queue_depth", "Commands handed to the device and not ended.", "gauge", "",
     USED(queue_depth), 1},
    {"leat_card_builds_total", "Programs built, by who did.", "counter", ",by=\"driver\"",
     USED(builds), 1},
    {"leat_card_builds_total", "Programs built, by who did.", "counter", ",by=\"cache\"",
     USED(build_hits), 1},
#undef USED
#undef OF_JOB
};

static void give_card(const struct job *job, const struct card_figure *figure,
                      const struct visitor *visitor)
{
    uint64_t value;
    uint32_t narrow;
    char label[256];
    const char *at = (const char *)job + figure->offset;
    if (figure->bytes == sizeof(narrow)) {
        memcpy(&narrow, at, sizeof(narrow));
        value = narrow;
    } else {
        memcpy(&value, at, sizeof(value));
    }
    (void)snprintf(label, sizeof(label), "job=\"%llu\",device=\"%s\"%s",
                   (unsigned long long)job->id, job->device, figure->more);
    visitor->visit(visitor->arg, &(struct core_metric){figure->name, figure->help, figure->type,
                                                       label, (double)value / figure->per_unit});
}

static void give_cards(const struct core *core, const struct visitor *visitor)
{
    for (size_t i = 0; i < sizeof(card_figures) / sizeof(card_figures[0]); i++) {
        LIST_EACH (link, &core->placed) {
            const struct live_job *live = LIST_ENTRY(link, struct live_job, placed);
            if (live->has_card)
                give_card(&live->job, &card_figures[i], visitor);
        }
    }
}

static void give_devices(const struct core *core, const struct visitor *visitor)
{
    struct sched_state state;
    char label[160];
    if (place_state_make(core, NULL, 0, &state) < 0)
        return;
    const char *const names[] = {"leat_device_memory_bytes", "leat_device_memory_free_bytes",
                                 "leat_device_share_free_ratio"};
    const char *const helps[] = {"Device memory in all.", "Device memory that is not granted.",
                                 "Part of the device's compute that is not granted."};
    for (size_t name = 0; name < sizeof(names) / sizeof(names[0]); name++) {
        for (size_t i = 0; i < state.device_count; i++) {
            const struct sched_device *device = &state.devices[i];
            double values[] = {(double)device->memory_bytes, (double)device->memory_free_bytes,
                               (double)device->share_free_permille / SHARE_WHOLE_PERMILLE};
            (void)snprintf(label, sizeof(label), "device=\"%s\"", device->id);
            visitor->visit(visitor->arg, &(struct core_metric){names[name], helps[name], "gauge",
                                                               label, values[name]});
        }
    }
    place_state_finish(&state);
}

void core_metrics(const struct core *core,
                  void (*visit)(void *arg, const struct core_metric *metric), void *arg)
{
    const struct core_counters *counters = &core->counters;
    const struct visitor visitor = {visit, arg};
    const struct core_metric metrics[] = {
        {"leat_submits_total", "Requests taken.", "counter", NULL, (double)counters->submits},
        {"leat_refusals_total", "Requests refused.", "counter", NULL, (double)counters->refusals},
        {"leat_events_total", "Events journalled, of all time.", "counter", NULL,
         (double)(core->next_event - 1)},
        {"leat_commits_total", "Durable transactions.", "counter", NULL, (double)counters->commits},
        {"leat_commit_failures_total", "Transactions that failed.", "counter", NULL,
         (double)counters->commit_failures},
        {"leat_decisions_total", "Placement decisions.", "counter", NULL,
         (double)counters->decisions},
        {"leat_decision_seconds_total", "Time spent deciding.", "counter", NULL,
         (double)counters->decision_ns / 1e9},
        {"leat_placements_total", "Jobs placed.", "counter", NULL, (double)counters->placements},
        {"leat_starts_failed_total", "Jobs whose card or container could not be made.", "counter",
         NULL, (double)counters->starts_failed},
        {"leat_idle_releases_total", "Times an idle job's compute was lent.", "counter", NULL,
         (double)counters->idle_releases},
        {"leat_preemptions_total", "Times a job gave way to one of higher priority.", "counter",
         NULL, (double)counters->preemptions},
        {"leat_wakes_total", "Times lent compute went back.", "counter", NULL,
         (double)counters->wakes},
        {"leat_card_daemon_connections_total", "Connections made to leat-cardd.", "counter", NULL,
         (double)counters->card_reconnects},
        {"leat_card_daemon_up", "1 while leat-cardd answers.", "gauge", NULL,
         cards_connected(core) ? 1 : 0},
    };
    give_states(core, &visitor);
    for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++)
        visit(arg, &metrics[i]);
    give_devices(core, &visitor);
    give_cards(core, &visitor);
}
