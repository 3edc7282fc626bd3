/* How large a card a model needs: settings of a run by the names that leat estimate gives them. */
#ifndef LEAT_CLI_SIZE_H
#define LEAT_CLI_SIZE_H

#include <stdint.h>

#include "base/json.h"
#include "cli/args.h"

struct error;
struct profiles;

/* Read the table of framework profiles that came with this program. The caller destroys it. */
int size_profiles_load(struct profiles **ret_profiles, struct error *err);
/* Put the setting `name` of leat-estimate(1) ("batch", "method", ...; `value` NULL for a flag) into
 * the request of an estimate. */
int size_setting_put(json_t *settings, const char *name, const char *value, struct error *err);
/* Whether there is a setting of that name. */
bool size_setting_known(const char *name);
/* The safe reservation of a card for --model with its --model-settings. What the driver needs for
 * itself is not charged to a card and is left out. */
int size_card(const struct args *args, uint64_t *ret_bytes, struct error *err);

#endif
