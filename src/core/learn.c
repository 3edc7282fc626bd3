/* Learning from earlier runs: see learn.h. */
#include "core/learn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "core/core_impl.h"

#define PROGRAM_LIMIT_BYTES (16u << 20) /* larger ones are told apart by their size */

/* Any, when it is not known which it will be. */
static const struct device *device_find(const struct core *core, const char *id)
{
    for (size_t i = 0; i < core->device_count; i++) {
        if (!id || strcmp(core->devices[i].id, id) == 0)
            return &core->devices[i];
    }
    return NULL;
}

const char *learn_device(const struct core *core, const char *id)
{
    const struct device *device = device_find(core, id);
    return device ? device->name : NULL;
}

void learn_begin(const struct core *core, const struct job_request *request, struct learn *learn)
{
    const struct device *device = device_find(core, request->device);
    if (!device)
        return;
    (void)snprintf(learn->device, sizeof(learn->device), "%s", device->name ? device->name : "");
    learn->device_mflops = estimate_device_mflops(device->kind, device->compute_units);
}

/* -- on the pool -- */

static uint64_t file_bytes(const char *path)
{
    struct stat stat_buf;
    if (!path || path[0] != '/' || stat(path, &stat_buf) < 0 || !S_ISREG(stat_buf.st_mode))
        return 0;
    return (uint64_t)stat_buf.st_size;
}

static void program_add(struct digest *digest, const struct job *job)
{
    AUTO_BUF struct buf text = BUF_INIT;
    digest_add(digest, &job->program_bytes, sizeof(job->program_bytes));
    digest_add(digest, &job->data_bytes, sizeof(job->data_bytes));
    if (job->program_bytes && job->program_bytes <= PROGRAM_LIMIT_BYTES &&
        file_read(AT_FDCWD, job->request.program, PROGRAM_LIMIT_BYTES, &text, NULL) == 0)
        digest_add(digest, text.data ? text.data : "", text.length);
}

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

/* Everything that a run's time and memory follow from, as far as a request tells. */
static int family_make(struct job *job)
{
    const struct job_request *request = &job->request;
    char text[DIGEST_TEXT_MAX];
    struct digest digest;
    AUTO_JSON json_t *command = json_array();
    for (char **word = request->command; word && *word; word++)
        (void)json_array_append_new(command, json_string(*word)); /* a shorter one tells less */
    AUTO_JSON json_t *like =
        json_pack("{s:s, s:s, s:O?, s:O?, s:s, s:O?}", "library", or_empty(request->library),
                  "type", or_empty(request->type), "command", command, "env", request->env, "model",
                  or_empty(request->model), "settings", request->model_settings);
    AUTO_FREE char *dump = like ? json_dumps(like, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    if (!dump)
        return -ENOMEM;
    digest_init(&digest);
    digest_add(&digest, dump, strlen(dump));
    program_add(&digest, job);
    free(job->family);
    job->family = strdup(digest_text(&digest, text));
    return job->family ? 0 : -ENOMEM;
}

int learn_read(struct store *store, struct job *job, struct learn *learn, struct error *err)
{
    const struct job_request *request = &job->request;
    job->program_bytes = file_bytes(request->program);
    for (char **word = request->command; word && *word; word++)
        job->data_bytes += file_bytes(*word);
    if (family_make(job) < 0)
        return error_set(err, -ENOMEM, "out-of-memory", "taking the request");
    const struct store_likeness like = {
        .library = or_empty(request->library),
        .type = or_empty(request->type),
        .program = job_request_program(request),
        .family = job->family,
        .model = or_empty(request->model),
        .device = learn->device,
    };
    learn->count = store_measurements(store, &like, learn->runs, ESTIMATE_RUNS_MAX, err);
    return learn->count < 0 ? learn->count : 0;
}

/* -- back on the loop -- */

static struct estimate_run run_of(const struct store_measurement *from)
{
    return (struct estimate_run){
        .kin = !from->same_kind     ? ESTIMATE_KIN_OTHER
               : from->same_family  ? ESTIMATE_KIN_FAMILY
               : from->same_program ? ESTIMATE_KIN_PROGRAM
                                    : ESTIMATE_KIN_LIBRARY,
        .same_model = from->same_kind && from->same_model,
        .same_device = from->same_device,
        .program_bytes = from->program_bytes,
        .data_bytes = from->data_bytes,
        .wall_ms = from->wall_ms,
        .device_time_ns = from->device_time_ns,
        .share_permille = from->share_permille,
        .memory_peak_bytes = from->memory_peak_bytes,
        .memory_point_bytes = from->memory_point_bytes,
        .work = {.steps = from->steps, .step_kflop = from->step_kflop},
    };
}

/* Does a word of its command name a program in Python? */
static bool is_interpreted(const struct job_request *request)
{
    static const char end[] = ".py";
    for (char **word = request->command; word && *word; word++) {
        size_t length = strlen(*word);
        if (length >= strlen(end) && strcmp(*word + length - strlen(end), end) == 0)
            return true;
    }
    return false;
}

static int memory_take(const struct estimate_peak *peak, struct job *job)
{
    const char *basis = peak->kin == ESTIMATE_KIN_FAMILY
                            ? "what earlier runs of the same used, and a little more"
                            : "the estimate for its model, put right by earlier runs";
    char *copy = strdup(basis);
    if (!copy)
        return -ENOMEM;
    free(job->memory_basis);
    job->memory_basis = copy;
    uint64_t bytes = peak->reserve_bytes;
    if (job->request.restarts == 0) /* a refusal would be its end */
        bytes += bytes / 10;
    job->request.memory_bytes = bytes > JOB_MEMORY_MIN_BYTES ? bytes : JOB_MEMORY_MIN_BYTES;
    return 0;
}

int learn_apply(const struct learn *learn, struct job *job)
{
    struct estimate_run runs[ESTIMATE_RUNS_MAX];
    struct estimate_peak peak;
    const struct estimate_input input = {
        .program_bytes = job->program_bytes,
        .data_bytes = job->data_bytes,
        .share_permille = job->request.share_permille,
        .burst = job->request.burst,
        .memory_point_bytes = job->memory_point_bytes,
        .work = {.steps = job->steps, .step_kflop = job->step_kflop},
        .device_mflops = learn->device_mflops,
        .interpreted = is_interpreted(&job->request),
    };
    for (int i = 0; i < learn->count; i++)
        runs[i] = run_of(&learn->runs[i]);
    estimate_predict(&input, runs, (size_t)learn->count, &job->prediction);
    estimate_peak(&input, runs, (size_t)learn->count, &peak);
    job->prediction.memory_bytes =
        peak.expected_bytes ? peak.expected_bytes : job->memory_point_bytes;
    if (!job->prediction.basis)
        return -ENOMEM;
    return peak.expected_bytes && !job->memory_asked ? memory_take(&peak, job) : 0;
}
