/* Writing what was learnt into the knowledge base, once, and not less when leatd is killed: a
 * lesson is stored with what it came from, and taken out with the entries that it changed. Loop
 * thread only. */
#ifndef LEAT_CORE_TEACH_H
#define LEAT_CORE_TEACH_H

#include <stdbool.h>

struct core;
struct error;
struct json_t;

/* Add `facts` (an object of attributes) to entries. `about` is an array of objects with "kind",
 * "name" and, where there are, "task" and "model"; `known_only`: make none. The lesson is of the
 * batch that is being collected. Values are borrowed; NULL, for lack of memory, teaches nothing. */
void teach(struct core *core, const char *source, bool known_only, const struct json_t *about,
           const struct json_t *facts);
/* What an earlier leatd did not come to. */
int teach_load(struct core *core, struct error *err);
void teach_finish(struct core *core);

#endif
