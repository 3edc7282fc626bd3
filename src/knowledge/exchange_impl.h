/* What the readers and writers of foreign formats share. */
#ifndef LEAT_KNOWLEDGE_EXCHANGE_IMPL_H
#define LEAT_KNOWLEDGE_EXCHANGE_IMPL_H

#include <stdbool.h>

#include "base/json.h"
#include "knowledge/exchange.h"

/* Adds an entry and returns its attributes (borrowed), or NULL: out of memory or too many. `task`,
 * `model` and `text` may be NULL or empty: not given. */
struct exchange_entry {
    const char *kind, *name, *task, *model, *text, *source;
};
json_t *exchange_add(struct exchange *exchange, const struct exchange_entry *entry);
/* Put a value under a name of a-z 0-9 _ . -; one that no attribute can hold is named as left out.
 * false: out of memory. */
bool exchange_put(struct exchange *exchange, json_t *attributes, const char *name,
                  const json_t *value);
/* A text member that is not empty, or NULL. Borrowed. */
const char *exchange_text(const json_t *object, const char *name);
/* The first entry of the kind; NULL: none. */
const json_t *exchange_find(const json_t *entries, const char *kind);
int exchange_no_memory(struct error *err);

#endif
