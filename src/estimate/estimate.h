/* How long a job will run, how much of a device it will use and how much memory it will need: from
 * what is known before it starts and from earlier runs. Pure: history comes in, a prediction goes
 * out. */
#ifndef LEAT_ESTIMATE_ESTIMATE_H
#define LEAT_ESTIMATE_ESTIMATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct job_prediction;
struct memory_request;

/* How near an earlier run is: of any library and job type, of the same, of the same program
 * besides, or of the same family: program, arguments, environment and model's settings are all the
 * same. */
enum estimate_kin {
    ESTIMATE_KIN_INVALID,
    ESTIMATE_KIN_OTHER,
    ESTIMATE_KIN_LIBRARY,
    ESTIMATE_KIN_PROGRAM,
    ESTIMATE_KIN_FAMILY
};

/* What a run computes; 0: not known. */
struct estimate_work {
    uint64_t steps;
    uint64_t step_kflop; /* thousands of floating-point operations of one step */
};

/* One earlier run, as it was measured. */
struct estimate_run {
    enum estimate_kin kin;
    bool same_model;  /* registered model, under any settings */
    bool same_device; /* model of device */
    uint64_t program_bytes, data_bytes;
    uint64_t wall_ms;
    uint64_t device_time_ns;
    uint32_t share_permille;     /* what it was granted, or lent */
    uint64_t memory_peak_bytes;  /* of its card */
    uint64_t memory_point_bytes; /* what the formulas said of it; 0: nothing */
    struct estimate_work work;
};

struct estimate_input {
    uint64_t program_bytes, data_bytes;
    uint32_t share_permille;     /* what it will be granted */
    bool burst;                  /* it may be lent more: what earlier runs had is as likely */
    uint64_t memory_point_bytes; /* what the formulas say; 0: nothing */
    struct estimate_work work;
    uint64_t device_mflops; /* what its device may compute a second, in millions; 0: not known */
    bool interpreted;       /* its program starts slowly */
};

#define ESTIMATE_RUNS_MAX 64 /* more history than this changes nothing */

/* What a device of a kind ("cpu", "gpu", "cuda") may compute a second with programs of all sorts,
 * in millions of operations; 0: nobody knows. */
uint64_t estimate_device_mflops(const char *kind, uint32_t compute_units);

/* The duration: from runs of the same family if there are any; else by the work, from the time that
 * steps of about that size took; else from the runs nearest in size; else by the work and what runs
 * of others, or such devices, compute a second. Runs come newest first. When nothing is known all
 * amounts are 0 and the basis says so. `ret_prediction` is overwritten; its `basis` is newly
 * allocated (NULL: out of memory). */
void estimate_predict(const struct estimate_input *input, const struct estimate_run *runs,
                      size_t run_count, struct job_prediction *ret_prediction);

/* What the runs teach about the memory of a card. */
struct estimate_peak {
    uint64_t expected_bytes; /* 0: nothing is known */
    uint64_t reserve_bytes;  /* what its card should have */
    enum estimate_kin kin;   /* FAMILY: its own peak; LIBRARY: the formulas, put right by a run */
    uint32_t runs;
};

void estimate_peak(const struct estimate_input *input, const struct estimate_run *runs,
                   size_t run_count, struct estimate_peak *ret_peak);

/* How long a running job still needs, by how much of the expected device time it has had; 0: not
 * known, or it should have ended. */
uint64_t estimate_remaining_ms(const struct job_prediction *prediction, uint64_t elapsed_ms,
                               uint64_t device_time_ns);

/* Steps and work of a run that the formulas can judge. */
struct estimate_work estimate_work_of(const struct memory_request *request);

#endif
