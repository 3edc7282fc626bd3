/* The knowledge base as users see it: entries written and read, and the search with its ranking. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/units.h"
#include "core/core_impl.h"
#include "estimate/fit.h"
#include "model/knowledge_query.h"

/* -- one entry -- */

struct access {
    struct read_request read;
    struct core *core;
    core_reply_fn *reply;
    void *arg;
    struct knowledge entry;
    struct error err;
};

static struct access *access_create(struct core *core, core_reply_fn *reply, void *arg)
{
    struct access *access = calloc(1, sizeof(*access));
    if (!access) {
        core_reply_value(reply, arg, NULL);
        return NULL;
    }
    access->core = core;
    access->reply = reply;
    access->arg = arg;
    knowledge_init(&access->entry);
    return access;
}

/* Reply with the refusal, or with `value` (its reference is taken; NULL: no memory). */
static void access_reply(struct access *access, json_t *value)
{
    if (access->err.errnum)
        access->reply(access->arg, NULL, &access->err);
    else
        core_reply_value(access->reply, access->arg, value);
    knowledge_finish(&access->entry);
    free(access);
}

static void access_run(struct access *access,
                       void (*work)(struct store *store, struct read_request *request),
                       void (*done)(struct core *core, struct read_request *request))
{
    access->read.work = work;
    access->read.done = done;
    reads_add(access->core, &access->read);
}

static void entry_read(struct store *store, struct read_request *read)
{
    struct access *access = LIST_ENTRY(read, struct access, read);
    (void)store_knowledge_read(store, access->entry.id, &access->entry, &access->err);
}

static void entry_show(struct core *core, struct read_request *read)
{
    struct access *access = LIST_ENTRY(read, struct access, read);
    (void)core; /* the access knows it */
    access_reply(access, access->err.errnum ? NULL : knowledge_encode(&access->entry));
}

/* NULL after a refusal. */
static struct access *access_by_id(struct core *core, const char *id, core_reply_fn *reply,
                                   void *arg)
{
    uint64_t number;
    struct error err;
    if (u64_parse(id, &number, NULL) < 0 || number > INT64_MAX) {
        (void)error_set(&err, -ENOENT, "unknown-entry",
                        "the knowledge base has no entry of the number '%.32s'", id);
        reply(arg, NULL, &err);
        return NULL;
    }
    struct access *access = access_create(core, reply, arg);
    if (access)
        access->entry.id = number;
    return access;
}

void core_knowledge_get(struct core *core, const char *id, core_reply_fn *reply, void *arg)
{
    struct access *access = access_by_id(core, id, reply, arg);
    if (access)
        access_run(access, entry_read, entry_show);
}

static void entry_remove(struct core *core, struct read_request *read)
{
    struct access *access = LIST_ENTRY(read, struct access, read);
    if (access->err.errnum == 0 &&
        store_batch_knowledge_remove(commit_batch(core), access->entry.id) < 0)
        (void)error_set(&access->err, -ENOMEM, "out-of-memory", "removing an entry");
    if (access->err.errnum) {
        access_reply(access, NULL);
        return;
    }
    commit_reply(core, NULL, access->reply, access->arg);
    knowledge_finish(&access->entry);
    free(access);
}

void core_knowledge_remove(struct core *core, const char *id, core_reply_fn *reply, void *arg)
{
    struct access *access = access_by_id(core, id, reply, arg);
    if (access)
        access_run(access, entry_read, entry_remove);
}

/* -- writing -- */

/* Is there room, or an entry to write over? */
static void room_read(struct store *store, struct read_request *read)
{
    struct access *access = LIST_ENTRY(read, struct access, read);
    struct knowledge before;
    uint64_t count;
    if (store_knowledge_count(store, &count, &access->err) < 0 || count < STORE_KNOWLEDGE_MAX)
        return;
    if (store_knowledge_find(store, access->entry.kind, access->entry.name, &before, NULL) == 0)
        knowledge_finish(&before);
    else
        (void)error_set(&access->err, -ENOSPC, "knowledge-full",
                        "the knowledge base holds %d entries and no more; remove some with `leat "
                        "kb rm`",
                        STORE_KNOWLEDGE_MAX);
}

/* As it was stored, with its number. */
static void entry_read_back(struct store *store, struct read_request *read)
{
    struct access *access = LIST_ENTRY(read, struct access, read);
    struct knowledge stored;
    if (store_knowledge_find(store, access->entry.kind, access->entry.name, &stored, &access->err) <
        0)
        return;
    knowledge_finish(&access->entry);
    access->entry = stored;
}

static void on_durable(struct core *core, void *arg, const struct error *err)
{
    struct access *access = arg;
    (void)core; /* the access knows it */
    if (!err) {
        access_run(access, entry_read_back, entry_show);
        return;
    }
    error_copy(&access->err, err);
    access_reply(access, NULL);
}

static void entry_write(struct core *core, struct read_request *read)
{
    struct access *access = LIST_ENTRY(read, struct access, read);
    access->entry.updated_us = clock_realtime_us();
    if (access->err.errnum == 0 && (store_batch_knowledge(commit_batch(core), &access->entry) < 0 ||
                                    commit_then(core, on_durable, access) < 0))
        (void)error_set(&access->err, -ENOMEM, "out-of-memory", "writing an entry");
    if (access->err.errnum)
        access_reply(access, NULL);
}

void core_knowledge_put(struct core *core, const json_t *request, core_reply_fn *reply, void *arg)
{
    struct access *access = access_create(core, reply, arg);
    if (!access)
        return;
    if (knowledge_decode(request, &access->entry, &access->err) < 0)
        access_reply(access, NULL);
    else
        access_run(access, room_read, entry_write);
}

/* -- searching -- */

#define FITS_LOOKED_AT 4096 /* entries that are estimated for one question */

struct found {
    struct knowledge entry;
    double score;
    enum fit_basis basis;
    uint64_t needs_bytes;
};

struct search {
    struct read_request read;
    core_reply_fn *reply;
    void *arg;
    const struct profiles *profiles; /* never change once the centre runs */
    struct knowledge_query query;
    struct found *found; /* STORE_KNOWLEDGE_CANDIDATES */
    size_t count, looked_at;
    const char *words;
    struct error err;
};

static void search_clear(struct search *search)
{
    while (search->count)
        knowledge_finish(&search->found[--search->count].entry);
}

static void search_destroy(struct search *search)
{
    search_clear(search);
    knowledge_query_finish(&search->query);
    free(search->found);
    free(search);
}

static bool fits(struct search *search, const struct knowledge *entry, struct found *found)
{
    if (!search->query.fits_bytes)
        return true;
    search->looked_at++;
    if (entry->kind != KNOWLEDGE_MODEL)
        return false;
    found->basis = fit_memory(entry, search->query.settings, search->profiles, &found->needs_bytes);
    return found->basis && found->needs_bytes <= search->query.fits_bytes;
}

static int candidate_take(void *arg, struct knowledge *entry)
{
    struct search *search = arg;
    struct found *found = &search->found[search->count];
    *found = (struct found){.score = knowledge_query_score(&search->query, entry)};
    if (!fits(search, entry, found))
        return search->looked_at > FITS_LOOKED_AT ? -EOVERFLOW : 0;
    found->entry = *entry;
    knowledge_init(entry);
    search->count++;
    return 1;
}

static int by_score(const void *left, const void *right)
{
    const struct found *a = left, *b = right;
    int order = (a->score < b->score) - (a->score > b->score);
    return order ? order : (a->entry.id < b->entry.id) - (a->entry.id > b->entry.id);
}

static void search_work(struct store *store, struct read_request *read)
{
    struct search *search = LIST_ENTRY(read, struct search, read);
    int r = store_knowledge_search(store, &search->query, STORE_WORDS_ALL, candidate_take, search,
                                   &search->err);
    search->words = "all";
    if (r == 0 && search->count == 0 && search->query.word_count > 1) {
        search->words = "any";
        (void)store_knowledge_search(store, &search->query, STORE_WORDS_ANY, candidate_take, search,
                                     &search->err); /* the refusal is in err */
    }
    if (!*search->query.sort)
        qsort(search->found, search->count, sizeof(*search->found), by_score);
}

static json_t *found_encode(const struct found *found)
{
    static const char *const bases[] = {[FIT_MEASURED] = "measured", [FIT_ESTIMATED] = "estimated"};
    AUTO_JSON json_t *entry = knowledge_encode(&found->entry);
    AUTO_JSON json_t *score = json_pack("{s:f}", "score", found->score);
    if (!entry || !score || json_object_update(entry, score) < 0)
        return NULL;
    if (found->basis) {
        AUTO_JSON json_t *needs =
            json_pack("{s:I, s:s}", "needs_bytes", (json_int_t)found->needs_bytes, "needs_basis",
                      bases[found->basis]);
        if (!needs || json_object_update(entry, needs) < 0)
            return NULL;
    }
    return json_incref(entry);
}

static json_t *search_encode(const struct search *search)
{
    AUTO_JSON json_t *entries = json_array();
    bool more = search->count > search->query.limit || search->looked_at > FITS_LOOKED_AT;
    for (size_t i = 0; i < search->count && i < search->query.limit; i++) {
        if (json_array_append_new(entries, found_encode(&search->found[i])) < 0)
            return NULL;
    }
    return json_pack("{s:O, s:s, s:b}", "entries", entries, "words", search->words, "more", more);
}

static void search_done(struct core *core, struct read_request *read)
{
    struct search *search = LIST_ENTRY(read, struct search, read);
    (void)core; /* nothing is changed */
    if (search->err.errnum)
        search->reply(search->arg, NULL, &search->err);
    else
        core_reply_value(search->reply, search->arg, search_encode(search));
    search_destroy(search);
}

static struct search *search_create(struct core *core, core_reply_fn *reply, void *arg)
{
    struct search *search = calloc(1, sizeof(*search));
    if (!search)
        return NULL;
    search->found = calloc(STORE_KNOWLEDGE_CANDIDATES, sizeof(*search->found));
    if (!search->found) {
        free(search);
        return NULL;
    }
    knowledge_query_init(&search->query);
    search->profiles = core->profiles;
    search->reply = reply;
    search->arg = arg;
    search->read.work = search_work;
    search->read.done = search_done;
    return search;
}

void core_knowledge_search(struct core *core, const json_t *request, core_reply_fn *reply,
                           void *arg)
{
    struct search *search = search_create(core, reply, arg);
    if (!search) {
        core_reply_value(reply, arg, NULL);
        return;
    }
    int r = knowledge_query_decode(request, &search->query, &search->err);
    if (r == 0)
        r = fit_settings_check(search->query.settings, &search->err);
    if (r == 0) {
        reads_add(core, &search->read);
        return;
    }
    reply(arg, NULL, &search->err);
    search_destroy(search);
}
