/* A card's compute credit: the bucket arithmetic, with time as an argument. Several executors use
 * one card's bucket at once. */
#ifndef LEAT_CARD_METER_CREDIT_H
#define LEAT_CARD_METER_CREDIT_H

#include <stdint.h>

struct ledger_card;

enum credit_period {
    CREDIT_INVALID,
    CREDIT_IDLE,  /* nothing ran and nothing waited: the credit grows to METER_BURST_NS at most */
    CREDIT_ACTIVE /* something ran or waited: it may grow to what METER_BACKLOG_NS give */
};

/* Add what the card gained since the last refill; returns the credit. What a larger share has saved
 * up is lost as far as this one could not have. */
int64_t credit_refill(struct ledger_card *card, uint64_t now_ns, enum credit_period period);
/* Take `device_ns` off. */
void credit_charge(struct ledger_card *card, uint64_t device_ns);
/* What the card used was lent to it: a debt is forgotten. */
void credit_forgive(struct ledger_card *card);
/* Wall time until a card that has `credit_ns` and gains share_permille has `wanted_ns`; at least 1
 * ns. */
uint64_t credit_wait_ns(int64_t credit_ns, int64_t wanted_ns, uint32_t share_permille);

#endif
