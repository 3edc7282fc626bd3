/* Registered models from and to JSON: see model.h. */
#include "model/model.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "model/fields.h"

#define FIELD(member, kind) \
    { \
#member, kind, offsetof(struct model, member), JSON_OPTIONAL \
    }

static const struct json_field record_fields[] = {
    FIELD(name, JSON_KIND_TEXT),         FIELD(path, JSON_KIND_TEXT),
    FIELD(licence, JSON_KIND_TEXT),      FIELD(dtype, JSON_KIND_TEXT),
    FIELD(params, JSON_KIND_U64),        FIELD(trainable_params, JSON_KIND_U64),
    FIELD(point_bytes, JSON_KIND_U64),   FIELD(safe_bytes, JSON_KIND_U64),
    FIELD(registered_us, JSON_KIND_U64), FIELD(run, JSON_KIND_VALUE),
    FIELD(card, JSON_KIND_VALUE),        {NULL, JSON_KIND_INVALID, 0, JSON_OPTIONAL},
};

static const struct json_field body_fields[] = {
    FIELD(path, JSON_KIND_TEXT),
    FIELD(licence, JSON_KIND_TEXT),
    {"run", JSON_KIND_VALUE, offsetof(struct model, run), JSON_REQUIRED},
    FIELD(card, JSON_KIND_VALUE),
    {NULL, JSON_KIND_INVALID, 0, JSON_OPTIONAL},
};

void model_finish(struct model *model)
{
    char *texts[] = {model->name, model->path, model->licence, model->dtype};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        free(texts[i]);
    json_decref(model->run);
    json_decref(model->card);
    *model = (struct model){0};
}

static int model_check(const struct model *model, struct error *err)
{
    size_t length = strlen(model->name);
    if (length < 1 || length > MODEL_NAME_MAX)
        return error_set(err, -EINVAL, "bad-model", "a model's name has 1 to %d bytes",
                         MODEL_NAME_MAX);
    if (!json_is_object(model->run))
        return error_set(err, -EINVAL, "bad-model",
                         "'run' must be an object: shapes of the model and settings of a run");
    if (model->card && !json_is_object(model->card))
        return error_set(err, -EINVAL, "bad-model", "'card' must be an object");
    AUTO_FREE char *card = model->card ? json_text(model->card) : NULL;
    if (card && strlen(card) > MODEL_CARD_MAX_BYTES)
        return error_set(err, -EFBIG, "bad-model", "'card' has more than %u bytes",
                         MODEL_CARD_MAX_BYTES);
    return 0;
}

static int model_fill(const json_t *object, const struct json_field *fields, const char *name,
                      struct model *ret_model, struct error *err)
{
    struct model model = {.name = name ? strdup(name) : NULL};
    int r = json_decode(object, fields, &model, err);
    if (r == 0 && !model.name)
        r = error_set(err, -EINVAL, "bad-model", "a model without a name");
    if (r == 0)
        r = model_check(&model, err);
    if (r < 0)
        model_finish(&model);
    else
        *ret_model = model;
    return r;
}

int model_decode(const char *name, const json_t *body, struct model *ret_model, struct error *err)
{
    return model_fill(body, body_fields, name, ret_model, err);
}

int model_record_decode(const json_t *record, struct model *ret_model, struct error *err)
{
    return model_fill(record, record_fields, NULL, ret_model, err);
}

json_t *model_record_encode(const struct model *model)
{
    return fields_without_null(fields_encode(record_fields, model));
}

json_t *model_encode(const struct model *model)
{
    char time[TIME_TEXT_MAX];
    AUTO_JSON json_t *object = fields_encode(record_fields, model);
    if (!object || json_object_del(object, "registered_us") < 0 ||
        fields_put(object, "registered", json_string(time_text(model->registered_us, time))) < 0)
        return NULL;
    return json_incref(object);
}
