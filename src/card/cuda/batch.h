/* A batch: short launches of one stream that pass the card's meter together and are measured
 * together. It is what makes a launch cheap: joining the open batch takes no lock, no look at the
 * clock and no call of the driver. One batch a device; a thread that finds another thread in it,
 * or another stream's, launches alone. Devices are numbered below CARD_DEVICES_MAX. Any thread. */
#ifndef LEAT_CARD_CUDA_BATCH_H
#define LEAT_CARD_CUDA_BATCH_H

#include <stdint.h>

#include "card/cuda/types.h"

struct measurement;

#define BATCH_NS \
    1000000u /* device time that one batch may take, by what its launches took before */
#define BATCH_AGE_NS 2000000u /* an older batch is closed: its card may have gone idle */

/* 1: a launch that will take `took_ns` (0: not known) is part of the batch, and batch_leave follows
 * it. 0: it is not; `*ret_over` is the batch that ends here, or NULL. */
int batch_join(unsigned device, CUstream stream, enum stream_flavour flavour, uint64_t took_ns,
               struct measurement **ret_over);
void batch_leave(unsigned device);
/* Open `m` for its device, which stands for its first launch. 0, or -EBUSY: another thread was
 * faster. */
int batch_open(struct measurement *m);
int batch_is_open(unsigned device);
/* Take what was opened before `before_ns`; NULL: nothing, or a thread is launching in it. */
struct measurement *batch_close(unsigned device, uint64_t before_ns);
/* A child after fork has none. */
void batch_clear(void);

#endif
