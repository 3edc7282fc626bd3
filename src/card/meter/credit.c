/* Credit bucket of a card: see credit.h. */
#include "card/meter/credit.h"

#include "card/ledger/ledger.h"
#include "card/meter/meter.h"

#define STEP_NS 1000u /* refills are whole steps, so that no fraction is lost */
#define ELAPSED_MAX_NS (86400ull * 1000000000u) /* keeps the product with the share small */

/* `most` a card may have, `cap` it may grow to now. */
static int64_t lift(int64_t credit, int64_t gain, int64_t cap, int64_t most)
{
    int64_t sum = credit + gain;
    if (sum <= cap)
        return sum;
    if (credit > most)
        return most; /* saved up with a larger share */
    return credit > cap ? credit : cap;
}

static int64_t backlog_of(uint32_t share_permille)
{
    int64_t backlog = METER_BACKLOG_NS / 1000 * share_permille;
    return backlog > METER_BURST_NS ? backlog : METER_BURST_NS;
}

int64_t credit_refill(struct ledger_card *card, uint64_t now_ns, enum credit_period period)
{
    uint64_t then_ns = __atomic_load_n(&card->credit_time_ns, __ATOMIC_RELAXED);
    int64_t credit = __atomic_load_n(&card->credit_ns, __ATOMIC_RELAXED);
    if (now_ns < then_ns + STEP_NS)
        return credit;
    uint64_t elapsed_ns = now_ns - then_ns;
    uint64_t whole_ns = elapsed_ns - elapsed_ns % STEP_NS;
    if (!__atomic_compare_exchange_n(&card->credit_time_ns, &then_ns, then_ns + whole_ns, 0,
                                     __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        return credit; /* another executor of the card adds it */
    if (whole_ns > ELAPSED_MAX_NS)
        whole_ns = ELAPSED_MAX_NS;
    uint32_t share = __atomic_load_n(&card->share_permille, __ATOMIC_RELAXED);
    int64_t gain = (int64_t)(whole_ns / 1000 * share);
    int64_t most = backlog_of(share), cap = period == CREDIT_ACTIVE ? most : METER_BURST_NS;
    int64_t lifted;
    do
        lifted = lift(credit, gain, cap, most);
    while (!__atomic_compare_exchange_n(&card->credit_ns, &credit, lifted, 0, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED));
    return lifted;
}

void credit_charge(struct ledger_card *card, uint64_t device_ns)
{
    __atomic_sub_fetch(&card->credit_ns, (int64_t)device_ns, __ATOMIC_RELAXED);
}

void credit_forgive(struct ledger_card *card)
{
    int64_t credit = __atomic_load_n(&card->credit_ns, __ATOMIC_RELAXED);
    while (credit < 0 && !__atomic_compare_exchange_n(&card->credit_ns, &credit, 0, 0,
                                                      __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        continue;
}

uint64_t credit_wait_ns(int64_t credit_ns, int64_t wanted_ns, uint32_t share_permille)
{
    if (credit_ns >= wanted_ns || share_permille == 0)
        return 1;
    uint64_t missing_ns = (uint64_t)(wanted_ns - credit_ns);
    return missing_ns / share_permille * 1000 +
           missing_ns % share_permille * 1000 / share_permille + STEP_NS;
}
