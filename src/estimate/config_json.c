/* config.json: each shape has a handful of names, and the first that is there counts. */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "estimate/memory.h"
#include "estimate/reader.h"

#define SHAPE_MAX 100000000 /* no side of a matrix is longer */
#define NAMES_MAX 6

static const struct shape {
    size_t offset;
    const char *names[NAMES_MAX]; /* ended by NULL */
} shapes[] = {
    {offsetof(struct memory_request, hidden), {"hidden_size", "n_embd", "d_model", "dim"}},
    {offsetof(struct memory_request, layers),
     {"num_hidden_layers", "n_layer", "num_layers", "n_layers"}},
    {offsetof(struct memory_request, heads),
     {"num_attention_heads", "n_head", "num_heads", "n_heads"}},
    {offsetof(struct memory_request, kv_heads),
     {"num_key_value_heads", "num_kv_heads", "n_head_kv", "multi_query_group_num"}},
    {offsetof(struct memory_request, head_dim), {"head_dim", "kv_channels", "attention_head_dim"}},
    {offsetof(struct memory_request, ffn),
     {"intermediate_size", "n_inner", "ffn_dim", "d_ff", "ffn_hidden_size"}},
    {offsetof(struct memory_request, vocab), {"padded_vocab_size", "vocab_size"}},
    {offsetof(struct memory_request, experts),
     {"num_local_experts", "n_routed_experts", "num_experts"}},
};

/* Architectures whose feed-forward has two matrices; all others of today have three. */
static const char *const plain_types[] = {"gpt2",   "gpt_neox",   "gptj",    "opt",        "bloom",
                                          "falcon", "phi",        "bert",    "roberta",    "vit",
                                          "mpt",    "distilbert", "electra", "gpt_bigcode"};

static int shape_read(const json_t *config, const struct shape *shape,
                      struct memory_request *request, struct error *err)
{
    for (const char *const *name = shape->names; *name; name++) {
        const json_t *value = json_object_get(config, *name);
        if (!value || json_is_null(value))
            continue;
        json_int_t number = json_integer_value(value);
        if (!json_is_integer(value) || number < 0 || number > SHAPE_MAX)
            return error_set(err, -EINVAL, "bad-config", "%s is not a usable number", *name);
        uint32_t side = (uint32_t)number;
        memcpy((char *)request + shape->offset, &side, sizeof(side));
        return 0;
    }
    return 0;
}

static bool type_is_plain(const char *type)
{
    for (size_t i = 0; i < sizeof(plain_types) / sizeof(*plain_types); i++) {
        if (strcmp(plain_types[i], type) == 0)
            return true;
    }
    return false;
}

static int dtype_read(const json_t *config, struct memory_request *request, struct error *err)
{
    static const char *const names[][2] = {
        {"bfloat16", "bf16"}, {"float16", "fp16"}, {"float32", "fp32"}};
    const char *type = json_string_value(json_object_get(config, "torch_dtype"));
    for (size_t i = 0; type && !request->weights && i < 3; i++) {
        if (strcmp(type, names[i][0]) != 0)
            continue;
        request->weights = strdup(names[i][1]);
        if (!request->weights)
            return error_set(err, -ENOMEM, "out-of-memory", "reading a model");
    }
    return 0;
}

int config_json_read(const char *text, size_t length, struct memory_request *request,
                     struct error *err)
{
    AUTO_JSON json_t *config = json_parse(text, length, JSON_TEXT_LIMIT_BYTES, err);
    if (!config)
        return err ? err->errnum : -EINVAL;
    /* Models of several kinds of input keep the transformer's part apart. */
    const json_t *inner = json_object_get(config, "text_config");
    const json_t *shown = json_is_object(inner) ? inner : config;
    for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++) {
        int r = shape_read(shown, &shapes[i], request, err);
        if (r < 0)
            return r;
    }
    if (!request->layers || !request->hidden)
        return error_set(err, -EINVAL, "bad-config",
                         "neither layers (num_hidden_layers, ...) nor width (hidden_size, ...) "
                         "are in it: is it the configuration of a transformer?");
    const char *type = json_string_value(json_object_get(shown, "model_type"));
    request->mlp_matrices = type && type_is_plain(type) ? 2 : 3;
    request->tied = json_is_true(json_object_get(config, "tie_word_embeddings"));
    return dtype_read(shown, request, err);
}
