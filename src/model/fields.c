/* Structs to JSON objects: see fields.h. */
#include "model/fields.h"

#include <errno.h>
#include <stdbool.h>

#include "base/json.h"

static json_t *encode_text(const char *text)
{
    return text ? json_string_nocheck(text) : json_null();
}

static json_t *encode_texts(char *const *texts)
{
    if (!texts)
        return json_null();
    json_t *array = json_array();
    for (; array && *texts; texts++) {
        if (json_array_append_new(array, encode_text(*texts)) < 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static json_t *encode_member(const struct json_field *field, const void *slot)
{
    switch (field->kind) {
    case JSON_KIND_TEXT:
        return encode_text(*(char *const *)slot);
    case JSON_KIND_U64:
    case JSON_KIND_BYTES:
    case JSON_KIND_DURATION:
        return json_integer((json_int_t) * (const uint64_t *)slot);
    case JSON_KIND_U32:
    case JSON_KIND_SHARE:
        return json_integer(*(const uint32_t *)slot);
    case JSON_KIND_BOOL:
        return json_boolean(*(const bool *)slot);
    case JSON_KIND_TEXTS:
        return encode_texts(*(char **const *)slot);
    case JSON_KIND_VALUE: {
        json_t *value = *(json_t *const *)slot;
        return value ? json_incref(value) : json_null();
    }
    case JSON_KIND_INVALID:
        break;
    }
    abort(); /* a table with an invalid kind is a programmer's mistake */
}

int fields_put(json_t *object, const char *name, json_t *value)
{
    return object && value && json_object_set_new_nocheck(object, name, value) == 0 ? 0 : -ENOMEM;
}

json_t *fields_encode(const struct json_field *fields, const void *record)
{
    AUTO_JSON json_t *object = json_object();
    for (const struct json_field *f = fields; object && f->name; f++) {
        if (fields_put(object, f->name, encode_member(f, (const char *)record + f->offset)) < 0)
            return NULL;
    }
    return json_incref(object);
}

json_t *fields_without_null(json_t *object)
{
    const char *name;
    json_t *value;
    void *next;
    json_object_foreach_safe(object, next, name, value)
    {
        if (json_is_null(value))
            (void)json_object_del(object, name); /* it is there */
    }
    return object;
}
