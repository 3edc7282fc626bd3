/* Text to pointer: open addressing with linear probing and backward-shift removal. */
#include "base/map.h"

#include <errno.h>
#include <stdint.h>

struct map_slot {
    char *key; /* NULL: free */
    void *value;
};

struct map {
    struct map_slot *slots;
    size_t room; /* a power of two */
    size_t count;
};

static size_t map_hash(const char *key)
{
    uint64_t h = 1469598103934665603ull; /* FNV-1a, 64 bit */
    for (; *key; key++)
        h = (h ^ (unsigned char)*key) * 1099511628211ull;
    return (size_t)(h ^ (h >> 32));
}

struct map *map_create(void)
{
    struct map *map = calloc(1, sizeof(*map));
    if (!map)
        return NULL;
    map->room = 16;
    map->slots = calloc(map->room, sizeof(*map->slots));
    if (!map->slots) {
        free(map);
        return NULL;
    }
    return map;
}

void map_destroy(struct map *map)
{
    if (!map)
        return;
    for (size_t i = 0; i < map->room; i++)
        free(map->slots[i].key);
    free(map->slots);
    free(map);
}

static size_t map_find(const struct map *map, const char *key)
{
    size_t i = map_hash(key) & (map->room - 1);
    while (map->slots[i].key && strcmp(map->slots[i].key, key) != 0)
        i = (i + 1) & (map->room - 1);
    return i;
}

void *map_get(const struct map *map, const char *key)
{
    return map->slots[map_find(map, key)].value;
}

static int map_grow(struct map *map)
{
    struct map bigger = {.room = map->room * 2};
    bigger.slots = calloc(bigger.room, sizeof(*bigger.slots));
    if (!bigger.slots)
        return -ENOMEM;
    for (size_t i = 0; i < map->room; i++) {
        if (map->slots[i].key)
            bigger.slots[map_find(&bigger, map->slots[i].key)] = map->slots[i];
    }
    free(map->slots);
    map->slots = bigger.slots;
    map->room = bigger.room;
    return 0;
}

int map_put(struct map *map, const char *key, void *value, void **ret_old)
{
    if (map->count * 4 >= map->room * 3) {
        int r = map_grow(map);
        if (r < 0)
            return r;
    }
    struct map_slot *slot = &map->slots[map_find(map, key)];
    void *old = slot->value;
    if (!slot->key) {
        slot->key = strdup(key);
        if (!slot->key)
            return -ENOMEM;
        map->count++;
        old = NULL;
    }
    slot->value = value;
    if (ret_old)
        *ret_old = old;
    return 0;
}

void *map_remove(struct map *map, const char *key)
{
    size_t i = map_find(map, key);
    if (!map->slots[i].key)
        return NULL;
    void *value = map->slots[i].value;
    free(map->slots[i].key);
    map->count--;
    size_t hole = i;
    for (;;) {
        i = (i + 1) & (map->room - 1);
        if (!map->slots[i].key)
            break;
        size_t home = map_hash(map->slots[i].key) & (map->room - 1);
        if (((i - home) & (map->room - 1)) >= ((i - hole) & (map->room - 1))) {
            map->slots[hole] = map->slots[i];
            hole = i;
        }
    }
    map->slots[hole] = (struct map_slot){0};
    return value;
}

size_t map_count(const struct map *map)
{
    return map->count;
}

void *map_next(const struct map *map, size_t *cursor, const char **ret_key)
{
    while (*cursor < map->room) {
        const struct map_slot *slot = &map->slots[(*cursor)++];
        if (slot->key) {
            if (ret_key)
                *ret_key = slot->key;
            return slot->value;
        }
    }
    return NULL;
}
