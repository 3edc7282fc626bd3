/* The schema as a list of steps: each brings the database from one version to the next. */
#include <errno.h>

#include "base/error.h"
#include "store/store_impl.h"

#define APPLICATION_ID 0x4c656174 /* "Leat" in the header of the file */

/* What an entry of the knowledge base is found by: its words, and its attributes as numbers or as
 * texts in lower case. */
#define KNOWLEDGE_COLUMNS "name, task, model, text, attributes"
#define KNOWLEDGE_INDEX \
    "INSERT INTO knowledge_words (rowid, " KNOWLEDGE_COLUMNS ") VALUES" \
    " (new.id, new.name, new.task, new.model, new.text, new.attributes);" \
    "INSERT INTO knowledge_attribute (entry, name, number, text)" \
    " SELECT new.id, key, iif(type IN ('integer', 'real'), atom, NULL)," \
    "  CASE type WHEN 'text' THEN lower(atom) WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' " \
    "END" \
    "  FROM json_each(new.attributes) WHERE type <> 'array'" \
    " UNION" \
    " SELECT new.id, one.key, NULL, lower(item.atom) FROM json_each(new.attributes) AS one," \
    "  json_each(iif(one.type = 'array', one.value, '[]')) AS item;"
#define KNOWLEDGE_FORGET \
    "INSERT INTO knowledge_words (knowledge_words, rowid, " KNOWLEDGE_COLUMNS ") VALUES" \
    " ('delete', old.id, old.name, old.task, old.model, old.text, old.attributes);" \
    "DELETE FROM knowledge_attribute WHERE entry = old.id;"

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
    /* 5: the knowledge base. */
    "CREATE TABLE knowledge ("
    "  id INTEGER PRIMARY KEY,"
    "  kind TEXT NOT NULL,"
    "  name TEXT NOT NULL,"
    "  task TEXT,"
    "  model TEXT,"
    "  text TEXT,"
    "  source TEXT NOT NULL,"
    "  updated_us INTEGER NOT NULL,"
    "  attributes TEXT NOT NULL,"
    "  UNIQUE (kind, name)) STRICT;"
    "CREATE INDEX knowledge_kind ON knowledge (kind);" /* in the order of the numbers */
    "CREATE INDEX knowledge_name ON knowledge (name);"
    "CREATE INDEX knowledge_task ON knowledge (task) WHERE task IS NOT NULL;"
    "CREATE INDEX knowledge_model ON knowledge (model) WHERE model IS NOT NULL;"
    "CREATE TABLE knowledge_attribute ("
    "  entry INTEGER NOT NULL,"
    "  name TEXT NOT NULL,"
    "  number REAL,"
    "  text TEXT) STRICT;"
    "CREATE INDEX knowledge_of ON knowledge_attribute (entry, name, number, text);"
    "CREATE INDEX knowledge_number ON knowledge_attribute (name, number, entry);"
    "CREATE INDEX knowledge_text ON knowledge_attribute (name, text, entry);"
    "CREATE VIRTUAL TABLE knowledge_words USING fts5 (" KNOWLEDGE_COLUMNS ","
    "  content='knowledge', content_rowid='id', tokenize='porter unicode61');"
    "CREATE TRIGGER knowledge_added AFTER INSERT ON knowledge BEGIN " KNOWLEDGE_INDEX " END;"
    "CREATE TRIGGER knowledge_changed AFTER UPDATE ON knowledge BEGIN " KNOWLEDGE_FORGET
        KNOWLEDGE_INDEX " END;"
    "CREATE TRIGGER knowledge_gone AFTER DELETE ON knowledge BEGIN " KNOWLEDGE_FORGET " END;",
    /* 6: what a site says of its devices. */
    "CREATE TABLE device ("
    "  id TEXT PRIMARY KEY,"
    "  pool TEXT NOT NULL,"
    "  healthy INTEGER NOT NULL) STRICT, WITHOUT ROWID;",
    /* 7: what runs have in common, and what they compute. */
    "ALTER TABLE measurement ADD COLUMN family TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE measurement ADD COLUMN model TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE measurement ADD COLUMN device TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE measurement ADD COLUMN memory_point_bytes INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE measurement ADD COLUMN steps INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE measurement ADD COLUMN step_kflop INTEGER NOT NULL DEFAULT 0;"
    "CREATE INDEX measurement_family ON measurement (family, job);",
    /* 8: what devices cost. */
    "ALTER TABLE device ADD COLUMN weight INTEGER NOT NULL DEFAULT 0;",
    /* 9: what is still to be learnt from jobs that have ended. */
    "CREATE TABLE lesson (id INTEGER PRIMARY KEY, record TEXT NOT NULL) STRICT;",
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
