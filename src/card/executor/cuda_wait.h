/* What a CUDA program's thread waits for. A short wait is over before the consumer goes on; a long
 * one is left to a thread of its own, which answers, so that the program's other threads go on.
 * Consumer's thread. */
#ifndef LEAT_CARD_EXECUTOR_CUDA_WAIT_H
#define LEAT_CARD_EXECUTOR_CUDA_WAIT_H

#include <stdint.h>

#include "card/cuda/types.h"

struct cuda;
struct reply;

enum cuda_wait_kind {
    CUDA_WAIT_CONTEXT,
    CUDA_WAIT_STREAM,
    CUDA_WAIT_EVENT,
    CUDA_WAIT_COPY /* from the device, in stream order */
};

struct cuda_wait {
    enum cuda_wait_kind kind;
    CUcontext context; /* current for it; NULL: none */
    CUstream stream;
    CUevent event;
    void *to;
    CUdeviceptr from;
    uint64_t bytes;
};

/* For the record with this number, which was taken last. CUDA_SUCCESS with reply->later set:
 * another thread will answer it; else what the driver says. */
CUresult cuda_wait(struct cuda *cuda, const struct cuda_wait *wait, uint32_t sequence,
                   struct reply *reply);
/* Return when no thread waits any more for what this names: in the context, for the stream, for the
 * event; in a context NULL: for anything. */
void cuda_wait_ended(struct cuda *cuda, const struct cuda_wait *what);

#endif
