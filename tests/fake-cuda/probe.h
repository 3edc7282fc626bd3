/* What the files of cuda-probe share. */
#ifndef LEAT_FAKE_CUDA_PROBE_H
#define LEAT_FAKE_CUDA_PROBE_H

#include <stdint.h>

#include "card/cuda/types.h"

#define CHECK(call) check((call), #call)

/* End the program when the call failed. */
void check(CUresult result, const char *what);
uint64_t now_ns(void);
CUfunction kernel(const char *name);
/* A graph with a node that allocates, and one that frees unless the memory is to outlive it. */
CUgraph allocating_graph(CUdevice device, size_t bytes, int frees, CUdeviceptr *pointer);

/* Verbs of the program. */
int churn(unsigned long operations, unsigned seed);
int devices(void);
int passing(unsigned rounds);
int spin(unsigned milliseconds, uint32_t kernel_us, const char *way);

#endif
