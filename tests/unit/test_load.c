/* What a yield that was taken up means for those that spin. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>

#include "base/clock.h"
#include "card/wire/load.h"

#define PAUSE_NS (2 * NS_PER_MS)
#define PAUSE_MOST_NS (1024 * NS_PER_MS)

static void test_one_cpu(void **state)
{
    struct wire_load load;
    cpu_set_t all, one;
    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++)
        if (CPU_ISSET(cpu, &all))
            CPU_SET(cpu, &one);
    assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
    wire_load_init(&load);
    assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
    assert_false(wire_load_has_room(&load, clock_monotonic_ns()));
}

/* A yield that began a millisecond ago was taken up by somebody. */
static void test_taken(void **state)
{
    struct wire_load load;
    (void)state;
    wire_load_init(&load);
    load.cpus = 2;
    const uint64_t start_ns = clock_monotonic_ns();
    assert_true(wire_load_has_room(&load, start_ns));
    wire_load_yield(&load, start_ns - NS_PER_MS);
    const uint64_t end_ns = clock_monotonic_ns();
    assert_false(wire_load_has_room(&load, start_ns + PAUSE_NS - 1));
    assert_true(wire_load_has_room(&load, end_ns + PAUSE_NS));
}

/* Each that follows at once makes the pause longer, up to a second; one much later begins anew. */
static void test_pauses_grow(void **state)
{
    struct wire_load load;
    uint64_t pause_ns = PAUSE_NS;
    (void)state;
    wire_load_init(&load);
    for (int i = 0; i < 20; i++) {
        load.crowded_ns = i ? UINT64_MAX / 2 : 0; /* not over yet, however long we were stopped */
        wire_load_yield(&load, clock_monotonic_ns() - NS_PER_MS);
        assert_int_equal(load.pause_ns, pause_ns);
        pause_ns = pause_ns < PAUSE_MOST_NS ? 2 * pause_ns : PAUSE_MOST_NS;
    }
    load.crowded_ns = clock_monotonic_ns() - 3 * PAUSE_MOST_NS;
    wire_load_yield(&load, clock_monotonic_ns() - NS_PER_MS);
    assert_int_equal(load.pause_ns, PAUSE_NS);
}

/* One that ended before it began was not taken up, however busy this machine is. */
static void test_not_taken(void **state)
{
    struct wire_load load;
    (void)state;
    wire_load_init(&load);
    load.cpus = 2;
    wire_load_yield(&load, clock_monotonic_ns() + NS_PER_S * 3600);
    assert_true(wire_load_has_room(&load, clock_monotonic_ns()));
}

/* Of what is in vain only the first few are tried, and then one in many. */
static void test_vain(void **state)
{
    uint32_t vain = 0;
    unsigned tried = 0;
    (void)state;
    for (unsigned i = 0; i < 256; i++) {
        int is_tried = wire_load_is_worth(&vain);
        tried += (unsigned)is_tried;
        vain += (unsigned)is_tried;
    }
    assert_in_range(tried, 8, 16);
    vain = 0; /* one met what it waited for */
    assert_true(wire_load_is_worth(&vain));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_cpu),     cmocka_unit_test(test_taken),
        cmocka_unit_test(test_pauses_grow), cmocka_unit_test(test_not_taken),
        cmocka_unit_test(test_vain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
