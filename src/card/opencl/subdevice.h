/* Parts of the card: devices that clCreateSubDevices makes. The driver divides, and what a part
 * answers otherwise than its parent comes back with it. */
#ifndef LEAT_CARD_OPENCL_SUBDEVICE_H
#define LEAT_CARD_OPENCL_SUBDEVICE_H

#include "card/opencl/process.h"

/* Some devices of a context or program, none twice. */
struct device_choice {
    cl_uint count;
    cl_device_id *devices; /* owned */
};

/* What a device answers, as snapshot_find and snapshot_number. */
const void *device_find(cl_device_id device, uint32_t name, size_t *ret_length);
uint64_t device_number(cl_device_id device, uint32_t name);

static inline void device_hold(cl_device_id device)
{
    if (device->parent)
        object_retain(&device->object);
}
void device_let_go(cl_device_id device);

/* Which of `devices` is `device`, or, where the driver has it so, what it is a part of; -1:
 * none. */
int device_stands_for(cl_device_id device, const cl_device_id *devices, cl_uint count);
/* What of `devices` the `asked` stand for; all of them when none are asked. CL_SUCCESS,
 * CL_INVALID_VALUE, CL_INVALID_DEVICE or CL_OUT_OF_HOST_MEMORY. */
cl_int devices_choose(const cl_device_id *devices, cl_uint count, const cl_device_id *asked,
                      cl_uint asked_count, struct device_choice *ret_choice);
void device_choice_finish(struct device_choice *choice);

#endif
