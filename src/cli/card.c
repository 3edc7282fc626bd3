/* leat card: the virtual accelerators that jobs hold. */
#include "cli/resource.h"
#include "cli/verb.h"
#include "cli/verbs.h"
#include "cli/view.h"

static const struct view_column card_columns[] = {
    {"CARD", "card", VIEW_TEXT},
    {"DEVICE", "device", VIEW_TEXT},
    {"STATE", "state", VIEW_TEXT},
    {"MEMORY", "memory_quota_bytes", VIEW_BYTES},
    {"USED", "memory_used_bytes", VIEW_BYTES},
    {"PEAK", "memory_peak_bytes", VIEW_BYTES},
    {"SHARE", "share_permille", VIEW_SHARE},
    {"DEVICE TIME", "device_time_ns", VIEW_NS},
    {"IDLE", "idle_ms", VIEW_MS},
    {"SESSIONS", "sessions", VIEW_COUNT},
    {0},
};

static const struct view_column card_fields[] = {
    {"Card", "card", VIEW_TEXT},
    {"Device", "device", VIEW_TEXT},
    {"State", "state", VIEW_TEXT},
    {"Moved to", "host", VIEW_TEXT},
    {"Suspended", "suspended_bytes", VIEW_BYTES},
    {"Memory quota", "memory_quota_bytes", VIEW_BYTES},
    {"Memory used", "memory_used_bytes", VIEW_BYTES},
    {"Memory peak", "memory_peak_bytes", VIEW_BYTES},
    {"Share asked", "share_asked_permille", VIEW_SHARE},
    {"Share granted", "share_permille", VIEW_SHARE},
    {"Burst", "burst", VIEW_COUNT},
    {"Priority", "priority", VIEW_COUNT},
    {"Waits for share", "share_wanted", VIEW_TEXT},
    {"Device time", "device_time_ns", VIEW_NS},
    {"Held back", "throttled_ns", VIEW_NS},
    {"Idle for", "idle_ms", VIEW_MS},
    {"Age", "age_ms", VIEW_MS},
    {"Sessions", "sessions", VIEW_COUNT},
    {"Sessions ever", "sessions_total", VIEW_COUNT},
    {"Commands", "commands", VIEW_COUNT},
    {"Refusals", "refusals", VIEW_COUNT},
    {"Calls answered in the client", "calls_local", VIEW_COUNT},
    {"Calls posted", "calls_posted", VIEW_COUNT},
    {"Calls waited for", "calls_waited", VIEW_COUNT},
    {"Records", "records", VIEW_COUNT},
    {"Carried to another host", "carried_to_device_bytes", VIEW_BYTES},
    {"  on the line", "line_to_device_bytes", VIEW_BYTES},
    {"Carried from there", "carried_from_device_bytes", VIEW_BYTES},
    {"  on the line", "line_from_device_bytes", VIEW_BYTES},
    {"Programs built", "builds", VIEW_COUNT},
    {"Builds kept from before", "build_hits", VIEW_COUNT},
    {0},
};

static const struct resource card_resource = {
    .kind = "cards",
    .none = "there are no cards: a card lives as long as its job",
    .columns = card_columns,
    .fields = card_fields,
};

static int card_list(struct cli *cli, const struct args *args, struct error *err)
{
    (void)args; /* has nothing of its own */
    return resource_list(cli, &card_resource, err);
}

static int card_show(struct cli *cli, const struct args *args, struct error *err)
{
    return resource_show(cli, &card_resource, args->operands[0], err);
}

const struct verb verb_card_list = {
    .group = "card",
    .name = "list",
    .summary = "List the cards and what they use",
    .example = "leat card list",
    .run = card_list,
};

const struct verb verb_card_show = {
    .group = "card",
    .name = "show",
    .operands = "CARD",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Show all about one card",
    .details = "A job's card has the number of the job.",
    .example = "leat card show 12",
    .run = card_show,
};
