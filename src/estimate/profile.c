/* Profiles of framework constants: see profile.h. */
#include "estimate/profile.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/yaml.h"

#define PROFILES_LIMIT_BYTES (1u << 20)
#define CONSTANT_MAX 1e12

struct profiles {
    size_t count;
    struct profile list[];
};

#define CONSTANT(member) \
    { \
#member, offsetof(struct profile, member) \
    }
static const struct constant {
    const char *name;
    size_t offset;
} constants[] = {
    CONSTANT(block_scale),
    CONSTANT(norm_bytes),
    CONSTANT(head_bytes),
    CONSTANT(adapter_bytes),
    CONSTANT(adapter_input_bytes),
    CONSTANT(module_copy_bytes),
    CONSTANT(quantised_inputs),
    CONSTANT(quantised_head),
    CONSTANT(dequantised_copies),
    CONSTANT(generate_dequantised),
    CONSTANT(kv_scale),
    CONSTANT(kv_int8_scale),
    CONSTANT(logits_scale),
    CONSTANT(fsdp_resident),
    CONSTANT(shard_scale),
    CONSTANT(sharded_checkpointing),
    CONSTANT(layer_scale),
    CONSTANT(convolution_bytes),
    CONSTANT(context_bytes),
    CONSTANT(step_copies),
    CONSTANT(safe_factor),
};

static int constant_read(struct profile *profile, const char *name, const json_t *value,
                         struct error *err)
{
    for (size_t i = 0; i < sizeof(constants) / sizeof(*constants); i++) {
        if (strcmp(name, constants[i].name) != 0)
            continue;
        double number = json_number_value(value);
        if (!json_is_number(value) || !(number >= 0 && number <= CONSTANT_MAX))
            return error_set(err, -EINVAL, "bad-profile", "%s is not an amount", name);
        memcpy((char *)profile + constants[i].offset, &number, sizeof(number));
        return 0;
    }
    return error_set(err, -EINVAL, "bad-profile", "a profile has no '%s'", name);
}

static int frameworks_read(struct profile *profile, const json_t *list, struct error *err)
{
    static const struct json_field fields[] = {
        {"frameworks", JSON_KIND_TEXTS, offsetof(struct profile, frameworks), JSON_REQUIRED}, {0}};
    AUTO_JSON json_t *holder = json_pack("{s:O}", "frameworks", list);
    if (!holder)
        return error_set(err, -ENOMEM, "out-of-memory", "reading a profile");
    return json_decode(holder, fields, profile, err);
}

/* A profile starts as the default: it only says what differs. */
static int profile_read(struct profile *profile, const json_t *object, struct error *err)
{
    const char *key, *name = json_string_value(json_object_get(object, "name"));
    json_t *value;
    if (!name)
        return error_set(err, -EINVAL, "bad-profile", "a profile needs a name");
    profile->name = strdup(name);
    if (!profile->name)
        return error_set(err, -ENOMEM, "out-of-memory", "reading a profile");
    json_object_foreach ((json_t *)(uintptr_t)object, key, value) {
        int r = 0;
        if (strcmp(key, "frameworks") == 0)
            r = frameworks_read(profile, value, err);
        else if (strcmp(key, "name") != 0)
            r = constant_read(profile, key, value, err);
        if (r < 0)
            return error_context(err, "profile %s", name);
    }
    return 0;
}

DEFINE_CLEANUP(profiles, struct profiles, profiles_destroy)

struct profiles *profiles_parse(const char *text, size_t length, struct error *err)
{
    AUTO_JSON json_t *document = yaml_parse(text, length, PROFILES_LIMIT_BYTES, err);
    if (!document)
        return NULL;
    const json_t *list = json_object_get(document, "profiles");
    size_t count = json_array_size(list);
    if (count == 0) {
        (void)error_set(err, -EINVAL, "bad-profile", "the file has no list of profiles");
        return NULL;
    }
    CLEANUP(cleanup_profiles)
    struct profiles *profiles = calloc(1, sizeof(*profiles) + count * sizeof(struct profile));
    if (!profiles) {
        (void)error_set(err, -ENOMEM, "out-of-memory", "reading profiles");
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        struct profile *profile = &profiles->list[i];
        *profile = profiles->list[0];
        profile->name = NULL;
        profile->frameworks = NULL;
        profiles->count++;
        if (profile_read(profile, json_array_get(list, i), err) < 0)
            return NULL;
    }
    return TAKE(profiles);
}

void profiles_destroy(struct profiles *profiles)
{
    if (!profiles)
        return;
    for (size_t i = 0; i < profiles->count; i++) {
        free(profiles->list[i].name);
        texts_free(profiles->list[i].frameworks);
    }
    free(profiles);
}

static bool profile_answers(const struct profile *profile, const char *name)
{
    if (strcmp(profile->name, name) == 0)
        return true;
    for (char **framework = profile->frameworks; framework && *framework; framework++) {
        if (strcmp(*framework, name) == 0)
            return true;
    }
    return false;
}

const struct profile *profiles_find(const struct profiles *profiles, const char *name,
                                    bool *ret_known)
{
    *ret_known = !name;
    for (size_t i = 0; name && i < profiles->count; i++) {
        if (profile_answers(&profiles->list[i], name)) {
            *ret_known = true;
            return &profiles->list[i];
        }
    }
    return &profiles->list[0];
}
