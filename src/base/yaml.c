/* YAML to JSON values through libyaml's event parser, without recursion: a stack of open containers
 * with a depth limit. */
#include "base/yaml.h"

#include <errno.h>
#include <stdbool.h>
#include <yaml.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"
#include "base/units.h"

struct yaml_frame {
    json_t *container; /* borrowed: its parent or `root` owns it */
    char *key;         /* the mapping key that waits for its value; owned */
};

struct yaml_reader {
    json_t *root; /* owned */
    struct yaml_frame frames[JSON_DEPTH_MAX];
    unsigned depth;
    struct error *err;
};

static int yaml_refuse(struct yaml_reader *reader, const yaml_mark_t *mark, const char *what)
{
    return error_set(reader->err, -EINVAL, "bad-yaml", "line %zu, column %zu: %s", mark->line + 1,
                     mark->column + 1, what);
}

/* YAML 1.2 core schema for a plain scalar. */
static json_t *plain_value(const char *text)
{
    if (!*text || strcmp(text, "~") == 0 || strcmp(text, "null") == 0)
        return json_null();
    if (strcmp(text, "true") == 0)
        return json_true();
    if (strcmp(text, "false") == 0)
        return json_false();
    bool negative = text[0] == '-';
    uint64_t number;
    if (u64_parse(text + negative, &number, NULL) == 0 && number <= INT64_MAX)
        return json_integer(negative ? -(json_int_t)number : (json_int_t)number);
    char *end;
    double real = strtod(text, &end);
    if (strspn(text, "+-.0123456789eE") == strlen(text) && end != text && !*end &&
        real - real == 0.0)
        return json_real(real);
    return json_string(text);
}

/* Put a value (reference taken) where the parser stands. */
static int yaml_place(struct yaml_reader *reader, json_t *value, const yaml_mark_t *mark)
{
    if (!value)
        return yaml_refuse(reader, mark, "the text is not valid UTF-8");
    if (reader->depth == 0) {
        reader->root = value;
        return 0;
    }
    struct yaml_frame *top = &reader->frames[reader->depth - 1];
    int r;
    if (json_is_array(top->container)) {
        r = json_array_append_new(top->container, value);
    } else if (!top->key) {
        bool scalar = json_is_string(value) || json_is_number(value) || json_is_boolean(value);
        char *text = json_is_string(value) ? strdup(json_string_value(value)) : json_text(value);
        json_decref(value);
        if (!scalar || !text) {
            free(text);
            return yaml_refuse(reader, mark, "a mapping key must be a plain text");
        }
        top->key = text;
        if (json_object_get(top->container, top->key))
            return yaml_refuse(reader, mark, "this key stands twice in one mapping");
        return 0;
    } else {
        r = json_object_set_new(top->container, top->key, value);
        free(top->key);
        top->key = NULL;
    }
    return r < 0 ? error_set(reader->err, -ENOMEM, "out-of-memory", "reading YAML") : 0;
}

static int yaml_open(struct yaml_reader *reader, json_t *container, const yaml_event_t *event)
{
    if (reader->depth > 0 && json_is_object(reader->frames[reader->depth - 1].container) &&
        !reader->frames[reader->depth - 1].key) {
        json_decref(container);
        return yaml_refuse(reader, &event->start_mark, "a mapping key must be a plain text");
    }
    int r = yaml_place(reader, container, &event->start_mark);
    if (r < 0)
        return r;
    if (reader->depth == JSON_DEPTH_MAX)
        return yaml_refuse(reader, &event->start_mark, "nested too deep");
    reader->frames[reader->depth++] = (struct yaml_frame){.container = container};
    return 0;
}

static int yaml_scalar(struct yaml_reader *reader, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    if (strlen(text) != event->data.scalar.length)
        return yaml_refuse(reader, &event->start_mark, "a text holds a NUL byte");
    bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return yaml_place(reader, plain ? plain_value(text) : json_string(text), &event->start_mark);
}

static bool event_is_tagged(const yaml_event_t *event)
{
    switch ((int)event->type) {
    case YAML_ALIAS_EVENT:
        return true;
    case YAML_SCALAR_EVENT:
        return event->data.scalar.anchor || event->data.scalar.tag;
    case YAML_SEQUENCE_START_EVENT:
        return event->data.sequence_start.anchor || event->data.sequence_start.tag;
    case YAML_MAPPING_START_EVENT:
        return event->data.mapping_start.anchor || event->data.mapping_start.tag;
    default:
        return false;
    }
}

static int yaml_event(struct yaml_reader *reader, const yaml_event_t *event)
{
    if (event_is_tagged(event))
        return yaml_refuse(reader, &event->start_mark, "anchors, aliases and tags are not allowed");
    switch ((int)event->type) {
    case YAML_SCALAR_EVENT:
        return yaml_scalar(reader, event);
    case YAML_SEQUENCE_START_EVENT:
        return yaml_open(reader, json_array(), event);
    case YAML_MAPPING_START_EVENT:
        return yaml_open(reader, json_object(), event);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        reader->depth--;
        return 0;
    case YAML_DOCUMENT_START_EVENT:
        return reader->root
                   ? yaml_refuse(reader, &event->start_mark, "only one document is allowed")
                   : 0;
    default:
        return 0;
    }
}

static int yaml_read(struct yaml_reader *reader, yaml_parser_t *parser)
{
    for (;;) {
        yaml_event_t event;
        if (!yaml_parser_parse(parser, &event))
            return yaml_refuse(reader, &parser->problem_mark,
                               parser->problem ? parser->problem : "not valid YAML");
        bool last = event.type == YAML_STREAM_END_EVENT;
        int r = yaml_event(reader, &event);
        yaml_event_delete(&event);
        if (r < 0 || last)
            return r;
    }
}

struct json_t *yaml_parse(const char *text, size_t length, size_t limit_bytes, struct error *err)
{
    if (length > limit_bytes) {
        error_set(err, -EFBIG, "body-too-large", "the YAML text has %zu bytes; the limit is %zu",
                  length, limit_bytes);
        return NULL;
    }
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) {
        error_set(err, -ENOMEM, "out-of-memory", "reading YAML");
        return NULL;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, length);
    struct yaml_reader reader = {.err = err};
    int r = yaml_read(&reader, &parser);
    yaml_parser_delete(&parser);
    for (unsigned i = 0; i < JSON_DEPTH_MAX; i++)
        free(reader.frames[i].key);
    if (r == 0 && !reader.root)
        r = error_set(err, -EINVAL, "bad-yaml", "the document is empty");
    if (r < 0) {
        json_decref(reader.root);
        return NULL;
    }
    return reader.root;
}

/* The next code point of valid UTF-8 (Jansson holds no other). */
static unsigned utf8_next(const unsigned char **cursor)
{
    const unsigned char *c = *cursor;
    unsigned more = *c < 0x80 ? 0 : *c < 0xe0 ? 1 : *c < 0xf0 ? 2 : 3;
    unsigned point = more ? *c & (0x3fu >> more) : *c;
    for (*cursor = ++c; more; more--)
        point = point << 6 | (*c++ & 0x3f);
    *cursor = c;
    return point;
}

/* What a YAML reader would refuse or fold inside double quotes: control characters, the line
 * breaks of Unicode, the byte order mark and the non-characters. */
static bool must_escape(unsigned point)
{
    return point < 0x20 || (point >= 0x7f && point < 0xa0) || point == 0x2028 || point == 0x2029 ||
           point == 0xfeff || point == 0xfffe || point == 0xffff;
}

static void yaml_put_quoted(struct buf *out, const char *text)
{
    (void)buf_puts(out, "\"");
    for (const unsigned char *next = (const unsigned char *)text; *next;) {
        const unsigned char *from = next;
        unsigned point = utf8_next(&next);
        if (must_escape(point)) {
            (void)buf_printf(out, "\\u%04x", point);
            continue;
        }
        if (point == '"' || point == '\\')
            (void)buf_puts(out, "\\");
        (void)buf_append(out, from, (size_t)(next - from));
    }
    (void)buf_puts(out, "\"");
}

/* A text stays plain in the output only when reading it back gives the same text. */
static void yaml_put_text(struct buf *out, const char *text)
{
    bool plain = *text && strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                       "0123456789_./-") == strlen(text);
    json_t *read = plain ? plain_value(text) : NULL;
    plain = plain && json_is_string(read) && text[0] != '-' && text[0] != '.';
    json_decref(read);
    if (plain)
        (void)buf_puts(out, text);
    else
        yaml_put_quoted(out, text);
}

#define YAML_KEY_MAX 128 /* a simple key ends within 1024 characters; longer ones get a "? " */

static void yaml_put_key(struct buf *out, const char *key, unsigned depth)
{
    bool simple = strlen(key) <= YAML_KEY_MAX;
    (void)buf_printf(out, "%*s%s", (int)depth * 2, "", simple ? "" : "? ");
    yaml_put_text(out, key);
    if (!simple)
        (void)buf_printf(out, "\n%*s", (int)depth * 2, "");
    (void)buf_puts(out, ":");
}

#define DIGITS_MOST 15 /* that every double keeps */
#define DIGITS_ALL 17  /* that tell all doubles apart */

/* As short as reads back the same, and never like an integer. */
static void yaml_put_real(struct buf *out, double value)
{
    char text[40];
    (void)snprintf(text, sizeof(text), "%.*g", DIGITS_MOST, value);
    if (strtod(text, NULL) != value)
        (void)snprintf(text, sizeof(text), "%.*g", DIGITS_ALL, value);
    (void)buf_printf(out, "%s%s\n", text, text[strcspn(text, ".e")] ? "" : ".0");
}

static void yaml_put(struct buf *out, const json_t *value, unsigned depth);

static void yaml_put_child(struct buf *out, const json_t *value, unsigned depth)
{
    bool nested = (json_is_object(value) && json_object_size(value)) ||
                  (json_is_array(value) && json_array_size(value));
    (void)buf_puts(out, nested ? "\n" : " ");
    yaml_put(out, value, depth + 1);
}

static void yaml_put(struct buf *out, const json_t *value, unsigned depth)
{
    if (depth > JSON_DEPTH_MAX || (json_is_object(value) && !json_object_size(value)) ||
        (json_is_array(value) && !json_array_size(value))) {
        (void)buf_puts(out, json_is_object(value) ? "{}\n" : "[]\n");
    } else if (json_is_object(value)) {
        const char *key;
        json_t *member;
        json_object_foreach ((json_t *)(uintptr_t)value, key, member) {
            yaml_put_key(out, key, depth);
            yaml_put_child(out, member, depth);
        }
    } else if (json_is_array(value)) {
        for (size_t i = 0; i < json_array_size(value); i++) {
            (void)buf_printf(out, "%*s-", (int)depth * 2, "");
            yaml_put_child(out, json_array_get(value, i), depth);
        }
    } else if (json_is_string(value)) {
        yaml_put_text(out, json_string_value(value));
        (void)buf_puts(out, "\n");
    } else if (json_is_real(value)) {
        yaml_put_real(out, json_real_value(value));
    } else {
        char *text = json_text(value);
        (void)buf_printf(out, "%s\n", text ? text : "null");
        free(text);
    }
}

char *yaml_text(const struct json_t *value)
{
    struct buf out = BUF_INIT;
    yaml_put(&out, value, 0);
    return buf_take(&out);
}
