/* Which models suit a task and the memory that is free: tasks that are like it, the models of those
 * tasks that fit, in the order of what is known about them. Read and judged on the pool. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "core/core_impl.h"
#include "estimate/fit.h"
#include "knowledge/rank.h"
#include "model/knowledge_query.h"

#define SIMILAR_MAX 10        /* tasks in an answer */
#define SIMILAR_LEAST 0.3     /* likeness below which a task says nothing */
#define RELATED 0.9           /* likeness of tasks that a relation without a weight joins */
#define OTHER_DATA_WEIGHT 0.5 /* of a value of the same kind of task on other data */
#define VALUES_MAX 20000      /* looked at for one suggestion */
#define SUGGESTED_MAX STORE_KNOWLEDGE_CANDIDATES

struct entries {
    struct knowledge *items; /* STORE_KNOWLEDGE_CANDIDATES; owned with their content */
    size_t count;
};

struct suggestion {
    struct knowledge *model; /* borrowed */
    uint64_t needs_bytes;
    enum fit_basis basis;
    double score;
    size_t values;
};

struct question {
    struct read_request read;
    core_reply_fn *reply;
    void *arg;
    const struct profiles *profiles; /* never change once the centre runs */
    bool models_too;
    struct knowledge task;        /* as it is asked for */
    struct knowledge_query query; /* conditions on the models */
    char device[JOB_NAME_MAX];    /* whose free memory is meant; empty: none */
    json_t *result;
    struct error err;
};

static void entries_finish(struct entries *entries)
{
    while (entries->count)
        knowledge_finish(&entries->items[--entries->count]);
    free(entries->items);
}
#define AUTO_ENTRIES __attribute__((cleanup(entries_finish)))

static int entry_take(void *arg, struct knowledge *entry)
{
    struct entries *entries = arg;
    entries->items[entries->count++] = *entry;
    knowledge_init(entry);
    return 1;
}

static int entries_read(struct store *store, const struct knowledge_query *query,
                        struct entries *ret_entries, struct error *err)
{
    ret_entries->items = calloc(STORE_KNOWLEDGE_CANDIDATES, sizeof(*ret_entries->items));
    if (!ret_entries->items)
        return error_set(err, -ENOMEM, "out-of-memory", "searching");
    return store_knowledge_search(store, query, STORE_WORDS_ALL, entry_take, ret_entries, err);
}

static int kind_read(struct store *store, enum knowledge_kind kind, struct entries *ret_entries,
                     struct error *err)
{
    struct knowledge_query query;
    knowledge_query_init(&query);
    query.kinds = 1u << kind;
    return entries_read(store, &query, ret_entries, err);
}

static const char *kind_of(const struct knowledge *task)
{
    return task->task ? task->task : task->name;
}

/* -- tasks that are like it -- */

/* What the store knows of the task itself goes under what was asked. */
static int task_complete(struct store *store, struct knowledge *task)
{
    struct knowledge known;
    int r = task->name ? store_knowledge_find(store, KNOWLEDGE_TASK, task->name, &known, NULL)
                       : -ENOENT;
    if (r < 0)
        return 0; /* an unseen one */
    r = json_object_update_missing(task->attributes, known.attributes) < 0 ? -ENOMEM : 0;
    if (!task->task)
        task->task = TAKE(known.task);
    knowledge_finish(&known);
    return r;
}

static int by_similarity(const void *left, const void *right)
{
    const struct rank_task *a = left, *b = right;
    return (a->similarity < b->similarity) - (a->similarity > b->similarity);
}

/* Attributes that alike tasks have and this one lacks, those of most weight first. */
static json_t *missing_make(const struct knowledge *task, const struct rank_task *tasks,
                            size_t count)
{
    AUTO_JSON json_t *weights = json_object();
    AUTO_JSON json_t *names = json_array();
    const char *name;
    json_t *value;
    for (size_t i = 0; weights && i < count; i++) {
        json_object_foreach (tasks[i].task->attributes, name, value) {
            double weight = json_number_value(json_object_get(weights, name)) + tasks[i].similarity;
            if (!json_object_get(task->attributes, name) &&
                json_object_set_new(weights, name, json_real(weight)) < 0)
                return NULL;
        }
    }
    while (names && json_object_size(weights)) {
        const char *first = NULL;
        json_object_foreach (weights, name, value) {
            if (!first ||
                json_real_value(value) > json_number_value(json_object_get(weights, first)))
                first = name;
        }
        if (json_array_append_new(names, json_string(first)) < 0)
            return NULL;
        (void)json_object_del(weights, first); /* it is there */
    }
    return json_incref(names);
}

static json_t *similar_make(const struct rank_task *tasks, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < count; i++) {
        json_t *one = json_pack("{s:s, s:s?, s:f, s:O}", "name", tasks[i].task->name, "task",
                                tasks[i].task->task, "similarity", tasks[i].similarity,
                                "attributes", tasks[i].task->attributes);
        if (json_array_append_new(list, one) < 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static const char *text_of(const struct knowledge *entry, const char *name)
{
    const char *text = json_string_value(json_object_get(entry->attributes, name));
    return text ? text : "";
}

/* What a relation between the two tasks says, in either direction; 0: there is none. */
static double relation_weight(const struct entries *relations, const char *left, const char *right)
{
    double most = 0;
    for (size_t i = 0; left && i < relations->count; i++) {
        const struct knowledge *relation = &relations->items[i];
        const char *from = relation->task ? relation->task : "", *to = text_of(relation, "to");
        double weight = RELATED;
        bool joins = (strcmp(from, left) == 0 && strcmp(to, right) == 0) ||
                     (strcmp(from, right) == 0 && strcmp(to, left) == 0);
        (void)knowledge_number(relation, "weight", &weight); /* or it stays */
        most = joins && weight > most ? weight : most;
    }
    return most < 1 ? most : 1;
}

/* The tasks most like it into `tasks`, which has room for SIMILAR_MAX. */
static size_t tasks_rank(const struct knowledge *task, const struct entries *known,
                         const struct entries *relations, struct rank_task tasks[SIMILAR_MAX])
{
    struct rank_task all[STORE_KNOWLEDGE_CANDIDATES];
    size_t count = 0;
    for (size_t i = 0; i < known->count; i++) {
        double similarity = rank_task_similarity(task, &known->items[i]);
        double related = relation_weight(relations, task->name, known->items[i].name);
        similarity = related > similarity ? related : similarity;
        bool itself = task->name && strcmp(task->name, known->items[i].name) == 0;
        if (similarity >= SIMILAR_LEAST && !itself)
            all[count++] = (struct rank_task){&known->items[i], similarity};
    }
    qsort(all, count, sizeof(*all), by_similarity);
    count = count < SIMILAR_MAX ? count : SIMILAR_MAX;
    memcpy(tasks, all, count * sizeof(*all));
    return count;
}

/* -- models -- */

struct values {
    struct rank_value *items; /* VALUES_MAX */
    struct entries *sources;  /* that their texts are borrowed from; one a model */
    size_t count;
};

/* How much a value on other data says about the task. */
static double weight_of(const struct knowledge *task, const struct knowledge *metric)
{
    const char *dataset = text_of(task, "dataset"), *kind = kind_of(task);
    bool same_kind = metric->task && kind && strcasecmp(metric->task, kind) == 0;
    bool same_data = *dataset && strcasecmp(dataset, text_of(metric, "dataset")) == 0;
    return same_data ? 1 : same_kind ? OTHER_DATA_WEIGHT : 0;
}

static void value_add(struct values *values, size_t model, const struct knowledge *task,
                      const struct knowledge *metric)
{
    const char *name = text_of(metric, "metric"), *wanted = text_of(task, "metric");
    double value, weight = weight_of(task, metric);
    if (!*name || !knowledge_number(metric, "value", &value)) { /* of a job's own */
        name = *wanted ? wanted : "accuracy";
        if (!knowledge_number(metric, name, &value))
            return;
    }
    if (weight <= 0 || values->count == VALUES_MAX)
        return;
    if (*wanted && strcasecmp(wanted, name) != 0)
        weight *= OTHER_DATA_WEIGHT;
    values->items[values->count++] = (struct rank_value){
        .model = model,
        .weight = weight,
        .data = text_of(metric, "dataset"),
        .metric = name,
        .value = value,
        .smaller_is_better = rank_smaller_is_better(name),
    };
}

/* What is known of one model's results. */
static int values_read(struct store *store, const struct question *question, size_t index,
                       const struct knowledge *model, struct values *values, struct error *err)
{
    struct knowledge_query query;
    knowledge_query_init(&query);
    query.kinds = 1u << KNOWLEDGE_METRIC;
    query.model = model->name; /* borrowed */
    int r = entries_read(store, &query, &values->sources[index], err);
    const struct entries *metrics = &values->sources[index];
    for (size_t i = 0; r == 0 && i < metrics->count; i++)
        value_add(values, index, &question->task, &metrics->items[i]);
    return r;
}

static void values_finish(struct values *values, size_t models)
{
    for (size_t i = 0; values->sources && i < models; i++)
        entries_finish(&values->sources[i]);
    free(values->sources);
    free(values->items);
}

static int by_suggestion(const void *left, const void *right)
{
    const struct suggestion *a = left, *b = right;
    int order = (a->score < b->score) - (a->score > b->score);
    return order ? order : (a->needs_bytes > b->needs_bytes) - (a->needs_bytes < b->needs_bytes);
}

/* Scores of the models in `list`, by what is known of their results. */
static int models_rank(struct store *store, struct question *question, struct suggestion *list,
                       size_t count)
{
    double params[SUGGESTED_MAX] = {0}, scores[SUGGESTED_MAX];
    struct values values = {.items = calloc(VALUES_MAX, sizeof(*values.items)),
                            .sources = calloc(count + 1, sizeof(*values.sources))};
    int r = values.items && values.sources
                ? 0
                : error_set(&question->err, -ENOMEM, "out-of-memory", "ranking models");
    for (size_t i = 0; r == 0 && i < count; i++) {
        (void)knowledge_number(list[i].model, "params", &params[i]); /* or it stays 0 */
        r = values_read(store, question, i, list[i].model, &values, &question->err);
    }
    if (r == 0 && rank_models(values.items, values.count, params, count, scores) < 0)
        r = error_set(&question->err, -ENOMEM, "out-of-memory", "ranking models");
    for (size_t i = 0; r == 0 && i < count; i++)
        list[i].score = scores[i];
    for (size_t i = 0; r == 0 && i < values.count; i++)
        list[values.items[i].model].values++;
    values_finish(&values, count);
    return r;
}

static json_t *models_make(const struct question *question, const struct suggestion *list,
                           size_t count)
{
    static const char *const bases[] = {
        [FIT_UNKNOWN] = "unknown", [FIT_MEASURED] = "measured", [FIT_ESTIMATED] = "estimated"};
    json_t *models = json_array();
    for (size_t i = 0; models && i < count && i < question->query.limit; i++) {
        const struct suggestion *one = &list[i];
        json_t *model = json_pack("{s:s, s:f, s:I, s:s, s:I, s:O}", "name", one->model->name,
                                  "score", one->score, "needs_bytes", (json_int_t)one->needs_bytes,
                                  "needs_basis", bases[one->basis], "values",
                                  (json_int_t)one->values, "attributes", one->model->attributes);
        if (json_array_append_new(models, model) < 0) {
            json_decref(models);
            return NULL;
        }
    }
    return models;
}

/* Models of that kind of task that meet the conditions and fit, the best first. */
static json_t *models_suggest(struct store *store, struct question *question)
{
    struct suggestion list[SUGGESTED_MAX];
    AUTO_ENTRIES struct entries models = {0};
    struct knowledge_query *query = &question->query;
    size_t count = 0;
    if (entries_read(store, query, &models, &question->err) < 0)
        return NULL;
    for (size_t i = 0; i < models.count; i++) {
        struct suggestion one = {.model = &models.items[i]};
        one.basis = fit_memory(one.model, query->settings, question->profiles, &one.needs_bytes);
        if (!query->fits_bytes || (one.basis && one.needs_bytes <= query->fits_bytes))
            list[count++] = one;
    }
    if (models_rank(store, question, list, count) < 0)
        return NULL;
    qsort(list, count, sizeof(*list), by_suggestion);
    return models_make(question, list, count);
}

/* -- the question -- */

static json_t *answer_make(struct store *store, struct question *question,
                           const struct rank_task *tasks, size_t count)
{
    AUTO_JSON json_t *similar = similar_make(tasks, count);
    AUTO_JSON json_t *missing = missing_make(&question->task, tasks, count);
    AUTO_JSON json_t *answer =
        json_pack("{s:s?, s:s?, s:O, s:O}", "name", question->task.name, "task",
                  question->query.task, "similar", similar, "missing", missing);
    if (!question->models_too)
        return json_incref(answer);
    AUTO_JSON json_t *models = models_suggest(store, question);
    AUTO_JSON json_t *more = json_pack(
        "{s:O, s:I, s:o}", "models", models, "memory_bytes", (json_int_t)question->query.fits_bytes,
        "device", *question->device ? json_string(question->device) : json_null());
    return answer && more && json_object_update(answer, more) == 0 ? json_incref(answer) : NULL;
}

static void question_work(struct store *store, struct read_request *read)
{
    struct question *question = LIST_ENTRY(read, struct question, read);
    AUTO_ENTRIES struct entries known = {0};
    AUTO_ENTRIES struct entries relations = {0};
    struct rank_task tasks[SIMILAR_MAX];
    if (task_complete(store, &question->task) < 0 ||
        kind_read(store, KNOWLEDGE_TASK, &known, &question->err) < 0 ||
        kind_read(store, KNOWLEDGE_RELATION, &relations, &question->err) < 0)
        return;
    size_t count = tasks_rank(&question->task, &known, &relations, tasks);
    if (!question->query.task) { /* an unseen one is taken for one of the kind of the most alike */
        const struct knowledge *like =
            question->task.task || !count ? &question->task : tasks[0].task;
        question->query.task = kind_of(like) ? strdup(kind_of(like)) : NULL;
    }
    question->result = answer_make(store, question, tasks, count);
}

static void question_destroy(struct question *question)
{
    if (!question)
        return;
    knowledge_finish(&question->task);
    knowledge_query_finish(&question->query);
    json_decref(question->result);
    free(question);
}
DEFINE_CLEANUP(question, struct question, question_destroy)

static void question_done(struct core *core, struct read_request *read)
{
    struct question *question = LIST_ENTRY(read, struct question, read);
    (void)core; /* nothing is changed */
    if (question->err.errnum)
        question->reply(question->arg, NULL, &question->err);
    else
        core_reply_value(question->reply, question->arg,
                         question->result ? json_incref(question->result) : NULL);
    question_destroy(question);
}

/* The device with the most memory that is free. */
static void memory_find(struct core *core, struct question *question)
{
    struct sched_state state;
    if (place_state_make(core, NULL, 0, &state) < 0)
        return;
    for (size_t i = 0; i < state.device_count; i++) {
        if (state.devices[i].memory_free_bytes <= question->query.fits_bytes)
            continue;
        question->query.fits_bytes = state.devices[i].memory_free_bytes;
        (void)snprintf(question->device, sizeof(question->device), "%s", core->devices[i].id);
    }
    place_state_finish(&state);
}

/* {"name","task","attributes"} is the task; the rest of the body, conditions on models. `rest` is a
 * copy of the body that loses what belongs to the task. */
static int task_decode(struct question *question, json_t *rest, struct error *err)
{
    static const char *const members[] = {"name", "task", "attributes"};
    AUTO_JSON json_t *task = json_pack("{s:s, s:s}", "kind", "task", "name", "unnamed");
    bool named = json_object_get(rest, "name"), good = task;
    for (size_t i = 0; good && i < sizeof(members) / sizeof(members[0]); i++) {
        json_t *value = json_object_get(rest, members[i]);
        good = !value || json_object_set(task, members[i], value) == 0;
        (void)json_object_del(rest, members[i]); /* it may not be there */
    }
    if (!good)
        return error_set(err, -ENOMEM, "out-of-memory", "reading a task");
    int r = knowledge_decode(task, &question->task, err);
    if (r == 0 && !named) {
        free(question->task.name);
        question->task.name = NULL;
    }
    return r;
}

static int question_decode(struct core *core, struct question *question, const json_t *body,
                           struct error *err)
{
    struct knowledge_query *query = &question->query;
    AUTO_JSON json_t *rest = json_copy((json_t *)(uintptr_t)body);
    if (!json_is_object(rest))
        return error_set(err, -EINVAL, "bad-request", "the body must be an object");
    int r = task_decode(question, rest, err);
    if (r == 0)
        r = knowledge_query_decode(rest, query, err);
    if (r < 0 || !question->models_too)
        return r;
    query->kinds = 1u << KNOWLEDGE_MODEL;
    if (question->task.task)
        query->task = strdup(question->task.task);
    if (!query->settings)
        query->settings = json_object();
    if ((question->task.task && !query->task) || !query->settings ||
        json_object_set_new(query->settings, "allocated_only", json_true()) < 0)
        return error_set(err, -ENOMEM, "out-of-memory", "reading a question");
    if (!query->fits_bytes)
        memory_find(core, question);
    return fit_settings_check(query->settings, err);
}

static void question_ask(struct core *core, const json_t *request, bool models_too,
                         core_reply_fn *reply, void *arg)
{
    struct error err = {0};
    CLEANUP(cleanup_question) struct question *question = calloc(1, sizeof(*question));
    if (!question) {
        core_reply_value(reply, arg, NULL);
        return;
    }
    knowledge_query_init(&question->query);
    question->profiles = core->profiles;
    question->models_too = models_too;
    if (question_decode(core, question, request, &err) < 0) {
        reply(arg, NULL, &err);
        return;
    }
    question->reply = reply;
    question->arg = arg;
    question->read.work = question_work;
    question->read.done = question_done;
    reads_add(core, &TAKE(question)->read);
}

void core_knowledge_similar(struct core *core, const json_t *request, core_reply_fn *reply,
                            void *arg)
{
    question_ask(core, request, false, reply, arg);
}

void core_knowledge_suggest(struct core *core, const json_t *request, core_reply_fn *reply,
                            void *arg)
{
    question_ask(core, request, true, reply, arg);
}
