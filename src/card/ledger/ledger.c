/* The executor's half of the ledger: announce in the own slot, sum all slots, decide.
 *
 * Why no total can pass the quota: a reservation stores its announcement before it reads the other
 * slots, all of it sequentially consistent, so of two reservations at once at least one sees the
 * other. Bytes on their way within a slot are counted once or twice but never missed (held.h). */
#include "card/ledger/ledger.h"

#include <errno.h>
#include <sched.h>
#include <time.h>

#include "card/ledger/held.h"

#define RESERVE_TRIES 64 /* against other sessions' announcements that come to nothing, */
#define YIELD_TRIES 32   /* of which so many at once: most are over in a microsecond */
#define PAUSE_NS 4000000 /* half a second for the others together: somebody has no processor */
#define USED_TRIES 16    /* for a sum without a change under way */

static void store(uint64_t *word, uint64_t value)
{
    __atomic_store_n(word, value, __ATOMIC_SEQ_CST);
}

static struct ledger_held sum_slots(const struct ledger_card *card)
{
    struct ledger_held sum = {0};
    unsigned end = ledger_end(card);
    for (unsigned i = 0; i < end; i++) {
        struct ledger_held slot = ledger_held(&card->slots[i]);
        sum.most_bytes = ledger_add(sum.most_bytes, slot.most_bytes);
        sum.least_bytes = ledger_add(sum.least_bytes, slot.least_bytes);
    }
    return sum;
}

static void raise_peak(struct ledger_card *card, uint64_t total)
{
    uint64_t peak = ledger_load(&card->peak_bytes);
    while (peak < total && !__atomic_compare_exchange_n(&card->peak_bytes, &peak, total, 0,
                                                        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        continue;
}

static int refuse(struct ledger_card *card)
{
    __atomic_add_fetch(&card->refusals, 1, __ATOMIC_RELAXED);
    return -ENOSPC;
}

/* Let the others decide first: the higher the slot, the longer, so that two sessions that keep
 * meeting do not refuse each other for ever. One that lost its processor between two of its words
 * counts twice until it goes on: what fits is not to be refused for that. */
static void stand_back(unsigned slot, unsigned attempt)
{
    const unsigned pauses = (slot + attempt) % 8 + 1;
    const struct timespec pause = {.tv_nsec = pauses * PAUSE_NS};
    for (unsigned i = 0; attempt < YIELD_TRIES && i < pauses; i++)
        sched_yield();
    if (attempt >= YIELD_TRIES)
        (void)nanosleep(&pause, NULL); /* a signal only makes it shorter */
}

void ledger_open_slot(struct ledger_card *card, unsigned slot)
{
    if (__atomic_load_n(&card->slots_end, __ATOMIC_RELAXED) <= slot)
        __atomic_store_n(&card->slots_end, slot + 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&card->slots[slot].state, 1, __ATOMIC_SEQ_CST);
}

int ledger_reserve(struct ledger_card *card, unsigned slot, uint64_t bytes)
{
    struct ledger_slot *own = &card->slots[slot];
    if (bytes > ledger_load(&card->quota_bytes))
        return refuse(card);
    for (unsigned attempt = 0; attempt < RESERVE_TRIES; attempt++) {
        store(&own->pending_bytes, bytes);
        uint64_t quota = ledger_load(&card->quota_bytes); /* after that: see ledger_resize */
        struct ledger_held held = sum_slots(card);
        if (held.most_bytes <= quota) {
            __atomic_add_fetch(&own->used_bytes, bytes, __ATOMIC_SEQ_CST);
            store(&own->pending_bytes, 0);
            raise_peak(card, held.most_bytes);
            return 0;
        }
        store(&own->pending_bytes, 0);
        if (bytes > quota || held.least_bytes > quota - bytes)
            return refuse(card);
        stand_back(slot, attempt);
    }
    return refuse(card);
}

void ledger_release(struct ledger_card *card, unsigned slot, uint64_t bytes)
{
    struct ledger_slot *own = &card->slots[slot];
    __atomic_sub_fetch(&own->used_bytes, bytes, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&own->freed_total_bytes, bytes, __ATOMIC_SEQ_CST);
}

/* In both directions bytes are entered where they go before they are taken from where they were, so
 * that no sum misses them. */
void ledger_put_away(struct ledger_card *card, unsigned slot, uint64_t bytes)
{
    __atomic_add_fetch(&card->slots[slot].away_bytes, bytes, __ATOMIC_SEQ_CST);
    __atomic_sub_fetch(&card->slots[slot].used_bytes, bytes, __ATOMIC_SEQ_CST);
}

void ledger_bring_back(struct ledger_card *card, unsigned slot, uint64_t bytes)
{
    __atomic_add_fetch(&card->slots[slot].used_bytes, bytes, __ATOMIC_SEQ_CST);
    __atomic_sub_fetch(&card->slots[slot].away_bytes, bytes, __ATOMIC_SEQ_CST);
}

void ledger_drop_away(struct ledger_card *card, unsigned slot, uint64_t bytes)
{
    __atomic_sub_fetch(&card->slots[slot].away_bytes, bytes, __ATOMIC_SEQ_CST);
    ledger_forgo(card, slot, bytes);
}

uint64_t ledger_away(const struct ledger_card *card)
{
    uint64_t away = 0;
    unsigned end = ledger_end(card);
    for (unsigned i = 0; i < end; i++)
        away += ledger_load(&card->slots[i].away_bytes);
    return away;
}

void ledger_forgo(struct ledger_card *card, unsigned slot, uint64_t bytes)
{
    __atomic_add_fetch(&card->slots[slot].freed_total_bytes, bytes, __ATOMIC_SEQ_CST);
}

struct tally {
    uint64_t used, freed;
};

static struct tally take_tally(const struct ledger_card *card)
{
    struct tally tally = {0};
    unsigned end = ledger_end(card);
    for (unsigned i = 0; i < end; i++) {
        tally.used += ledger_load(&card->slots[i].used_bytes);
        tally.freed += ledger_load(&card->slots[i].freed_total_bytes);
    }
    return tally;
}

uint64_t ledger_used(const struct ledger_card *card)
{
    /* Bytes that move from one slot to another while they are summed would count twice: two equal
     * tallies in a row show that nothing moved. A reader that finds no quiet moment takes the
     * lowest sum it saw. */
    struct tally before = take_tally(card);
    uint64_t lowest = before.used;
    for (unsigned i = 0; i < USED_TRIES; i++) {
        struct tally after = take_tally(card);
        if (after.used < lowest)
            lowest = after.used;
        if (after.used == before.used && after.freed == before.freed)
            return after.used;
        before = after;
    }
    return lowest;
}
