/* Registered models as the files of core use them. Loop thread only. */
#ifndef LEAT_CORE_MODELS_H
#define LEAT_CORE_MODELS_H

#include <stdint.h>

#include "estimate/estimate.h"

struct core;
struct error;
struct json_t;

struct models_need {
    uint64_t point_bytes, safe_bytes;
    struct estimate_work work;
};

int models_create(struct core *core); /* 0 or -ENOMEM */
void models_destroy(struct core *core);
int models_load(struct core *core, struct error *err); /* what the store has */
/* What a run of the model needs of a card: the run it was registered with, changed by `settings`
 * (an object as the body of POST /v1/estimates, or NULL). */
int models_need(const struct core *core, const char *name, const struct json_t *settings,
                struct models_need *ret_need, struct error *err);

#endif
