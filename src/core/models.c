/* Registered models: what REST asks of them, and how large a card a run of one needs. All of them
 * are kept in memory beside the store. */
#include "core/models.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/map.h"
#include "core/core_impl.h"
#include "core/lesson.h"
#include "estimate/memory.h"
#include "model/model.h"

#define MODELS_MAX 10000

static void model_destroy(struct model *model)
{
    if (model)
        model_finish(model);
    free(model);
}
DEFINE_CLEANUP(model, struct model, model_destroy)

int models_create(struct core *core)
{
    core->models = map_create();
    return core->models ? 0 : -ENOMEM;
}

void models_destroy(struct core *core)
{
    size_t cursor = 0;
    struct model *model;
    while (core->models && (model = map_next(core->models, &cursor, NULL)))
        model_destroy(model);
    map_destroy(core->models);
    core->models = NULL;
}

/* Takes the model over. */
static int models_put(struct core *core, struct model *model)
{
    void *old = NULL;
    if (map_put(core->models, model->name, model, &old) < 0)
        return -ENOMEM;
    model_destroy(old);
    return 0;
}

static int model_take(void *arg, const struct model *stored)
{
    struct core *core = arg;
    AUTO_JSON json_t *record = model_record_encode(stored);
    CLEANUP(cleanup_model) struct model *model = calloc(1, sizeof(*model));
    int r = record && model ? model_record_decode(record, model, NULL) : -ENOMEM;
    if (r == 0)
        r = models_put(core, model);
    if (r == 0)
        (void)TAKE(model);
    return r;
}

int models_load(struct core *core, struct error *err)
{
    return store_models(core->store, model_take, core, err);
}

static int run_estimate(const struct core *core, const json_t *run,
                        struct memory_estimate *ret_estimate, struct memory_request *request,
                        struct error *err)
{
    if (!core->profiles)
        return error_set(err, -EIO, "no-profiles",
                         "no profile was read from %s/estimate/profiles.yaml", core->data_dir);
    int r = memory_request_decode(run, request, err);
    request->allocated_only = true; /* a card is not charged with the driver's own memory */
    return r < 0 ? r : memory_estimate(request, core->profiles, ret_estimate, err);
}

int models_need(const struct core *core, const char *name, const json_t *settings,
                struct models_need *ret_need, struct error *err)
{
    struct memory_estimate estimate;
    const struct model *model = map_get(core->models, name);
    struct memory_request request;
    if (!model)
        return error_set(err, -EINVAL, "unknown-model",
                         "there is no model '%.64s'; register it with: leat model register", name);
    AUTO_JSON json_t *run = json_copy(model->run);
    if (!run || (settings && json_object_update(run, (json_t *)(uintptr_t)settings) < 0))
        return error_set(err, -ENOMEM, "out-of-memory", "sizing a card");
    memory_request_init(&request);
    int r = run_estimate(core, run, &estimate, &request, err);
    if (r == 0)
        *ret_need = (struct models_need){
            .point_bytes = estimate.point_bytes,
            .safe_bytes = estimate.safe_bytes,
            .work = estimate_work_of(&request),
        };
    memory_request_finish(&request);
    return r < 0 ? error_context(err, "model %.64s", name) : 0;
}

/* What the run says of itself: the rest of the record. */
static int model_measure(const struct core *core, struct model *model, struct error *err)
{
    struct memory_request request;
    struct memory_estimate estimate;
    memory_request_init(&request);
    int r = run_estimate(core, model->run, &estimate, &request, err);
    if (r == 0) {
        model->params = estimate.params;
        model->trainable_params = estimate.trainable_params;
        model->point_bytes = estimate.point_bytes;
        model->safe_bytes = estimate.safe_bytes;
        model->dtype = request.weights;
        request.weights = NULL; /* it has moved on */
    }
    memory_request_finish(&request);
    return r;
}

void core_models(struct core *core, const char *name, core_reply_fn *reply, void *arg)
{
    struct error err;
    const struct model *model = name ? map_get(core->models, name) : NULL;
    if (name && !model) {
        (void)error_set(&err, -ENOENT, "unknown-model", "there is no model '%.64s'", name);
        reply(arg, NULL, &err);
        return;
    }
    if (name) {
        core_reply_value(reply, arg, model_encode(model));
        return;
    }
    AUTO_JSON json_t *list = json_array();
    size_t cursor = 0;
    bool good = list;
    while (good && (model = map_next(core->models, &cursor, NULL)))
        good = json_array_append_new(list, model_encode(model)) == 0;
    core_reply_value(reply, arg, good ? json_pack("{s:O}", "models", list) : NULL);
}

static void note(struct core *core, const char *kind, const char *name)
{
    struct store_event event = commit_event(core, kind, 0);
    AUTO_JSON json_t *data = json_pack("{s:s}", "name", name);
    event.data = data;
    commit_note(core, &event);
}

void core_model_set(struct core *core, const char *name, const json_t *request,
                    core_reply_fn *reply, void *arg)
{
    struct error err = {0};
    CLEANUP(cleanup_model) struct model *model = calloc(1, sizeof(*model));
    int r = model ? model_decode(name, request, model, &err)
                  : error_set(&err, -ENOMEM, "out-of-memory", "registering a model");
    if (r == 0)
        r = model_measure(core, model, &err);
    if (r == 0 && map_count(core->models) >= MODELS_MAX && !map_get(core->models, name))
        r = error_set(&err, -ENOSPC, "too-many-models",
                      "%d models are registered already; remove one with: leat model rm",
                      MODELS_MAX);
    if (r == 0) {
        model->registered_us = clock_realtime_us();
        if (store_batch_model(commit_batch(core), model) < 0 || models_put(core, model) < 0)
            r = error_set(&err, -ENOMEM, "out-of-memory", "registering a model");
    }
    if (r < 0) {
        reply(arg, NULL, &err);
        return;
    }
    const struct model *put = TAKE(model);
    note(core, "model.registered", put->name);
    lesson_of_registration(core, put->name, put);
    commit_reply(core, model_encode(put), reply, arg);
}

void core_model_remove(struct core *core, const char *name, core_reply_fn *reply, void *arg)
{
    struct error err = {0};
    if (!map_get(core->models, name)) {
        (void)error_set(&err, -ENOENT, "unknown-model", "there is no model '%.64s'", name);
        reply(arg, NULL, &err);
        return;
    }
    if (store_batch_model_remove(commit_batch(core), name) < 0) {
        core_reply_value(reply, arg, NULL);
        return;
    }
    model_destroy(map_remove(core->models, name));
    note(core, "model.removed", name);
    lesson_of_registration(core, name, NULL);
    commit_reply(core, NULL, reply, arg);
}
