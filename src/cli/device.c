/* leat device: the accelerators of this centre and how much of each is granted. */
#include <errno.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/units.h"
#include "cli/ask.h"
#include "cli/resource.h"
#include "cli/verb.h"
#include "cli/verbs.h"
#include "cli/view.h"
#include "leat/client.h"

static const struct view_column device_columns[] = {
    {"DEVICE", "id", VIEW_TEXT},
    {"KIND", "kind", VIEW_TEXT},
    {"NAME", "name", VIEW_TEXT},
    {"UNITS", "compute_units", VIEW_COUNT},
    {"MEMORY", "memory_bytes", VIEW_BYTES},
    {"GRANTED", "granted_bytes", VIEW_BYTES},
    {"SHARE", "granted_permille", VIEW_SHARE},
    {"CARDS", "cards", VIEW_COUNT},
    {"POOL", "pool", VIEW_TEXT},
    {"HEALTHY", "healthy", VIEW_TEXT},
    {"WEIGHT", "weight", VIEW_COUNT},
    {0},
};

static const struct view_column device_fields[] = {
    {"Device", "id", VIEW_TEXT},
    {"Name", "name", VIEW_TEXT},
    {"Kind", "kind", VIEW_TEXT},
    {"Vendor", "vendor", VIEW_TEXT},
    {"Platform", "platform", VIEW_TEXT},
    {"Driver", "driver", VIEW_TEXT},
    {"UUID", "uuid", VIEW_TEXT},
    {"Compute units", "compute_units", VIEW_COUNT},
    {"Memory", "memory_bytes", VIEW_BYTES},
    {"Largest buffer", "max_alloc_bytes", VIEW_BYTES},
    {"Memory granted", "granted_bytes", VIEW_BYTES},
    {"Share granted", "granted_permille", VIEW_SHARE},
    {"Cards", "cards", VIEW_COUNT},
    {"Takes jobs for", "pool", VIEW_TEXT},
    {"Healthy", "healthy", VIEW_TEXT},
    {"Weight", "weight", VIEW_COUNT},
    {0},
};

const struct resource device_resource = {
    .kind = "devices",
    .none = "there are no devices: is an OpenCL driver installed? `clinfo -l` lists them",
    .columns = device_columns,
    .fields = device_fields,
};

static int device_list(struct cli *cli, const struct args *args, struct error *err)
{
    (void)args; /* has nothing of its own */
    return resource_list(cli, &device_resource, err);
}

static int device_show(struct cli *cli, const struct args *args, struct error *err)
{
    return resource_show(cli, &device_resource, args->operands[0], err);
}

static const struct option_spec device_options[] = {
    {"pool", 'p', "POOL", "the jobs it takes: any, training or inference (default any)"},
    {"weight", 'w', "NUMBER", "what having it costs, against the others' (default 0)"},
    {"unhealthy", 'u', NULL, "set it aside: it takes no new jobs"},
    {0},
};

static int device_set(struct cli *cli, const struct args *args, struct error *err)
{
    AUTO_FREE char *path = NULL;
    AUTO_JSON json_t *answer = NULL;
    const char *pool = args_text(args, "pool"), *cost = args_text(args, "weight");
    uint64_t weight = 0;
    int r = cost ? u64_parse(cost, &weight, err) : 0;
    AUTO_JSON json_t *rule = json_pack("{s:s, s:b, s:I}", "pool", pool ? pool : "any", "healthy",
                                       !args_has(args, "unhealthy"), "weight", (json_int_t)weight);
    AUTO_FREE char *body = rule ? json_text(rule) : NULL;
    if (!body)
        return error_set(err, -ENOMEM, "out-of-memory", "making a request");
    if (r == 0)
        r = ask_path("devices", args->operands[0], NULL, &path, err);
    if (r < 0)
        return r;
    struct leat_request request = {.method = "PUT", .path = path, .body = body};
    r = ask(cli, &request, &answer, err);
    if (r == 0 && cli->json)
        ask_print(answer);
    return r;
}

const struct verb verb_device_list = {
    .group = "device",
    .name = "list",
    .summary = "List the devices and what of them is granted",
    .example = "leat device list",
    .run = device_list,
};

const struct verb verb_device_show = {
    .group = "device",
    .name = "show",
    .operands = "DEVICE",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Show all about one device",
    .example = "leat device show cpu-0",
    .run = device_show,
};

const struct verb verb_device_set = {
    .group = "device",
    .name = "set",
    .operands = "DEVICE",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Say which jobs a device takes, and what it costs",
    .details = "What is not named gets its default, so that without options the device takes all "
               "jobs and costs nothing. Jobs that it has go on.",
    .example = "leat device set gpu-1 --pool inference",
    .options = device_options,
    .run = device_set,
};
