/* Jobs: states, records, what REST shows. See job.h. */
#include "model/job.h"

#include <errno.h>
#include <inttypes.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/units.h"
#include "model/fields.h"

#define BIT(state) (1u << (state))

/* A job's life. `after` has a bit for every state that may follow. */
static const struct {
    const char *name;
    unsigned after;
} job_states[JOB_STATE_COUNT] = {
    [JOB_STATE_INVALID] = {"invalid", BIT(JOB_QUEUED)},
    [JOB_QUEUED] = {"queued",
                    BIT(JOB_STARTING) | BIT(JOB_RUNNING) | BIT(JOB_FAILED) | BIT(JOB_STOPPED)},
    [JOB_STARTING] = {"starting", BIT(JOB_QUEUED) | BIT(JOB_RUNNING) | BIT(JOB_STOPPING) |
                                      BIT(JOB_SUCCEEDED) | BIT(JOB_FAILED) | BIT(JOB_STOPPED)},
    [JOB_RUNNING] = {"running", BIT(JOB_QUEUED) | BIT(JOB_IDLE) | BIT(JOB_STOPPING) |
                                    BIT(JOB_SUCCEEDED) | BIT(JOB_FAILED) | BIT(JOB_STOPPED)},
    [JOB_IDLE] = {"idle", BIT(JOB_QUEUED) | BIT(JOB_RUNNING) | BIT(JOB_STOPPING) |
                              BIT(JOB_SUCCEEDED) | BIT(JOB_FAILED) | BIT(JOB_STOPPED)},
    [JOB_STOPPING] = {"stopping",
                      BIT(JOB_QUEUED) | BIT(JOB_SUCCEEDED) | BIT(JOB_FAILED) | BIT(JOB_STOPPED)},
    [JOB_SUCCEEDED] = {"succeeded", 0},
    [JOB_FAILED] = {"failed", 0},
    [JOB_STOPPED] = {"stopped", 0},
};

const char *job_state_name(enum job_state state)
{
    return job_states[state].name;
}

enum job_state job_state_parse(const char *name)
{
    for (enum job_state state = JOB_QUEUED; state < JOB_STATE_COUNT; state++) {
        if (strcmp(job_states[state].name, name) == 0)
            return state;
    }
    return JOB_STATE_INVALID;
}

bool job_state_ended(enum job_state state)
{
    return state != JOB_STATE_INVALID && job_states[state].after == 0;
}

bool job_state_may_follow(enum job_state from, enum job_state to)
{
    return job_states[from].after & BIT(to);
}

static const char *const network_names[] = {"invalid", "none", "host", "outbound"};

enum job_network job_network_parse(const char *name)
{
    for (enum job_network network = JOB_NETWORK_NONE; network <= JOB_NETWORK_OUTBOUND; network++) {
        if (strcmp(network_names[network], name) == 0)
            return network;
    }
    return JOB_NETWORK_INVALID;
}

void job_init(struct job *job)
{
    *job = (struct job){0};
    job_request_init(&job->request);
}

void job_finish(struct job *job)
{
    job_request_finish(&job->request);
    free(job->code);
    free(job->text);
    free(job->memory_basis);
    free(job->family);
    free(job->device);
    free(job->token);
    free(job->directory);
    json_decref(job->placement);
    free(job->pre_stop_outcome);
    free(job->prediction.basis);
    job_init(job);
}

const char *job_id_text(uint64_t id, char text[JOB_ID_TEXT_MAX])
{
    (void)snprintf(text, JOB_ID_TEXT_MAX, "%" PRIu64, id);
    return text;
}

uint64_t job_lost_us(const struct job *job, uint64_t now_us)
{
    uint64_t since_us = job->checkpoint_us > job->started_us ? job->checkpoint_us : job->started_us;
    return job->started_us && now_us > since_us ? now_us - since_us : 0;
}

uint32_t job_share_had(const struct job *job)
{
    uint32_t asked = job->request.share_permille, measured = job->usage.share_measured_permille;
    return job->request.burst && measured > asked ? measured : asked;
}

int job_id_parse(const char *text, uint64_t *ret_id, struct error *err)
{
    uint64_t id;
    if (u64_parse(text, &id, NULL) < 0 || id == 0 || id > INT64_MAX)
        return error_set(err, -EINVAL, "bad-job-id", "'%.32s' is not the number of a job", text);
    *ret_id = id;
    return 0;
}

int job_reason_set(struct job *job, const char *code, const char *text)
{
    char *code_copy = strdup(code), *text_copy = strdup(text);
    if (!code_copy || !text_copy) {
        free(code_copy);
        free(text_copy);
        return -ENOMEM;
    }
    free(job->code);
    free(job->text);
    job->code = code_copy;
    job->text = text_copy;
    return 0;
}

#define FIELDS_END \
    { \
        NULL, JSON_KIND_INVALID, 0, JSON_OPTIONAL \
    }
#define JOB(name, kind, member) \
    { \
        name, kind, offsetof(struct job, member), JSON_OPTIONAL \
    }
#define USAGE(member, kind) \
    { \
#member, kind, offsetof(struct job_usage, member), JSON_OPTIONAL \
    }
#define PREDICTION(member, kind) \
    { \
#member, kind, offsetof(struct job_prediction, member), JSON_OPTIONAL \
    }

static const struct json_field usage_fields[] = {
    USAGE(memory_used_bytes, JSON_KIND_U64),
    USAGE(memory_peak_bytes, JSON_KIND_U64),
    USAGE(memory_wanted_bytes, JSON_KIND_U64),
    USAGE(device_time_ns, JSON_KIND_U64),
    USAGE(throttled_ns, JSON_KIND_U64),
    USAGE(calls_local, JSON_KIND_U64),
    USAGE(calls_posted, JSON_KIND_U64),
    USAGE(calls_waited, JSON_KIND_U64),
    USAGE(records, JSON_KIND_U64),
    USAGE(commands, JSON_KIND_U64),
    USAGE(refusals, JSON_KIND_U64),
    USAGE(bytes_to_device, JSON_KIND_U64),
    USAGE(bytes_from_device, JSON_KIND_U64),
    USAGE(carried_to_device_bytes, JSON_KIND_U64),
    USAGE(carried_from_device_bytes, JSON_KIND_U64),
    USAGE(line_to_device_bytes, JSON_KIND_U64),
    USAGE(line_from_device_bytes, JSON_KIND_U64),
    USAGE(wait_ns, JSON_KIND_U64),
    USAGE(queue_depth, JSON_KIND_U64),
    USAGE(builds, JSON_KIND_U64),
    USAGE(build_hits, JSON_KIND_U64),
    USAGE(idle_ms, JSON_KIND_U64),
    USAGE(idle_total_ms, JSON_KIND_U64),
    USAGE(share_granted_permille, JSON_KIND_U32),
    USAGE(share_measured_permille, JSON_KIND_U32),
    USAGE(released_permille, JSON_KIND_U32),
    USAGE(times_idle, JSON_KIND_U32),
    FIELDS_END,
};

static const struct json_field prediction_fields[] = {
    PREDICTION(duration_ms, JSON_KIND_U64),      PREDICTION(duration_low_ms, JSON_KIND_U64),
    PREDICTION(duration_high_ms, JSON_KIND_U64), PREDICTION(device_time_ns, JSON_KIND_U64),
    PREDICTION(remaining_ms, JSON_KIND_U64),     PREDICTION(memory_bytes, JSON_KIND_U64),
    PREDICTION(share_permille, JSON_KIND_U32),   PREDICTION(runs, JSON_KIND_U32),
    PREDICTION(basis, JSON_KIND_TEXT),           FIELDS_END,
};

/* What REST and the record have in common. */
static const struct json_field shown_fields[] = {
    JOB("name", JSON_KIND_TEXT, request.name),
    JOB("tenant", JSON_KIND_TEXT, request.tenant),
    JOB("library", JSON_KIND_TEXT, request.library),
    JOB("type", JSON_KIND_TEXT, request.type),
    JOB("image", JSON_KIND_TEXT, request.image),
    JOB("code", JSON_KIND_TEXT, code),
    JOB("text", JSON_KIND_TEXT, text),
    JOB("command", JSON_KIND_TEXTS, request.command),
    JOB("program", JSON_KIND_TEXT, request.program),
    JOB("memory_bytes", JSON_KIND_U64, request.memory_bytes),
    JOB("memory_basis", JSON_KIND_TEXT, memory_basis),
    JOB("model", JSON_KIND_TEXT, request.model),
    JOB("memory_restarts", JSON_KIND_U32, memory_restarts),
    JOB("requeues", JSON_KIND_U32, requeues),
    JOB("requeue", JSON_KIND_BOOL, request.requeue),
    JOB("share_permille", JSON_KIND_U32, request.share_permille),
    JOB("burst", JSON_KIND_BOOL, request.burst),
    JOB("device", JSON_KIND_TEXT, device),
    JOB("network", JSON_KIND_TEXT, request.network_name),
    JOB("cpus_milli", JSON_KIND_U32, request.cpus_milli),
    JOB("ram_bytes", JSON_KIND_U64, request.ram_bytes),
    JOB("idle_after_ms", JSON_KIND_U64, request.idle_after_ms),
    JOB("idle", JSON_KIND_TEXT, request.idle_name),
    JOB("priority", JSON_KIND_U32, request.priority),
    JOB("interface", JSON_KIND_TEXT, request.interface_name),
    JOB("vendor", JSON_KIND_TEXT, request.vendor),
    JOB("device_model", JSON_KIND_TEXT, request.device_model),
    JOB("gang", JSON_KIND_TEXT, request.gang),
    JOB("expect_ms", JSON_KIND_U64, request.expect_ms),
    JOB("notice_signal", JSON_KIND_TEXT, request.signal_name),
    JOB("pre_stop", JSON_KIND_TEXTS, request.pre_stop),
    JOB("pre_stop_outcome", JSON_KIND_TEXT, pre_stop_outcome),
    JOB("oom", JSON_KIND_BOOL, oom),
    JOB("directory", JSON_KIND_TEXT, directory),
    FIELDS_END,
};

/* The rest of the record; the request is a member of its own. */
static const struct json_field record_fields[] = {
    JOB("id", JSON_KIND_U64, id),
    JOB("code", JSON_KIND_TEXT, code),
    JOB("text", JSON_KIND_TEXT, text),
    JOB("memory_basis", JSON_KIND_TEXT, memory_basis),
    JOB("device", JSON_KIND_TEXT, device),
    JOB("token", JSON_KIND_TEXT, token),
    JOB("created_us", JSON_KIND_U64, created_us),
    JOB("started_us", JSON_KIND_U64, started_us),
    JOB("ended_us", JSON_KIND_U64, ended_us),
    JOB("changed_us", JSON_KIND_U64, changed_us),
    JOB("has_exit", JSON_KIND_BOOL, has_exit),
    JOB("exit_status", JSON_KIND_U32, exit_status),
    JOB("signal", JSON_KIND_U32, signal),
    JOB("oom", JSON_KIND_BOOL, oom),
    JOB("stop_asked", JSON_KIND_BOOL, stop_asked),
    JOB("has_used", JSON_KIND_BOOL, has_used),
    JOB("paid_since_us", JSON_KIND_U64, paid_since_us),
    JOB("loan_due_us", JSON_KIND_U64, loan_due_us),
    JOB("preempt_for", JSON_KIND_U64, preempt_for),
    JOB("preempt_due_us", JSON_KIND_U64, preempt_due_us),
    JOB("told_us", JSON_KIND_U64, told_us),
    JOB("checkpoint_us", JSON_KIND_U64, checkpoint_us),
    JOB("pre_stop_outcome", JSON_KIND_TEXT, pre_stop_outcome),
    JOB("mustered", JSON_KIND_BOOL, mustered),
    JOB("placement", JSON_KIND_VALUE, placement),
    JOB("starts", JSON_KIND_U32, starts),
    JOB("directory", JSON_KIND_TEXT, directory),
    JOB("program_bytes", JSON_KIND_U64, program_bytes),
    JOB("data_bytes", JSON_KIND_U64, data_bytes),
    JOB("family", JSON_KIND_TEXT, family),
    JOB("memory_point_bytes", JSON_KIND_U64, memory_point_bytes),
    JOB("steps", JSON_KIND_U64, steps),
    JOB("step_kflop", JSON_KIND_U64, step_kflop),
    JOB("memory_asked", JSON_KIND_BOOL, memory_asked),
    JOB("restarting", JSON_KIND_BOOL, restarting),
    JOB("memory_restarts", JSON_KIND_U32, memory_restarts),
    JOB("requeues", JSON_KIND_U32, requeues),
    FIELDS_END,
};

static int put_time(json_t *object, const char *name, uint64_t time_us)
{
    char text[TIME_TEXT_MAX];
    return fields_put(object, name, time_us ? json_string(time_text(time_us, text)) : json_null());
}

json_t *job_encode(const struct job *job)
{
    char id[JOB_ID_TEXT_MAX];
    bool exited = job->has_exit && !job->signal;
    AUTO_JSON json_t *object = fields_encode(shown_fields, job);
    if (fields_put(object, "id", json_string(job_id_text(job->id, id))) < 0 ||
        fields_put(object, "state", json_string(job_state_name(job->state))) < 0 ||
        put_time(object, "created", job->created_us) < 0 ||
        put_time(object, "started", job->started_us) < 0 ||
        put_time(object, "ended", job->ended_us) < 0 ||
        put_time(object, "checkpointed", job->checkpoint_us) < 0 ||
        fields_put(object, "exit_status", exited ? json_integer(job->exit_status) : json_null()) <
            0 ||
        fields_put(object, "signal", job->signal ? json_integer(job->signal) : json_null()) < 0 ||
        fields_put(object, "usage", fields_encode(usage_fields, &job->usage)) < 0 ||
        fields_put(object, "prediction", fields_encode(prediction_fields, &job->prediction)) < 0)
        return NULL;
    return json_incref(object);
}

json_t *job_record_encode(const struct job *job)
{
    AUTO_JSON json_t *object = fields_without_null(fields_encode(record_fields, job));
    if (fields_put(object, "state", json_string(job_state_name(job->state))) < 0 ||
        fields_put(object, "request", job_request_encode(&job->request)) < 0 ||
        fields_put(object, "usage", fields_encode(usage_fields, &job->usage)) < 0 ||
        fields_put(object, "prediction", fields_encode(prediction_fields, &job->prediction)) < 0)
        return NULL;
    return json_incref(object);
}

int job_record_decode(const json_t *record, struct job *job, struct error *err)
{
    AUTO_JSON json_t *rest = json_copy((json_t *)(uintptr_t)record);
    const char *state = json_string_value(json_object_get(record, "state"));
    job->state = state ? job_state_parse(state) : JOB_STATE_INVALID;
    if (!rest || job->state == JOB_STATE_INVALID)
        return error_set(err, -EINVAL, "bad-record", "a job's record has no valid state");
    int r = job_request_decode(json_object_get(record, "request"), &job->request, err);
    if (r == 0)
        r = json_decode(json_object_get(record, "usage"), usage_fields, &job->usage, err);
    if (r == 0)
        r = json_decode(json_object_get(record, "prediction"), prediction_fields, &job->prediction,
                        err);
    const char *const taken[] = {"state", "request", "usage", "prediction"};
    for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
        (void)json_object_del(rest, taken[i]); /* decoded above */
    return r < 0 ? r : json_decode(rest, record_fields, job, err);
}
