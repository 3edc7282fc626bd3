/* Core on the fake engine and a fake leat-cardd: lives of jobs, restarts, idle shares, refusals.
 * The loop is turned until what is waited for has happened; a watchdog ends a test that waits in
 * vain. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <cmocka.h>
#include <sys/resource.h>
#include <uv.h>

#include "core/core_impl.h"
#include "core_house.h"

static void test_job_runs_and_ends(void **state)
{
    (void)state;
    AUTO_HOUSE struct house house;
    house_open(&house);
    uint64_t good = submitted(&house, "{" ANY_COMMAND ",\"share\":\"30%\",\"name\":\"first\"}");
    uint64_t bad = submitted(&house, "{" ANY_COMMAND ",\"share\":\"30%\"}");
    assert_int_equal(good, 1);
    job_becomes(&house, good, "running");
    job_becomes(&house, bad, "running");
    assert_int_equal(fake_cardd_figure(house.cardd, "1", "share_permille"), 300);
    fake_cardd_set(house.cardd, "1", "memory_peak_bytes", 4096);
    job_exits(&house, good, 0);
    job_exits(&house, bad, 3);
    job_says(&house, good, "succeeded", "succeeded");
    job_says(&house, bad, "failed", "exit-status");
    nothing_left(&house);
    AUTO_JSON json_t *job = job_of(&house, good);
    assert_string_equal(text_of(job, "name"), "first");
    assert_string_equal(text_of(job, "device"), "cpu-0");
    assert_int_equal(json_integer_value(json_object_get(job, "exit_status")), 0);
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(job, "usage"), "memory_peak_bytes")),
        4096);
    assert_non_null(json_string_value(json_object_get(job, "ended")));
    assert_null(json_object_get(job, "token"));
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *body, *code;
    } cases[] = {
        {"{" ANY_COMMAND ",\"memory\":\"9GiB\"}", "memory-exceeds-device"},
        {"{\"command\":[\"true\"],\"ram\":\"900TiB\"}", "ram-exceeds-node"},
        {"{" ANY_COMMAND ",\"device\":\"gpu-7\"}", "unknown-device"},
        {"{" ANY_COMMAND ",\"library\":\"no-such\"}", "unknown-library"},
        {"{" ANY_COMMAND ",\"type\":\"no-such\"}", "unknown-job-type"},
        {"{" ANY_COMMAND ",\"image\":\"base\"}", "image-not-ready"},
        {"{" ANY_COMMAND ",\"image\":\"no-such\"}", "unknown-image"},
        {"{" ANY_COMMAND ",\"share\":\"130%\"}", "bad-share"},
        {"{" ANY_COMMAND ",\"cpus\":\"many\"}", "bad-cpus"},
        {"{" ANY_COMMAND ",\"colour\":1}", "unknown-field"},
        {"{" ANY_COMMAND ",\"memory\":7}", "bad-memory"},
        {"{" ANY_COMMAND ",\"workdir\":\"/no/such\"}", "workdir-not-found"},
        {"{\"program\":\"/no/such\"}", "program-not-found"},
        {"{}", "missing-program"},
        {"[]", "bad-json"},
    };
    AUTO_HOUSE struct house house;
    house_open(&house);
    job_becomes(&house, submitted(&house, "{" ANY_COMMAND "}"), "running"); /* devices are known */
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        AUTO_ANSWER struct answer answer = {0};
        submit(&house, cases[i].body, NULL, &answer);
        TURN_UNTIL(&house, answer.given);
        assert_string_equal(answer.err.code, cases[i].code);
        assert_null(answer.result);
    }
}

/* A template's proposal yields to a small device, a request does not. */
static void test_defaults_are_cut_to_the_machine(void **state)
{
    (void)state;
    AUTO_HOUSE struct house house;
    AUTO_ANSWER struct answer refused = {0}, described = {0};
    house_open(&house);
    fake_cardd_set_memory(house.cardd, 100 << 20);
    job_becomes(&house, submitted(&house, "{" ANY_COMMAND ",\"memory\":\"1MiB\"}"), "running");
    AUTO_JSON json_t *request = json_pack("{s:[s]}", "command", "true");
    core_job_describe(house.core, request, take_answer, &described);
    TURN_UNTIL(&house, described.given);
    assert_int_equal(json_integer_value(json_object_get(
                         json_object_get(described.result, "description"), "memory")),
                     100 << 20);
    submit(&house, "{" ANY_COMMAND ",\"memory\":\"101MiB\"}", NULL, &refused);
    TURN_UNTIL(&house, refused.given);
    assert_string_equal(refused.err.code, "memory-exceeds-device");
}

static void test_same_key_makes_one_job(void **state)
{
    (void)state;
    AUTO_HOUSE struct house house;
    house_open(&house);
    AUTO_ANSWER struct answer first = {0}, second = {0}, other = {0}, late = {0};
    submit(&house, "{" ANY_COMMAND "}", "key", &first);
    submit(&house, "{" ANY_COMMAND "}", "key", &second);
    submit(&house, "{" ANY_COMMAND ",\"priority\":7}", "key", &other);
    TURN_UNTIL(&house, first.given && second.given && other.given);
    assert_string_equal(text_of(first.result, "id"), "1");
    assert_string_equal(text_of(second.result, "id"), "1");
    assert_string_equal(other.err.code, "idempotency-conflict");
    core_shut(&house);
    core_open(&house);
    submit(&house, "{" ANY_COMMAND "}", "key", &late);
    TURN_UNTIL(&house, late.given);
    assert_string_equal(text_of(late.result, "id"), "1");
}

static void test_queue_waits_for_share(void **state)
{
    (void)state;
    AUTO_HOUSE struct house house;
    house_open(&house);
    uint64_t first = submitted(&house, "{" ANY_COMMAND ",\"share\":\"60%\",\"priority\":900}");
    job_becomes(&house, first, "running");
    uint64_t second = submitted(&house, "{" ANY_COMMAND ",\"share\":\"60%\"}");
    uint64_t urgent = submitted(&house, "{" ANY_COMMAND ",\"share\":\"60%\",\"priority\":900}");
    job_says(&house, second, "queued", "share-busy");
    AUTO_ANSWER struct answer why = {0};
    core_job_explain(house.core, "2", take_answer, &why);
    TURN_UNTIL(&house, why.given);
    assert_string_equal(text_of(why.result, "code"), "share-busy");
    assert_string_not_equal(text_of(why.result, "unblocks"), "");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(why.result, "available"),
                                                        "share_permille")),
                     400);
    job_exits(&house, first, 0);
    job_becomes(&house, urgent, "running");
    assert_true(job_is(&house, second, "queued"));
    job_exits(&house, urgent, 0);
    job_becomes(&house, second, "running");
}

static void test_stop(void **state)
{
    (void)state;
    AUTO_HOUSE struct house house;
    house_open(&house);
    uint64_t running = submitted(&house, "{" ANY_COMMAND ",\"share\":\"100%\"}");
    uint64_t queued = submitted(&house, "{" ANY_COMMAND ",\"share\":\"100%\"}");
    job_becomes(&house, running, "running");
    engine_fake_ignore_term(house.world, true);
    AUTO_JSON json_t *grace = json_pack("{s:s}", "grace", "20ms");
    AUTO_ANSWER struct answer one = {0}, two = {0}, busy = {0}, gone = {0};
    core_job_stop(house.core, "2", NULL, take_answer, &two);
    core_job_remove(house.core, "1", take_answer, &busy);
    core_job_stop(house.core, "1", grace, take_answer, &one);
    TURN_UNTIL(&house, one.given && two.given && busy.given);
    assert_string_equal(busy.err.code, "job-not-ended");
    job_says(&house, queued, "stopped", "stopped");
    job_says(&house, running, "stopped", "stopped");
    core_job_remove(house.core, "1", take_answer, &gone);
    TURN_UNTIL(&house, gone.given);
    assert_int_equal(gone.err.errnum, 0);
    assert_null(job_of(&house, running));
}

static void test_failed_starts(void **state)
{
    (void)state;
    AUTO_HOUSE struct house house;
    house_open(&house);
    engine_fake_fail_starts(house.world, 1, -EIO, "runtime-broken");
    uint64_t job = submitted(&house, "{" ANY_COMMAND "}");
    job_says(&house, job, "failed", "runtime-broken");
    nothing_left(&house);
    fake_cardd_refuse_creates(house.cardd, 1, -EIO, "device-broken");
    job = submitted(&house, "{" ANY_COMMAND "}");
    job_says(&house, job, "failed", "device-broken");
    nothing_left(&house);
    /* Somebody else was quicker: that is a reason to wait. */
    fake_cardd_refuse_creates(house.cardd, 1, -ENOSPC, "memory-exceeds-device");
    job = submitted(&house, "{" ANY_COMMAND "}");
    job_becomes(&house, job, "running");
}

#define MEMBER \
    "{" ANY_COMMAND ",\"gang\":\"g\",\"gang_size\":3,\"share\":\"20%\",\"memory\":\"1GiB\"}"

static size_t events_of(struct house *house, const char *kind)
{
    AUTO_ANSWER struct answer page = {0};
    size_t index, count = 0;
    json_t *event;
    core_events_read(house->core, 0, 200, take_answer, &page);
    TURN_UNTIL(house, page.given);
    json_array_foreach (json_object_get(page.result, "events"), index, event)
        count += strcmp(text_of(event, "kind"), kind) == 0;
    return count;
}

/* All of a gang, or none: what cannot start takes the others back with it. */
static void test_gang_is_taken_back_whole(void **state)
{
    (void)state;
    AUTO_HOUSE struct house house;
    house_open(&house);
    uint64_t jobs[3];
    fake_cardd_refuse_creates(house.cardd, 1, -ENOSPC, "memory-exceeds-device");
    for (int i = 0; i < 3; i++)
        jobs[i] = submitted(&house, MEMBER);
    TURN_UNTIL(&house, events_of(&house, "job.starting") == 6);
    assert_int_equal(events_of(&house, "job.restarting"), 2);
    for (int i = 0; i < 3; i++)
        job_becomes(&house, jobs[i], "running");
    for (int i = 0; i < 3; i++)
        job_exits(&house, jobs[i], 0);
    nothing_left(&house);
    engine_fake_fail_starts(house.world, 1, -EIO, "runtime-broken");
    for (int i = 0; i < 3; i++)
        jobs[i] = submitted(&house, MEMBER);
    unsigned broken = 0;
    for (int i = 0; i < 3; i++) {
        job_becomes(&house, jobs[i], "failed");
        AUTO_JSON json_t *job = job_of(&house, jobs[i]);
        broken += strcmp(text_of(job, "code"), "gang-broken") == 0;
    }
    assert_int_equal(broken, 2);
    nothing_left(&house);
}

static void test_idle_share_is_lent_and_given_back(void **state)
{
    (void)state;
    AUTO_HOUSE struct house house;
    house_open(&house);
    uint64_t lender =
        submitted(&house, "{" ANY_COMMAND ",\"share\":\"70%\",\"idle_after\":\"1s\"}");
    job_becomes(&house, lender, "running");
    uint64_t borrower = submitted(&house, "{" ANY_COMMAND ",\"share\":\"50%\",\"idle_after\":0}");
    job_says(&house, borrower, "queued", "share-busy");
    fake_cardd_set(house.cardd, "1", "commands", 3);
    fake_cardd_set(house.cardd, "1", "idle_ms", 1000);
    job_becomes(&house, lender, "idle");
    assert_int_equal(fake_cardd_figure(house.cardd, "1", "share_permille"), 0);
    job_becomes(&house, borrower, "running");
    uint64_t later = submitted(&house, "{" ANY_COMMAND ",\"share\":\"20%\"}");
    job_becomes(&house, later, "running");
    /* It wakes while its share is lent: it waits, and nobody new gets ahead of it. */
    fake_cardd_want(house.cardd, "1");
    fake_cardd_set(house.cardd, "1", "idle_ms", 0);
    uint64_t newest = submitted(&house, "{" ANY_COMMAND ",\"share\":\"20%\"}");
    job_exits(&house, later, 0);
    job_becomes(&house, later, "succeeded");
    job_becomes(&house, newest, "queued");
    assert_true(job_is(&house, lender, "idle"));
    job_exits(&house, borrower, 0);
    job_becomes(&house, lender, "running");
    assert_int_equal(fake_cardd_figure(house.cardd, "1", "share_permille"), 700);
    job_becomes(&house, newest, "running");
    job_exits(&house, lender, 0);
    job_becomes(&house, lender, "succeeded");
    AUTO_JSON json_t *job = job_of(&house, lender);
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(job, "usage"), "times_idle")), 1);
}

static bool card_is(struct house *house, const char *card, const char *state)
{
    const char *is =
        json_string_value(json_object_get(fake_cardd_card(house->cardd, card), "state"));
    return is && strcmp(is, state) == 0;
}

static bool explained(struct house *house, const char *job, const char *code)
{
    AUTO_ANSWER struct answer answer = {0};
    core_job_explain(house->core, job, take_answer, &answer);
    TURN_UNTIL(house, answer.given);
    return strcmp(text_of(answer.result, "code"), code) == 0;
}

static void test_idle_memory_is_lent_and_given_back(void **state)
{
    (void)state;
    AUTO_HOUSE struct house house;
    house_open(&house); /* 8 GiB */
    uint64_t lender = submitted(&house, "{" ANY_COMMAND ",\"share\":\"20%\",\"memory\":\"6GiB\","
                                        "\"idle_after\":\"1s\",\"idle\":\"memory\"}");
    job_becomes(&house, lender, "running");
    uint64_t borrower = submitted(
        &house, "{" ANY_COMMAND ",\"share\":\"20%\",\"memory\":\"4GiB\",\"idle_after\":0}");
    job_says(&house, borrower, "queued", "memory-busy");
    fake_cardd_set(house.cardd, "1", "commands", 3);
    fake_cardd_set(house.cardd, "1", "idle_ms", 1000);
    job_becomes(&house, borrower, "running");
    assert_true(job_is(&house, lender, "idle"));
    assert_true(card_is(&house, "1", "suspended"));
    fake_cardd_want(house.cardd, "1");
    fake_cardd_set(house.cardd, "1", "idle_ms", 0);
    TURN_UNTIL(&house, explained(&house, "1", "memory-busy"));
    core_shut(&house); /* a restart finds it away, and that it wants to come back */
    core_open(&house);
    TURN_UNTIL(&house, explained(&house, "1", "memory-busy"));
    job_exits(&house, borrower, 0);
    job_becomes(&house, lender, "running");
    assert_true(card_is(&house, "1", "active"));
    assert_int_equal(fake_cardd_figure(house.cardd, "1", "share_permille"), 200);
    job_exits(&house, lender, 0);
    job_becomes(&house, lender, "succeeded");
    nothing_left(&house);
}

/* A card of somebody else's came while the job's was away: the wish is told as one that waits. */
static void test_a_wish_beside_a_card_of_others(void **state)
{
    (void)state;
    AUTO_HOUSE struct house house;
    house_open(&house);
    uint64_t lender = submitted(&house, "{" ANY_COMMAND ",\"share\":\"20%\",\"memory\":\"6GiB\","
                                        "\"idle_after\":\"1s\",\"idle\":\"memory\"}");
    job_becomes(&house, lender, "running");
    fake_cardd_set(house.cardd, "1", "commands", 3);
    fake_cardd_set(house.cardd, "1", "idle_ms", 1000);
    TURN_UNTIL(&house, card_is(&house, "1", "suspended"));
    fake_cardd_add(house.cardd, "of-others", 8ull << 30, 100); /* listed after the job's own */
    fake_cardd_refuse(house.cardd, "card.resume", "1");
    fake_cardd_set(house.cardd, "1", "idle_ms", 0);
    fake_cardd_want(house.cardd, "1");
    TURN_UNTIL(&house, explained(&house, "1", "memory-busy"));
}

static void test_restart_adopts_what_runs(void **state)
{
    (void)state;
    AUTO_HOUSE struct house house;
    house_open(&house);
    uint64_t runs = submitted(&house, "{" ANY_COMMAND ",\"share\":\"20%\"}");
    uint64_t ends = submitted(&house, "{" ANY_COMMAND ",\"share\":\"20%\"}");
    uint64_t waits = submitted(&house, "{" ANY_COMMAND ",\"share\":\"90%\"}");
    job_becomes(&house, runs, "running");
    job_becomes(&house, ends, "running");
    core_shut(&house);
    job_exits(&house, ends, 5); /* while nobody looks */
    core_open(&house);
    job_becomes(&house, ends, "failed");
    assert_true(job_is(&house, runs, "running"));
    assert_true(job_is(&house, waits, "queued"));
    job_exits(&house, runs, 0);
    job_becomes(&house, runs, "succeeded");
    job_becomes(&house, waits, "running");
    job_exits(&house, waits, 0);
    job_becomes(&house, waits, "succeeded");
    nothing_left(&house);
}

/* How many runs the one metric of the knowledge base is of. */
static int64_t runs_learnt(struct house *house)
{
    AUTO_ANSWER struct answer answer = {0};
    AUTO_JSON json_t *request = json_pack("{s:[s]}", "kinds", "metric");
    core_knowledge_search(house->core, request, take_answer, &answer);
    TURN_UNTIL(house, answer.given);
    const json_t *entry = json_array_get(json_object_get(answer.result, "entries"), 0);
    return json_integer_value(json_object_get(json_object_get(entry, "attributes"), "runs"));
}

/* Every run counts once, also of jobs that end together and when leatd ends with them. */
static void test_each_run_is_learnt_once(void **state)
{
    (void)state;
    enum { JOBS = 5 };
    uint64_t ids[JOBS];
    AUTO_HOUSE struct house house;
    house_open(&house);
    for (int round = 1; round <= 2; round++) {
        for (int i = 0; i < JOBS; i++)
            ids[i] = submitted(&house, "{" ANY_COMMAND ",\"share\":\"20%\"}");
        for (int i = 0; i < JOBS; i++)
            job_becomes(&house, ids[i], "running");
        for (int i = 0; i < JOBS; i++)
            job_exits(&house, ids[i], 0);
        job_becomes(&house, ids[0], "succeeded");
        core_shut(&house); /* now or later */
        core_open(&house);
        for (int i = 0; i < JOBS; i++)
            job_becomes(&house, ids[i], "succeeded");
        TURN_UNTIL(&house, runs_learnt(&house) >= (int64_t)round * JOBS);
    }
    nothing_left(&house);
    assert_int_equal(runs_learnt(&house), 2 * JOBS);
}

int __real_store_jobs_live(struct store *store, int (*visit)(void *arg, const struct job *job),
                           void *arg, struct error *err);
int __wrap_store_jobs_live(struct store *store, int (*visit)(void *arg, const struct job *job),
                           void *arg, struct error *err);

/* The last that a start reads: the pool, on the same connection, must not read yet. */
int __wrap_store_jobs_live(struct store *store, int (*visit)(void *arg, const struct job *job),
                           void *arg, struct error *err)
{
    const struct core *core = arg;
    assert_true(list_empty(&core->reading));
    return __real_store_jobs_live(store, visit, arg, err);
}

/* As a leatd leaves it that is killed before it has learnt. */
static void lesson_leave(struct house *house)
{
    char path[128];
    struct store *store;
    struct store_batch *batch = store_batch_create();
    AUTO_JSON json_t *record =
        json_pack("{s:s, s:b, s:[{s:s, s:s}], s:{s:i}}", "source", "job", "known_only", 0, "about",
                  "kind", "metric", "name", "left by the last", "facts", "runs", 1);
    (void)snprintf(path, sizeof(path), "%s/leat.db", house->state_dir);
    assert_int_equal(store_open(path, &store, NULL), 0);
    assert_int_equal(store_batch_lesson(batch, 1, record), 0);
    assert_int_equal(store_commit(store, batch, NULL), 0);
    store_batch_destroy(batch);
    store_close(store);
}

static void test_start_reads_before_it_learns(void **state)
{
    (void)state;
    AUTO_HOUSE struct house house;
    house_open(&house);
    core_shut(&house);
    lesson_leave(&house);
    core_open(&house);
    TURN_UNTIL(&house, runs_learnt(&house) == 1);
}

static void test_restart_clears_what_is_orphaned(void **state)
{
    (void)state;
    AUTO_HOUSE struct house house;
    house_open(&house);
    uint64_t lost = submitted(&house, "{" ANY_COMMAND "}");
    job_becomes(&house, lost, "running");
    core_shut(&house);
    fake_cardd_add(house.cardd, "77", 1 << 20, 10);      /* of a job that nobody knows */
    fake_cardd_add(house.cardd, "exec-9", 1 << 20, 100); /* someone else's */
    assert_int_equal(engine_fake_break(house.world, "1"), 0);
    core_open(&house);
    job_says(&house, lost, "failed", "lost");
    TURN_UNTIL(&house, fake_cardd_count(house.cardd) == 1 && engine_fake_count(house.world) == 0);
    assert_non_null(fake_cardd_card(house.cardd, "exec-9"));
}

static void test_card_daemon_restarts(void **state)
{
    (void)state;
    AUTO_HOUSE struct house house;
    house_open(&house);
    uint64_t id = submitted(&house, "{" ANY_COMMAND ",\"share\":\"40%\"}");
    job_becomes(&house, id, "running");
    AUTO_FREE char *token = strdup(text_of(fake_cardd_card(house.cardd, "1"), "token"));
    fake_cardd_destroy(house.cardd);
    house.cardd = fake_cardd_create(&house.loop, house.run_dir);
    TURN_UNTIL(&house, fake_cardd_card(house.cardd, "1"));
    assert_string_equal(text_of(fake_cardd_card(house.cardd, "1"), "token"), token);
    assert_int_equal(strlen(token), 64);
    assert_int_equal(fake_cardd_figure(house.cardd, "1", "share_permille"), 400);
    job_exits(&house, id, 0);
    job_becomes(&house, id, "succeeded");
    nothing_left(&house);
}

/* Also when its card is made anew, by a leatd that was started since. What may be
 * lent takes no place: 40 % are free beside it. */
static void test_a_bursting_job_bursts_wherever_its_card_is(void **state)
{
    (void)state;
    AUTO_HOUSE struct house house;
    house_open(&house);
    uint64_t bursts = submitted(&house, "{" ANY_COMMAND ",\"share\":\"60%\",\"burst\":true}");
    uint64_t beside = submitted(&house, "{" ANY_COMMAND ",\"share\":\"40%\"}");
    job_becomes(&house, bursts, "running");
    job_becomes(&house, beside, "running");
    uint64_t third = submitted(&house, "{" ANY_COMMAND ",\"share\":\"20%\",\"burst\":true}");
    job_says(&house, third, "queued", "centre-full");
    for (unsigned again = 0; again < 2; again++) {
        AUTO_JSON json_t *job = job_of(&house, bursts), *hard = job_of(&house, beside);
        AUTO_ANSWER struct answer why = {0};
        core_job_explain(house.core, "1", take_answer, &why);
        TURN_UNTIL(&house, why.given);
        assert_true(json_is_true(json_object_get(job, "burst")));
        assert_true(json_is_true(json_object_get(why.result, "burst")));
        assert_true(json_is_false(json_object_get(hard, "burst")));
        assert_true(json_is_true(json_object_get(fake_cardd_card(house.cardd, "1"), "burst")));
        assert_true(json_is_false(json_object_get(fake_cardd_card(house.cardd, "2"), "burst")));
        if (!again) {
            core_shut(&house);
            fake_cardd_destroy(house.cardd);
            house.cardd = fake_cardd_create(&house.loop, house.run_dir);
            core_open(&house);
            TURN_UNTIL(&house, fake_cardd_count(house.cardd) == 2);
        }
    }
    job_exits(&house, bursts, 0);
    job_exits(&house, beside, 0);
    job_becomes(&house, third, "running");
    assert_true(json_is_true(json_object_get(fake_cardd_card(house.cardd, "3"), "burst")));
    job_exits(&house, third, 0);
    nothing_left(&house);
}

/* What ended while leatd was away still tells what its card did. */
static void test_restart_reads_last_figures(void **state)
{
    (void)state;
    AUTO_HOUSE struct house house;
    house_open(&house);
    uint64_t id = submitted(&house, "{" ANY_COMMAND "}");
    job_becomes(&house, id, "running");
    core_shut(&house);
    fake_cardd_set(house.cardd, "1", "device_time_ns", 12345);
    job_exits(&house, id, 0);
    core_open(&house);
    job_becomes(&house, id, "succeeded");
    AUTO_JSON json_t *job = job_of(&house, id);
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(job, "usage"), "device_time_ns")),
        12345);
    nothing_left(&house);
}

static void refused(struct house *house, uint64_t id, int64_t gib)
{
    fake_cardd_set(house->cardd, "1", "memory_wanted_bytes", gib << 30);
    job_exits(house, id, 1);
}

#define RUNS_WITH(house, gib) \
    TURN_UNTIL(house, \
               job_is(house, 1, "running") && fake_cardd_card((house)->cardd, "1") && \
                   fake_cardd_figure((house)->cardd, "1", "memory_quota_bytes") >> 30 >= (gib))

/* On a larger card, also when leatd is killed on the way. */
static void test_refused_memory_restarts(void **state)
{
    (void)state;
    AUTO_HOUSE struct house house;
    house_open(&house);
    uint64_t id = submitted(&house, "{" ANY_COMMAND ",\"restarts\":2}");
    job_becomes(&house, id, "running");
    core_shut(&house);
    refused(&house, id, 3); /* while nobody looks */
    core_open(&house);
    RUNS_WITH(&house, 3);
    refused(&house, id, 4);
    TURN_UNTIL(&house, !job_is(&house, id, "running") || !fake_cardd_card(house.cardd, "1"));
    core_shut(&house);
    core_open(&house);
    RUNS_WITH(&house, 4);
    refused(&house, id, 5);
    job_becomes(&house, id, "failed"); /* two restarts, no more */
    nothing_left(&house);
}

static void test_forgotten_folders_are_swept(void **state)
{
    (void)state;
    AUTO_HOUSE struct house house;
    char kept[128], forgotten[128];
    AUTO_ANSWER struct answer gone = {0};
    house_open(&house);
    job_becomes(&house, submitted(&house, "{" ANY_COMMAND "}"), "running");
    job_becomes(&house, submitted(&house, "{" ANY_COMMAND "}"), "running");
    job_exits(&house, 1, 0);
    job_becomes(&house, 1, "succeeded");
    core_job_remove(house.core, "1", take_answer, &gone);
    TURN_UNTIL(&house, gone.given);
    core_shut(&house);
    (void)snprintf(forgotten, sizeof(forgotten), "%s/jobs/1/work", house.state_dir);
    (void)snprintf(kept, sizeof(kept), "%s/jobs/2/work", house.state_dir);
    assert_int_equal(dir_make(forgotten, 0755, NULL), 0);
    assert_int_equal(dir_make(kept, 0755, NULL), 0);
    core_open(&house);
    TURN_UNTIL(&house, access(forgotten, F_OK) < 0);
    assert_int_equal(access(kept, F_OK), 0);
}

/* No request is said to be taken that could not be written, and what runs carries on. */
static void test_full_disk_refuses_requests(void **state)
{
    (void)state;
    AUTO_HOUSE struct house house;
    struct rlimit before;
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    AUTO_ANSWER struct answer refused = {0};
    house_open(&house);
    uint64_t runs = submitted(&house, "{" ANY_COMMAND "}");
    job_becomes(&house, runs, "running");
    assert_int_equal(sigaction(SIGXFSZ, &ignore, NULL), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    const struct rlimit none = {.rlim_cur = 1, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    submit(&house, "{" ANY_COMMAND ",\"name\":\"unwritten\"}", "key", &refused);
    TURN_UNTIL(&house, refused.given);
    job_exits(&house, runs, 0);
    job_becomes(&house, runs, "succeeded"); /* true, and not yet durable: nothing is removed */
    assert_int_equal(engine_fake_count(house.world), 1);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_true(refused.err.errnum < 0);
    nothing_left(&house); /* the write is tried again */
    uint64_t next = submitted(&house, "{" ANY_COMMAND "}");
    assert_int_equal(next, 3);
    assert_null(job_of(&house, 2));
}

struct heard {
    uint64_t last;
    char kinds[512];
};

static void hear(void *arg, uint64_t seq, const json_t *event)
{
    struct heard *heard = arg;
    size_t length = strlen(heard->kinds);
    assert_true(seq > heard->last);
    heard->last = seq;
    (void)snprintf(heard->kinds + length, sizeof(heard->kinds) - length, "%s ",
                   text_of(event, "kind"));
}

static void test_events_in_order(void **state)
{
    (void)state;
    AUTO_HOUSE struct house house;
    house_open(&house);
    struct heard heard = {0};
    struct core_subscription *subscription = core_events_subscribe(house.core, hear, &heard);
    uint64_t id = submitted(&house, "{" ANY_COMMAND "}");
    job_becomes(&house, id, "running");
    job_exits(&house, id, 0);
    job_becomes(&house, id, "succeeded");
    nothing_left(&house);
    assert_string_equal(heard.kinds, "job.submitted job.starting job.running job.succeeded ");
    core_events_unsubscribe(subscription);
    AUTO_ANSWER struct answer page = {0};
    core_events_read(house.core, 1, 2, take_answer, &page);
    TURN_UNTIL(&house, page.given);
    const json_t *events = json_object_get(page.result, "events");
    assert_int_equal(json_array_size(events), 2);
    assert_int_equal(json_integer_value(json_object_get(page.result, "last")), 3);
    assert_string_equal(text_of(json_array_get(events, 0), "kind"), "job.starting");
    assert_string_equal(text_of(json_array_get(events, 1), "from"), "starting");
}

static void test_lists_and_waits(void **state)
{
    (void)state;
    AUTO_HOUSE struct house house;
    house_open(&house);
    for (int i = 0; i < 5; i++)
        (void)submitted(&house, "{" ANY_COMMAND ",\"share\":\"20%\"}");
    job_becomes(&house, 5, "running");
    AUTO_ANSWER struct answer ended = {0}, timed_out = {0};
    core_job_wait(house.core, "2", 10000, take_answer, &ended);
    core_job_wait(house.core, "3", 1, take_answer, &timed_out);
    job_exits(&house, 2, 0);
    job_exits(&house, 4, 1);
    TURN_UNTIL(&house, ended.given && timed_out.given);
    assert_string_equal(text_of(ended.result, "state"), "succeeded");
    assert_string_equal(text_of(timed_out.result, "state"), "running");
    job_becomes(&house, 4, "failed");
    TURN_UNTIL(&house, engine_fake_count(house.world) == 3);
    static const struct {
        struct core_job_filter filter;
        const char *ids, *next;
    } cases[] = {
        {{.states = NULL}, "54321", ""},
        {{.limit = 2}, "54", "4"},
        {{.limit = 2, .cursor = "4"}, "32", "2"},
        {{.states = "running"}, "531", ""},
        {{.states = "failed,succeeded"}, "42", ""},
        {{.states = "failed,running", .limit = 3}, "543", "3"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        AUTO_ANSWER struct answer page = {0};
        char ids[16] = "";
        core_job_list(house.core, &cases[i].filter, take_answer, &page);
        TURN_UNTIL(&house, page.given);
        size_t index;
        json_t *job;
        json_array_foreach (json_object_get(page.result, "jobs"), index, job)
            (void)strncat(ids, text_of(job, "id"), 1);
        assert_string_equal(ids, cases[i].ids);
        assert_string_equal(text_of(page.result, "next_cursor"), cases[i].next);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_job_runs_and_ends),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_defaults_are_cut_to_the_machine),
        cmocka_unit_test(test_same_key_makes_one_job),
        cmocka_unit_test(test_queue_waits_for_share),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_failed_starts),
        cmocka_unit_test(test_gang_is_taken_back_whole),
        cmocka_unit_test(test_idle_share_is_lent_and_given_back),
        cmocka_unit_test(test_idle_memory_is_lent_and_given_back),
        cmocka_unit_test(test_a_wish_beside_a_card_of_others),
        cmocka_unit_test(test_restart_adopts_what_runs),
        cmocka_unit_test(test_each_run_is_learnt_once),
        cmocka_unit_test(test_start_reads_before_it_learns),
        cmocka_unit_test(test_restart_clears_what_is_orphaned),
        cmocka_unit_test(test_card_daemon_restarts),
        cmocka_unit_test(test_a_bursting_job_bursts_wherever_its_card_is),
        cmocka_unit_test(test_restart_reads_last_figures),
        cmocka_unit_test(test_refused_memory_restarts),
        cmocka_unit_test(test_forgotten_folders_are_swept),
        cmocka_unit_test(test_full_disk_refuses_requests),
        cmocka_unit_test(test_events_in_order),
        cmocka_unit_test(test_lists_and_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
