/* A registered model: what is known of it before a job uses it. Plain data; no I/O. */
#ifndef LEAT_MODEL_MODEL_H
#define LEAT_MODEL_MODEL_H

#include <stdint.h>

struct error;
struct json_t;

#define MODEL_NAME_MAX 127               /* bytes */
#define MODEL_CARD_MAX_BYTES (64u << 10) /* of the model card, as JSON */

/* All texts are owned; NULL: not known. */
struct model {
    char *name;
    char *path;    /* where its files are; nothing is read there */
    char *licence; /* as its model card calls it */
    char *dtype;   /* of most of its weights: "bf16" */
    uint64_t params, trainable_params;
    uint64_t point_bytes, safe_bytes; /* of its run as registered, without the driver's context */
    uint64_t registered_us;           /* real time */
    struct json_t *run;  /* its shapes and the settings of a run: a body of POST /v1/estimates */
    struct json_t *card; /* the metadata of its model card, an object; NULL: none */
};

void model_finish(struct model *model);
/* From a REST body, {"path","licence","run","card"}, of which only `run` must be there. What the
 * run needs is left open. -EINVAL "bad-model" or what the body's decoding says. */
int model_decode(const char *name, const struct json_t *body, struct model *ret_model,
                 struct error *err);
/* As REST shows it. NULL: out of memory. */
struct json_t *model_encode(const struct model *model);
/* As the store keeps it: what model_encode says, times and all. */
struct json_t *model_record_encode(const struct model *model);
int model_record_decode(const struct json_t *record, struct model *ret_model, struct error *err);

#endif
