/* The client's half of the ledger: decide a buffer creation without asking anyone. Announce first,
 * then sum: of two clients that announce at once at least one sees both. And the change of the
 * quota, which goes the same way: it is stored first, so that whoever announces something either is
 * seen in the sum that follows or finds the new quota. */
#include "card/ledger/ledger.h"

#include <errno.h>

#include "card/ledger/held.h"

/* What a session holds or has claimed; what its executor committed counts even when it was never
 * claimed, so that a client which lies about itself takes room from nobody but itself. */
static uint64_t slot_bytes(const struct ledger_slot *slot, const uint64_t *claimed_total)
{
    if (__atomic_load_n(&slot->state, __ATOMIC_SEQ_CST) == 0)
        return 0;
    uint64_t freed = ledger_load(&slot->freed_total_bytes);
    uint64_t claimed = ledger_load(claimed_total);
    uint64_t open = claimed > freed ? claimed - freed : 0;
    uint64_t held = ledger_held(slot).most_bytes;
    return open > held ? open : held;
}

static uint64_t all_bytes(const struct ledger_card *card, const struct ledger_claims *claims)
{
    uint64_t sum = 0;
    unsigned end = ledger_end(card);
    for (unsigned i = 0; i < end; i++)
        sum = ledger_add(sum, slot_bytes(&card->slots[i], &claims->slots[i].claimed_total_bytes));
    return sum;
}

int ledger_claim(const struct ledger_card *card, struct ledger_claims *claims, unsigned slot,
                 uint64_t bytes)
{
    if (bytes > ledger_load(&card->quota_bytes))
        return -ENOSPC;
    (void)__atomic_add_fetch(&claims->slots[slot].claimed_total_bytes, bytes, __ATOMIC_SEQ_CST);
    uint64_t quota = ledger_load(&card->quota_bytes);
    if (all_bytes(card, claims) <= quota)
        return 0;
    ledger_unclaim(claims, slot, bytes);
    return -ENOSPC;
}

void ledger_unclaim(struct ledger_claims *claims, unsigned slot, uint64_t bytes)
{
    (void)__atomic_sub_fetch(&claims->slots[slot].claimed_total_bytes, bytes, __ATOMIC_SEQ_CST);
}

void ledger_note_refusal(const struct ledger_card *card, struct ledger_claims *claims,
                         uint64_t bytes)
{
    uint64_t wanted = ledger_add(all_bytes(card, claims), bytes);
    uint64_t highest = ledger_load(&claims->wanted_bytes);
    (void)__atomic_add_fetch(&claims->refusals, 1, __ATOMIC_RELAXED);
    while (wanted > highest && !__atomic_compare_exchange_n(&claims->wanted_bytes, &highest, wanted,
                                                            0, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ; /* somebody else raised it: `highest` is what it is now */
}

int ledger_resize(struct ledger_card *card, const struct ledger_claims *claims,
                  uint64_t quota_bytes, uint64_t *ret_held_bytes)
{
    uint64_t before = ledger_load(&card->quota_bytes), held = all_bytes(card, claims);
    if (quota_bytes >= before || held <= quota_bytes) {
        __atomic_store_n(&card->quota_bytes, quota_bytes, __ATOMIC_SEQ_CST);
        held = all_bytes(card, claims);
        if (quota_bytes >= before || held <= quota_bytes)
            return 0;
        __atomic_store_n(&card->quota_bytes, before, __ATOMIC_SEQ_CST);
    }
    *ret_held_bytes = held;
    return -EBUSY;
}
