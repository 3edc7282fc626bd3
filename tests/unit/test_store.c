/* The store: records come back as they went in, batches are all or nothing, kills lose nothing that
 * was committed, older schemas are brought up, what is damaged or foreign is refused. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <cmocka.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "store/store.h"

#define KILLS 20

struct shelf {
    char folder[64], path[80];
    struct store *store;
};

static void shelf_open(struct shelf *shelf)
{
    struct error err;
    if (store_open(shelf->path, &shelf->store, &err) < 0)
        fail_msg("%s", err.text);
}

static void shelf_make(struct shelf *shelf)
{
    *shelf = (struct shelf){.store = NULL};
    (void)snprintf(shelf->folder, sizeof(shelf->folder), "/tmp/leat-store-XXXXXX");
    assert_non_null(mkdtemp(shelf->folder));
    (void)snprintf(shelf->path, sizeof(shelf->path), "%s/leat.db", shelf->folder);
}

static void shelf_close(struct shelf *shelf)
{
    store_close(shelf->store);
    shelf->store = NULL;
}

static void shelf_remove(struct shelf *shelf)
{
    shelf_close(shelf);
    assert_int_equal(dir_remove_tree(AT_FDCWD, shelf->folder, NULL), 0);
}
#define AUTO_SHELF __attribute__((cleanup(shelf_remove)))

DEFINE_CLEANUP(batch, struct store_batch, store_batch_destroy)
#define AUTO_BATCH CLEANUP(cleanup_batch)

static void job_make(struct job *job, uint64_t id, enum job_state state)
{
    AUTO_JSON json_t *request =
        json_pack("{s:s, s:s, s:[s,s], s:{s:s}, s:i, s:s, s:s}", "library", "opencl-c", "type",
                  "training", "command", "train", "--fast", "env", "A", "b c", "memory", 1 << 20,
                  "share", "37.5%", "cpus", "1.5");
    job_init(job);
    assert_int_equal(job_request_decode(request, &job->request, NULL), 0);
    job->id = id;
    job->state = state;
    job->created_us = 1000000 + id;
    job->token = strdup("secret");
    assert_int_equal(job_reason_set(job, "code", "a \"text\""), 0);
}

static void put(struct shelf *shelf, uint64_t id, enum job_state state, uint64_t seq)
{
    AUTO_BATCH struct store_batch *batch = store_batch_create();
    const struct store_event event = {
        .seq = seq, .time_us = 5, .kind = "job.test", .job = id, .to = state};
    struct job job;
    job_make(&job, id, state);
    assert_int_equal(store_batch_job(batch, &job, seq ? &event : NULL), 0);
    assert_int_equal(store_commit(shelf->store, batch, NULL), 0);
    job_finish(&job);
}

static void test_job_round_trip(void **state)
{
    (void)state;
    AUTO_SHELF struct shelf shelf;
    shelf_make(&shelf);
    shelf_open(&shelf);
    put(&shelf, 3, JOB_RUNNING, 1);
    struct job job;
    struct error err;
    assert_int_equal(store_job_read(shelf.store, 3, &job, &err), 0);
    assert_int_equal(job.state, JOB_RUNNING);
    assert_string_equal(job.text, "a \"text\"");
    assert_string_equal(job.token, "secret");
    assert_string_equal(job.request.command[1], "--fast");
    assert_string_equal(json_string_value(json_object_get(job.request.env, "A")), "b c");
    assert_int_equal(job.request.share_permille, 375);
    assert_int_equal(job.request.cpus_milli, 1500);
    assert_true(job.request.idle_after_ms == JOB_UNSET_MS);
    job_finish(&job);
    assert_int_equal(store_job_read(shelf.store, 4, &job, &err), -ENOENT);
    assert_string_equal(err.code, "unknown-job");
}

static int collect(void *arg, const struct job *job)
{
    char *ids = arg;
    size_t length = strlen(ids);
    (void)snprintf(ids + length, 64 - length, "%llu ", (unsigned long long)job->id);
    return 0;
}

static void test_lists(void **state)
{
    (void)state;
    AUTO_SHELF struct shelf shelf;
    shelf_make(&shelf);
    shelf_open(&shelf);
    static const enum job_state states[] = {JOB_FAILED, JOB_RUNNING, JOB_SUCCEEDED, JOB_QUEUED,
                                            JOB_FAILED};
    for (uint64_t id = 1; id <= 5; id++)
        put(&shelf, id, states[id - 1], id);
    const struct {
        struct store_query query;
        const char *ids;
    } cases[] = {
        {{.limit = 9}, "5 4 3 2 1 "},
        {{.limit = 2}, "5 4 "},
        {{.limit = 2, .before = 4}, "3 2 "},
        {{.limit = 9, .states = 1u << JOB_FAILED}, "5 1 "},
        {{.limit = 9, .states = 1u << JOB_QUEUED | 1u << JOB_SUCCEEDED}, "4 3 "},
        {{.limit = 9, .states = 1u << JOB_STOPPED}, ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char ids[64] = "";
        assert_int_equal(store_jobs_list(shelf.store, &cases[i].query, collect, ids, NULL), 0);
        assert_string_equal(ids, cases[i].ids);
    }
    char live[64] = "";
    assert_int_equal(store_jobs_live(shelf.store, collect, live, NULL), 0);
    assert_string_equal(live, "2 4 ");
}

static void test_numbers_are_not_used_again(void **state)
{
    (void)state;
    AUTO_SHELF struct shelf shelf;
    shelf_make(&shelf);
    shelf_open(&shelf);
    put(&shelf, 7, JOB_FAILED, 12);
    {
        AUTO_BATCH struct store_batch *batch = store_batch_create();
        assert_int_equal(store_batch_job_remove(batch, 7, NULL), 0);
        assert_int_equal(store_commit(shelf.store, batch, NULL), 0);
    }
    shelf_close(&shelf);
    shelf_open(&shelf);
    assert_int_equal(store_last_job(shelf.store), 7);
    assert_int_equal(store_last_event(shelf.store), 12);
}

static void test_events(void **state)
{
    (void)state;
    AUTO_SHELF struct shelf shelf;
    AUTO_JSON json_t *data = json_pack("{s:i}", "n", 5);
    AUTO_BATCH struct store_batch *batch = store_batch_create();
    shelf_make(&shelf);
    shelf_open(&shelf);
    const struct store_event events[] = {
        {.seq = 1, .time_us = 1500000, .kind = "image.ready", .data = data},
        {.seq = 2, .kind = "job.idle", .job = 4, .from = JOB_RUNNING, .to = JOB_IDLE},
        {.seq = 3, .kind = "job.removed", .job = 4},
    };
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(store_batch_event(batch, &events[i]), 0);
    assert_int_equal(store_commit(shelf.store, batch, NULL), 0);
    for (uint64_t since = 0; since < 5; since++) {
        json_t *page;
        assert_int_equal(store_events_read(shelf.store, since, 2, &page, NULL), 0);
        size_t expected = since == 0 ? 2 : since < 3 ? 3 - since : 0;
        const json_t *list = json_object_get(page, "events");
        assert_int_equal(json_array_size(list), expected);
        assert_int_equal(json_integer_value(json_object_get(page, "last")), since + expected);
        for (size_t i = 0; i < expected; i++) {
            AUTO_JSON json_t *direct = store_event_encode(&events[since + i]);
            assert_true(json_equal(direct, json_array_get(list, i)));
        }
        json_decref(page);
    }
}

static void test_keys(void **state)
{
    (void)state;
    AUTO_SHELF struct shelf shelf;
    AUTO_BATCH struct store_batch *batch = store_batch_create();
    AUTO_FREE char *digest = NULL;
    uint64_t job;
    shelf_make(&shelf);
    shelf_open(&shelf);
    assert_int_equal(store_idempotency_find(shelf.store, "key", &job, &digest, NULL), 0);
    assert_int_equal(job, 0);
    assert_int_equal(store_batch_idempotency(batch, "key", "d1", 9, UINT64_C(4000000000000000)), 0);
    assert_int_equal(store_commit(shelf.store, batch, NULL), 0);
    assert_int_equal(store_idempotency_find(shelf.store, "key", &job, &digest, NULL), 0);
    assert_int_equal(job, 9);
    assert_string_equal(digest, "d1");
}

static void test_measurements(void **state)
{
    (void)state;
    AUTO_SHELF struct shelf shelf;
    AUTO_BATCH struct store_batch *batch = store_batch_create();
    shelf_make(&shelf);
    shelf_open(&shelf);
    for (uint64_t id = 1; id <= 4; id++) {
        struct job job;
        job_make(&job, id, JOB_SUCCEEDED);
        job.request.program = strdup(id % 2 ? "/odd" : "/even");
        job.started_us = 1000000;
        job.ended_us = 3000000;
        job.usage.device_time_ns = id;
        job.family = strdup(id == 4 ? "kin" : "other");
        job.steps = 10 * id;
        assert_int_equal(store_batch_measurement(batch, &job, id < 3 ? "old" : "new"), 0);
        job_finish(&job);
    }
    assert_int_equal(store_commit(shelf.store, batch, NULL), 0);
    struct store_measurement found[4];
    struct store_likeness like = {"opencl-c", "training", "/odd", "none", "", "new"};
    assert_int_equal(store_measurements(shelf.store, &like, found, 3, NULL), 3);
    assert_int_equal(found[0].job, 3);
    assert_int_equal(found[1].job, 1);
    assert_int_equal(found[2].job, 4);
    assert_true(found[1].same_program && !found[2].same_program);
    assert_true(found[0].same_device && !found[1].same_device);
    assert_int_equal(found[0].wall_ms, 2000);
    assert_int_equal(found[0].steps, 30);
    like.family = "kin"; /* goes before the program, and comes once */
    assert_int_equal(store_measurements(shelf.store, &like, found, 4, NULL), 4);
    assert_int_equal(found[0].job, 4);
    assert_true(found[0].same_family && !found[1].same_family);
    assert_int_equal(found[3].job, 2);
    assert_true(found[0].same_kind && found[3].same_kind);
    like.library = "pytorch"; /* none of its own: those of others */
    assert_int_equal(store_measurements(shelf.store, &like, found, 2, NULL), 2);
    assert_int_equal(found[0].job, 4);
    assert_true(!found[0].same_kind && !found[1].same_kind);
}

static void test_batches_join_and_drop(void **state)
{
    (void)state;
    AUTO_SHELF struct shelf shelf;
    AUTO_BATCH struct store_batch *first = store_batch_create();
    AUTO_BATCH struct store_batch *second = store_batch_create();
    shelf_make(&shelf);
    shelf_open(&shelf);
    for (uint64_t id = 1; id <= 4; id++) {
        struct job job;
        const struct store_event event = {.seq = id, .kind = "job.test", .job = id};
        job_make(&job, id, JOB_QUEUED);
        assert_int_equal(store_batch_job(id % 2 ? first : second, &job, &event), 0);
        job_finish(&job);
    }
    store_batch_join(first, second);
    assert_int_equal(store_batch_count(first), 8);
    assert_int_equal(store_batch_count(second), 0);
    store_batch_drop_job(first, 2);
    assert_int_equal(store_batch_count(first), 6);
    assert_int_equal(store_commit(shelf.store, first, NULL), 0);
    char live[64] = "";
    assert_int_equal(store_jobs_live(shelf.store, collect, live, NULL), 0);
    assert_string_equal(live, "1 3 4 ");
}

/* Two events of one number cannot be: nothing of the batch is written. */
static void test_failed_commit_writes_nothing(void **state)
{
    (void)state;
    AUTO_SHELF struct shelf shelf;
    AUTO_BATCH struct store_batch *batch = store_batch_create();
    struct job job;
    struct error err;
    shelf_make(&shelf);
    shelf_open(&shelf);
    put(&shelf, 1, JOB_QUEUED, 1);
    const struct store_event twice = {.seq = 1, .kind = "job.test", .job = 2};
    job_make(&job, 2, JOB_QUEUED);
    assert_int_equal(store_batch_job(batch, &job, &twice), 0);
    job_finish(&job);
    assert_int_equal(store_commit(shelf.store, batch, &err), -EIO);
    assert_string_equal(err.code, "store-failed");
    assert_int_equal(store_job_read(shelf.store, 2, &job, &err), -ENOENT);
    put(&shelf, 2, JOB_QUEUED, 2);
}

/* A child commits jobs and tells each once it is durable, until it is killed. */
static void write_until_killed(struct shelf *shelf, int told, uint64_t first)
{
    shelf_open(shelf);
    for (uint64_t id = first;; id++) {
        put(shelf, id, JOB_QUEUED, id);
        if (write(told, &id, sizeof(id)) != sizeof(id))
            _exit(1);
    }
}

static void test_kills_lose_nothing(void **state)
{
    (void)state;
    AUTO_SHELF struct shelf shelf;
    shelf_make(&shelf);
    uint64_t last = 0;
    for (int kill_number = 0; kill_number < KILLS; kill_number++) {
        int ends[2];
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            write_until_killed(&shelf, ends[1], last + 1);
        (void)close(ends[1]);
        uint64_t id;
        for (int i = 0; i <= kill_number; i++)
            assert_int_equal(read(ends[0], &id, sizeof(id)), sizeof(id));
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, NULL, 0), child);
        while (read(ends[0], &id, sizeof(id)) == sizeof(id))
            ;
        (void)close(ends[0]);
        shelf_open(&shelf);
        last = store_last_job(shelf.store);
        assert_true(last == id || last == id + 1); /* durable and not yet told */
        assert_int_equal(store_last_event(shelf.store), last);
        struct job job;
        assert_int_equal(store_job_read(shelf.store, last, &job, NULL), 0);
        job_finish(&job);
        shelf_close(&shelf);
    }
}

static void execute(const char *path, const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void test_older_schema_is_brought_up(void **state)
{
    (void)state;
    AUTO_SHELF struct shelf shelf;
    shelf_make(&shelf);
    shelf_open(&shelf);
    put(&shelf, 1, JOB_QUEUED, 1);
    shelf_close(&shelf);
    execute(shelf.path,
            "DROP TABLE idempotency; DROP TABLE measurement; DROP TABLE tenant; DROP TABLE model; "
            "DROP TABLE knowledge; DROP TABLE knowledge_attribute; DROP TABLE knowledge_words; "
            "DROP TABLE device; DROP TABLE lesson; "
            "PRAGMA user_version=1;");
    shelf_open(&shelf);
    struct job job;
    assert_int_equal(store_job_read(shelf.store, 1, &job, NULL), 0);
    job_finish(&job);
    uint64_t found;
    assert_int_equal(store_idempotency_find(shelf.store, "key", &found, NULL, NULL), 0);
}

struct lessons {
    uint64_t ids, count;
};

static int lesson_see(void *arg, uint64_t id, json_t *record)
{
    struct lessons *seen = arg;
    assert_int_equal(json_integer_value(json_object_get(record, "n")), id * 10);
    seen->ids = seen->ids * 10 + id;
    seen->count++;
    return 0;
}

static void test_lessons_are_kept_until_learnt(void **state)
{
    (void)state;
    struct lessons seen = {0};
    AUTO_SHELF struct shelf shelf;
    shelf_make(&shelf);
    shelf_open(&shelf);
    AUTO_BATCH struct store_batch *batch = store_batch_create();
    for (int id = 3; id > 0; id--) {
        AUTO_JSON json_t *record = json_pack("{s:i}", "n", id * 10);
        assert_int_equal(store_batch_lesson(batch, (uint64_t)id, record), 0);
    }
    assert_int_equal(store_batch_lesson_remove(batch, 2), 0);
    assert_int_equal(store_commit(shelf.store, batch, NULL), 0);
    shelf_close(&shelf);
    shelf_open(&shelf);
    assert_int_equal(store_lessons(shelf.store, lesson_see, &seen, NULL), 0);
    assert_int_equal(seen.ids, 13);
    assert_int_equal(seen.count, 2);
}

static int tenant_see(void *arg, const struct tenant *tenant)
{
    struct tenant *seen = arg;
    assert_string_equal(seen->name, "");
    *seen = *tenant;
    return 0;
}

static void test_tenants_are_kept(void **state)
{
    (void)state;
    const struct tenant lab = {"lab", "", 1500, 2000, 50}, gone = {"gone", "lab", 1, 0, 1};
    struct tenant seen = {.name = ""};
    AUTO_SHELF struct shelf shelf;
    shelf_make(&shelf);
    shelf_open(&shelf);
    struct store_batch *batch = store_batch_create();
    assert_int_equal(store_batch_tenant(batch, &gone), 0);
    assert_int_equal(store_batch_tenant(batch, &lab), 0);
    assert_int_equal(store_batch_tenant_remove(batch, "gone"), 0);
    assert_int_equal(store_commit(shelf.store, batch, NULL), 0);
    store_batch_destroy(batch);
    shelf_close(&shelf);
    shelf_open(&shelf);
    assert_int_equal(store_tenants(shelf.store, tenant_see, &seen, NULL), 0);
    assert_string_equal(seen.name, "lab");
    assert_int_equal(seen.reserved_milli, 1500);
    assert_int_equal(seen.limit_milli, 2000);
    assert_int_equal(seen.weight, 50);
}

static int model_see(void *arg, const struct model *model)
{
    struct model *seen = arg;
    assert_null(seen->name);
    AUTO_JSON json_t *record = model_record_encode(model);
    return model_record_decode(record, seen, NULL);
}

static void test_models_are_kept(void **state)
{
    (void)state;
    struct model seen = {.name = NULL}, given;
    AUTO_JSON json_t *body = json_pack("{s:s, s:s, s:{s:i}, s:{s:s}}", "path", "/m", "licence",
                                       "mit", "run", "layers", 2, "card", "task", "text");
    assert_int_equal(model_decode("llama", body, &given, NULL), 0);
    given.params = 7000000000;
    given.registered_us = 5;
    AUTO_SHELF struct shelf shelf;
    shelf_make(&shelf);
    shelf_open(&shelf);
    struct store_batch *batch = store_batch_create();
    assert_int_equal(store_batch_model(batch, &given), 0);
    assert_int_equal(store_commit(shelf.store, batch, NULL), 0);
    assert_int_equal(store_models(shelf.store, model_see, &seen, NULL), 0);
    assert_string_equal(seen.name, "llama");
    assert_string_equal(seen.licence, "mit");
    assert_int_equal(seen.params, 7000000000);
    assert_int_equal(seen.registered_us, 5);
    assert_true(json_equal(seen.run, given.run) && json_equal(seen.card, given.card));
    model_finish(&seen);
    assert_int_equal(store_batch_model_remove(batch, "llama"), 0);
    assert_int_equal(store_commit(shelf.store, batch, NULL), 0);
    assert_int_equal(store_models(shelf.store, model_see, &seen, NULL), 0);
    assert_null(seen.name);
    store_batch_destroy(batch);
    model_finish(&given);
}

static void refused(struct shelf *shelf, const char *code)
{
    struct error err;
    assert_true(store_open(shelf->path, &shelf->store, &err) < 0);
    assert_string_equal(err.code, code);
    assert_null(shelf->store);
}

static void test_refusals(void **state)
{
    (void)state;
    AUTO_SHELF struct shelf shelf;
    shelf_make(&shelf);
    execute(shelf.path, "CREATE TABLE theirs (a)");
    refused(&shelf, "store-foreign");
    assert_int_equal(unlink(shelf.path), 0);
    shelf_open(&shelf);
    struct shelf again = shelf;
    again.store = NULL;
    refused(&again, "store-in-use");
    shelf_close(&shelf);
    execute(shelf.path, "PRAGMA user_version=99");
    refused(&shelf, "store-newer");
    int fd = open(shelf.path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    for (off_t at = 0; at < 16384; at += 16)
        assert_int_equal(pwrite(fd, "sixteen garbled.", 16, at), 16);
    (void)close(fd);
    refused(&shelf, "store-damaged");
}

/* The disk is full: a clear refusal, and what was there stays readable. */
static void test_full_disk(void **state)
{
    (void)state;
    AUTO_SHELF struct shelf shelf;
    AUTO_BATCH struct store_batch *batch = store_batch_create();
    struct rlimit before;
    struct error err;
    struct job job;
    shelf_make(&shelf);
    shelf_open(&shelf);
    put(&shelf, 1, JOB_QUEUED, 1);
    for (uint64_t id = 2; id < 400; id++) {
        job_make(&job, id, JOB_QUEUED);
        assert_int_equal(store_batch_job(batch, &job, NULL), 0);
        job_finish(&job);
    }
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    assert_int_equal(sigaction(SIGXFSZ, &ignore, NULL), 0);
    const struct rlimit small = {.rlim_cur = 100000, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int r = store_commit(shelf.store, batch, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_true(r < 0);
    char live[64] = "";
    assert_int_equal(store_jobs_live(shelf.store, collect, live, NULL), 0);
    assert_string_equal(live, "1 ");
    assert_int_equal(store_commit(shelf.store, batch, &err), 0); /* there is room again */
    assert_int_equal(store_job_read(shelf.store, 399, &job, &err), 0);
    job_finish(&job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_job_round_trip),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_numbers_are_not_used_again),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_measurements),
        cmocka_unit_test(test_batches_join_and_drop),
        cmocka_unit_test(test_failed_commit_writes_nothing),
        cmocka_unit_test(test_kills_lose_nothing),
        cmocka_unit_test(test_older_schema_is_brought_up),
        cmocka_unit_test(test_lessons_are_kept_until_learnt),
        cmocka_unit_test(test_tenants_are_kept),
        cmocka_unit_test(test_models_are_kept),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
