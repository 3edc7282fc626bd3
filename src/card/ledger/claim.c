/* The client's half of the ledger: decide a buffer creation without asking anyone. Announce first,
 * then sum: of two clients that announce at once at least one sees both. */
#include "card/ledger/ledger.h"

#include <errno.h>

static uint64_t load(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

/* What a session holds or has claimed; what its executor committed counts even when it was never
 * claimed, so that a client which lies about itself takes room from nobody but itself. */
static uint64_t slot_bytes(const struct ledger_slot *slot, const uint64_t *claimed_total)
{
    if (__atomic_load_n(&slot->state, __ATOMIC_SEQ_CST) == 0)
        return 0;
    uint64_t freed = load(&slot->freed_total_bytes);
    uint64_t claimed = load(claimed_total);
    uint64_t open = claimed > freed ? claimed - freed : 0;
    uint64_t held = load(&slot->used_bytes) + load(&slot->pending_bytes) + load(&slot->away_bytes);
    return open > held ? open : held;
}

static uint64_t all_bytes(const struct ledger_card *card, const struct ledger_claims *claims)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < LEDGER_SLOTS; i++)
        if (__builtin_add_overflow(
                sum, slot_bytes(&card->slots[i], &claims->slots[i].claimed_total_bytes), &sum))
            return UINT64_MAX;
    return sum;
}

int ledger_claim(const struct ledger_card *card, struct ledger_claims *claims, unsigned slot,
                 uint64_t bytes)
{
    uint64_t quota = load(&card->quota_bytes);
    if (bytes > quota)
        return -ENOSPC;
    (void)__atomic_add_fetch(&claims->slots[slot].claimed_total_bytes, bytes, __ATOMIC_SEQ_CST);
    if (all_bytes(card, claims) <= quota)
        return 0;
    ledger_unclaim(claims, slot, bytes);
    return -ENOSPC;
}

void ledger_unclaim(struct ledger_claims *claims, unsigned slot, uint64_t bytes)
{
    (void)__atomic_sub_fetch(&claims->slots[slot].claimed_total_bytes, bytes, __ATOMIC_SEQ_CST);
}
