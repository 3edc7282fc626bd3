/* Shared virtual memory of coarse grain. Where there is an arena an allocation is a piece of it,
 * which this process and the executor both see at one address. Else, and once the session has left
 * the arena, it is memory of the device's host, or of its driver, and this process has memory of
 * its own at the same address: contents are carried when they are mapped, unmapped, copied and
 * filled. There is none at addresses where this process has something else already. */
#ifndef LEAT_CARD_OPENCL_SVM_H
#define LEAT_CARD_OPENCL_SVM_H

#include "card/opencl/copy.h"

struct svm_piece;

struct svm {
    uint32_t lock; /* what follows */
    int tried;
    char *base; /* of the arena as pointers of kernels see it; NULL: none */
    uint64_t bytes;
    struct svm_piece *pieces;
};

/* 1 when the device has shared virtual memory. */
int svm_is_there(void);
/* Whether a pointer lies in an allocation; `ret_end` (may be NULL) is where. */
int svm_find(const void *pointer, struct copy_end *ret_end);
/* Make what lies outside the arena; CL_SUCCESS without a `host_ptr` when there is no memory. */
cl_int svm_send(cl_mem memory, uint32_t id);
/* Unmap what a forked child has of its parent's. */
void svm_forget(void);

#endif
