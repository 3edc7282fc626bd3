/* The fleet's placement: amounts, fragmentation by hand-worked nodes, and the memory of scores
 * against scoring everything anew. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sched/choose.h"

static struct fleet_node node_make(uint32_t cpus_milli, uint32_t devices)
{
    struct fleet_node node = {.cpus_milli = cpus_milli,
                              .cpus_free_milli = cpus_milli,
                              .ram_bytes = 1000,
                              .ram_free_bytes = 1000,
                              .device_count = devices,
                              .tasks_max = 100};
    for (uint32_t i = 0; i < devices; i++) {
        node.share_free[i] = FLEET_WHOLE;
        node.memory_free[i] = 100;
    }
    return node;
}

static void test_fits(void **state)
{
    (void)state;
    const struct fleet_shape half = {.cpus_milli = 1000, .count = 1, .share_permille = 500};
    static const struct {
        const char *name;
        struct fleet_shape shape;
        bool fits;
    } cases[] = {
        {"plain", {.cpus_milli = 1000, .count = 1, .share_permille = 500}, true},
        {"cpu only", {.cpus_milli = 8000}, true},
        {"too much cpu", {.cpus_milli = 8001}, false},
        {"too much ram", {.ram_bytes = 1001}, false},
        {"whole device that is free", {.count = 1, .share_permille = 1000}, true},
        {"two whole devices, one is in part taken", {.count = 2, .share_permille = 1000}, false},
        {"two halves", {.count = 2, .share_permille = 500}, true},
        {"too much memory", {.count = 1, .share_permille = 1, .memory_bytes = 101}, false},
        {"another model", {.count = 1, .share_permille = 1, .models = 2}, false},
        {"this model or another", {.count = 1, .share_permille = 1, .models = 3}, true},
    };
    struct fleet_node node = node_make(9000, 2);
    fleet_node_take(&node, &half, 1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (fleet_node_fits(&node, &cases[i].shape) != cases[i].fits)
            fail_msg("%s: %s", cases[i].name, cases[i].fits ? "should fit" : "should not fit");
    }
    fleet_node_give(&node, &half, 1);
    assert_int_equal(fleet_node_idle_permille(&node), 2000);
    assert_int_equal(node.cpus_free_milli, 9000);
    assert_int_equal(node.tasks, 0);
}

static void test_fragment(void **state)
{
    (void)state;
    /* One class: half a device and 4 cores. Worked by hand. */
    struct fragment_usual usual = {
        .classes = {{{.cpus_milli = 4000, .count = 1, .share_permille = 500}, 1.0}}, .count = 1};
    static const struct {
        const char *name;
        uint32_t cpus_milli, shares[3];
        double fit, feed;
    } cases[] = {
        {"empty node, CPU for all", 32000, {1000, 1000, 1000}, 0, 0},
        {"no CPU: all is fragment", 3999, {1000, 1000, 1000}, 3000, 3000},
        {"CPU for one task: one device is fed", 4000, {1000, 1000, 1000}, 0, 2000},
        {"CPU for three tasks: two devices are fed", 12000, {1000, 1000, 1000}, 0, 1000},
        {"a device too full", 32000, {1000, 1000, 400}, 400, 400},
        {"all too full", 32000, {100, 200, 400}, 700, 700},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fleet_node node = node_make(cases[i].cpus_milli, 3);
        memcpy(node.share_free, cases[i].shares, sizeof(cases[i].shares));
        struct fragment found = fragment_measure(&usual, &node);
        if (found.fit != cases[i].fit || found.feed != cases[i].feed)
            fail_msg("%s: fit %g, feed %g", cases[i].name, found.fit, found.feed);
    }
}

static void test_learn(void **state)
{
    (void)state;
    const struct fleet_shape a = {.count = 1, .share_permille = 1}, b = {.count = 2}, c = {0};
    const struct fleet_shape tasks[] = {a, b, a, c, a, b, a, a, a, a};
    static struct fragment_usual usual;
    assert_int_equal(fragment_learn(&usual, tasks, 10, 0.9), 0);
    assert_int_equal(usual.count, 2);
    assert_true(fleet_shape_equal(&usual.classes[0].shape, &a));
    assert_true(usual.classes[0].weight == 0.7);
    assert_true(fleet_shape_equal(&usual.classes[1].shape, &b));
    assert_int_equal(fragment_learn(&usual, tasks, 0, 0.9), 0);
    assert_int_equal(usual.count, 0);
}

static uint64_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
    return *seed >> 33;
}

static struct fleet_shape shape_random(uint64_t *seed)
{
    static const uint32_t shares[] = {100, 250, 500, 1000};
    struct fleet_shape shape = {.cpus_milli = (uint32_t)(next_random(seed) % 4) * 2000,
                                .count = (uint32_t)(next_random(seed) % 3)};
    shape.share_permille = shape.count == 1 ? shares[next_random(seed) % 4] : FLEET_WHOLE;
    shape.share_permille = shape.count ? shape.share_permille : 0;
    shape.memory_bytes = shape.count ? next_random(seed) % 3 * 20 : 0;
    return shape;
}

#define NODES 40
#define HELD_MAX 400

/* With the memory of scores, the choice is that of a chooser that has seen nothing yet. */
static void test_memory(void **state)
{
    (void)state;
    static struct fleet_node nodes[NODES], copy[NODES];
    static struct fragment_usual usual;
    static struct {
        struct fleet_shape shape;
        struct fleet_place place;
    } held[HELD_MAX];
    struct fleet_shape tasks[200];
    uint64_t seed = 7;
    for (size_t i = 0; i < 200; i++)
        tasks[i] = shape_random(&seed);
    assert_int_equal(fragment_learn(&usual, tasks, 200, 0.95), 0);
    for (size_t i = 0; i < NODES; i++)
        nodes[i] = node_make((uint32_t)(8 + i % 3 * 8) * 1000, (uint32_t)(1 + i % 8));
    struct chooser *chooser = chooser_create(choose_rule_find("leat"), nodes, NODES, &usual, 1);
    size_t count = 0, refused = 0;
    for (int step = 0; step < 3000; step++) {
        if (count == HELD_MAX || (count && next_random(&seed) % 3 == 0)) {
            size_t out = next_random(&seed) % count;
            chooser_give(chooser, &held[out].shape, held[out].place);
            held[out] = held[--count];
            continue;
        }
        struct fleet_shape shape = tasks[next_random(&seed) % 200];
        struct fleet_place place = {0}, fresh = {0};
        memcpy(copy, nodes, sizeof(nodes));
        struct chooser *naive = chooser_create(choose_rule_find("leat"), copy, NODES, &usual, 1);
        int r = chooser_find(chooser, &shape, &place),
            expected = chooser_find(naive, &shape, &fresh);
        chooser_destroy(naive);
        assert_int_equal(r, expected);
        assert_int_equal(place.node, fresh.node);
        assert_int_equal(place.devices, fresh.devices);
        refused += r == -ENOSPC;
        if (r == 0) {
            chooser_take(chooser, &shape, place);
            held[count].shape = shape;
            held[count++].place = place;
        }
    }
    assert_true(refused > 0 && count > 0);
    while (count--)
        chooser_give(chooser, &held[count].shape, held[count].place);
    for (size_t i = 0; i < NODES; i++)
        assert_int_equal(fleet_node_idle_permille(&nodes[i]), nodes[i].device_count * FLEET_WHOLE);
    chooser_destroy(chooser);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fits),
        cmocka_unit_test(test_fragment),
        cmocka_unit_test(test_learn),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
