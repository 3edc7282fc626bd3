/* Placement on one machine, its reasons, and the rules by which compute changes hands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "sched/choose.h"
#include "sched/sched.h"

#define MIB (1ull << 20)
#define MINUTE_US (60ull * 1000000)

/* Two devices of one node: a small one partly used, and a large one for training only. */
struct table {
    struct sched_node node;
    struct sched_device devices[2];
    struct sched_job jobs[8];
    struct sched_state state;
};

static void table_init(struct table *table)
{
    *table = (struct table){
        .node = {.id = "n",
                 .cpus_milli = 4000,
                 .cpus_free_milli = 3000,
                 .ram_bytes = 1000 * MIB,
                 .ram_free_bytes = 800 * MIB},
        .devices =
            {
                {.id = "cpu-0",
                 .vendor = "amd",
                 .kind = "cpu",
                 .memory_bytes = 100 * MIB,
                 .memory_free_bytes = 60 * MIB,
                 .share_permille = 1000,
                 .share_free_permille = 500},
                {.id = "gpu-0",
                 .name = "NVIDIA A100-SXM4-40GB",
                 .vendor = "NVIDIA Corporation",
                 .kind = "gpu",
                 .scenario = SCHED_TRAINING,
                 .memory_bytes = 400 * MIB,
                 .memory_free_bytes = 400 * MIB,
                 .share_permille = 1000,
                 .share_free_permille = 1000},
            },
    };
    table->state = (struct sched_state){.nodes = &table->node,
                                        .node_count = 1,
                                        .devices = table->devices,
                                        .device_count = 2,
                                        .jobs = table->jobs};
}

static void table_add(struct table *table, struct sched_job job)
{
    job.id = table->state.job_count + 1;
    table->jobs[table->state.job_count++] = job;
}

static void test_one_job(void **state)
{
    (void)state;
    static const struct {
        struct sched_job job;
        const char *code, *device; /* NULL: it waits */
        int never;
    } cases[] = {
        {{.memory_bytes = 50 * MIB, .share_permille = 500}, "placed", "cpu-0", 0},
        {{.memory_bytes = 70 * MIB, .share_permille = 10}, "placed", "gpu-0", 0},
        {{.memory_bytes = 70 * MIB, .share_permille = 10, .scenario = SCHED_INFERENCE},
         "memory-busy",
         NULL,
         0},
        {{.memory_bytes = 10 * MIB, .share_permille = 600, .device = "cpu-0"},
         "share-busy",
         NULL,
         0},
        {{.memory_bytes = 110 * MIB, .share_permille = 1, .device = "cpu-0"},
         "memory-exceeds-device",
         NULL,
         1},
        {{.memory_bytes = 500 * MIB, .share_permille = 1}, "memory-exceeds-device", NULL, 1},
        {{.share_permille = 1001}, "share-exceeds-device", NULL, 1},
        {{.device = "gpu-9"}, "unknown-device", NULL, 1},
        {{.cuda = true}, "unknown-interface", NULL, 0},
        {{.vendor = "intel"}, "unknown-vendor", NULL, 0},
        {{.vendor = "intel,NVIDIA", .share_permille = 10}, "placed", "gpu-0", 0},
        {{.vendor = "nvidia,amd", .share_permille = 10}, "placed", "gpu-0", 0},
        {{.vendor = "amd,nvidia", .share_permille = 10}, "placed", "cpu-0", 0},
        {{.vendor = "amd,nvidia", .share_permille = 510}, "placed", "gpu-0", 0},
        {{.model = "h100,A100|v100", .share_permille = 10}, "placed", "gpu-0", 0},
        {{.model = "H100"}, "unknown-device-model", NULL, 0},
        {{.vendor = ","}, "unknown-vendor", NULL, 0},
        {{.vendor = "nvidia", .scenario = SCHED_INFERENCE}, "wrong-scenario", NULL, 0},
        {{.cpus_milli = 3500}, "cpus-busy", NULL, 0},
        {{.cpus_milli = 4001}, "cpus-exceed-node", NULL, 1},
        {{.ram_bytes = 900 * MIB}, "ram-busy", NULL, 0},
        {{.ram_bytes = 1001 * MIB}, "ram-exceeds-node", NULL, 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct table table;
        struct sched_decision decision;
        struct sched_reason reason;
        table_init(&table);
        table_add(&table, cases[i].job);
        sched_explain(&table.state, &table.jobs[0], &reason);
        assert_string_equal(reason.code, cases[i].code);
        assert_int_equal(reason.never, cases[i].never);
        assert_int_equal(strlen(reason.unblocks) == 0, cases[i].device != NULL);
        assert_int_equal(sched_decide(choose_rules, &table.state, 0, &decision),
                         cases[i].device != NULL);
        assert_string_equal(sched_why_code(decision.finding.why), cases[i].code); /* one truth */
        if (cases[i].device)
            assert_string_equal(table.devices[decision.device].id, cases[i].device);
    }
}

static void test_cheaper_devices_first(void **state)
{
    (void)state;
    for (size_t cheap = 0; cheap < 2; cheap++) {
        struct table table;
        struct sched_decision decision;
        struct sched_candidate candidates[2];
        table_init(&table);
        table.devices[1].scenario = SCHED_ANY;
        table.devices[!cheap].weight = 5;
        table_add(&table, (struct sched_job){.share_permille = 500, .memory_bytes = 10 * MIB});
        assert_int_equal(sched_candidates(choose_rules, &table.state, &table.jobs[0], candidates),
                         0);
        assert_int_equal(candidates[cheap].preference, 0);
        assert_int_equal(candidates[!cheap].preference, 1);
        assert_int_equal(sched_decide(choose_rules, &table.state, 0, &decision), 1);
        assert_int_equal(decision.device, cheap);
    }
}

static void test_reason_has_amounts(void **state)
{
    (void)state;
    struct table table;
    struct sched_reason reason;
    table_init(&table);
    table_add(&table, (struct sched_job){.device = "cpu-0", .memory_bytes = 80 * MIB});
    sched_explain(&table.state, &table.jobs[0], &reason);
    assert_string_equal(reason.text, "asks for 80 MiB of device memory; cpu-0 has 60 MiB free");
    assert_int_equal(reason.asked.memory_bytes, 80 * MIB);
    assert_int_equal(reason.available.memory_bytes, 60 * MIB);
}

static void test_no_device_may_still_come(void **state)
{
    (void)state;
    struct table table;
    struct sched_reason reason;
    table_init(&table);
    table.state.device_count = 0;
    table_add(&table, (struct sched_job){.memory_bytes = 1});
    sched_explain(&table.state, &table.jobs[0], &reason);
    assert_string_equal(reason.code, "no-device");
    assert_false(reason.never);
}

static void test_queue_order(void **state)
{
    (void)state;
    struct table table;
    struct sched_decision decisions[4];
    table_init(&table);
    table.state.device_count = 1; /* half of it is free */
    table_add(&table, (struct sched_job){.share_permille = 300, .priority = 5});
    table_add(&table, (struct sched_job){.share_permille = 400, .priority = 9});
    table_add(&table, (struct sched_job){.share_permille = 300, .priority = 5});
    table_add(&table, (struct sched_job){.share_permille = 100, .priority = 1});
    assert_int_equal(sched_decide(choose_rules, &table.state, 0, decisions), 2);
    static const struct {
        uint64_t job;
        bool placed;
    } expected[] = {{2, true}, {1, false}, {3, false}, {4, true}};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(decisions[i].job, expected[i].job);
        assert_int_equal(decisions[i].placed, expected[i].placed);
    }
    assert_int_equal(table.devices[0].share_free_permille, 0);
}

/* A job that has waited long is not starved by smaller ones that keep fitting in. */
static void test_long_waiter_holds_devices(void **state)
{
    (void)state;
    for (int late = 0; late < 2; late++) {
        struct table table;
        struct sched_decision decisions[3];
        table_init(&table);
        table_add(&table, (struct sched_job){.share_permille = 800, .device = "cpu-0"});
        table_add(&table, (struct sched_job){.share_permille = 100, .device = "cpu-0"});
        table_add(&table, (struct sched_job){.share_permille = 100, .device = "gpu-0"});
        uint64_t now_us = late ? 11 * MINUTE_US : 9 * MINUTE_US;
        table.jobs[1].waiting_since_us = table.jobs[2].waiting_since_us = now_us;
        assert_int_equal(sched_decide(choose_rules, &table.state, now_us, decisions), late ? 1 : 2);
        assert_string_equal(sched_why_code(decisions[1].finding.why),
                            late ? "held-for-earlier" : "placed");
        assert_true(decisions[2].placed);
    }
}

static void test_idle_rule(void **state)
{
    (void)state;
    static const struct {
        struct sched_activity activity;
        bool idle;
    } cases[] = {
        {{.idle_ms = 999, .idle_after_ms = 1000, .used = true}, false},
        {{.idle_ms = 1000, .idle_after_ms = 1000, .used = true}, true},
        {{.idle_ms = 5000, .idle_after_ms = 1000, .used = true, .wanted = true}, false},
        {{.idle_ms = 99999999, .idle_after_ms = 0, .used = true}, false},
        {{.age_ms = 5000, .idle_ms = 5000, .idle_after_ms = 1000}, false},
        {{.age_ms = 60000, .idle_after_ms = 1000}, true},
        {{.age_ms = 60000, .idle_after_ms = 90000}, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(sched_is_idle(&cases[i].activity), cases[i].idle);
}

static void test_wake_rule(void **state)
{
    (void)state;
    assert_true(sched_may_wake(500, 500, 0));
    assert_false(sched_may_wake(500, 499, 0));
    assert_false(sched_may_wake(500, 1000, 1));
}

static void test_scenarios(void **state)
{
    (void)state;
    assert_int_equal(sched_scenario_parse("training"), SCHED_TRAINING);
    assert_int_equal(sched_scenario_parse("inference"), SCHED_INFERENCE);
    assert_int_equal(sched_scenario_parse("notebook"), SCHED_ANY);
    assert_int_equal(sched_scenario_parse(NULL), SCHED_ANY);
}

/* 60 and 25 % on one device, 50 and 40 % on another that is like it. */
static void test_moves(void **state)
{
    (void)state;
    static const struct {
        uint32_t share_permille;
        uint64_t devices; /* that cards can go to */
        int moves, exchanges;
    } cases[] = {
        {150, 3, 0, 0}, /* it fits as it is */
        {250, 3, 0, 2},
        {250, 1, 0, 0}, /* those on the first device stay */
        {260, 3, 0, 0},
    };
    static const uint32_t shares[] = {600, 250, 500, 400};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct table table;
        struct sched_running running[4];
        struct sched_movable movables[4];
        struct sched_move moves[SCHED_MOVES_MAX];
        const struct sched_job job = {.id = 9, .share_permille = cases[i].share_permille};
        table_init(&table);
        table.devices[1].scenario = SCHED_ANY;
        table.devices[0].share_free_permille = 150;
        table.devices[1].share_free_permille = 100;
        for (size_t k = 0; k < 4; k++) {
            running[k] = (struct sched_running){k + 1, k / 2, 0, 0, shares[k], 0, SCHED_FAR};
            movables[k] = (struct sched_movable){
                k, {.id = k + 1, .share_permille = shares[k]}, cases[i].devices};
        }
        table.state.running = running;
        table.state.running_count = 4;
        assert_int_equal(sched_repack(choose_rules, &table.state, &job, movables, 4, moves),
                         cases[i].moves);
        assert_int_equal(sched_exchange(choose_rules, &table.state, &job, movables, 4, moves),
                         cases[i].exchanges);
        for (int k = 0; k < cases[i].exchanges; k++)
            assert_true(moves[k].device != running[moves[k].movable].device);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_job),
        cmocka_unit_test(test_reason_has_amounts),
        cmocka_unit_test(test_cheaper_devices_first),
        cmocka_unit_test(test_no_device_may_still_come),
        cmocka_unit_test(test_queue_order),
        cmocka_unit_test(test_long_waiter_holds_devices),
        cmocka_unit_test(test_idle_rule),
        cmocka_unit_test(test_wake_rule),
        cmocka_unit_test(test_scenarios),
        cmocka_unit_test(test_moves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
