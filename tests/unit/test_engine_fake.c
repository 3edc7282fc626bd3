/* The fake engine through the public interface: what every user of an engine may rely on. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <uv.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/json.h"
#include "engine/fake.h"

struct fixture {
    uv_loop_t loop;
    struct engine_fake_world *world;
    struct engine *engine;
    int ready, done, failed, exits, listed, more;
    struct engine_exit exit;
    struct engine_task tasks[8];
    struct engine_image image;
};

static void on_ready(void *context)
{
    ((struct fixture *)context)->ready++;
}

static void on_exit_of(void *context, const char *id, const struct engine_exit *exit)
{
    struct fixture *f = context;
    f->exits++;
    f->exit = *exit;
}

static void on_image(void *context, const struct engine_image *image)
{
    ((struct fixture *)context)->image = *image;
}

static void on_done(void *context, const char *id, const struct error *err)
{
    struct fixture *f = context;
    f->done += !err;
    f->failed += err != NULL;
}

static void on_listed(void *context, const struct engine_task *tasks, size_t count,
                      const struct error *err)
{
    struct fixture *f = context;
    assert_null(err);
    f->listed = (int)count;
    memcpy(f->tasks, tasks, count * sizeof(tasks[0]));
}

static void on_more(void *context)
{
    ((struct fixture *)context)->more++;
}

static void attach(struct fixture *f)
{
    struct engine_config config = {
        .run_dir = "/nowhere", .state_dir = "/nowhere", .fake = f->world};
    struct engine_callbacks callbacks = {f, on_ready, on_exit_of, on_image};
    assert_int_equal(
        engine_create(ENGINE_KIND_FAKE, &f->loop, &config, &callbacks, &f->engine, NULL), 0);
}

static void turn(struct fixture *f)
{
    while (uv_run(&f->loop, UV_RUN_NOWAIT) != 0)
        continue;
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    uv_loop_init(&f->loop);
    f->world = engine_fake_world_create();
    attach(f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    engine_destroy(f->engine);
    turn(f);
    engine_fake_world_destroy(f->world);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    free(f);
    return 0;
}

static int start(struct fixture *f, const char *id, struct error *err)
{
    const char *const argv[] = {"true", NULL};
    struct engine_task_spec spec = {
        .id = id, .image = "host", .argv = argv, .network = ENGINE_NETWORK_NONE};
    return engine_start(f->engine, &spec, on_done, f, err);
}

static void life_of_a_task(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(start(f, "1", NULL), 0);
    assert_int_equal(f->ready + f->done, 0); /* never inside the call */
    turn(f);
    assert_int_equal(f->ready, 1);
    assert_int_equal(f->done, 1);
    assert_int_equal(start(f, "1", NULL), -EEXIST);
    assert_int_equal(engine_fake_exit(f->world, "1", 3), 0);
    assert_int_equal(f->exits, 0);
    turn(f);
    assert_int_equal(f->exits, 1);
    assert_int_equal(f->exit.status, 3);
    assert_int_equal(engine_remove(f->engine, "1", on_done, f, NULL), 0);
    assert_int_equal(engine_remove(f->engine, "never-was", on_done, f, NULL), 0);
    turn(f);
    assert_int_equal(f->done, 3);
    assert_int_equal(engine_fake_count(f->world), 0);
}

static void stop_waits_for_the_grace(void **state)
{
    struct fixture *f = *state;
    engine_fake_ignore_term(f->world, true);
    assert_int_equal(start(f, "1", NULL), 0);
    assert_int_equal(engine_stop(f->engine, "1", 20, NULL), 0);
    assert_int_equal(engine_stop(f->engine, "2", 20, NULL), -ENOENT);
    turn(f);
    assert_int_equal(f->exit.signal, SIGKILL);
    assert_int_equal(f->exit.status, -1);
}

static void world_outlives_the_engine(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(start(f, "1", NULL), 0);
    assert_int_equal(start(f, "2", NULL), 0);
    assert_int_equal(engine_fake_break(f->world, "3"), 0);
    turn(f);
    engine_destroy(f->engine);
    turn(f);
    assert_int_equal(engine_fake_oom(f->world, "2"), 0);
    attach(f);
    assert_int_equal(engine_list(f->engine, on_listed, f, NULL), 0);
    turn(f);
    assert_int_equal(f->listed, 3);
    assert_int_equal(f->tasks[0].state, ENGINE_TASK_RUNNING);
    assert_int_equal(f->tasks[1].state, ENGINE_TASK_ENDED);
    assert_true(f->tasks[1].exit.oom);
    assert_int_equal(f->tasks[2].state, ENGINE_TASK_BROKEN);
    assert_int_equal(f->exits, 0);
}

static void start_that_fails_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    engine_fake_fail_starts(f->world, 1, -EIO, "told-so");
    assert_int_equal(start(f, "1", NULL), 0);
    turn(f);
    assert_int_equal(f->failed, 1);
    assert_int_equal(engine_fake_count(f->world), 0);
}

static void log_says_when_more_came(void **state)
{
    struct fixture *f = *state;
    struct engine_log *log;
    char data[8];
    size_t length;
    uint64_t offset;
    assert_int_equal(start(f, "1", NULL), 0);
    assert_int_equal(engine_log_open(f->engine, "1", 0, on_more, f, &log, NULL), 0);
    assert_int_equal(engine_log_read(log, data, sizeof(data), &length, &offset, NULL), 0);
    assert_int_equal(length, 0);
    engine_fake_write(f->world, "1", "hello");
    turn(f);
    assert_int_equal(f->more, 1);
    assert_int_equal(engine_log_read(log, data, sizeof(data), &length, &offset, NULL), 0);
    assert_int_equal(length, 5);
    assert_memory_equal(data, "hello", 5);
    engine_log_close(log);
}

static void specs_that_cannot_work_are_refused(void **state)
{
    struct fixture *f = *state;
    const char *const argv[] = {"true", NULL};
    const char *const none[] = {NULL};
    const struct engine_task_spec good = {
        .id = "1", .image = "host", .argv = argv, .network = ENGINE_NETWORK_NONE};
    struct engine_task_spec bad[7];
    for (size_t i = 0; i < 7; i++)
        bad[i] = good;
    bad[0].id = "../1";
    bad[1].id = "";
    bad[2].argv = none;
    bad[3].src_dir = "relative";
    bad[4].network = ENGINE_NETWORK_INVALID;
    bad[5].card_library = "/lib/x.so";
    bad[6].image = "nowhere";
    for (size_t i = 0; i < 7; i++) {
        struct error err = {0};
        assert_true(engine_start(f->engine, &bad[i], on_done, f, &err) < 0);
        assert_true(err.text[0] && err.code[0]);
    }
    assert_int_equal(engine_fake_count(f->world), 0);
}

static void images_are_built(void **state)
{
    struct fixture *f = *state;
    struct engine_image image;
    assert_int_equal(engine_image_find(f->engine, "base", &image, NULL), 0);
    assert_int_equal(image.state, ENGINE_IMAGE_ABSENT);
    assert_int_equal(engine_image_build(f->engine, "base", NULL), 0);
    assert_int_equal(engine_image_build(f->engine, "Bad Name", NULL), -EINVAL);
    turn(f);
    assert_string_equal(f->image.name, "base");
    assert_int_equal(f->image.state, ENGINE_IMAGE_READY);
    assert_int_equal(engine_image_remove(f->engine, "host", NULL), -EPERM);
}

static void report_is_an_object(void **state)
{
    struct fixture *f = *state;
    AUTO_JSON json_t *report = engine_report(f->engine);
    assert_true(json_is_object(report));
    assert_string_equal(json_string_value(json_object_get(report, "engine")), "fake");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(life_of_a_task),
        CASE(stop_waits_for_the_grace),
        CASE(world_outlives_the_engine),
        CASE(start_that_fails_leaves_nothing),
        CASE(log_says_when_more_came),
        CASE(specs_that_cannot_work_are_refused),
        CASE(images_are_built),
        CASE(report_is_an_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
