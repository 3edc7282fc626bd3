/* What a template and a request may say: the types of their members, the placeholders of a command.
 * Everything that can be wrong with a template is said when it is loaded, so that filling one
 * cannot fail on it later. */
#include "model/template_impl.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "model/job.h"

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

int template_check_request(const json_t *request, struct error *err)
{
    struct job_request decoded;
    job_request_init(&decoded);
    int r = job_request_decode(request, &decoded, err);
    if (r == 0 && decoded.command && !decoded.command[0])
        r = error_set(err, -EINVAL, "bad-field", "'command' must not be empty");
    job_request_finish(&decoded);
    return r;
}

/* A template says how jobs of a pair run, not what one job is. */
static const char *const of_one_job[] = {"name",           "tenant", "library",  "type",    "image",
                                         "program",        "src",    "args",     "workdir", "model",
                                         "model_settings", "gang",   "gang_size"};

int template_check_defaults(const json_t *values, struct error *err)
{
    for (size_t i = 0; i < sizeof(of_one_job) / sizeof(*of_one_job); i++) {
        if (json_object_get(values, of_one_job[i]))
            return error_set(err, -EINVAL, "bad-template",
                             "'%s' belongs to a job's request, not to a template", of_one_job[i]);
    }
    json_t *text = json_object_get(values, "text");
    if (text && !json_is_string(text))
        return error_set(err, -EINVAL, "bad-template", "'text' must be a text");
    AUTO_JSON json_t *members = json_copy((json_t *)(uintptr_t)values);
    if (!members)
        return error_set(err, -EINVAL, "bad-template", "members were expected");
    (void)json_object_del(members, "text"); /* fails when there is none, which is as good */
    return template_check_request(members, err);
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

int template_check_values(const json_t *values, struct error *err)
{
    int r = template_check_defaults(values, err);
    if (r == 0)
        r = complete_check(values, err);
    if (r == 0)
        r = pattern_check(json_object_get(values, "command"), err);
    return r;
}
