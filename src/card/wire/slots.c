/* A stack of free numbers: see slots.h. */
#include "card/wire/slots.h"

#include "card/wire/lock.h"

#define ROOM_FIRST 64
#define SWEEP_COUNT 256 /* so many on their way out are worth a look at which have ended */

void slots_init(struct slots *slots, uint32_t limit, int (*ended)(uint32_t slot, uint64_t posted))
{
    *slots = (struct slots){.next = 1, .limit = limit, .ended = ended};
}

void slots_finish(struct slots *slots)
{
    free(slots->free);
    free(slots->leaving);
    *slots = (struct slots){0};
}

/* Room for one more item; the array as it is when there is no memory. */
static void *grow(void *items, uint32_t count, uint32_t *room, size_t item_bytes)
{
    if (count < *room)
        return items;
    uint32_t larger = *room ? *room * 2 : ROOM_FIRST;
    void *moved = realloc(items, larger * item_bytes);
    if (!moved)
        return items;
    *room = larger;
    return moved;
}

/* Without memory the number is lost, and no more than that. */
static void put_free(struct slots *slots, uint32_t slot)
{
    slots->free = grow(slots->free, slots->free_count, &slots->free_room, sizeof(*slots->free));
    if (slots->free_count < slots->free_room)
        slots->free[slots->free_count++] = slot;
}

static void sweep(struct slots *slots)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < slots->leaving_count; i++) {
        struct slot_leaving item = slots->leaving[i];
        if (slots->ended(item.slot, item.posted))
            put_free(slots, item.slot);
        else
            slots->leaving[kept++] = item;
    }
    slots->leaving_count = kept;
}

uint32_t slots_take(struct slots *slots)
{
    uint32_t slot = 0;
    lock_take(&slots->lock);
    if (slots->free_count == 0 && slots->leaving_count > 0 &&
        (slots->leaving_count >= SWEEP_COUNT || slots->next == slots->limit))
        sweep(slots);
    if (slots->free_count > 0)
        slot = slots->free[--slots->free_count];
    else if (slots->next < slots->limit)
        slot = slots->next++;
    lock_give(&slots->lock);
    return slot;
}

void slots_give(struct slots *slots, uint32_t slot, uint64_t posted)
{
    lock_take(&slots->lock);
    if (!slots->ended || slots->ended(slot, posted)) {
        put_free(slots, slot);
    } else {
        slots->leaving = grow(slots->leaving, slots->leaving_count, &slots->leaving_room,
                              sizeof(*slots->leaving));
        if (slots->leaving_count < slots->leaving_room)
            slots->leaving[slots->leaving_count++] = (struct slot_leaving){slot, posted};
    }
    lock_give(&slots->lock);
}

size_t slots_leaving(struct slots *slots, struct slot_leaving *ret_leaving, size_t most)
{
    size_t count = 0;
    lock_take(&slots->lock);
    for (uint32_t i = 0; i < slots->leaving_count; i++) {
        struct slot_leaving item = slots->leaving[i];
        if (slots->ended(item.slot, item.posted))
            continue;
        if (count < most)
            ret_leaving[count] = item;
        count++;
    }
    lock_give(&slots->lock);
    return count;
}
