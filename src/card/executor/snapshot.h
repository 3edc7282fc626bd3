/* The answers to the platform and device queries that a client gives without asking. */
#ifndef LEAT_CARD_EXECUTOR_SNAPSHOT_H
#define LEAT_CARD_EXECUTOR_SNAPSHOT_H

#include "card/executor/opencl.h"

struct buf;

/* Append runs of struct wire_info: what the device answers, less what a card does not offer; of
 * memory it has all. 0 or -ENOMEM. */
int snapshot_write(cl_platform_id platform, cl_device_id device, struct buf *snapshot);

#endif
