/* A question to the knowledge base: words, conditions on attributes, an order. No I/O. */
#ifndef LEAT_MODEL_KNOWLEDGE_QUERY_H
#define LEAT_MODEL_KNOWLEDGE_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/knowledge.h"

#define KNOWLEDGE_FILTERS_MAX 16
#define KNOWLEDGE_WORDS_MAX 16   /* further words of a text are not looked at */
#define KNOWLEDGE_WORD_MAX 64    /* bytes */
#define KNOWLEDGE_ANSWER_MAX 100 /* entries in one answer */

/* An attribute that is a number from `low` to `high`, or a text. */
struct knowledge_filter {
    char name[KNOWLEDGE_ATTRIBUTE_MAX + 1];
    bool is_text;
    double low, high;                   /* both included; may be infinite */
    char text[KNOWLEDGE_VALUE_MAX + 1]; /* in lower case */
};

struct knowledge_query {
    uint32_t kinds;            /* bit per enum knowledge_kind; 0: all */
    char *name, *task, *model; /* exactly; NULL: any; owned */
    size_t word_count;
    char words[KNOWLEDGE_WORDS_MAX][KNOWLEDGE_WORD_MAX + 1]; /* letters and digits only */
    size_t filter_count;
    struct knowledge_filter *filters;       /* owned */
    char sort[KNOWLEDGE_ATTRIBUTE_MAX + 1]; /* an attribute; "": by how well the words are met */
    bool descending;
    uint32_t limit;
    uint64_t fits_bytes;     /* models that need no more; 0: any */
    struct json_t *settings; /* of the run that has to fit, as an estimate's request; may be NULL */
};

void knowledge_query_init(struct knowledge_query *query);
void knowledge_query_finish(struct knowledge_query *query);
/* A REST body: {"text","kinds","name","task","model","where":[...],"fits":{"memory",...},"sort",
 * "limit"}. A sort with "-" in front is descending. */
int knowledge_query_decode(const struct json_t *body, struct knowledge_query *query,
                           struct error *err);
/* "params<=7e9", "license=mit", "accuracy>0.9", "year=2020..2023", "memory_bytes<8GiB". */
int knowledge_filter_parse(const char *text, struct knowledge_filter *ret_filter,
                           struct error *err);
/* Words and conditions as people type them: "image classification license=mit < 8 GiB". A condition
 * is written without spaces; one without a name is the memory that has to do. */
int knowledge_query_text(struct knowledge_query *query, const char *text, struct error *err);
/* How well an entry meets the words: a word in the name counts three times one in its task, its
 * model, its attributes or its text; what was measured here counts half a word more. */
double knowledge_query_score(const struct knowledge_query *query, const struct knowledge *entry);

#endif
