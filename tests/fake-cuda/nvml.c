/* The fake devices as NVML tells of them. */
#include <stdio.h>

#include "fake-cuda/device.h"

#define API __attribute__((visibility("default")))

struct memory {
    unsigned long long total, free, used;
};

API int nvmlInit_v2(void);
API int nvmlShutdown(void);
API int nvmlDeviceGetCount_v2(unsigned *count);
API int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device);
API int nvmlDeviceGetName(void *device, char *name, unsigned length);
API int nvmlDeviceGetUUID(void *device, char *uuid, unsigned length);
API int nvmlDeviceGetMemoryInfo(void *device, struct memory *memory);
API int nvmlSystemGetDriverVersion(char *version, unsigned length);

/* Devices are counted from 1, so that none is null. */
static unsigned index_of(const void *device)
{
    return (unsigned)(uintptr_t)device - 1;
}

int nvmlInit_v2(void)
{
    return fake_truth() ? 0 : 9; /* NVML_ERROR_DRIVER_NOT_LOADED */
}

int nvmlShutdown(void)
{
    return 0;
}

int nvmlDeviceGetCount_v2(unsigned *count)
{
    *count = FAKE_DEVICES;
    return 0;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device)
{
    if (index >= FAKE_DEVICES)
        return 2; /* NVML_ERROR_INVALID_ARGUMENT */
    *device = (void *)(uintptr_t)(index + 1);
    return 0;
}

int nvmlDeviceGetName(void *device, char *name, unsigned length)
{
    (void)snprintf(name, length, "Leat fake CUDA device");
    return 0;
}

int nvmlDeviceGetUUID(void *device, char *uuid, unsigned length)
{
    (void)snprintf(uuid, length, "GPU-00000000-0000-0000-0000-00000000000%u", index_of(device));
    return 0;
}

int nvmlDeviceGetMemoryInfo(void *device, struct memory *memory)
{
    const struct fake_truth *t = fake_truth();
    memory->total = t->memory_bytes;
    memory->used = t->used_bytes[index_of(device)];
    memory->free = memory->total - memory->used;
    return 0;
}

int nvmlSystemGetDriverVersion(char *version, unsigned length)
{
    (void)snprintf(version, length, "0.0 (fake)");
    return 0;
}
