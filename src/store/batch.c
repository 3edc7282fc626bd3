/* Batches: writes collected as statement and values, without touching the database. */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "store/store_impl.h"

const char *const store_write_sql[STORE_WRITE_COUNT] = {
    [STORE_WRITE_JOB] = "INSERT OR REPLACE INTO job (id, state, ended, record) VALUES (?,?,?,?)",
    [STORE_WRITE_JOB_REMOVE] = "DELETE FROM job WHERE id = ?",
    [STORE_WRITE_EVENT] = "INSERT INTO event (seq, time_us, kind, job, from_state, to_state, data) "
                          "VALUES (?,?,?,nullif(?,0),nullif(?,''),nullif(?,''),nullif(?,''))",
    [STORE_WRITE_IDEMPOTENCY] =
        "INSERT OR REPLACE INTO idempotency (key, digest, job, time_us) VALUES (?,?,?,?)",
    [STORE_WRITE_MEASUREMENT] =
        "INSERT OR REPLACE INTO measurement (job, library, type, program, program_bytes, "
        "data_bytes, "
        "wall_ms, device_time_ns, share_permille, memory_peak_bytes, family, model, device, "
        "memory_point_bytes, steps, step_kflop) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    [STORE_WRITE_TENANT] = "INSERT OR REPLACE INTO tenant (name, parent, reserved_milli, "
                           "limit_milli, weight) VALUES (?,?,?,?,?)",
    [STORE_WRITE_TENANT_REMOVE] = "DELETE FROM tenant WHERE name = ?",
    [STORE_WRITE_DEVICE] =
        "INSERT OR REPLACE INTO device (id, pool, healthy, weight) VALUES (?,?,?,?)",
    [STORE_WRITE_MODEL] = "INSERT OR REPLACE INTO model (name, params, trainable_params, dtype, "
                          "licence, registered_us, record) VALUES (?,?,?,?,?,?,?)",
    [STORE_WRITE_MODEL_REMOVE] = "DELETE FROM model WHERE name = ?",
    /* Its number stays; triggers keep the indexes of words and attributes. */
    [STORE_WRITE_KNOWLEDGE] =
        "INSERT INTO knowledge (kind, name, task, model, text, source, updated_us, attributes) "
        "VALUES (?,?,nullif(?,''),nullif(?,''),nullif(?,''),?,?,?) ON CONFLICT (kind, name) DO "
        "UPDATE SET task = excluded.task, model = excluded.model, text = excluded.text, source = "
        "excluded.source, updated_us = excluded.updated_us, attributes = excluded.attributes",
    [STORE_WRITE_KNOWLEDGE_REMOVE] = "DELETE FROM knowledge WHERE id = ?",
    [STORE_WRITE_LESSON] = "INSERT INTO lesson (id, record) VALUES (?,?)",
    [STORE_WRITE_LESSON_REMOVE] = "DELETE FROM lesson WHERE id = ?",
};

struct store_batch *store_batch_create(void)
{
    struct store_batch *batch = calloc(1, sizeof(*batch));
    if (batch)
        list_init(&batch->ops);
    return batch;
}

static void op_destroy(struct store_op *op)
{
    for (size_t i = 0; op && i < op->count; i++)
        free(op->values[i].text);
    free(op);
}
DEFINE_CLEANUP(op, struct store_op, op_destroy)

void store_batch_destroy(struct store_batch *batch)
{
    if (!batch)
        return;
    LIST_EACH_SAFE (link, after, &batch->ops) {
        op_destroy(LIST_ENTRY(link, struct store_op, link));
    }
    free(batch);
}

size_t store_batch_count(const struct store_batch *batch)
{
    return batch->count;
}

/* A value to copy: a text, or without one the number. */
struct value_given {
    const char *text;
    uint64_t number;
};

static int batch_add(struct store_batch *batch, enum store_write write, uint64_t job,
                     const struct value_given *given, size_t count)
{
    CLEANUP(cleanup_op) struct store_op *op = calloc(1, sizeof(*op));
    if (!op)
        return -ENOMEM;
    op->write = write;
    op->job = job;
    for (; op->count < count; op->count++) {
        struct store_value *value = &op->values[op->count];
        value->number = (int64_t)given[op->count].number;
        if (given[op->count].text && !(value->text = strdup(given[op->count].text)))
            return -ENOMEM;
    }
    list_append(&batch->ops, &op->link);
    batch->count++;
    (void)TAKE(op);
    return 0;
}

#define BATCH_ADD(batch, write, job, ...) \
    batch_add(batch, write, job, (const struct value_given[]){__VA_ARGS__}, \
              sizeof((const struct value_given[]){__VA_ARGS__}) / sizeof(struct value_given))

static const char *state_text(enum job_state state)
{
    return state == JOB_STATE_INVALID ? "" : job_state_name(state);
}

int store_batch_event(struct store_batch *batch, const struct store_event *event)
{
    AUTO_FREE char *data = event->data ? json_text(event->data) : strdup("");
    if (!data)
        return -ENOMEM;
    return BATCH_ADD(batch, STORE_WRITE_EVENT, event->job, {.number = event->seq},
                     {.number = event->time_us}, {.text = event->kind}, {.number = event->job},
                     {.text = state_text(event->from)}, {.text = state_text(event->to)},
                     {.text = data});
}

/* Take the newest op out again. */
static void batch_undo(struct store_batch *batch)
{
    struct store_op *op = LIST_ENTRY(batch->ops.prev, struct store_op, link);
    list_remove(&op->link);
    op_destroy(op);
    batch->count--;
}

static int batch_add_event(struct store_batch *batch, const struct store_event *event)
{
    int r = event ? store_batch_event(batch, event) : 0;
    if (r < 0)
        batch_undo(batch);
    return r;
}

int store_batch_job(struct store_batch *batch, const struct job *job,
                    const struct store_event *event)
{
    AUTO_JSON json_t *record = job_record_encode(job);
    AUTO_FREE char *text = record ? json_text(record) : NULL;
    if (!text)
        return -ENOMEM;
    int r = BATCH_ADD(batch, STORE_WRITE_JOB, job->id, {.number = job->id},
                      {.text = job_state_name(job->state)}, {.number = job_state_ended(job->state)},
                      {.text = text});
    return r < 0 ? r : batch_add_event(batch, event);
}

int store_batch_job_remove(struct store_batch *batch, uint64_t job, const struct store_event *event)
{
    int r = BATCH_ADD(batch, STORE_WRITE_JOB_REMOVE, job, {.number = job});
    return r < 0 ? r : batch_add_event(batch, event);
}

int store_batch_idempotency(struct store_batch *batch, const char *key, const char *digest,
                            uint64_t job, uint64_t time_us)
{
    return BATCH_ADD(batch, STORE_WRITE_IDEMPOTENCY, job, {.text = key}, {.text = digest},
                     {.number = job}, {.number = time_us});
}

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

int store_batch_measurement(struct store_batch *batch, const struct job *job, const char *device)
{
    uint64_t wall_us = job->ended_us > job->started_us ? job->ended_us - job->started_us : 0;
    return BATCH_ADD(
        batch, STORE_WRITE_MEASUREMENT, job->id, {.number = job->id},
        {.text = or_empty(job->request.library)}, {.text = or_empty(job->request.type)},
        {.text = job_request_program(&job->request)}, {.number = job->program_bytes},
        {.number = job->data_bytes}, {.number = wall_us / 1000},
        {.number = job->usage.device_time_ns}, {.number = job_share_had(job)},
        {.number = job->usage.memory_peak_bytes}, {.text = or_empty(job->family)},
        {.text = or_empty(job->request.model)}, {.text = or_empty(device)},
        {.number = job->memory_point_bytes}, {.number = job->steps}, {.number = job->step_kflop});
}

int store_batch_tenant(struct store_batch *batch, const struct tenant *tenant)
{
    return BATCH_ADD(batch, STORE_WRITE_TENANT, 0, {.text = tenant->name}, {.text = tenant->parent},
                     {.number = tenant->reserved_milli}, {.number = tenant->limit_milli},
                     {.number = tenant->weight});
}

int store_batch_device(struct store_batch *batch, const struct device_rule *rule)
{
    return BATCH_ADD(batch, STORE_WRITE_DEVICE, 0, {.text = rule->id}, {.text = rule->pool},
                     {.number = rule->healthy}, {.number = rule->weight});
}

int store_batch_tenant_remove(struct store_batch *batch, const char *name)
{
    return BATCH_ADD(batch, STORE_WRITE_TENANT_REMOVE, 0, {.text = name});
}

int store_batch_model(struct store_batch *batch, const struct model *model)
{
    AUTO_JSON json_t *record = model_record_encode(model);
    AUTO_FREE char *text = record ? json_text(record) : NULL;
    if (!text)
        return -ENOMEM;
    return BATCH_ADD(batch, STORE_WRITE_MODEL, 0, {.text = model->name}, {.number = model->params},
                     {.number = model->trainable_params}, {.text = or_empty(model->dtype)},
                     {.text = or_empty(model->licence)}, {.number = model->registered_us},
                     {.text = text});
}

int store_batch_model_remove(struct store_batch *batch, const char *name)
{
    return BATCH_ADD(batch, STORE_WRITE_MODEL_REMOVE, 0, {.text = name});
}

int store_batch_knowledge(struct store_batch *batch, const struct knowledge *entry)
{
    AUTO_FREE char *attributes = json_text(entry->attributes);
    if (!attributes)
        return -ENOMEM;
    return BATCH_ADD(batch, STORE_WRITE_KNOWLEDGE, 0, {.text = knowledge_kind_name(entry->kind)},
                     {.text = entry->name}, {.text = or_empty(entry->task)},
                     {.text = or_empty(entry->model)}, {.text = or_empty(entry->text)},
                     {.text = entry->source}, {.number = entry->updated_us}, {.text = attributes});
}

int store_batch_knowledge_remove(struct store_batch *batch, uint64_t id)
{
    return BATCH_ADD(batch, STORE_WRITE_KNOWLEDGE_REMOVE, 0, {.number = id});
}

int store_batch_lesson(struct store_batch *batch, uint64_t id, const json_t *record)
{
    AUTO_FREE char *text = json_text(record);
    if (!text)
        return -ENOMEM;
    return BATCH_ADD(batch, STORE_WRITE_LESSON, 0, {.number = id}, {.text = text});
}

int store_batch_lesson_remove(struct store_batch *batch, uint64_t id)
{
    return BATCH_ADD(batch, STORE_WRITE_LESSON_REMOVE, 0, {.number = id});
}

void store_batch_join(struct store_batch *to, struct store_batch *from)
{
    LIST_EACH_SAFE (link, after, &from->ops) {
        list_remove(link);
        list_append(&to->ops, link);
    }
    to->count += from->count;
    from->count = 0;
}

void store_batch_drop_job(struct store_batch *batch, uint64_t job)
{
    LIST_EACH_SAFE (link, after, &batch->ops) {
        struct store_op *op = LIST_ENTRY(link, struct store_op, link);
        if (op->job != job)
            continue;
        list_remove(link);
        op_destroy(op);
        batch->count--;
    }
}
