/* Building a program: by the driver, or out of what an earlier session of the tenant has kept. */
#ifndef LEAT_CARD_EXECUTOR_BUILD_H
#define LEAT_CARD_EXECUTOR_BUILD_H

#include "card/executor/opencl.h"

struct buf;
struct device_list;
struct object;
struct program;
struct session;

/* What a link joins. */
struct build_inputs {
    const cl_program *programs;
    cl_uint count;
};

/* Open the session's folder of kept builds, once its device is known, and again when that has
 * changed. Without one every build is the driver's. */
void build_open(struct session *session, cl_platform_id platform);
/* Build the program `object` for `devices`, and append a build reply for each to `reply`, the
 * driver's refusal included. CL_SUCCESS or CL_OUT_OF_HOST_MEMORY. */
cl_int build_run(struct session *session, struct object *object, struct device_list *devices,
                 const char *options, struct buf *reply);
/* As build_run, with clCompileProgram. */
cl_int build_compile(struct session *session, struct object *object, struct device_list *devices,
                     const char *options, struct buf *reply);
/* Link `inputs` into the new program `object`, with `options` or, where they are NULL, without; the
 * object's error tells when the driver gave none. */
cl_int build_link(struct session *session, struct object *object, struct device_list *devices,
                  const struct build_inputs *inputs, const char *options, struct buf *reply);
/* Keep the build replies of a program that needs no build. CL_SUCCESS or CL_OUT_OF_HOST_MEMORY. */
cl_int build_describe(struct object *object);
/* Do again, in their order, the builds that the program had when it left its device. */
cl_int build_again(struct session *session, struct object *object);
/* The program was built, or by `options` NULL was not; the last build of other devices stays. */
void build_remember(struct program *program, const struct device_list *devices,
                    const char *options);
void build_forget(struct program *program);
/* The driver's binary of a program for one of its devices, owned; `*ret_length` 0, and NULL, when
 * it has none. The driver's code, or CL_OUT_OF_HOST_MEMORY. */
cl_int build_binary(cl_program program, cl_device_id device, unsigned char **ret_binary,
                    size_t *ret_length);

#endif
