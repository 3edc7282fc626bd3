/* A CUDA driver that does nothing, for the executor under the fuzzer. What is made is counted. */
#ifndef LEAT_FUZZ_FAKE_CUDA_H
#define LEAT_FUZZ_FAKE_CUDA_H

/* Put it in the driver's place, before the first call. */
void fake_cuda_install(void);
/* Handles and physical memory that were made and not given back. */
long fake_cuda_alive(void);

#endif
