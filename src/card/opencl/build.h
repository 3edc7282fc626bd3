/* What a build told about a program: its log and its kernels. Immutable once made. */
#ifndef LEAT_CARD_OPENCL_BUILD_H
#define LEAT_CARD_OPENCL_BUILD_H

#include <stddef.h>
#include <stdint.h>

#include "card/wire/wire.h"

/* Room for a value of which the driver takes any size (PoCL, for arguments of a typedef or
 * structure type): CL_DEVICE_MAX_PARAMETER_SIZE of the drivers in use. */
#define BUILD_VALUE_MAX_BYTES 1024

struct build_arg {
    struct wire_arg_info info;
    const char *type_name, *name;
    size_t value_offset; /* of the argument's value in a kernel's block of values */
};

struct build_kernel {
    struct wire_kernel_info info;
    const char *name, *attributes;
    struct build_arg *args;
    size_t value_bytes; /* of the block that holds one value of every argument */
    size_t tail_bytes;  /* of a launch that carries every argument */
};

struct build {
    struct wire_build_reply reply;
    const char *log, *options;
    struct build_kernel *kernels;
    char *text; /* owns what the pointers point to */
};

/* Take the first build reply of `length` bytes apart; copies it. `ret_used`: how long it is. NULL:
 * out of memory, or it is cut off. */
struct build *build_create(const void *reply, size_t length, size_t *ret_used);
void build_destroy(struct build *build);
const struct build_kernel *build_find(const struct build *build, const char *name);

#endif
