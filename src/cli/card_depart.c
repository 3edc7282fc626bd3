/* A card goes to another host: see card_depart.h. */
#include "cli/card_depart.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/path.h"
#include "cli/ask.h"
#include "cli/verb.h"
#include "leat/card.h"

#define SHARE_WHOLE 1000

DEFINE_CLEANUP(relay, struct card_relay, card_relay_stop)
DEFINE_CLEANUP(control, struct leat_card_control, leat_card_control_close)

/* The devices of one leat-cardd. */
struct devices {
    struct leat_card_device *items;
    size_t count;
};

static void devices_finish(struct devices *devices)
{
    free(devices->items);
}

static const struct leat_card_device *device_find(const struct devices *devices, const char *id)
{
    for (size_t i = 0; i < devices->count; i++)
        if (strcmp(devices->items[i].id, id) == 0)
            return &devices->items[i];
    return NULL;
}

/* As leat-cardd decides it of two devices of a node. */
static int stands_in(const struct leat_card_device *other, const struct leat_card_device *old)
{
    return strcmp(other->name, old->name) == 0 && strcmp(other->platform, old->platform) == 0 &&
           strcmp(other->driver, old->driver) == 0 && other->compute_units == old->compute_units &&
           other->max_alloc_bytes >= old->max_alloc_bytes;
}

static int has_room(const struct leat_card_device *device, const struct leat_card_status *card)
{
    return device->memory_bytes - device->granted_bytes >= card->memory_quota_bytes &&
           SHARE_WHOLE - device->granted_permille >= card->share_asked_permille;
}

static int device_choose(const struct devices *there, const char *id,
                         const struct leat_card_device *old, const struct leat_card_status *card,
                         const char **ret_id, struct error *err)
{
    const struct leat_card_device *chosen = id ? device_find(there, id) : NULL;
    if (id && !chosen)
        return error_set(err, -ENODEV, "unknown-device", "that host has no device '%.64s'", id);
    for (size_t i = 0; !id && i < there->count; i++) {
        const struct leat_card_device *device = &there->items[i];
        if (stands_in(device, old) &&
            (!chosen || (has_room(device, card) && !has_room(chosen, card))))
            chosen = device;
    }
    if (!chosen || !stands_in(chosen, old))
        return error_set(
            err, -EINVAL, "device-differs",
            "no such device there has the name (%.60s), the driver (%.60s) and the size "
            "that the card's programs were told of",
            old->name, old->driver);
    *ret_id = chosen->id;
    return 0;
}

/* The card and its device here. */
static int look(struct leat_card_control *here, const char *card,
                struct leat_card_status *ret_status, struct devices *ret_devices,
                const struct leat_card_device **ret_device, struct error *err)
{
    struct leat_error why = {0};
    int r = leat_card_show(here, card, ret_status, &why);
    if (r == 0)
        r = leat_card_device_list(here, &ret_devices->items, &ret_devices->count, &why);
    if (r < 0)
        return ask_failed(err, &why);
    *ret_device = device_find(ret_devices, ret_status->device);
    return *ret_device ? 0
                       : error_set(err, -ENODEV, "unknown-device", "there is no device '%.64s'",
                                   ret_status->device);
}

static int devices_ask(const char *dir, struct devices *ret_devices, struct error *err)
{
    CLEANUP(cleanup_control) struct leat_card_control *there = NULL;
    struct leat_error why = {0};
    int r = leat_card_control_connect(dir, &there, &why);
    if (r == 0)
        r = leat_card_device_list(there, &ret_devices->items, &ret_devices->count, &why);
    return r < 0 ? ask_failed(err, &why) : 0;
}

int card_depart(const struct cli *cli, const char *card, const char *device,
                const struct card_relay_host *host, struct leat_card_status *ret_status,
                struct error *err)
{
    CLEANUP(cleanup_control) struct leat_card_control *here = NULL;
    CLEANUP(cleanup_relay) struct card_relay *relay = NULL;
    CLEANUP(devices_finish) struct devices ours = {0};
    CLEANUP(devices_finish) struct devices theirs = {0};
    const struct leat_card_device *old = NULL;
    const char *target = NULL;
    char run_dir[PATH_MAX], dir[PATH_MAX];
    struct leat_error why = {0};
    int r = path_run_dir(cli->run_dir, run_dir, err);
    if (r == 0 && leat_card_control_connect(run_dir, &here, &why) < 0)
        r = ask_failed(err, &why);
    if (r == 0)
        r = look(here, card, ret_status, &ours, &old, err);
    if (r == 0)
        r = card_relay_start(run_dir, host, CARD_RELAY_CARD, dir, &relay, err);
    if (r == 0)
        r = devices_ask(dir, &theirs, err);
    if (r == 0)
        r = device_choose(&theirs, device, old, ret_status, &target, err);
    if (r < 0)
        return r;
    if (leat_card_depart(here, card, target, dir, host->address, ret_status, &why) < 0)
        return ask_failed(err, &why);
    card_relay_leave(TAKE(relay));
    return 0;
}
