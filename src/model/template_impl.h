/* What template.c (look-up, fill), template_load.c (files) and template_check.c share. */
#ifndef LEAT_MODEL_TEMPLATE_IMPL_H
#define LEAT_MODEL_TEMPLATE_IMPL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/map.h"

struct error;
struct json_t;

struct template
{
    char *library;
    char *type;
    struct json_t *values; /* members of a description, with `env` and `command`, and `text` */
};

struct template_set {
    struct map *templates; /* by "library/type", owned */
    struct json_t *images; /* {"library" or "library/type": image} */
    char *image_fallback;  /* NULL: host */
};

void template_destroy(struct template *template);

#define TEMPLATE_NAME_MAX 64
#define TEMPLATE_KEY_MAX (2 * TEMPLATE_NAME_MAX + 2)

/* "library/type" into `ret_key`. False when one of them is no name a template can have: lower-case
 * letters, digits, '-' and '.', not more than TEMPLATE_NAME_MAX. */
bool template_key(const char *library, const char *type, char ret_key[TEMPLATE_KEY_MAX]);

enum placeholder {
    PLACEHOLDER_NONE, /* the text does not start with ${ */
    PLACEHOLDER_UNKNOWN,
    PLACEHOLDER_PROGRAM,
    PLACEHOLDER_ARGS,
    PLACEHOLDER_SRC,
    PLACEHOLDER_WORK
};

/* What `text` starts with, and how many bytes that is. */
enum placeholder placeholder_parse(const char *text, size_t *ret_length);

/* The members' types; unknown members are refused. Errors: unknown-field, bad-field. */
int template_check_request(const struct json_t *request, struct error *err);
int template_check_defaults(const struct json_t *values, struct error *err);
/* As template_check_defaults, and the template is complete and its placeholders are known. */
int template_check_values(const struct json_t *values, struct error *err);

/* Add one file's text under its name, as template_set_load does for each file of a folder. */
int template_set_add(struct template_set *set, const char *file_name, const char *text,
                     size_t length, struct error *err);

#endif
