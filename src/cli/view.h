/* JSON answers as people read them: a table of columns says which members are shown, under which
 * title and in which unit; one printer makes lists and records of it. */
#ifndef LEAT_CLI_VIEW_H
#define LEAT_CLI_VIEW_H

#include "base/buf.h"
#include "base/json.h"

enum view_kind {
    VIEW_INVALID,
    VIEW_TEXT,
    VIEW_STATE, /* a job's or image's state, coloured on a terminal */
    VIEW_COUNT, /* 1,234,567 */
    VIEW_REAL,  /* 0.98 */
    VIEW_BYTES,
    VIEW_BYTES_KNOWN, /* 0 is "-" */
    VIEW_SHARE,       /* thousandths */
    VIEW_MS,
    VIEW_MS_KNOWN, /* 0 is "unknown" */
    VIEW_NS,
    VIEW_CPUS,  /* thousandths of a CPU */
    VIEW_AGO,   /* RFC 3339, as "3m ago" in lists, with the time itself in records */
    VIEW_WORDS, /* a list of texts */
    VIEW_KIND_COUNT,
};

struct view_column {
    const char *title; /* NULL ends a table */
    const char *path;  /* of the member: "usage.memory_peak_bytes" */
    enum view_kind kind;
};

/* The member at a dotted path; NULL when absent or null. Borrowed. */
const json_t *view_member(const json_t *object, const char *path);
/* A text member, or `otherwise`. Borrowed. */
const char *view_text(const json_t *object, const char *path, const char *otherwise);
/* An identifier, which may be a text or a number, as text into `ret_text`; "" when absent. */
void view_id(const json_t *object, const char *path, char *ret_text, size_t room);
/* A whole number, or 0. */
uint64_t view_number(const json_t *object, const char *path);

/* Appends a value; "-" when it is NULL. */
void view_value(struct buf *out, const json_t *value, enum view_kind kind);
/* Which kind a member is by the unit at the end of its name: "memory_bytes" is VIEW_BYTES. */
enum view_kind view_kind_of(const char *name);

/* `rows` is an array of objects; aligned columns under a line of titles. */
void view_list(struct buf *out, const json_t *rows, const struct view_column *columns);
/* One line a member that is there: "Title:  value". */
void view_record(struct buf *out, const json_t *object, const struct view_column *fields);
/* Print and empty `out`. */
void view_flush(struct buf *out);

#endif
