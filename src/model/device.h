/* A device and a card as the control plane sees them: decoded from leat-cardd, shown by REST. No
 * I/O. */
#ifndef LEAT_MODEL_DEVICE_H
#define LEAT_MODEL_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

struct error;
struct json_t;

#define SHARE_WHOLE_PERMILLE 1000u

struct device {
    char *id; /* stable slug: "cpu-0" */
    char *name, *vendor, *platform, *driver;
    char *kind; /* cpu, gpu, accelerator, cuda */
    char *uuid; /* as its driver tells it; NULL: not */
    char *part; /* of a divided device: GPU instance/compute instance; NULL: the whole */
    uint64_t memory_bytes, max_alloc_bytes;
    uint32_t compute_units;
    uint32_t index; /* among those of its driver; a part of a device has that of the whole */
    uint64_t granted_bytes; /* as leat-cardd counts */
    uint32_t granted_permille;
    uint32_t cards;
};

void device_finish(struct device *device);
/* Unknown members are passed over: a newer leat-cardd may say more. */
int device_decode(const struct json_t *object, struct device *ret_device, struct error *err);

/* Which jobs a device takes, as its site says. */
#define DEVICE_ID_MAX 63 /* bytes */

#define DEVICE_WEIGHT_MAX 1000000

struct device_rule {
    char id[DEVICE_ID_MAX + 1];
    char pool[16];   /* "any", "training" or "inference" */
    bool healthy;    /* false: set aside, it takes no new jobs */
    uint32_t weight; /* cost of having it, against the others' */
};

/* From a REST body, any of whose members may be left out. -EINVAL "bad-device-rule", or what the
 * body's decoding says. */
int device_rule_decode(const char *id, const struct json_t *body, struct device_rule *ret_rule,
                       struct error *err);
struct json_t *device_rule_encode(const struct device_rule *rule); /* NULL: out of memory */

struct card_usage {
    char *card, *device, *state;
    uint64_t memory_quota_bytes, memory_used_bytes, memory_peak_bytes;
    uint64_t memory_wanted_bytes; /* most that programs wanted at once and were refused */
    uint32_t share_permille;      /* granted now; 0: released */
    uint32_t share_asked_permille;
    uint64_t device_time_ns, throttled_ns;
    uint64_t idle_ms; /* since the last use; 0 while a command is in flight */
    uint64_t age_ms;
    uint32_t sessions;
    uint64_t sessions_total, commands, refusals;
    uint64_t calls_local, calls_posted, calls_waited, records, builds, build_hits;
    uint64_t bytes_to_device, bytes_from_device, wait_ns, queue_depth;
    uint64_t carried_to_device_bytes, line_to_device_bytes; /* between hosts, and on the line */
    uint64_t carried_from_device_bytes, line_from_device_bytes;
    bool share_wanted;    /* a command waits for share */
    bool runtime_refused; /* a remote CUDA card, and a program on the CUDA runtime library */
};

void card_usage_finish(struct card_usage *usage);
int card_usage_decode(const struct json_t *object, struct card_usage *ret_usage, struct error *err);

#endif
