/* Traces in time, and moves that let one more task in: by hand-worked examples, and on random
 * streams that nothing is granted twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "sched/repack.h"
#include "sched/replay.h"

#define NODES "name,cpus_milli,ram_mib,cards,model\nn,16000,1000,2,a\n"
#define TASKS "name,arrival_s,duration_s,cpus_milli,ram_mib,cards,share_permille,models,tenant\n"

static struct replay_result play(const char *nodes, const char *tasks,
                                 const struct replay_options *given)
{
    struct trace trace = {0};
    struct replay_result result = {0};
    struct replay_options options = *given;
    struct error err = {0};
    options.rule = choose_rules;
    if (trace_read_nodes(&trace, nodes, &err) < 0 || trace_read_tasks(&trace, tasks, &err) < 0 ||
        trace_order_by_arrival(&trace, &err) < 0 || replay_run(&trace, &options, &result, &err) < 0)
        fail_msg("%s", err.text);
    trace_finish(&trace);
    return result;
}

/* Two devices. A long task on one; then one that wants both, and a short one behind it. */
static void test_waiting(void **state)
{
    (void)state;
    static const char tasks[] = TASKS "long,0,100,1000,0,1,1000,,x\n"
                                      "both,10,100,1000,0,2,1000,,x\n"
                                      "short,20,50,1000,0,1,1000,,y\n"
                                      "later,30,100,1000,0,1,1000,,y\n";
    const struct replay_options backfill = {.backfill = true}, none = {.backfill = false};
    struct replay_result result = play(NODES, tasks, &backfill);
    /* long 0-100, short 20-70 beside it, both 100-200, later 200-300. */
    assert_int_equal(result.started, 4);
    assert_int_equal(result.waiting, 0);
    assert_true(result.wait_mean_s == (0 + 90 + 0 + 170) / 4.0);
    assert_true(result.wait_max_s == 170);
    assert_true(result.makespan_s == 300);
    assert_true(result.used_percent == (100 + 50 + 200 + 100) / 600.0 * 100);
    assert_true(result.peak_percent == 100);
    result = play(NODES, tasks, &none); /* later 70-170 goes ahead of the one that wants both */
    assert_true(result.wait_max_s == 160);
    assert_true(result.makespan_s == 270);
}

static void test_window(void **state)
{
    (void)state;
    static const char tasks[] = TASKS "a,1,100,1000,0,1,600,,\nb,2,100,1000,0,1,600,,\n"
                                      "c,3,100,1000,0,1,400,,\nd,4,100,1000,0,1,400,,\n";
    const struct replay_options options = {.window_s = 10, .search = true};
    struct replay_result result = play(NODES, tasks, &options);
    assert_int_equal(result.started, 4);
    assert_true(result.peak_percent == 100);
    assert_true(result.wait_max_s <= 10);
}

/* One device has 300 of a task that could sit on the other: moved, a whole one fits. */
static void test_moves(void **state)
{
    (void)state;
    static const char tasks[] = TASKS "a,0,0,1000,0,1,600,,\nb,1,10,1000,0,1,600,,\n"
                                      "c,2,0,1000,0,1,300,,\nd,3600,0,1000,0,1,1000,,\n";
    for (uint32_t moves = 0; moves <= 5; moves += 5) {
        const struct replay_options options = {.moves_per_hour = moves};
        struct replay_result result = play(NODES, tasks, &options);
        assert_true(result.moves <= moves);
        if (moves)
            assert_int_equal(result.waiting, 0);
    }
}

static void test_repack_finds_the_small_one(void **state)
{
    (void)state;
    struct fleet_node nodes[2];
    struct fragment_usual usual = {.count = 0};
    struct repack_task running[] = {
        {{.count = 1, .share_permille = 200}, {0, 1}, true},
        {{.count = 1, .share_permille = 600}, {1, 1}, true},
    };
    for (int i = 0; i < 2; i++) {
        nodes[i] = (struct fleet_node){.device_count = 1, .tasks_max = 10};
        nodes[i].share_free[0] = FLEET_WHOLE;
        fleet_node_take(&nodes[i], &running[i].shape, 1);
    }
    const struct fleet_shape whole = {.count = 1, .share_permille = 1000};
    struct repack repack = {.chooser = chooser_create(choose_rules, nodes, 2, &usual, 1),
                            .nodes = nodes,
                            .running = running,
                            .running_count = 2};
    struct repack_move moves[REPACK_MOVES_MAX];
    struct fleet_place place;
    assert_non_null(repack.chooser);
    assert_int_equal(repack_find(&repack, &whole, moves, &place), 1);
    assert_int_equal(moves[0].task, 0);
    assert_int_equal(moves[0].to.node, 1);
    assert_int_equal(place.node, 0);
    running[0].movable = running[1].movable = false;
    assert_int_equal(repack_find(&repack, &whole, moves, &place), 0);
    assert_int_equal(nodes[0].share_free[0], 800); /* as it was */
    chooser_destroy(repack.chooser);
}

/* A node with a free device and no CPU for it, and one with CPU: two tasks change places. */
static void test_swap(void **state)
{
    (void)state;
    struct fleet_node nodes[2];
    struct fragment_usual usual = {.count = 0};
    struct repack_task running[] = {
        {{.count = 1, .share_permille = 1000, .cpus_milli = 8000}, {0, 1}, true},
        {{.count = 1, .share_permille = 1000, .cpus_milli = 2000}, {1, 1}, true},
    };
    for (int i = 0; i < 2; i++) {
        nodes[i] = (struct fleet_node){
            .cpus_free_milli = 9000, .device_count = i == 0 ? 2 : 1, .tasks_max = 10};
        nodes[i].share_free[0] = nodes[i].share_free[1] = FLEET_WHOLE;
        fleet_node_take(&nodes[i], &running[i].shape, 1);
    }
    const struct fleet_shape asks = {.count = 1, .share_permille = 1000, .cpus_milli = 4000};
    struct repack repack = {.chooser = chooser_create(choose_rules, nodes, 2, &usual, 1),
                            .nodes = nodes,
                            .running = running,
                            .running_count = 2};
    struct repack_move moves[REPACK_MOVES_MAX];
    struct fleet_place place;
    assert_int_equal(repack_find(&repack, &asks, moves, &place), 0);
    repack.may_swap = true;
    assert_int_equal(repack_find(&repack, &asks, moves, &place), 2);
    assert_int_equal(moves[0].to.node, 1);
    assert_int_equal(moves[1].to.node, 0);
    assert_int_equal(place.node, 0);
    assert_int_equal(place.devices, 2);
    chooser_destroy(repack.chooser);
}

/* Two devices with a little idle each: two unlike tasks change places, and one has it all. */
static void test_swap_of_unlike(void **state)
{
    (void)state;
    struct fleet_node nodes[2];
    struct fragment_usual usual = {.count = 0};
    struct repack_task running[] = {
        {{.count = 1, .share_permille = 600}, {0, 1}, true},
        {{.count = 1, .share_permille = 250}, {0, 1}, true},
        {{.count = 1, .share_permille = 500}, {1, 1}, true},
        {{.count = 1, .share_permille = 400}, {1, 1}, true},
    };
    for (int i = 0; i < 2; i++) {
        nodes[i] = (struct fleet_node){.device_count = 1, .tasks_max = 10};
        nodes[i].share_free[0] = FLEET_WHOLE;
        for (int k = 0; k < 2; k++)
            fleet_node_take(&nodes[i], &running[2 * i + k].shape, 1);
    }
    struct fleet_shape asks = {.count = 1, .share_permille = 250};
    struct repack repack = {.chooser = chooser_create(choose_rules, nodes, 2, &usual, 1),
                            .nodes = nodes,
                            .running = running,
                            .running_count = 4,
                            .may_swap = true};
    struct repack_move moves[REPACK_MOVES_MAX];
    struct fleet_place place;
    assert_int_equal(repack_find(&repack, &asks, moves, &place), 2);
    assert_int_equal(moves[0].task, 0); /* 600 for 500: 150 and 100 become 250 and nothing */
    assert_int_equal(moves[1].task, 2);
    assert_int_equal(place.node, 0);
    asks.share_permille = 251;
    assert_int_equal(repack_find(&repack, &asks, moves, &place), 0);
    chooser_destroy(repack.chooser);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waiting), cmocka_unit_test(test_window),
        cmocka_unit_test(test_moves),   cmocka_unit_test(test_repack_finds_the_small_one),
        cmocka_unit_test(test_swap),    cmocka_unit_test(test_swap_of_unlike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
