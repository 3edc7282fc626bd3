/* What the files of the store share. */
#ifndef LEAT_STORE_STORE_IMPL_H
#define LEAT_STORE_STORE_IMPL_H

#include <sqlite3.h>

#include "base/list.h"
#include "store/store.h"

#define STORE_VALUES_MAX 16 /* bound to one statement */

/* Kinds of writes; each is one prepared statement with its values in order. */
enum store_write {
    STORE_WRITE_INVALID,
    STORE_WRITE_JOB,
    STORE_WRITE_JOB_REMOVE,
    STORE_WRITE_EVENT,
    STORE_WRITE_IDEMPOTENCY,
    STORE_WRITE_MEASUREMENT,
    STORE_WRITE_TENANT,
    STORE_WRITE_TENANT_REMOVE,
    STORE_WRITE_DEVICE,
    STORE_WRITE_MODEL,
    STORE_WRITE_MODEL_REMOVE,
    STORE_WRITE_KNOWLEDGE,
    STORE_WRITE_KNOWLEDGE_REMOVE,
    STORE_WRITE_LESSON,
    STORE_WRITE_LESSON_REMOVE,
    STORE_WRITE_COUNT
};

/* Reads that each submitted job needs; their statements stay prepared, for preparing one takes
 * longer than running it. */
enum store_read {
    STORE_READ_KEY,
    STORE_READ_KIN, /* the walks of store_measurements, the nearest kin first */
    STORE_READ_KIN_LAST = STORE_READ_KIN + 3,
    STORE_READ_COUNT
};

struct store_value {
    char *text; /* owned; NULL: the number counts */
    int64_t number;
};

struct store_op {
    struct list link;
    enum store_write write;
    uint64_t job; /* 0: of none */
    size_t count;
    struct store_value values[STORE_VALUES_MAX];
};

struct store_batch {
    struct list ops;
    size_t count;
};

struct store {
    int lock_fd;
    sqlite3 *writer, *reader;
    sqlite3_stmt *writes[STORE_WRITE_COUNT];
    sqlite3_stmt *reads[STORE_READ_COUNT];
    uint64_t last_job, last_event;
    struct ids *listing; /* what a search's statement puts into; see search.c */
};

extern const char *const store_write_sql[STORE_WRITE_COUNT];
extern const char *const store_read_sql[STORE_READ_COUNT];

/* Make or migrate the schema. */
int store_schema_update(sqlite3 *db, const char *path, struct error *err);
/* Run statements that give no rows. */
int store_execute(sqlite3 *db, const char *sql, struct error *err);
/* A statement for the reader's connection. */
int store_prepare(struct store *store, const char *sql, sqlite3_stmt **ret_statement,
                  struct error *err);
/* Of a statement for the reader's connection. 1: a row; 0: the end. */
int store_step(struct store *store, sqlite3_stmt *statement, struct error *err);
/* The refusal for a failed call on `db`; a negative errno by the kind of failure. */
int store_refuse(sqlite3 *db, const char *what, struct error *err);

#define STORE_ENTRY_COLUMNS \
    "k.id, k.kind, k.name, k.task, k.model, k.text, k.source, k.updated_us, k.attributes"
/* The entry of a row of those columns, into an initialised `entry`, which the caller finishes. */
int store_entry_read(sqlite3_stmt *statement, struct knowledge *entry, struct error *err);

/* What searches need on the reader's connection. SQLITE_OK or not. */
int store_search_functions(struct store *store);

static inline void cleanup_statement(sqlite3_stmt **statement)
{
    (void)sqlite3_finalize(*statement); /* repeats the error of the last step */
}
#define AUTO_STATEMENT __attribute__((cleanup(cleanup_statement)))

/* For a statement that stays prepared. */
static inline void cleanup_rewind(sqlite3_stmt **statement)
{
    (void)sqlite3_reset(*statement);          /* repeats the error of the last step */
    (void)sqlite3_clear_bindings(*statement); /* never fails */
}
#define AUTO_REWIND __attribute__((cleanup(cleanup_rewind)))

#endif
