/* Shares in virtual time: limits x lengths of kernels x neighbours, undisturbed and beside all that
 * goes wrong on a busy machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "card/meter/meter.h"
#include "meter_world.h"

#define US 1000ull
#define MS 1000000ull
#define S 1000000000ull
#define GRANTED_PERMILLE 950u /* of all cards */
#define MEASURE_NS (4 * S)

struct errors {
    double sum, most;
    unsigned count;
    uint64_t most_ns; /* that a card was ahead of what it was granted since the start */
};

static void note(struct errors *errors, double points)
{
    points = points < 0 ? -points : points;
    errors->sum += points;
    errors->count++;
    if (points > errors->most)
        errors->most = points;
}

static double points_of(uint64_t part, uint64_t whole)
{
    return 100.0 * (double)part / (double)whole;
}

/* One cell of the table: its cards' errors in time, and in work as a part of what all did. */
static void run_cell(uint32_t limit_permille, uint64_t kernel_ns, unsigned neighbours,
                     const struct world_trouble *trouble, struct errors *times, struct errors *work)
{
    struct world_card cards[WORLD_CARDS];
    uint32_t each = (GRANTED_PERMILLE - limit_permille) / neighbours;
    uint64_t work_ns = 0, granted = 0;
    for (unsigned i = 0; i <= neighbours; i++)
        cards[i] = (struct world_card){.share_permille = i ? each : limit_permille,
                                       .lengths_ns = {kernel_ns}};
    world_run(cards, neighbours + 1, trouble, 300 * MS, MEASURE_NS);
    for (unsigned i = 0; i <= neighbours; i++) {
        work_ns += cards[i].work_ns;
        granted += cards[i].share_permille;
    }
    for (unsigned i = 0; i <= neighbours; i++) {
        double error = points_of(cards[i].device_ns, MEASURE_NS) - cards[i].share_permille / 10.0;
        note(times, error);
        note(work,
             points_of(cards[i].work_ns, work_ns) - points_of(cards[i].share_permille, granted));
        if (cards[i].most_ns > times->most_ns)
            times->most_ns = cards[i].most_ns;
        if (error > 3 || error < -3)
            print_message(
                "card %u of %u permille, %u neighbours, kernels of %.1f ms: %+.1f points\n", i,
                cards[i].share_permille, neighbours, (double)kernel_ns / (double)MS, error);
    }
}

static void add(struct errors *sum, const struct errors *cell)
{
    sum->sum += cell->sum;
    sum->count += cell->count;
    sum->most = cell->most > sum->most ? cell->most : sum->most;
    sum->most_ns = cell->most_ns > sum->most_ns ? cell->most_ns : sum->most_ns;
}

static double mean_of(const struct errors *errors)
{
    return errors->sum / errors->count;
}

/* `ahead_ns`: what a card may be ahead of its share for a command longer than foreseen. */
static void run_table(const struct world_trouble *trouble, uint64_t ahead_ns)
{
    static const uint64_t kernels_ns[] = {100 * US, 500 * US, 2 * MS, 5 * MS, 20 * MS};
    struct errors times = {0}, work = {0};
    print_message("mean, largest error in points: time; work\n");
    for (unsigned k = 0; k < sizeof(kernels_ns) / sizeof(kernels_ns[0]); k++) {
        print_message("| %4.1f ms", (double)kernels_ns[k] / (double)MS);
        for (unsigned neighbours = 1; neighbours <= 3; neighbours++) {
            struct errors cell[2] = {{0}};
            for (uint32_t limit = 100; limit <= 900; limit += 100)
                run_cell(limit, kernels_ns[k], neighbours, trouble, &cell[0], &cell[1]);
            print_message(" | %.2f, %.2f; %.2f, %.2f", mean_of(&cell[0]), cell[0].most,
                          mean_of(&cell[1]), cell[1].most);
            add(&times, &cell[0]);
            add(&work, &cell[1]);
        }
        print_message(" |\n");
    }
    print_message("%u figures: time %.2f, %.2f; work %.2f, %.2f; ahead by %.1f ms at most\n",
                  times.count, mean_of(&times), times.most, mean_of(&work), work.most,
                  (double)times.most_ns / (double)MS);
    assert_true(mean_of(&times) <= 1 && times.most <= 3);
    assert_true(mean_of(&work) <= 1 && work.most <= 3);
    assert_true(times.most_ns <= 20 * MS + METER_RESUME_NS + MS + ahead_ns);
}

static void test_undisturbed(void **state)
{
    run_table(&(struct world_trouble){0}, 0);
}

/* Executors that wake late, and commands whose length is known roughly. */
static void test_starved(void **state)
{
    const struct world_trouble trouble = {.jitter_percent = 30,
                                          .estimate_percent = 50,
                                          .starved_permille = 30,
                                          .starved_ns = 20 * MS};
    run_table(&trouble, 10 * MS);
}

static void test_starved_for_long(void **state)
{
    run_table(&(struct world_trouble){.starved_permille = 10, .starved_ns = 50 * MS}, 0);
}

/* The machine stands still; a command that is under way is charged with that. */
static void test_stalls(void **state)
{
    run_table(&(struct world_trouble){.stall_every_ns = 3 * S, .stall_ns = 80 * MS}, 160 * MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_undisturbed),
        cmocka_unit_test(test_starved),
        cmocka_unit_test(test_starved_for_long),
        cmocka_unit_test(test_stalls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
