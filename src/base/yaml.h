/* YAML at the edge: a document becomes the same dynamic value as JSON. Anchors and tags are refused
 * (a template needs neither and both are ways to attack a parser). */
#ifndef LEAT_BASE_YAML_H
#define LEAT_BASE_YAML_H

#include <stddef.h>

struct error;
struct json_t;

/* One document. Plain scalars become null, true/false, integers, reals or texts by the YAML 1.2
 * core schema; quoted ones are texts. Refuses more than `limit_bytes`, deep nesting, duplicate
 * keys. Returns a new reference, or NULL with err set (with line and column). */
struct json_t *yaml_parse(const char *text, size_t length, size_t limit_bytes, struct error *err);
/* Block-style YAML of a JSON value, owned by the caller; NULL: out of memory. */
char *yaml_text(const struct json_t *value);

#endif
