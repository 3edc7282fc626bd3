/* What earlier runs teach about a job that is handed in: how long it will run, what it will use,
 * and how large its card should be when nobody said. */
#ifndef LEAT_CORE_LEARN_H
#define LEAT_CORE_LEARN_H

#include "estimate/estimate.h"
#include "model/job.h"
#include "store/store.h"

struct core;
struct error;

struct learn {
    char device[JOB_NAME_MAX]; /* model of the device it will probably be on */
    uint64_t device_mflops;    /* that it may compute a second, in millions; 0: not known */
    struct store_measurement runs[ESTIMATE_RUNS_MAX];
    int count;
};

/* On the loop, first: note the kind of device. */
void learn_begin(const struct core *core, const struct job_request *request, struct learn *learn);
/* On a pool thread: sizes and family of the job, and the runs that are like it. */
int learn_read(struct store *store, struct job *job, struct learn *learn, struct error *err);
/* On the loop, last: the job's prediction and, unless the user asked for memory, that of its card.
 * 0 or -ENOMEM. */
int learn_apply(const struct learn *learn, struct job *job);
/* The model of the device that the job was on, or NULL. */
const char *learn_device(const struct core *core, const char *id);

#endif
