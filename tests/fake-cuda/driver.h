/* What the files of the fake driver share: functions by name, and time on a stream. */
#ifndef LEAT_FAKE_CUDA_DRIVER_H
#define LEAT_FAKE_CUDA_DRIVER_H

#include <stdint.h>

#include "card/cuda/types.h"

#define API __attribute__((visibility("default")))
#define TWIN(name, suffix) \
    extern __typeof__(name) name##suffix __attribute__((alias(#name), visibility("default")))

#pragma GCC diagnostic ignored "-Wmissing-prototypes"

struct CUfunc_st {
    char name[64];
};

CUresult cuLaunchKernel(CUfunction function, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                        unsigned by, unsigned bz, unsigned shared, CUstream stream,
                        void **parameters, void **extra);
CUresult cuLaunchKernel_ptsz(CUfunction function, unsigned gx, unsigned gy, unsigned gz,
                             unsigned bx, unsigned by, unsigned bz, unsigned shared,
                             CUstream stream, void **parameters, void **extra);

/* A kernel's parameters as one block, of 16 bytes at most, and a launch with that. */
CUresult fake_pack(CUfunction function, void **each, void **extra, void *block);
CUresult fake_launch(CUfunction function, CUstream stream, const void *block);

/* The stream is busy for that long, or the graph that it is captured into is. */
void fake_enqueue(CUstream stream, uint64_t duration_ns);

#endif
