/* What the OpenCL driver that does nothing (fake_opencl.c) says of its device. */
#ifndef LEAT_FUZZ_FAKE_OPENCL_H
#define LEAT_FUZZ_FAKE_OPENCL_H

/* It works on the host's memory. At first it does not. */
extern int fake_opencl_shares_memory;

#endif
