/* How large a card a model needs: settings of a run by the names that leat estimate gives them. */
#ifndef LEAT_CLI_SIZE_H
#define LEAT_CLI_SIZE_H

#include <stdint.h>

#include "base/json.h"
#include "cli/args.h"

struct error;
struct memory_request;
struct profiles;

/* Read the table of framework profiles that came with this program. The caller destroys it. */
int size_profiles_load(struct profiles **ret_profiles, struct error *err);
/* Settings of a run as options of a verb; "infer" is one of them. */
extern const struct option_spec size_options[];
/* The model at `path` with what those options say over it. */
int size_request(const struct args *args, const char *path, struct memory_request *request,
                 struct error *err);
/* Put the values of --model-setting, NAME=VALUE or the NAME of a flag, into the body of an
 * estimate. */
int size_settings(const struct args *args, json_t *settings, struct error *err);
/* The safe reservation of a card for --model with its --model-settings. What the driver needs for
 * itself is not charged to a card and is left out. */
int size_card(const struct args *args, uint64_t *ret_bytes, struct error *err);

#endif
