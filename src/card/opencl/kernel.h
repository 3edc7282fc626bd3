/* Kernels: arguments are kept here and cross with a launch, those only that changed since the
 * last. */
#ifndef LEAT_CARD_OPENCL_KERNEL_H
#define LEAT_CARD_OPENCL_KERNEL_H

#include "card/opencl/object.h"

struct build_kernel;

enum kernel_arg_state {
    KERNEL_ARG_SET = 1,     /* has a value */
    KERNEL_ARG_CHANGED = 2, /* the executor has another one */
    KERNEL_ARG_SVM = 4      /* the value is a pointer, as it crosses, not a memory object */
};

struct kernel_arg {
    uint32_t state;  /* enum kernel_arg_state bits */
    size_t bytes;    /* as given: of local memory, the amount */
    uint64_t serial; /* of the object given, to tell it from a later one at its address */
};

struct _cl_kernel {
    struct object object;
    cl_context context;
    cl_program program;
    /* Of a device that it is built for; builds stay while kernels are attached. */
    const struct build_kernel *build;
    const char *name, *attributes;
    cl_uint arg_count;
    uint32_t lock;    /* what follows; held while a launch is filled and posted */
    uint32_t unset;   /* arguments that never got a value */
    uint32_t changed; /* arguments to send with the next launch */
    struct kernel_arg *args;
    uint64_t *pointers; /* what it reaches beside its arguments; NULL: nothing was named */
    size_t pointer_count;
    char *values;   /* build->args[i].value_offset has the value of argument i */
    int is_holding; /* it has a reference to each object that an argument names */
};

/* The memory object or sampler that an argument names; NULL: none. */
struct object *kernel_arg_object(const struct _cl_kernel *kernel, cl_uint i);
/* A copy with the arguments of this moment, which holds what they name and is given no others. */
cl_kernel kernel_copy(cl_kernel kernel, cl_int *ret_code);

/* Tell the executor of shared virtual memory that the kernel reaches beside its arguments. */
cl_int kernel_reach(cl_kernel kernel, const void *pointers, size_t count);

#endif
