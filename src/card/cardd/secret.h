/* Memory that may hold a card's token. Executors are forked with a copy of this process's memory,
 * so what was freed must not be readable there. */
#ifndef LEAT_CARDD_SECRET_H
#define LEAT_CARDD_SECRET_H

/* Overwrite all of a block of malloc, and the same before it is freed. NULL is fine. */
void secret_wipe(void *block);
void secret_free(void *block);
/* Let the JSON library free its memory so. Before its first use. */
void secret_json(void);

#endif
