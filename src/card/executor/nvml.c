/* NVIDIA's devices: see nvml.h. The library is opened by name in the probe's own process, and its
 * interface declared here from its public documentation. */
#include "card/executor/nvml.h"

#include <dlfcn.h>
#include <errno.h>

#include "base/json.h"

#define DEVICES_MAX 64u
#define TEXT_MAX 96u

struct memory {
    unsigned long long total, free, used;
};

typedef struct nvmlDevice *device_handle;

struct library {
    int (*init)(void);
    int (*count)(unsigned *count);
    int (*handle)(unsigned index, device_handle *device);
    int (*name)(device_handle device, char *name, unsigned length);
    int (*memory)(device_handle device, struct memory *memory);
    int (*uuid)(device_handle device, char *uuid, unsigned length);
    int (*driver)(char *version, unsigned length);
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
    };
    void *handle = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return -ENOENT;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        *(void **)names[i].function = dlsym(handle, names[i].name);
        if (!*(void **)names[i].function)
            return -ENOENT;
    }
    return library->init() == 0 ? 0 : -ENODEV;
}

static json_t *describe(const struct library *library, unsigned index, const char *driver)
{
    char name[TEXT_MAX] = "", uuid[TEXT_MAX] = "";
    struct memory memory = {0};
    device_handle device;
    if (library->handle(index, &device) != 0 || library->memory(device, &memory) != 0)
        return json_null();                          /* lost from the bus */
    (void)library->name(device, name, sizeof(name)); /* empty then */
    (void)library->uuid(device, uuid, sizeof(uuid));
    return json_pack("{s:i, s:i, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:i, s:s}", "platform_index", 0,
                     "device_index", (int)index, "platform", "CUDA", "name", name, "vendor",
                     "NVIDIA Corporation", "driver", driver, "kind", "cuda", "memory_bytes",
                     (json_int_t)memory.total, "max_alloc_bytes", (json_int_t)memory.total,
                     "compute_units", 0, "uuid", uuid);
}

int nvml_list(json_t *list)
{
    struct library library;
    unsigned count = 0;
    char driver[TEXT_MAX] = "";
    if (library_open(&library) < 0 || library.count(&count) != 0)
        return 0;
    (void)library.driver(driver, sizeof(driver)); /* empty then */
    for (unsigned i = 0; i < count && i < DEVICES_MAX; i++) {
        json_t *item = describe(&library, i, driver);
        if (json_is_null(item))
            continue;
        if (!item || json_array_append_new(list, item) < 0)
            return -ENOMEM;
    }
    return 0;
}
