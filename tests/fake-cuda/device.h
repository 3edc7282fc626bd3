/* The fake devices: what physical memory and compute really are, for every process that loads the
 * fake driver. One file holds the truth, named by LEAT_FAKE_CUDA; without it a process has devices
 * of its own. A process that is killed gives everything back, as with a real driver. */
#ifndef LEAT_FAKE_CUDA_DEVICE_H
#define LEAT_FAKE_CUDA_DEVICE_H

#include <pthread.h>
#include <stdint.h>

#define FAKE_DEVICES 2
#define FAKE_MEMORY_BYTES (8ull << 30) /* of each device */
#define FAKE_PROCESSES 2048
#define FAKE_MAGIC 0x656b6166u

struct fake_process {
    int32_t pid; /* 0: free */
    uint64_t used_bytes[FAKE_DEVICES], busy_ns[FAKE_DEVICES];
};

/* The layout of the file, read by tests as well. */
struct fake_truth {
    uint32_t magic, devices;
    uint64_t memory_bytes;
    uint64_t used_bytes[FAKE_DEVICES], peak_bytes[FAKE_DEVICES];
    uint64_t busy_until_ns[FAKE_DEVICES]; /* CLOCK_MONOTONIC */
    uint64_t busy_ns[FAKE_DEVICES];       /* of all processes, ended ones included */
    struct fake_process processes[FAKE_PROCESSES];
    pthread_mutex_t lock; /* robust, shared */
};

struct fake_truth *fake_truth(void); /* NULL: the file cannot be used */

/* As a driver does, a process sees the devices of CUDA_VISIBLE_DEVICES, by their numbers or their
 * names for NVML, in that order, and numbers them from 0. The truth has them by the numbers they
 * have for all. */
int fake_devices(void);
int fake_physical(int device);

/* Take physical memory: 0, or -1 when the device is full. */
int fake_take(int device, uint64_t bytes);
void fake_give(int device, uint64_t bytes);
/* Run for `duration_ns`, not before `after_ns`, behind everything that the device has to do;
 * returns when it ends. With LEAT_FAKE_CUDA_CONCURRENT=1 behind its own stream alone: kernels of
 * several run at once, and the device is busy while any of them does. */
uint64_t fake_run(int device, uint64_t after_ns, uint64_t duration_ns, uint64_t *ret_start_ns);

uint64_t fake_now_ns(void);
/* 1 when the call of that name is to fail: LEAT_FAKE_CUDA_FAIL=NAME[,NAME...] */
int fake_fails(const char *name);

#endif
