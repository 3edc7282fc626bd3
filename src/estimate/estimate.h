/* How long a job will run and how much of a device it will use: a prediction from what is known
 * before it starts and from earlier runs. Pure: history comes in, a prediction goes out. */
#ifndef LEAT_ESTIMATE_ESTIMATE_H
#define LEAT_ESTIMATE_ESTIMATE_H

#include <stddef.h>
#include <stdint.h>

struct job_prediction;

/* One earlier run, as it was measured. */
struct estimate_run {
    uint64_t program_bytes, data_bytes;
    uint64_t wall_ms;
    uint64_t device_time_ns;
    uint32_t share_permille; /* what it was granted */
    uint64_t memory_peak_bytes;
    int same_program; /* non-zero: the same program of the same library and type */
};

struct estimate_input {
    uint64_t program_bytes, data_bytes;
    uint32_t share_permille; /* what it will be granted */
};

#define ESTIMATE_RUNS_MAX 64 /* more history than this changes nothing */

/* Predict from the runs of the same program if there are any, else from the runs nearest in size,
 * scaled by size. Without history all amounts are 0 and the basis says so. `ret_prediction` is
 * overwritten; its `basis` is newly allocated (NULL: out of memory). */
void estimate_predict(const struct estimate_input *input, const struct estimate_run *runs,
                      size_t run_count, struct job_prediction *ret_prediction);

#endif
