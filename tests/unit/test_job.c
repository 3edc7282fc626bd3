/* Jobs as data: states, requests and their limits, records. Devices and cards as leat-cardd tells
 * them. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "model/device.h"
#include "model/job.h"

static void test_states(void **state)
{
    (void)state;
    for (enum job_state each = JOB_QUEUED; each < JOB_STATE_COUNT; each++) {
        assert_int_equal(job_state_parse(job_state_name(each)), each);
        assert_int_equal(job_state_ended(each), each >= JOB_SUCCEEDED);
        assert_false(job_state_may_follow(each, each));
        for (enum job_state to = JOB_QUEUED; job_state_ended(each) && to < JOB_STATE_COUNT; to++)
            assert_false(job_state_may_follow(each, to)); /* an end is an end */
        if (!job_state_ended(each))
            assert_true(job_state_may_follow(each, JOB_STOPPED));
    }
    assert_int_equal(job_state_parse("asleep"), JOB_STATE_INVALID);
    assert_true(job_state_may_follow(JOB_RUNNING, JOB_IDLE));
    assert_true(job_state_may_follow(JOB_IDLE, JOB_RUNNING));
    assert_true(job_state_may_follow(JOB_STARTING, JOB_QUEUED));
    assert_true(job_state_may_follow(JOB_RUNNING, JOB_QUEUED)); /* again, on a larger card */
    assert_false(job_state_may_follow(JOB_STOPPING, JOB_RUNNING));
    assert_true(job_state_may_follow(JOB_STOPPING, JOB_QUEUED)); /* stopped to be started again */
}

static void test_ids(void **state)
{
    (void)state;
    char text[JOB_ID_TEXT_MAX];
    uint64_t id;
    assert_int_equal(job_id_parse(job_id_text(INT64_MAX, text), &id, NULL), 0);
    assert_int_equal(id, INT64_MAX);
    const char *const bad[] = {"", "0", "-1", "1x", "99999999999999999999", "9223372036854775808"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(job_id_parse(bad[i], &id, NULL), -EINVAL);
}

static int decode(const char *body, struct job_request *request, struct error *err)
{
    AUTO_JSON json_t *value = json_parse(body, strlen(body), JSON_TEXT_LIMIT_BYTES, err);
    assert_non_null(value);
    job_request_init(request);
    return job_request_decode(value, request, err);
}

static void test_request(void **state)
{
    (void)state;
    struct job_request request;
    assert_int_equal(
        decode("{\"name\":\"n\",\"command\":[\"a\",\"b\"],\"memory\":\"2GiB\",\"share\":\"12.5%\","
               "\"cpus\":\"1.5\",\"ram\":1048576,\"idle_after\":\"10m\",\"grace\":500,"
               "\"network\":\"none\",\"env\":{\"X_1\":\"y\"},\"priority\":0}",
               &request, NULL),
        0);
    assert_int_equal(request.memory_bytes, 2ull << 30);
    assert_int_equal(request.share_permille, 125);
    assert_int_equal(request.cpus_milli, 1500);
    assert_int_equal(request.idle_after_ms, 600000);
    assert_int_equal(request.grace_ms, 500);
    assert_int_equal(request.priority, 0);
    assert_string_equal(job_request_program(&request), "a");
    /* What is encoded decodes to the same. */
    AUTO_JSON json_t *once = job_request_encode(&request);
    struct job_request again;
    job_request_init(&again);
    assert_int_equal(job_request_decode(once, &again, NULL), 0);
    AUTO_JSON json_t *twice = job_request_encode(&again);
    assert_true(json_equal(once, twice));
    job_request_finish(&request);
    job_request_finish(&again);
}

static void test_request_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *body, *code;
    } cases[] = {
        {"{\"name\":\"\"}", "bad-name"},
        {"{\"name\":\"a\\u0007\"}", "bad-name"},
        {"{\"tenant\":7}", "bad-field"},
        {"{\"env\":[]}", "bad-env"},
        {"{\"env\":{\"A B\":\"c\"}}", "bad-env"},
        {"{\"env\":{\"A\":1}}", "bad-env"},
        {"{\"env\":{\"1A\":\"c\"}}", "bad-env"},
        {"{\"memory\":\"lots\"}", "bad-bytes"},
        {"{\"memory\":1023}", "bad-memory"},
        {"{\"memory\":-1}", "bad-field"},
        {"{\"share\":\"0%\"}", "bad-share"},
        {"{\"share\":2}", "bad-share"},
        {"{\"cpus\":\"two\"}", "bad-cpus"},
        {"{\"cpus\":\"nan\"}", "bad-cpus"},
        {"{\"cpus\":0}", "bad-cpus"},
        {"{\"cpus\":{}}", "bad-cpus"},
        {"{\"idle_after\":\"soon\"}", "bad-duration"},
        {"{\"grace\":\"2h\"}", "bad-grace"},
        {"{\"network\":\"some\"}", "bad-network"},
        {"{\"idle\":\"all\"}", "bad-idle"},
        {"{\"signal\":\"\"}", "bad-signal"},
        {"{\"signal\":\"KILL\"}", "bad-signal"},
        {"{\"signal\":\"19\"}", "bad-signal"},
        {"{\"signal\":\"0\"}", "bad-signal"},
        {"{\"signal\":\"99\"}", "bad-signal"},
        {"{\"signal\":\"USR9@1s\"}", "bad-signal"},
        {"{\"signal\":\"USR1@soon\"}", "bad-duration"},
        {"{\"pre_stop\":[]}", "bad-arguments"},
        {"{\"pre_stop\":\"save\"}", "bad-field"},
        {"{\"program\":\"relative\"}", "bad-path"},
        {"{\"workdir\":\"relative\"}", "bad-path"},
        {"{\"priority\":1001}", "bad-priority"},
        {"{\"burst\":\"yes\"}", "bad-field"},
        {"{\"burst\":1}", "bad-field"},
        {"{\"burst\":true,\"interface\":\"cuda-mps\"}", "bad-burst"},
        {"{\"commands\":[]}", "unknown-field"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct job_request request;
        struct error err = {0};
        assert_true(decode(cases[i].body, &request, &err) < 0);
        assert_string_equal(err.code, cases[i].code);
        assert_true(strlen(err.text) > 10);
        job_request_finish(&request);
    }
}

/* What is lent counts as had, to those that may borrow. */
static void test_burst(void **state)
{
    (void)state;
    static const char *const bodies[] = {"{}", "{\"burst\":false}", "{\"burst\":true}"};
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        struct job job = {.usage.share_measured_permille = 800};
        assert_int_equal(decode(bodies[i], &job.request, NULL), 0);
        AUTO_JSON json_t *encoded = job_request_encode(&job.request);
        assert_int_equal(job.request.burst, i == 2);
        assert_int_equal(json_is_true(json_object_get(encoded, "burst")), i == 2);
        job.request.share_permille = 100;
        assert_int_equal(job_share_had(&job), i == 2 ? 800 : 100);
        job.request.share_permille = 900; /* it had no use for more */
        assert_int_equal(job_share_had(&job), 900);
        job_request_finish(&job.request);
    }
}

static void test_signals_have_names_and_times(void **state)
{
    static const struct {
        const char *text;
        int number;
        uint64_t before_ms;
    } cases[] = {{"USR1", SIGUSR1, JOB_UNSET_MS},
                 {"SIGTERM@30s", SIGTERM, 30000},
                 {"12@1m", SIGUSR2, 60000},
                 {"INT@0", SIGINT, 0}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int number;
        uint64_t before_ms;
        assert_int_equal(job_signal_parse(cases[i].text, &number, &before_ms, NULL), 0);
        assert_int_equal(number, cases[i].number);
        assert_int_equal(before_ms, cases[i].before_ms);
    }
}

/* Since its start, or since it was last saved in this run. */
static void test_lost_work_counts_from_the_last_checkpoint(void **state)
{
    (void)state;
    struct job job = {.started_us = 100};
    assert_int_equal(job_lost_us(&job, 150), 50);
    job.checkpoint_us = 140;
    assert_int_equal(job_lost_us(&job, 150), 10);
    job.started_us = 145; /* again */
    assert_int_equal(job_lost_us(&job, 150), 5);
    job.started_us = 0;
    assert_int_equal(job_lost_us(&job, 150), 0);
}

static void test_filled_request_is_complete(void **state)
{
    (void)state;
    struct job_request request;
    struct error err;
    assert_int_equal(decode("{\"image\":\"host\",\"memory\":\"1GiB\"}", &request, NULL), 0);
    assert_int_equal(job_request_check(&request, &err), -EINVAL);
    assert_string_equal(err.code, "missing-command");
    job_request_finish(&request);
    assert_int_equal(
        decode("{\"image\":\"host\",\"memory\":\"1GiB\",\"command\":[\"a\"]}", &request, NULL), 0);
    assert_int_equal(job_request_check(&request, &err), -EINVAL);
    assert_string_equal(err.code, "missing-field");
    job_request_finish(&request);
}

static void test_job_shows_no_secret(void **state)
{
    (void)state;
    struct job job;
    job_init(&job);
    job.id = 5;
    job.state = JOB_FAILED;
    job.token = strdup("hidden");
    job.has_exit = true;
    job.exit_status = 3;
    AUTO_JSON json_t *shown = job_encode(&job);
    AUTO_FREE char *text = json_text(shown);
    assert_null(strstr(text, "hidden"));
    assert_string_equal(json_string_value(json_object_get(shown, "id")), "5");
    assert_int_equal(json_integer_value(json_object_get(shown, "exit_status")), 3);
    assert_true(json_is_null(json_object_get(shown, "signal")));
    assert_true(json_is_null(json_object_get(shown, "started")));
    job.signal = 9;
    AUTO_JSON json_t *killed = job_encode(&job);
    assert_true(json_is_null(json_object_get(killed, "exit_status")));
    assert_int_equal(json_integer_value(json_object_get(killed, "signal")), 9);
    job_finish(&job);
}

static void test_devices_and_cards(void **state)
{
    (void)state;
    struct device device;
    struct card_usage card;
    struct error err;
    AUTO_JSON json_t *good =
        json_pack("{s:s, s:i, s:s}", "id", "gpu-0", "memory_bytes", 77, "of_the_future", "yes");
    assert_int_equal(device_decode(good, &device, &err), 0);
    assert_int_equal(device.memory_bytes, 77);
    assert_string_equal(device.id, "gpu-0");
    device_finish(&device);
    AUTO_JSON json_t *nameless = json_pack("{s:i}", "memory_bytes", 77);
    assert_true(device_decode(nameless, &device, &err) < 0);
    AUTO_JSON json_t *wrong = json_pack("{s:s, s:s}", "card", "1", "commands", "many");
    assert_true(card_usage_decode(wrong, &card, &err) < 0);
    assert_true(card_usage_decode(NULL, &card, &err) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_request_refusals),
        cmocka_unit_test(test_burst),
        cmocka_unit_test(test_signals_have_names_and_times),
        cmocka_unit_test(test_lost_work_counts_from_the_last_checkpoint),
        cmocka_unit_test(test_filled_request_is_complete),
        cmocka_unit_test(test_job_shows_no_secret),
        cmocka_unit_test(test_devices_and_cards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
