/* The first compute prediction: see estimate.h. */
#include "estimate/estimate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/job.h"

#define NEAREST_RUNS 5
#define SCALE_MIN 0.1 /* sizes further apart than this say little about each other */
#define SCALE_MAX 10.0

struct sample {
    double distance; /* between sizes, as a factor >= 1 */
    double wall_ms;  /* scaled to the input */
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

/* How much larger the input is than the run; one byte more on both sides keeps empty ones finite.
 */
static double size_ratio(const struct estimate_input *input, const struct estimate_run *run)
{
    return ((double)input->program_bytes + (double)input->data_bytes + 1) /
           ((double)run->program_bytes + (double)run->data_bytes + 1);
}

/* A run on a smaller share took longer by as much of it as was compute. */
static double share_scale(const struct estimate_input *input, const struct estimate_run *run)
{
    if (!run->wall_ms || !input->share_permille || !run->share_permille)
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
        .share_permille = run->wall_ms ? clamp(busy_ms * 1000 / (double)run->wall_ms, 0, 1000) : 0,
    };
}

/* Samples of the same program, or of the nearest in size. Returns how many. */
static size_t samples_collect(const struct estimate_input *input, const struct estimate_run *runs,
                              size_t run_count, int same, struct sample *samples)
{
    size_t count = 0;
    for (size_t i = 0; i < run_count && count < ESTIMATE_RUNS_MAX; i++) {
        if (!runs[i].wall_ms || (same && !runs[i].same_program))
            continue;
        double scale = clamp(size_ratio(input, &runs[i]), SCALE_MIN, SCALE_MAX);
        samples[count++] = sample_make(input, &runs[i], scale);
    }
    if (!same && count > NEAREST_RUNS) {
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
    prediction->duration_ms = (uint64_t)samples[count / 2].wall_ms;
    prediction->duration_low_ms = (uint64_t)samples[0].wall_ms;
    prediction->duration_high_ms = (uint64_t)samples[count - 1].wall_ms;
    prediction->share_permille = (uint32_t)share;
    prediction->runs = (uint32_t)count;
}

void estimate_predict(const struct estimate_input *input, const struct estimate_run *runs,
                      size_t run_count, struct job_prediction *ret_prediction)
{
    struct sample samples[ESTIMATE_RUNS_MAX];
    char basis[160];
    int same = 1;
    *ret_prediction = (struct job_prediction){0};
    size_t count = samples_collect(input, runs, run_count, 1, samples);
    if (count == 0) {
        same = 0;
        count = samples_collect(input, runs, run_count, 0, samples);
    }
    if (count == 0) {
        ret_prediction->basis = strdup("unknown: no earlier run of this library and type");
        return;
    }
    predict_from(samples, count, ret_prediction);
    (void)snprintf(
        basis, sizeof(basis), "median of %zu earlier run%s of %s, scaled by size and share", count,
        count == 1 ? "" : "s", same ? "the same program" : "programs of the same library and type");
    ret_prediction->basis = strdup(basis);
}
