/* What runs teach the knowledge base. Pure. */
#ifndef LEAT_KNOWLEDGE_LEARN_H
#define LEAT_KNOWLEDGE_LEARN_H

#include <stddef.h>

struct json_t;
struct knowledge;

/* A program tells what it measured in a line of its output that begins so and goes on with a JSON
 * object; the last such line counts. */
#define LEARN_LINE "LEAT_METRICS "
#define LEARN_LINE_MAX_BYTES (16u << 10)

/* The object of the last line of metrics in `text`; a new reference, or NULL: there is none. */
struct json_t *learn_metrics(const char *text, size_t length);
/* Add facts (an object of attributes) to an entry with its attributes. New facts replace older
 * ones; the peak of memory, with its batch and sequence, only grows while runs are of one kind;
 * "runs" are added up; what no attribute can hold is left out. 0 or -ENOMEM. */
int learn_facts(struct knowledge *entry, const struct json_t *facts);

#endif
