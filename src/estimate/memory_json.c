/* Requests and estimates of memory as JSON. */
#include <stddef.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/json.h"
#include "estimate/memory.h"
#include "model/fields.h"

#define FIELD(member, kind) \
    { \
#member, kind, offsetof(struct memory_request, member), JSON_OPTIONAL \
    }
static const struct json_field request_fields[] = {
    FIELD(params, JSON_KIND_U64),
    FIELD(trainable_params, JSON_KIND_U64),
    FIELD(layers, JSON_KIND_U32),
    FIELD(hidden, JSON_KIND_U32),
    FIELD(heads, JSON_KIND_U32),
    FIELD(kv_heads, JSON_KIND_U32),
    FIELD(head_dim, JSON_KIND_U32),
    FIELD(ffn, JSON_KIND_U32),
    FIELD(mlp_matrices, JSON_KIND_U32),
    FIELD(vocab, JSON_KIND_U32),
    FIELD(experts, JSON_KIND_U32),
    FIELD(tied, JSON_KIND_BOOL),
    FIELD(saved_elements, JSON_KIND_U64),
    FIELD(widest_elements, JSON_KIND_U64),
    FIELD(largest_params, JSON_KIND_U64),
    FIELD(sample_kflop, JSON_KIND_U64),
    FIELD(resident_bytes, JSON_KIND_U64),
    FIELD(steps, JSON_KIND_U64),
    FIELD(samples, JSON_KIND_U64),
    FIELD(epochs, JSON_KIND_U64),
    FIELD(convolutions, JSON_KIND_BOOL),
    FIELD(task, JSON_KIND_TEXT),
    FIELD(method, JSON_KIND_TEXT),
    FIELD(targets, JSON_KIND_TEXT),
    FIELD(weights, JSON_KIND_TEXT),
    FIELD(compute, JSON_KIND_TEXT),
    FIELD(optimizer, JSON_KIND_TEXT),
    FIELD(sharding, JSON_KIND_TEXT),
    FIELD(kv_cache, JSON_KIND_TEXT),
    FIELD(framework, JSON_KIND_TEXT),
    FIELD(rank, JSON_KIND_U32),
    FIELD(gpus, JSON_KIND_U32),
    FIELD(batch, JSON_KIND_U64),
    FIELD(sequence, JSON_KIND_U64),
    FIELD(new_tokens, JSON_KIND_U64),
    FIELD(checkpointing, JSON_KIND_BOOL),
    FIELD(no_flash, JSON_KIND_BOOL),
    FIELD(allocated_only, JSON_KIND_BOOL),
    {0},
};

void memory_request_init(struct memory_request *request)
{
    *request = (struct memory_request){0};
}

void memory_request_finish(struct memory_request *request)
{
    for (const struct json_field *field = request_fields; field->name; field++) {
        if (field->kind == JSON_KIND_TEXT) {
            char **text = (char **)(void *)((char *)request + field->offset);
            free(*text);
            *text = NULL;
        }
    }
}

int memory_request_decode(const json_t *object, struct memory_request *request, struct error *err)
{
    return json_decode(object, request_fields, request, err);
}

static bool says_nothing(const json_t *value)
{
    return json_is_null(value) || json_is_false(value) ||
           (json_is_integer(value) && json_integer_value(value) == 0);
}

json_t *memory_request_encode(const struct memory_request *request)
{
    json_t *object = fields_encode(request_fields, request), *value;
    const char *name;
    void *next;
    json_object_foreach_safe(object, next, name, value)
    {
        if (says_nothing(value))
            (void)json_object_del(object, name); /* it is there */
    }
    return object;
}

json_t *memory_estimate_encode(const struct memory_estimate *estimate)
{
    AUTO_JSON json_t *terms = json_object();
    AUTO_JSON json_t *assumptions = json_array();
    if (!terms || !assumptions)
        return NULL;
    for (int term = 0; term < MEMORY_TERM_COUNT; term++) {
        json_t *bytes = json_integer((json_int_t)estimate->term_bytes[term]);
        if (estimate->term_bytes[term] &&
            json_object_set_new(terms, memory_term_name((enum memory_term)term), bytes) < 0)
            return NULL;
        if (!estimate->term_bytes[term])
            json_decref(bytes);
    }
    for (const char *const *text = estimate->assumptions; *text; text++) {
        if (json_array_append_new(assumptions, json_string(*text)) < 0)
            return NULL;
    }
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:s, s:s, s:O, s:O}", "point_bytes",
                     (json_int_t)estimate->point_bytes, "safe_bytes",
                     (json_int_t)estimate->safe_bytes, "params", (json_int_t)estimate->params,
                     "trainable_params", (json_int_t)estimate->trainable_params, "gpus",
                     (json_int_t)estimate->gpus, "phase", estimate->phase, "profile",
                     estimate->profile, "terms", terms, "assumptions", assumptions);
}
