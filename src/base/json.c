/* JSON at the edges: see json.h. */
#include "base/json.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/units.h"

/* Depth is checked on the text, because the parser recurses. */
static bool nesting_fits(const char *text, size_t length)
{
    unsigned depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (quoted) {
            if (c == '\\')
                i++;
            else if (c == '"')
                quoted = false;
        } else if (c == '"') {
            quoted = true;
        } else if (c == '[' || c == '{') {
            if (++depth > JSON_DEPTH_MAX)
                return false;
        } else if ((c == ']' || c == '}') && depth > 0) {
            depth--;
        }
    }
    return true;
}

json_t *json_parse(const char *text, size_t length, size_t limit_bytes, struct error *err)
{
    if (length > limit_bytes) {
        error_set(err, -EFBIG, "body-too-large", "the JSON text has %zu bytes; the limit is %zu",
                  length, limit_bytes);
        return NULL;
    }
    if (!nesting_fits(text, length)) {
        error_set(err, -EINVAL, "bad-json", "the JSON text nests deeper than %d levels",
                  JSON_DEPTH_MAX);
        return NULL;
    }
    json_error_t where;
    json_t *value = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &where);
    if (!value)
        error_set(err, -EINVAL, "bad-json", "not valid JSON at line %d, column %d: %s", where.line,
                  where.column, where.text);
    return value;
}

char *json_text(const json_t *value)
{
    return json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
}

void texts_free(char **texts)
{
    for (char **text = texts; text && *text; text++)
        free(*text);
    free(texts);
}

char **texts_copy(const char *const *texts)
{
    size_t count = 0;
    while (texts && texts[count])
        count++;
    char **copy = calloc(count + 1, sizeof(*copy));
    for (size_t i = 0; copy && i < count; i++) {
        copy[i] = strdup(texts[i]);
        if (!copy[i]) {
            texts_free(copy);
            return NULL;
        }
    }
    return copy;
}

static int wrong_kind(const char *name, const char *wanted, struct error *err)
{
    return error_set(err, -EINVAL, "bad-field", "'%s' must be %s", name, wanted);
}

static int decode_texts(const json_t *value, const char *name, char ***slot, struct error *err)
{
    if (!json_is_array(value))
        return wrong_kind(name, "a list of texts", err);
    char **texts = calloc(json_array_size(value) + 1, sizeof(*texts));
    if (!texts)
        return error_set(err, -ENOMEM, "out-of-memory", "decoding '%s'", name);
    for (size_t i = 0; i < json_array_size(value); i++) {
        const char *text = json_string_value(json_array_get(value, i));
        if (text && (texts[i] = strdup(text)))
            continue;
        texts_free(texts);
        return text ? error_set(err, -ENOMEM, "out-of-memory", "decoding '%s'", name)
                    : wrong_kind(name, "a list of texts", err);
    }
    texts_free(*slot);
    *slot = texts;
    return 0;
}

static int decode_amount(const json_t *value, const struct json_field *field, void *slot,
                         struct error *err)
{
    const char *text = json_string_value(value);
    int r = 0;
    if (field->kind == JSON_KIND_SHARE) {
        char number[UNITS_TEXT_MAX];
        if (json_is_number(value)) {
            (void)snprintf(number, sizeof(number), "%.6f", json_number_value(value));
            text = number;
        }
        r = text ? share_parse(text, slot, err)
                 : wrong_kind(field->name, "a share like \"25%\"", err);
    } else if (json_is_integer(value) && json_integer_value(value) >= 0) {
        *(uint64_t *)slot = (uint64_t)json_integer_value(value);
    } else if (!text) {
        r = wrong_kind(field->name, "an amount like \"2GiB\" or \"10m\"", err);
    } else if (field->kind == JSON_KIND_BYTES) {
        r = bytes_parse(text, slot, err);
    } else {
        r = duration_parse(text, slot, err);
    }
    if (r < 0 && text)
        (void)error_context(err, "'%s'", field->name); /* `r` is known even without an `err` */
    return r;
}

static int decode_number(const json_t *value, const struct json_field *field, void *slot,
                         struct error *err)
{
    uint64_t limit = field->kind == JSON_KIND_U32 ? UINT32_MAX : INT64_MAX;
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        (uint64_t)json_integer_value(value) > limit)
        return wrong_kind(field->name, "a whole number that is not negative", err);
    if (field->kind == JSON_KIND_U32)
        *(uint32_t *)slot = (uint32_t)json_integer_value(value);
    else
        *(uint64_t *)slot = (uint64_t)json_integer_value(value);
    return 0;
}

static int decode_text(const json_t *value, const char *name, char **slot, struct error *err)
{
    if (!json_is_string(value))
        return wrong_kind(name, "a text", err);
    char *copy = strdup(json_string_value(value));
    if (!copy)
        return error_set(err, -ENOMEM, "out-of-memory", "decoding '%s'", name);
    free(*slot);
    *slot = copy;
    return 0;
}

static int decode_field(const json_t *value, const struct json_field *field, void *slot,
                        struct error *err)
{
    switch (field->kind) {
    case JSON_KIND_TEXT:
        return decode_text(value, field->name, slot, err);
    case JSON_KIND_U64:
    case JSON_KIND_U32:
        return decode_number(value, field, slot, err);
    case JSON_KIND_BOOL:
        if (!json_is_boolean(value))
            return wrong_kind(field->name, "true or false", err);
        *(bool *)slot = json_is_true(value);
        return 0;
    case JSON_KIND_BYTES:
    case JSON_KIND_SHARE:
    case JSON_KIND_DURATION:
        return decode_amount(value, field, slot, err);
    case JSON_KIND_TEXTS:
        return decode_texts(value, field->name, slot, err);
    case JSON_KIND_VALUE:
        json_decref(*(json_t **)slot);
        *(json_t **)slot = json_incref((json_t *)(uintptr_t)value);
        return 0;
    case JSON_KIND_INVALID:
        break;
    }
    abort(); /* a table with an invalid kind is a programmer's mistake */
}

static const struct json_field *field_find(const struct json_field *fields, const char *name)
{
    for (; fields->name; fields++) {
        if (strcmp(fields->name, name) == 0)
            return fields;
    }
    return NULL;
}

static int unknown_member(const struct json_field *fields, const char *name, struct error *err)
{
    AUTO_BUF struct buf known = BUF_INIT;
    for (const struct json_field *f = fields; f->name; f++)
        (void)buf_printf(&known, "%s%s", f == fields ? "" : ", ", f->name);
    return error_set(err, -EINVAL, "unknown-field", "there is no field '%.64s'; the fields are: %s",
                     name, known.data ? known.data : "none");
}

int json_decode(const json_t *object, const struct json_field *fields, void *record,
                struct error *err)
{
    if (!json_is_object(object))
        return error_set(err, -EINVAL, "bad-json", "a JSON object was expected");
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)object, name, value) {
        const struct json_field *field = field_find(fields, name);
        if (!field)
            return unknown_member(fields, name, err);
        if (json_is_null(value))
            continue;
        int r = decode_field(value, field, (char *)record + field->offset, err);
        if (r < 0)
            return r;
    }
    for (const struct json_field *f = fields; f->name; f++) {
        if ((f->flags & JSON_REQUIRED) && json_is_null(json_object_get(object, f->name)))
            return error_set(err, -EINVAL, "missing-field", "the field '%s' is required", f->name);
        if ((f->flags & JSON_REQUIRED) && !json_object_get(object, f->name))
            return error_set(err, -EINVAL, "missing-field", "the field '%s' is required", f->name);
    }
    return 0;
}
