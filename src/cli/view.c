/* JSON answers as people read them: see view.h. */
#include "cli/view.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/units.h"

#define NAME_MAX_BYTES 64 /* of one step of a path */
#define COLUMN_GAP 2
#define US_PER_MS 1000u

const json_t *view_member(const json_t *object, const char *path)
{
    while (object && *path) {
        char name[NAME_MAX_BYTES];
        size_t length = strcspn(path, ".");
        (void)snprintf(name, sizeof(name), "%.*s", (int)length, path);
        object = json_object_get(object, name);
        path += length + (path[length] == '.');
    }
    return json_is_null(object) ? NULL : object;
}

const char *view_text(const json_t *object, const char *path, const char *otherwise)
{
    const char *text = json_string_value(view_member(object, path));
    return text ? text : otherwise;
}

void view_id(const json_t *object, const char *path, char *ret_text, size_t room)
{
    const json_t *value = view_member(object, path);
    if (json_is_integer(value))
        (void)snprintf(ret_text, room, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else
        (void)snprintf(ret_text, room, "%s", json_is_string(value) ? json_string_value(value) : "");
}

uint64_t view_number(const json_t *object, const char *path)
{
    json_int_t value = json_integer_value(view_member(object, path));
    return value > 0 ? (uint64_t)value : 0;
}

static void put_count(struct buf *out, uint64_t count)
{
    char digits[32];
    int length = snprintf(digits, sizeof(digits), "%" PRIu64, count);
    for (int i = 0; i < length; i++) {
        if (i && (length - i) % 3 == 0)
            (void)buf_puts(out, ",");
        (void)buf_append(out, &digits[i], 1);
    }
}

/* Microseconds since 1970 of an RFC 3339 time in UTC; 0 when it is none. */
static uint64_t time_parse(const char *text)
{
    struct tm parts = {0};
    const char *rest = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &parts) : NULL;
    time_t seconds = rest ? timegm(&parts) : -1;
    return seconds < 0 ? 0 : (uint64_t)seconds * US_PER_S;
}

/* "3m ago": the largest unit is enough. */
static void put_ago(struct buf *out, const char *text)
{
    static const struct {
        uint64_t seconds;
        const char *unit;
    } units[] = {{86400, "d"}, {3600, "h"}, {60, "m"}, {1, "s"}};
    uint64_t then = time_parse(text), now = clock_realtime_us();
    if (!then) {
        (void)buf_puts(out, text ? text : "-");
        return;
    }
    uint64_t seconds = now > then ? (now - then) / US_PER_S : 0;
    for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
        if (seconds >= units[i].seconds) {
            (void)buf_printf(out, "%" PRIu64 "%s ago", seconds / units[i].seconds, units[i].unit);
            return;
        }
    }
    (void)buf_puts(out, "now");
}

static void put_words(struct buf *out, const json_t *words)
{
    size_t i;
    json_t *word;
    json_array_foreach (words, i, word) {
        (void)buf_puts(out, i ? " " : "");
        view_value(out, word, VIEW_TEXT);
    }
}

static void put_text(struct buf *out, const json_t *value)
{
    if (json_is_string(value)) {
        (void)buf_puts(out, *json_string_value(value) ? json_string_value(value) : "-");
        return;
    }
    AUTO_FREE char *text = json_text(value);
    (void)buf_puts(out, text ? text : "?");
}

static void put_bytes(struct buf *out, uint64_t number)
{
    char text[UNITS_TEXT_MAX];
    (void)buf_puts(out, bytes_text(number, text));
}

static void put_bytes_known(struct buf *out, uint64_t number)
{
    if (number)
        put_bytes(out, number);
    else
        (void)buf_puts(out, "-");
}

static void put_share(struct buf *out, uint64_t number)
{
    char text[UNITS_TEXT_MAX];
    (void)buf_puts(out, share_text((uint32_t)number, text));
}

static void put_ms(struct buf *out, uint64_t number)
{
    char text[UNITS_TEXT_MAX];
    (void)buf_puts(out, duration_text(number, text));
}

static void put_ms_known(struct buf *out, uint64_t number)
{
    if (number)
        put_ms(out, number);
    else
        (void)buf_puts(out, "unknown");
}

static void put_ns(struct buf *out, uint64_t number)
{
    put_ms(out, number / NS_PER_MS);
}

static void put_cpus(struct buf *out, uint64_t number)
{
    (void)buf_printf(out, "%.3g", (double)number / 1000);
}

void view_value(struct buf *out, const json_t *value, enum view_kind kind)
{
    static void (*const numbers[])(struct buf * out, uint64_t number) = {
        [VIEW_COUNT] = put_count,
        [VIEW_BYTES] = put_bytes,
        [VIEW_SHARE] = put_share,
        [VIEW_MS] = put_ms,
        [VIEW_NS] = put_ns,
        [VIEW_CPUS] = put_cpus,
        [VIEW_MS_KNOWN] = put_ms_known,
        [VIEW_BYTES_KNOWN] = put_bytes_known,
        [VIEW_KIND_COUNT] = NULL,
    };
    if (!value || json_is_null(value)) {
        (void)buf_puts(out, "-");
        return;
    }
    if (kind == VIEW_AGO)
        put_ago(out, json_string_value(value));
    else if (kind == VIEW_WORDS && json_is_array(value))
        put_words(out, value);
    else if (kind == VIEW_REAL && json_is_number(value))
        (void)buf_printf(out, "%.3g", json_number_value(value));
    else if (numbers[kind] && json_is_integer(value))
        numbers[kind](out, json_integer_value(value) > 0 ? (uint64_t)json_integer_value(value) : 0);
    else
        put_text(out, value);
}

enum view_kind view_kind_of(const char *name)
{
    static const struct {
        const char *end;
        enum view_kind kind;
    } table[] = {
        {"_bytes", VIEW_BYTES}, {"_permille", VIEW_SHARE}, {"_ms", VIEW_MS},
        {"_ns", VIEW_NS},       {"_milli", VIEW_CPUS},
    };
    size_t length = strlen(name);
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        size_t end = strlen(table[i].end);
        if (length > end && strcmp(name + length - end, table[i].end) == 0)
            return table[i].kind;
    }
    return VIEW_WORDS; /* texts, numbers and lists of them */
}

/* Characters, not bytes: UTF-8 continuation bytes take no room. */
static size_t text_width(const char *text)
{
    size_t width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xC0) != 0x80;
    return width;
}

static bool terminal_has_colour(void)
{
    const char *unwanted = getenv("NO_COLOR");
    return isatty(STDOUT_FILENO) && !(unwanted && *unwanted);
}

static const char *state_colour(const char *state)
{
    static const struct {
        const char *state, *colour;
    } table[] = {
        {"running", "\033[32m"},  {"ready", "\033[32m"},    {"succeeded", "\033[32m"},
        {"failed", "\033[31m"},   {"idle", "\033[36m"},     {"queued", "\033[33m"},
        {"starting", "\033[33m"}, {"building", "\033[33m"}, {"stopping", "\033[33m"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        if (strcmp(table[i].state, state) == 0)
            return table[i].colour;
    }
    return NULL;
}

static void put_cell(struct buf *out, const char *text, enum view_kind kind)
{
    const char *colour = kind == VIEW_STATE && terminal_has_colour() ? state_colour(text) : NULL;
    (void)buf_printf(out, "%s%s%s", colour ? colour : "", text, colour ? "\033[0m" : "");
}

static char *cell_text(const json_t *row, const struct view_column *column)
{
    AUTO_BUF struct buf text = BUF_INIT;
    view_value(&text, view_member(row, column->path), column->kind);
    return buf_take(&text);
}

/* The columns are measured before anything is printed: values are made twice rather than kept. */
static size_t column_width(const json_t *rows, const struct view_column *column)
{
    size_t widest = text_width(column->title), i;
    json_t *row;
    json_array_foreach (rows, i, row) {
        AUTO_FREE char *text = cell_text(row, column);
        size_t width = text ? text_width(text) : 0;
        widest = width > widest ? width : widest;
    }
    return widest;
}

/* `row` NULL: the titles. The last column is not padded. */
static void put_row(struct buf *out, const json_t *row, const struct view_column *columns,
                    const size_t *widths)
{
    for (size_t c = 0; columns[c].title; c++) {
        AUTO_FREE char *text = row ? cell_text(row, &columns[c]) : strdup(columns[c].title);
        const char *cell = text ? text : "?";
        put_cell(out, cell, row ? columns[c].kind : VIEW_TEXT);
        if (columns[c + 1].title)
            (void)buf_printf(out, "%*s", (int)(widths[c] - text_width(cell) + COLUMN_GAP), "");
    }
    (void)buf_puts(out, "\n");
}

void view_list(struct buf *out, const json_t *rows, const struct view_column *columns)
{
    size_t count = 0, i;
    json_t *row;
    while (columns[count].title)
        count++;
    AUTO_FREE size_t *widths = calloc(count + 1, sizeof(*widths));
    if (!widths) {
        out->failed = -1;
        return;
    }
    for (size_t c = 0; c < count; c++)
        widths[c] = column_width(rows, &columns[c]);
    put_row(out, NULL, columns, widths);
    json_array_foreach (rows, i, row) {
        put_row(out, row, columns, widths);
    }
}

void view_record(struct buf *out, const json_t *object, const struct view_column *fields)
{
    size_t widest = 0;
    for (const struct view_column *field = fields; field->title; field++) {
        size_t width = text_width(field->title);
        if (view_member(object, field->path) && width > widest)
            widest = width;
    }
    for (const struct view_column *field = fields; field->title; field++) {
        if (!view_member(object, field->path))
            continue;
        AUTO_FREE char *text = cell_text(object, field);
        (void)buf_printf(out, "%s:%*s", field->title,
                         (int)(widest - text_width(field->title) + COLUMN_GAP), "");
        put_cell(out, text ? text : "?", field->kind);
        if (field->kind == VIEW_AGO)
            (void)buf_printf(out, " (%s)", view_text(object, field->path, ""));
        (void)buf_puts(out, "\n");
    }
}

void view_flush(struct buf *out)
{
    if (out->data)
        (void)fwrite(out->data, 1, out->length, stdout); /* main looks at the state of stdout */
    buf_finish(out);
}
