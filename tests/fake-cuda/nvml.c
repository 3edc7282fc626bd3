/* The fake devices as NVML tells of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "card/cuda/types.h"
#include "fake-cuda/device.h"

#define API __attribute__((visibility("default")))
#define NOT_SUPPORTED 3
#define NOT_FOUND 6
#define INSUFFICIENT_SIZE 7

#pragma GCC diagnostic ignored "-Wmissing-prototypes"

/* Devices are counted from 1, so that none is null. LEAT_FAKE_MIG=N: the second is divided into N
 * parts, whose number is in the upper bits. */
#define PART_SHIFT 8

static unsigned index_of(const void *device)
{
    return ((unsigned)(uintptr_t)device & ((1u << PART_SHIFT) - 1)) - 1;
}

static unsigned part_of(const void *device)
{
    return (unsigned)(uintptr_t)device >> PART_SHIFT;
}

static unsigned parts_of(const void *device)
{
    const char *parts = getenv("LEAT_FAKE_MIG");
    return parts && index_of(device) == 1 ? (unsigned)strtoul(parts, NULL, 10) : 0;
}

API int nvmlDeviceGetMigMode(void *device, unsigned *now, unsigned *later)
{
    *now = *later = parts_of(device) > 0;
    return 0;
}

API int nvmlDeviceGetMaxMigDeviceCount(void *device, unsigned *count)
{
    *count = 7;
    return 0;
}

API int nvmlDeviceGetMigDeviceHandleByIndex(void *device, unsigned index, void **part)
{
    *part = (void *)((uintptr_t)device | ((uintptr_t)(index + 1) << PART_SHIFT));
    return index < parts_of(device) ? 0 : NOT_FOUND;
}

/* Parts are counted from 1, and have one compute instance each. */
API int nvmlDeviceGetGpuInstanceId(void *device, unsigned *id)
{
    *id = part_of(device);
    return *id ? 0 : NOT_SUPPORTED;
}

API int nvmlDeviceGetComputeInstanceId(void *device, unsigned *id)
{
    *id = 0;
    return part_of(device) ? 0 : NOT_SUPPORTED;
}

API int nvmlInit_v2(void)
{
    return fake_truth() ? 0 : 9; /* NVML_ERROR_DRIVER_NOT_LOADED */
}

API int nvmlShutdown(void)
{
    return 0;
}

API int nvmlDeviceGetCount_v2(unsigned *count)
{
    *count = FAKE_DEVICES;
    return 0;
}

API int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device)
{
    if (index >= FAKE_DEVICES)
        return 2; /* NVML_ERROR_INVALID_ARGUMENT */
    *device = (void *)(uintptr_t)(index + 1);
    return 0;
}

API int nvmlDeviceGetName(void *device, char *name, unsigned length)
{
    (void)snprintf(name, length, "Leat fake CUDA device");
    return 0;
}

API int nvmlDeviceGetUUID(void *device, char *uuid, unsigned length)
{
    (void)snprintf(uuid, length, "%s-00000000-0000-0000-0000-%011u%u",
                   part_of(device) ? "MIG" : "GPU", part_of(device), index_of(device));
    return 0;
}

API int nvmlDeviceGetMemoryInfo(void *device, struct nvml_memory *memory)
{
    const struct fake_truth *t = fake_truth();
    memory->total = t->memory_bytes / (part_of(device) ? parts_of(device) : 1);
    memory->used = t->used_bytes[index_of(device)];
    memory->free = memory->total - memory->used;
    return 0;
}

API int nvmlSystemGetDriverVersion(char *version, unsigned length)
{
    (void)snprintf(version, length, "0.0 (fake)");
    return 0;
}

API int nvmlDeviceGetMemoryInfo_v2(void *device, struct nvml_memory_v2 *memory)
{
    struct nvml_memory plain;
    (void)nvmlDeviceGetMemoryInfo(device, &plain);
    memory->total = plain.total;
    memory->used = plain.used;
    memory->free = plain.free;
    memory->reserved = 0;
    return 0;
}

API int nvmlDeviceGetIndex(void *device, unsigned *index)
{
    *index = index_of(device);
    return 0;
}

API int nvmlDeviceGetHandleByUUID(const char *uuid, void **device)
{
    char own[64];
    for (unsigned i = 0; i < FAKE_DEVICES; i++) {
        (void)nvmlDeviceGetHandleByIndex_v2(i, device);
        (void)nvmlDeviceGetUUID(*device, own, sizeof(own));
        if (strcmp(own, uuid) == 0)
            return 0;
    }
    return NOT_FOUND;
}

API int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, void **device)
{
    unsigned number;
    if (sscanf(bus, "00000000:%x:00.0", &number) != 1)
        return NOT_FOUND;
    return nvmlDeviceGetHandleByIndex_v2(number - 1, device);
}

API int nvmlDeviceGetUtilizationRates(void *device, struct nvml_utilization *utilization)
{
    *utilization = (struct nvml_utilization){77, 33};
    return 0;
}

API int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned *count,
                                                struct nvml_process *processes)
{
    const struct fake_truth *t = fake_truth();
    unsigned found = 0, room = *count;
    for (unsigned i = 0; i < FAKE_PROCESSES; i++) {
        const struct fake_process *p = &t->processes[i];
        if (!p->pid || !p->used_bytes[index_of(device)])
            continue;
        if (found < room)
            processes[found] =
                (struct nvml_process){(unsigned)p->pid, p->used_bytes[index_of(device)],
                                      NVML_NO_INSTANCE, NVML_NO_INSTANCE};
        found++;
    }
    *count = found;
    return found > room ? INSUFFICIENT_SIZE : 0;
}
