/* The OpenCL of pocl-tests: all of it, and the helpers. */
#ifndef LEAT_TEST_POCL_OPENCL_H
#define LEAT_TEST_POCL_OPENCL_H

#define CL_USE_DEPRECATED_OPENCL_1_0_APIS
#define CL_USE_DEPRECATED_OPENCL_1_1_APIS
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#define CL_USE_DEPRECATED_OPENCL_2_0_APIS
#include <CL/opencl.h>

#include "poclu.h"

#endif
