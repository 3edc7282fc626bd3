/* What is known of tasks and models: an entry of the knowledge base. A task, a model, or a piece of
 * knowledge about them: data, a metric, hyper-parameters, a relation between two tasks. Entries are
 * told apart by kind and name. No I/O. */
#ifndef LEAT_MODEL_KNOWLEDGE_H
#define LEAT_MODEL_KNOWLEDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct json_t;

enum knowledge_kind {
    KNOWLEDGE_INVALID,
    KNOWLEDGE_TASK,
    KNOWLEDGE_MODEL,
    KNOWLEDGE_DATA,
    KNOWLEDGE_METRIC,
    KNOWLEDGE_HYPERPARAMETER,
    KNOWLEDGE_RELATION, /* of `task` to the task that its attribute "to" names */
    KNOWLEDGE_KIND_COUNT
};

#define KNOWLEDGE_NAME_MAX 255         /* bytes; of names of entries, tasks and models */
#define KNOWLEDGE_TEXT_MAX (16u << 10) /* bytes of a description */
#define KNOWLEDGE_ATTRIBUTES_MAX 64
#define KNOWLEDGE_ATTRIBUTE_MAX 64 /* bytes of an attribute's name */
#define KNOWLEDGE_VALUE_MAX 1000   /* bytes of a text value */
#define KNOWLEDGE_LIST_MAX 64      /* values of one attribute */

struct knowledge {
    uint64_t id; /* 0: not stored yet */
    enum knowledge_kind kind;
    char *name;                /* owned, as all texts here */
    char *task, *model;        /* what it is about; NULL: nothing */
    char *text;                /* for people and for the search; NULL: none */
    char *source;              /* "user", "card", "mlflow", "job" or "registration" */
    struct json_t *attributes; /* a flat object of numbers, texts, booleans and lists of texts */
    uint64_t updated_us;
};

void knowledge_init(struct knowledge *entry);
void knowledge_finish(struct knowledge *entry);
/* A REST body into an initialised entry; without a source it is "user". Refuses what exceeds the
 * limits above. */
int knowledge_decode(const struct json_t *body, struct knowledge *entry, struct error *err);
/* New reference; NULL: out of memory. */
struct json_t *knowledge_encode(const struct knowledge *entry);
const char *knowledge_kind_name(enum knowledge_kind kind);
enum knowledge_kind knowledge_kind_parse(const char *name); /* KNOWLEDGE_INVALID: none */
/* The number of an attribute; false: it has none of that name. */
bool knowledge_number(const struct knowledge *entry, const char *name, double *ret_value);

#endif
