/* Searching the knowledge base, on the reader's connection.
 *
 * Every condition of a search gives entry numbers from an index of its own. Conditions that few
 * entries meet are listed, and what they have in common is left to look at, newest first; the other
 * conditions are looked up for each entry, until so many remain that listing those costs less. When
 * no condition is rare, windows of entries are listed, the newest first. So a search never costs
 * more than to list its conditions once, whatever they have in common. What users write is bound to
 * the statement; words reach the full-text index as quoted letters and digits. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "model/knowledge_query.h"
#include "store/store_impl.h"

/* An entry of a list takes about 0.15 microseconds, a lookup of an attribute one, of words 60. */
#define LIST_MAX 2048     /* conditions of fewer entries are listed at once */
#define WINDOW_FIRST 4096 /* entries, the newest, that are tried when no condition is so rare */
#define WINDOW_GROWTH 2
#define LOOKUPS_MAX 2048 /* entries for which attributes are looked up */
#define WORDS_LOOKUPS_MAX 32
#define CONDITIONS_MAX (KNOWLEDGE_FILTERS_MAX + 5)
#define VALUES_MAX (3 * KNOWLEDGE_FILTERS_MAX + 8)

struct value {
    const char *text; /* NULL: the number */
    double number;
};

struct condition {
    char source[160];   /* a SELECT of entry numbers, as `id` */
    const char *column; /* what `id` is in it */
    bool words;
    bool ordered; /* gives its numbers in order */
    bool listed;  /* all that are left meet it */
};

/* Entry numbers, as bits. */
struct ids {
    uint64_t *bits;
    uint64_t size; /* in words of 64 */
    uint64_t count;
};

struct search {
    struct store *store;
    const struct knowledge_query *query;
    int (*visit)(void *arg, struct knowledge *entry);
    void *arg;
    char match[KNOWLEDGE_WORDS_MAX * (KNOWLEDGE_WORD_MAX + 8)];
    struct condition conditions[CONDITIONS_MAX];
    size_t condition_count;
    struct value values[VALUES_MAX];
    int value_count;
    int sort_value;  /* the number of the value that names the attribute to sort by; 0: none */
    uint64_t newest; /* number of an entry */
    struct ids left;
    bool narrowed;   /* by a condition; else all entries are left */
    bool in_windows; /* conditions that give their numbers in order need no lookup */
    uint32_t room;   /* for entries that count */
};

/* -- conditions -- */

static int value_add(struct search *search, const char *text, double number)
{
    search->values[search->value_count++] = (struct value){text, number};
    return search->value_count;
}

static struct condition *condition_add(struct search *search, const char *column)
{
    struct condition *condition = &search->conditions[search->condition_count++];
    condition->column = column;
    condition->ordered = true;
    return condition;
}

static void words_condition(struct search *search, enum store_words words)
{
    const struct knowledge_query *query = search->query;
    const char *between = words == STORE_WORDS_ANY ? " OR " : " ";
    size_t length = 0;
    for (size_t i = 0; i < query->word_count; i++)
        length += (size_t)snprintf(search->match + length, sizeof(search->match) - length,
                                   "%s\"%s\"", i ? between : "", query->words[i]); /* it fits */
    if (query->word_count == 0)
        return;
    struct condition *condition = condition_add(search, "rowid");
    condition->words = true;
    (void)snprintf(condition->source, sizeof(condition->source),
                   "SELECT rowid AS id FROM knowledge_words WHERE knowledge_words MATCH ?%d",
                   value_add(search, search->match, 0));
}

static void filter_condition(struct search *search, const struct knowledge_filter *filter)
{
    struct condition *condition = condition_add(search, "entry");
    int name = value_add(search, filter->name, 0);
    condition->ordered = filter->is_text;
    if (filter->is_text) {
        (void)snprintf(
            condition->source, sizeof(condition->source),
            "SELECT entry AS id FROM knowledge_attribute WHERE name = ?%d AND text = ?%d", name,
            value_add(search, filter->text, 0));
    } else {
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

static void conditions_make(struct search *search, enum store_words words)
{
    const struct knowledge_query *query = search->query;
    words_condition(search, words);
    for (size_t i = 0; i < query->filter_count; i++)
        filter_condition(search, &query->filters[i]);
    column_condition(search, "name", query->name);
    column_condition(search, "task", query->task);
    column_condition(search, "model", query->model);
    kinds_condition(search);
    if (*query->sort)
        search->sort_value = value_add(search, query->sort, 0);
}

static int prepare(struct search *search, const char *sql, sqlite3_stmt **ret_statement,
                   struct error *err)
{
    int r = store_prepare(search->store, sql, ret_statement, err);
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

/* -- lists -- */

static int newest_read(struct search *search, struct error *err)
{
    AUTO_STATEMENT sqlite3_stmt *statement = NULL;
    int r = store_prepare(search->store, "SELECT max(id) FROM knowledge", &statement, err);
    if (r < 0 || (r = store_step(search->store, statement, err)) < 0)
        return r;
    search->newest = (uint64_t)sqlite3_column_int64(statement, 0);
    return 0;
}

static void cleanup_ids(struct ids *ids)
{
    free(ids->bits);
}

static int ids_init(const struct search *search, struct ids *ids, struct error *err)
{
    ids->size = search->newest / 64 + 1;
    ids->bits = calloc(ids->size, sizeof(*ids->bits));
    return ids->bits ? 0 : error_set(err, -ENOMEM, "out-of-memory", "searching");
}

static bool ids_has(const struct ids *ids, uint64_t id)
{
    return id / 64 < ids->size && ids->bits[id / 64] >> id % 64 & 1;
}

static void ids_put(struct ids *ids, uint64_t id)
{
    if (id / 64 >= ids->size || ids_has(ids, id))
        return;
    ids->bits[id / 64] |= 1ull << id % 64;
    ids->count++;
}

static void ids_meet(struct ids *ids, const struct ids *others)
{
    ids->count = 0;
    for (uint64_t i = 0; i < ids->size; i++) {
        ids->bits[i] &= others->bits[i]; /* all lists of a search have one size */
        ids->count += (uint64_t)__builtin_popcountll(ids->bits[i]);
    }
}

/* SQL: ids_put(id), an aggregate, so that rows need not leave the engine one by one. */
static void ids_put_step(sqlite3_context *context, int count, sqlite3_value **values)
{
    const struct store *store = sqlite3_user_data(context);
    (void)count;
    ids_put(store->listing, (uint64_t)sqlite3_value_int64(values[0]));
}

static void ids_put_final(sqlite3_context *context)
{
    sqlite3_result_null(context);
}

int store_search_functions(struct store *store)
{
    return sqlite3_create_function(store->reader, "ids_put", 1, SQLITE_UTF8 | SQLITE_DIRECTONLY,
                                   store, NULL, ids_put_step, ids_put_final);
}

/* Put what a source gives; `tail` is an order and a limit, or empty. */
static int ids_list(struct search *search, const char *source, const char *tail, struct ids *ids,
                    struct error *err)
{
    char sql[288];
    AUTO_STATEMENT sqlite3_stmt *statement = NULL;
    (void)snprintf(sql, sizeof(sql), "SELECT ids_put(id) FROM (%s %s)", source, tail); /* it fits */
    int r = prepare(search, sql, &statement, err);
    if (r < 0)
        return r;
    search->store->listing = ids;
    r = store_step(search->store, statement, err);
    search->store->listing = NULL;
    return r < 0 ? r : 0;
}

/* What meets the condition, and all that are left with it; if only the rare are wanted, and it is
 * not, nothing. */
static int condition_list(struct search *search, struct condition *condition, bool rare,
                          struct error *err)
{
    char limit[24];
    __attribute__((cleanup(cleanup_ids))) struct ids ids = {0};
    (void)snprintf(limit, sizeof(limit), "LIMIT %u", LIST_MAX);
    int r = ids_init(search, &ids, err);
    if (r == 0)
        r = ids_list(search, condition->source, rare ? limit : "", &ids, err);
    if (r < 0 || (rare && ids.count >= LIST_MAX))
        return r;
    condition->listed = true;
    if (search->narrowed) {
        ids_meet(&search->left, &ids);
    } else {
        search->left = ids;
        ids = (struct ids){0};
        search->narrowed = true;
    }
    return 0;
}

static int rare_list(struct search *search, struct error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < search->condition_count; i++)
        r = condition_list(search, &search->conditions[i], true, err);
    return r;
}

static int common_list(struct search *search, struct error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < search->condition_count; i++) {
        struct condition *condition = &search->conditions[i];
        uint64_t lookups = condition->words ? WORDS_LOOKUPS_MAX : LOOKUPS_MAX;
        if (!condition->listed && (!search->narrowed || search->left.count > lookups))
            r = condition_list(search, condition, false, err);
    }
    return r;
}

/* -- visiting -- */

/* A statement that reads an entry if it meets what was not listed. Its last value is the number. */
static int entry_prepare(struct search *search, sqlite3_stmt **ret_statement, struct error *err)
{
    AUTO_BUF struct buf sql = BUF_INIT;
    (void)buf_printf(&sql, "SELECT " STORE_ENTRY_COLUMNS " FROM knowledge AS k WHERE k.id = ?%d",
                     search->value_count + 1);
    for (size_t i = 0; i < search->condition_count; i++) {
        const struct condition *condition = &search->conditions[i];
        if (!condition->listed && !(search->in_windows && condition->ordered))
            (void)buf_printf(&sql, " AND EXISTS (%s AND %s = ?%d)", condition->source,
                             condition->column, search->value_count + 1);
    }
    if (sql.failed)
        return error_set(err, -ENOMEM, "out-of-memory", "searching");
    return prepare(search, sql.data, ret_statement, err);
}

static int entry_visit(struct search *search, sqlite3_stmt *statement, uint64_t id,
                       struct error *err)
{
    struct knowledge entry;
    (void)sqlite3_reset(statement);
    (void)sqlite3_bind_int64(statement, search->value_count + 1, (sqlite3_int64)id); /* it exists */
    int r = store_step(search->store, statement, err);
    if (r <= 0)
        return r;
    knowledge_init(&entry);
    r = store_entry_read(statement, &entry, err);
    if (r == 0)
        r = search->visit(search->arg, &entry);
    knowledge_finish(&entry);
    if (r > 0)
        search->room--;
    return r < 0 ? r : 0;
}

/* The newest first. */
static int ids_visit(struct search *search, const struct ids *ids, struct error *err)
{
    AUTO_STATEMENT sqlite3_stmt *statement = NULL;
    int r = entry_prepare(search, &statement, err);
    for (uint64_t i = ids->size; r == 0 && search->room && i-- > 0;) {
        uint64_t bits = ids->bits[i];
        while (r == 0 && search->room && bits) {
            uint64_t bit = 63 - (uint64_t)__builtin_clzll(bits), id = i * 64 + bit;
            bits ^= 1ull << bit;
            r = entry_visit(search, statement, id, err);
        }
    }
    return r;
}

/* What is left of the entries from `low` to below `high`, by the conditions that give numbers in
 * order; the others are looked up, or listed once when that costs less. */
static int window_list(struct search *search, uint64_t low, uint64_t high, struct ids *ids,
                       struct error *err)
{
    char range[96];
    int r = 0;
    bool begun = false;
    for (size_t i = 0; r == 0 && i < search->condition_count; i++) {
        const struct condition *condition = &search->conditions[i];
        if (!condition->ordered)
            continue;
        __attribute__((cleanup(cleanup_ids))) struct ids more = {0};
        (void)snprintf(range, sizeof(range), "AND %s >= %llu AND %s < %llu", condition->column,
                       (unsigned long long)low, condition->column, (unsigned long long)high);
        r = ids_init(search, begun ? &more : ids, err);
        if (r == 0)
            r = ids_list(search, condition->source, range, begun ? &more : ids, err);
        if (r == 0 && begun)
            ids_meet(ids, &more);
        begun = true;
    }
    if (r < 0 || begun)
        return r;
    (void)snprintf(range, sizeof(range), "WHERE id >= %llu AND id < %llu", (unsigned long long)low,
                   (unsigned long long)high);
    r = ids_init(search, ids, err);
    return r < 0 ? r : ids_list(search, "SELECT id FROM knowledge", range, ids, err);
}

/* No condition is rare: from the newest entries on, by windows that grow. */
static int windows_visit(struct search *search, struct error *err)
{
    uint64_t high = search->newest + 1, width = WINDOW_FIRST;
    int r = 0;
    search->in_windows = true;
    for (; r == 0 && search->room && high > 0; width *= WINDOW_GROWTH) {
        uint64_t low = high > width ? high - width : 0;
        __attribute__((cleanup(cleanup_ids))) struct ids ids = {0};
        r = window_list(search, low, high, &ids, err);
        for (size_t i = 0; r == 0 && ids.count > LOOKUPS_MAX && i < search->condition_count; i++) {
            struct condition *condition = &search->conditions[i];
            if (!condition->ordered && !condition->listed)
                r = condition_list(search, condition, false, err);
        }
        if (r == 0 && search->narrowed)
            ids_meet(&ids, &search->left);
        if (r == 0)
            r = ids_visit(search, &ids, err);
        high = low;
    }
    return r;
}

/* -- sorting -- */

/* By their numbers, those of one number the newest first; those that have none come last. */
struct rated {
    uint64_t id;
    double number; /* NaN: none */
};

static int by_number(const void *left, const void *right)
{
    const struct rated *a = left, *b = right;
    if (isnan(a->number) != isnan(b->number))
        return isnan(a->number) - isnan(b->number);
    int order = (a->number > b->number) - (a->number < b->number);
    return order ? order : (a->id < b->id) - (a->id > b->id);
}

/* What is left, and the number of each. */
static int rated_make(struct search *search, struct rated *rated, struct error *err)
{
    char sql[128];
    AUTO_STATEMENT sqlite3_stmt *statement = NULL;
    size_t count = 0;
    (void)snprintf(sql, sizeof(sql),
                   "SELECT number FROM knowledge_attribute WHERE entry = ?%d AND name = ?%d",
                   search->value_count + 1, search->sort_value); /* it fits */
    int r = prepare(search, sql, &statement, err);
    for (uint64_t id = 0; r >= 0 && id < search->left.size * 64; id++) {
        if (!ids_has(&search->left, id))
            continue;
        (void)sqlite3_reset(statement);
        (void)sqlite3_bind_int64(statement, search->value_count + 1, (sqlite3_int64)id);
        r = store_step(search->store, statement, err);
        bool has = r > 0 && sqlite3_column_type(statement, 0) != SQLITE_NULL;
        rated[count++] = (struct rated){id, has ? sqlite3_column_double(statement, 0) : NAN};
    }
    return r < 0 ? r : 0;
}

/* Few are left: sort them. */
static int sort_visit(struct search *search, struct error *err)
{
    size_t count = search->left.count;
    AUTO_STATEMENT sqlite3_stmt *statement = NULL;
    AUTO_FREE struct rated *rated = calloc(count + 1, sizeof(*rated));
    if (!rated)
        return error_set(err, -ENOMEM, "out-of-memory", "searching");
    int r = rated_make(search, rated, err);
    if (r == 0)
        r = entry_prepare(search, &statement, err);
    for (size_t i = 0; search->query->descending && i < count; i++)
        rated[i].number = -rated[i].number;
    qsort(rated, count, sizeof(*rated), by_number);
    for (size_t i = 0; r == 0 && search->room && i < count; i++)
        r = entry_visit(search, statement, rated[i].id, err);
    return r;
}

/* Those that are left and have no number, the newest first. */
static int unrated_visit(struct search *search, const struct ids *rated, struct error *err)
{
    __attribute__((cleanup(cleanup_ids))) struct ids all = {0};
    struct ids *left = search->narrowed ? &search->left : &all;
    int r = 0;
    if (!search->narrowed && (r = ids_init(search, &all, err)) == 0)
        r = ids_list(search, "SELECT id FROM knowledge", "", &all, err);
    for (uint64_t i = 0; r == 0 && i < left->size; i++)
        left->bits[i] &= ~rated->bits[i];
    return r < 0 ? r : ids_visit(search, left, err);
}

/* Many are left: the index of numbers comes upon some of them soon. */
static int index_visit(struct search *search, struct error *err)
{
    char sql[192];
    AUTO_STATEMENT sqlite3_stmt *statement = NULL, *order = NULL;
    (void)snprintf(sql, sizeof(sql),
                   "SELECT entry FROM knowledge_attribute INDEXED BY knowledge_number WHERE name ="
                   " ?%d AND number IS NOT NULL ORDER BY number %s, entry DESC",
                   search->sort_value, search->query->descending ? "DESC" : "ASC"); /* it fits */
    __attribute__((cleanup(cleanup_ids))) struct ids rated = {0};
    int r = ids_init(search, &rated, err);
    if (r == 0)
        r = entry_prepare(search, &statement, err);
    if (r == 0)
        r = prepare(search, sql, &order, err);
    while (r >= 0 && search->room && (r = store_step(search->store, order, err)) > 0) {
        uint64_t id = (uint64_t)sqlite3_column_int64(order, 0);
        if (ids_has(&rated, id))
            continue; /* it has several numbers */
        ids_put(&rated, id);
        if (!search->narrowed || ids_has(&search->left, id))
            r = entry_visit(search, statement, id, err);
    }
    return r < 0 || !search->room ? r : unrated_visit(search, &rated, err);
}

/* Can the newest entries be told without listing all? */
static bool has_order(const struct search *search)
{
    bool ordered = search->condition_count == 0;
    for (size_t i = 0; i < search->condition_count; i++)
        ordered |= search->conditions[i].ordered;
    return ordered;
}

static int search_run(struct search *search, struct error *err)
{
    int r = newest_read(search, err);
    if (r == 0)
        r = rare_list(search, err);
    if (r == 0 && !search->narrowed && !search->sort_value && has_order(search))
        return windows_visit(search, err);
    if (r == 0)
        r = common_list(search, err);
    if (r < 0)
        return r;
    if (!search->sort_value)
        return ids_visit(search, &search->left, err);
    return search->narrowed && search->left.count <= LOOKUPS_MAX ? sort_visit(search, err)
                                                                 : index_visit(search, err);
}

int store_knowledge_search(struct store *store, const struct knowledge_query *query,
                           enum store_words words, int (*visit)(void *arg, struct knowledge *entry),
                           void *arg, struct error *err)
{
    AUTO_FREE struct search *search = calloc(1, sizeof(*search));
    if (!search)
        return error_set(err, -ENOMEM, "out-of-memory", "searching");
    *search = (struct search){.store = store, .query = query, .visit = visit, .arg = arg};
    search->room = *query->sort ? query->limit : STORE_KNOWLEDGE_CANDIDATES;
    conditions_make(search, words);
    int r = store_execute(store->reader, "BEGIN", err); /* all of it sees the same entries */
    if (r < 0)
        return r;
    r = search_run(search, err);
    (void)sqlite3_exec(store->reader, "END", NULL, NULL, NULL); /* nothing was written */
    cleanup_ids(&search->left);
    return r;
}
