/* The plan of a queue: backfill, kept places, gangs, exact seating, forecasts; and on random
 * streams of tasks that nothing is granted twice and nothing starves. LEAT_LONG=1 is the long form,
 * a million steps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sched/plan.h"

#define HOUR 3600000000ull
#define TASKS_MAX 16
#define NODES_MAX 8

/* A fleet with what runs on it and who waits. */
struct scene {
    struct fleet_node nodes[NODES_MAX];
    struct plan_running running[TASKS_MAX];
    struct plan_task tasks[TASKS_MAX];
    struct plan_outcome outcomes[TASKS_MAX];
    struct fragment_usual usual;
    struct plan plan;
};

static void scene_make(struct scene *scene, size_t nodes, unsigned devices)
{
    memset(scene, 0, sizeof(*scene));
    for (size_t i = 0; i < nodes; i++) {
        scene->nodes[i] = (struct fleet_node){.cpus_milli = 32000,
                                              .cpus_free_milli = 32000,
                                              .device_count = devices,
                                              .tasks_max = 1000};
        for (unsigned d = 0; d < devices; d++)
            scene->nodes[i].share_free[d] = FLEET_WHOLE;
    }
    scene->plan = (struct plan){.nodes = scene->nodes,
                                .node_count = nodes,
                                .running = scene->running,
                                .tasks = scene->tasks,
                                .now_us = 100 * HOUR,
                                .hold_after_us = HOUR,
                                .search = true};
}

static void runs(struct scene *scene, uint32_t node, unsigned device, uint32_t share,
                 uint64_t hours)
{
    struct plan_running *running = &scene->running[scene->plan.running_count++];
    *running = (struct plan_running){
        .shape = {.count = 1, .share_permille = share},
        .place = {node, 1u << device},
        .ends_us = hours ? scene->plan.now_us + hours * HOUR : PLAN_FAR,
    };
    fleet_node_take(&scene->nodes[node], &running->shape, running->place.devices);
}

static struct plan_task *waits(struct scene *scene, uint32_t count, uint32_t share, uint64_t hours)
{
    struct plan_task *task = &scene->tasks[scene->plan.task_count++];
    *task = (struct plan_task){
        .shape = {.count = count, .share_permille = share},
        .length_us = hours ? hours * HOUR : PLAN_FAR,
        .since_us = scene->plan.now_us,
    };
    return task;
}

static int decide(struct scene *scene)
{
    scene->plan.chooser =
        chooser_create(choose_rules, scene->nodes, scene->plan.node_count, &scene->usual, 1);
    assert_non_null(scene->plan.chooser);
    int started = plan_make(&scene->plan, scene->outcomes);
    chooser_destroy(scene->plan.chooser);
    return started;
}

/* The first of the queue wants two devices; one is busy for three hours. */
static void test_backfill(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint64_t holder_hours, hours, waited_hours;
        uint32_t share;
        enum plan_verdict verdict;
    } cases[] = {
        {"ends before the head can begin", 3, 3, 0, 1000, PLAN_STARTS},
        {"would delay the head", 3, 4, 0, 1000, PLAN_BEHIND},
        {"nobody knows how long it takes", 3, 0, 0, 1000, PLAN_BEHIND},
        {"nobody knows when the head can begin", 0, 0, 0, 1000, PLAN_STARTS},
        {"but the head has waited long", 0, 0, 2, 1000, PLAN_BEHIND},
        {"and holds even against small ones", 0, 0, 2, 10, PLAN_BEHIND},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct scene scene;
        scene_make(&scene, 1, 2);
        runs(&scene, 0, 0, 1000, cases[i].holder_hours);
        waits(&scene, 2, 1000, 1)->since_us -= cases[i].waited_hours * HOUR;
        waits(&scene, 1, cases[i].share, cases[i].hours);
        int started = decide(&scene);
        if (scene.outcomes[1].verdict != cases[i].verdict)
            fail_msg("%s: verdict %d", cases[i].name, scene.outcomes[1].verdict);
        assert_int_equal(started, cases[i].verdict == PLAN_STARTS);
        assert_int_equal(scene.outcomes[0].verdict, PLAN_FULL);
        if (cases[i].holder_hours)
            assert_true(scene.outcomes[0].at_us == scene.plan.now_us + 3 * HOUR);
        if (cases[i].verdict == PLAN_BEHIND)
            assert_int_equal(scene.outcomes[1].other, 0);
    }
}

/* Beside a kept place there may be room for others, even for long ones. */
static void test_backfill_beside_a_kept_place(void **state)
{
    (void)state;
    struct scene scene;
    scene_make(&scene, 2, 1);
    runs(&scene, 0, 0, 500, 3);
    runs(&scene, 1, 0, 600, 9);
    waits(&scene, 1, 1000, 1); /* will begin on node 0 */
    waits(&scene, 1, 400, 0);  /* has room on both; only node 1 is left to it */
    assert_int_equal(decide(&scene), 1);
    assert_int_equal(scene.outcomes[1].place.node, 1);
    assert_int_equal(scene.outcomes[1].step, PLAN_BY_BACKFILL);
}

static void test_gang(void **state)
{
    (void)state;
    for (uint32_t members = 2; members <= 3; members++) {
        struct scene scene;
        scene_make(&scene, 2, 1);
        for (uint32_t i = 0; i < members; i++)
            waits(&scene, 1, 1000, 0)->gang = 7;
        waits(&scene, 1, 100, 0);
        bool fits = members == 2;
        assert_int_equal(decide(&scene), fits ? 2 : 1);
        for (uint32_t i = 0; i < members; i++)
            assert_int_equal(scene.outcomes[i].verdict, fits ? PLAN_STARTS : PLAN_GANG);
        if (!fits)
            assert_int_equal(scene.outcomes[0].other, 2);
    }
}

/* Two thirds of a device, each put on a device of its own by packing badly, keep a whole one out;
 * the exact search finds what is possible. */
static void test_search(void **state)
{
    (void)state;
    for (int search = 0; search < 2; search++) {
        struct scene scene;
        scene_make(&scene, 1, 3);
        scene.plan.search = search;
        runs(&scene, 0, 0, 600, 0);
        runs(&scene, 0, 1, 300, 0);
        scene.usual = (struct fragment_usual){
            .classes = {{{.count = 1, .share_permille = 700}, 1.0}}, .count = 1};
        waits(&scene, 1, 400, 0);
        waits(&scene, 1, 700, 0);
        waits(&scene, 1, 1000, 0);
        waits(&scene, 1, 1000, 0);
        (void)decide(&scene);
        uint32_t used = 0;
        for (size_t i = 0; i < 4; i++)
            used +=
                scene.outcomes[i].verdict == PLAN_STARTS ? scene.tasks[i].shape.share_permille : 0;
        assert_int_equal(scene.outcomes[0].verdict, PLAN_STARTS); /* order is not given up */
        if (search)
            assert_int_equal(used, 2100); /* all that there is */
    }
}

static void test_forecast(void **state)
{
    (void)state;
    struct scene scene;
    scene_make(&scene, 1, 1);
    runs(&scene, 0, 0, 1000, 3);
    waits(&scene, 1, 600, 2);
    waits(&scene, 1, 600, 5);
    waits(&scene, 1, 400, 1);
    waits(&scene, 1, 1000, 0);
    waits(&scene, 1, 1000, 0);
    static const uint64_t hours[] = {3, 5, 5, 10};
    uint64_t at_us;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(plan_forecast(&scene.plan, i, &at_us), 0);
        assert_true(at_us == scene.plan.now_us + hours[i] * HOUR);
    }
    assert_int_equal(plan_forecast(&scene.plan, 4, &at_us), 0);
    assert_true(at_us == PLAN_FAR); /* the one before it ends nobody knows when */
}

struct gate_book {
    size_t asked, taken, refuse;
};

static bool gate_ask(void *arg, size_t task, size_t count)
{
    struct gate_book *book = arg;
    book->asked += count;
    return task != book->refuse;
}

static void gate_take(void *arg, size_t task, size_t count)
{
    struct gate_book *book = arg;
    (void)task;
    book->taken += count;
}

static void test_gate(void **state)
{
    (void)state;
    struct gate_book book = {.refuse = 0};
    const struct plan_gate gate = {gate_ask, gate_take, &book};
    struct scene scene;
    scene_make(&scene, 1, 2);
    waits(&scene, 1, 1000, 0);
    waits(&scene, 1, 1000, 0);
    waits(&scene, 2, 1000, 0);
    scene.plan.gate = &gate;
    assert_int_equal(decide(&scene), 1);
    assert_int_equal(scene.outcomes[0].verdict, PLAN_FORBIDDEN);
    assert_int_equal(scene.outcomes[1].verdict, PLAN_STARTS);
    assert_int_equal(book.asked, 3);
    assert_int_equal(book.taken, 1);
}

static uint64_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
    return *seed >> 33;
}

/* -- a stream without end -- */

#define STREAM_QUEUE 6
#define STREAM_STEP (HOUR / 10)
/* Whoever is first holds all that comes free after an hour, and four hours later all has. */
#define STREAM_PATIENCE (STREAM_QUEUE * (HOUR + 4 * HOUR))

struct stream {
    struct scene scene;
    uint64_t random;
    uint32_t gangs;      /* ever */
    bool known;          /* when tasks end */
    size_t started[3];   /* small ones, those of two whole devices, members of gangs */
    uint64_t longest_us; /* that any has waited */
};

static void stream_end_due(struct stream *stream)
{
    struct scene *scene = &stream->scene;
    for (size_t i = 0; i < scene->plan.running_count;) {
        struct plan_running *running = &scene->running[i];
        bool ends = stream->known ? running->ends_us <= scene->plan.now_us
                                  : next_random(&stream->random) % 8 == 0;
        if (!ends) {
            i++;
            continue;
        }
        fleet_node_give(&scene->nodes[running->place.node], &running->shape,
                        running->place.devices);
        memmove(running, running + 1, (--scene->plan.running_count - i) * sizeof(*running));
    }
}

/* Mostly small ones; now and then one of two whole devices of a node, or a gang of two. */
static void stream_fill(struct stream *stream)
{
    struct scene *scene = &stream->scene;
    while (scene->plan.task_count < STREAM_QUEUE) {
        uint64_t hours = stream->known ? 1 + next_random(&stream->random) % 4 : 0;
        uint64_t kind = next_random(&stream->random) % 16;
        uint32_t share = (uint32_t)(100 + next_random(&stream->random) % 9 * 100);
        if (kind == 0) {
            waits(scene, 2, FLEET_WHOLE, hours);
        } else if (kind == 1 && scene->plan.task_count + 2 <= STREAM_QUEUE) {
            stream->gangs++;
            waits(scene, 1, FLEET_WHOLE, hours)->gang = stream->gangs;
            waits(scene, 1, FLEET_WHOLE, hours)->gang = stream->gangs;
        } else {
            waits(scene, 1, share, hours);
        }
    }
}

static void stream_start(struct stream *stream, const struct plan_task *task,
                         struct fleet_place place)
{
    struct scene *scene = &stream->scene;
    uint64_t waited_us = scene->plan.now_us - task->since_us;
    stream->longest_us = waited_us > stream->longest_us ? waited_us : stream->longest_us;
    stream->started[task->gang ? 2 : task->shape.count - 1]++;
    if (scene->plan.running_count < TASKS_MAX)
        scene->running[scene->plan.running_count++] = (struct plan_running){
            task->shape, place, plan_later(scene->plan.now_us, task->length_us)};
    else /* it ends at once */
        fleet_node_give(&scene->nodes[place.node], &task->shape, place.devices);
}

/* What starts leaves the queue; a gang starts whole, and nobody waits for ever. */
static void stream_sweep(struct stream *stream)
{
    struct scene *scene = &stream->scene;
    size_t kept = 0;
    for (size_t i = 0; i < scene->plan.task_count; i++) {
        const struct plan_task task = scene->tasks[i];
        bool starts = scene->outcomes[i].verdict == PLAN_STARTS;
        if (task.gang && i + 1 < scene->plan.task_count && scene->tasks[i + 1].gang == task.gang)
            assert_true(starts == (scene->outcomes[i + 1].verdict == PLAN_STARTS));
        assert_true(scene->plan.now_us - task.since_us <= STREAM_PATIENCE);
        if (starts)
            stream_start(stream, &task, scene->outcomes[i].place);
        else
            scene->tasks[kept++] = task;
    }
    scene->plan.task_count = kept;
}

/* Nothing is granted twice: what runs and what is free is all there is. */
static void stream_check(const struct stream *stream)
{
    const struct scene *scene = &stream->scene;
    uint32_t free = 0, held = 0;
    for (size_t i = 0; i < scene->plan.node_count; i++)
        free += fleet_node_idle_permille(&scene->nodes[i]);
    for (size_t i = 0; i < scene->plan.running_count; i++)
        held += scene->running[i].shape.count * scene->running[i].shape.share_permille;
    assert_int_equal(free + held, 3 * 2 * FLEET_WHOLE);
}

static void stream_play(uint64_t seed, bool known, unsigned steps)
{
    struct stream stream = {.random = seed, .known = known};
    scene_make(&stream.scene, 3, 2);
    for (unsigned step = 0; step < steps; step++) {
        stream.scene.plan.now_us += STREAM_STEP;
        stream_end_due(&stream);
        stream_fill(&stream);
        (void)decide(&stream.scene); /* taking more than there is would end the program */
        stream_sweep(&stream);
        stream_check(&stream);
    }
    for (size_t i = 0; i < sizeof(stream.started) / sizeof(stream.started[0]); i++)
        assert_true(stream.started[i] > 0);
    print_message("%zu small, %zu large, %zu of gangs; the longest wait %.1f h\n",
                  stream.started[0], stream.started[1], stream.started[2],
                  (double)stream.longest_us / HOUR);
}

static void test_no_starvation(void **state)
{
    const char *form = getenv("LEAT_LONG");
    unsigned steps = form && strcmp(form, "1") == 0 ? 500000 : 20000;
    (void)state;
    stream_play(1, false, steps);
    stream_play(2, true, steps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_backfill),      cmocka_unit_test(test_backfill_beside_a_kept_place),
        cmocka_unit_test(test_gang),          cmocka_unit_test(test_search),
        cmocka_unit_test(test_forecast),      cmocka_unit_test(test_gate),
        cmocka_unit_test(test_no_starvation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
