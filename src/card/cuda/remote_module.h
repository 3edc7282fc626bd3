/* What is known of a function of a remote card's module. Valid until the module is unloaded. */
#ifndef LEAT_CARD_CUDA_REMOTE_MODULE_H
#define LEAT_CARD_CUDA_REMOTE_MODULE_H

#include "card/cuda/remote.h"

#define PARAMETERS_MAX 32768u /* bytes of a kernel's parameters; no driver takes more */
#define NAME_MAX_BYTES 4096u

struct CUfunc_st {
    struct remote_object object;
    CUmodule module;
    uint32_t index; /* in its module */
    uint32_t parameter_count, block_bytes;
    const char *name;
    const struct wire_cuda_parameter *parameters;
    int32_t attributes[WIRE_CUDA_FUNCTION_ATTRIBUTES];
};

/* Kernel parameters, as one of the two ways of the interface gives them. */
struct remote_parameters {
    void **each;       /* where each value lies, or NULL */
    const void *block; /* else all of them */
    size_t block_bytes;
};
CUresult remote_parameters_read(CUfunction function, void **each, void **extra,
                                struct remote_parameters *ret);
/* As one block: `to` has room for block_bytes. */
void remote_parameters_put(CUfunction function, const struct remote_parameters *from, uint8_t *to);

#endif
