/* A hash table of keys that point to counted blocks: see blocks.h. */
#include "card/cuda/blocks.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#define BUCKETS 16384u

struct block {
    struct charge charge;
    uint64_t references;
};

struct entry {
    struct entry *next;
    enum block_kind kind;
    uint64_t key, length; /* length: of a mapping */
    struct block *block;
    struct block own; /* of a key that shares its block with no other */
};

static struct {
    pthread_mutex_t lock;
    struct entry *buckets[BUCKETS];
    struct entry *spare; /* as many as there ever were at once */
} blocks = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct entry **bucket_of(enum block_kind kind, uint64_t key)
{
    uint64_t mixed = (key + (uint64_t)kind) * 0x9e3779b97f4a7c15u;
    return &blocks.buckets[mixed >> 50];
}

static struct entry **find(enum block_kind kind, uint64_t key)
{
    struct entry **at = bucket_of(kind, key);
    while (*at && ((*at)->key != key || (*at)->kind != kind))
        at = &(*at)->next;
    return at;
}

/* Put a key that refers to `block`, or to a new one with the charge. */
static int put(enum block_kind kind, uint64_t key, uint64_t length, struct block *block,
               struct charge charge)
{
    struct entry *entry = blocks.spare;
    if (entry)
        blocks.spare = entry->next;
    else
        entry = malloc(sizeof(*entry));
    if (!entry)
        return -ENOMEM;
    struct entry **head = bucket_of(kind, key);
    *entry = (struct entry){.next = *head, .kind = kind, .key = key, .length = length};
    int is_new = !block;
    if (is_new)
        block = kind == BLOCK_HANDLE ? calloc(1, sizeof(*block)) : &entry->own;
    if (!block) {
        free(entry);
        return -ENOMEM;
    }
    if (is_new)
        block->charge = charge;
    block->references++;
    entry->block = block;
    *head = entry;
    return 0;
}

static const struct charge nothing = {.device = -1};

/* Drop the entry; the charge of a block that nothing refers to any more. */
static struct charge drop(struct entry **at)
{
    struct entry *entry = *at;
    struct block *block = entry->block;
    struct charge charge = nothing;
    *at = entry->next;
    if (--block->references == 0) {
        charge = block->charge;
        if (block != &entry->own)
            free(block);
    }
    entry->next = blocks.spare;
    blocks.spare = entry;
    return charge;
}

int blocks_add(enum block_kind kind, uint64_t key, struct charge charge)
{
    (void)pthread_mutex_lock(&blocks.lock);
    int r = put(kind, key, 0, NULL, charge);
    (void)pthread_mutex_unlock(&blocks.lock);
    return r;
}

struct charge blocks_take(enum block_kind kind, uint64_t key)
{
    (void)pthread_mutex_lock(&blocks.lock);
    struct entry **at = find(kind, key);
    struct charge charge = *at ? drop(at) : nothing;
    (void)pthread_mutex_unlock(&blocks.lock);
    return charge;
}

void blocks_visit(enum block_kind kind, uint64_t key,
                  void (*visit)(const struct charge *charge, void *arg), void *arg)
{
    (void)pthread_mutex_lock(&blocks.lock);
    for (const struct entry *entry = *find(kind, key); entry; entry = entry->next)
        if (entry->kind == kind && entry->key == key)
            visit(&entry->block->charge, arg);
    (void)pthread_mutex_unlock(&blocks.lock);
}

int blocks_map(uint64_t handle, uint64_t address, uint64_t bytes)
{
    (void)pthread_mutex_lock(&blocks.lock);
    struct entry *known = *find(BLOCK_HANDLE, handle);
    int r = known ? put(BLOCK_MAPPING, address, bytes, known->block, nothing) : 0;
    (void)pthread_mutex_unlock(&blocks.lock);
    return r;
}

void blocks_unmap(uint64_t address, uint64_t bytes, void (*freed)(struct charge charge))
{
    (void)pthread_mutex_lock(&blocks.lock);
    struct entry **one = find(BLOCK_MAPPING, address);
    int whole = *one && (*one)->length == bytes; /* the usual case; else several go at once */
    if (whole)
        freed(drop(one));
    for (unsigned i = 0; i < BUCKETS && !whole; i++) {
        struct entry **at = &blocks.buckets[i];
        while (*at) {
            if ((*at)->kind == BLOCK_MAPPING && (*at)->key - address < bytes)
                freed(drop(at));
            else
                at = &(*at)->next;
        }
    }
    (void)pthread_mutex_unlock(&blocks.lock);
}

int blocks_retain(uint64_t handle, uint64_t address)
{
    int r = 0;
    (void)pthread_mutex_lock(&blocks.lock);
    struct block *block = NULL;
    for (unsigned i = 0; i < BUCKETS && !block; i++) {
        for (const struct entry *e = blocks.buckets[i]; e && !block; e = e->next)
            if (e->kind == BLOCK_MAPPING && address - e->key < e->length)
                block = e->block;
    }
    if (block)
        r = put(BLOCK_HANDLE, handle, 0, block, nothing);
    (void)pthread_mutex_unlock(&blocks.lock);
    return r;
}

void blocks_clear(void)
{
    (void)pthread_mutex_init(&blocks.lock, NULL);
    for (unsigned i = 0; i < BUCKETS; i++) {
        while (blocks.buckets[i])
            (void)drop(&blocks.buckets[i]);
    }
}
