/* Rules of devices: see devices.h. */
#include "core/devices.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "core/core_impl.h"

#define RULES_MAX 256 /* devices of which something is said */

const struct device *devices_find(const struct core *core, const char *id)
{
    for (size_t i = 0; i < core->device_count; i++)
        if (strcmp(core->devices[i].id, id) == 0)
            return &core->devices[i];
    return NULL;
}

static bool same_text(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

bool devices_alike(const struct device *a, const struct device *b)
{
    return same_text(a->name, b->name) && same_text(a->platform, b->platform) &&
           same_text(a->driver, b->driver) && a->compute_units == b->compute_units &&
           a->max_alloc_bytes == b->max_alloc_bytes;
}

const struct device_rule *devices_rule(const struct core *core, const char *id)
{
    static const struct device_rule open = {.id = "", .pool = "any", .healthy = true};
    for (size_t i = 0; i < core->rule_count; i++) {
        if (strcmp(core->rules[i].id, id) == 0)
            return &core->rules[i];
    }
    return &open;
}

static int rule_set(void *arg, const struct device_rule *rule)
{
    struct core *core = arg;
    struct device_rule *known = (struct device_rule *)(uintptr_t)devices_rule(core, rule->id);
    if (known->id[0]) {
        *known = *rule;
        return 0;
    }
    if (core->rule_count == RULES_MAX)
        return -ENOSPC;
    struct device_rule *rules = realloc(core->rules, (core->rule_count + 1) * sizeof(*rules));
    if (!rules)
        return -ENOMEM;
    core->rules = rules;
    rules[core->rule_count++] = *rule;
    return 0;
}

int devices_load(struct core *core, struct error *err)
{
    return store_devices(core->store, rule_set, core, err);
}

void devices_rules_free(struct core *core)
{
    free(core->rules);
    core->rules = NULL;
    core->rule_count = 0;
}

void devices_show_rule(const struct core *core, json_t *device)
{
    const char *id = json_string_value(json_object_get(device, "id"));
    const struct device_rule *rule = devices_rule(core, id ? id : "");
    (void)json_object_set_new(device, "pool", json_string(rule->pool)); /* or it is not shown */
    (void)json_object_set_new(device, "healthy", json_boolean(rule->healthy));
    (void)json_object_set_new(device, "weight", json_integer(rule->weight));
}

struct setting {
    struct device_rule rule;
    core_reply_fn *reply;
    void *arg;
};

static void on_durable(struct core *core, void *arg, const struct error *err)
{
    AUTO_FREE struct setting *setting = arg;
    if (err) {
        setting->reply(setting->arg, NULL, err);
        return;
    }
    core_reply_value(setting->reply, setting->arg, device_rule_encode(&setting->rule));
    place_soon(core);
}

void core_device_set(struct core *core, const char *id, const json_t *request, core_reply_fn *reply,
                     void *arg)
{
    struct error err = {0};
    struct device_rule rule;
    AUTO_FREE struct setting *setting = malloc(sizeof(*setting));
    int r = device_rule_decode(id, request, &rule, &err);
    if (r == 0 && (!setting || (r = rule_set(core, &rule)) < 0 ||
                   store_batch_device(commit_batch(core), &rule) < 0))
        r = error_set(&err, -ENOSPC, "too-many-devices", "there is no room for another rule");
    if (r < 0) {
        reply(arg, NULL, &err);
        return;
    }
    *setting = (struct setting){rule, reply, arg};
    struct store_event event = commit_event(core, "device.set", 0);
    AUTO_JSON json_t *data = device_rule_encode(&rule);
    event.data = data;
    commit_note(core, &event);
    if (commit_then(core, on_durable, setting) == 0)
        (void)TAKE(setting);
    else
        core_reply_value(reply, arg, NULL);
}
