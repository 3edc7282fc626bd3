/* What a client must know of a built program: log, kernels, their arguments and the sizes
 * clSetKernelArg takes, in the layout of struct wire_build_reply. */
#ifndef LEAT_CARD_EXECUTOR_BUILD_REPLY_H
#define LEAT_CARD_EXECUTOR_BUILD_REPLY_H

#include "card/executor/opencl.h"

struct buf;

/* Append the reply for `program`, which clBuildProgram left with `status`; `asked`: the program's
 * own options. CL_SUCCESS or CL_OUT_OF_HOST_MEMORY. */
cl_int build_reply_write(cl_program program, cl_device_id device, cl_int status, const char *asked,
                         struct buf *reply);

#endif
