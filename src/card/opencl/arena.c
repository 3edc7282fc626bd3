/* Placing buffers in the arena, first fit: see arena.h. */
#include "card/opencl/arena.h"

#include <stdlib.h>

#include "card/opencl/process.h"

#define PAGE_BYTES 4096u
/* From here on a buffer starts on a page: all of them can go at its end. */
#define PAGED_BYTES 65536u

static uint32_t *word_of(const struct arena_range *range)
{
    return (uint32_t *)wire_at(&process.client, process.client.session->ranges_offset) +
           range->number;
}

char *arena_at(const struct arena_range *range)
{
    return (char *)wire_at(&process.client, process.client.session->arena_offset) + range->offset;
}

int arena_enter(void)
{
    struct wire_session *session = process.client.session;
    (void)__atomic_add_fetch(&session->arena_users, 1, __ATOMIC_SEQ_CST);
    if (!__atomic_load_n(&session->arena_left, __ATOMIC_SEQ_CST))
        return 1;
    arena_leave();
    return 0;
}

void arena_leave(void)
{
    (void)__atomic_sub_fetch(&process.client.session->arena_users, 1, __ATOMIC_SEQ_CST);
}

void arena_count_map(int change)
{
    (void)__atomic_add_fetch(&process.client.session->arena_maps, (uint32_t)change,
                             __ATOMIC_SEQ_CST);
}

/* With the lock: drop what both sides have let go of. */
static void sweep(struct arena *arena)
{
    struct arena_range **link = &arena->ranges;
    while (*link) {
        struct arena_range *range = *link;
        if (!range->left || __atomic_load_n(word_of(range), __ATOMIC_ACQUIRE) != 0) {
            link = &range->next;
            continue;
        }
        *link = range->next;
        arena->left_count--;
        slots_give(&process.range_numbers, range->number, 0);
        free(range);
    }
}

/* First fit, with the lock. 1 when there is room. */
static int place(struct arena *arena, struct arena_range *range)
{
    const uint64_t align = range->bytes < PAGED_BYTES ? WIRE_RANGE_ALIGN : PAGE_BYTES;
    struct arena_range **link = &arena->ranges;
    uint64_t start = 0;
    for (; *link; link = &(*link)->next) {
        if (start <= (*link)->offset && range->bytes <= (*link)->offset - start)
            break;
        start = ((*link)->offset + (*link)->bytes + align - 1) & ~(align - 1);
    }
    uint64_t most = process.client.session->arena_bytes;
    if (start > most || range->bytes > most - start)
        return 0;
    range->offset = start;
    range->next = *link;
    *link = range;
    return 1;
}

struct arena_range *arena_take(uint64_t bytes)
{
    struct arena *arena = &process.arena;
    if (process.client.session->arena_bytes == 0)
        return NULL;
    struct arena_range *range = calloc(1, sizeof(*range));
    if (!range)
        return NULL;
    range->bytes = bytes;
    lock_take(&arena->lock);
    if (arena->left_count > 0)
        sweep(arena);
    range->number = slots_take(&process.range_numbers);
    int placed = range->number && place(arena, range);
    if (placed)
        __atomic_store_n(word_of(range), 1, __ATOMIC_RELAXED);
    else if (range->number)
        slots_give(&process.range_numbers, range->number, 0);
    lock_give(&arena->lock);
    if (placed)
        return range;
    free(range);
    return NULL;
}

void arena_give(struct arena_range *range)
{
    if (!range)
        return;
    lock_take(&process.arena.lock);
    range->left = 1;
    process.arena.left_count++;
    lock_give(&process.arena.lock);
}
