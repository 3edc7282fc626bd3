/* Whether a model that the knowledge base knows fits into some memory. Pure. */
#ifndef LEAT_ESTIMATE_FIT_H
#define LEAT_ESTIMATE_FIT_H

#include <stdint.h>

struct error;
struct json_t;
struct knowledge;
struct profiles;

enum fit_basis { FIT_UNKNOWN, FIT_MEASURED, FIT_ESTIMATED };

/* The memory of one device that `model` needs for a run with `settings` (members of an estimate's
 * request; NULL: inference of one sample): what a run measured here when it was of no smaller
 * batch, else the safe estimate from its attributes (params, layers, hidden, ...). FIT_UNKNOWN:
 * they do not tell. */
enum fit_basis fit_memory(const struct knowledge *model, const struct json_t *settings,
                          const struct profiles *profiles, uint64_t *ret_bytes);
/* Refuses settings that no estimate takes. */
int fit_settings_check(const struct json_t *settings, struct error *err);

#endif
