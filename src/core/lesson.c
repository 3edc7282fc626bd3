/* What there is to learn: see lesson.h. */
#include "core/lesson.h"

#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "core/core_impl.h"
#include "core/learn.h"
#include "core/teach.h"
#include "knowledge/learn.h"
#include "model/model.h"

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

/* What of a text can be a name. NULL: nothing, or no memory. */
static json_t *name_of(const char *text)
{
    char name[KNOWLEDGE_NAME_MAX + 1];
    json_t *value = NULL;
    (void)snprintf(name, sizeof(name), "%s", text ? text : ""); /* cut */
    for (char *c = name; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = ' ';
    }
    for (size_t length = strlen(name); !value && length; length--)
        value = json_stringn(name, length); /* its last character may be cut, too */
    return value;
}

static json_t *about(enum knowledge_kind kind, const char *name, const char *task,
                     const char *model)
{
    return json_pack("{s:s, s:o, s:o*, s:o*}", "kind", knowledge_kind_name(kind), "name",
                     name_of(name), "task", name_of(task), "model", name_of(model));
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
    AUTO_JSON json_t *entries = json_pack("[o, o*]", about(KNOWLEDGE_METRIC, name, task, model),
                                          model ? about(KNOWLEDGE_MODEL, model, task, NULL) : NULL);
    teach(core, "job", false, entries, facts);
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
    const char *task = model ? text_of(model->card, "pipeline_tag") : NULL;
    AUTO_JSON json_t *entries = json_pack("[o]", about(KNOWLEDGE_MODEL, name, task, NULL));
    teach(core, "registration", !model, entries, facts);
}
