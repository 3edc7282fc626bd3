/* Programs: sent when they are built; everything about the result is kept here. */
#ifndef LEAT_CARD_OPENCL_PROGRAM_H
#define LEAT_CARD_OPENCL_PROGRAM_H

#include "card/opencl/object.h"
#include "card/wire/wire.h"

struct build;
struct include_headers;

struct _cl_program {
    struct object object;
    cl_context context;
    cl_device_id device;
    cl_uint device_count;
    char *source;          /* NULL when made from a binary or by a link */
    char *expanded;        /* the source with its includes in place; NULL: it has none */
    unsigned char *binary; /* wrapped (binary.h): given, or fetched when asked for; NULL: none */
    size_t binary_bytes;
    uint32_t from_binary, from_link;
    uint32_t kernels; /* attached kernel objects; atomic */
    char *options;    /* of the last build */
    cl_build_status status;
    struct build *build; /* of the last build; NULL: none */
};

/* One piece of work for the compiler, in one round trip. */
struct program_task {
    enum wire_build_stage stage;
    const char *options;                   /* may be NULL */
    const struct include_headers *headers; /* of a compile; may be NULL */
    const cl_program *inputs;              /* of a link */
    cl_uint input_count;
};

/* A program without source and binary; NULL: out of memory. */
cl_program program_create(cl_context context);
/* What builds and compiles have in common in wrong calls. */
cl_int program_check(cl_program program, cl_uint num_devices, const cl_device_id *device_list);
/* Do it and keep the result in the program. The driver's code. */
cl_int program_work(cl_program program, const struct program_task *task);

#endif
