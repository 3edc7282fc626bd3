/* Shared virtual memory: pieces of the arena, which this process and the executor both see at one
 * address. There is none where the device has memory of its own, or no such address. */
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

/* 1 when there is shared virtual memory in this session; finds out at the first call. */
int svm_is_there(void);
/* Whether a pointer lies in an allocation; `ret_end` (may be NULL) is where. */
int svm_find(const void *pointer, struct copy_end *ret_end);
/* A pointer as it crosses; for one that svm_find finds. */
uint64_t svm_offset(const void *pointer);
/* Unmap what a forked child has of its parent's. */
void svm_forget(void);

#endif
