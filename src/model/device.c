/* Devices and cards to and from JSON: see device.h. */
#include "model/device.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "model/fields.h"

#define FIELDS_END \
    { \
        NULL, JSON_KIND_INVALID, 0, JSON_OPTIONAL \
    }
#define DEVICE(member, kind, flags) \
    { \
#member, kind, offsetof(struct device, member), flags \
    }
#define CARD(member, kind, flags) \
    { \
#member, kind, offsetof(struct card_usage, member), flags \
    }

static const struct json_field device_fields[] = {
    DEVICE(id, JSON_KIND_TEXT, JSON_REQUIRED),
    DEVICE(name, JSON_KIND_TEXT, JSON_OPTIONAL),
    DEVICE(vendor, JSON_KIND_TEXT, JSON_OPTIONAL),
    DEVICE(platform, JSON_KIND_TEXT, JSON_OPTIONAL),
    DEVICE(driver, JSON_KIND_TEXT, JSON_OPTIONAL),
    DEVICE(kind, JSON_KIND_TEXT, JSON_OPTIONAL),
    DEVICE(uuid, JSON_KIND_TEXT, JSON_OPTIONAL),
    DEVICE(part, JSON_KIND_TEXT, JSON_OPTIONAL),
    DEVICE(index, JSON_KIND_U32, JSON_OPTIONAL),
    DEVICE(memory_bytes, JSON_KIND_U64, JSON_REQUIRED),
    DEVICE(max_alloc_bytes, JSON_KIND_U64, JSON_OPTIONAL),
    DEVICE(compute_units, JSON_KIND_U32, JSON_OPTIONAL),
    DEVICE(granted_bytes, JSON_KIND_U64, JSON_OPTIONAL),
    DEVICE(granted_permille, JSON_KIND_U32, JSON_OPTIONAL),
    DEVICE(cards, JSON_KIND_U32, JSON_OPTIONAL),
    FIELDS_END,
};

static const struct json_field card_fields[] = {
    CARD(card, JSON_KIND_TEXT, JSON_REQUIRED),
    CARD(device, JSON_KIND_TEXT, JSON_OPTIONAL),
    CARD(state, JSON_KIND_TEXT, JSON_OPTIONAL),
    CARD(memory_quota_bytes, JSON_KIND_U64, JSON_OPTIONAL),
    CARD(memory_used_bytes, JSON_KIND_U64, JSON_OPTIONAL),
    CARD(memory_peak_bytes, JSON_KIND_U64, JSON_OPTIONAL),
    CARD(memory_wanted_bytes, JSON_KIND_U64, JSON_OPTIONAL),
    CARD(share_permille, JSON_KIND_U32, JSON_OPTIONAL),
    CARD(share_asked_permille, JSON_KIND_U32, JSON_OPTIONAL),
    CARD(device_time_ns, JSON_KIND_U64, JSON_OPTIONAL),
    CARD(throttled_ns, JSON_KIND_U64, JSON_OPTIONAL),
    CARD(idle_ms, JSON_KIND_U64, JSON_OPTIONAL),
    CARD(age_ms, JSON_KIND_U64, JSON_OPTIONAL),
    CARD(sessions, JSON_KIND_U32, JSON_OPTIONAL),
    CARD(sessions_total, JSON_KIND_U64, JSON_OPTIONAL),
    CARD(commands, JSON_KIND_U64, JSON_OPTIONAL),
    CARD(refusals, JSON_KIND_U64, JSON_OPTIONAL),
    CARD(calls_local, JSON_KIND_U64, JSON_OPTIONAL),
    CARD(calls_posted, JSON_KIND_U64, JSON_OPTIONAL),
    CARD(calls_waited, JSON_KIND_U64, JSON_OPTIONAL),
    CARD(records, JSON_KIND_U64, JSON_OPTIONAL),
    CARD(bytes_to_device, JSON_KIND_U64, JSON_OPTIONAL),
    CARD(bytes_from_device, JSON_KIND_U64, JSON_OPTIONAL),
    CARD(carried_to_device_bytes, JSON_KIND_U64, JSON_OPTIONAL),
    CARD(carried_from_device_bytes, JSON_KIND_U64, JSON_OPTIONAL),
    CARD(line_to_device_bytes, JSON_KIND_U64, JSON_OPTIONAL),
    CARD(line_from_device_bytes, JSON_KIND_U64, JSON_OPTIONAL),
    CARD(wait_ns, JSON_KIND_U64, JSON_OPTIONAL),
    CARD(queue_depth, JSON_KIND_U64, JSON_OPTIONAL),
    CARD(builds, JSON_KIND_U64, JSON_OPTIONAL),
    CARD(build_hits, JSON_KIND_U64, JSON_OPTIONAL),
    CARD(share_wanted, JSON_KIND_BOOL, JSON_OPTIONAL),
    CARD(runtime_refused, JSON_KIND_BOOL, JSON_OPTIONAL),
    FIELDS_END,
};

/* Decode only the members that the table names. */
static int decode_known(const json_t *object, const struct json_field *fields, void *record,
                        struct error *err)
{
    AUTO_JSON json_t *known = json_object();
    if (!json_is_object(object) || !known)
        return error_set(err, -EINVAL, "bad-json", "a JSON object was expected");
    for (const struct json_field *f = fields; f->name; f++) {
        json_t *value = json_object_get(object, f->name);
        if (value && json_object_set(known, f->name, value) < 0)
            return error_set(err, -ENOMEM, "out-of-memory", "decoding '%s'", f->name);
    }
    return json_decode(known, fields, record, err);
}

void device_finish(struct device *device)
{
    free(device->id);
    free(device->name);
    free(device->vendor);
    free(device->platform);
    free(device->driver);
    free(device->kind);
    free(device->uuid);
    free(device->part);
    *device = (struct device){0};
}

int device_decode(const json_t *object, struct device *ret_device, struct error *err)
{
    struct device device = {0};
    int r = decode_known(object, device_fields, &device, err);
    if (r < 0)
        device_finish(&device);
    else
        *ret_device = device;
    return r;
}

void card_usage_finish(struct card_usage *usage)
{
    free(usage->card);
    free(usage->device);
    free(usage->state);
    *usage = (struct card_usage){0};
}

int card_usage_decode(const json_t *object, struct card_usage *ret_usage, struct error *err)
{
    struct card_usage usage = {0};
    int r = decode_known(object, card_fields, &usage, err);
    if (r < 0)
        card_usage_finish(&usage);
    else
        *ret_usage = usage;
    return r;
}

struct rule_body {
    char *pool;
    json_t *healthy;
    uint32_t weight;
};

static const struct json_field rule_fields[] = {
    {"pool", JSON_KIND_TEXT, offsetof(struct rule_body, pool), JSON_OPTIONAL},
    {"healthy", JSON_KIND_VALUE, offsetof(struct rule_body, healthy), JSON_OPTIONAL},
    {"weight", JSON_KIND_U32, offsetof(struct rule_body, weight), JSON_OPTIONAL},
    FIELDS_END,
};

int device_rule_decode(const char *id, const json_t *body, struct device_rule *ret_rule,
                       struct error *err)
{
    static const char *const pools[] = {"any", "training", "inference"};
    struct rule_body given = {NULL, NULL, 0};
    struct device_rule rule = {.pool = ""};
    int r = json_decode(body, rule_fields, &given, err);
    AUTO_FREE char *pool = given.pool;
    AUTO_JSON json_t *healthy = given.healthy;
    if (r < 0)
        return r;
    for (size_t i = 0; i < sizeof(pools) / sizeof(pools[0]); i++) {
        if (strcmp(pool ? pool : "any", pools[i]) == 0)
            (void)snprintf(rule.pool, sizeof(rule.pool), "%s", pools[i]);
    }
    if (!rule.pool[0] || given.weight > DEVICE_WEIGHT_MAX ||
        (healthy && !json_is_boolean(healthy)) ||
        snprintf(rule.id, sizeof(rule.id), "%s", id) >= (int)sizeof(rule.id))
        return error_set(err, -EINVAL, "bad-device-rule",
                         "'pool' is any, training or inference; 'healthy' is true or false; "
                         "'weight' is at most %d",
                         DEVICE_WEIGHT_MAX);
    rule.weight = given.weight;
    rule.healthy = !healthy || json_is_true(healthy);
    *ret_rule = rule;
    return 0;
}

json_t *device_rule_encode(const struct device_rule *rule)
{
    return json_pack("{s:s, s:s, s:b, s:I}", "id", rule->id, "pool", rule->pool, "healthy",
                     rule->healthy, "weight", (json_int_t)rule->weight);
}
