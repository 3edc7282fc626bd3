/* Entries of the knowledge base: see knowledge.h. */
#include "model/knowledge.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"

static const char *const kind_names[KNOWLEDGE_KIND_COUNT] = {
    [KNOWLEDGE_TASK] = "task",
    [KNOWLEDGE_MODEL] = "model",
    [KNOWLEDGE_DATA] = "data",
    [KNOWLEDGE_METRIC] = "metric",
    [KNOWLEDGE_HYPERPARAMETER] = "hyperparameter",
    [KNOWLEDGE_RELATION] = "relation",
};

const char *knowledge_kind_name(enum knowledge_kind kind)
{
    return kind_names[kind];
}

enum knowledge_kind knowledge_kind_parse(const char *name)
{
    for (int kind = KNOWLEDGE_TASK; kind < KNOWLEDGE_KIND_COUNT; kind++) {
        if (strcmp(kind_names[kind], name) == 0)
            return (enum knowledge_kind)kind;
    }
    return KNOWLEDGE_INVALID;
}

void knowledge_init(struct knowledge *entry)
{
    *entry = (struct knowledge){0};
}

void knowledge_finish(struct knowledge *entry)
{
    free(entry->name);
    free(entry->task);
    free(entry->model);
    free(entry->text);
    free(entry->source);
    json_decref(entry->attributes);
    knowledge_init(entry);
}

static bool name_is_good(const char *name)
{
    size_t length = strlen(name);
    for (const char *c = name; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return false;
    }
    return length > 0 && length <= KNOWLEDGE_NAME_MAX;
}

static bool attribute_name_is_good(const char *name)
{
    size_t length = strlen(name);
    return length > 0 && length <= KNOWLEDGE_ATTRIBUTE_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_.-") == length && name[0] != '-';
}

static bool value_is_good(const json_t *value)
{
    return json_is_number(value) || json_is_boolean(value) ||
           (json_is_string(value) && json_string_length(value) <= KNOWLEDGE_VALUE_MAX);
}

static bool list_is_good(const json_t *list)
{
    size_t count = json_array_size(list);
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_array_get(list, i);
        if (!json_is_string(value) || !value_is_good(value))
            return false;
    }
    return json_is_array(list) && count <= KNOWLEDGE_LIST_MAX;
}

static int attributes_check(const json_t *attributes, struct error *err)
{
    const char *name;
    json_t *value;
    if (!json_is_object(attributes))
        return error_set(err, -EINVAL, "bad-field", "'attributes' must be an object");
    if (json_object_size(attributes) > KNOWLEDGE_ATTRIBUTES_MAX)
        return error_set(err, -EINVAL, "bad-field", "an entry has at most %d attributes",
                         KNOWLEDGE_ATTRIBUTES_MAX);
    json_object_foreach ((json_t *)(uintptr_t)attributes, name, value) {
        if (!attribute_name_is_good(name))
            return error_set(err, -EINVAL, "bad-attribute",
                             "'%.64s' is no name of an attribute: at most %d of a-z 0-9 _ . -",
                             name, KNOWLEDGE_ATTRIBUTE_MAX);
        if (!value_is_good(value) && !list_is_good(value))
            return error_set(err, -EINVAL, "bad-attribute",
                             "the attribute '%s' must be a number, true or false, a text of at "
                             "most %d bytes or a list of at most %d texts",
                             name, KNOWLEDGE_VALUE_MAX, KNOWLEDGE_LIST_MAX);
    }
    return 0;
}

/* As it stands in a request. */
struct body {
    char *kind;
    struct knowledge entry;
};

#define FIELD(member, kind, flags) \
    { \
#member, kind, offsetof(struct body, entry.member), flags \
    }
static const struct json_field body_fields[] = {
    {"kind", JSON_KIND_TEXT, offsetof(struct body, kind), JSON_REQUIRED},
    FIELD(name, JSON_KIND_TEXT, JSON_REQUIRED),
    FIELD(task, JSON_KIND_TEXT, JSON_OPTIONAL),
    FIELD(model, JSON_KIND_TEXT, JSON_OPTIONAL),
    FIELD(text, JSON_KIND_TEXT, JSON_OPTIONAL),
    FIELD(source, JSON_KIND_TEXT, JSON_OPTIONAL),
    FIELD(attributes, JSON_KIND_VALUE, JSON_OPTIONAL),
    {0},
};

static int body_check(const struct body *body, struct error *err)
{
    const struct knowledge *entry = &body->entry;
    const char *names[] = {entry->name, entry->task ? entry->task : "-",
                           entry->model ? entry->model : "-", entry->source};
    if (entry->kind == KNOWLEDGE_INVALID)
        return error_set(err, -EINVAL, "bad-kind",
                         "'%.32s' is no kind of entry: task, model, data, metric, hyperparameter "
                         "or relation",
                         body->kind);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (!name_is_good(names[i]))
            return error_set(err, -EINVAL, "bad-name",
                             "a name has 1 to %d bytes and no control characters",
                             KNOWLEDGE_NAME_MAX);
    }
    if (entry->text && strlen(entry->text) > KNOWLEDGE_TEXT_MAX)
        return error_set(err, -EINVAL, "bad-field", "'text' has at most %u bytes",
                         KNOWLEDGE_TEXT_MAX);
    return attributes_check(entry->attributes, err);
}

int knowledge_decode(const json_t *object, struct knowledge *entry, struct error *err)
{
    struct body body = {NULL, *entry};
    int r = json_decode(object, body_fields, &body, err);
    if (r == 0) {
        body.entry.kind = knowledge_kind_parse(body.kind);
        if (!body.entry.source)
            body.entry.source = strdup("user");
        if (!body.entry.attributes)
            body.entry.attributes = json_object();
        if (!body.entry.source || !body.entry.attributes)
            r = error_set(err, -ENOMEM, "out-of-memory", "reading an entry");
    }
    if (r == 0)
        r = body_check(&body, err);
    free(body.kind);
    *entry = body.entry;
    return r;
}

static json_t *text_or_null(const char *text)
{
    return text ? json_string_nocheck(text) : json_null();
}

json_t *knowledge_encode(const struct knowledge *entry)
{
    char id[24], time[TIME_TEXT_MAX];
    (void)snprintf(id, sizeof(id), "%llu", (unsigned long long)entry->id);
    return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:s, s:O}", "id", id, "kind",
                     knowledge_kind_name(entry->kind), "name", text_or_null(entry->name), "task",
                     text_or_null(entry->task), "model", text_or_null(entry->model), "text",
                     text_or_null(entry->text), "source", text_or_null(entry->source), "updated",
                     time_text(entry->updated_us, time), "attributes", entry->attributes);
}

bool knowledge_number(const struct knowledge *entry, const char *name, double *ret_value)
{
    const json_t *value = json_object_get(entry->attributes, name);
    if (!json_is_number(value))
        return false;
    *ret_value = json_number_value(value);
    return true;
}
