/* Packing small groups of devices anew: what is found can be carried out, and on random groups it
 * is found exactly when there is any. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sched/regroup.h"

#define TASKS_MAX 12
#define NODES_MAX 3

struct scene {
    struct fleet_node nodes[NODES_MAX];
    struct repack_task running[TASKS_MAX];
    struct repack repack;
};

static void scene_make(struct scene *scene)
{
    memset(scene, 0, sizeof(*scene));
    for (size_t i = 0; i < NODES_MAX; i++) {
        scene->nodes[i] =
            (struct fleet_node){.cpus_free_milli = 8000, .device_count = 1, .tasks_max = 100};
        scene->nodes[i].share_free[0] = FLEET_WHOLE;
        scene->nodes[i].memory_free[0] = 100;
    }
    scene->repack = (struct repack){.nodes = scene->nodes, .running = scene->running};
}

static struct fleet_shape *runs(struct scene *scene, uint32_t node, uint32_t share)
{
    struct repack_task *task = &scene->running[scene->repack.running_count++];
    *task = (struct repack_task){{.count = 1, .share_permille = share}, {node, 1}, true};
    return &task->shape;
}

static void take_all(struct scene *scene)
{
    for (size_t i = 0; i < scene->repack.running_count; i++)
        fleet_node_take(&scene->nodes[scene->running[i].place.node], &scene->running[i].shape, 1);
}

/* The moves, carried out: all goes away, and all finds room again. Whatever does not fit ends the
 * program. */
static void carry_out(const struct scene *before, const struct fleet_shape *asks,
                      const struct repack_move *moves, int count, struct fleet_place place)
{
    struct scene scene = *before;
    for (int i = 0; i < count; i++) {
        const struct repack_task *task = &scene.running[moves[i].task];
        assert_true(task->movable && task->place.node != moves[i].to.node);
        fleet_node_give(&scene.nodes[task->place.node], &task->shape, task->place.devices);
    }
    for (int i = 0; i < count; i++)
        fleet_node_take(&scene.nodes[moves[i].to.node], &scene.running[moves[i].task].shape,
                        moves[i].to.devices);
    fleet_node_take(&scene.nodes[place.node], asks, place.devices);
}

static void test_three_devices(void **state)
{
    (void)state;
    struct scene scene;
    struct repack_move moves[REPACK_MOVES_MAX];
    struct fleet_place place;
    struct fleet_shape asks = {.count = 1, .share_permille = 320};
    scene_make(&scene);
    runs(&scene, 0, 650);
    runs(&scene, 0, 230);
    runs(&scene, 1, 550);
    runs(&scene, 1, 320);
    runs(&scene, 2, 480);
    runs(&scene, 2, 450);
    take_all(&scene); /* idle: 120, 130 and 70 */
    assert_int_equal(regroup_find(&scene.repack, &asks, moves, &place), 0);
    asks.share_permille = 290; /* 650 + 320, 550 + 450, 480 + 230 + 290 */
    int count = regroup_find(&scene.repack, &asks, moves, &place);
    assert_int_equal(count, 3);
    carry_out(&scene, &asks, moves, count, place);
    for (size_t i = 0; i < scene.repack.running_count; i++)
        scene.running[i].movable = false;
    assert_int_equal(regroup_find(&scene.repack, &asks, moves, &place), 0);
}

/* -- against every way to pack them -- */

static uint32_t dice(uint64_t *seed, uint32_t sides)
{
    *seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(*seed >> 33) % sides;
}

/* Is there any way to seat those from `index` on, and then the one that asks? */
static bool any_way(struct scene *scene, size_t index, const struct fleet_shape *asks)
{
    bool last = index == scene->repack.running_count;
    const struct fleet_shape *shape = last ? asks : &scene->running[index].shape;
    for (size_t i = 0; i < NODES_MAX; i++) {
        if (!fleet_node_has(&scene->nodes[i], shape, 1))
            continue;
        fleet_node_take(&scene->nodes[i], shape, 1);
        bool found = last || any_way(scene, index + 1, asks);
        fleet_node_give(&scene->nodes[i], shape, 1);
        if (found)
            return true;
    }
    return false;
}

static void group_random(struct scene *scene, uint64_t *seed)
{
    scene_make(scene);
    for (uint32_t node = 0; node < NODES_MAX; node++) {
        uint32_t left = FLEET_WHOLE, memory = 100, cpus = 8000;
        for (unsigned i = 0; i < 3; i++) {
            struct fleet_shape shape = {.count = 1,
                                        .share_permille = 50 + 10 * dice(seed, 50),
                                        .memory_bytes = dice(seed, 50),
                                        .cpus_milli = 500 * dice(seed, 8)};
            if (shape.share_permille > left || shape.memory_bytes > memory ||
                shape.cpus_milli > cpus)
                continue;
            left -= shape.share_permille;
            memory -= (uint32_t)shape.memory_bytes;
            cpus -= shape.cpus_milli;
            *runs(scene, node, shape.share_permille) = shape;
        }
    }
    take_all(scene);
}

static void test_finds_what_there_is(void **state)
{
    (void)state;
    uint64_t seed = 11;
    unsigned found = 0, missed = 0;
    for (unsigned round = 0; round < 3000; round++) {
        struct scene scene, empty;
        struct repack_move moves[REPACK_MOVES_MAX];
        struct fleet_place place;
        group_random(&scene, &seed);
        const struct fleet_shape asks = {.count = 1,
                                         .share_permille = 100 + 10 * dice(&seed, 60),
                                         .memory_bytes = dice(&seed, 60),
                                         .cpus_milli = 500 * dice(&seed, 8)};
        bool fits = false, each = true;
        for (size_t i = 0; i < NODES_MAX; i++) {
            fits = fits || fleet_node_has(&scene.nodes[i], &asks, 1);
            each =
                each && scene.nodes[i].tasks > 0; /* a device without any is no part of a group */
        }
        if (fits || !each)
            continue;
        const struct scene before = scene;
        int count = regroup_find(&scene.repack, &asks, moves, &place);
        assert_memory_equal(before.nodes, scene.nodes, sizeof(scene.nodes));
        if (count > 0)
            carry_out(&scene, &asks, moves, count, place);
        scene_make(&empty);
        memcpy(empty.running, scene.running, sizeof(empty.running));
        empty.repack.running_count = scene.repack.running_count;
        bool possible = any_way(&empty, 0, &asks);
        assert_true(count >= 0 && (count == 0 || possible));
        found += count > 0;
        missed += possible && count == 0; /* more moves than may be made */
    }
    print_message("%u found, %u need too many moves\n", found, missed);
    assert_true(found > 100 && missed < found / 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_three_devices),
        cmocka_unit_test(test_finds_what_there_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
