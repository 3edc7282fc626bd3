/* The devices of this machine and how much of each is granted to cards. */
#ifndef LEAT_CARDD_DEVICE_H
#define LEAT_CARDD_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct json_t;
struct meter_device;

#define DEVICES_MAX 64
#define DEVICE_ID_MAX 32
#define DEVICES_TEXT_MAX_BYTES (256u * 1024)

struct device {
    char id[DEVICE_ID_MAX];                  /* "cpu-0": kind and number, in the drivers' order */
    char *name, *vendor, *platform, *driver; /* owned */
    char *kind;                              /* "cpu", "gpu", "accelerator", "cuda"; owned */
    char *uuid;                              /* as its driver tells it; NULL: not; owned */
    char *part;         /* of a divided device: which; NULL: the whole; owned */
    bool shares_memory; /* buffers can lie in the arena */
    uint64_t snapshot_bytes;
    uint8_t *snapshot; /* what the device answers (struct wire_info), owned; NULL: nothing */
    bool cuda;         /* its cards are for CUDA programs */
    uint32_t platform_index, device_index;
    uint64_t memory_bytes, max_alloc_bytes, compute_units;
    struct meter_device *turn; /* shared with all executors of the device */
    int turn_fd;               /* its memory, for programs of local cards; 0: none */
    /* What its cards hold. */
    uint64_t granted_bytes;
    uint32_t granted_permille;
    uint32_t cards;
};

struct devices {
    struct device items[DEVICES_MAX];
    unsigned count;
};

/* Read the list that the probe prints. */
int devices_decode(const char *text, size_t length, struct devices *ret_devices, struct error *err);
/* A CPU device has the machine's memory. Drivers derive their figure from the memory that is
 * plugged in at that moment, which on a virtual machine with a balloon may be a fraction: take
 * three quarters of `machine_bytes` where that is more. */
void devices_set_machine(struct devices *devices, uint64_t machine_bytes);
void devices_finish(struct devices *devices);
/* A new array; NULL: out of memory. */
struct json_t *devices_json(const struct devices *devices);

/* By id; NULL or "" is the first device. Borrowed. NULL with err set when there is none. */
struct device *devices_find(struct devices *devices, const char *id, struct error *err);

/* What a card has of its device. */
struct device_part {
    uint64_t memory_bytes;
    uint32_t share_permille;
};

/* Grant a card's memory and share, or refuse, saying what is left. */
int device_grant(struct device *device, uint64_t memory_bytes, uint32_t share_permille,
                 struct error *err);
void device_take_back(struct device *device, uint64_t memory_bytes, uint32_t share_permille);
/* Change what a card was granted, or refuse and leave it. */
int device_regrant(struct device *device, const struct device_part *from,
                   const struct device_part *to, struct error *err);

/* 0 when a program that was told of `old` finds everything it may rely on with `other`. */
int device_stands_in(const struct device *other, const struct device *old, struct error *err);

#endif
