/* Programs: sent when they are built; everything about the result is kept here. */
#ifndef LEAT_CARD_OPENCL_PROGRAM_H
#define LEAT_CARD_OPENCL_PROGRAM_H

#include "card/opencl/object.h"

struct build;

struct _cl_program {
    struct object object;
    cl_context context;
    cl_device_id device;
    cl_uint device_count;
    char *source;          /* NULL when made from a binary */
    unsigned char *binary; /* wrapped (binary.h): given, or fetched when asked for; NULL: none */
    size_t binary_bytes;
    uint32_t from_binary;
    uint32_t kernels; /* attached kernel objects; atomic */
    char *options;    /* of the last build */
    cl_build_status status;
    struct build *build; /* of the last build; NULL: none */
};

#endif
