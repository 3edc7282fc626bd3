/* The exact placement against trying everything, and against the greedy answer it starts from. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sched/window.h"

static uint64_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
    return *seed >> 33;
}

struct instance {
    struct fleet_node nodes[WINDOW_NODES_MAX];
    uint32_t weights[WINDOW_NODES_MAX];
    struct window_job jobs[WINDOW_JOBS_MAX];
    struct window_problem problem;
};

static void instance_make(struct instance *made, uint64_t *seed, size_t nodes, size_t jobs)
{
    static const uint32_t shares[] = {250, 500, 750, 1000};
    memset(made, 0, sizeof(*made));
    for (size_t i = 0; i < nodes; i++) {
        struct fleet_node *node = &made->nodes[i];
        *node = (struct fleet_node){.cpus_free_milli = (uint32_t)(next_random(seed) % 5 + 2) * 1000,
                                    .ram_free_bytes = 1000,
                                    .device_count = (uint32_t)(1 + next_random(seed) % 2),
                                    .tasks_max = 100};
        made->weights[i] = (uint32_t)(next_random(seed) % 3) * 1000;
        for (unsigned d = 0; d < node->device_count; d++) {
            node->share_free[d] = shares[next_random(seed) % 4];
            node->memory_free[d] = 50 + next_random(seed) % 3 * 25;
        }
    }
    for (size_t i = 0; i < jobs; i++) {
        struct fleet_shape *shape = &made->jobs[i].shape;
        shape->count = (uint32_t)(next_random(seed) % 5 ? 1 : 2);
        shape->share_permille = shares[next_random(seed) % 4];
        shape->memory_bytes = next_random(seed) % 3 * 30;
        shape->cpus_milli = (uint32_t)(next_random(seed) % 3) * 1000;
        made->jobs[i].rank = (uint32_t)(next_random(seed) % 2);
        made->jobs[i].value = shape->count * shape->share_permille;
    }
    made->problem = (struct window_problem){.nodes = made->nodes,
                                            .weights = made->weights,
                                            .node_count = nodes,
                                            .jobs = made->jobs,
                                            .job_count = jobs,
                                            .steps_max = 1000000};
}

struct outcome {
    uint64_t value[2], cost;
};

static int better(const struct outcome *a, const struct outcome *b)
{
    for (int rank = 0; rank < 2; rank++) {
        if (a->value[rank] != b->value[rank])
            return a->value[rank] > b->value[rank];
    }
    return a->cost < b->cost;
}

/* Every job in every place or waiting, without any cleverness. */
static void try_everything(const struct instance *made, struct fleet_node *nodes, size_t job,
                           struct outcome now, struct outcome *best)
{
    if (job == made->problem.job_count) {
        if (better(&now, best))
            *best = now;
        return;
    }
    try_everything(made, nodes, job + 1, now, best);
    const struct window_job *asked = &made->jobs[job];
    for (size_t n = 0; n < made->problem.node_count; n++) {
        for (uint32_t devices = 1; devices < 1u << nodes[n].device_count; devices++) {
            int fits = (uint32_t)__builtin_popcount(devices) == asked->shape.count &&
                       fleet_node_fits(&nodes[n], &asked->shape);
            for (unsigned d = 0; d < nodes[n].device_count; d++)
                fits =
                    fits && (!(devices >> d & 1) || fleet_device_fits(&nodes[n], d, &asked->shape));
            if (!fits)
                continue;
            struct outcome next = now;
            next.value[asked->rank] += asked->value;
            next.cost += (uint64_t)made->weights[n] * asked->shape.count *
                         asked->shape.share_permille / FLEET_WHOLE;
            fleet_node_take(&nodes[n], &asked->shape, devices);
            try_everything(made, nodes, job + 1, next, best);
            fleet_node_give(&nodes[n], &asked->shape, devices);
        }
    }
}

static void answer_waits(struct window_answer *answer)
{
    memset(answer, 0, sizeof(*answer));
    for (size_t i = 0; i < WINDOW_JOBS_MAX; i++)
        answer->places[i].node = WINDOW_WAITS;
}

static void test_exact(void **state)
{
    (void)state;
    uint64_t seed = 11;
    for (int round = 0; round < 2000; round++) {
        struct instance made;
        instance_make(&made, &seed, 1 + next_random(&seed) % 3, 1 + next_random(&seed) % 4);
        struct outcome best = {{0, 0}, 0};
        struct fleet_node nodes[WINDOW_NODES_MAX];
        memcpy(nodes, made.nodes, sizeof(nodes));
        try_everything(&made, nodes, 0, (struct outcome){{0, 0}, 0}, &best);
        struct window_answer answer;
        answer_waits(&answer);
        assert_int_equal(window_solve(&made.problem, &answer), 0);
        assert_true(answer.exact);
        assert_int_equal(answer.value[0], best.value[0]);
        assert_int_equal(answer.value[1], best.value[1]);
        assert_int_equal(answer.cost, best.cost);
        struct window_answer again = answer;
        assert_int_equal(window_solve(&made.problem, &again), 0); /* its own answer is possible */
        assert_int_equal(again.cost, answer.cost);
    }
}

/* How many 0/1 variables the instance has: a job on a choice of devices of a node, each. */
static unsigned binaries(const struct instance *made)
{
    unsigned count = 0;
    for (size_t i = 0; i < made->problem.job_count; i++) {
        for (size_t n = 0; n < made->problem.node_count; n++) {
            unsigned devices = made->nodes[n].device_count, wanted = made->jobs[i].shape.count;
            count += wanted == 1 ? devices : wanted <= devices;
        }
    }
    return count;
}

/* Every instance of at most twelve variables out of very many: the answer is the best there is. */
static void test_small_instances(void **state)
{
    (void)state;
    uint64_t seed = 23;
    unsigned seen[13] = {0};
    for (int round = 0; round < 60000; round++) {
        struct instance made;
        instance_make(&made, &seed, 1 + next_random(&seed) % 4, 1 + next_random(&seed) % 6);
        unsigned count = binaries(&made);
        if (count > 12)
            continue;
        seen[count]++;
        struct outcome best = {{0, 0}, 0};
        struct fleet_node nodes[WINDOW_NODES_MAX];
        memcpy(nodes, made.nodes, sizeof(nodes));
        try_everything(&made, nodes, 0, (struct outcome){{0, 0}, 0}, &best);
        struct window_answer answer;
        answer_waits(&answer);
        assert_int_equal(window_solve(&made.problem, &answer), 0);
        assert_true(answer.exact);
        assert_int_equal(answer.value[0], best.value[0]);
        assert_int_equal(answer.value[1], best.value[1]);
        assert_int_equal(answer.cost, best.cost);
    }
    for (unsigned i = 1; i <= 12; i++)
        assert_true(seen[i] > 100);
}

/* In order, each where it first fits. */
static void answer_greedy(const struct instance *made, struct window_answer *answer)
{
    struct fleet_node nodes[WINDOW_NODES_MAX];
    memcpy(nodes, made->nodes, sizeof(nodes));
    answer_waits(answer);
    for (size_t i = 0; i < made->problem.job_count; i++) {
        for (uint32_t n = 0; n < made->problem.node_count; n++) {
            if (!fleet_node_fits(&nodes[n], &made->jobs[i].shape))
                continue;
            uint32_t devices = fleet_node_first_devices(&nodes[n], &made->jobs[i].shape);
            fleet_node_take(&nodes[n], &made->jobs[i].shape, devices);
            answer->places[i] = (struct fleet_place){n, devices};
            break;
        }
    }
}

static void test_never_worse(void **state)
{
    (void)state;
    uint64_t seed = 5;
    unsigned improved = 0;
    for (int round = 0; round < 50; round++) {
        struct instance made;
        instance_make(&made, &seed, 16, 32);
        made.problem.steps_max = 20000;
        struct window_answer greedy, answer;
        answer_greedy(&made, &greedy);
        answer = greedy;
        struct window_problem still = made.problem;
        still.steps_max = 0;
        assert_int_equal(window_solve(&still, &greedy), 0); /* only weighs it */
        assert_int_equal(window_solve(&made.problem, &answer), 0);
        struct outcome a = {{answer.value[0], answer.value[1]}, answer.cost};
        struct outcome g = {{greedy.value[0], greedy.value[1]}, greedy.cost};
        assert_false(better(&g, &a));
        improved += (unsigned)better(&a, &g);
    }
    assert_true(improved > 10);
}

static void test_refusals(void **state)
{
    (void)state;
    struct instance made;
    uint64_t seed = 3;
    struct window_answer answer;
    instance_make(&made, &seed, 2, 2);
    answer_waits(&answer);
    answer.places[0] = (struct fleet_place){7, 1};
    assert_int_equal(window_solve(&made.problem, &answer), -EINVAL);
    made.jobs[0].rank = WINDOW_RANKS_MAX;
    answer_waits(&answer);
    assert_int_equal(window_solve(&made.problem, &answer), -E2BIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact),
        cmocka_unit_test(test_small_instances),
        cmocka_unit_test(test_never_worse),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
