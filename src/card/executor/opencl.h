/* The OpenCL headers as the executor uses them: up to 3.0, deprecated calls of older drivers
 * included. */
#ifndef LEAT_CARD_EXECUTOR_OPENCL_H
#define LEAT_CARD_EXECUTOR_OPENCL_H

#define CL_TARGET_OPENCL_VERSION 300
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS

#include <CL/cl.h>
#include <CL/cl_ext.h>

#endif
