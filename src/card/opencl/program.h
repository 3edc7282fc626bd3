/* Programs: sent when they are built; everything about the result is kept here. */
#ifndef LEAT_CARD_OPENCL_PROGRAM_H
#define LEAT_CARD_OPENCL_PROGRAM_H

#include "card/opencl/object.h"
#include "card/wire/wire.h"

struct build;
struct build_kernel;
struct device_choice;
struct include_headers;

/* A kernel that the executor has and no kernel object uses any more. */
struct idle_kernel {
    const struct build_kernel *build;
    uint32_t id;
};
#define IDLE_KERNELS_MOST 16 /* of one program */

/* A program for one of its devices. */
struct program_part {
    char *options; /* of the last build */
    cl_build_status status;
    struct build *build;   /* of the last build; NULL: none */
    unsigned char *binary; /* wrapped (binary.h): given, or fetched when asked for; NULL: none */
    size_t binary_bytes;
    cl_program_binary_type binary_type; /* of the binary given */
};

struct _cl_program {
    struct object object;
    cl_context context;
    cl_uint device_count;
    cl_device_id *devices;      /* of the context's, owned */
    struct program_part *parts; /* one for each, owned */
    char *source;               /* NULL when made of anything else */
    char *expanded;             /* the source with its includes in place; NULL: it has none */
    char *built_in;             /* names of the device's kernels that it is made of, or NULL */
    uint32_t from_binary, from_link;
    uint32_t compiled;  /* the executor's may be made of what came out, without the source */
    uint32_t kernels;   /* attached kernel objects; atomic */
    uint32_t idle_lock; /* what follows: programs that make a kernel for each launch reuse one */
    uint32_t idle_count;
    struct idle_kernel idle[IDLE_KERNELS_MOST];
};

/* One piece of work for the compiler, in one round trip. */
struct program_task {
    enum wire_build_stage stage;
    const struct device_choice *devices;   /* of the program's */
    const char *options;                   /* may be NULL */
    const struct include_headers *headers; /* of a compile; may be NULL */
    const cl_program *inputs;              /* of a link */
    cl_uint input_count;
};

/* A program without source and binary for some of the context's devices; NULL: out of memory. */
cl_program program_create(cl_context context, const struct device_choice *devices);
/* What is known of it where it was built last, on the first of its devices where it was; NULL: it
 * is built nowhere. */
const struct build *program_built(const struct _cl_program *program);
/* For a device, or what that is a part of; NULL when it is none of the program's, or NULL with
 * several to choose from. */
struct program_part *program_part(cl_program program, cl_device_id device);
/* Keep the executor's kernel `id` for later: 1, or 0 when there are enough. Any thread. */
int program_keep_kernel(cl_program program, const struct build_kernel *build, uint32_t id);
/* One that was kept; 0: none. Its arguments have values of its last user, so set them all. */
uint32_t program_reuse_kernel(cl_program program, const struct build_kernel *build);
/* What builds and compiles have in common in wrong calls; else the devices to build for. */
cl_int program_check(cl_program program, cl_uint num_devices, const cl_device_id *device_list,
                     struct device_choice *ret_devices);
/* Do it and keep the result in the program. The driver's code. */
cl_int program_work(cl_program program, const struct program_task *task);

#endif
