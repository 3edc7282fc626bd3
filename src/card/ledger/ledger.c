/* The executor's half of the ledger: announce in the own slot, sum all slots, decide.
 *
 * Why no total can pass the quota: a reservation stores its announcement before it reads the other
 * slots, all of it sequentially consistent, so of two reservations at once at least one sees the
 * other. A commit raises `used_bytes` before it clears `pending_bytes`, and a sum reads them in the
 * other order, so bytes on their way are counted once or twice but never missed. */
#include "card/ledger/ledger.h"

#include <errno.h>
#include <sched.h>

#define RESERVE_TRIES 64 /* against other sessions' announcements that come to nothing */
#define USED_TRIES 16    /* for a sum without a change under way */

static uint64_t load(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

static void store(uint64_t *word, uint64_t value)
{
    __atomic_store_n(word, value, __ATOMIC_SEQ_CST);
}

static uint64_t add_or_max(uint64_t a, uint64_t b)
{
    uint64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

/* Everything committed and announced; `ret_used` gets the committed part alone. */
static uint64_t sum_slots(const struct ledger_card *card, uint64_t *ret_used)
{
    uint64_t used = 0, pending = 0;
    for (unsigned i = 0; i < LEDGER_SLOTS; i++) {
        const struct ledger_slot *slot = &card->slots[i];
        pending = add_or_max(pending, load(&slot->pending_bytes));
        used = add_or_max(used, load(&slot->used_bytes));
        used = add_or_max(used, load(&slot->away_bytes));
    }
    *ret_used = used;
    return add_or_max(used, pending);
}

static void raise_peak(struct ledger_card *card, uint64_t total)
{
    uint64_t peak = load(&card->peak_bytes);
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
 * meeting do not refuse each other for ever. */
static void stand_back(unsigned slot, unsigned attempt)
{
    for (unsigned i = 0; i <= (slot + attempt) % 8; i++)
        sched_yield();
}

int ledger_reserve(struct ledger_card *card, unsigned slot, uint64_t bytes)
{
    struct ledger_slot *own = &card->slots[slot];
    uint64_t quota = load(&card->quota_bytes);
    if (bytes > quota)
        return refuse(card);
    for (unsigned attempt = 0; attempt < RESERVE_TRIES; attempt++) {
        uint64_t used;
        store(&own->pending_bytes, bytes);
        uint64_t total = sum_slots(card, &used);
        if (total <= quota) {
            __atomic_add_fetch(&own->used_bytes, bytes, __ATOMIC_SEQ_CST);
            store(&own->pending_bytes, 0);
            raise_peak(card, total);
            return 0;
        }
        store(&own->pending_bytes, 0);
        if (used > quota - bytes)
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
    for (unsigned i = 0; i < LEDGER_SLOTS; i++)
        away += load(&card->slots[i].away_bytes);
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
    for (unsigned i = 0; i < LEDGER_SLOTS; i++) {
        tally.used += load(&card->slots[i].used_bytes);
        tally.freed += load(&card->slots[i].freed_total_bytes);
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
