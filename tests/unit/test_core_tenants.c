/* Tenants, loans and priority in core, on the fake engine and a fake leat-cardd: who gives way,
 * what it is told before, and how it goes on. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <cmocka.h>
#include <uv.h>

#include "core_house.h"

static void tenant_set(struct house *house, const char *name, int reserved_milli, int limit_milli,
                       const char *code)
{
    AUTO_ANSWER struct answer answer = {0};
    AUTO_JSON json_t *body =
        json_pack("{s:i, s:i}", "reserved_milli", reserved_milli, "limit_milli", limit_milli);
    core_tenant_set(house->core, name, body, take_answer, &answer);
    TURN_UNTIL(house, answer.given);
    assert_string_equal(answer.err.code, code ? code : "");
}

/* A figure of the tenant, -1 when there is none. */
static int64_t tenant_figure(struct house *house, const char *name, const char *member)
{
    AUTO_ANSWER struct answer answer = {0};
    core_tenants(house->core, name, take_answer, &answer);
    TURN_UNTIL(house, answer.given);
    const json_t *figure = json_object_get(answer.result, member);
    return figure ? json_integer_value(figure) : -1;
}

static bool core_waits(struct house *house, uint64_t id, const char *code)
{
    AUTO_JSON json_t *job = job_of(house, id);
    return job && strcmp(text_of(job, "state"), "queued") == 0 &&
           strcmp(text_of(job, "code"), code) == 0;
}

static size_t loans_count(struct house *house)
{
    AUTO_ANSWER struct answer answer = {0};
    core_loans(house->core, take_answer, &answer);
    TURN_UNTIL(house, answer.given);
    return json_array_size(json_object_get(answer.result, "loans"));
}

#define JOB_OF(tenant, share) \
    "{" ANY_COMMAND ",\"tenant\":\"" tenant "\",\"share\":\"" share "\",\"memory\":\"1GiB\"}"

static void test_what_is_lent_comes_back(void **state)
{
    (void)state;
    AUTO_HOUSE struct house house;
    house_open(&house);
    uint64_t first = submitted(&house, JOB_OF("a", "10%"));
    job_becomes(&house, first, "running"); /* devices are known */
    tenant_set(&house, "a", 500, 0, NULL);
    tenant_set(&house, "b", 500, 0, NULL);
    tenant_set(&house, "c", 100, 0, "reservation-exceeds");
    uint64_t borrower = submitted(&house, JOB_OF("a", "80%"));
    job_becomes(&house, borrower, "running");
    assert_int_equal(tenant_figure(&house, "b", "lent_milli"), 400);
    assert_int_equal(loans_count(&house), 1);
    uint64_t owner = submitted(&house, JOB_OF("b", "50%"));
    TURN_UNTIL(&house, tenant_figure(&house, "b", "claimed_milli") == 500);
    job_says(&house, owner, "queued", "loan-called");
    job_says(&house, borrower, "idle", "reclaimed");
    job_becomes(&house, owner, "running");
    assert_int_equal(fake_cardd_figure(house.cardd, "2", "share_permille"), 0);
    assert_int_equal(loans_count(&house), 0);
    assert_true(job_is(&house, first, "running"));
    job_exits(&house, owner, 0);
    job_becomes(&house, borrower, "running"); /* it goes on by itself */
    assert_int_equal(fake_cardd_figure(house.cardd, "2", "share_permille"), 800);
    assert_int_equal(loans_count(&house), 1);
    job_exits(&house, borrower, 0);
    job_exits(&house, first, 0);
    nothing_left(&house);
}

static void test_limits_hold_and_are_explained(void **state)
{
    (void)state;
    AUTO_HOUSE struct house house;
    house_open(&house);
    uint64_t first = submitted(&house, JOB_OF("a", "30%"));
    job_becomes(&house, first, "running");
    tenant_set(&house, "a", 0, 400, NULL);
    uint64_t second = submitted(&house, JOB_OF("a", "30%"));
    TURN_UNTIL(&house, core_waits(&house, second, "quota-reached"));
    AUTO_ANSWER struct answer queue = {0};
    core_queue(house.core, take_answer, &queue);
    TURN_UNTIL(&house, queue.given);
    const json_t *row = json_array_get(json_object_get(queue.result, "queue"), 0);
    assert_string_equal(text_of(row, "job"), "2");
    assert_string_equal(text_of(row, "code"), "quota-reached");
    tenant_set(&house, "a", 0, 600, NULL);
    job_becomes(&house, second, "running");
    core_shut(&house); /* tenants and what they use are known again after a restart */
    core_open(&house);
    TURN_UNTIL(&house, tenant_figure(&house, "a", "used_milli") == 600);
    AUTO_ANSWER struct answer removed = {0};
    core_tenant_remove(house.core, "a", take_answer, &removed);
    assert_string_equal(removed.err.code, "tenant-in-use");
    job_exits(&house, first, 0);
    job_exits(&house, second, 0);
    nothing_left(&house);
    AUTO_ANSWER struct answer gone = {0};
    core_tenant_remove(house.core, "a", take_answer, &gone);
    TURN_UNTIL(&house, gone.given);
    assert_int_equal(gone.err.errnum, 0);
    assert_int_equal(tenant_figure(&house, "a", "used_milli"), -1);
}

#define RANKED(priority, share) \
    "{" ANY_COMMAND ",\"priority\":" #priority ",\"share\":\"" share "\",\"memory\":\"1GiB\"}"

/* Who runs at lower priority is suspended, its compute and its memory go, and it goes on later. */
static void test_lower_priority_gives_way(void **state)
{
    (void)state;
    AUTO_HOUSE struct house house;
    house_open(&house);
    uint64_t other = submitted(&house, RANKED(500, "20%"));
    uint64_t low = submitted(&house, RANKED(100, "70%"));
    job_becomes(&house, other, "running");
    job_becomes(&house, low, "running");
    uint64_t equal = submitted(&house, RANKED(100, "60%"));
    uint64_t high = submitted(&house, RANKED(900, "80%"));
    job_says(&house, low, "idle", "preempted");
    job_becomes(&house, high, "running");
    assert_true(job_is(&house, other, "running")); /* nobody needed its place */
    assert_int_equal(fake_cardd_figure(house.cardd, "2", "share_permille"), 0);
    assert_int_equal(loans_count(&house), 1);
    AUTO_ANSWER struct answer why = {0};
    core_job_explain(house.core, "2", take_answer, &why);
    TURN_UNTIL(&house, why.given);
    assert_string_equal(text_of(why.result, "code"), "preempted");
    assert_string_equal(text_of(why.result, "behind"), "4");
    job_exits(&house, high, 0);
    job_becomes(&house, low, "running"); /* before those who never ran */
    assert_int_equal(fake_cardd_figure(house.cardd, "2", "share_permille"), 700);
    assert_int_equal(loans_count(&house), 0);
    assert_true(job_is(&house, equal, "queued"));
    job_exits(&house, low, 0);
    job_becomes(&house, equal, "running");
    job_exits(&house, equal, 0);
    job_exits(&house, other, 0);
    nothing_left(&house);
}

/* The journal's events of a job, of one kind. */
static size_t events_count(struct house *house, uint64_t id, const char *kind)
{
    AUTO_ANSWER struct answer answer = {0};
    char text[24];
    size_t count = 0, i;
    json_t *event;
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)id);
    core_events_read(house->core, 0, 500, take_answer, &answer);
    TURN_UNTIL(house, answer.given);
    json_array_foreach (json_object_get(answer.result, "events"), i, event)
        count +=
            strcmp(text_of(event, "job"), text) == 0 && strcmp(text_of(event, "kind"), kind) == 0;
    return count;
}

#define TOLD(pre_stop) \
    "{" ANY_COMMAND ",\"priority\":100,\"share\":\"70%\",\"memory\":\"1GiB\"," \
    "\"signal\":\"USR1\",\"pre_stop\":[\"" pre_stop "\"]}"

/* A job is told before its card is taken; when its command says that all is saved, it is taken at
 * once, and when the command takes too long, when the notice is over. */
static void test_jobs_are_told_before_their_cards_are_taken(void **state)
{
    static const struct {
        int status;
        const char *outcome;
        bool saved;
    } commands[] = {{0, "succeeded", true},
                    {3, "failed with status 3", false},
                    {-1, "ended by signal 9 (Killed)", false}};
    (void)state;
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        AUTO_HOUSE struct house house;
        house_open_with(&house, 20, 300);
        engine_fake_exec(house.world, commands[i].status);
        uint64_t low = submitted(&house, TOLD("save"));
        job_becomes(&house, low, "running");
        assert_int_equal(engine_fake_signal(house.world, "1"), 0);
        uint64_t high = submitted(&house, RANKED(900, "80%"));
        job_says(&house, low, "idle", "preempted");
        assert_int_equal(engine_fake_signal(house.world, "1"), SIGUSR1);
        TURN_UNTIL(&house, events_count(&house, low, "job.pre_stop") == 1);
        assert_int_equal(events_count(&house, low, "job.told"), 1);
        AUTO_JSON json_t *job = job_of(&house, low);
        assert_string_equal(text_of(job, "pre_stop_outcome"), commands[i].outcome);
        assert_int_equal(json_is_string(json_object_get(job, "checkpointed")), commands[i].saved);
        AUTO_ANSWER struct answer why = {0};
        core_job_explain(house.core, "1", take_answer, &why);
        TURN_UNTIL(&house, why.given);
        assert_string_equal(text_of(json_object_get(why.result, "notice"), "pre_stop"),
                            commands[i].outcome);
        job_exits(&house, high, 0);
        job_becomes(&house, low, "running");
        job_exits(&house, low, 0);
        nothing_left(&house);
    }
}

/* A program says that it is saved by REST, and gives way before its notice is over. */
static void test_who_has_saved_gives_way_at_once(void **state)
{
    (void)state;
    AUTO_HOUSE struct house house;
    house_open_with(&house, 1, 3600000);
    uint64_t low = submitted(&house, TOLD("save"));
    engine_fake_exec(house.world, 1); /* saves nothing */
    job_becomes(&house, low, "running");
    uint64_t high = submitted(&house, RANKED(900, "80%"));
    TURN_UNTIL(&house, events_count(&house, low, "job.told") == 1);
    assert_true(job_is(&house, low, "running"));
    AUTO_ANSWER struct answer unknown = {0}, early = {0}, saved = {0};
    core_job_checkpointed(house.core, "77", take_answer, &unknown);
    assert_string_equal(unknown.err.code, "unknown-job");
    core_job_checkpointed(house.core, "2", take_answer, &early);
    assert_string_equal(early.err.code, "job-not-running");
    core_job_checkpointed(house.core, "1", take_answer, &saved);
    TURN_UNTIL(&house, saved.given);
    assert_int_equal(saved.err.errnum, 0);
    job_becomes(&house, high, "running"); /* not in an hour */
    assert_true(job_is(&house, low, "idle"));
    job_exits(&house, high, 0);
    job_becomes(&house, low, "running");
    job_exits(&house, low, 0);
    nothing_left(&house);
}

#define BIG(priority, more) \
    "{" ANY_COMMAND ",\"priority\":" #priority ",\"share\":\"20%\",\"memory\":\"5GiB\"" more "}"
#define REQUEUE ",\"requeue\":true"

static int64_t job_number(struct house *house, uint64_t id, const char *member)
{
    AUTO_JSON json_t *job = job_of(house, id);
    return json_integer_value(json_object_get(job, member));
}

/* One whose card cannot be suspended is stopped, when it allows that, and started again. */
static void test_a_job_whose_card_stays_is_started_again(void **state)
{
    (void)state;
    AUTO_HOUSE struct house house;
    house_open(&house);
    fake_cardd_refuse(house.cardd, "card.suspend", NULL);
    uint64_t keeps = submitted(&house, RANKED(50, "10%"));
    uint64_t low = submitted(&house, BIG(100, REQUEUE));
    job_becomes(&house, low, "running");
    uint64_t high = submitted(&house, BIG(900, ""));
    job_becomes(&house, high, "running");
    assert_true(job_is(&house, low, "queued"));
    assert_true(job_is(&house, keeps, "running"));
    assert_int_equal(job_number(&house, low, "requeues"), 1);
    TURN_UNTIL(&house, events_count(&house, low, "job.requeued") == 1);
    core_shut(&house);
    core_open(&house);
    job_exits(&house, high, 0);
    job_becomes(&house, low, "running");
    job_exits(&house, low, 0);
    TURN_UNTIL(&house, job_is(&house, low, "succeeded"));
    assert_int_equal(job_number(&house, low, "requeues"), 1);
    job_exits(&house, keeps, 0);
    nothing_left(&house);
}

/* Nobody is stopped who did not allow it: its memory stays, and the other waits. */
static void test_a_job_that_does_not_allow_it_is_not_stopped(void **state)
{
    (void)state;
    AUTO_HOUSE struct house house;
    house_open(&house);
    fake_cardd_refuse(house.cardd, "card.suspend", NULL);
    uint64_t low = submitted(&house, BIG(100, ""));
    job_becomes(&house, low, "running");
    uint64_t high = submitted(&house, BIG(900, ""));
    TURN_UNTIL(&house, events_count(&house, low, "job.woken") == 1); /* it was tried */
    TURN_UNTIL(&house, core_waits(&house, high, "memory-busy"));
    assert_true(job_is(&house, low, "running"));
    job_exits(&house, low, 0);
    job_becomes(&house, high, "running");
    job_exits(&house, high, 0);
    nothing_left(&house);
}

/* While it is asked to end: a user's stop is final, and a kill of leatd changes nothing. */
static void test_a_job_that_is_being_stopped(void **state)
{
    (void)state;
    for (unsigned killed = 0; killed < 2; killed++) {
        AUTO_HOUSE struct house house;
        house_open_with(&house, 1, killed ? 200 : 3600000);
        fake_cardd_refuse(house.cardd, "card.suspend", NULL);
        engine_fake_ignore_term(house.world, true);
        uint64_t low = submitted(&house, BIG(100, REQUEUE ",\"pre_stop\":[\"save\"]"));
        job_becomes(&house, low, "running");
        uint64_t high = submitted(&house, BIG(900, ""));
        job_says(&house, low, "stopping", "evicted"); /* it is saved: long before the due time */
        if (killed) {
            core_shut(&house);
            core_open(&house);
            job_becomes(&house, high, "running");
            assert_int_equal(job_number(&house, low, "requeues"), 1);
            engine_fake_ignore_term(house.world, false);
        } else {
            AUTO_ANSWER struct answer stopped = {0};
            AUTO_JSON json_t *now = json_pack("{s:s}", "grace", "0s");
            core_job_stop(house.core, "1", now, take_answer, &stopped);
            job_becomes(&house, low, "stopped");
            job_becomes(&house, high, "running");
        }
        job_exits(&house, high, 0);
        if (killed) {
            job_becomes(&house, low, "running");
            job_exits(&house, low, 0);
        }
        nothing_left(&house);
    }
}

#define MEMBER(priority, share) \
    "{" ANY_COMMAND ",\"priority\":" #priority ",\"share\":\"" share "\",\"memory\":\"1GiB\"," \
    "\"gang\":\"g\",\"gang_size\":2}"

/* A gang takes the places of as many as all its members need, at once, or of nobody. */
static void test_a_gang_takes_all_its_places_or_none(void **state)
{
    (void)state;
    AUTO_HOUSE struct house house;
    house_open(&house);
    uint64_t equal = submitted(&house, RANKED(900, "20%"));
    uint64_t low = submitted(&house, RANKED(100, "40%"));
    uint64_t lower = submitted(&house, RANKED(50, "40%"));
    job_becomes(&house, equal, "running");
    job_becomes(&house, low, "running");
    job_becomes(&house, lower, "running");
    uint64_t first = submitted(&house, MEMBER(900, "45%"));
    uint64_t second = submitted(&house, MEMBER(800, "40%"));
    TURN_UNTIL(&house, core_waits(&house, second, "gang-incomplete"));
    for (unsigned polls = 0; polls < 20; polls++) /* five would do for one */
        assert_true(uv_run(&house.loop, UV_RUN_ONCE));
    assert_int_equal(events_count(&house, low, "job.preempting"), 0);
    assert_int_equal(events_count(&house, lower, "job.preempting"), 0);
    job_exits(&house, equal, 0);
    job_becomes(&house, first, "running");
    job_becomes(&house, second, "running");
    assert_true(job_is(&house, low, "idle"));
    assert_true(job_is(&house, lower, "idle"));
    job_exits(&house, first, 0);
    job_exits(&house, second, 0);
    job_becomes(&house, low, "running");
    job_becomes(&house, lower, "running");
    job_exits(&house, low, 0);
    job_exits(&house, lower, 0);
    nothing_left(&house);
}

/* What a tenant reserved is out of the reach of others' priority; what it borrowed is not. */
static void test_priority_stops_at_reservations(void **state)
{
    (void)state;
    AUTO_HOUSE struct house house;
    house_open(&house);
    uint64_t first = submitted(&house, JOB_OF("a", "10%"));
    job_becomes(&house, first, "running"); /* devices are known */
    tenant_set(&house, "a", 400, 0, NULL);
    tenant_set(&house, "b", 300, 0, NULL);
    tenant_set(&house, "c", 300, 0, NULL);
    uint64_t own = submitted(&house, JOB_OF("a", "30%"));
    job_becomes(&house, own, "running");
    uint64_t borrowed = submitted(&house, JOB_OF("a", "50%")); /* all of it */
    job_becomes(&house, borrowed, "running");
    assert_int_equal(tenant_figure(&house, "a", "borrowed_milli"), 500);
    uint64_t high = submitted(&house, "{" ANY_COMMAND ",\"tenant\":\"b\",\"share\":\"50%\","
                                      "\"memory\":\"1GiB\",\"priority\":900}");
    job_says(&house, borrowed, "idle", "preempted");
    job_becomes(&house, high, "running");
    assert_true(job_is(&house, own, "running"));
    assert_true(job_is(&house, first, "running"));
    job_exits(&house, high, 0);
    job_becomes(&house, borrowed, "running");
    job_exits(&house, borrowed, 0);
    job_exits(&house, own, 0);
    job_exits(&house, first, 0);
    nothing_left(&house);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_lent_comes_back),
        cmocka_unit_test(test_limits_hold_and_are_explained),
        cmocka_unit_test(test_lower_priority_gives_way),
        cmocka_unit_test(test_jobs_are_told_before_their_cards_are_taken),
        cmocka_unit_test(test_who_has_saved_gives_way_at_once),
        cmocka_unit_test(test_a_job_whose_card_stays_is_started_again),
        cmocka_unit_test(test_a_job_that_does_not_allow_it_is_not_stopped),
        cmocka_unit_test(test_a_job_that_is_being_stopped),
        cmocka_unit_test(test_a_gang_takes_all_its_places_or_none),
        cmocka_unit_test(test_priority_stops_at_reservations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
