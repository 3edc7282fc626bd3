/* Lessons on their way into the knowledge base: see teach.h. One round at a time: what has come is
 * laid over what is known on the pool, and the next round begins when that is durable, so that it
 * reads it. */
#include "core/teach.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "core/core_impl.h"
#include "knowledge/learn.h"

#define ROUND_MAX 64 /* lessons */

struct lesson {
    struct list link;
    uint64_t id;    /* of its row */
    json_t *record; /* {"source", "known_only", "about", "facts"} */
};

struct round {
    struct read_request read;
    struct list lessons;
    struct map *entries; /* struct knowledge, by kind and name; owned */
};

static void lesson_destroy(struct lesson *lesson)
{
    if (!lesson)
        return;
    list_remove(&lesson->link);
    json_decref(lesson->record);
    free(lesson);
}

static void lessons_clear(struct list *lessons)
{
    LIST_EACH_SAFE (link, after, lessons)
        lesson_destroy(LIST_ENTRY(link, struct lesson, link));
}

static void entry_destroy(struct knowledge *entry)
{
    if (!entry)
        return;
    knowledge_finish(entry);
    free(entry);
}
DEFINE_CLEANUP(entry, struct knowledge, entry_destroy)

static void round_destroy(struct round *round)
{
    struct knowledge *entry;
    size_t cursor = 0;
    if (!round)
        return;
    lessons_clear(&round->lessons);
    while (round->entries && (entry = map_next(round->entries, &cursor, NULL)))
        entry_destroy(entry);
    map_destroy(round->entries);
    free(round);
}
DEFINE_CLEANUP(round, struct round, round_destroy)

static const char *text_of(const json_t *object, const char *member)
{
    const char *text = json_string_value(json_object_get(object, member));
    return text ? text : "";
}

/* -- on the pool -- */

/* As it is known, or a new one: 0, or -ENOENT when none may be made. */
static int entry_read(struct store *store, enum knowledge_kind kind, const char *name,
                      bool known_only, struct knowledge *entry)
{
    struct error err;
    uint64_t count = 0;
    int r = store_knowledge_find(store, kind, name, entry, &err);
    if (r != -ENOENT || known_only)
        return r;
    r = store_knowledge_count(store, &count, &err);
    if (r == 0 && count >= STORE_KNOWLEDGE_MAX)
        return -ENOSPC;
    knowledge_init(entry);
    entry->kind = kind;
    entry->name = strdup(name);
    entry->attributes = json_object();
    return r == 0 && !(entry->name && entry->attributes) ? -ENOMEM : r;
}

/* The entry as this round has it so far. */
static int round_entry(struct round *round, struct store *store, const json_t *about,
                       bool known_only, struct knowledge **ret_entry)
{
    const char *name = text_of(about, "name");
    enum knowledge_kind kind = knowledge_kind_parse(text_of(about, "kind"));
    char key[KNOWLEDGE_NAME_MAX + 32];
    (void)snprintf(key, sizeof(key), "%d %s", (int)kind, name); /* names are no longer */
    *ret_entry = map_get(round->entries, key);
    if (*ret_entry)
        return 0;
    CLEANUP(cleanup_entry) struct knowledge *entry = calloc(1, sizeof(*entry));
    int r = entry ? entry_read(store, kind, name, known_only, entry) : -ENOMEM;
    if (r == 0)
        r = map_put(round->entries, key, entry, NULL);
    if (r == 0)
        *ret_entry = TAKE(entry);
    return r;
}

static int text_put(char **to, const char *text)
{
    char *copy = *text ? strdup(text) : NULL;
    if (!copy)
        return *text ? -ENOMEM : 0;
    free(*to);
    *to = copy;
    return 0;
}

static int entry_learn(struct round *round, struct store *store, const json_t *record,
                       const json_t *about)
{
    struct knowledge *entry;
    bool known_only = json_is_true(json_object_get(record, "known_only"));
    int r = round_entry(round, store, about, known_only, &entry);
    if (r == 0)
        r = text_put(&entry->task, text_of(about, "task"));
    if (r == 0)
        r = text_put(&entry->model, text_of(about, "model"));
    if (r == 0)
        r = text_put(&entry->source, text_of(record, "source"));
    return r < 0 ? r : learn_facts(entry, json_object_get(record, "facts"));
}

static void round_read(struct store *store, struct read_request *read)
{
    struct round *round = LIST_ENTRY(read, struct round, read);
    LIST_EACH (link, &round->lessons) {
        const json_t *record = LIST_ENTRY(link, struct lesson, link)->record, *about;
        size_t i;
        json_array_foreach (json_object_get(record, "about"), i, about) {
            int r = entry_learn(round, store, record, about);
            if (r < 0)
                log_event(r == -ENOENT ? LOG_DEBUG : LOG_WARN, "knowledge.learn",
                          "kind=%s name=\"%s\" errno=%d", text_of(about, "kind"),
                          text_of(about, "name"), -r);
        }
    }
}

/* -- on the loop -- */

static void rounds_go_on(struct core *core);

static void on_round_durable(struct core *core, void *arg, const struct error *err)
{
    /* What could not be written is tried again with all that comes. */
    if (err && commit_then(core, on_round_durable, arg) == 0)
        return;
    core->teaching = false;
    rounds_go_on(core);
}

static void round_write(struct core *core, struct read_request *read)
{
    CLEANUP(cleanup_round) struct round *round = LIST_ENTRY(read, struct round, read);
    struct store_batch *batch = commit_batch(core);
    struct knowledge *entry;
    size_t cursor = 0;
    int r = 0;
    while ((entry = map_next(round->entries, &cursor, NULL))) {
        entry->updated_us = clock_realtime_us();
        r = store_batch_knowledge(batch, entry) < 0 ? -ENOMEM : r;
    }
    LIST_EACH (link, &round->lessons)
        r = store_batch_lesson_remove(batch, LIST_ENTRY(link, struct lesson, link)->id) < 0
                ? -ENOMEM
                : r;
    if (r < 0)
        log_event(LOG_ERROR, "memory", "knowledge.learn");
    core->teaching = commit_then(core, on_round_durable, NULL) == 0;
}

/* Begin a round of what has come, unless one is under way. */
static void rounds_go_on(struct core *core)
{
    if (core->teaching || core->stopping || list_empty(&core->lessons))
        return;
    CLEANUP(cleanup_round) struct round *round = calloc(1, sizeof(*round));
    if (!round)
        return; /* they are in the store */
    list_init(&round->lessons);
    round->entries = map_create();
    if (!round->entries)
        return;
    for (int i = 0; i < ROUND_MAX && !list_empty(&core->lessons); i++) {
        struct list *link = core->lessons.next;
        list_remove(link);
        list_append(&round->lessons, link);
    }
    round->read.work = round_read;
    round->read.done = round_write;
    core->teaching = true;
    reads_add(core, &TAKE(round)->read);
}

static int lesson_take(void *arg, uint64_t id, json_t *record)
{
    struct core *core = arg;
    struct lesson *lesson = calloc(1, sizeof(*lesson));
    if (!lesson)
        return -ENOMEM;
    lesson->id = id;
    lesson->record = json_incref(record);
    list_append(&core->lessons, &lesson->link);
    core->next_lesson = id < core->next_lesson ? core->next_lesson : id + 1;
    return 0;
}

void teach(struct core *core, const char *source, bool known_only, const json_t *about,
           const json_t *facts)
{
    AUTO_JSON json_t *record = json_pack("{s:s, s:b, s:O?, s:O?}", "source", source, "known_only",
                                         known_only, "about", about, "facts", facts);
    uint64_t id = core->next_lesson;
    if (!about || !facts || !record || store_batch_lesson(commit_batch(core), id, record) < 0 ||
        lesson_take(core, id, record) < 0)
        log_event(LOG_ERROR, "memory", "knowledge.learn");
    rounds_go_on(core);
}

int teach_load(struct core *core, struct error *err)
{
    int r = store_lessons(core->store, lesson_take, core, err);
    rounds_go_on(core);
    return r;
}

void teach_finish(struct core *core)
{
    lessons_clear(&core->lessons);
}
