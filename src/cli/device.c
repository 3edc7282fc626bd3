/* leat device: the accelerators of this centre and how much of each is granted. */
#include "cli/resource.h"
#include "cli/verb.h"
#include "cli/verbs.h"
#include "cli/view.h"

static const struct view_column device_columns[] = {
    {"DEVICE", "id", VIEW_TEXT},
    {"KIND", "kind", VIEW_TEXT},
    {"NAME", "name", VIEW_TEXT},
    {"UNITS", "compute_units", VIEW_COUNT},
    {"MEMORY", "memory_bytes", VIEW_BYTES},
    {"GRANTED", "granted_bytes", VIEW_BYTES},
    {"SHARE", "granted_permille", VIEW_SHARE},
    {"CARDS", "cards", VIEW_COUNT},
    {0},
};

static const struct view_column device_fields[] = {
    {"Device", "id", VIEW_TEXT},
    {"Name", "name", VIEW_TEXT},
    {"Kind", "kind", VIEW_TEXT},
    {"Vendor", "vendor", VIEW_TEXT},
    {"Platform", "platform", VIEW_TEXT},
    {"Driver", "driver", VIEW_TEXT},
    {"Compute units", "compute_units", VIEW_COUNT},
    {"Memory", "memory_bytes", VIEW_BYTES},
    {"Largest buffer", "max_alloc_bytes", VIEW_BYTES},
    {"Memory granted", "granted_bytes", VIEW_BYTES},
    {"Share granted", "granted_permille", VIEW_SHARE},
    {"Cards", "cards", VIEW_COUNT},
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
