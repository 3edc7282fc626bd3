/* Models of the knowledge base against memory: see fit.h. */
#include "estimate/fit.h"

#include <string.h>

#include "base/json.h"
#include "estimate/memory.h"
#include "model/knowledge.h"

#define COUNT_MAX 1e18

/* Attributes that describe a model as an estimate's request does. */
static const char *const model_members[] = {
    "params",         "trainable_params",
    "layers",         "hidden",
    "heads",          "kv_heads",
    "head_dim",       "ffn",
    "mlp_matrices",   "vocab",
    "experts",        "tied",
    "saved_elements", "widest_elements",
    "largest_params", "convolutions",
    "weights",
};

int fit_settings_check(const json_t *settings, struct error *err)
{
    struct memory_request request;
    memory_request_init(&request);
    int r = settings ? memory_request_decode(settings, &request, err) : 0;
    memory_request_finish(&request);
    return r;
}

static double number_of(const json_t *object, const char *name, double otherwise)
{
    const json_t *value = json_object_get(object, name);
    return json_is_number(value) ? json_number_value(value) : otherwise;
}

static const char *text_of(const json_t *object, const char *name, const char *otherwise)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : otherwise;
}

/* A run that was measured tells of another when it was of the same kind and no smaller batch. */
static bool measured_for(const json_t *attributes, const json_t *settings)
{
    static const char *const samples[] = {"batch", "sequence"};
    if (strcmp(text_of(attributes, "run", "infer"), text_of(settings, "task", "infer")) != 0)
        return false;
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        if (number_of(attributes, samples[i], 1) < number_of(settings, samples[i], 1))
            return false;
    }
    return number_of(attributes, "memory_peak_bytes", 0) > 0;
}

static json_t *request_make(const json_t *attributes, const json_t *settings)
{
    json_t *request = json_pack("{s:s}", "task", "infer");
    bool good = request;
    for (size_t i = 0; good && i < sizeof(model_members) / sizeof(model_members[0]); i++) {
        const char *name = model_members[i];
        json_t *value = json_object_get(attributes, name);
        double real = json_real_value(value); /* counts that were written as 7e9 */
        if (json_is_real(value) && real >= 0 && real < COUNT_MAX)
            good = json_object_set_new(request, name, json_integer((json_int_t)real)) == 0;
        else if (value)
            good = json_object_set(request, name, value) == 0;
    }
    if (good && settings)
        good = json_object_update(request, (json_t *)(uintptr_t)settings) == 0;
    if (good)
        return request;
    json_decref(request);
    return NULL;
}

enum fit_basis fit_memory(const struct knowledge *model, const json_t *settings,
                          const struct profiles *profiles, uint64_t *ret_bytes)
{
    struct memory_request request;
    struct memory_estimate estimate;
    if (measured_for(model->attributes, settings)) {
        *ret_bytes = (uint64_t)number_of(model->attributes, "memory_peak_bytes", 0);
        return FIT_MEASURED;
    }
    AUTO_JSON json_t *object = request_make(model->attributes, settings);
    memory_request_init(&request);
    bool known = object && profiles && memory_request_decode(object, &request, NULL) == 0 &&
                 (request.params || request.layers) &&
                 memory_estimate(&request, profiles, &estimate, NULL) == 0;
    memory_request_finish(&request);
    if (!known)
        return FIT_UNKNOWN;
    *ret_bytes = estimate.safe_bytes;
    return FIT_ESTIMATED;
}
