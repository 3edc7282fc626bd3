/* leat show: all about one job. */
#include "cli/resource.h"
#include "cli/verb.h"
#include "cli/verbs.h"
#include "cli/view.h"

static const struct view_column show_fields[] = {
    {"Job", "id", VIEW_TEXT},
    {"Name", "name", VIEW_TEXT},
    {"Tenant", "tenant", VIEW_TEXT},
    {"State", "state", VIEW_STATE},
    {"Reason", "text", VIEW_TEXT},
    {"Library", "library", VIEW_TEXT},
    {"Type", "type", VIEW_TEXT},
    {"Image", "image", VIEW_TEXT},
    {"Program", "program", VIEW_TEXT},
    {"Command", "command", VIEW_WORDS},
    {"Created", "created", VIEW_AGO},
    {"Started", "started", VIEW_AGO},
    {"Ended", "ended", VIEW_AGO},
    {"Exit status", "exit_status", VIEW_TEXT},
    {"Signal", "signal", VIEW_TEXT},
    {"Out of memory", "oom", VIEW_TEXT},
    {"Device", "device", VIEW_TEXT},
    {"Card memory", "memory_bytes", VIEW_BYTES},
    {"  used now", "usage.memory_used_bytes", VIEW_BYTES},
    {"  peak", "usage.memory_peak_bytes", VIEW_BYTES},
    {"Share asked", "share_permille", VIEW_SHARE},
    {"  burst", "burst", VIEW_TEXT},
    {"  granted now", "usage.share_granted_permille", VIEW_SHARE},
    {"  measured", "usage.share_measured_permille", VIEW_SHARE},
    {"  released", "usage.released_permille", VIEW_SHARE},
    {"Device time", "usage.device_time_ns", VIEW_NS},
    {"Idle for", "usage.idle_ms", VIEW_MS},
    {"  in all", "usage.idle_total_ms", VIEW_MS},
    {"  times", "usage.times_idle", VIEW_COUNT},
    {"Idle after", "idle_after_ms", VIEW_MS},
    {"Idle gives", "idle", VIEW_TEXT},
    {"May be stopped", "requeue", VIEW_TEXT},
    {"Started again", "requeues", VIEW_COUNT},
    {"Told by signal", "notice_signal", VIEW_TEXT},
    {"Told by command", "pre_stop", VIEW_WORDS},
    {"  the last one", "pre_stop_outcome", VIEW_TEXT},
    {"State saved", "checkpointed", VIEW_AGO},
    {"Commands", "usage.commands", VIEW_COUNT},
    {"Refusals", "usage.refusals", VIEW_COUNT},
    {"Calls in the client", "usage.calls_local", VIEW_COUNT},
    {"Calls posted", "usage.calls_posted", VIEW_COUNT},
    {"Calls waited for", "usage.calls_waited", VIEW_COUNT},
    {"CPUs", "cpus_milli", VIEW_CPUS},
    {"RAM", "ram_bytes", VIEW_BYTES},
    {"Network", "network", VIEW_TEXT},
    {"Directory", "directory", VIEW_TEXT},
    {"Expected", "prediction.duration_ms", VIEW_MS_KNOWN},
    {"  because", "prediction.basis", VIEW_TEXT},
    {"Still needs", "prediction.remaining_ms", VIEW_MS_KNOWN},
    {0},
};

static const struct resource job_resource = {.kind = "jobs", .fields = show_fields};

static int show_main(struct cli *cli, const struct args *args, struct error *err)
{
    return resource_show(cli, &job_resource, args->operands[0], err);
}

const struct verb verb_show = {
    .name = "show",
    .operands = "JOB",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Show all about one job: state, reason, card, what it used",
    .example = "leat show 12",
    .run = show_main,
};
