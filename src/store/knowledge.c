/* Reading the knowledge base, on the reader's connection. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "store/store_impl.h"

static const char *text_at(sqlite3_stmt *statement, int column)
{
    return (const char *)sqlite3_column_text(statement, column);
}

static int text_take(sqlite3_stmt *statement, int column, char **ret_text)
{
    const char *text = text_at(statement, column);
    if (text && !(*ret_text = strdup(text)))
        return -ENOMEM;
    return 0;
}

int store_entry_read(sqlite3_stmt *statement, struct knowledge *entry, struct error *err)
{
    const char *kind = text_at(statement, 1), *attributes = text_at(statement, 8);
    if (!kind || !attributes || text_take(statement, 2, &entry->name) < 0 ||
        text_take(statement, 3, &entry->task) < 0 || text_take(statement, 4, &entry->model) < 0 ||
        text_take(statement, 5, &entry->text) < 0 || text_take(statement, 6, &entry->source) < 0)
        return error_set(err, -ENOMEM, "out-of-memory", "reading an entry");
    entry->id = (uint64_t)sqlite3_column_int64(statement, 0);
    entry->kind = knowledge_kind_parse(kind);
    entry->updated_us = (uint64_t)sqlite3_column_int64(statement, 7);
    entry->attributes = json_parse(attributes, strlen(attributes), JSON_TEXT_LIMIT_BYTES, err);
    if (!entry->attributes)
        return error_context(err, "an entry of the knowledge base");
    return entry->kind ? 0
                       : error_set(err, -EIO, "store-damaged", "'%.32s' is no kind of entry", kind);
}

/* The one row of a statement that is bound. */
static int entry_only(struct store *store, sqlite3_stmt *statement, struct knowledge *ret_entry,
                      struct error *err)
{
    struct knowledge entry;
    int r = store_step(store, statement, err);
    if (r < 0)
        return r;
    if (r == 0)
        return error_set(err, -ENOENT, "unknown-entry", "the knowledge base has no such entry");
    knowledge_init(&entry);
    r = store_entry_read(statement, &entry, err);
    if (r < 0)
        knowledge_finish(&entry);
    else
        *ret_entry = entry;
    return r;
}

int store_knowledge_read(struct store *store, uint64_t id, struct knowledge *ret_entry,
                         struct error *err)
{
    AUTO_STATEMENT sqlite3_stmt *statement = NULL;
    int r = store_prepare(store, "SELECT " STORE_ENTRY_COLUMNS " FROM knowledge k WHERE id = ?",
                          &statement, err);
    if (r < 0)
        return r;
    (void)sqlite3_bind_int64(statement, 1, (sqlite3_int64)id); /* an index that exists */
    return entry_only(store, statement, ret_entry, err);
}

int store_knowledge_find(struct store *store, enum knowledge_kind kind, const char *name,
                         struct knowledge *ret_entry, struct error *err)
{
    AUTO_STATEMENT sqlite3_stmt *statement = NULL;
    int r = store_prepare(
        store, "SELECT " STORE_ENTRY_COLUMNS " FROM knowledge k WHERE kind = ? AND name = ?",
        &statement, err);
    if (r < 0)
        return r;
    /* Indexes that exist. */
    (void)sqlite3_bind_text(statement, 1, knowledge_kind_name(kind), -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(statement, 2, name, -1, SQLITE_STATIC);
    return entry_only(store, statement, ret_entry, err);
}

int store_knowledge_count(struct store *store, uint64_t *ret_count, struct error *err)
{
    AUTO_STATEMENT sqlite3_stmt *statement = NULL;
    int r = store_prepare(store, "SELECT count(*) FROM knowledge", &statement, err);
    if (r < 0 || (r = store_step(store, statement, err)) < 0)
        return r;
    *ret_count = (uint64_t)sqlite3_column_int64(statement, 0);
    return 0;
}
