/* The devices of this machine: see device.h. */
#include "card/cardd/device.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"
#include "base/units.h"
#include "card/cardd/protocol.h"
#include "card/meter/meter.h"

/* What the probe prints of one device; members that are not kept are decoded all the same, so that
 * a misspelt one is noticed. */
struct probed {
    struct device device;
    char *version;
};

#define FIELD(member, kind) \
    { \
#member, kind, offsetof(struct probed, device.member), JSON_REQUIRED \
    }

static const struct json_field probed_fields[] = {
    FIELD(platform_index, JSON_KIND_U32),
    FIELD(device_index, JSON_KIND_U32),
    FIELD(platform, JSON_KIND_TEXT),
    FIELD(name, JSON_KIND_TEXT),
    FIELD(vendor, JSON_KIND_TEXT),
    FIELD(driver, JSON_KIND_TEXT),
    FIELD(kind, JSON_KIND_TEXT),
    FIELD(memory_bytes, JSON_KIND_U64),
    FIELD(max_alloc_bytes, JSON_KIND_U64),
    FIELD(compute_units, JSON_KIND_U64),
    {"shares_memory", JSON_KIND_BOOL, offsetof(struct probed, device.shares_memory), JSON_OPTIONAL},
    {"snapshot_bytes", JSON_KIND_U64, offsetof(struct probed, device.snapshot_bytes),
     JSON_OPTIONAL},
    {"version", JSON_KIND_TEXT, offsetof(struct probed, version), JSON_OPTIONAL},
    {"uuid", JSON_KIND_TEXT, offsetof(struct probed, device.uuid), JSON_OPTIONAL},
    {"part", JSON_KIND_TEXT, offsetof(struct probed, device.part), JSON_OPTIONAL},
    {NULL, JSON_KIND_INVALID, 0, JSON_OPTIONAL},
};

static void device_finish(struct device *device)
{
    free(device->name);
    free(device->vendor);
    free(device->platform);
    free(device->driver);
    free(device->kind);
    free(device->uuid);
    free(device->part);
    free(device->snapshot);
    if (device->turn)
        (void)munmap(device->turn, sizeof(*device->turn)); /* only fails on a wrong address */
    if (device->turn_fd > 0)
        (void)close(device->turn_fd);
    *device = (struct device){0};
}

void devices_finish(struct devices *devices)
{
    for (unsigned i = 0; i < devices->count; i++)
        device_finish(&devices->items[i]);
    devices->count = 0;
}

static int device_decode(const json_t *object, struct device *ret_device, struct error *err)
{
    struct probed probed = {0};
    int r = json_decode(object, probed_fields, &probed, err);
    free(probed.version);
    if (r < 0) {
        device_finish(&probed.device);
        return r;
    }
    probed.device.cuda = strcmp(probed.device.kind, "cuda") == 0;
    *ret_device = probed.device;
    return 0;
}

static void device_name(struct devices *devices, struct device *device)
{
    unsigned number = 0;
    for (const struct device *d = devices->items; d != device; d++)
        number += strcmp(d->kind, device->kind) == 0;
    (void)snprintf(device->id, sizeof(device->id), "%.12s-%u", device->kind, number);
}

int devices_decode(const char *text, size_t length, struct devices *ret_devices, struct error *err)
{
    struct devices found = {.count = 0};
    AUTO_JSON json_t *list = json_parse(text, length, DEVICES_TEXT_MAX_BYTES, err);
    if (!list)
        return -EINVAL;
    if (!json_is_array(list) || json_array_size(list) > DEVICES_MAX)
        return error_set(err, -EINVAL, "bad-probe", "the probe did not list 0 to %d devices",
                         DEVICES_MAX);
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct device *device = &found.items[found.count];
        int r = device_decode(json_array_get(list, i), device, err);
        if (r < 0) {
            devices_finish(&found);
            return r;
        }
        device_name(&found, device);
        found.count++;
    }
    *ret_devices = found;
    return 0;
}

void devices_set_machine(struct devices *devices, uint64_t machine_bytes)
{
    uint64_t part_bytes = machine_bytes / 4 * 3;
    for (unsigned i = 0; i < devices->count; i++) {
        struct device *device = &devices->items[i];
        if (strcmp(device->kind, "cpu") == 0 && device->memory_bytes < part_bytes)
            device->memory_bytes = part_bytes;
    }
}

struct json_t *devices_json(const struct devices *devices)
{
    json_t *list = json_array();
    for (unsigned i = 0; list && i < devices->count; i++) {
        const struct device *d = &devices->items[i];
        json_t *item = json_pack(
            "{ss ss ss ss ss ss ss* ss* sI sI sI sI sI sI sI}", "id", d->id, "name", d->name,
            "vendor", d->vendor, "platform", d->platform, "kind", d->kind, "driver", d->driver,
            "uuid", d->uuid && *d->uuid ? d->uuid : NULL, "part", d->part, "index",
            (json_int_t)d->device_index, "memory_bytes", (json_int_t)d->memory_bytes,
            "max_alloc_bytes", (json_int_t)d->max_alloc_bytes, "compute_units",
            (json_int_t)d->compute_units, "granted_bytes", (json_int_t)d->granted_bytes,
            "granted_permille", (json_int_t)d->granted_permille, "cards", (json_int_t)d->cards);
        if (!item || json_array_append_new(list, item) < 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

struct device *devices_find(struct devices *devices, const char *id, struct error *err)
{
    if (devices->count == 0) {
        error_set(err, -ENODEV, "no-device",
                  "this machine has no OpenCL device; install a driver (for a CPU: "
                  "pocl-opencl-icd) and start leat-cardd again");
        return NULL;
    }
    if (!id || !*id)
        return &devices->items[0];
    AUTO_BUF struct buf known = BUF_INIT;
    for (unsigned i = 0; i < devices->count; i++) {
        if (strcmp(devices->items[i].id, id) == 0)
            return &devices->items[i];
        (void)buf_printf(&known, "%s%s", i ? ", " : "", devices->items[i].id);
    }
    error_set(err, -ENODEV, "unknown-device", "there is no device '%.40s'; the devices are: %s", id,
              known.data ? known.data : "");
    return NULL;
}

static int share_check(const struct device *device, uint32_t taken_permille,
                       uint32_t asked_permille, struct error *err)
{
    if (asked_permille <= CARD_SHARE_WHOLE - taken_permille)
        return 0;
    char asked[UNITS_TEXT_MAX], left[UNITS_TEXT_MAX];
    return error_set(err, -EBUSY, "share-exceeds-device",
                     "asked for %s of the compute of %s; %s is not granted to other cards; ask for "
                     "less, or remove a card",
                     share_text(asked_permille, asked), device->id,
                     share_text(CARD_SHARE_WHOLE - taken_permille, left));
}

int device_grant(struct device *device, uint64_t memory_bytes, uint32_t share_permille,
                 struct error *err)
{
    uint64_t left_bytes = device->memory_bytes - device->granted_bytes;
    if (memory_bytes > left_bytes) {
        char asked[UNITS_TEXT_MAX], whole[UNITS_TEXT_MAX], left[UNITS_TEXT_MAX];
        return error_set(err, -ENOMEM, "memory-exceeds-device",
                         "asked for %s of the memory of %s; it has %s, of which %s is not granted "
                         "to other cards; ask for less, or remove a card",
                         bytes_text(memory_bytes, asked), device->id,
                         bytes_text(device->memory_bytes, whole), bytes_text(left_bytes, left));
    }
    int r = share_check(device, device->granted_permille, share_permille, err);
    if (r < 0)
        return r;
    device->granted_bytes += memory_bytes;
    device->granted_permille += share_permille;
    device->cards++;
    return 0;
}

void device_take_back(struct device *device, uint64_t memory_bytes, uint32_t share_permille)
{
    device->granted_bytes -= memory_bytes;
    device->granted_permille -= share_permille;
    device->cards--;
}

int device_regrant(struct device *device, const struct device_part *from,
                   const struct device_part *to, struct error *err)
{
    device_take_back(device, from->memory_bytes, from->share_permille);
    int r = device_grant(device, to->memory_bytes, to->share_permille, err);
    if (r < 0) /* there was room for it a moment ago */
        (void)device_grant(device, from->memory_bytes, from->share_permille, NULL);
    return r;
}

int device_stands_in(const struct device *other, const struct device *old, struct error *err)
{
    const char *differs = strcmp(other->name, old->name)                  ? "name"
                          : strcmp(other->platform, old->platform)        ? "platform"
                          : strcmp(other->driver, old->driver)            ? "driver version"
                          : other->compute_units != old->compute_units    ? "compute units"
                          : other->max_alloc_bytes < old->max_alloc_bytes ? "largest allocation"
                                                                          : NULL;
    if (!differs)
        return 0;
    return error_set(err, -EINVAL, "device-differs",
                     "%s cannot stand in for %s: its %s differs from what the card's programs were "
                     "told",
                     other->id, old->id, differs);
}
