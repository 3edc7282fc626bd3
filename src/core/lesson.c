/* The knowledge base fills itself: see lesson.h. Facts are gathered on the loop, laid over what is
 * known on the pool, and written with the next commit. */
#include "core/lesson.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "core/core_impl.h"
#include "core/learn.h"
#include "knowledge/learn.h"
#include "model/model.h"

/* One entry on its way. */
struct lesson {
    struct read_request read;
    struct knowledge entry; /* without what is known already */
    json_t *facts;
    bool unknown_too; /* make the entry when there is none */
    int result;
};

static void lesson_destroy(struct lesson *lesson)
{
    if (!lesson)
        return;
    knowledge_finish(&lesson->entry);
    json_decref(lesson->facts);
    free(lesson);
}
DEFINE_CLEANUP(lesson, struct lesson, lesson_destroy)

static void text_replace(char **to, char **from)
{
    if (!*from)
        return;
    free(*to);
    *to = TAKE(*from);
}

static void lesson_read(struct store *store, struct read_request *read)
{
    struct lesson *lesson = LIST_ENTRY(read, struct lesson, read);
    struct knowledge known;
    struct error err;
    uint64_t count = 0;
    int r = store_knowledge_find(store, lesson->entry.kind, lesson->entry.name, &known, &err);
    if (r == 0) {
        text_replace(&known.task, &lesson->entry.task);
        text_replace(&known.model, &lesson->entry.model);
        text_replace(&known.source, &lesson->entry.source);
        knowledge_finish(&lesson->entry);
        lesson->entry = known;
    } else if (r == -ENOENT && lesson->unknown_too) {
        r = store_knowledge_count(store, &count, &err);
        if (r == 0 && count >= STORE_KNOWLEDGE_MAX)
            r = -ENOSPC;
    }
    lesson->result = r < 0 ? r : learn_facts(&lesson->entry, lesson->facts);
}

static void lesson_write(struct core *core, struct read_request *read)
{
    CLEANUP(cleanup_lesson) struct lesson *lesson = LIST_ENTRY(read, struct lesson, read);
    lesson->entry.updated_us = clock_realtime_us();
    int r = lesson->result;
    if (r == 0)
        r = store_batch_knowledge(commit_batch(core), &lesson->entry);
    if (r < 0)
        log_event(r == -ENOENT ? LOG_DEBUG : LOG_WARN, "knowledge.learn",
                  "kind=%s name=\"%s\" errno=%d", knowledge_kind_name(lesson->entry.kind),
                  lesson->entry.name, -r);
}

/* Texts may be NULL but for the name and the source. `facts` is borrowed. */
struct subject {
    enum knowledge_kind kind;
    const char *name, *task, *model, *source;
    bool unknown_too;
};

/* Cut to what a name may have, and without what it may not; NULL: none, or no memory. */
static char *name_make(const char *text)
{
    if (!text || !*text)
        return NULL;
    char *name = strndup(text, KNOWLEDGE_NAME_MAX);
    for (char *c = name; c && *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = ' ';
    }
    return name;
}

static void teach(struct core *core, const struct subject *subject, const json_t *facts)
{
    CLEANUP(cleanup_lesson) struct lesson *lesson = calloc(1, sizeof(*lesson));
    if (!lesson || !facts)
        return; /* the next run teaches the same */
    lesson->entry.kind = subject->kind;
    lesson->entry.name = name_make(subject->name);
    lesson->entry.task = name_make(subject->task);
    lesson->entry.model = name_make(subject->model);
    lesson->entry.source = name_make(subject->source);
    lesson->entry.attributes = json_object();
    lesson->facts = json_incref((json_t *)(uintptr_t)facts);
    lesson->unknown_too = subject->unknown_too;
    if (!lesson->entry.name || !lesson->entry.source || !lesson->entry.attributes)
        return;
    lesson->read.work = lesson_read;
    lesson->read.done = lesson_write;
    reads_add(core, &TAKE(lesson)->read);
}

/* -- jobs -- */

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text && *text ? text : NULL;
}

static json_t *metrics_read(struct core *core, const struct job *job)
{
    char id[JOB_ID_TEXT_MAX];
    AUTO_BUF struct buf tail = BUF_INIT;
    if (engine_log_tail(core->engine, job_id_text(job->id, id), &tail, NULL) < 0)
        return NULL;
    return learn_metrics(tail.data ? tail.data : "", tail.length);
}

/* What the job measured, over the settings of its run and under what its program says. */
static json_t *job_facts(const struct job *job, const char *device, const json_t *metrics)
{
    char id[JOB_ID_TEXT_MAX];
    const struct job_request *request = &job->request;
    const char *type = request->type ? request->type : "";
    uint64_t wall_us = job->ended_us > job->started_us ? job->ended_us - job->started_us : 0;
    json_t *facts = json_pack(
        "{s:I, s:I, s:I, s:I, s:s, s:s?, s:s?, s:s, s:s, s:i}", "memory_peak_bytes",
        (json_int_t)job->usage.memory_peak_bytes, "wall_ms", (json_int_t)(wall_us / 1000),
        "device_time_ns", (json_int_t)job->usage.device_time_ns, "share_permille",
        (json_int_t)request->share_permille, "device", device, "library", request->library,
        "job_type", request->type, "run", strcmp(type, "inference") == 0 ? "infer" : "train", "job",
        job_id_text(job->id, id), "runs", 1);
    bool good = facts;
    if (good && request->model_settings)
        good = json_object_update_missing(facts, request->model_settings) == 0;
    if (!good || json_object_update_missing(facts, (json_t *)(uintptr_t)metrics) < 0) {
        json_decref(facts);
        return NULL;
    }
    (void)json_object_del(facts, "task"); /* they have places of their own */
    (void)json_object_del(facts, "model");
    return facts;
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

void lesson_of_job(struct core *core, const struct job *job)
{
    char name[KNOWLEDGE_NAME_MAX + 1];
    const char *known = learn_device(core, job->device), *device = known ? known : "unknown";
    AUTO_JSON json_t *told = metrics_read(core, job);
    AUTO_JSON json_t *metrics = told ? json_incref(told) : json_object();
    AUTO_JSON json_t *facts = metrics ? job_facts(job, device, metrics) : NULL;
    const char *model = job->request.model ? job->request.model : text_of(metrics, "model");
    const char *task = text_of(metrics, "task");
    (void)snprintf(name, sizeof(name), "%.160s on %.80s",
                   last_part(job_request_program(&job->request)), device);
    teach(core,
          &(struct subject){.kind = KNOWLEDGE_METRIC,
                            .name = name,
                            .task = task,
                            .model = model,
                            .source = "job",
                            .unknown_too = true},
          facts);
    if (model)
        teach(core,
              &(struct subject){.kind = KNOWLEDGE_MODEL,
                                .name = model,
                                .task = task,
                                .source = "job",
                                .unknown_too = true},
              facts);
}

/* -- registered models -- */

static json_t *registration_facts(const struct model *model)
{
    json_t *facts = model->card ? json_copy(model->card) : json_object();
    json_t *known =
        json_pack("{s:b, s:I, s:I, s:I, s:s*, s:s*, s:s*}", "registered", 1, "params",
                  (json_int_t)model->params, "trainable_params",
                  (json_int_t)model->trainable_params, "safe_bytes", (json_int_t)model->safe_bytes,
                  "weights", model->dtype, "license", model->licence, "path", model->path);
    bool good = facts && known && json_object_update_missing(known, model->run) == 0 &&
                json_object_update(facts, known) == 0;
    json_decref(known);
    if (good) { /* nested, or with a place of their own */
        (void)json_object_del(facts, "model-index");
        (void)json_object_del(facts, "pipeline_tag");
        (void)json_object_del(facts, "task");
        return facts;
    }
    json_decref(facts);
    return NULL;
}

void lesson_of_registration(struct core *core, const char *name, const struct model *model)
{
    AUTO_JSON json_t *facts =
        model ? registration_facts(model) : json_pack("{s:b}", "registered", 0);
    teach(core,
          &(struct subject){.kind = KNOWLEDGE_MODEL,
                            .name = name,
                            .task = model ? text_of(model->card, "pipeline_tag") : NULL,
                            .source = "registration",
                            .unknown_too = model},
          facts);
}
