/* The answers to the platform and device queries that a client gives without asking. */
#ifndef LEAT_CARD_EXECUTOR_SNAPSHOT_H
#define LEAT_CARD_EXECUTOR_SNAPSHOT_H

#include <stdint.h>

#include "card/executor/opencl.h"

struct buf;

/* Append runs of struct wire_info: what the device answers, less what a card does not offer; of
 * memory it has all. 0 or -ENOMEM. */
int snapshot_write(cl_platform_id platform, cl_device_id device, struct buf *snapshot);
/* Append what `part`, number `index` of a partition of `parent`, answers otherwise than that, as a
 * struct wire_info of WIRE_INFO_PART: of memory no more than `quota_bytes`. Failures are remembered
 * in the buf. */
void snapshot_write_part(cl_device_id parent, cl_device_id part, uint32_t index,
                         uint64_t quota_bytes, struct buf *answers);

#endif
