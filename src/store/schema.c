/* The schema as a list of steps: each brings the database from one version to the next. */
#include <errno.h>

#include "base/error.h"
#include "store/store_impl.h"

#define APPLICATION_ID 0x4c656174 /* "Leat" in the header of the file */

static const char *const steps[STORE_SCHEMA_VERSION] = {
    /* 1: jobs and the journal. What lists ask for has a column; the rest is in the record. */
    "CREATE TABLE job ("
    "  id INTEGER PRIMARY KEY,"
    "  state TEXT NOT NULL,"
    "  ended INTEGER NOT NULL,"
    "  record TEXT NOT NULL) STRICT;"
    "CREATE INDEX job_live ON job (id) WHERE ended = 0;"
    "CREATE TABLE event ("
    "  seq INTEGER PRIMARY KEY,"
    "  time_us INTEGER NOT NULL,"
    "  kind TEXT NOT NULL,"
    "  job INTEGER,"
    "  from_state TEXT,"
    "  to_state TEXT,"
    "  data TEXT) STRICT;"
    "CREATE INDEX event_job ON event (job);",
    /* 2: idempotency keys and what earlier runs measured. */
    "CREATE TABLE idempotency ("
    "  key TEXT PRIMARY KEY,"
    "  digest TEXT NOT NULL,"
    "  job INTEGER NOT NULL,"
    "  time_us INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE measurement ("
    "  job INTEGER PRIMARY KEY,"
    "  library TEXT NOT NULL,"
    "  type TEXT NOT NULL,"
    "  program TEXT NOT NULL,"
    "  program_bytes INTEGER NOT NULL,"
    "  data_bytes INTEGER NOT NULL,"
    "  wall_ms INTEGER NOT NULL,"
    "  device_time_ns INTEGER NOT NULL,"
    "  share_permille INTEGER NOT NULL,"
    "  memory_peak_bytes INTEGER NOT NULL) STRICT;"
    "CREATE INDEX measurement_kind ON measurement (library, type, program, job);",
    /* 3: tenants. Who has borrowed what follows from them and from the jobs that run. */
    "CREATE TABLE tenant ("
    "  name TEXT PRIMARY KEY,"
    "  parent TEXT NOT NULL,"
    "  reserved_milli INTEGER NOT NULL,"
    "  limit_milli INTEGER NOT NULL,"
    "  weight INTEGER NOT NULL) STRICT, WITHOUT ROWID;",
    /* 4: registered models. What is searched for has a column; the rest is in the record. */
    "CREATE TABLE model ("
    "  name TEXT PRIMARY KEY,"
    "  params INTEGER NOT NULL,"
    "  trainable_params INTEGER NOT NULL,"
    "  dtype TEXT NOT NULL,"
    "  licence TEXT NOT NULL,"
    "  registered_us INTEGER NOT NULL,"
    "  record TEXT NOT NULL) STRICT, WITHOUT ROWID;",
};

static int read_pragma(sqlite3 *db, const char *sql, int64_t *ret_value, struct error *err)
{
    AUTO_STATEMENT sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW)
        return store_refuse(db, "read the database's header", err);
    *ret_value = sqlite3_column_int64(statement, 0);
    return 0;
}

static int step_run(sqlite3 *db, int64_t version, struct error *err)
{
    char tail[128];
    (void)snprintf(tail, sizeof(tail), "PRAGMA user_version=%d; PRAGMA application_id=%d; COMMIT;",
                   (int)version + 1, APPLICATION_ID);
    int r = store_execute(db, "BEGIN IMMEDIATE", err);
    if (r == 0)
        r = store_execute(db, steps[version], err);
    if (r == 0)
        r = store_execute(db, tail, err);
    if (r < 0)
        (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL,
                           NULL); /* the first error is the one to tell */
    return r;
}

int store_schema_update(sqlite3 *db, const char *path, struct error *err)
{
    int64_t version, application, tables;
    int r = read_pragma(db, "PRAGMA user_version", &version, err);
    if (r == 0)
        r = read_pragma(db, "PRAGMA application_id", &application, err);
    if (r == 0)
        r = read_pragma(db, "SELECT count(*) FROM sqlite_schema", &tables, err);
    if (r < 0)
        return r;
    if (application != APPLICATION_ID && tables > 0)
        return error_set(err, -EINVAL, "store-foreign",
                         "%s is a database of another program; name another state folder", path);
    if (version > STORE_SCHEMA_VERSION)
        return error_set(err, -EINVAL, "store-newer",
                         "%s has schema %lld, this Leat knows up to %d; install the newer one",
                         path, (long long)version, STORE_SCHEMA_VERSION);
    for (; r == 0 && version < STORE_SCHEMA_VERSION; version++)
        r = step_run(db, version, err);
    return r;
}
