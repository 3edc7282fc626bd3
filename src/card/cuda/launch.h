/* Launches: let in by the card's meter and measured, short ones many at a time. Any thread. */
#ifndef LEAT_CARD_CUDA_LAUNCH_H
#define LEAT_CARD_CUDA_LAUNCH_H

#include "card/cuda/types.h"

struct measurement;

struct launch_pass {
    struct measurement *measurement; /* NULL: not measured, or in the batch */
    int in_batch;
    unsigned device;
};

/* Wait for share and turn, unless the launch can join the open batch. `subject` and `blocks` say
 * what is launched, for an estimate. Into a stream that is being captured nothing is put: the graph
 * is measured when it is launched. CUDA_SUCCESS, and launch_leave follows; or the launch must not
 * be made. */
CUresult launch_enter(struct launch_pass *pass, CUstream stream, enum stream_flavour flavour,
                      const void *subject, uint64_t blocks);
/* The driver has answered `result`, which is returned. */
CUresult launch_leave(struct launch_pass *pass, CUresult result);

/* The stream is about to go. */
void launch_end_stream(CUstream stream);
/* Wait until all that was launched is measured and give the events back to the driver: their
 * context may go now. */
void launch_drain(void);
/* A child after fork has launched nothing. */
void launch_clear(void);

#endif
