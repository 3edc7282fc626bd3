/* A batch: short launches, into a few streams, that pass the card's meter together and are measured
 * together. It is what makes a launch cheap: joining the open batch takes no lock, no look at the
 * clock and no call of the driver. One batch a device; a thread that finds another thread in it
 * launches alone. Devices are numbered below CARD_DEVICES_MAX. Any thread. */
#ifndef LEAT_CARD_CUDA_BATCH_H
#define LEAT_CARD_CUDA_BATCH_H

#include <stdint.h>

#include "card/cuda/types.h"

struct measurement;

/* Device time that one batch may take, by what its launches took before. */
#define BATCH_NS 1000000u
#define BATCH_AGE_NS 2000000u /* an older batch is closed: its card may have gone idle */

/* 1: a launch that will take `took_ns` (0: not known) is part of the batch, and batch_leave follows
 * it. 0: it is not; `*ret_over` is the batch that ends here, and batch_over follows when nothing is
 * put into its streams any more; or NULL. */
int batch_join(unsigned device, CUstream stream, enum stream_flavour flavour, uint64_t took_ns,
               struct measurement **ret_over);
void batch_leave(unsigned device);
void batch_over(unsigned device);
/* Open `m` for its device, which stands for its first launch. 0, or -EBUSY: another thread was
 * faster. */
int batch_open(struct measurement *m);
int batch_is_open(unsigned device);
/* Take what was opened before `before_ns`; NULL: nothing, or a thread is launching in it. */
struct measurement *batch_close(unsigned device, uint64_t before_ns);
/* The same, if there is a launch into the stream in it; batch_over follows. 0: `*ret_batch`, NULL:
 * there is no such; -EBUSY: a thread launches in it or ends it, and it is not known yet. */
int batch_close_stream(unsigned device, CUstream stream, struct measurement **ret_batch);
/* A child after fork has none. */
void batch_clear(void);

#endif
