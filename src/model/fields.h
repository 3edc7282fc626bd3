/* The other direction of json_decode: an object from a struct, by the same table of fields. */
#ifndef LEAT_MODEL_FIELDS_H
#define LEAT_MODEL_FIELDS_H

struct json_field;
struct json_t;

/* Amounts become integers in their unit (a share, thousandths), absent texts, lists and values
 * null. New reference, NULL: out of memory. */
struct json_t *fields_encode(const struct json_field *fields, const void *record);
/* Take members that are null out of `object`, which is handed through; NULL stays NULL. */
struct json_t *fields_without_null(struct json_t *object);
/* Put `value` (its reference is taken, also on failure) into `object`; NULL value: 0 or -ENOMEM. */
int fields_put(struct json_t *object, const char *name, struct json_t *value);

#endif
