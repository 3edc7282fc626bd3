/* What a site says of its devices: kept in the store, one rule a device. Loop thread only. */
#ifndef LEAT_CORE_DEVICES_H
#define LEAT_CORE_DEVICES_H

#include <stdbool.h>

struct core;
struct device;
struct device_rule;
struct error;
struct json_t;

int devices_load(struct core *core, struct error *err);
void devices_rules_free(struct core *core);
/* NULL: leat-cardd does not list it. */
const struct device *devices_find(const struct core *core, const char *id);
/* Could the contents of a card of one device go to another? leat-cardd has the last word. */
bool devices_alike(const struct device *a, const struct device *b);
/* Never NULL: devices of which nothing is said take every job. */
const struct device_rule *devices_rule(const struct core *core, const char *id);
/* Show the rule in the object of a device. */
void devices_show_rule(const struct core *core, struct json_t *device);

#endif
