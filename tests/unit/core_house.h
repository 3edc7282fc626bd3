/* What tests of core stand on: a centre on the fake engine and a fake leat-cardd, answers that are
 * waited for, and what a job is. Included once, by test_core*.c, after cmocka. */
#ifndef LEAT_TEST_CORE_HOUSE_H
#define LEAT_TEST_CORE_HOUSE_H

#include <signal.h>
#include <uv.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "core/core.h"
#include "engine/fake.h"
#include "fake_cardd.h"

#define WATCHDOG_S 100

struct house {
    uv_loop_t loop;
    uv_timer_t tick; /* turns the loop, see TURN_UNTIL */
    char folder[64], run_dir[80], state_dir[80];
    struct engine_fake_world *world;
    struct fake_cardd *cardd;
    struct core *core;
    unsigned minimum_ms, notice_ms; /* of loans and preemption */
    uint32_t moves_per_hour;
};

/* -- replies -- */

struct answer {
    bool given;
    json_t *result;
    struct error err;
};

static void take_answer(void *arg, json_t *result, const struct error *err)
{
    struct answer *answer = arg;
    assert_false(answer->given);
    answer->given = true;
    answer->result = result;
    answer->err = err ? *err : (struct error){0};
}

static void answer_clear(struct answer *answer)
{
    json_decref(answer->result);
    *answer = (struct answer){0};
}
#define AUTO_ANSWER __attribute__((cleanup(answer_clear)))

/* A condition may turn the loop itself, for an answer, and what it waits for may come with that
 * turn: then nothing else need ever wake the loop. */
#define TICK_MS 10
#define TURN_UNTIL(house, condition) \
    do { \
        while (!(condition)) \
            assert_true(uv_run(&(house)->loop, UV_RUN_ONCE) || (condition)); \
    } while (0)

static const char *text_of(const json_t *object, const char *member)
{
    const char *text = json_string_value(json_object_get(object, member));
    return text ? text : "";
}

/* -- the house -- */

static void core_open(struct house *house)
{
    struct error err = {0};
    const struct core_options options = {
        .loop = &house->loop,
        .run_dir = house->run_dir,
        .state_dir = house->state_dir,
        .data_dir = DATA_FOLDER,
        .engine_name = "fake",
        .fake_world = house->world,
        .idle_poll_ms = 5,
        .loan_minimum_ms = house->minimum_ms,
        .loan_notice_ms = house->notice_ms,
        .moves_per_hour = house->moves_per_hour,
    };
    int r = core_create(&options, &house->core, &err);
    if (r == 0)
        r = core_start(house->core, &err);
    if (r < 0)
        fail_msg("%s", err.text);
}

static void on_stopped(void *arg)
{
    *(bool *)arg = true;
}

static void core_shut(struct house *house)
{
    bool stopped = false;
    core_stop(house->core, on_stopped, &stopped);
    TURN_UNTIL(house, stopped);
    core_destroy(house->core);
    house->core = NULL;
}

static void on_tick(uv_timer_t *timer)
{
    (void)timer; /* the turn is enough */
}

static void house_open_with(struct house *house, unsigned minimum_ms, unsigned notice_ms)
{
    *house = (struct house){
        .world = engine_fake_world_create(), .minimum_ms = minimum_ms, .notice_ms = notice_ms};
    (void)uv_loop_init(&house->loop);
    (void)uv_timer_init(&house->loop, &house->tick);
    (void)uv_timer_start(&house->tick, on_tick, TICK_MS, TICK_MS);
    (void)sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL); /* as leatd does */
    (void)snprintf(house->folder, sizeof(house->folder), "/tmp/leat-core-XXXXXX");
    assert_non_null(mkdtemp(house->folder));
    (void)snprintf(house->run_dir, sizeof(house->run_dir), "%s/run", house->folder);
    (void)snprintf(house->state_dir, sizeof(house->state_dir), "%s/state", house->folder);
    assert_int_equal(dir_make(house->run_dir, 0755, NULL), 0);
    house->cardd = fake_cardd_create(&house->loop, house->run_dir);
    (void)alarm(WATCHDOG_S);
    core_open(house);
}

static void house_open(struct house *house)
{
    house_open_with(house, 20, 20);
}

static void house_shut(struct house *house)
{
    if (house->core)
        core_shut(house);
    if (house->cardd)
        fake_cardd_destroy(house->cardd);
    uv_close((uv_handle_t *)&house->tick, NULL);
    (void)uv_run(&house->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&house->loop), 0);
    engine_fake_world_destroy(house->world);
    assert_int_equal(dir_remove_tree(AT_FDCWD, house->folder, NULL), 0);
    (void)alarm(0);
}
#define AUTO_HOUSE __attribute__((cleanup(house_shut)))

/* -- shorthands -- */

#define ANY_COMMAND "\"command\":[\"/bin/true\"],\"ram\":\"64MiB\""

static void submit(struct house *house, const char *body, const char *key, struct answer *answer)
{
    AUTO_JSON json_t *request = json_parse(body, strlen(body), 1u << 20, NULL);
    assert_non_null(request);
    core_job_submit(house->core, request, key, take_answer, answer);
}

/* The id of a new job. */
static uint64_t submitted(struct house *house, const char *body)
{
    AUTO_ANSWER struct answer answer = {0};
    submit(house, body, NULL, &answer);
    TURN_UNTIL(house, answer.given);
    if (answer.err.errnum)
        fail_msg("%s: %s", answer.err.code, answer.err.text);
    return strtoull(text_of(answer.result, "id"), NULL, 10);
}

static json_t *job_of(struct house *house, uint64_t id)
{
    struct answer answer = {0};
    char text[24];
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)id);
    core_job_get(house->core, text, take_answer, &answer);
    TURN_UNTIL(house, answer.given);
    return answer.result;
}

static bool job_is(struct house *house, uint64_t id, const char *state)
{
    AUTO_JSON json_t *job = job_of(house, id);
    return job && strcmp(text_of(job, "state"), state) == 0;
}

static void job_becomes(struct house *house, uint64_t id, const char *state)
{
    TURN_UNTIL(house, job_is(house, id, state));
}

static void job_says(struct house *house, uint64_t id, const char *state, const char *code)
{
    job_becomes(house, id, state);
    AUTO_JSON json_t *job = job_of(house, id);
    assert_string_equal(text_of(job, "code"), code);
}

static void job_exits(struct house *house, uint64_t id, int status)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)id);
    assert_int_equal(engine_fake_exit(house->world, text, status), 0);
}

static void nothing_left(struct house *house)
{
    TURN_UNTIL(house, engine_fake_count(house->world) == 0 && fake_cardd_count(house->cardd) == 0);
}

#endif
