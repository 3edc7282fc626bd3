/* Scores kept until a node changes: see choose.h. */
#include "sched/choose.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOG_SCALE 2 /* the journal of changes holds this many entries a node */

/* What is known of one shape: a score and the devices per node. */
struct memo {
    struct fleet_shape shape;
    uint64_t seen;     /* changes of the fleet that the scores know of */
    uint64_t met;      /* decision at which it was last asked for */
    uint8_t *scores;   /* per node: its score plus one; 0: it cannot take the shape */
    uint16_t *devices; /* per node */
};

struct chooser {
    const struct choose_rule *rule;
    const struct fragment_usual *usual;
    struct fleet_node *nodes;
    struct fragment *fragments; /* per node, as it is */
    size_t count;
    uint64_t seed, decisions;
    struct memo *memos;
    size_t memo_count, memo_room;
    uint32_t *changed; /* ring: the node of change number i is at i % changed_room */
    size_t changed_room;
    uint64_t changes; /* ever */
};

_Static_assert(FLEET_NODE_DEVICES_MAX <= 16, "device bits are kept in 16 bits");

struct chooser *chooser_create(const struct choose_rule *rule, struct fleet_node *nodes,
                               size_t count, const struct fragment_usual *usual, uint64_t seed)
{
    struct chooser *chooser = calloc(1, sizeof(*chooser));
    if (!chooser)
        return NULL;
    chooser->rule = rule;
    chooser->usual = usual;
    chooser->nodes = nodes;
    chooser->count = count;
    chooser->seed = seed;
    chooser->changed_room = LOG_SCALE * (count + 1);
    chooser->fragments = calloc(count + 1, sizeof(*chooser->fragments));
    chooser->changed = calloc(chooser->changed_room, sizeof(*chooser->changed));
    if (!chooser->fragments || !chooser->changed) {
        chooser_destroy(chooser);
        return NULL;
    }
    for (size_t i = 0; i < count; i++)
        chooser->fragments[i] = fragment_measure(usual, &nodes[i]);
    return chooser;
}

void chooser_destroy(struct chooser *chooser)
{
    if (!chooser)
        return;
    for (size_t i = 0; i < chooser->memo_count; i++) {
        free(chooser->memos[i].scores);
        free(chooser->memos[i].devices);
    }
    free(chooser->memos);
    free(chooser->fragments);
    free(chooser->changed);
    free(chooser);
}

/* A well mixed number for a node, a shape's memo and a decision (splitmix64's finaliser). */
static uint64_t mix(uint64_t value)
{
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ull;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebull;
    return value ^ (value >> 31);
}

int chooser_score(const struct chooser *chooser, const struct fleet_shape *shape, uint32_t node,
                  uint32_t *ret_devices)
{
    const struct fleet_node *at = &chooser->nodes[node];
    *ret_devices = 0;
    if (!fleet_node_fits(at, shape))
        return -ENOSPC;
    struct choose_case c = {
        .node = at,
        .shape = shape,
        .usual = chooser->usual,
        .before = chooser->fragments[node],
        .mix = chooser->rule->mix,
        .random = mix(chooser->seed ^ ((uint64_t)node << 32) ^ chooser->changes),
    };
    return chooser->rule->score(&c, ret_devices);
}

static void memo_score(struct chooser *chooser, struct memo *memo, size_t node)
{
    uint32_t devices;
    int score = chooser_score(chooser, &memo->shape, (uint32_t)node, &devices);
    memo->scores[node] = score < 0 ? 0 : (uint8_t)(score + 1);
    memo->devices[node] = (uint16_t)devices;
}

/* Bring the scores up to date with what changed since they were last looked at. */
static void memo_refresh(struct chooser *chooser, struct memo *memo)
{
    uint64_t behind = chooser->changes - memo->seen;
    if (behind > chooser->count) {
        for (size_t i = 0; i < chooser->count; i++)
            memo_score(chooser, memo, i);
    } else {
        for (uint64_t i = memo->seen; i < chooser->changes; i++)
            memo_score(chooser, memo, chooser->changed[i % chooser->changed_room]);
    }
    memo->seen = chooser->changes;
}

static int memo_allocate(struct chooser *chooser, struct memo *memo)
{
    memo->scores = calloc(chooser->count + 1, sizeof(*memo->scores));
    memo->devices = calloc(chooser->count + 1, sizeof(*memo->devices));
    if (memo->scores && memo->devices)
        return 0;
    free(memo->scores);
    free(memo->devices);
    return -ENOMEM;
}

/* A memo for a new shape: a fresh one, or that of the shape not asked for the longest time. */
static struct memo *memo_make(struct chooser *chooser)
{
    if (chooser->memo_count == CHOOSE_SHAPES_MAX) {
        struct memo *oldest = chooser->memos;
        for (size_t i = 1; i < chooser->memo_count; i++) {
            if (chooser->memos[i].met < oldest->met)
                oldest = &chooser->memos[i];
        }
        return oldest;
    }
    if (chooser->memo_count == chooser->memo_room) {
        size_t room = chooser->memo_room ? chooser->memo_room * 2 : 32;
        struct memo *memos = realloc(chooser->memos, room * sizeof(*memos));
        if (!memos)
            return NULL;
        chooser->memos = memos;
        chooser->memo_room = room;
    }
    struct memo *memo = &chooser->memos[chooser->memo_count];
    *memo = (struct memo){0};
    if (memo_allocate(chooser, memo) < 0)
        return NULL;
    chooser->memo_count++;
    return memo;
}

static struct memo *memo_of(struct chooser *chooser, const struct fleet_shape *shape)
{
    for (size_t i = 0; i < chooser->memo_count; i++) {
        if (fleet_shape_equal(&chooser->memos[i].shape, shape)) {
            memo_refresh(chooser, &chooser->memos[i]);
            return &chooser->memos[i];
        }
    }
    struct memo *memo = memo_make(chooser);
    if (!memo)
        return NULL;
    memo->shape = *shape;
    for (size_t i = 0; i < chooser->count; i++)
        memo_score(chooser, memo, i);
    memo->seen = chooser->changes;
    return memo;
}

int chooser_find(struct chooser *chooser, const struct fleet_shape *shape,
                 struct fleet_place *ret_place)
{
    struct memo *memo = memo_of(chooser, shape);
    if (!memo)
        return -ENOMEM;
    memo->met = ++chooser->decisions;
    uint8_t best = 0;
    for (size_t i = 0; i < chooser->count; i++)
        best = memo->scores[i] > best ? memo->scores[i] : best;
    if (best == 0)
        return -ENOSPC;
    const uint8_t *first = memchr(memo->scores, best, chooser->count);
    size_t node = (size_t)(first - memo->scores);
    *ret_place = (struct fleet_place){(uint32_t)node, memo->devices[node]};
    return 0;
}

int chooser_find_if(struct chooser *chooser, const struct fleet_shape *shape,
                    chooser_accept_fn *accept, void *arg, struct fleet_place *ret_place)
{
    struct memo *memo = memo_of(chooser, shape);
    if (!memo)
        return -ENOMEM;
    memo->met = ++chooser->decisions;
    uint8_t best = 0;
    for (size_t i = 0; i < chooser->count; i++) {
        uint32_t devices = memo->devices[i];
        if (memo->scores[i] > best && accept(arg, (uint32_t)i, &devices)) {
            best = memo->scores[i];
            *ret_place = (struct fleet_place){(uint32_t)i, devices};
        }
    }
    return best ? 0 : -ENOSPC;
}

static void note_change(struct chooser *chooser, uint32_t node)
{
    chooser->fragments[node] = fragment_measure(chooser->usual, &chooser->nodes[node]);
    chooser->changed[chooser->changes % chooser->changed_room] = node;
    chooser->changes++;
}

void chooser_take(struct chooser *chooser, const struct fleet_shape *shape,
                  struct fleet_place place)
{
    fleet_node_take(&chooser->nodes[place.node], shape, place.devices);
    note_change(chooser, place.node);
}

void chooser_give(struct chooser *chooser, const struct fleet_shape *shape,
                  struct fleet_place place)
{
    fleet_node_give(&chooser->nodes[place.node], shape, place.devices);
    note_change(chooser, place.node);
}
