/* The devices of a session: the card itself, number 0, and what a client had it divided into. The
 * parts are the driver's own, so that a queue on one has as many compute units as it says. */
#ifndef LEAT_CARD_EXECUTOR_SUBDEVICE_H
#define LEAT_CARD_EXECUTOR_SUBDEVICE_H

#include <stdint.h>

#include "card/executor/opencl.h"

struct error;
struct object;
struct session;

/* How deep a part of a part may lie. */
#define SUBDEVICE_DEPTH_MAX 3

/* What a part is made from; its parent is the object's (0: the card itself). */
struct subdevice {
    uint32_t index; /* among the parts of that partition */
    uint32_t depth; /* 1: a part of the card */
    uint32_t property_count;
    cl_device_partition_property properties[]; /* the last is 0, and others may be */
};
/* NULL: out of memory. `properties` need not be aligned. */
struct subdevice *subdevice_create(uint32_t index, uint32_t depth, const void *properties,
                                   uint32_t count);

/* A list of numbers of devices and the driver's handles for them. `count` is 0 for the card alone,
 * and `drivers` has one then. */
struct device_list {
    uint32_t count;
    uint32_t *ids;         /* owned */
    cl_device_id *drivers; /* owned; filled in by device_list_find */
};
#define AUTO_DEVICES __attribute__((cleanup(device_list_finish)))
void device_list_finish(struct device_list *list);
/* Take `count` numbers from a record; -EPROTO when one is no device's. */
int device_list_read(struct session *session, const uint32_t *ids, uint32_t count,
                     struct device_list *ret_list, struct error *err);
/* 0 or -ENOMEM. */
int device_list_copy(const struct device_list *list, struct device_list *ret_copy);
/* How many handles there are. */
static inline cl_uint device_list_length(const struct device_list *list)
{
    return list->count ? list->count : 1;
}
/* Fill in the driver's handles, anew when they changed. CL_SUCCESS, or CL_INVALID_DEVICE when one
 * of them is not there. */
cl_int device_list_find(const struct session *session, struct device_list *list);

int device_exists(const struct session *session, uint32_t id);
/* The driver's device of a number; NULL: there is none. */
cl_device_id device_of(const struct session *session, uint32_t id);
cl_int subdevice_make(struct session *session, struct object *object);

#endif
