/* What a template and a request may say: the types of their members, the placeholders of a command.
 * Everything that can be wrong with a template is said when it is loaded, so that filling one
 * cannot fail on it later. */
#include "model/template_impl.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"

static const struct {
    const char *text;
    enum placeholder placeholder;
} placeholders[] = {
    {"${program}", PLACEHOLDER_PROGRAM},
    {"${args}", PLACEHOLDER_ARGS},
    {"${src}", PLACEHOLDER_SRC},
    {"${work}", PLACEHOLDER_WORK},
};
#define PLACEHOLDERS_KNOWN "${program}, ${args}, ${src}, ${work}"

enum placeholder placeholder_parse(const char *text, size_t *ret_length)
{
    if (strncmp(text, "${", 2) != 0)
        return PLACEHOLDER_NONE;
    for (size_t i = 0; i < sizeof(placeholders) / sizeof(*placeholders); i++) {
        size_t length = strlen(placeholders[i].text);
        if (strncmp(text, placeholders[i].text, length) == 0) {
            *ret_length = length;
            return placeholders[i].placeholder;
        }
    }
    *ret_length = strcspn(text, "}") + 1;
    return PLACEHOLDER_UNKNOWN;
}

/* The members that a template and a request may both have. Only their types are looked at here: the
 * amounts themselves stay as written. */
struct values {
    uint64_t memory_bytes, ram_bytes, idle_after_ms, grace_ms;
    uint32_t share_permille, pids, priority;
    char *text, *network, *device, *name, *tenant, *library, *type, *image, *program, *workdir;
    json_t *cpus, *env;
    char **command, **args;
};

#define FIELD(member, name, kind) \
    { \
        name, kind, offsetof(struct values, member), JSON_OPTIONAL \
    }
#define SHARED_FIELDS \
    FIELD(memory_bytes, "memory", JSON_KIND_BYTES), \
        FIELD(share_permille, "share", JSON_KIND_SHARE), FIELD(device, "device", JSON_KIND_TEXT), \
        FIELD(cpus, "cpus", JSON_KIND_VALUE), FIELD(ram_bytes, "ram", JSON_KIND_BYTES), \
        FIELD(pids, "pids", JSON_KIND_U32), FIELD(network, "network", JSON_KIND_TEXT), \
        FIELD(idle_after_ms, "idle_after", JSON_KIND_DURATION), \
        FIELD(grace_ms, "grace", JSON_KIND_DURATION), FIELD(priority, "priority", JSON_KIND_U32), \
        FIELD(env, "env", JSON_KIND_VALUE), FIELD(command, "command", JSON_KIND_TEXTS)

static const struct json_field template_fields[] = {
    FIELD(text, "text", JSON_KIND_TEXT),
    SHARED_FIELDS,
    {NULL, JSON_KIND_INVALID, 0, JSON_OPTIONAL},
};

static const struct json_field request_fields[] = {
    FIELD(name, "name", JSON_KIND_TEXT),
    FIELD(tenant, "tenant", JSON_KIND_TEXT),
    FIELD(library, "library", JSON_KIND_TEXT),
    FIELD(type, "type", JSON_KIND_TEXT),
    FIELD(image, "image", JSON_KIND_TEXT),
    FIELD(program, "program", JSON_KIND_TEXT),
    FIELD(args, "args", JSON_KIND_TEXTS),
    FIELD(workdir, "workdir", JSON_KIND_TEXT),
    SHARED_FIELDS,
    {NULL, JSON_KIND_INVALID, 0, JSON_OPTIONAL},
};

static void values_finish(struct values *values)
{
    char **texts[] = {&values->text,    &values->network, &values->device, &values->name,
                      &values->tenant,  &values->library, &values->type,   &values->image,
                      &values->program, &values->workdir};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        free(*texts[i]);
    json_decref(values->cpus);
    json_decref(values->env);
    texts_free(values->command);
    texts_free(values->args);
}

static int env_check(const json_t *env, struct error *err)
{
    const char *name;
    json_t *value;
    if (env && !json_is_object(env))
        return error_set(err, -EINVAL, "bad-field", "'env' must be names with texts");
    json_object_foreach ((json_t *)(uintptr_t)env, name, value) {
        if (name[0] == '\0' || strchr(name, '=') || !json_is_string(value))
            return error_set(err, -EINVAL, "bad-field",
                             "'env': '%.64s' must be a variable's name, with a text", name);
    }
    return 0;
}

/* "1.5" or thousandths of a processor. */
static int cpus_check(const json_t *cpus, struct error *err)
{
    const char *text = json_string_value(cpus);
    size_t whole = text ? strspn(text, "0123456789") : 0;
    size_t fraction = text && text[whole] == '.' ? 1 + strspn(text + whole + 1, "0123456789") : 0;
    if (!cpus || (text && whole && whole < 6 && text[whole + fraction] == '\0') ||
        (json_is_integer(cpus) && json_integer_value(cpus) > 0))
        return 0;
    return error_set(err, -EINVAL, "bad-field",
                     "'cpus' must be a number of processors in quotes, like \"1.5\"");
}

static int network_check(const char *network, struct error *err)
{
    if (!network || strcmp(network, "none") == 0 || strcmp(network, "host") == 0 ||
        strcmp(network, "outbound") == 0)
        return 0;
    return error_set(err, -EINVAL, "bad-field",
                     "'network' must be none, host or outbound, not '%.64s'", network);
}

static int command_check(char *const *command, struct error *err)
{
    if (command && !command[0])
        return error_set(err, -EINVAL, "bad-field", "'command' must not be empty");
    return 0;
}

static int values_check(const json_t *object, const struct json_field *fields, struct error *err)
{
    CLEANUP(values_finish) struct values values = {0};
    int r = json_decode(object, fields, &values, err);
    if (r == 0)
        r = env_check(values.env, err);
    if (r == 0)
        r = cpus_check(values.cpus, err);
    if (r == 0)
        r = network_check(values.network, err);
    if (r == 0)
        r = command_check(values.command, err);
    return r;
}

int template_check_request(const json_t *request, struct error *err)
{
    return values_check(request, request_fields, err);
}

static int pattern_check(const json_t *command, struct error *err)
{
    for (size_t i = 0; i < json_array_size(command); i++) {
        const char *element = json_string_value(json_array_get(command, i));
        for (const char *c = strchr(element, '$'); c; c = strchr(c + 1, '$')) {
            size_t length = 0;
            enum placeholder what = placeholder_parse(c, &length);
            if (what == PLACEHOLDER_UNKNOWN)
                return error_set(err, -EINVAL, "bad-template",
                                 "'command': unknown placeholder %.*s; the known are %s",
                                 (int)(length < 64 ? length : 64), c, PLACEHOLDERS_KNOWN);
            if (what == PLACEHOLDER_ARGS && strcmp(element, "${args}") != 0)
                return error_set(err, -EINVAL, "bad-template",
                                 "'command': ${args} must be an element of its own");
        }
    }
    return 0;
}

/* Members every filled description has, so a library must give each a default. */
static const char *const always[] = {"command", "memory",     "share", "cpus",
                                     "ram",     "idle_after", "grace", "network"};

static int complete_check(const json_t *values, struct error *err)
{
    for (size_t i = 0; i < sizeof(always) / sizeof(*always); i++) {
        if (!json_object_get(values, always[i]))
            return error_set(err, -EINVAL, "bad-template",
                             "'%s' is missing: give it here or under defaults", always[i]);
    }
    return 0;
}

int template_check_defaults(const json_t *values, struct error *err)
{
    return values_check(values, template_fields, err);
}

int template_check_values(const json_t *values, struct error *err)
{
    int r = values_check(values, template_fields, err);
    if (r == 0)
        r = complete_check(values, err);
    if (r == 0)
        r = pattern_check(json_object_get(values, "command"), err);
    return r;
}
