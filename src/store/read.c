/* Reading back: jobs, journal, keys and measurements. All on the reader's connection. */
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "store/store_impl.h"

#define RECORD_LIMIT_BYTES (4u << 20)

static const char *column_text(sqlite3_stmt *statement, int column)
{
    return (const char *)sqlite3_column_text(statement, column);
}

static uint64_t column_u64(sqlite3_stmt *statement, int column)
{
    return (uint64_t)sqlite3_column_int64(statement, column);
}

/* A column of JSON; NULL with err set. */
static json_t *column_json(sqlite3_stmt *statement, int column, struct error *err)
{
    const char *text = column_text(statement, column);
    size_t length = (size_t)sqlite3_column_bytes(statement, column);
    if (text)
        return json_parse(text, length, RECORD_LIMIT_BYTES, err);
    error_set(err, -ENOMEM, "out-of-memory", "reading a record");
    return NULL;
}

static int record_decode(sqlite3_stmt *statement, int column, struct job *job, struct error *err)
{
    AUTO_JSON json_t *record = column_json(statement, column, err);
    int r = record ? job_record_decode(record, job, err) : -EINVAL;
    return r < 0 ? error_context(err, "a job's record in the database") : 0;
}

int store_job_read(struct store *store, uint64_t id, struct job *ret_job, struct error *err)
{
    AUTO_STATEMENT sqlite3_stmt *statement = NULL;
    int r = store_prepare(store, "SELECT record FROM job WHERE id = ?", &statement, err);
    if (r < 0)
        return r;
    (void)sqlite3_bind_int64(statement, 1, (sqlite3_int64)id); /* an index that exists */
    r = store_step(store, statement, err);
    if (r < 0)
        return r;
    if (r == 0)
        return error_set(err, -ENOENT, "unknown-job", "there is no job %llu",
                         (unsigned long long)id);
    struct job job;
    job_init(&job);
    r = record_decode(statement, 0, &job, err);
    if (r < 0)
        job_finish(&job);
    else
        *ret_job = job;
    return r;
}

static int visit_rows(struct store *store, sqlite3_stmt *statement,
                      int (*visit)(void *arg, const struct job *job), void *arg, struct error *err)
{
    int r;
    while ((r = store_step(store, statement, err)) > 0) {
        struct job job;
        job_init(&job);
        r = record_decode(statement, 0, &job, err);
        if (r == 0)
            r = visit(arg, &job);
        job_finish(&job);
        if (r < 0)
            return r;
    }
    return r;
}

int store_jobs_list(struct store *store, const struct store_query *query,
                    int (*visit)(void *arg, const struct job *job), void *arg, struct error *err)
{
    AUTO_STATEMENT sqlite3_stmt *statement = NULL;
    AUTO_BUF struct buf states = BUF_INIT;
    for (enum job_state state = JOB_QUEUED; state < JOB_STATE_COUNT; state++) {
        if (query->states == 0 || (query->states & (1u << state)))
            (void)buf_printf(&states, ",%s,", job_state_name(state));
    }
    if (states.failed)
        return error_set(err, -ENOMEM, "out-of-memory", "listing jobs");
    int r = store_prepare(store,
                          "SELECT record FROM job WHERE id < ? AND instr(?, ',' || state || ',')"
                          " ORDER BY id DESC LIMIT ?",
                          &statement, err);
    if (r < 0)
        return r;
    size_t limit = query->limit < STORE_LIST_MAX ? query->limit : STORE_LIST_MAX;
    /* Indexes that exist and a text that outlives the statement. */
    (void)sqlite3_bind_int64(statement, 1,
                             query->before ? (sqlite3_int64)query->before : INT64_MAX);
    (void)sqlite3_bind_text(statement, 2, states.data ? states.data : "", -1, SQLITE_STATIC);
    (void)sqlite3_bind_int64(statement, 3, (sqlite3_int64)limit);
    return visit_rows(store, statement, visit, arg, err);
}

int store_jobs_live(struct store *store, int (*visit)(void *arg, const struct job *job), void *arg,
                    struct error *err)
{
    AUTO_STATEMENT sqlite3_stmt *statement = NULL;
    int r =
        store_prepare(store, "SELECT record FROM job WHERE ended = 0 ORDER BY id", &statement, err);
    return r < 0 ? r : visit_rows(store, statement, visit, arg, err);
}

static json_t *text_or_null(const char *text)
{
    return text && *text ? json_string(text) : json_null();
}

static int put(json_t *object, const char *name, json_t *value)
{
    return json_object_set_new(object, name, value);
}

static json_t *event_json(uint64_t seq, uint64_t time_us, const char *kind, uint64_t job,
                          const char *from, const char *to, json_t *data)
{
    char time[TIME_TEXT_MAX], id[JOB_ID_TEXT_MAX];
    AUTO_JSON json_t *event = json_object();
    if (put(event, "data", data) < 0 || put(event, "seq", json_integer((json_int_t)seq)) < 0 ||
        put(event, "time", json_string(time_text(time_us, time))) < 0 ||
        put(event, "kind", json_string(kind)) < 0 ||
        put(event, "job", text_or_null(job ? job_id_text(job, id) : NULL)) < 0 ||
        put(event, "from", text_or_null(from)) < 0 || put(event, "to", text_or_null(to)) < 0)
        return NULL;
    return json_incref(event);
}

json_t *store_event_encode(const struct store_event *event)
{
    json_t *data = event->data ? json_incref((json_t *)(uintptr_t)event->data) : json_null();
    return event_json(event->seq, event->time_us, event->kind, event->job,
                      event->from ? job_state_name(event->from) : NULL,
                      event->to ? job_state_name(event->to) : NULL, data);
}

static json_t *event_row(sqlite3_stmt *statement)
{
    const char *data = column_text(statement, 6);
    return event_json(column_u64(statement, 0), column_u64(statement, 1), column_text(statement, 2),
                      column_u64(statement, 3), column_text(statement, 4),
                      column_text(statement, 5),
                      data ? json_loads(data, JSON_DECODE_ANY, NULL) : json_null());
}

int store_events_read(struct store *store, uint64_t since, size_t limit, json_t **ret_page,
                      struct error *err)
{
    AUTO_STATEMENT sqlite3_stmt *statement = NULL;
    AUTO_JSON json_t *events = json_array();
    uint64_t last = since;
    int r = store_prepare(store,
                          "SELECT seq, time_us, kind, job, from_state, to_state, data FROM event"
                          " WHERE seq > ? ORDER BY seq LIMIT ?",
                          &statement, err);
    if (r < 0)
        return r;
    limit = limit < STORE_LIST_MAX ? limit : STORE_LIST_MAX;
    /* Indexes that exist. A number beyond what SQLite holds is after all events. */
    (void)sqlite3_bind_int64(statement, 1, since > INT64_MAX ? INT64_MAX : (sqlite3_int64)since);
    (void)sqlite3_bind_int64(statement, 2, (sqlite3_int64)limit);
    while ((r = store_step(store, statement, err)) > 0) {
        last = column_u64(statement, 0);
        if (json_array_append_new(events, event_row(statement)) < 0)
            return error_set(err, -ENOMEM, "out-of-memory", "reading events");
    }
    json_t *page =
        r < 0 ? NULL : json_pack("{s:O, s:I}", "events", events, "last", (json_int_t)last);
    if (r == 0 && !page)
        return error_set(err, -ENOMEM, "out-of-memory", "reading events");
    if (r == 0)
        *ret_page = page;
    return r;
}

int store_idempotency_find(struct store *store, const char *key, uint64_t *ret_job,
                           char **ret_digest, struct error *err)
{
    AUTO_REWIND sqlite3_stmt *statement = store->reads[STORE_READ_KEY];
    (void)sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC); /* an index that exists */
    int r = store_step(store, statement, err);
    if (r < 0)
        return r;
    char *digest = r > 0 && ret_digest ? strdup(column_text(statement, 1)) : NULL;
    if (r > 0 && ret_digest && !digest)
        return error_set(err, -ENOMEM, "out-of-memory", "reading an idempotency key");
    if (ret_digest)
        *ret_digest = digest;
    *ret_job = r > 0 ? column_u64(statement, 0) : 0;
    return 0;
}

#define MEASUREMENT_COLUMNS \
    "SELECT job, program_bytes, data_bytes, wall_ms, device_time_ns, memory_peak_bytes," \
    " share_permille, memory_point_bytes, steps, step_kflop, family = ?4 AND family <> ''," \
    " program = ?3, model = ?5 AND model <> '', device = ?6, " OF_KIND " FROM measurement WHERE "
#define OF_KIND "(library = ?1 AND type = ?2)"
#define MEASUREMENT_ORDER " ORDER BY job DESC LIMIT ?7"
#define OF_FAMILY "(family = ?4 AND family <> '')"
#define OF_MODEL "(model = ?5 AND model <> '')"

/* None of the walks gives what an earlier one gave. The last is for want of any other. */
const char *const store_read_sql[STORE_READ_COUNT] = {
    [STORE_READ_KEY] = "SELECT job, digest FROM idempotency WHERE key = ?",
    [STORE_READ_KIN] = MEASUREMENT_COLUMNS OF_KIND " AND " OF_FAMILY MEASUREMENT_ORDER,
    [STORE_READ_KIN + 1] = MEASUREMENT_COLUMNS OF_KIND
    " AND NOT " OF_FAMILY " AND (program = ?3 OR " OF_MODEL ")" MEASUREMENT_ORDER,
    [STORE_READ_KIN + 2] = MEASUREMENT_COLUMNS OF_KIND
    " AND NOT " OF_FAMILY " AND program <> ?3 AND NOT " OF_MODEL MEASUREMENT_ORDER,
    [STORE_READ_KIN_LAST] = MEASUREMENT_COLUMNS "NOT " OF_KIND MEASUREMENT_ORDER,
};

static struct store_measurement measurement_row(sqlite3_stmt *statement)
{
    return (struct store_measurement){
        .job = column_u64(statement, 0),
        .program_bytes = column_u64(statement, 1),
        .data_bytes = column_u64(statement, 2),
        .wall_ms = column_u64(statement, 3),
        .device_time_ns = column_u64(statement, 4),
        .memory_peak_bytes = column_u64(statement, 5),
        .share_permille = (uint32_t)column_u64(statement, 6),
        .memory_point_bytes = column_u64(statement, 7),
        .steps = column_u64(statement, 8),
        .step_kflop = column_u64(statement, 9),
        .same_family = sqlite3_column_int(statement, 10),
        .same_program = sqlite3_column_int(statement, 11),
        .same_model = sqlite3_column_int(statement, 12),
        .same_device = sqlite3_column_int(statement, 13),
        .same_kind = sqlite3_column_int(statement, 14),
    };
}

int store_measurements(struct store *store, const struct store_likeness *like,
                       struct store_measurement *measurements, size_t room, struct error *err)
{
    const char *texts[] = {like->library, like->type,  like->program,
                           like->family,  like->model, like->device};
    size_t count = 0;
    for (int walk = STORE_READ_KIN;
         walk <= STORE_READ_KIN_LAST && count < room && (walk < STORE_READ_KIN_LAST || count == 0);
         walk++) {
        AUTO_REWIND sqlite3_stmt *statement = store->reads[walk];
        int r = 0;
        /* Indexes that exist. */
        for (int i = 0; i < 6; i++)
            (void)sqlite3_bind_text(statement, i + 1, texts[i], -1, SQLITE_STATIC);
        (void)sqlite3_bind_int64(statement, 7, (sqlite3_int64)(room - count));
        while ((r = store_step(store, statement, err)) > 0 && count < room)
            measurements[count++] = measurement_row(statement);
        if (r < 0)
            return r;
    }
    return (int)count;
}

int store_devices(struct store *store, int (*visit)(void *arg, const struct device_rule *rule),
                  void *arg, struct error *err)
{
    AUTO_STATEMENT sqlite3_stmt *statement = NULL;
    int r = store_prepare(store, "SELECT id, pool, healthy, weight FROM device", &statement, err);
    while (r >= 0 && (r = store_step(store, statement, err)) > 0) {
        struct device_rule rule = {.healthy = column_u64(statement, 2),
                                   .weight = (uint32_t)column_u64(statement, 3)};
        (void)snprintf(rule.id, sizeof(rule.id), "%s", column_text(statement, 0));
        (void)snprintf(rule.pool, sizeof(rule.pool), "%s", column_text(statement, 1));
        r = visit(arg, &rule);
    }
    return r;
}

int store_tenants(struct store *store, int (*visit)(void *arg, const struct tenant *tenant),
                  void *arg, struct error *err)
{
    AUTO_STATEMENT sqlite3_stmt *statement = NULL;
    int r =
        store_prepare(store, "SELECT name, parent, reserved_milli, limit_milli, weight FROM tenant",
                      &statement, err);
    while (r >= 0 && (r = store_step(store, statement, err)) > 0) {
        struct tenant tenant = {
            .reserved_milli = (uint32_t)column_u64(statement, 2),
            .limit_milli = (uint32_t)column_u64(statement, 3),
            .weight = (uint32_t)column_u64(statement, 4),
        };
        (void)snprintf(tenant.name, sizeof(tenant.name), "%s", column_text(statement, 0));
        (void)snprintf(tenant.parent, sizeof(tenant.parent), "%s", column_text(statement, 1));
        r = visit(arg, &tenant);
    }
    return r;
}

int store_models(struct store *store, int (*visit)(void *arg, const struct model *model), void *arg,
                 struct error *err)
{
    AUTO_STATEMENT sqlite3_stmt *statement = NULL;
    int r = store_prepare(store, "SELECT record FROM model ORDER BY name", &statement, err);
    while (r >= 0 && (r = store_step(store, statement, err)) > 0) {
        struct model model;
        AUTO_JSON json_t *record = column_json(statement, 0, err);
        r = record ? model_record_decode(record, &model, err) : -EINVAL;
        if (r < 0)
            return error_context(err, "a model's record in the database");
        r = visit(arg, &model);
        model_finish(&model);
    }
    return r;
}

int store_lessons(struct store *store, int (*visit)(void *arg, uint64_t id, json_t *record),
                  void *arg, struct error *err)
{
    AUTO_STATEMENT sqlite3_stmt *statement = NULL;
    int r = store_prepare(store, "SELECT id, record FROM lesson ORDER BY id", &statement, err);
    while (r >= 0 && (r = store_step(store, statement, err)) > 0) {
        AUTO_JSON json_t *record = column_json(statement, 1, err);
        r = record ? visit(arg, column_u64(statement, 0), record) : -EINVAL;
    }
    return r;
}
