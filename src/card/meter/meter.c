/* One session's part in the share: what is in flight, when to wait and what to charge. The bucket
 * is in credit.c, the turn in turn.c. */
#include "card/meter/meter.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "card/ledger/futex.h"
#include "card/ledger/ledger.h"
#include "card/meter/credit.h"
#include "card/meter/turn.h"

#define LOOK_NS 100000000ull /* waiters look again this often, whatever they missed */
#define SHARE_LOOK_NS 1000000000ull
#define SHARE_WHOLE 1000u

struct meter {
    struct ledger_card *card;
    struct ledger_slot *slot;
    struct meter_device *device;
    uint32_t owner;
    int notify_fd;
    uint32_t stopped, called_off;
    uint32_t ended;    /* futex: how often enough of what was in flight had ended */
    uint32_t sleeping; /* meter_enter sleeps on `ended` */

    pthread_mutex_t lock;                   /* guards what follows */
    uint64_t in_flight;                     /* commands */
    uint64_t working;                       /* calls between meter_work_begin and meter_work_end */
    uint64_t in_flight_ns;                  /* their estimates */
    uint64_t charged_until_ns;              /* device clock */
    uint64_t pause_from_ns, pause_until_ns; /* what was left out before the last that was charged */
    uint64_t wake_at_ns; /* so little in flight ends a wait for what is in flight */

    /* meter_enter's own, no lock */
    int in_debt; /* waits for METER_RESUME_NS of credit */
    int lent;    /* goes on without credit, while nobody who has some wants the device */
    int asking;  /* for the turn */
};

enum pause {
    PAUSE_NONE,
    PAUSE_SHARE,  /* the share is released */
    PAUSE_CREDIT, /* the card is in debt */
    PAUSE_FLIGHT, /* enough is in flight, or the turn is over */
    PAUSE_TURN    /* another executor has the device */
};

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

struct meter *meter_create(struct ledger_card *card, struct meter_device *device, uint32_t owner,
                           unsigned slot, int notify_fd)
{
    struct meter *meter = calloc(1, sizeof(*meter));
    if (!meter)
        return NULL;
    meter->card = card;
    meter->slot = &card->slots[slot];
    meter->device = device;
    meter->owner = owner;
    meter->notify_fd = notify_fd;
    pthread_mutex_init(&meter->lock, NULL);
    return meter;
}

void meter_destroy(struct meter *meter)
{
    if (!meter)
        return;
    pthread_mutex_destroy(&meter->lock);
    free(meter);
}

static void touch(struct ledger_card *card, uint64_t now)
{
    __atomic_store_n(&card->last_use_ns, now, __ATOMIC_RELAXED);
}

/* With the lock held. */
static void show_in_flight(const struct meter *meter)
{
    __atomic_store_n(&meter->slot->commands_in_flight, meter->in_flight + meter->working,
                     __ATOMIC_RELAXED);
}

static int may_burst(const struct meter *meter)
{
    return __atomic_load_n(&meter->card->burst, __ATOMIC_RELAXED) != 0;
}

/* What the credit says to one more command. */
static enum pause judge_credit(struct meter *meter, uint32_t share, uint64_t estimate_ns,
                               uint64_t now, uint64_t *ret_wait_ns)
{
    int64_t credit =
        credit_refill(meter->card, now, meter->in_flight ? CREDIT_ACTIVE : CREDIT_IDLE);
    int64_t wanted = meter->in_debt ? METER_RESUME_NS : 0;
    if (meter->in_flight && estimate_ns) {
        *ret_wait_ns = LOOK_NS;
        meter->lent |= may_burst(meter) && credit + METER_RESUME_NS < (int64_t)meter->in_flight_ns;
        int64_t covered = meter->lent ? (int64_t)METER_QUANTUM_NS : credit + METER_RESUME_NS;
        return covered < (int64_t)meter->in_flight_ns ? PAUSE_FLIGHT : PAUSE_NONE;
    }
    meter->in_debt = credit < wanted;
    meter->lent = meter->in_debt && may_burst(meter);
    *ret_wait_ns = credit_wait_ns(credit, METER_RESUME_NS, share);
    return meter->in_debt && !meter->lent ? PAUSE_CREDIT : PAUSE_NONE;
}

/* `ahead_ns` of device time from now. */
static struct turn_rank rank_in(struct meter *meter, uint64_t ahead_ns)
{
    const struct ledger_card *card = meter->card;
    uint32_t share = __atomic_load_n(&card->share_permille, __ATOMIC_RELAXED);
    uint32_t priority = __atomic_load_n(&card->priority, __ATOMIC_RELAXED);
    uint32_t above = priority < METER_PRIORITY_MAX ? METER_PRIORITY_MAX - priority : 0;
    return (struct turn_rank){above + (meter->lent ? METER_PRIORITY_MAX + 1 : 0),
                              turn_virtual_ns(meter->device, &meter->card->virtual_ns) +
                                  turn_weigh_ns(ahead_ns, share)};
}

static enum pause judge_turn(struct meter *meter, uint64_t estimate_ns)
{
    struct meter_device *device = meter->device;
    if (!meter->in_flight && !meter->asking && turn_retake(device, meter->owner))
        return PAUSE_NONE;
    if (meter->in_flight) {
        if (!estimate_ns || !turn_is_wanted(device) ||
            !turn_is_due(device, rank_in(meter, meter->in_flight_ns), now_ns()))
            return PAUSE_NONE;
        meter->wake_at_ns = 0;
        return PAUSE_FLIGHT;
    }
    if (!turn_take(device, meter->owner, rank_in(meter, 0), now_ns()))
        return PAUSE_TURN;
    meter->asking = 0;
    return PAUSE_NONE;
}

/* Decide about one more command, with the lock held; PAUSE_NONE has the turn. */
static enum pause judge(struct meter *meter, uint64_t estimate_ns, uint64_t *ret_wait_ns)
{
    uint32_t share = __atomic_load_n(&meter->card->share_permille, __ATOMIC_ACQUIRE);
    *ret_wait_ns = SHARE_LOOK_NS;
    meter->wake_at_ns = meter->in_flight_ns / 2; /* one wake-up, many commands */
    if (share == 0)
        return PAUSE_SHARE;
    meter->lent &= share < SHARE_WHOLE;
    if (share < SHARE_WHOLE) {
        enum pause pause = judge_credit(meter, share, estimate_ns, now_ns(), ret_wait_ns);
        if (pause != PAUSE_NONE)
            return pause;
    }
    if (!meter->lent || *ret_wait_ns > LOOK_NS) /* else until there is credit to ask with */
        *ret_wait_ns = LOOK_NS;
    if (meter->in_flight && estimate_ns && meter->in_flight_ns + estimate_ns > METER_IN_FLIGHT_NS)
        return PAUSE_FLIGHT;
    enum pause pause = judge_turn(meter, estimate_ns);
    if (pause == PAUSE_NONE && meter->lent)
        credit_forgive(meter->card);
    return pause;
}

void meter_want_share(struct meter *meter)
{
    const uint64_t one = 1;
    __atomic_store_n(&meter->card->share_wanted, 1, __ATOMIC_SEQ_CST);
    if (meter->notify_fd >= 0) {
        ssize_t ignored = write(meter->notify_fd, &one, sizeof(one));
        (void)ignored; /* a full counter wakes leat-cardd just as well */
    }
}

static void wait_for_flight(struct meter *meter, uint32_t ended, uint64_t wait_ns)
{
    __atomic_store_n(&meter->sleeping, 1, __ATOMIC_SEQ_CST);
    if (!__atomic_load_n(&meter->stopped, __ATOMIC_SEQ_CST) &&
        !__atomic_load_n(&meter->called_off, __ATOMIC_SEQ_CST))
        futex_sleep(&meter->ended, ended, wait_ns);
    __atomic_store_n(&meter->sleeping, 0, __ATOMIC_RELAXED);
}

/* Sleep as `pause` asks. `ended` was read before the judgement, so no end of a command is
 * missed. */
static void wait_for(struct meter *meter, enum pause pause, uint32_t ended, uint64_t wait_ns)
{
    struct ledger_card *card = meter->card;
    uint64_t before = now_ns();
    touch(card, before);
    switch (pause) {
    case PAUSE_SHARE:
        meter_want_share(meter);
        futex_sleep(&card->share_permille, 0, wait_ns);
        break;
    case PAUSE_CREDIT:
        futex_sleep(&card->share_permille, __atomic_load_n(&card->share_permille, __ATOMIC_RELAXED),
                    wait_ns < LOOK_NS ? wait_ns : LOOK_NS);
        break;
    case PAUSE_FLIGHT:
        wait_for_flight(meter, ended, wait_ns);
        break;
    case PAUSE_TURN:
        meter->asking = 1;
        turn_wait(meter->device, meter->owner, rank_in(meter, 0), before, wait_ns);
        break;
    case PAUSE_NONE:
        break;
    }
    uint64_t after = now_ns();
    touch(card, after);
    if (pause == PAUSE_CREDIT)
        __atomic_add_fetch(&card->throttled_ns, after - before, __ATOMIC_RELAXED);
    /* Whoever waits is not idle, and a thread that wakes late has waited. */
    (void)credit_refill(card, after, pause == PAUSE_SHARE ? CREDIT_IDLE : CREDIT_ACTIVE);
}

/* Whatever we do next, it is not waiting for the turn. */
static void ask_no_more(struct meter *meter)
{
    if (meter->asking)
        turn_leave(meter->device, meter->owner);
    meter->asking = 0;
}

int meter_enter(struct meter *meter, uint64_t estimate_ns, void (*flush)(void *arg), void *arg)
{
    int flushed = 0;
    while (!__atomic_load_n(&meter->stopped, __ATOMIC_ACQUIRE)) {
        uint64_t wait_ns;
        if (__atomic_load_n(&meter->called_off, __ATOMIC_ACQUIRE)) {
            __atomic_store_n(&meter->called_off, 0, __ATOMIC_SEQ_CST);
            ask_no_more(meter);
            return -EINTR;
        }
        uint32_t ended = __atomic_load_n(&meter->ended, __ATOMIC_SEQ_CST);
        pthread_mutex_lock(&meter->lock);
        enum pause pause = judge(meter, estimate_ns, &wait_ns);
        if (pause == PAUSE_NONE) {
            meter->in_flight++;
            meter->in_flight_ns += estimate_ns;
            show_in_flight(meter);
        }
        pthread_mutex_unlock(&meter->lock);
        if (pause == PAUSE_NONE)
            return 0;
        if (!flushed)
            flush(arg);
        flushed = 1;
        if (pause != PAUSE_TURN)
            ask_no_more(meter);
        wait_for(meter, pause, ended, wait_ns);
    }
    ask_no_more(meter);
    return -ECANCELED;
}

/* Since when the device was busy with the command, if the one before it ended at `until_ns`. */
static uint64_t busy_since(const struct meter_span *span, uint64_t until_ns)
{
    int in_line = span->queued_ns < until_ns && span->start_ns < until_ns + METER_GAP_NS;
    return in_line || span->start_ns < until_ns ? until_ns : span->start_ns;
}

/* One that is told after a later one: it ran in the pause before that, or was charged with
 * others. */
static uint64_t uncharged_late_ns(struct meter *meter, const struct meter_span *span)
{
    uint64_t start_ns = busy_since(span, meter->pause_from_ns), end_ns = span->end_ns;
    if (end_ns > meter->pause_until_ns)
        end_ns = meter->pause_until_ns;
    if (end_ns <= start_ns)
        return 0;
    meter->pause_from_ns = end_ns;
    return end_ns - start_ns;
}

/* What the command adds to the charge, with the lock held. */
static uint64_t uncharged_ns(struct meter *meter, const struct meter_span *span)
{
    uint64_t until_ns = meter->charged_until_ns;
    if (span->end_ns == span->start_ns)
        return 0;
    if (span->end_ns <= until_ns)
        return uncharged_late_ns(meter, span);
    uint64_t start_ns = busy_since(span, until_ns);
    if (start_ns > until_ns) {
        meter->pause_from_ns = until_ns;
        meter->pause_until_ns = start_ns;
    }
    meter->charged_until_ns = span->end_ns;
    return span->end_ns - start_ns;
}

uint64_t meter_charge(struct meter *meter, const struct meter_span *span, uint64_t estimate_ns)
{
    struct ledger_card *card = meter->card;
    uint32_t share = __atomic_load_n(&card->share_permille, __ATOMIC_RELAXED);
    uint64_t now = now_ns();
    touch(card, now);
    pthread_mutex_lock(&meter->lock);
    uint64_t took_ns = uncharged_ns(meter, span) + span->aside_ns;
    (void)credit_refill(card, now, CREDIT_ACTIVE);
    credit_charge(card, took_ns);
    __atomic_add_fetch(&card->device_time_ns, took_ns, __ATOMIC_RELAXED);
    __atomic_add_fetch(&meter->device->busy_ns, took_ns, __ATOMIC_RELAXED);
    __atomic_add_fetch(&meter->slot->device_time_ns, took_ns, __ATOMIC_RELAXED);
    __atomic_add_fetch(&meter->slot->commands, span->commands ? span->commands : 1,
                       __ATOMIC_RELAXED);
    __atomic_add_fetch(&card->virtual_ns, turn_weigh_ns(took_ns, share), __ATOMIC_RELAXED);
    turn_show_life(meter->device, now);
    meter->in_flight_ns -= estimate_ns;
    meter->in_flight--;
    show_in_flight(meter);
    if (!meter->in_flight)
        turn_rest(meter->device, meter->owner, now);
    int enough = !meter->in_flight || meter->in_flight_ns <= meter->wake_at_ns;
    pthread_mutex_unlock(&meter->lock);
    if (!enough)
        return took_ns;
    __atomic_add_fetch(&meter->ended, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&meter->sleeping, __ATOMIC_SEQ_CST))
        futex_wake(&meter->ended, 1);
    return took_ns;
}

void meter_work_begin(struct meter *meter)
{
    pthread_mutex_lock(&meter->lock);
    meter->working++;
    show_in_flight(meter);
    pthread_mutex_unlock(&meter->lock);
}

void meter_work_end(struct meter *meter)
{
    touch(meter->card,
          now_ns()); /* before the count drops: the card is idle from now on, not before */
    pthread_mutex_lock(&meter->lock);
    meter->working--;
    show_in_flight(meter);
    pthread_mutex_unlock(&meter->lock);
}

static void wake_waits(struct meter *meter)
{
    __atomic_add_fetch(&meter->ended, 1, __ATOMIC_SEQ_CST);
    futex_wake(&meter->ended, 1);
    futex_wake(&meter->card->share_permille, INT_MAX);
}

void meter_call_off(struct meter *meter)
{
    __atomic_store_n(&meter->called_off, 1, __ATOMIC_SEQ_CST);
    wake_waits(meter);
}

void meter_move(struct meter *meter, struct meter_device *device)
{
    pthread_mutex_lock(&meter->lock);
    if (meter->device != device) {
        turn_reap(meter->device, meter->owner);
        meter->device = device;
        meter->charged_until_ns = meter->pause_from_ns = meter->pause_until_ns = 0;
    }
    pthread_mutex_unlock(&meter->lock);
}

void meter_stop(struct meter *meter)
{
    __atomic_store_n(&meter->stopped, 1, __ATOMIC_SEQ_CST);
    wake_waits(meter);
}

void meter_reap(struct meter_device *device, uint32_t owner)
{
    turn_reap(device, owner);
}
