/* NVIDIA's devices: see nvml.h. The library is opened by name in the probe's own process, and its
 * interface declared here from its public documentation. */
#include "card/executor/nvml.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "card/executor/executor.h"

#define DEVICES_MAX 64u
#define TEXT_MAX 96u
#define PROCESSES_MAX 1024u /* of one device; more are not audited */
#define BYTES_UNKNOWN UINT64_MAX

struct memory {
    unsigned long long total, free, used;
};

typedef struct nvmlDevice *device_handle;

/* nvmlProcessInfo_v2_t */
struct process {
    unsigned pid;
    unsigned long long bytes;
    unsigned gpu_instance, compute_instance;
};

struct library {
    int (*init)(void);
    int (*count)(unsigned *count);
    int (*handle)(unsigned index, device_handle *device);
    int (*name)(device_handle device, char *name, unsigned length);
    int (*memory)(device_handle device, struct memory *memory);
    int (*uuid)(device_handle device, char *uuid, unsigned length);
    int (*driver)(char *version, unsigned length);
    /* These may be missing in an old library. */
    int (*mig_mode)(device_handle device, unsigned *now, unsigned *later);
    int (*mig_most)(device_handle device, unsigned *count);
    int (*mig_handle)(device_handle device, unsigned index, device_handle *part);
    int (*processes)(device_handle device, unsigned *count, struct process *processes);
    int (*gpu_instance)(device_handle part, unsigned *id);
    int (*compute_instance)(device_handle part, unsigned *id);
};

static int library_open(struct library *library)
{
    const struct {
        const char *name;
        void *function;
    } names[] = {
        {"nvmlInit_v2", &library->init},
        {"nvmlDeviceGetCount_v2", &library->count},
        {"nvmlDeviceGetHandleByIndex_v2", &library->handle},
        {"nvmlDeviceGetName", &library->name},
        {"nvmlDeviceGetMemoryInfo", &library->memory},
        {"nvmlDeviceGetUUID", &library->uuid},
        {"nvmlSystemGetDriverVersion", &library->driver},
        {"nvmlDeviceGetMigMode", &library->mig_mode},
        {"nvmlDeviceGetMaxMigDeviceCount", &library->mig_most},
        {"nvmlDeviceGetMigDeviceHandleByIndex", &library->mig_handle},
        {"nvmlDeviceGetComputeRunningProcesses_v3", &library->processes},
        {"nvmlDeviceGetGpuInstanceId", &library->gpu_instance},
        {"nvmlDeviceGetComputeInstanceId", &library->compute_instance},
    };
    void *handle = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return -ENOENT;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        *(void **)names[i].function = dlsym(handle, names[i].name);
        if (!*(void **)names[i].function && names[i].function < (void *)&library->mig_mode)
            return -ENOENT;
    }
    return library->init() == 0 ? 0 : -ENODEV;
}

/* Which part of its device it is, as the driver counts them: GPU instance/compute instance. NULL:
 * the whole. */
static const char *part_of(const struct library *library, device_handle device, char text[TEXT_MAX])
{
    unsigned gpu, compute;
    if (!library->gpu_instance || !library->compute_instance ||
        library->gpu_instance(device, &gpu) != 0 ||
        library->compute_instance(device, &compute) != 0)
        return NULL;
    (void)snprintf(text, TEXT_MAX, "%u/%u", gpu, compute);
    return text;
}

/* A device with the number `index`, or a part of one. */
static json_t *describe(const struct library *library, unsigned index, device_handle device,
                        const char *driver)
{
    char name[TEXT_MAX] = "", uuid[TEXT_MAX] = "", part[TEXT_MAX];
    struct memory memory = {0};
    if (library->memory(device, &memory) != 0)
        return json_null();                          /* lost from the bus */
    (void)library->name(device, name, sizeof(name)); /* empty then */
    (void)library->uuid(device, uuid, sizeof(uuid));
    return json_pack("{s:i, s:i, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:i, s:s, s:s*}",
                     "platform_index", 0, "device_index", (int)index, "platform", "CUDA", "name",
                     name, "vendor", "NVIDIA Corporation", "driver", driver, "kind", "cuda",
                     "memory_bytes", (json_int_t)memory.total, "max_alloc_bytes",
                     (json_int_t)memory.total, "compute_units", 0, "uuid", uuid, "part",
                     part_of(library, device, part));
}

static int append(json_t *list, json_t *item)
{
    if (!json_is_null(item))
        return item && json_array_append_new(list, item) == 0 ? 0 : -ENOMEM;
    return 0;
}

/* A device that is divided (MIG) can be used by its parts only. */
static int list_device(const struct library *library, unsigned index, const char *driver,
                       json_t *list)
{
    device_handle device, part;
    unsigned divided = 0, later, most = 0;
    if (library->handle(index, &device) != 0)
        return 0; /* lost from the bus */
    if (!library->mig_mode || !library->mig_most || !library->mig_handle ||
        library->mig_mode(device, &divided, &later) != 0 || !divided)
        return append(list, describe(library, index, device, driver));
    int r = 0;
    (void)library->mig_most(device, &most); /* none then */
    for (unsigned i = 0; r == 0 && i < most; i++)
        if (library->mig_handle(device, i, &part) == 0)
            r = append(list, describe(library, index, part, driver));
    return r;
}

int nvml_list(json_t *list)
{
    struct library library;
    unsigned count = 0;
    char driver[TEXT_MAX] = "";
    if (library_open(&library) < 0 || library.count(&count) != 0)
        return 0;
    (void)library.driver(driver, sizeof(driver)); /* empty then */
    int r = 0;
    for (unsigned i = 0; r == 0 && i < count && i < DEVICES_MAX; i++)
        r = list_device(&library, i, driver, list);
    return r;
}

static int audit_device(const struct library *library, unsigned index, json_t *list)
{
    struct process processes[PROCESSES_MAX];
    unsigned count = PROCESSES_MAX;
    device_handle device;
    if (library->handle(index, &device) != 0 || library->processes(device, &count, processes) != 0)
        return 0; /* lost from the bus, or too many */
    for (unsigned i = 0; i < count; i++) {
        if (processes[i].bytes == BYTES_UNKNOWN)
            continue;
        json_t *item = json_pack("{s:i, s:i, s:I}", "device", (int)index, "pid",
                                 (int)processes[i].pid, "bytes", (json_int_t)processes[i].bytes);
        if (!item || json_array_append_new(list, item) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int audit_answer(const struct library *library, int fd)
{
    AUTO_JSON json_t *list = json_array();
    unsigned count = 0;
    int r = list && library->count(&count) == 0 ? 0 : -EIO;
    for (unsigned i = 0; r == 0 && i < count && i < DEVICES_MAX; i++)
        r = audit_device(library, i, list);
    AUTO_FREE char *text = r == 0 ? json_dumps(list, JSON_COMPACT) : NULL;
    if (!text || fd_write_all(fd, text, strlen(text)) < 0)
        return -EIO;
    return fd_write_all(fd, "\n", 1);
}

int executor_audit(int fd)
{
    struct library library;
    char asked;
    if (library_open(&library) < 0 || !library.processes)
        return 1;
    while (read(fd, &asked, 1) == 1)
        if (audit_answer(&library, fd) < 0)
            return 1;
    return 0;
}
