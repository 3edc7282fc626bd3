/* JSON at the edges, on Jansson. json_t is the house's dynamic value: the one third-party type that
 * may cross a room's header (as `struct json_t`). Objects are decoded against a table of fields, so
 * that every wrong or unknown member gets the same clear refusal. */
#ifndef LEAT_BASE_JSON_H
#define LEAT_BASE_JSON_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct error;

/* Larger texts are refused unless a caller says otherwise. */
#define JSON_TEXT_LIMIT_BYTES (1u << 20)
#define JSON_DEPTH_MAX 64 /* deeper nesting is refused before it is parsed */

static inline void cleanup_json(json_t **slot)
{
    json_decref(*slot);
}
#define AUTO_JSON __attribute__((cleanup(cleanup_json)))

/* Parse one JSON value. Refuses more than `limit_bytes`, nesting beyond JSON_DEPTH_MAX, duplicate
 * keys and trailing text. Returns a new reference, or NULL with err set. */
json_t *json_parse(const char *text, size_t length, size_t limit_bytes, struct error *err);
/* Compact text, owned by the caller; NULL: out of memory. */
char *json_text(const json_t *value);

enum json_kind {
    JSON_KIND_INVALID,
    JSON_KIND_TEXT,     /* char *, owned copy */
    JSON_KIND_U64,      /* uint64_t, from a non-negative integer */
    JSON_KIND_U32,      /* uint32_t */
    JSON_KIND_BOOL,     /* bool */
    JSON_KIND_BYTES,    /* uint64_t, from an integer or "2GiB" */
    JSON_KIND_SHARE,    /* uint32_t thousandths, from "25%", a number 0..1, or "250m" */
    JSON_KIND_DURATION, /* uint64_t ms, from "10m" or an integer of milliseconds */
    JSON_KIND_TEXTS,    /* char **, NULL-ended, owned; from an array of strings */
    JSON_KIND_VALUE     /* json_t *, a new reference to whatever is there */
};

enum json_field_flags { JSON_OPTIONAL = 0, JSON_REQUIRED = 1 };

struct json_field {
    const char *name;
    enum json_kind kind;
    size_t offset; /* of the member in the struct being filled */
    enum json_field_flags flags;
};

/* Fill `record` from `object` by `fields` (ended by a NULL name). Absent optional members leave the
 * struct as it is. Refuses an unknown member, naming those that exist, a wrong type and a missing
 * required one. Owned members already set are freed first. On failure what was filled stays for the
 * record's own finish function. */
int json_decode(const json_t *object, const struct json_field *fields, void *record,
                struct error *err);

char **texts_copy(const char *const *texts); /* NULL-ended copy; NULL: out of memory */
void texts_free(char **texts);

#endif
