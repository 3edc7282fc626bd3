/* Shared virtual memory of programs that do not see the device's bytes: the program has memory of
 * its own at the same address, and its library carries the contents (card/opencl/svm.h). On a
 * device with memory of its own the driver gives it; on one that works on the host's, it is a part
 * of a region of this process, which can always come back to its address. */
#ifndef LEAT_CARD_EXECUTOR_SVM_H
#define LEAT_CARD_EXECUTOR_SVM_H

#include <stdint.h>

#include "card/executor/opencl.h"

struct kernel;
struct object;
struct session;

/* What is special about an OBJECT_MEMORY of this kind; its driver's object is a buffer over it. */
struct svm_memory {
    struct svm_memory *next; /* in the region, by address */
    uint64_t address;        /* 0: it was never made; after that the same for ever */
    uint64_t alignment;
    uint64_t bytes;     /* that it has of the region, or of the arena's second place; 0: it is the
                           driver's, or not there yet */
    cl_context context; /* of the driver's, one reference while it is there */
};

/* Shared virtual memory at a place that is its own as long as the session lives, in what stands in
 * the arena's stead: -EPROTO when it is not in there, or -ENOMEM. */
int svm_settle(struct session *session, struct object *object, uint64_t address);
/* Whether `address` is there. */
int svm_is_settled(const struct session *session, uint64_t address);
/* At the session's end: the addresses of what is gone are free. */
void svm_clear(struct session *session);
/* What an allocation may ask for. */
int svm_may_be_aligned(uint64_t alignment);
/* A maker of object_make: reserved in the ledger first. When it comes back and its address is not
 * to be had, `svm_missed` of the session is set. */
cl_int svm_make(struct session *session, struct object *object);
/* Let go of the memory; the ledger is the caller's business. */
void svm_unmake(struct session *session, struct object *object);
/* At the object's end: its address is free. */
void svm_finish(struct session *session, struct svm_memory *svm);
/* 1 when a pointer of the program leads to memory that it shares with kernels. */
int svm_holds(const struct session *session, uint64_t address);
/* Tell the driver what a kernel reaches beside its arguments. */
void svm_tell(struct session *session, const struct kernel *kernel, cl_kernel driver);

#endif
