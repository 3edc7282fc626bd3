/* Admission: a request becomes a filled description, a prediction and a queued job, or a clear
 * refusal. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/json.h"
#include "base/random.h"
#include "base/yaml.h"
#include "core/core_impl.h"
#include "core/images.h"
#include "core/learn.h"
#include "core/models.h"
#include "model/template.h"

/* A request on its way: its key and history are read on the pool, then it is written. */
struct submit {
    struct read_request read;
    struct list link; /* core.submits */
    struct core *core;
    char *key; /* NULL: none */
    char digest[DIGEST_TEXT_MAX];
    struct job job;
    struct error err; /* of admission; it counts only when the key is new */
    core_reply_fn *reply;
    void *arg;
    /* What the pool found. */
    uint64_t known_job;
    char *known_digest;
    struct error read_err;
    struct learn learn;
    /* On the loop: the job that another with the same key made meanwhile. */
    bool is_back;
    uint64_t made_job;
    char made_digest[DIGEST_TEXT_MAX];
};

static void submit_destroy(struct submit *submit)
{
    if (!submit)
        return;
    list_remove(&submit->link);
    job_finish(&submit->job);
    free(submit->known_digest);
    free(submit->key);
    free(submit);
}
DEFINE_CLEANUP(submit, struct submit, submit_destroy)

/* -- filling -- */

/* What is wrong with a request is the request's fault, whatever the part that found it calls it. */
static int as_bad_request(struct error *err)
{
    if (err->errnum == -ENOENT)
        err->errnum = -EINVAL;
    return err->errnum;
}

static uint64_t largest_device_bytes(const struct core *core)
{
    uint64_t largest = 0;
    for (size_t i = 0; i < core->device_count; i++)
        largest = core->devices[i].memory_bytes > largest ? core->devices[i].memory_bytes : largest;
    return largest;
}

/* What only the template asks for is cut down to what this machine has; what the user asks for is
 * not. */
static int cut_defaults(const struct core *core, const json_t *request, json_t *description,
                        struct error *err)
{
    struct job_request filled;
    job_request_init(&filled);
    int r = job_request_decode(description, &filled, err);
    const struct {
        const char *member;
        uint64_t asked, there; /* 0: not known */
    } amounts[] = {
        {"memory", filled.memory_bytes, largest_device_bytes(core)},
        {"ram", filled.ram_bytes, core->node.ram_bytes},
        {"cpus", filled.cpus_milli, core->node.cpus_milli},
    };
    job_request_finish(&filled);
    for (size_t i = 0; r == 0 && i < sizeof(amounts) / sizeof(amounts[0]); i++) {
        if (json_object_get(request, amounts[i].member) || !amounts[i].there ||
            amounts[i].asked <= amounts[i].there)
            continue;
        if (json_object_set_new(description, amounts[i].member,
                                json_integer((json_int_t)amounts[i].there)) < 0)
            r = error_set(err, -ENOMEM, "out-of-memory", "filling the template");
    }
    return r;
}

/* The safe reservation for the model, where nobody said how much memory. */
static int size_by_model(const struct core *core, const json_t *request, json_t *description,
                         struct error *err)
{
    struct models_need need;
    const char *model = json_string_value(json_object_get(request, "model"));
    if (!model)
        return 0;
    int r = models_need(core, model, json_object_get(request, "model_settings"), &need, err);
    if (r < 0 || json_object_get(request, "memory"))
        return r;
    uint64_t bytes =
        need.safe_bytes < JOB_MEMORY_MIN_BYTES ? JOB_MEMORY_MIN_BYTES : need.safe_bytes;
    if (json_object_set_new(description, "memory", json_integer((json_int_t)bytes)) < 0)
        return error_set(err, -ENOMEM, "out-of-memory", "sizing the card");
    return 0;
}

static json_t *describe(struct core *core, const json_t *request, struct error *err)
{
    const struct template_place place = {.image_is_ready = images_ready, .context = core};
    const char *library = json_string_value(json_object_get(request, "library"));
    const char *type = json_string_value(json_object_get(request, "type"));
    struct job_request checked;
    if (!core->templates) {
        error_set(err, -EIO, "no-templates", "no template was read from %s/templates",
                  core->data_dir);
        return NULL;
    }
    job_request_init(&checked);
    /* Wrong types and amounts are told in the request's own words first. */
    int r = job_request_decode(request, &checked, err);
    job_request_finish(&checked);
    if (r < 0)
        return NULL;
    const struct template *template = template_find(core->templates, library, type, err);
    AUTO_JSON json_t *description =
        template ? template_fill(core->templates, template, request, &place, err) : NULL;
    if (!description || cut_defaults(core, request, description, err) < 0 ||
        size_by_model(core, request, description, err) < 0) {
        (void)as_bad_request(err);
        return NULL;
    }
    return json_incref(description);
}

static int check_fits(const struct core *core, const struct job *job, struct error *err)
{
    struct sched_state state;
    struct sched_reason reason = {.never = false};
    if (core->device_count == 0 || place_state_make(core, NULL, 0, &state) < 0)
        return 0; /* judged when it is placed */
    struct sched_job asked = place_job(job);
    sched_explain(&state, &asked, &reason);
    place_state_finish(&state);
    if (!reason.never)
        return 0;
    return error_set(err, -ENOSPC, reason.code, "%s; %s", reason.text, reason.unblocks);
}

static int check_image(struct core *core, const char *name, struct error *err)
{
    struct engine_image image;
    int r = engine_image_find(core->engine, name, &image, err);
    if (r < 0)
        return as_bad_request(err);
    if (image.state == ENGINE_IMAGE_ABSENT || image.state == ENGINE_IMAGE_FAILED)
        return error_set(err, -EINVAL, "image-not-ready",
                         "the image '%s' is not built; build it with: leat image build %s", name,
                         name);
    return 0;
}

static int default_text(char **slot, const char *text)
{
    if (!*slot)
        *slot = strdup(text);
    return *slot ? 0 : -ENOMEM;
}

static int name_default(struct job_request *request)
{
    char name[JOB_NAME_MAX / 2];
    const char *program = job_request_program(request);
    const char *slash = strrchr(program, '/');
    (void)snprintf(name, sizeof(name), "%s", slash && slash[1] ? slash + 1 : program);
    return default_text(&request->name, name[0] ? name : "job");
}

/* From the filled description to a job that only lacks its number. */
static int admit(struct core *core, const json_t *description, struct job *job, struct error *err)
{
    char token[TOKEN_TEXT_MAX];
    int r = job_request_decode(description, &job->request, err);
    if (r == 0)
        r = job_request_check(&job->request, err);
    if (r == 0)
        r = check_image(core, job->request.image, err);
    if (r == 0)
        r = check_fits(core, job, err);
    if (r < 0)
        return r;
    r = random_token(token);
    if (r < 0)
        return error_errno(err, r, "no-token", "making the card's token");
    job->token = strdup(token);
    if (!job->token || name_default(&job->request) < 0 ||
        default_text(&job->request.tenant, "default") < 0)
        return error_set(err, -ENOMEM, "out-of-memory", "taking the request");
    return 0;
}

/* Why the card has the memory it has, and what the formulas say about its model. */
static int basis_set(const struct core *core, const json_t *request, struct job *job)
{
    char text[JOB_NAME_MAX + 64] = "the template's";
    const char *model = job->request.model;
    struct models_need need;
    job->memory_asked = json_object_get(request, "memory");
    if (job->memory_asked)
        (void)snprintf(text, sizeof(text), "as asked");
    else if (model)
        (void)snprintf(text, sizeof(text), "the safe reservation for a run of model %s", model);
    if (model && models_need(core, model, job->request.model_settings, &need, NULL) == 0) {
        job->memory_point_bytes = need.point_bytes;
        job->steps = need.work.steps;
        job->step_kflop = need.work.step_kflop;
    }
    return default_text(&job->memory_basis, text);
}

void core_job_describe(struct core *core, const json_t *request, core_reply_fn *reply, void *arg)
{
    struct error err = {0};
    struct job job;
    AUTO_JSON json_t *description = describe(core, request, &err);
    job_init(&job);
    int r = description ? admit(core, description, &job, &err) : err.errnum;
    job_finish(&job);
    if (r < 0) {
        reply(arg, NULL, &err);
        return;
    }
    AUTO_FREE char *yaml = yaml_text(description);
    core_reply_value(reply, arg,
                     yaml ? json_pack("{s:O, s:s}", "description", description, "yaml", yaml)
                          : NULL);
}

/* -- on the pool -- */

static int check_paths(const struct job_request *request, struct error *err)
{
    struct stat stat_buf;
    if (request->program && stat(request->program, &stat_buf) < 0)
        return error_errno(err, -EINVAL, "program-not-found",
                           "the program '%s' cannot be read (%s)", request->program,
                           strerror(errno));
    if (request->workdir && (stat(request->workdir, &stat_buf) < 0 || !S_ISDIR(stat_buf.st_mode)))
        return error_set(err, -EINVAL, "workdir-not-found", "there is no folder '%s'",
                         request->workdir);
    return 0;
}

static void submit_read(struct store *store, struct read_request *read)
{
    struct submit *submit = LIST_ENTRY(read, struct submit, read);
    const struct job_request *request = &submit->job.request;
    int r = submit->key ? store_idempotency_find(store, submit->key, &submit->known_job,
                                                 &submit->known_digest, &submit->read_err)
                        : 0;
    if (r < 0 || submit->known_job || submit->err.errnum)
        return;
    if (check_paths(request, &submit->err) < 0)
        return;
    (void)learn_read(store, &submit->job, &submit->learn,
                     &submit->read_err); /* it is in read_err */
}

/* -- back on the loop -- */

static void submit_refuse(struct core *core, struct submit *submit, const struct error *err)
{
    core->counters.refusals++;
    submit->reply(submit->arg, NULL, err);
    submit_destroy(submit);
}

static void reply_known(struct core *core, struct submit *submit)
{
    char id[JOB_ID_TEXT_MAX];
    struct error err;
    uint64_t job = submit->known_job ? submit->known_job : submit->made_job;
    if (strcmp(submit->known_job ? submit->known_digest : submit->made_digest, submit->digest) ==
        0) {
        core_job_get(core, job_id_text(job, id), submit->reply, submit->arg);
        submit_destroy(submit);
        return;
    }
    (void)error_set(&err, -EEXIST, "idempotency-conflict",
                    "the key '%s' was used for another request, which made job %llu; use a new key",
                    submit->key, (unsigned long long)job);
    submit_refuse(core, submit, &err);
}

static void follow(struct submit *submit, const struct submit *first)
{
    submit->made_job = first->job.id;
    memcpy(submit->made_digest, first->digest, sizeof(submit->made_digest));
}

/* Others that came with the same key while this one was on its way. Those that are still being read
 * may have looked before it was written, and learn of it when they are back. */
static void reply_followers(struct core *core, struct submit *first, const struct error *err)
{
    LIST_EACH_SAFE (link, after, &core->submits) {
        struct submit *submit = LIST_ENTRY(link, struct submit, link);
        if (!submit->key || !first->key || submit == first || strcmp(submit->key, first->key) != 0)
            continue;
        if (!submit->is_back && !err)
            follow(submit, first);
        else if (submit->made_job == first->job.id && err)
            submit_refuse(core, submit, err);
        else if (submit->made_job == first->job.id)
            reply_known(core, submit);
    }
}

static void submit_committed(struct core *core, void *arg, const struct error *err)
{
    struct submit *submit = arg;
    struct live_job *live = core_find(core, submit->job.id);
    if (err) {
        commit_drop_job(core, submit->job.id);
        core_forget(core, live);
        reply_followers(core, submit, err);
        submit_refuse(core, submit, err);
        return;
    }
    reply_followers(core, submit, NULL);
    core_reply_value(submit->reply, submit->arg, live ? job_encode(&live->job) : NULL);
    submit_destroy(submit);
}

static void submit_write(struct core *core, struct submit *submit)
{
    struct job *job = &submit->job;
    char directory[PATH_MAX + JOB_ID_TEXT_MAX + 8];
    struct error err;
    uint64_t id = core->next_job++;
    job->id = id;
    job->state = JOB_QUEUED;
    job->created_us = clock_realtime_us();
    (void)snprintf(directory, sizeof(directory), "%s/jobs/%llu", core->state_dir,
                   (unsigned long long)id);
    job->directory = strdup(directory);
    int learnt = learn_apply(&submit->learn, job);
    if (learnt == 0 && check_fits(core, job, &err) < 0) {
        submit_refuse(core, submit, &err);
        return;
    }
    struct live_job *live = NULL;
    if (job->directory && learnt == 0 &&
        job_reason_set(job, "queued", "it waits to be placed") == 0)
        live = core_adopt(core, job);
    submit->job.id = id; /* the content has moved on */
    if (!live ||
        (submit->key && store_batch_idempotency(commit_batch(core), submit->key, submit->digest, id,
                                                live->job.created_us) < 0)) {
        (void)error_set(&err, -ENOMEM, "out-of-memory", "taking the request");
        core_forget(core, live);
        submit_refuse(core, submit, &err);
        return;
    }
    core->counters.submits++;
    struct store_event event = commit_event(core, "job.submitted", id);
    event.to = JOB_QUEUED;
    commit_job(core, live, &event);
    if (commit_then(core, submit_committed, submit) < 0) {
        (void)error_set(&err, -ENOMEM, "out-of-memory", "taking the request");
        submit_committed(core, submit, &err);
    }
}

/* The one with the same key that is being written, or NULL. */
static struct submit *earlier(struct core *core, const struct submit *submit)
{
    LIST_EACH (link, &core->submits) {
        struct submit *other = LIST_ENTRY(link, struct submit, link);
        if (other != submit && submit->key && other->key && other->job.id &&
            strcmp(other->key, submit->key) == 0)
            return other;
    }
    return NULL;
}

static void submit_read_done(struct core *core, struct read_request *read)
{
    struct submit *submit = LIST_ENTRY(read, struct submit, read);
    struct submit *first = earlier(core, submit);
    submit->is_back = true;
    if (core->stopping)
        (void)error_set(&submit->read_err, -ECANCELED, "stopping", "leatd is stopping; ask again");
    if (submit->read_err.errnum) {
        submit_refuse(core, submit, &submit->read_err);
    } else if (submit->known_job || submit->made_job) {
        reply_known(core, submit);
    } else if (first) {
        follow(submit, first);
    } else if (submit->err.errnum) {
        submit_refuse(core, submit, &submit->err);
    } else {
        submit_write(core, submit);
    }
}

/* Of the request with sorted members. */
static int digest_make(const json_t *request, char ret_text[DIGEST_TEXT_MAX])
{
    AUTO_FREE char *text = json_dumps(request, JSON_COMPACT | JSON_SORT_KEYS);
    struct digest digest;
    if (!text)
        return -ENOMEM;
    digest_init(&digest);
    digest_add(&digest, text, strlen(text));
    (void)digest_text(&digest, ret_text);
    return 0;
}

static int check_open(const struct core *core, const char *key, struct error *err)
{
    size_t length = key ? strlen(key) : 1;
    if (core->stopping)
        return error_set(err, -EAGAIN, "stopping", "leatd is stopping; ask again");
    if (core->queue_count >= CORE_QUEUE_MAX)
        return error_set(err, -EAGAIN, "queue-full", "%d jobs wait already; ask again later",
                         CORE_QUEUE_MAX);
    if (length < 1 || length > STORE_IDEMPOTENCY_MAX)
        return error_set(err, -EINVAL, "bad-idempotency-key", "a key has 1 to %d bytes",
                         STORE_IDEMPOTENCY_MAX);
    return 0;
}

void core_job_submit(struct core *core, const json_t *request, const char *key,
                     core_reply_fn *reply, void *arg)
{
    struct error err = {0};
    CLEANUP(cleanup_submit) struct submit *submit = calloc(1, sizeof(*submit));
    if (!submit) {
        core_reply_value(reply, arg, NULL);
        return;
    }
    list_init(&submit->link);
    job_init(&submit->job);
    submit->core = core;
    submit->reply = reply;
    submit->arg = arg;
    int r = check_open(core, key, &err);
    if (r == 0 &&
        ((key && !(submit->key = strdup(key))) || digest_make(request, submit->digest) < 0))
        r = error_set(&err, -ENOMEM, "out-of-memory", "taking the request");
    if (r < 0) {
        core->counters.refusals++;
        reply(arg, NULL, &err);
        return;
    }
    AUTO_JSON json_t *description = describe(core, request, &submit->err);
    if (description && admit(core, description, &submit->job, &submit->err) == 0 &&
        basis_set(core, request, &submit->job) < 0)
        (void)error_set(&submit->err, -ENOMEM, "out-of-memory", "taking the request");
    learn_begin(core, &submit->job.request, &submit->learn);
    submit->read.work = submit_read;
    submit->read.done = submit_read_done;
    list_append(&core->submits, &submit->link);
    reads_add(core, &submit->read);
    (void)TAKE(submit);
}
