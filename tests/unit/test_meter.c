/* The meter: bucket arithmetic on a virtual clock, the turn's rules, and sessions that share a
 * device. The device is a thread that lets each command take its time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "card/ledger/futex.h"
#include "card/ledger/ledger.h"
#include "card/meter/credit.h"
#include "card/meter/meter.h"
#include "card/meter/turn.h"

#define MS 1000000ll
#define S 1000000000ll

static void test_credit_gains_share(void **state)
{
    static const struct {
        uint32_t share;
        int64_t credit, elapsed, expected;
        enum credit_period period;
    } cases[] = {
        {300, 0, 10 * MS, 3 * MS, CREDIT_ACTIVE},
        {300, -5 * MS, 10 * MS, -2 * MS, CREDIT_IDLE},
        {1000, 0, 10 * MS, 10 * MS, CREDIT_IDLE},
        {0, -5 * MS, 10 * S, -5 * MS, CREDIT_ACTIVE},
        {500, 0, 60 * S, METER_BURST_NS, CREDIT_IDLE},
        {500, 0, 60 * S, METER_BACKLOG_NS / 2, CREDIT_ACTIVE},
        {500, 150 * MS, 60 * S, 150 * MS, CREDIT_IDLE},             /* what is there stays */
        {200, 150 * MS, 2000, METER_BACKLOG_NS / 5, CREDIT_ACTIVE}, /* unless the share shrank */
        {50, 150 * MS, 2000, METER_BURST_NS, CREDIT_ACTIVE},
        {50, 150 * MS, 2000, METER_BURST_NS, CREDIT_IDLE},
        {300, 0, 1500, 300, CREDIT_ACTIVE}, /* whole microseconds only */
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ledger_card card = {.share_permille = cases[i].share,
                                   .credit_ns = cases[i].credit,
                                   .credit_time_ns = 7 * S};
        uint64_t now = (uint64_t)(7 * S + cases[i].elapsed);
        assert_int_equal(credit_refill(&card, now, cases[i].period), cases[i].expected);
    }
}

/* Many small refills gain what one large one gains. */
static void test_credit_loses_no_fraction(void **state)
{
    struct ledger_card card = {.share_permille = 333, .credit_time_ns = 1};
    uint64_t now = 1;
    for (unsigned i = 0; i < 100000; i++) {
        now += 1237;
        (void)credit_refill(&card, now, CREDIT_ACTIVE);
    }
    double expected = (double)(now - 1) * 0.333;
    assert_true((double)card.credit_ns > expected - 1000 && (double)card.credit_ns <= expected);
}

static void test_credit_wait(void **state)
{
    assert_int_equal(credit_wait_ns(5, 0, 300), 1);
    assert_in_range(credit_wait_ns(-3 * MS, 0, 300), 10 * MS, 10 * MS + 2000);
    assert_in_range(credit_wait_ns(-3 * MS, 3 * MS, 1), 6 * S, 6 * S + 2000);
}

/* A closed loop on a virtual clock: run while there is credit, else wait as long as the meter
 * says. */
static void test_share_over_time(void **state)
{
    static const struct {
        uint32_t share;
        int64_t command_ns;
    } cases[] = {{300, 100000}, {600, 100000}, {300, 50 * MS}, {10, 7 * MS}, {999, 3 * MS}};
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ledger_card card = {.share_permille = cases[i].share, .credit_time_ns = 1};
        uint64_t now = 1, busy = 0;
        while (now < 60u * (uint64_t)S) {
            int64_t credit = credit_refill(&card, now, CREDIT_ACTIVE);
            if (credit < 0) {
                now += credit_wait_ns(credit, METER_RESUME_NS, cases[i].share);
                continue;
            }
            now += (uint64_t)cases[i].command_ns;
            busy += (uint64_t)cases[i].command_ns;
            credit_charge(&card, (uint64_t)cases[i].command_ns);
        }
        double permille = 1000.0 * (double)busy / (double)now;
        assert_true(permille > cases[i].share * 0.99 - 1 && permille < cases[i].share * 1.01 + 1);
    }
}

static struct turn_rank at(uint64_t virtual_ns)
{
    return (struct turn_rank){0, virtual_ns};
}

/* Leaves a wish behind, as one who sleeps. */
static void ask(struct meter_device *device, uint32_t owner, uint64_t virtual_ns, uint64_t now_ns)
{
    turn_wait(device, owner, at(virtual_ns), now_ns, 0);
}

static void test_turn_rules(void **state)
{
    struct meter_device device = {0};
    uint64_t now = 5 * S;
    assert_true(turn_take(&device, 1, at(0), now));
    assert_false(turn_take(&device, 2, at(0), now));
    turn_rest(&device, 1, now); /* idle: anybody may have it, the last owner as well */
    assert_true(turn_retake(&device, 1));
    turn_rest(&device, 1, now);
    assert_true(turn_take(&device, 2, at(0), now));
    turn_rest(&device, 1, now); /* not its turn: nothing happens */
    assert_false(turn_take(&device, 1, at(0), now));
    assert_false(turn_is_due(&device, at(5), now + METER_QUANTUM_NS + 1));
    ask(&device, 1, 4, now);
    assert_true(turn_is_wanted(&device));
    assert_true(turn_is_due(&device, at(5), now + METER_QUANTUM_NS + 1));
    assert_false(turn_is_due(&device, at(5), now + METER_QUANTUM_NS - 1));
    assert_false(turn_is_due(&device, at(4), now + METER_QUANTUM_NS + 1)); /* still goes first */
    turn_rest(&device, 2, now);
    assert_false(turn_retake(&device, 2));
    turn_leave(&device, 1);
    assert_true(turn_take(&device, 2, at(5), now)); /* nobody came, and nobody asks */
    assert_false(turn_is_wanted(&device));
    turn_reap(&device, 1);
    assert_false(turn_take(&device, 1, at(5), now));
    turn_reap(&device, 2);
    assert_true(turn_take(&device, 1, at(5), now));
    turn_show_life(&device, now + 1000); /* a long turn in which commands end is no hung one */
    assert_false(turn_take(&device, 3, at(5), now + METER_PATIENCE_NS + 1));
    assert_true(turn_take(&device, 3, at(5), now + METER_PATIENCE_NS + 1001)); /* outstayed */
}

/* A turn that is given up is for the one who had least, as long as that one may be on its way. */
static void test_turn_order(void **state)
{
    struct meter_device device = {0};
    uint64_t now = 5 * S;
    assert_true(turn_take(&device, 9, at(0), now));
    for (uint32_t owner = 1; owner <= 3; owner++)
        ask(&device, owner, 40 - 10 * owner, now);
    turn_rest(&device, 9, now);
    assert_false(turn_take(&device, 1, at(30), now + 1));
    assert_false(turn_take(&device, 9, at(15), now + 1)); /* who had it last is one of them */
    assert_true(turn_take(&device, 3, at(10), now + 1));
    assert_true(turn_is_wanted(&device));
    turn_rest(&device, 3, now + 2);
    turn_reap(&device, 2); /* died on its way */
    assert_true(turn_take(&device, 1, at(30), now + 3));
    assert_false(turn_is_wanted(&device));

    ask(&device, 2, 20, now + 4);
    turn_rest(&device, 1, now + 4);
    assert_false(turn_take(&device, 1, at(30), now + 5));
    assert_true(turn_take(&device, 1, at(30), now + 5 + METER_GRACE_NS)); /* it does not come */
    assert_false(turn_is_wanted(&device)); /* and is not waited for again, before it asks again */
    turn_rest(&device, 1, now + S);
    assert_true(turn_take(&device, 2, at(20), now + S));
}

/* A lower class goes first, whatever the virtual times, and waits for no quantum. */
static void test_turn_classes(void **state)
{
    const struct turn_rank first = {1, 90}, last = {2, 5};
    struct meter_device device = {0};
    uint64_t now = 5 * S;
    assert_true(turn_take(&device, 1, last, now));
    turn_wait(&device, 3, (struct turn_rank){2, 4}, now, 0);
    assert_false(turn_is_due(&device, last, now + 1));
    turn_wait(&device, 2, first, now, 0);
    assert_true(turn_is_due(&device, last, now + 1));
    assert_false(turn_is_due(&device, at(0), now + METER_QUANTUM_NS + 1));
    turn_rest(&device, 1, now + 1);
    assert_false(turn_take(&device, 3, (struct turn_rank){2, 4}, now + 2));
    assert_true(turn_take(&device, 2, first, now + 2));
}

/* What was lent is not owed; what was earned stays. */
static void test_credit_forgiven(void **state)
{
    struct ledger_card card = {.credit_ns = -5 * MS};
    credit_forgive(&card);
    assert_int_equal(card.credit_ns, 0);
    card.credit_ns = 3 * MS;
    credit_forgive(&card);
    assert_int_equal(card.credit_ns, 3 * MS);
}

static void test_virtual_time_stays_near(void **state)
{
    struct meter_device device = {.virtual_ns = 10 * S};
    uint64_t away = 3 * S, alone = 90 * S, near = 10 * S + 5 * MS;
    assert_int_equal(turn_virtual_ns(&device, &away), 10 * S - METER_LAG_NS);
    assert_int_equal(away, 10 * S - METER_LAG_NS);
    assert_int_equal(turn_virtual_ns(&device, &alone), 10 * S + METER_LEAD_NS);
    assert_int_equal(turn_virtual_ns(&device, &near), 10 * S + 5 * MS);
    assert_int_equal(turn_weigh_ns(30, 300), 100);
    assert_int_equal(turn_weigh_ns(30, 0), 30000);
}

/* One card in a simulation of a device that loses time at each turn. */
struct sharer {
    uint32_t share;
    uint64_t command_ns, used_ns;
    struct ledger_card card;
};

/* The next turn at `now`; returns when it is over. All that may run ask, and the device is given to
 * who can take it. */
static uint64_t run_turn(struct meter_device *device, struct sharer *sharers, uint32_t count,
                         uint64_t now, uint64_t lost_ns)
{
    for (uint32_t i = 0; i < count; i++) {
        struct ledger_card *card = &sharers[i].card;
        if (credit_refill(card, now, CREDIT_ACTIVE) >= 0)
            ask(device, i + 1, turn_virtual_ns(device, &card->virtual_ns), now);
    }
    for (uint32_t i = 0; i < count; i++) {
        struct sharer *sharer = &sharers[i];
        struct ledger_card *card = &sharer->card;
        if (credit_refill(card, now, CREDIT_ACTIVE) < 0 ||
            !turn_take(device, i + 1, at(turn_virtual_ns(device, &card->virtual_ns)), now))
            continue;
        credit_charge(card, sharer->command_ns);
        card->virtual_ns += turn_weigh_ns(sharer->command_ns, sharer->share);
        sharer->used_ns += sharer->command_ns;
        now += sharer->command_ns + lost_ns;
        turn_rest(device, i + 1, now);
        return now;
    }
    return now + MS / 10;
}

/* What the device has is divided as the shares are, whether it suffices for all of them or not;
 * nobody gets more than granted, also after having waited for long with a larger share. */
static void test_division(void **state)
{
    enum { SECONDS = 5 };
    static const struct {
        uint64_t lost_ns, command_ns[4];
        uint32_t shares[4];
    } cases[] = {
        {0, {MS, MS, MS, MS}, {500, 150, 150, 150}},
        {MS, {MS, MS, MS, MS}, {500, 150, 150, 150}},
        {MS, {2 * MS, MS / 2, MS, 5 * MS}, {100, 283, 283, 283}},
        {3 * MS, {MS, MS, MS, MS}, {900, 16, 16, 16}},
        {MS / 10, {20 * MS, 20 * MS, MS, MS}, {300, 300, 300, 50}},
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct meter_device device = {0};
        struct sharer sharers[4];
        uint64_t now = S, all_ns = 0, shares = 0;
        for (int j = 0; j < 4; j++) {
            sharers[j] =
                (struct sharer){.share = cases[i].shares[j], .command_ns = cases[i].command_ns[j]};
            sharers[j].card.share_permille = 950; /* so far */
            sharers[j].card.credit_ns = 300 * MS;
            sharers[j].card.credit_time_ns = now;
        }
        for (int j = 0; j < 4; j++)
            sharers[j].card.share_permille = sharers[j].share;
        const uint64_t end = now + SECONDS * (uint64_t)S;
        while (now < end)
            now = run_turn(&device, sharers, 4, now, cases[i].lost_ns);
        for (int j = 0; j < 4; j++) {
            all_ns += sharers[j].used_ns;
            shares += sharers[j].share;
        }
        for (int j = 0; j < 4; j++) {
            double part = 1000.0 * (double)sharers[j].used_ns / (double)all_ns;
            double fair = 1000.0 * sharers[j].share / (double)shares;
            uint64_t most_ns =
                (SECONDS * (uint64_t)S + METER_BACKLOG_NS) / 1000 * sharers[j].share +
                METER_BURST_NS + sharers[j].command_ns;
            print_message("case %u: %.0f of %.0f permille\n", i, part, fair);
            assert_true(part > fair - 10 && part < fair + 10);
            assert_true(sharers[j].used_ns <= most_ns);
        }
    }
}

static uint64_t clock_now(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * (uint64_t)S + (uint64_t)now.tv_nsec;
}

static void nothing(void *arg)
{
}

/* A session whose commands take `command_ns` each, one at a time, until `until_ns`. */
struct player {
    struct meter *meter;
    uint64_t command_ns, until_ns;
    uint64_t longest_ns; /* that a command really took: this machine may be busy */
    uint32_t *running;   /* of the device: commands at once */
    int overlapped;
    int result;
};

static void *play(void *arg)
{
    struct player *player = arg;
    while (clock_now() < player->until_ns) {
        if (meter_enter(player->meter, player->command_ns, nothing, NULL) < 0)
            break;
        if (__atomic_add_fetch(player->running, 1, __ATOMIC_SEQ_CST) > 1)
            player->overlapped = 1;
        uint64_t start = clock_now();
        const struct timespec end = {(time_t)((start + player->command_ns) / (uint64_t)S),
                                     (long)((start + player->command_ns) % (uint64_t)S)};
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL) == EINTR)
            continue;
        __atomic_sub_fetch(player->running, 1, __ATOMIC_SEQ_CST);
        const struct meter_span span = {start, start, clock_now()};
        if (span.end_ns - start > player->longest_ns)
            player->longest_ns = span.end_ns - start;
        meter_charge(player->meter, &span, player->command_ns);
    }
    return NULL;
}

/* Two cards on one device for a second: their shares, and never two at once. */
static void test_two_cards(void **state)
{
    static const uint32_t shares[2] = {300, 600};
    struct ledger_card cards[2] = {{0}};
    struct meter_device device = {0};
    struct player players[2];
    pthread_t threads[2];
    uint32_t running = 0;
    uint64_t start = clock_now();
    for (uint32_t i = 0; i < 2; i++) {
        cards[i].share_permille = shares[i];
        cards[i].credit_time_ns = start;
        players[i] = (struct player){
            .meter = meter_create(&cards[i], &device, i + 1, 0, -1),
            .command_ns = i ? 3 * MS : 1 * MS,
            .until_ns = start + (uint64_t)S,
            .running = &running,
        };
        assert_non_null(players[i].meter);
    }
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, play, &players[i]), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        uint64_t took = clock_now() - start, got = cards[i].device_time_ns;
        print_message("share %u: measured %.0f permille\n", shares[i],
                      1000.0 * (double)got / (double)took);
        assert_true(got <=
                    took * shares[i] / 1000 + players[i].longest_ns); /* the last one's debt */
        assert_false(players[i].overlapped);
        assert_int_equal(cards[i].slots[0].commands_in_flight, 0);
        meter_destroy(players[i].meter);
    }
    assert_int_equal(device.busy_ns, cards[0].device_time_ns + cards[1].device_time_ns);
}

/* A released share: the executor says that it wants it and waits; the share wakes it. */
static void *enter_once(void *arg)
{
    struct player *player = arg;
    player->result = meter_enter(player->meter, 1, nothing, NULL);
    return NULL;
}

static void wait_until_set(const uint32_t *word)
{
    while (!__atomic_load_n(word, __ATOMIC_SEQ_CST))
        sched_yield();
}

static void test_released_share(void **state)
{
    struct ledger_card card = {0};
    struct meter_device device = {0};
    struct player player = {.meter = meter_create(&card, &device, 9, 0, -1)};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, enter_once, &player), 0);
    wait_until_set(&card.share_wanted);
    assert_int_equal(card.slots[0].commands_in_flight, 0);
    __atomic_store_n(&card.share_permille, 500, __ATOMIC_SEQ_CST);
    futex_wake(&card.share_permille, 1);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(player.result, 0);
    assert_int_equal(card.slots[0].commands_in_flight, 1);
    assert_true(card.last_use_ns > 0);

    card.share_permille = card.share_wanted = 0;
    assert_int_equal(pthread_create(&thread, NULL, enter_once, &player), 0);
    wait_until_set(&card.share_wanted);
    meter_stop(player.meter);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(player.result, -ECANCELED);
    meter_destroy(player.meter);
}

/* Overlapping commands are charged once; a debt holds the next command back. */
static void test_charge_overlap(void **state)
{
    struct ledger_card card = {.share_permille = 1000};
    struct meter_device device = {0};
    struct meter *meter = meter_create(&card, &device, 9, 0, -1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(meter_enter(meter, 1000, nothing, NULL), 0);
    static const struct meter_span spans[] = {
        {1000, 1000, 5000}, {1000, 2000, 7000}, {1000, 3000, 6000}};
    for (int i = 0; i < 3; i++)
        meter_charge(meter, &spans[i], 1000);
    assert_int_equal(card.device_time_ns, 6000);
    assert_int_equal(card.slots[0].commands, 3);
    assert_int_equal(card.slots[0].commands_in_flight, 0);
    meter_destroy(meter);
}

/* A build keeps the card from looking idle, and costs no device time. */
static void test_work_counts_as_use(void **state)
{
    struct ledger_card card = {.share_permille = 500};
    struct meter_device device = {0};
    struct meter *meter = meter_create(&card, &device, 9, 0, -1);
    meter_work_begin(meter);
    assert_int_equal(card.slots[0].commands_in_flight, 1);
    assert_int_equal(meter_enter(meter, METER_UNKNOWN_NS, nothing, NULL), 0);
    assert_int_equal(card.slots[0].commands_in_flight, 2);
    const struct meter_span span = {5, 5, 5};
    meter_charge(meter, &span, METER_UNKNOWN_NS);
    card.last_use_ns = 0;
    meter_work_end(meter);
    assert_int_equal(card.slots[0].commands_in_flight, 0);
    assert_true(card.last_use_ns > 0);
    assert_int_equal(card.device_time_ns, 0);
    meter_destroy(meter);
}

/* The device's pause in front of a command that was there already belongs to the command. */
static void test_charge_pauses(void **state)
{
    enum { LATER = 10 * METER_GAP_NS };
    static const struct {
        struct meter_span span;
        uint64_t expected;
    } cases[] = {
        {{1000, 2000, 3000}, 1000},                               /* the first */
        {{2500, 3500, 4000}, 1000},                               /* was in line */
        {{4100, 4500, 5000}, 500},                                /* was not */
        {{4900, 5000 + METER_GAP_NS, 6000 + METER_GAP_NS}, 1000}, /* in line, but compiled */
        {{5000, 5000, 5000}, 0},                                  /* never ran */
        {{5000, 5900 + METER_GAP_NS, 6500 + METER_GAP_NS}, 500},  /* overlaps */
        {{LATER + 900, LATER + 3000, LATER + 4000}, 1000},        /* told before ... */
        {{LATER + 800, LATER + 1000, LATER + 1500}, 500},         /* ... one that ended earlier */
        {{LATER + 850, LATER + 1600, LATER + 2900}, 1400},        /* and another, in line */
        {{LATER + 850, LATER + 1600, LATER + 2900}, 0},           /* overlaps */
    };
    struct ledger_card card = {.share_permille = 1000};
    struct meter_device device = {0};
    struct meter *meter = meter_create(&card, &device, 9, 0, -1);
    uint64_t sum = 0;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(meter_enter(meter, 1, nothing, NULL), 0);
        meter_charge(meter, &cases[i].span, 1);
        sum += cases[i].expected;
        assert_int_equal(card.device_time_ns, sum);
    }
    meter_destroy(meter);
}

/* The turn is passed on when nothing of its owner is left on the device, and not before. */
static void test_turn_passes_with_the_last(void **state)
{
    struct ledger_card cards[2] = {{.share_permille = 1000}, {.share_permille = 1000}};
    struct meter_device device = {0};
    struct meter *first = meter_create(&cards[0], &device, 1, 0, -1);
    struct meter *next = meter_create(&cards[1], &device, 2, 0, -1);
    const uint64_t estimate = 100000;
    assert_int_equal(meter_enter(first, estimate, nothing, NULL), 0);
    assert_int_equal(meter_enter(first, estimate, nothing, NULL), 0);
    ask(&device, 2, 0, 0);
    const struct meter_span one = {0, 0, estimate}, two = {0, estimate, 2 * estimate};
    meter_charge(first, &one, estimate);
    assert_false(turn_take(&device, 2, at(0), 0));
    meter_charge(first, &two, estimate);
    assert_int_equal(meter_enter(next, estimate, nothing, NULL), 0);
    assert_int_equal(cards[0].device_time_ns, 2 * estimate);
    meter_charge(next, &one, estimate);
    meter_destroy(first);
    meter_destroy(next);
}

static void come_no_further(void *meter)
{
    meter_stop(meter);
}

/* A card with credit hands over more than that covers, by a bounded amount: the end of its credit
 * costs one wait, not one for each command. */
static void test_debt_is_bounded(void **state)
{
    enum { COMMANDS = 20 };
    struct ledger_card card = {.share_permille = 1, .credit_ns = 2 * MS};
    struct meter_device device = {0};
    struct meter *meter = meter_create(&card, &device, 1, 0, -1);
    card.credit_time_ns = clock_now();
    int entered = 0;
    while (entered < COMMANDS && meter_enter(meter, MS / 2, come_no_further, meter) == 0)
        entered++;
    assert_in_range(entered, (2 * MS + METER_RESUME_NS) / (MS / 2) + 1,
                    (2 * MS + METER_RESUME_NS) / (MS / 2) + 2);
    meter_destroy(meter);
}

static void test_free_pass_is_cheap(void **state)
{
    enum { ROUNDS = 100000 };
    struct ledger_card card = {.share_permille = 1000};
    struct meter_device device = {0};
    struct meter *meter = meter_create(&card, &device, 9, 0, -1);
    uint64_t start = clock_now();
    for (uint64_t i = 0; i < ROUNDS; i++) {
        assert_int_equal(meter_enter(meter, 100, nothing, NULL), 0);
        const struct meter_span span = {i * 100, i * 100, i * 100 + 100};
        meter_charge(meter, &span, 100);
    }
    print_message("enter and charge: %.0f ns\n", (double)(clock_now() - start) / ROUNDS);
    meter_destroy(meter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_credit_gains_share),
        cmocka_unit_test(test_credit_loses_no_fraction),
        cmocka_unit_test(test_credit_wait),
        cmocka_unit_test(test_share_over_time),
        cmocka_unit_test(test_turn_rules),
        cmocka_unit_test(test_two_cards),
        cmocka_unit_test(test_released_share),
        cmocka_unit_test(test_charge_overlap),
        cmocka_unit_test(test_charge_pauses),
        cmocka_unit_test(test_free_pass_is_cheap),
        cmocka_unit_test(test_work_counts_as_use),
        cmocka_unit_test(test_turn_order),
        cmocka_unit_test(test_turn_classes),
        cmocka_unit_test(test_credit_forgiven),
        cmocka_unit_test(test_virtual_time_stays_near),
        cmocka_unit_test(test_division),
        cmocka_unit_test(test_turn_passes_with_the_last),
        cmocka_unit_test(test_debt_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
