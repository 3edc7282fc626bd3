/* Entries of the knowledge base in the formats of others: model cards as on model hubs (YAML in
 * front of Markdown) and runs as MLflow's REST interface shows them (JSON). Pure; whatever is read
 * is hostile. Entries are bodies of POST /v1/knowledge. */
#ifndef LEAT_KNOWLEDGE_EXCHANGE_H
#define LEAT_KNOWLEDGE_EXCHANGE_H

#include <stddef.h>

struct error;
struct json_t;

#define EXCHANGE_LIMIT_BYTES (1u << 20) /* of a file */
#define EXCHANGE_ENTRIES_MAX 500        /* of one file */

/* What a reader made. Both are owned lists; what had no place in an entry is named. */
struct exchange {
    struct json_t *entries, *left_out;
};

int exchange_init(struct exchange *exchange); /* 0 or -ENOMEM */
void exchange_finish(struct exchange *exchange);

/* A model card becomes an entry of the model and one for every metric of its "model-index".
 * `name` (may be NULL) goes before the name in the card; one of them must be there. */
int card_read(const char *text, size_t length, const char *name, struct exchange *exchange,
              struct error *err);
/* The card of the first model among `entries`, with the metrics among them; owned by the caller. */
char *card_write(const struct json_t *entries, struct error *err);

/* A run becomes an entry of its metrics and one of its hyper-parameters, both of the run's name. */
int mlflow_read(const char *text, size_t length, const char *name, struct exchange *exchange,
                struct error *err);
/* The run of the first metric or hyper-parameter entry among `entries`. */
char *mlflow_write(const struct json_t *entries, struct error *err);

#endif
