/* Building a program: by the driver, or out of what an earlier session of the tenant has kept. */
#ifndef LEAT_CARD_EXECUTOR_BUILD_H
#define LEAT_CARD_EXECUTOR_BUILD_H

#include "card/executor/opencl.h"

struct buf;
struct object;
struct session;

/* Open the session's folder of kept builds, once its device is known, and again when that has
 * changed. Without one every build is the driver's. */
void build_open(struct session *session, cl_platform_id platform);
/* Build the program `object` and append the build reply to `reply`, the driver's refusal included.
 * CL_SUCCESS or CL_OUT_OF_HOST_MEMORY. */
cl_int build_run(struct session *session, struct object *object, const char *options,
                 struct buf *reply);
/* As build_run, with clCompileProgram. */
cl_int build_compile(struct session *session, struct object *object, const char *options,
                     struct buf *reply);
/* Link `inputs` into the new program `object`, whose error tells when the driver gave none. */
cl_int build_link(struct session *session, struct object *object, const cl_program *inputs,
                  cl_uint input_count, const char *options, struct buf *reply);

#endif
