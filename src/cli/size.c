/* How large a card a model needs: see size.h. */
#include "cli/size.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/units.h"
#include "estimate/memory.h"
#include "estimate/profile.h"
#include "estimate/reader.h"

#define PROFILES_LIMIT_BYTES (1u << 20)

const struct option_spec size_options[] = {
    {"infer", 0, NULL, "estimate inference instead of training"},
    {"method", 0, "NAME", "full (default), lora, lora+emb, qlora, adapter, adapter_v2"},
    {"rank", 0, "NUMBER", "of the adapters (16)"},
    {"targets", 0, "LIST", "adapted matrices: q,k,v,o,mlp,head (q,v)"},
    {"batch", 0, "NUMBER", "samples of a micro-batch (1)"},
    {"seq", 0, "NUMBER", "tokens of a sample, or of the prompt (2048 for training)"},
    {"new-tokens", 0, "NUMBER", "tokens to generate"},
    {"optimizer", 0, "NAME", "adamw (default), adamw-8bit, sgd, lion, adafactor, ..."},
    {"weights", 0, "FORMAT", "how weights are kept: bf16, fp32, nf4, q4_k, ... (as in the file)"},
    {"compute", 0, "FORMAT", "of activations: bf16, fp16, fp32"},
    {"kv-cache", 0, "KIND", "16bit or int8"},
    {"checkpointing", 0, NULL, "recompute the activations of every block"},
    {"no-flash", 0, NULL, "attention scores are kept"},
    {"steps", 0, "NUMBER", "how long it goes on; or say samples and epochs"},
    {"samples", 0, "NUMBER", "of the data set"},
    {"epochs", 0, "NUMBER", "how often the data set is gone through (1)"},
    {"gpus", 0, "NUMBER", "devices of the run (1)"},
    {"sharding", 0, "NAME", "none, ddp, zero1, zero2, zero3, fsdp, layers"},
    {"framework", 0, "NAME", "profile of constants (pytorch)"},
    {0},
};

enum member_kind { MEMBER_INVALID, MEMBER_TEXT, MEMBER_NUMBER, MEMBER_FLAG };

static const struct setting {
    const char *name, *member;
    enum member_kind kind;
} settings_table[] = {
    {"method", "method", MEMBER_TEXT},
    {"rank", "rank", MEMBER_NUMBER},
    {"targets", "targets", MEMBER_TEXT},
    {"batch", "batch", MEMBER_NUMBER},
    {"seq", "sequence", MEMBER_NUMBER},
    {"new-tokens", "new_tokens", MEMBER_NUMBER},
    {"optimizer", "optimizer", MEMBER_TEXT},
    {"weights", "weights", MEMBER_TEXT},
    {"compute", "compute", MEMBER_TEXT},
    {"kv-cache", "kv_cache", MEMBER_TEXT},
    {"checkpointing", "checkpointing", MEMBER_FLAG},
    {"no-flash", "no_flash", MEMBER_FLAG},
    {"steps", "steps", MEMBER_NUMBER},
    {"samples", "samples", MEMBER_NUMBER},
    {"epochs", "epochs", MEMBER_NUMBER},
    {"gpus", "gpus", MEMBER_NUMBER},
    {"sharding", "sharding", MEMBER_TEXT},
    {"framework", "framework", MEMBER_TEXT},
};

/* In a build tree, under a prefix, on the system. */
static const char *const profile_places[] = {"../../../estimate/profiles.yaml",
                                             "../share/leat/estimate/profiles.yaml",
                                             "/usr/share/leat/estimate/profiles.yaml", NULL};

int size_profiles_load(struct profiles **ret_profiles, struct error *err)
{
    char path[PATH_MAX];
    AUTO_BUF struct buf text = BUF_INIT;
    int r = path_find_beside("the table of framework profiles", profile_places, path, err);
    if (r == 0)
        r = file_read(AT_FDCWD, path, PROFILES_LIMIT_BYTES, &text, err);
    if (r < 0)
        return r;
    *ret_profiles = profiles_parse(text.data, text.length, err);
    return *ret_profiles ? 0 : error_context(err, "%s", path);
}

static const struct setting *setting_find(const char *name)
{
    for (size_t i = 0; i < sizeof(settings_table) / sizeof(*settings_table); i++) {
        if (strcmp(settings_table[i].name, name) == 0)
            return &settings_table[i];
    }
    return NULL;
}

/* Put the setting `name` ("batch", "method", ...; `value` NULL for a flag). */
static int setting_put(json_t *settings, const char *name, const char *value, struct error *err)
{
    const struct setting *setting = setting_find(name);
    uint64_t number = 0;
    json_t *put = NULL;
    if (!setting || (!value && setting->kind != MEMBER_FLAG) ||
        (value && setting->kind == MEMBER_FLAG))
        return error_set(err, -EINVAL, "usage",
                         "'%s%s%s' is no setting of a run; leat-estimate(1) has them", name,
                         value ? "=" : "", value ? value : "");
    if (setting->kind == MEMBER_NUMBER) {
        int r = u64_parse(value, &number, err);
        if (r < 0)
            return error_context(err, "%s", name);
        put = json_integer((json_int_t)number);
    } else {
        put = setting->kind == MEMBER_FLAG ? json_true() : json_string(value);
    }
    if (json_object_set_new(settings, setting->member, put) < 0)
        return error_set(err, -EINVAL, "bad-field", "the value of %s is not UTF-8 text", name);
    return 0;
}

/* --model-setting NAME=VALUE, or NAME alone for a flag. */
int size_settings(const struct args *args, json_t *settings, struct error *err)
{
    size_t cursor = 0;
    int r = 0;
    for (const char *pair; r == 0 && (pair = args_next(args, "model-setting", &cursor));) {
        size_t length = strcspn(pair, "=");
        AUTO_FREE char *name = strndup(pair, length);
        if (!name)
            return error_set(err, -ENOMEM, "out-of-memory", "making the request");
        r = setting_put(settings, name, pair[length] ? pair + length + 1 : NULL, err);
    }
    return r;
}

int size_request(const struct args *args, const char *path, struct memory_request *request,
                 struct error *err)
{
    struct tally tally;
    AUTO_JSON json_t *settings =
        json_pack("{s:s}", "task", args_has(args, "infer") ? "infer" : "train");
    int r = 0;
    for (const struct option_spec *option = size_options; r == 0 && option->name; option++) {
        if (args_has(args, option->name) && setting_find(option->name))
            r = setting_put(settings, option->name, args_text(args, option->name), err);
    }
    if (r == 0)
        r = model_read(path, &tally, request, err);
    return r < 0 ? r : memory_request_decode(settings, request, err);
}

static int request_estimate(const struct memory_request *request, uint64_t *ret_bytes,
                            struct error *err)
{
    struct profiles *profiles = NULL;
    struct memory_estimate estimate;
    int r = size_profiles_load(&profiles, err);
    if (r == 0)
        r = memory_estimate(request, profiles, &estimate, err);
    if (r == 0)
        *ret_bytes = estimate.safe_bytes;
    profiles_destroy(profiles);
    return r;
}

int size_card(const struct args *args, uint64_t *ret_bytes, struct error *err)
{
    struct memory_request request;
    struct tally tally;
    const char *type = args_text(args, "type");
    bool infers = type && strcmp(type, "inference") == 0;
    AUTO_JSON json_t *settings =
        json_pack("{s:b, s:s}", "allocated_only", 1, "task", infers ? "infer" : "train");
    int r = size_settings(args, settings, err);
    if (r < 0)
        return r;
    memory_request_init(&request);
    r = model_read(args_text(args, "model"), &tally, &request, err);
    if (r == 0)
        r = memory_request_decode(settings, &request, err);
    if (r == 0)
        r = request_estimate(&request, ret_bytes, err);
    memory_request_finish(&request);
    return r;
}
