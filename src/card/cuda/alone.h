/* Cards without leat-cardd: limits in the environment, as HAMi, Volcano and KAI give them to a
 * container, and a file that its processes share.
 *   CUDA_DEVICE_MEMORY_LIMIT_N, CUDA_DEVICE_MEMORY_LIMIT   bytes, or with k, m or g
 *   CUDA_DEVICE_SM_LIMIT_N, CUDA_DEVICE_SM_LIMIT           percent; 100: no limit
 *   CUDA_DEVICE_MEMORY_SHARED_CACHE                        the file is this with .leat at its end
 * N is the device's number in the process. What it has none for, or 0, has the limit without one.
 * Neighbours in other containers are not seen: there is no turn between them. */
#ifndef LEAT_CARD_CUDA_ALONE_H
#define LEAT_CARD_CUDA_ALONE_H

#include "card/cuda/attach.h"

enum card_state alone_attach(unsigned device, struct attachment *ret);
/* 1 when there is a limit for any device. */
int alone_is_named(void);
/* Free what dead processes held. */
void alone_reap(struct ledger_card *ledger, struct meter_device *device);

#endif
