/* The real devices of this machine: which platforms count and how to find one again. */
#ifndef LEAT_CARD_EXECUTOR_DEVICE_H
#define LEAT_CARD_EXECUTOR_DEVICE_H

#include "card/executor/opencl.h"

struct error;

/* Make the loader see the machine's drivers and not Leat's own platform: before the first OpenCL
 * call, in a process that has one thread. */
void device_clean_environment(void);
/* Make drivers keep compiled code below this folder: as above. */
void device_point_caches(const char *folder);
/* The device by its place among the platforms that are not Leat's. 0 or -ENODEV. */
int device_find(unsigned platform_index, unsigned device_index, cl_platform_id *ret_platform,
                cl_device_id *ret_device, struct error *err);
/* 1 when buffers of the device can be host memory placed as the arena places them. */
int device_shares_memory(cl_device_id device);

#endif
