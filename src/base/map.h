/* A hash map from text to a pointer it does not own. */
#ifndef LEAT_BASE_MAP_H
#define LEAT_BASE_MAP_H

#include <stddef.h>

struct map;

struct map *map_create(void); /* NULL: out of memory */
void map_destroy(struct map *map);
void *map_get(const struct map *map, const char *key); /* NULL when absent */
/* The key is copied. Replaces; `ret_old` (may be NULL) gets what was there or NULL. */
int map_put(struct map *map, const char *key, void *value, void **ret_old);
void *map_remove(struct map *map, const char *key); /* what was there, or NULL */
size_t map_count(const struct map *map);
/* Walk in no order: start with *cursor = 0; NULL ends it. Do not change the map in between. */
void *map_next(const struct map *map, size_t *cursor, const char **ret_key);

#endif
