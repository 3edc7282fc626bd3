/* What the programs that measure OpenCL calls have in common. */
#ifndef LEAT_BENCH_MEASURE_H
#define LEAT_BENCH_MEASURE_H

#include <CL/cl.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* A call that fails ends the program, with its name and what failed. */
static inline void check(cl_int status, const char *what)
{
    if (status == CL_SUCCESS)
        return;
    (void)fprintf(stderr, "%s: %s: status %d\n", program_invocation_short_name, what, (int)status);
    exit(EXIT_FAILURE);
}

static inline uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

#endif
