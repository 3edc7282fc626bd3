/* Opening, committing, closing: see store.h. Reads are in read.c. */
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "store/store_impl.h"

/* 1 MiB of cache a connection, and a log that is folded back every 1000 pages (SQLite's
 * default). */
#define COMMON_PRAGMAS \
    "PRAGMA cache_size=-1024; PRAGMA busy_timeout=5000; PRAGMA temp_store=memory;"
#define WRITER_PRAGMAS COMMON_PRAGMAS "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
#define READER_PRAGMAS COMMON_PRAGMAS "PRAGMA query_only=1;"

#define KEYS_KEPT "DELETE FROM idempotency WHERE time_us < (unixepoch() - 7 * 86400) * 1000000"

int store_refuse(sqlite3 *db, const char *what, struct error *err)
{
    int code = db ? sqlite3_errcode(db) & 0xff : SQLITE_NOMEM;
    const char *text = db ? sqlite3_errmsg(db) : "out of memory";
    if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB)
        return error_set(err, -EIO, "store-damaged",
                         "could not %s: %s; restore the database from a copy or move it away", what,
                         text);
    if (code == SQLITE_FULL)
        return error_set(err, -ENOSPC, "store-full", "could not %s: %s", what, text);
    if (code == SQLITE_NOMEM)
        return error_set(err, -ENOMEM, "out-of-memory", "could not %s", what);
    return error_set(err, -EIO, "store-failed", "could not %s: %s", what, text);
}

int store_prepare(struct store *store, const char *sql, sqlite3_stmt **ret_statement,
                  struct error *err)
{
    if (sqlite3_prepare_v2(store->reader, sql, -1, ret_statement, NULL) == SQLITE_OK)
        return 0;
    return store_refuse(store->reader, "read the database", err);
}

int store_step(struct store *store, sqlite3_stmt *statement, struct error *err)
{
    int stepped = sqlite3_step(statement);
    if (stepped == SQLITE_ROW)
        return 1;
    return stepped == SQLITE_DONE ? 0 : store_refuse(store->reader, "read the database", err);
}

int store_execute(sqlite3 *db, const char *sql, struct error *err)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK)
        return 0;
    return store_refuse(db, "write to the database", err);
}

static int lock_take(const char *path, int *ret_fd, struct error *err)
{
    char lock[PATH_MAX];
    if (snprintf(lock, sizeof(lock), "%s.lock", path) >= (int)sizeof(lock))
        return error_set(err, -ENAMETOOLONG, "store-failed", "the path %s is too long", path);
    AUTO_FD int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_errno(err, -errno, "store-failed", "could not open %s", lock);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return error_set(err, -EBUSY, "store-in-use",
                         "%s is in use by another leatd; stop it or name another state folder",
                         path);
    *ret_fd = take_fd(&fd);
    return 0;
}

/* Damage is found before anything is written on top of it. */
static int check_whole(sqlite3 *db, struct error *err)
{
    AUTO_STATEMENT sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW)
        return store_refuse(db, "check the database", err);
    const char *verdict = (const char *)sqlite3_column_text(statement, 0);
    if (verdict && strcmp(verdict, "ok") == 0)
        return 0;
    return error_set(err, -EIO, "store-damaged",
                     "the database is damaged: %s; restore it from a copy or move it away",
                     verdict ? verdict : "no reason given");
}

/* Prepare a statement that stays until the store is closed. */
static int statement_keep(sqlite3 *db, const char *sql, sqlite3_stmt **ret_statement,
                          struct error *err)
{
    if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret_statement, NULL) ==
        SQLITE_OK)
        return 0;
    return store_refuse(db, "prepare the database", err);
}

static int writer_open(struct store *store, const char *path, struct error *err)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(path, &store->writer, flags, NULL) != SQLITE_OK)
        return store_refuse(store->writer, "open the database", err);
    int r = check_whole(store->writer, err);
    if (r == 0)
        r = store_execute(store->writer, WRITER_PRAGMAS, err);
    if (r == 0)
        r = store_schema_update(store->writer, path, err);
    if (r == 0)
        r = store_execute(store->writer, KEYS_KEPT, err);
    for (int write = STORE_WRITE_INVALID + 1; r == 0 && write < STORE_WRITE_COUNT; write++)
        r = statement_keep(store->writer, store_write_sql[write], &store->writes[write], err);
    return r;
}

static int reader_open(struct store *store, const char *path, struct error *err)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(path, &store->reader, flags, NULL) != SQLITE_OK ||
        store_search_functions(store) != SQLITE_OK)
        return store_refuse(store->reader, "open the database", err);
    int r = store_execute(store->reader, READER_PRAGMAS, err);
    for (int read = 0; r == 0 && read < STORE_READ_COUNT; read++)
        r = statement_keep(store->reader, store_read_sql[read], &store->reads[read], err);
    return r;
}

static int numbers_read(struct store *store, struct error *err)
{
    AUTO_STATEMENT sqlite3_stmt *statement = NULL;
    /* The journal remembers jobs that were removed: their numbers are not used again. */
    const char *sql = "SELECT max(coalesce((SELECT max(id) FROM job), 0),"
                      " coalesce((SELECT max(job) FROM event), 0)),"
                      " coalesce((SELECT max(seq) FROM event), 0)";
    if (sqlite3_prepare_v2(store->reader, sql, -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW)
        return store_refuse(store->reader, "read the database", err);
    store->last_job = (uint64_t)sqlite3_column_int64(statement, 0);
    store->last_event = (uint64_t)sqlite3_column_int64(statement, 1);
    return 0;
}

DEFINE_CLEANUP(store, struct store, store_close)

int store_open(const char *path, struct store **ret_store, struct error *err)
{
    CLEANUP(cleanup_store) struct store *store = calloc(1, sizeof(*store));
    if (!store)
        return error_set(err, -ENOMEM, "out-of-memory", "opening %s", path);
    store->lock_fd = -1;
    int r = lock_take(path, &store->lock_fd, err);
    if (r == 0)
        r = writer_open(store, path, err);
    if (r == 0)
        r = reader_open(store, path, err);
    if (r == 0)
        r = numbers_read(store, err);
    if (r < 0)
        return error_context(err, "%s", path);
    *ret_store = TAKE(store);
    return 0;
}

void store_close(struct store *store)
{
    if (!store)
        return;
    for (int write = 0; write < STORE_WRITE_COUNT; write++)
        (void)sqlite3_finalize(store->writes[write]); /* repeats the last step's error */
    for (int read = 0; read < STORE_READ_COUNT; read++)
        (void)sqlite3_finalize(store->reads[read]);
    (void)sqlite3_close(store->reader);
    (void)sqlite3_close(store->writer);
    if (store->lock_fd >= 0)
        (void)close(store->lock_fd);
    free(store);
}

uint64_t store_last_job(const struct store *store)
{
    return store->last_job;
}

uint64_t store_last_event(const struct store *store)
{
    return store->last_event;
}

static int op_write(struct store *store, const struct store_op *op, struct error *err)
{
    AUTO_REWIND sqlite3_stmt *statement = store->writes[op->write];
    for (size_t i = 0; i < op->count; i++) {
        const struct store_value *value = &op->values[i];
        int position = (int)i + 1;
        int bound = value->text
                        ? sqlite3_bind_text(statement, position, value->text, -1, SQLITE_STATIC)
                        : sqlite3_bind_int64(statement, position, value->number);
        if (bound != SQLITE_OK)
            return store_refuse(store->writer, "write to the database", err);
    }
    if (sqlite3_step(statement) == SQLITE_DONE)
        return 0;
    return store_refuse(store->writer, "write to the database", err);
}

int store_commit(struct store *store, const struct store_batch *batch, struct error *err)
{
    int r = store_execute(store->writer, "BEGIN IMMEDIATE", err);
    LIST_EACH (link, &batch->ops) {
        if (r == 0)
            r = op_write(store, LIST_ENTRY(link, struct store_op, link), err);
    }
    if (r == 0)
        r = store_execute(store->writer, "COMMIT", err);
    if (r < 0 && !sqlite3_get_autocommit(store->writer))
        (void)sqlite3_exec(store->writer, "ROLLBACK", NULL, NULL,
                           NULL); /* the first error counts */
    return r;
}
