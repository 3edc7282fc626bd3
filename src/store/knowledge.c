/* Reading and searching the knowledge base, on the reader's connection.
 *
 * Every condition of a search is a source of entry numbers. The rarest one, counted up to a bound,
 * drives the walk; the others are looked up for each of its entries. So a search with one rare
 * condition reads few entries. When none is rare, one that gives its entries in order drives it,
 * and the walk ends when it has enough. What users write is bound to the statement; words reach the
 * full-text index as quoted letters and digits. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "model/knowledge_query.h"
#include "store/store_impl.h"

#define COUNT_MAX 4096 /* beyond it a condition is not rare */
#define WORDS_COUNT_MAX \
    16384 /* beyond it words are looked up one by one, not listed beforehand \
           */
/* In lookups of an attribute, as measured: words of one entry; one entry of a list made before. */
#define WORDS_LOOKUP_COST 64
#define WORDS_LISTED_COST 0.5
#define CONDITIONS_MAX (KNOWLEDGE_FILTERS_MAX + 5)
#define VALUES_MAX (3 * KNOWLEDGE_FILTERS_MAX + 8)

#define COLUMNS \
    "k.id, k.kind, k.name, k.task, k.model, k.text, k.source, k.updated_us, k.attributes"

static int prepare(struct store *store, const char *sql, sqlite3_stmt **ret_statement,
                   struct error *err)
{
    if (sqlite3_prepare_v2(store->reader, sql, -1, ret_statement, NULL) == SQLITE_OK)
        return 0;
    return store_refuse(store->reader, "read the knowledge base", err);
}

/* 1: a row; 0: the end. */
static int step(struct store *store, sqlite3_stmt *statement, struct error *err)
{
    int stepped = sqlite3_step(statement);
    if (stepped == SQLITE_ROW)
        return 1;
    return stepped == SQLITE_DONE ? 0 : store_refuse(store->reader, "read the knowledge base", err);
}

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

static int entry_read(sqlite3_stmt *statement, struct knowledge *entry, struct error *err)
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
    int r = step(store, statement, err);
    if (r < 0)
        return r;
    if (r == 0)
        return error_set(err, -ENOENT, "unknown-entry", "the knowledge base has no such entry");
    knowledge_init(&entry);
    r = entry_read(statement, &entry, err);
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
    int r = prepare(store, "SELECT " COLUMNS " FROM knowledge k WHERE id = ?", &statement, err);
    if (r < 0)
        return r;
    (void)sqlite3_bind_int64(statement, 1, (sqlite3_int64)id); /* an index that exists */
    return entry_only(store, statement, ret_entry, err);
}

int store_knowledge_find(struct store *store, enum knowledge_kind kind, const char *name,
                         struct knowledge *ret_entry, struct error *err)
{
    AUTO_STATEMENT sqlite3_stmt *statement = NULL;
    int r = prepare(store, "SELECT " COLUMNS " FROM knowledge k WHERE kind = ? AND name = ?",
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
    int r = prepare(store, "SELECT count(*) FROM knowledge", &statement, err);
    if (r < 0 || (r = step(store, statement, err)) < 0)
        return r;
    *ret_count = (uint64_t)sqlite3_column_int64(statement, 0);
    return 0;
}

/* -- searching -- */

struct value {
    const char *text; /* NULL: the number */
    double number;
};

struct condition {
    char source[160];   /* a SELECT of entry numbers, as `id` */
    const char *column; /* what `id` is in it */
    bool words;
    bool ordered; /* gives its numbers in order */
    unsigned count, count_max;
};

struct search {
    struct store *store;
    const struct knowledge_query *query;
    char match[KNOWLEDGE_WORDS_MAX * (KNOWLEDGE_WORD_MAX + 8)];
    struct condition conditions[CONDITIONS_MAX];
    size_t condition_count;
    struct value values[VALUES_MAX];
    int value_count;
    int sort_value; /* the number of the value that names the attribute to sort by; 0: none */
};

static int value_add(struct search *search, const char *text, double number)
{
    search->values[search->value_count++] = (struct value){text, number};
    return search->value_count;
}

static struct condition *condition_add(struct search *search, const char *column)
{
    struct condition *condition = &search->conditions[search->condition_count++];
    condition->column = column;
    condition->count_max = COUNT_MAX;
    return condition;
}

static void words_condition(struct search *search, enum store_words words)
{
    const struct knowledge_query *query = search->query;
    size_t length = 0;
    for (size_t i = 0; i < query->word_count; i++)
        length +=
            (size_t)snprintf(search->match + length, sizeof(search->match) - length, "%s\"%s\"",
                             !i                         ? ""
                             : words == STORE_WORDS_ANY ? " OR "
                                                        : " ",
                             query->words[i]); /* fits by its room */
    if (query->word_count == 0)
        return;
    struct condition *condition = condition_add(search, "rowid");
    condition->words = condition->ordered = true;
    condition->count_max = WORDS_COUNT_MAX;
    (void)snprintf(condition->source, sizeof(condition->source),
                   "SELECT rowid AS id FROM knowledge_words WHERE knowledge_words MATCH ?%d",
                   value_add(search, search->match, 0));
}

static void filter_condition(struct search *search, const struct knowledge_filter *filter)
{
    struct condition *condition = condition_add(search, "entry");
    condition->ordered = filter->is_text;
    int name = value_add(search, filter->name, 0);
    if (filter->is_text)
        (void)snprintf(
            condition->source, sizeof(condition->source),
            "SELECT entry AS id FROM knowledge_attribute WHERE name = ?%d AND text = ?%d", name,
            value_add(search, filter->text, 0));
    else {
        int low = value_add(search, NULL, filter->low);
        (void)snprintf(condition->source, sizeof(condition->source),
                       "SELECT entry AS id FROM knowledge_attribute WHERE name = ?%d AND number"
                       " BETWEEN ?%d AND ?%d",
                       name, low, value_add(search, NULL, filter->high));
    }
}

static void column_condition(struct search *search, const char *column, const char *text)
{
    if (!text)
        return;
    struct condition *condition = condition_add(search, "id");
    condition->ordered = true;
    (void)snprintf(condition->source, sizeof(condition->source),
                   "SELECT id FROM knowledge WHERE %s = ?%d", column, value_add(search, text, 0));
}

static void kinds_condition(struct search *search)
{
    size_t length = 0;
    uint32_t kinds = search->query->kinds;
    if (!kinds)
        return;
    struct condition *condition = condition_add(search, "id");
    condition->ordered = (kinds & (kinds - 1)) == 0;
    length = (size_t)snprintf(condition->source, sizeof(condition->source),
                              "SELECT id FROM knowledge WHERE kind IN (");
    for (int kind = KNOWLEDGE_TASK; kind < KNOWLEDGE_KIND_COUNT; kind++) {
        if (!(kinds & 1u << kind))
            continue;
        length += (size_t)snprintf(condition->source + length, sizeof(condition->source) - length,
                                   "'%s',", knowledge_kind_name((enum knowledge_kind)kind));
    }
    condition->source[length - 1] = ')'; /* over the last comma */
}

static int run(struct search *search, const char *sql, sqlite3_stmt **ret_statement,
               struct error *err)
{
    int r = prepare(search->store, sql, ret_statement, err);
    int last = r == 0 ? sqlite3_bind_parameter_count(*ret_statement) : 0;
    for (int i = 0; i < last && i < search->value_count; i++) {
        const struct value *value = &search->values[i];
        /* Indexes that exist. */
        if (value->text)
            (void)sqlite3_bind_text(*ret_statement, i + 1, value->text, -1, SQLITE_STATIC);
        else
            (void)sqlite3_bind_double(*ret_statement, i + 1, value->number);
    }
    return r;
}

static int condition_count(struct search *search, struct condition *condition, struct error *err)
{
    char sql[256];
    AUTO_STATEMENT sqlite3_stmt *statement = NULL;
    (void)snprintf(sql, sizeof(sql), "SELECT count(*) FROM (%s LIMIT %u)", condition->source,
                   condition->count_max); /* fits by its room */
    int r = run(search, sql, &statement, err);
    if (r == 0)
        r = step(search->store, statement, err);
    if (r > 0)
        condition->count = (unsigned)sqlite3_column_int(statement, 0);
    return r < 0 ? r : 0;
}

static bool is_rare(const struct condition *condition)
{
    return condition->count < condition->count_max;
}

/* What it costs to look up all others for each entry of `driver`. */
static double driver_cost(const struct search *search, const struct condition *driver)
{
    double each = 1, once = 0;
    for (size_t i = 0; i < search->condition_count; i++) {
        const struct condition *condition = &search->conditions[i];
        if (condition == driver)
            continue;
        if (condition->words && is_rare(condition))
            once += condition->count * WORDS_LISTED_COST;
        else
            each += condition->words ? WORDS_LOOKUP_COST : 1;
    }
    return driver->count * each + once;
}

/* The condition to begin with; NULL: none. */
static int driver_choose(struct search *search, const struct condition **ret_driver,
                         struct error *err)
{
    const struct condition *driver = NULL;
    for (size_t i = 0; i < search->condition_count; i++) {
        int r = condition_count(search, &search->conditions[i], err);
        if (r < 0)
            return r;
    }
    for (size_t i = 0; i < search->condition_count; i++) {
        const struct condition *condition = &search->conditions[i];
        if (is_rare(condition) &&
            (!driver || driver_cost(search, condition) < driver_cost(search, driver)))
            driver = condition;
    }
    for (size_t i = 0; !driver && !search->sort_value && i < search->condition_count; i++) {
        if (search->conditions[i].ordered)
            driver = &search->conditions[i];
    }
    *ret_driver = driver;
    return 0;
}

static void checks_put(const struct search *search, const struct condition *driver, struct buf *sql)
{
    /* What is known before the entry is read. */
    const char *id = driver ? "d.id" : search->sort_value ? "d.entry" : "k.id";
    (void)buf_puts(sql, " WHERE 1");
    for (size_t i = 0; i < search->condition_count; i++) {
        const struct condition *condition = &search->conditions[i];
        if (condition == driver)
            continue;
        if (condition->words && is_rare(condition))
            (void)buf_printf(sql, " AND %s IN (%s)", id, condition->source);
        else
            (void)buf_printf(sql, " AND EXISTS (%s AND %s = %s)", condition->source,
                             condition->column, id);
    }
}

static int statement_make(struct search *search, struct buf *sql, struct error *err)
{
    const struct condition *driver;
    const char *direction = search->query->descending ? "DESC" : "ASC";
    int r = driver_choose(search, &driver, err), sort = search->sort_value;
    if (r < 0)
        return r;
    (void)buf_puts(sql, "SELECT " COLUMNS " FROM ");
    if (driver)
        (void)buf_printf(sql, "(%s) AS d CROSS JOIN knowledge AS k ON k.id = d.id", driver->source);
    else if (sort)
        (void)buf_puts(sql, "knowledge_attribute AS d INDEXED BY knowledge_number CROSS JOIN"
                            " knowledge AS k ON k.id = d.entry");
    else
        (void)buf_puts(sql, "knowledge AS k");
    checks_put(search, driver, sql);
    if (sort && driver)
        (void)buf_printf(sql,
                         " ORDER BY (SELECT number FROM knowledge_attribute WHERE entry = k.id AND"
                         " name = ?%d) %s NULLS LAST, k.id DESC",
                         sort, direction);
    else if (sort)
        (void)buf_printf(sql, " AND d.name = ?%d AND d.number IS NOT NULL ORDER BY d.number %s",
                         sort, direction);
    else
        (void)buf_printf(sql, " ORDER BY %s.id DESC", driver ? "d" : "k");
    return sql->failed ? error_set(err, -ENOMEM, "out-of-memory", "searching") : 0;
}

static int rows_visit(struct search *search, sqlite3_stmt *statement,
                      int (*visit)(void *arg, struct knowledge *entry), void *arg,
                      struct error *err)
{
    uint32_t room = search->sort_value ? search->query->limit : STORE_KNOWLEDGE_CANDIDATES;
    int r = 0;
    for (uint32_t kept = 0; kept < room && (r = step(search->store, statement, err)) > 0;) {
        struct knowledge entry;
        knowledge_init(&entry);
        r = entry_read(statement, &entry, err);
        if (r == 0)
            r = visit(arg, &entry);
        knowledge_finish(&entry);
        if (r < 0)
            break;
        kept += r > 0;
    }
    return r < 0 ? r : 0;
}

int store_knowledge_search(struct store *store, const struct knowledge_query *query,
                           enum store_words words, int (*visit)(void *arg, struct knowledge *entry),
                           void *arg, struct error *err)
{
    AUTO_FREE struct search *search = calloc(1, sizeof(*search));
    AUTO_BUF struct buf sql = BUF_INIT;
    AUTO_STATEMENT sqlite3_stmt *statement = NULL;
    if (!search)
        return error_set(err, -ENOMEM, "out-of-memory", "searching");
    search->store = store;
    search->query = query;
    words_condition(search, words);
    for (size_t i = 0; i < query->filter_count; i++)
        filter_condition(search, &query->filters[i]);
    column_condition(search, "name", query->name);
    column_condition(search, "task", query->task);
    column_condition(search, "model", query->model);
    kinds_condition(search);
    if (*query->sort)
        search->sort_value = value_add(search, query->sort, 0);
    int r = statement_make(search, &sql, err);
    if (r == 0)
        r = run(search, sql.data, &statement, err);
    return r == 0 ? rows_visit(search, statement, visit, arg, err) : r;
}
