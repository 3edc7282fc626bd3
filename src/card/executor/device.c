/* Platforms and devices of this machine, and the probe that lists them: see device.h and
 * executor.h. */
#include "card/executor/device.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "card/executor/executor.h"
#include "card/executor/nvml.h"
#include "card/executor/snapshot.h"
#include "card/wire/wire.h"

#define PLATFORMS_MAX 16
#define DEVICES_MAX 64
#define TEXT_MAX 512
#define LEAT_PLATFORM "Leat"

void device_clean_environment(void)
{
    const char *vendors = getenv("LEAT_DEVICE_ICD_VENDORS");
    if (vendors)
        (void)setenv("OCL_ICD_VENDORS", vendors, 1); /* out of memory: the default is as good */
    else
        (void)unsetenv("OCL_ICD_VENDORS");
    (void)unsetenv("LEAT_CARD_SOCKET"); /* cannot fail: the names are valid */
    (void)unsetenv("LEAT_CARD_TOKEN");
    (void)unsetenv("OPENCL_LAYERS");
}

void device_point_caches(const char *folder)
{
    static const struct {
        const char *variable, *name;
    } caches[] = {
        {"XDG_CACHE_HOME", ""}, /* Mesa, Intel and whatever else keeps to the rule */
        {"POCL_CACHE_DIR", "/pocl"},
        {"CUDA_CACHE_PATH", "/nvidia"},
    };
    for (size_t i = 0; i < sizeof(caches) / sizeof(caches[0]); i++) {
        char path[PATH_MAX];
        (void)snprintf(path, sizeof(path), "%s%s", folder, caches[i].name); /* cut off: no cache */
        (void)setenv(caches[i].variable, path, 1); /* out of memory: no cache, by the sandbox */
    }
}

static void platform_text(cl_platform_id platform, cl_platform_info what, char text[TEXT_MAX])
{
    text[0] = '\0';
    if (clGetPlatformInfo(platform, what, TEXT_MAX, text, NULL) != CL_SUCCESS)
        text[0] = '\0';
}

static void device_text(cl_device_id device, cl_device_info what, char text[TEXT_MAX])
{
    text[0] = '\0';
    if (clGetDeviceInfo(device, what, TEXT_MAX, text, NULL) != CL_SUCCESS)
        text[0] = '\0';
}

static cl_uint list_platforms(cl_platform_id platforms[PLATFORMS_MAX])
{
    cl_platform_id all[PLATFORMS_MAX];
    cl_uint count = 0, kept = 0;
    if (clGetPlatformIDs(PLATFORMS_MAX, all, &count) != CL_SUCCESS)
        return 0;
    for (cl_uint i = 0; i < count && i < PLATFORMS_MAX; i++) {
        char name[TEXT_MAX];
        platform_text(all[i], CL_PLATFORM_NAME, name);
        if (strcmp(name, LEAT_PLATFORM) != 0)
            platforms[kept++] = all[i];
    }
    return kept;
}

static cl_uint list_devices(cl_platform_id platform, cl_device_id devices[DEVICES_MAX])
{
    cl_uint count = 0;
    if (clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, DEVICES_MAX, devices, &count) != CL_SUCCESS)
        return 0;
    return count < DEVICES_MAX ? count : DEVICES_MAX;
}

int device_find(unsigned platform_index, unsigned device_index, cl_platform_id *ret_platform,
                cl_device_id *ret_device, struct error *err)
{
    cl_platform_id platforms[PLATFORMS_MAX];
    cl_device_id devices[DEVICES_MAX];
    cl_uint platform_count = list_platforms(platforms);
    if (platform_index >= platform_count)
        return error_set(err, -ENODEV, "no-device", "OpenCL platform %u asked, %u there",
                         platform_index, platform_count);
    cl_uint device_count = list_devices(platforms[platform_index], devices);
    if (device_index >= device_count)
        return error_set(err, -ENODEV, "no-device", "device %u of platform %u asked, %u there",
                         device_index, platform_index, device_count);
    *ret_platform = platforms[platform_index];
    *ret_device = devices[device_index];
    return 0;
}

static const char *kind_text(cl_device_id device)
{
    cl_device_type type = 0;
    (void)clGetDeviceInfo(device, CL_DEVICE_TYPE, sizeof(type), &type, NULL); /* 0 then */
    if (type & CL_DEVICE_TYPE_GPU)
        return "gpu";
    return type & CL_DEVICE_TYPE_CPU ? "cpu" : "accelerator";
}

static json_int_t device_u64(cl_device_id device, cl_device_info what)
{
    cl_ulong value = 0;
    (void)clGetDeviceInfo(device, what, sizeof(value), &value, NULL); /* 0 then */
    return (json_int_t)value;
}

static void uuid_text(cl_device_id device, char text[2 * CL_UUID_SIZE_KHR + 1])
{
    cl_uchar uuid[CL_UUID_SIZE_KHR];
    text[0] = '\0';
    if (clGetDeviceInfo(device, CL_DEVICE_UUID_KHR, sizeof(uuid), uuid, NULL) != CL_SUCCESS)
        return;
    for (int i = 0; i < CL_UUID_SIZE_KHR; i++)
        (void)snprintf(text + 2 * i, 3, "%02x", uuid[i]);
}

/* The length of the snapshot at `place`; 0: it cannot be had. */
static size_t put_snapshot(cl_platform_id platform, cl_device_id device, uint8_t *place)
{
    AUTO_BUF struct buf snapshot = BUF_INIT;
    if (snapshot_write(platform, device, &snapshot) < 0 || snapshot.length > WIRE_SNAPSHOT_BYTES)
        return 0;
    memcpy(place, snapshot.data, snapshot.length);
    return snapshot.length;
}

static json_t *describe(cl_platform_id platform, cl_device_id device, unsigned platform_index,
                        unsigned device_index, uint8_t *snapshot)
{
    char platform_name[TEXT_MAX], name[TEXT_MAX], vendor[TEXT_MAX], version[TEXT_MAX],
        driver[TEXT_MAX], uuid[2 * CL_UUID_SIZE_KHR + 1];
    cl_uint units = 0;
    platform_text(platform, CL_PLATFORM_NAME, platform_name);
    device_text(device, CL_DEVICE_NAME, name);
    device_text(device, CL_DEVICE_VENDOR, vendor);
    device_text(device, CL_DEVICE_VERSION, version);
    device_text(device, CL_DRIVER_VERSION, driver);
    uuid_text(device, uuid);
    (void)clGetDeviceInfo(device, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof(units), &units, NULL);
    return json_pack("{s:i, s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:i, s:s, s:b, s:I}",
                     "platform_index", (int)platform_index, "device_index", (int)device_index,
                     "platform", platform_name, "name", name, "vendor", vendor, "version", version,
                     "driver", driver, "kind", kind_text(device), "memory_bytes",
                     device_u64(device, CL_DEVICE_GLOBAL_MEM_SIZE), "max_alloc_bytes",
                     device_u64(device, CL_DEVICE_MAX_MEM_ALLOC_SIZE), "compute_units", (int)units,
                     "uuid", uuid, "shares_memory", device_shares_memory(device), "snapshot_bytes",
                     (json_int_t)put_snapshot(platform, device, snapshot));
}

int executor_probe(int out_fd, uint8_t *snapshots)
{
    cl_platform_id platforms[PLATFORMS_MAX];
    cl_device_id devices[DEVICES_MAX];
    AUTO_JSON json_t *list = json_array();
    device_clean_environment();
    int status = executor_preload() == 0 ? PROBE_MAY_PRELOAD : PROBE_NO_PRELOAD;
    cl_uint platform_count = list_platforms(platforms);
    for (cl_uint p = 0; p < platform_count; p++) {
        cl_uint device_count = list_devices(platforms[p], devices);
        for (cl_uint d = 0; d < device_count; d++) {
            size_t number = json_array_size(list);
            if (number == PROBE_DEVICES_MAX)
                return PROBE_FAILED;
            if (json_array_append_new(list, describe(platforms[p], devices[d], p, d,
                                                     snapshots + number * WIRE_SNAPSHOT_BYTES)) < 0)
                return PROBE_FAILED;
        }
    }
    if (nvml_list(list) < 0)
        return PROBE_FAILED;
    AUTO_FREE char *text = json_text(list);
    return text && fd_write_all(out_fd, text, strlen(text)) == 0 ? status : PROBE_FAILED;
}

int device_shares_memory(cl_device_id device)
{
    cl_device_type type = 0;
    cl_bool unified = CL_FALSE;
    cl_uint align_bits = ~0u;
    (void)clGetDeviceInfo(device, CL_DEVICE_TYPE, sizeof(type), &type, NULL);
    (void)clGetDeviceInfo(device, CL_DEVICE_HOST_UNIFIED_MEMORY, sizeof(unified), &unified, NULL);
    (void)clGetDeviceInfo(device, CL_DEVICE_MEM_BASE_ADDR_ALIGN, sizeof(align_bits), &align_bits,
                          NULL);
    return (type & CL_DEVICE_TYPE_CPU) && unified && align_bits / 8 <= WIRE_RANGE_ALIGN;
}
