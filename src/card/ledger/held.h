/* How a slot is read while its session changes it. Both halves of the ledger sum slots; what is on
 * its way between two words of a slot may count twice in such a sum, but is never missed. */
#ifndef LEAT_CARD_LEDGER_HELD_H
#define LEAT_CARD_LEDGER_HELD_H

#include <stdint.h>

#include "card/ledger/ledger.h"

struct ledger_held {
    uint64_t most_bytes;  /* at least what was held at some instant of the reading */
    uint64_t least_bytes; /* without what is announced, and at most what was held */
};

static inline uint64_t ledger_load(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

static inline uint64_t ledger_add(uint64_t a, uint64_t b)
{
    uint64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

/* The end of the slots that a sum must read. It is raised before a session can announce anything in
 * a new slot: of two that announce at once, one reads it late enough to see the other. */
static inline unsigned ledger_end(const struct ledger_card *card)
{
    uint32_t end = __atomic_load_n(&card->slots_end, __ATOMIC_SEQ_CST);
    return end && end < LEDGER_SLOTS ? end : LEDGER_SLOTS;
}

/* A commit raises `used_bytes` before it clears `pending_bytes`, which is read first. Bytes go both
 * ways between used and away, each time entered before they are taken off: of two looks at
 * `used_bytes` around `away_bytes` the larger has them. */
static inline struct ledger_held ledger_held(const struct ledger_slot *slot)
{
    uint64_t pending = ledger_load(&slot->pending_bytes);
    uint64_t before = ledger_load(&slot->used_bytes);
    uint64_t away = ledger_load(&slot->away_bytes);
    uint64_t after = ledger_load(&slot->used_bytes);
    return (struct ledger_held){
        .most_bytes = ledger_add(ledger_add(pending, before > after ? before : after), away),
        .least_bytes = ledger_add(before < after ? before : after, away),
    };
}

#endif
