/* Idle share that is lent, priorities and programs of all kinds side by side, in virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "card/meter/meter.h"
#include "meter_world.h"

#define US 1000ull
#define MS 1000000ull
#define S 1000000000ull
#define SETTLE_NS (300 * MS)
#define MEASURE_NS (4 * S)

static const uint64_t kernels_ns[] = {100 * US, 2 * MS, 20 * MS};
#define KERNELS (sizeof(kernels_ns) / sizeof(kernels_ns[0]))

static double percent(const struct world_card *card)
{
    return 100.0 * (double)card->device_ns / (double)MEASURE_NS;
}

static void run(struct world_card *cards, unsigned count)
{
    world_run(cards, count, &(struct world_trouble){0}, SETTLE_NS, MEASURE_NS);
}

static void assert_near(double value, double expected, double by)
{
    if (value < expected - by || value > expected + by)
        print_message("%.2f is not %.2f +- %.2f\n", value, expected, by);
    assert_true(value >= expected - by && value <= expected + by);
}

/* A hard card alone has its share and no more, one that may burst the whole device. */
static void test_alone(void **state)
{
    for (unsigned k = 0; k < KERNELS; k++) {
        struct world_card hard = {.share_permille = 200, .lengths_ns = {kernels_ns[k]}};
        struct world_card burst = hard;
        burst.burst = 1;
        run(&hard, 1);
        run(&burst, 1);
        print_message("%.1f ms: hard %.1f, burst %.1f of 20 %%\n", (double)kernels_ns[k] / 1e6,
                      percent(&hard), percent(&burst));
        assert_near(percent(&hard), 20, 0.6);
        assert_true(percent(&burst) > 96);
    }
}

/* What others do not use is lent; they have all of theirs. */
static void test_burst_takes_the_rest(void **state)
{
    for (unsigned k = 0; k < KERNELS; k++) {
        struct world_card cards[] = {
            {.share_permille = 500, .lengths_ns = {2 * MS}},
            {.share_permille = 200, .lengths_ns = {kernels_ns[k]}},
            {.share_permille = 100, .burst = 1, .lengths_ns = {kernels_ns[k]}},
        };
        run(cards, 3);
        print_message("%.1f ms: %.1f of 50, %.1f of 20, burst %.1f of 10 %%\n",
                      (double)kernels_ns[k] / 1e6, percent(&cards[0]), percent(&cards[1]),
                      percent(&cards[2]));
        assert_near(percent(&cards[0]), 50, 1);
        assert_near(percent(&cards[1]), 20, 1);
        assert_true(percent(&cards[2]) > 25);
    }
}

/* Several that may burst divide what is idle as their shares are. */
static void test_bursts_divide_the_rest(void **state)
{
    for (unsigned k = 0; k < KERNELS; k++) {
        struct world_card cards[] = {
            {.share_permille = 100, .burst = 1, .lengths_ns = {kernels_ns[k]}},
            {.share_permille = 300, .burst = 1, .lengths_ns = {2 * MS}},
        };
        run(cards, 2);
        print_message("%.1f ms: %.1f and %.1f of 10 and 30 %%\n", (double)kernels_ns[k] / 1e6,
                      percent(&cards[0]), percent(&cards[1]));
        assert_true(percent(&cards[0]) + percent(&cards[1]) > 94);
        assert_near(percent(&cards[0]) / (percent(&cards[0]) + percent(&cards[1])), 0.25, 0.02);
    }
}

/* Who wants its share back has the device within a scheduling period and the command that is under
 * way, and from then on all of its share. */
static void test_lent_share_returns(void **state)
{
    for (unsigned k = 0; k < KERNELS; k++) {
        struct world_card cards[] = {
            {.share_permille = 100, .burst = 1, .lengths_ns = {kernels_ns[k]}},
            {.share_permille = 300, .burst = 1, .lengths_ns = {kernels_ns[k]}},
            {.share_permille = 500, .lengths_ns = {MS}, .from_ns = SETTLE_NS, .pause_ns = 30 * MS},
        };
        run(cards, 3);
        print_message("%.1f ms: waited %.1f ms, %.1f at most\n", (double)kernels_ns[k] / 1e6,
                      (double)cards[2].waited_ns / (double)cards[2].waits / 1e6,
                      (double)cards[2].longest_wait_ns / 1e6);
        assert_true(cards[2].longest_wait_ns <= METER_QUANTUM_NS + kernels_ns[k] + MS / 2);
        cards[2].pause_ns = 0;
        run(cards, 3);
        assert_near(percent(&cards[2]), 50, 1);
        assert_true(percent(&cards[0]) > 9 && percent(&cards[1]) > 29);
    }
}

/* The one with priority waits for less, and all have their shares. */
static void test_priority(void **state)
{
    uint64_t longest_ns[2];
    for (uint32_t priority = 0; priority < 2; priority++) {
        struct world_card cards[] = {
            {.share_permille = 240, .lengths_ns = {MS / 2}},
            {.share_permille = 240, .lengths_ns = {MS / 2}},
            {.share_permille = 240, .lengths_ns = {MS / 2}},
            {.share_permille = 280,
             .lengths_ns = {2 * MS},
             .pause_ns = 6 * MS,
             .priority = priority},
        };
        world_run(cards, 4, &(struct world_trouble){.jitter_percent = 20}, SETTLE_NS, MEASURE_NS);
        longest_ns[priority] = cards[3].longest_wait_ns;
        print_message("priority %u: waited %.2f ms, %.1f at most; %.1f of 24, %.1f of 28 %%\n",
                      priority, (double)cards[3].waited_ns / (double)cards[3].waits / 1e6,
                      (double)cards[3].longest_wait_ns / 1e6, percent(&cards[0]),
                      percent(&cards[3]));
        for (unsigned i = 0; i < 3; i++)
            assert_near(percent(&cards[i]), 24, 1);
    }
    assert_true(longest_ns[1] < longest_ns[0]);
}

/* A card of high priority that always has work takes nothing from the others' shares. */
static void test_priority_starves_nobody(void **state)
{
    struct world_card cards[] = {
        {.share_permille = 600, .lengths_ns = {2 * MS}, .priority = METER_PRIORITY_MAX},
        {.share_permille = 280, .lengths_ns = {500 * US}},
        {.share_permille = 100, .lengths_ns = {5 * MS}},
    };
    run(cards, 3);
    for (unsigned i = 0; i < 3; i++)
        assert_near(percent(&cards[i]), cards[i].share_permille / 10.0, 1);
}

/* Kernels of all lengths in one program, very long ones and very short ones beside each other. */
static void test_mixes(void **state)
{
    static const struct world_card mixes[][WORLD_CARDS] = {
        {{.share_permille = 500,
          .lengths_ns = {100 * US, 3 * MS, 300 * US, MS, 100 * US, 10 * MS, MS}},
         {.share_permille = 200, .lengths_ns = {200 * MS}},
         {.share_permille = 150, .lengths_ns = {20 * US}},
         {.share_permille = 100, .lengths_ns = {2 * MS}}},
        {{.share_permille = 300, .lengths_ns = {200 * MS}},
         {.share_permille = 300, .lengths_ns = {100 * US}},
         {.share_permille = 300, .lengths_ns = {50 * US, 50 * US, 50 * US, 40 * MS}},
         {.share_permille = 50, .lengths_ns = {MS}}},
        {{.share_permille = 800, .lengths_ns = {20 * US, 30 * US, 5 * MS}},
         {.share_permille = 50, .lengths_ns = {20 * MS}},
         {.share_permille = 50, .lengths_ns = {100 * US}},
         {.share_permille = 50, .lengths_ns = {20 * US}}},
    };
    double sum = 0;
    for (unsigned i = 0; i < sizeof(mixes) / sizeof(mixes[0]); i++) {
        struct world_card cards[WORLD_CARDS];
        for (unsigned j = 0; j < WORLD_CARDS; j++)
            cards[j] = mixes[i][j];
        /* 200 ms of a command that is begun before the measured time are not in it: over 20 s that
         * is 1 point. */
        world_run(cards, WORLD_CARDS, &(struct world_trouble){.jitter_percent = 20}, SETTLE_NS,
                  20 * S);
        for (unsigned j = 0; j < WORLD_CARDS; j++) {
            double got = (double)cards[j].device_ns / (20.0 * (double)S) * 100;
            double error = got - cards[j].share_permille / 10.0;
            print_message("%.2f of %.1f  ", got, cards[j].share_permille / 10.0);
            assert_near(error, 0, 3);
            sum += error < 0 ? -error : error;
        }
        print_message("\n");
    }
    assert_true(sum / (WORLD_CARDS * sizeof(mixes) / sizeof(mixes[0])) <= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alone),
        cmocka_unit_test(test_burst_takes_the_rest),
        cmocka_unit_test(test_bursts_divide_the_rest),
        cmocka_unit_test(test_lent_share_returns),
        cmocka_unit_test(test_priority),
        cmocka_unit_test(test_priority_starves_nobody),
        cmocka_unit_test(test_mixes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
