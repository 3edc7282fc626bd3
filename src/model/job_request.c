/* What users ask for: decoding, limits, and the way back to JSON. */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/units.h"
#include "model/device.h"
#include "model/fields.h"
#include "model/job.h"

#define CPUS_MAX_MILLI 1000000u
#define TEXT_MAX_BYTES 65536

/* `cpus` is written in two ways, which no kind of the table covers. */
struct request_form {
    struct job_request request;
    json_t *cpus;
};

#define MEMBER(name, kind, member) \
    { \
        name, kind, offsetof(struct job_request, member), JSON_OPTIONAL \
    }

static const struct json_field request_fields[] = {
    MEMBER("name", JSON_KIND_TEXT, name),
    MEMBER("tenant", JSON_KIND_TEXT, tenant),
    MEMBER("library", JSON_KIND_TEXT, library),
    MEMBER("type", JSON_KIND_TEXT, type),
    MEMBER("image", JSON_KIND_TEXT, image),
    MEMBER("program", JSON_KIND_TEXT, program),
    MEMBER("src", JSON_KIND_TEXT, src),
    MEMBER("args", JSON_KIND_TEXTS, args),
    MEMBER("command", JSON_KIND_TEXTS, command),
    MEMBER("env", JSON_KIND_VALUE, env),
    MEMBER("memory", JSON_KIND_BYTES, memory_bytes),
    MEMBER("model", JSON_KIND_TEXT, model),
    MEMBER("model_settings", JSON_KIND_VALUE, model_settings),
    MEMBER("share", JSON_KIND_SHARE, share_permille),
    MEMBER("burst", JSON_KIND_BOOL, burst),
    MEMBER("device", JSON_KIND_TEXT, device),
    MEMBER("interface", JSON_KIND_TEXT, interface_name),
    MEMBER("vendor", JSON_KIND_TEXT, vendor),
    MEMBER("device_model", JSON_KIND_TEXT, device_model),
    MEMBER("gang", JSON_KIND_TEXT, gang),
    MEMBER("gang_size", JSON_KIND_U32, gang_size),
    MEMBER("expect", JSON_KIND_DURATION, expect_ms),
    MEMBER("ram", JSON_KIND_BYTES, ram_bytes),
    MEMBER("network", JSON_KIND_TEXT, network_name),
    MEMBER("idle_after", JSON_KIND_DURATION, idle_after_ms),
    MEMBER("idle", JSON_KIND_TEXT, idle_name),
    MEMBER("grace", JSON_KIND_DURATION, grace_ms),
    MEMBER("workdir", JSON_KIND_TEXT, workdir),
    MEMBER("priority", JSON_KIND_U32, priority),
    MEMBER("pids", JSON_KIND_U32, pids),
    MEMBER("restarts", JSON_KIND_U32, restarts),
    MEMBER("signal", JSON_KIND_TEXT, signal_name),
    MEMBER("pre_stop", JSON_KIND_TEXTS, pre_stop),
    MEMBER("requeue", JSON_KIND_BOOL, requeue),
    {"cpus", JSON_KIND_VALUE, offsetof(struct request_form, cpus), JSON_OPTIONAL},
    {NULL, JSON_KIND_INVALID, 0, JSON_OPTIONAL},
};

void job_request_init(struct job_request *request)
{
    *request = (struct job_request){
        .idle_after_ms = JOB_UNSET_MS,
        .grace_ms = JOB_UNSET_MS,
        .priority = JOB_PRIORITY_DEFAULT,
    };
}

void job_request_finish(struct job_request *request)
{
    char *texts[] = {request->name,         request->tenant,     request->library,
                     request->type,         request->image,      request->program,
                     request->src,          request->device,     request->workdir,
                     request->network_name, request->idle_name,  request->model,
                     request->vendor,       request->gang,       request->interface_name,
                     request->device_model, request->signal_name};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        free(texts[i]);
    texts_free(request->args);
    texts_free(request->command);
    texts_free(request->pre_stop);
    json_decref(request->env);
    json_decref(request->model_settings);
    job_request_init(request);
}

static int decode_cpus(const json_t *value, uint32_t *ret_milli, struct error *err)
{
    double cpus = json_is_real(value) ? json_real_value(value) : -1;
    if (json_is_integer(value))
        cpus = (double)json_integer_value(value) / 1000;
    if (json_is_string(value)) {
        char *end;
        cpus = strtod(json_string_value(value), &end);
        if (end == json_string_value(value) || *end)
            cpus = -1;
    }
    double milli = nearbyint(cpus * 1000);
    if (!(milli >= 1 && milli <= CPUS_MAX_MILLI))
        return error_set(err, -EINVAL, "bad-cpus",
                         "'cpus' must be a number of processors like \"1.5\", or thousandths of "
                         "one like 1500, up to %u processors",
                         CPUS_MAX_MILLI / 1000);
    *ret_milli = (uint32_t)milli;
    return 0;
}

static int check_variable(const char *name, const json_t *value, struct error *err)
{
    bool good = name[0] && !isdigit((unsigned char)name[0]);
    for (const char *c = name; *c; c++)
        good = good && (isalnum((unsigned char)*c) || *c == '_');
    if (!good)
        return error_set(err, -EINVAL, "bad-env", "'%.64s' is no name of a variable", name);
    if (!json_is_string(value) || json_string_length(value) > TEXT_MAX_BYTES)
        return error_set(err, -EINVAL, "bad-env",
                         "the variable '%.64s' must be a text of at most %d bytes", name,
                         TEXT_MAX_BYTES);
    return 0;
}

static int check_env(const json_t *env, struct error *err)
{
    if (!env)
        return 0;
    if (!json_is_object(env) || json_object_size(env) > JOB_ENVIRONMENT_MAX)
        return error_set(err, -EINVAL, "bad-env", "'env' must be an object of at most %d variables",
                         JOB_ENVIRONMENT_MAX);
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)env, name, value) {
        int r = check_variable(name, value, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int check_name(const char *member, const char *name, struct error *err)
{
    size_t length = name ? strlen(name) : 1;
    if (length < 1 || length > JOB_NAME_MAX)
        return error_set(err, -EINVAL, "bad-name", "'%s' must have 1 to %d bytes", member,
                         JOB_NAME_MAX);
    for (const char *c = name; c && *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            return error_set(err, -EINVAL, "bad-name", "'%s' has a control character", member);
    }
    return 0;
}

static int check_names(const struct job_request *request, struct error *err)
{
    const struct {
        const char *member, *name;
    } names[] = {
        {"name", request->name},       {"tenant", request->tenant},
        {"library", request->library}, {"type", request->type},
        {"image", request->image},     {"device", request->device},
        {"vendor", request->vendor},   {"gang", request->gang},
        {"model", request->model},     {"device_model", request->device_model},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        int r = check_name(names[i].member, names[i].name, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int check_arguments(const char *member, char *const *texts, struct error *err)
{
    size_t count = 0;
    for (; texts && texts[count]; count++) {
        if (strlen(texts[count]) > TEXT_MAX_BYTES)
            return error_set(err, -EINVAL, "bad-arguments", "an element of '%s' exceeds %d bytes",
                             member, TEXT_MAX_BYTES);
    }
    if (count > JOB_ARGUMENTS_MAX)
        return error_set(err, -EINVAL, "bad-arguments", "'%s' has %zu elements; the limit is %d",
                         member, count, JOB_ARGUMENTS_MAX);
    return 0;
}

static int check_path(const char *member, const char *path, struct error *err)
{
    if (path && path[0] != '/')
        return error_set(err, -EINVAL, "bad-path",
                         "'%s' must be an absolute path on this machine; got '%.128s'", member,
                         path);
    return 0;
}

static int check_gang(const struct job_request *request, struct error *err)
{
    bool given = request->gang || request->gang_size;
    if (!given || (request->gang && request->gang_size >= 2 && request->gang_size <= JOB_GANG_MAX))
        return 0;
    return error_set(err, -EINVAL, "bad-gang",
                     "a gang has a name ('gang') and 2 to %d members ('gang_size')", JOB_GANG_MAX);
}

/* MPS bounds the part of the device that a client computes on, however free the rest is. */
static int check_burst(const struct job_request *request, struct error *err)
{
    if (!request->burst || job_interface(request) != JOB_CUDA_MPS)
        return 0;
    return error_set(err, -EINVAL, "bad-burst",
                     "'burst' does not go with 'interface' cuda-mps: MPS itself holds the program "
                     "to its share");
}

/* Members that belong together. */
static int check_groups(const struct job_request *request, struct error *err)
{
    if (request->model_settings && (!request->model || !json_is_object(request->model_settings)))
        return error_set(err, -EINVAL, "bad-model-settings",
                         "'model_settings' must be an object, beside a 'model'");
    int r = check_burst(request, err);
    return r < 0 ? r : check_gang(request, err);
}

/* By its name, without SIG or with it, or by its number. Two of them no program can handle. */
static int signal_number(const char *name, size_t length)
{
    uint64_t number = 0;
    if (length > 3 && strncmp(name, "SIG", 3) == 0) {
        name += 3;
        length -= 3;
    }
    AUTO_FREE char *word = strndup(name, length);
    if (word && u64_parse(word, &number, NULL) < 0) {
        for (int i = 1; i < NSIG && !number; i++) {
            const char *known = sigabbrev_np(i);
            number = known && strcmp(known, word) == 0 ? (uint64_t)i : 0;
        }
    }
    return number < NSIG && number != SIGKILL && number != SIGSTOP ? (int)number : 0;
}

int job_signal_parse(const char *text, int *ret_number, uint64_t *ret_before_ms, struct error *err)
{
    size_t length = strcspn(text, "@");
    int number = signal_number(text, length);
    uint64_t before_ms = JOB_UNSET_MS;
    if (number == 0)
        return error_set(err, -EINVAL, "bad-signal",
                         "'signal' is the name or number of a signal that a program can handle, "
                         "with a time or without: USR1, USR1@30s; got '%.64s'",
                         text);
    if (text[length] && duration_parse(text + length + 1, &before_ms, err) < 0)
        return error_context(err, "the time of 'signal'");
    *ret_number = number;
    *ret_before_ms = before_ms;
    return 0;
}

static int check_notice(const struct job_request *request, struct error *err)
{
    int number;
    uint64_t before_ms;
    if (request->pre_stop && !request->pre_stop[0])
        return error_set(err, -EINVAL, "bad-arguments", "'pre_stop' must not be empty");
    int r = check_arguments("pre_stop", request->pre_stop, err);
    return r < 0 || !request->signal_name
               ? r
               : job_signal_parse(request->signal_name, &number, &before_ms, err);
}

/* Members that are one of a few words. */
static int check_words(const struct job_request *request, struct error *err)
{
    const char *idle = request->idle_name;
    if (job_interface(request) == JOB_INTERFACE_INVALID)
        return error_set(err, -EINVAL, "bad-interface",
                         "'interface' must be opencl, cuda, cuda-remote or cuda-mps; got '%.32s'",
                         request->interface_name);
    if (request->network_name && !job_network_parse(request->network_name))
        return error_set(err, -EINVAL, "bad-network",
                         "'network' must be none, host or outbound; got '%.32s'",
                         request->network_name);
    if (idle && strcmp(idle, "share") != 0 && strcmp(idle, "memory") != 0)
        return error_set(err, -EINVAL, "bad-idle", "'idle' must be share or memory; got '%.32s'",
                         idle);
    return 0;
}

static int check_given(const struct job_request *request, struct error *err)
{
    int r = check_names(request, err);
    if (r == 0)
        r = check_env(request->env, err);
    if (r == 0)
        r = check_groups(request, err);
    if (r == 0)
        r = check_arguments("args", request->args, err);
    if (r == 0)
        r = check_arguments("command", request->command, err);
    if (r == 0)
        r = check_path("program", request->program, err);
    if (r == 0)
        r = check_path("workdir", request->workdir, err);
    if (r == 0)
        r = check_words(request, err);
    if (r == 0)
        r = check_notice(request, err);
    if (r < 0)
        return r;
    if (request->memory_bytes && request->memory_bytes < JOB_MEMORY_MIN_BYTES)
        return error_set(err, -EINVAL, "bad-memory",
                         "a card has at least 1 MiB of memory; asked: %llu bytes",
                         (unsigned long long)request->memory_bytes);
    if (request->priority > JOB_PRIORITY_MAX)
        return error_set(err, -EINVAL, "bad-priority", "'priority' lies between 0 and %d; got %u",
                         JOB_PRIORITY_MAX, request->priority);
    if (request->grace_ms != JOB_UNSET_MS && request->grace_ms > JOB_GRACE_MAX_MS)
        return error_set(err, -EINVAL, "bad-grace", "'grace' is at most one hour");
    return 0;
}

int job_request_decode(const json_t *body, struct job_request *request, struct error *err)
{
    struct request_form form = {.request = *request};
    int r = json_decode(body, request_fields, &form, err);
    AUTO_JSON json_t *cpus = form.cpus;
    *request = form.request;
    if (r == 0 && cpus)
        r = decode_cpus(cpus, &request->cpus_milli, err);
    return r < 0 ? r : check_given(request, err);
}

enum job_interface job_interface(const struct job_request *request)
{
    static const char *const names[] = {[JOB_OPENCL] = "opencl",
                                        [JOB_CUDA] = "cuda",
                                        [JOB_CUDA_REMOTE] = "cuda-remote",
                                        [JOB_CUDA_MPS] = "cuda-mps"};
    if (!request->interface_name)
        return JOB_OPENCL;
    for (int i = JOB_OPENCL; i <= JOB_CUDA_MPS; i++)
        if (strcmp(request->interface_name, names[i]) == 0)
            return (enum job_interface)i;
    return JOB_INTERFACE_INVALID;
}

bool job_is_cuda(const struct job_request *request)
{
    return job_interface(request) >= JOB_CUDA;
}

bool job_gives_memory(const struct job_request *request)
{
    return request->idle_name && strcmp(request->idle_name, "memory") == 0;
}

int job_request_check(const struct job_request *request, struct error *err)
{
    int r = check_given(request, err);
    if (r < 0)
        return r;
    if (!request->command || !request->command[0])
        return error_set(err, -EINVAL, "missing-command",
                         "there is nothing to run; name a program or a command");
    const struct {
        const char *member;
        bool given;
    } needed[] = {
        {"image", request->image},
        {"memory", request->memory_bytes},
        {"share", request->share_permille},
        {"cpus", request->cpus_milli},
        {"ram", request->ram_bytes},
        {"network", request->network_name},
        {"idle_after", request->idle_after_ms != JOB_UNSET_MS},
        {"grace", request->grace_ms != JOB_UNSET_MS},
    };
    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
        if (!needed[i].given)
            return error_set(err, -EINVAL, "missing-field",
                             "neither the request nor its template says '%s'", needed[i].member);
    }
    return 0;
}

/* Amounts that are not given, and those that an integer would not say, are put in by hand. */
static int encode_amounts(const struct job_request *request, json_t *object)
{
    const struct {
        const char *name;
        bool given;
    } amounts[] = {
        {"memory", request->memory_bytes},
        {"ram", request->ram_bytes},
        {"pids", request->pids},
        {"gang_size", request->gang_size},
        {"expect", request->expect_ms},
        {"restarts", request->restarts},
        {"requeue", request->requeue},
        {"burst", request->burst},
        {"share", request->share_permille},
        {"idle_after", request->idle_after_ms != JOB_UNSET_MS},
        {"grace", request->grace_ms != JOB_UNSET_MS},
    };
    for (size_t i = 0; i < sizeof(amounts) / sizeof(amounts[0]); i++) {
        if (!amounts[i].given)
            (void)json_object_del(object, amounts[i].name); /* it is there */
    }
    char share[UNITS_TEXT_MAX];
    (void)snprintf(share, sizeof(share), "%um", request->share_permille);
    if (request->share_permille && fields_put(object, "share", json_string(share)) < 0)
        return -ENOMEM;
    if (request->cpus_milli && fields_put(object, "cpus", json_integer(request->cpus_milli)) < 0)
        return -ENOMEM;
    return 0;
}

json_t *job_request_encode(const struct job_request *request)
{
    const struct request_form form = {.request = *request};
    AUTO_JSON json_t *object = fields_without_null(fields_encode(request_fields, &form));
    if (!object || encode_amounts(request, object) < 0)
        return NULL;
    return json_incref(object);
}

const char *job_request_program(const struct job_request *request)
{
    if (request->program)
        return request->program;
    return request->command && request->command[0] ? request->command[0] : "";
}
