/* Predictions from history: see estimate.h. */
#include "estimate/estimate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/job.h"

#define NEAREST_RUNS 5
#define SCALE_MIN 0.1 /* sizes further apart than this say little about each other */
#define SCALE_MAX 10.0
#define SLOPE_MAX 1.2   /* time over work, as logarithms: little better than in proportion */
#define SPREAD_WORK 1.5 /* of a prediction by work: programs differ in how well they compute */
#define PEAK_MARGIN 1.05
#define COLD_FACTOR 1.5 /* a first run that took so much longer than the next is no measure */
#define POINT_MARGIN 1.1

struct sample {
    double distance; /* between sizes, as a factor >= 1 */
    double wall_ms;  /* scaled to the input */
    double device_ns;
    double share_permille;
};

static int by_wall(const void *left, const void *right)
{
    const struct sample *a = left, *b = right;
    return (a->wall_ms > b->wall_ms) - (a->wall_ms < b->wall_ms);
}

static int by_distance(const void *left, const void *right)
{
    const struct sample *a = left, *b = right;
    return (a->distance > b->distance) - (a->distance < b->distance);
}

static double clamp(double value, double low, double high)
{
    return value < low ? low : value > high ? high : value;
}

/* How much larger the input is than the run; one byte more on both keeps empty ones finite. */
static double size_ratio(const struct estimate_input *input, const struct estimate_run *run)
{
    return ((double)input->program_bytes + (double)input->data_bytes + 1) /
           ((double)run->program_bytes + (double)run->data_bytes + 1);
}

/* A run on a smaller share took longer by as much of it as was compute. */
static double share_scale(const struct estimate_input *input, const struct estimate_run *run)
{
    if (!run->wall_ms || !input->share_permille || !run->share_permille ||
        (input->burst && run->share_permille > input->share_permille))
        return 1;
    double busy_ms = (double)run->device_time_ns / 1e6;
    double compute_part = clamp(busy_ms / (double)run->wall_ms, 0, 1);
    /* Only a run that used all it was granted was slowed down by its share. */
    double limited = clamp(compute_part * 1000 / run->share_permille, 0, 1);
    double faster = (double)run->share_permille / input->share_permille;
    return limited * faster + (1 - limited);
}

static struct sample sample_make(const struct estimate_input *input, const struct estimate_run *run,
                                 double scale)
{
    double ratio = size_ratio(input, run);
    double busy_ms = (double)run->device_time_ns / 1e6;
    return (struct sample){
        .distance = ratio < 1 ? 1 / ratio : ratio,
        .wall_ms = (double)run->wall_ms * scale * share_scale(input, run),
        .device_ns = (double)run->device_time_ns * scale,
        .share_permille = run->wall_ms ? clamp(busy_ms * 1000 / (double)run->wall_ms, 0, 1000) : 0,
    };
}

/* Samples of runs that are at least so near. Returns how many. */
static size_t samples_collect(const struct estimate_input *input, const struct estimate_run *runs,
                              size_t run_count, enum estimate_kin kin, struct sample *samples)
{
    size_t count = 0;
    for (size_t i = 0; i < run_count && count < ESTIMATE_RUNS_MAX; i++) {
        if (!runs[i].wall_ms || runs[i].kin < kin)
            continue;
        double scale = kin == ESTIMATE_KIN_FAMILY
                           ? 1
                           : clamp(size_ratio(input, &runs[i]), SCALE_MIN, SCALE_MAX);
        samples[count++] = sample_make(input, &runs[i], scale);
    }
    if (kin == ESTIMATE_KIN_FAMILY && count > 1 &&
        samples[count - 1].wall_ms > COLD_FACTOR * samples[count - 2].wall_ms)
        count--; /* the oldest built what the others found ready */
    if (kin == ESTIMATE_KIN_FAMILY && count > NEAREST_RUNS)
        count = NEAREST_RUNS; /* the newest */
    if (kin == ESTIMATE_KIN_LIBRARY && count > NEAREST_RUNS) {
        qsort(samples, count, sizeof(*samples), by_distance);
        count = NEAREST_RUNS;
    }
    return count;
}

static void predict_from(struct sample *samples, size_t count, struct job_prediction *prediction)
{
    double share = 0;
    qsort(samples, count, sizeof(*samples), by_wall);
    for (size_t i = 0; i < count; i++)
        share += samples[i].share_permille / (double)count;
    double middle = (samples[(count - 1) / 2].wall_ms + samples[count / 2].wall_ms) / 2;
    prediction->duration_ms = (uint64_t)middle;
    prediction->duration_low_ms = (uint64_t)samples[0].wall_ms;
    prediction->duration_high_ms = (uint64_t)samples[count - 1].wall_ms;
    prediction->device_time_ns = (uint64_t)samples[count / 2].device_ns;
    prediction->share_permille = (uint32_t)share;
    prediction->runs = (uint32_t)count;
}

/* -- by work -- */

struct point {
    double weight, work, time; /* logarithms of the work and of the milliseconds of one step */
    double busy;               /* part of the time that was the device's */
};

static bool has_work(const struct estimate_work *work)
{
    return work->steps && work->step_kflop;
}

static bool counts(const struct estimate_run *run, enum estimate_kin kin, bool device_matters)
{
    return run->wall_ms && run->kin >= kin && has_work(&run->work) &&
           (run->same_device || !device_matters);
}

/* What runs spend before their first step: the least that any spent beside computing. */
static double startup_ms(const struct estimate_run *runs, size_t run_count, enum estimate_kin kin,
                         bool device_matters)
{
    double least = INFINITY;
    for (size_t i = 0; i < run_count; i++) {
        if (!counts(&runs[i], kin, device_matters))
            continue;
        double host = (double)runs[i].wall_ms - (double)runs[i].device_time_ns / 1e6;
        least = fmin(least, fmax(host, 0));
    }
    return isfinite(least) ? least : 0;
}

/* The time of a step at `work`, by a line through the points that weighs the nearest most. With
 * points of one size only, time is in proportion to work. */
static double line_at(const struct point *points, size_t count, double work)
{
    double sum = 0, mean_work = 0, mean_time = 0, slope_above = 0, slope_below = 0;
    for (size_t i = 0; i < count; i++) {
        sum += points[i].weight;
        mean_work += points[i].weight * points[i].work;
        mean_time += points[i].weight * points[i].time;
    }
    mean_work /= sum;
    mean_time /= sum;
    for (size_t i = 0; i < count; i++) {
        double apart = points[i].work - mean_work;
        slope_above += points[i].weight * apart * (points[i].time - mean_time);
        slope_below += points[i].weight * apart * apart;
    }
    double slope = slope_below > 1e-6 * sum ? clamp(slope_above / slope_below, 0, SLOPE_MAX) : 1;
    return mean_time + slope * (work - mean_work);
}

/* False: no run with known work is so near. */
static bool predict_by_work(const struct estimate_input *input, const struct estimate_run *runs,
                            size_t run_count, enum estimate_kin kin,
                            struct job_prediction *prediction)
{
    struct point points[ESTIMATE_RUNS_MAX];
    double work = log((double)input->work.step_kflop), sum = 0, busy = 0;
    size_t count = 0;
    bool device_matters = false;
    if (!has_work(&input->work))
        return false;
    for (size_t i = 0; i < run_count; i++)
        device_matters |= counts(&runs[i], kin, true);
    double startup = startup_ms(runs, run_count, kin, device_matters);
    for (size_t i = 0; i < run_count && count < ESTIMATE_RUNS_MAX; i++) {
        const struct estimate_run *run = &runs[i];
        if (!counts(run, kin, device_matters))
            continue;
        double wall = fmax((double)run->wall_ms - startup, 1) * share_scale(input, run);
        struct point *point = &points[count++];
        point->work = log((double)run->work.step_kflop);
        point->time = log(wall / (double)run->work.steps);
        point->busy = clamp((double)run->device_time_ns / 1e6 / (double)run->wall_ms, 0, 1);
        /* Longer runs know the time of a step better: startups vary. */
        double apart = point->work - work;
        point->weight = 1 / (0.1 + apart * apart) * fmin(1, wall / (startup + 1));
        sum += point->weight;
        busy += point->weight * point->busy;
    }
    if (count == 0)
        return false;
    double computing = exp(line_at(points, count, work)) * (double)input->work.steps;
    double wall = fmin(startup + computing, 1e15);
    prediction->duration_ms = (uint64_t)wall;
    prediction->duration_low_ms = (uint64_t)(startup + computing / SPREAD_WORK);
    prediction->duration_high_ms = (uint64_t)fmin(startup + computing * SPREAD_WORK, 1e15);
    prediction->device_time_ns = (uint64_t)fmin(wall * busy / sum * 1e6, 1e18);
    prediction->share_permille = (uint32_t)(1000 * busy / sum);
    prediction->runs = (uint32_t)count;
    return true;
}

/* -- by work, without any run of the library and type -- */

/* As measured: a container and a program in it; Python that reads numpy and its interface, too. */
#define STARTUP_MS 200
#define STARTUP_INTERPRETED_MS 4000
#define SPREAD_PRIOR 3 /* programs differ so much in how well they compute */

uint64_t estimate_device_mflops(const char *kind, uint32_t compute_units)
{
    /* A core does about one operation a cycle in code that nobody tuned. A unit of a GPU could do
     * 256 at 1.5 GHz (128 multiply-adds), and such code gets a tenth of it. */
    static const struct {
        const char *kind;
        uint32_t unit_mflops;
    } kinds[] = {{"cpu", 2500}, {"gpu", 40000}, {"cuda", 40000}};
    for (size_t i = 0; kind && i < sizeof(kinds) / sizeof(*kinds); i++) {
        if (strcmp(kinds[i].kind, kind) == 0)
            return (uint64_t)kinds[i].unit_mflops * compute_units;
    }
    return 0;
}

/* What runs of whatever programs computed in a second of the device's time, on average of the
 * logarithms; 0: none is known. */
static double mflops_learned(const struct estimate_run *runs, size_t run_count, uint32_t *ret_count)
{
    double sum = 0;
    uint32_t count = 0;
    for (size_t i = 0; i < run_count && i < ESTIMATE_RUNS_MAX; i++) {
        const struct estimate_run *run = &runs[i];
        if (!counts(run, ESTIMATE_KIN_OTHER, true) || !run->device_time_ns)
            continue;
        double kflop = (double)run->work.steps * (double)run->work.step_kflop;
        sum += log(kflop * 1e6 / (double)run->device_time_ns);
        count++;
    }
    *ret_count = count;
    return count ? exp(sum / count) : 0;
}

/* False: the work or the device is not known. */
static bool predict_prior(const struct estimate_input *input, const struct estimate_run *runs,
                          size_t run_count, struct job_prediction *prediction)
{
    uint32_t count;
    double learned = mflops_learned(runs, run_count, &count);
    double mflops = count ? learned : (double)input->device_mflops;
    if (!has_work(&input->work) || mflops <= 0)
        return false;
    double part = input->share_permille ? input->share_permille / 1000.0 : 1;
    double device_ms = (double)input->work.steps * (double)input->work.step_kflop / mflops;
    double startup = input->interpreted ? STARTUP_INTERPRETED_MS : STARTUP_MS;
    double wall = fmin(startup + device_ms / part, 1e15);
    prediction->duration_ms = (uint64_t)wall;
    prediction->duration_low_ms = (uint64_t)(wall / SPREAD_PRIOR);
    prediction->duration_high_ms = (uint64_t)(wall * SPREAD_PRIOR);
    prediction->device_time_ns = (uint64_t)fmin(device_ms * 1e6, 1e18);
    prediction->share_permille = (uint32_t)clamp(device_ms * 1000 / wall, 0, 1000);
    prediction->runs = count;
    return true;
}

/* -- the choice among them -- */

static const struct way {
    enum estimate_kin kin;
    bool by_work;
    const char *basis; /* completes "N earlier runs of " */
} ways[] = {
    {ESTIMATE_KIN_FAMILY, false, "the same program with the same settings"},
    {ESTIMATE_KIN_PROGRAM, true, "the same program, by the work of a step"},
    {ESTIMATE_KIN_LIBRARY, true, "the same library and type, by the work of a step"},
    {ESTIMATE_KIN_PROGRAM, false, "the same program, scaled by size and share"},
    {ESTIMATE_KIN_LIBRARY, false, "programs of the same library and type, scaled by size"},
    {ESTIMATE_KIN_OTHER, false, "programs of other libraries and types, scaled by size"},
};

void estimate_predict(const struct estimate_input *input, const struct estimate_run *runs,
                      size_t run_count, struct job_prediction *ret_prediction)
{
    struct sample samples[ESTIMATE_RUNS_MAX];
    char basis[160] = "unknown: no earlier run, and what it computes is not known";
    bool found = false;
    *ret_prediction = (struct job_prediction){0};
    for (size_t i = 0; i < sizeof(ways) / sizeof(*ways) && ret_prediction->runs == 0; i++) {
        const struct way *way = &ways[i];
        size_t count = 0;
        if (way->kin == ESTIMATE_KIN_OTHER)
            found = predict_prior(input, runs, run_count, ret_prediction);
        if (found)
            break;
        if (way->by_work)
            (void)predict_by_work(input, runs, run_count, way->kin, ret_prediction);
        else if ((count = samples_collect(input, runs, run_count, way->kin, samples)) > 0)
            predict_from(samples, count, ret_prediction);
        if (ret_prediction->runs)
            (void)snprintf(basis, sizeof(basis), "%u earlier run%s of %s", ret_prediction->runs,
                           ret_prediction->runs == 1 ? "" : "s", way->basis);
    }
    if (found)
        (void)snprintf(basis, sizeof(basis),
                       ret_prediction->runs ? "the work, and what %u earlier runs of other "
                                              "libraries and types computed a second"
                                            : "the work, and what such a device may compute",
                       ret_prediction->runs);
    ret_prediction->basis = strdup(basis);
}

/* -- memory -- */

void estimate_peak(const struct estimate_input *input, const struct estimate_run *runs,
                   size_t run_count, struct estimate_peak *ret_peak)
{
    struct estimate_peak own = {.kin = ESTIMATE_KIN_FAMILY}, model = {.kin = ESTIMATE_KIN_LIBRARY};
    uint64_t highest = 0;
    double point = (double)input->memory_point_bytes, ratio = 0;
    for (size_t i = 0; i < run_count; i++) {
        const struct estimate_run *run = &runs[i];
        if (!run->memory_peak_bytes)
            continue;
        if (run->kin == ESTIMATE_KIN_FAMILY && own.runs < NEAREST_RUNS) {
            own.expected_bytes = own.runs++ ? own.expected_bytes : run->memory_peak_bytes;
            highest = run->memory_peak_bytes > highest ? run->memory_peak_bytes : highest;
        }
        if (run->same_model && run->memory_point_bytes && point > 0 && model.runs < NEAREST_RUNS) {
            double found = (double)run->memory_peak_bytes / (double)run->memory_point_bytes;
            if (model.runs++ == 0)
                model.expected_bytes = (uint64_t)(point * found);
            ratio = fmax(ratio, found);
        }
    }
    own.reserve_bytes = (uint64_t)((double)highest * PEAK_MARGIN);
    model.reserve_bytes = (uint64_t)(point * ratio * POINT_MARGIN);
    *ret_peak = own.runs ? own : model;
}

uint64_t estimate_remaining_ms(const struct job_prediction *prediction, uint64_t elapsed_ms,
                               uint64_t device_time_ns)
{
    double part = prediction->device_time_ns
                      ? (double)device_time_ns / (double)prediction->device_time_ns
                      : 0;
    uint64_t expected = prediction->duration_ms;
    /* Too little has been done to judge by: as was expected. */
    if (part < 0.05)
        return expected > elapsed_ms ? expected - elapsed_ms : 0;
    return part < 1 ? (uint64_t)((double)elapsed_ms * (1 - part) / part) : 0;
}
