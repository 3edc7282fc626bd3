/* The platform and its device, the card, and what the loader asks of us. */
#include "card/opencl/content_size.h"
#include "card/opencl/info.h"
#include "card/opencl/process.h"
#include "card/opencl/subdevice.h"
#include "opencl_api.h"

#define EXPORT __attribute__((visibility("default")))

cl_int api_clGetPlatformIDs(cl_uint num_entries, cl_platform_id *platforms, cl_uint *num_platforms)
{
    if ((!platforms && !num_platforms) || (platforms && num_entries == 0))
        return CL_INVALID_VALUE;
    cl_platform_id all[CARDS_MAX] = {&process.platform};
    cl_uint count = process_connect() == CL_SUCCESS ? 1 : 0;
    count += siblings_platforms(&process.siblings, CARDS_MAX - count, all + count);
    if (num_platforms)
        *num_platforms = count;
    if (count == 0)
        return CL_PLATFORM_NOT_FOUND_KHR;
    for (cl_uint i = 0; platforms && i < count && i < num_entries; i++)
        platforms[i] = all[i];
    return CL_SUCCESS;
}

cl_int api_clGetPlatformInfo(cl_platform_id platform, cl_platform_info param_name,
                             size_t param_value_size, void *param_value,
                             size_t *param_value_size_ret)
{
    struct info_out out = {param_value_size, param_value, param_value_size_ret};
    size_t length;
    if (process_connect() != CL_SUCCESS)
        return CL_DEVICE_NOT_AVAILABLE;
    const void *data = snapshot_find(&process.snapshot, WIRE_INFO_PLATFORM, param_name, &length);
    return data ? info_put(&out, data, length) : CL_INVALID_VALUE;
}

/* The default device is the first. */
static int is_of_type(cl_device_id device, cl_device_type asked)
{
    const cl_device_type own = device_number(device, CL_DEVICE_TYPE) & ~CL_DEVICE_TYPE_DEFAULT;
    return (asked & own) || (device == process.devices && (asked & CL_DEVICE_TYPE_DEFAULT));
}

/* Of all, how many there are; `room` of them are told. */
static cl_uint list_devices(cl_device_type type, cl_uint room, cl_device_id *devices)
{
    cl_uint count = 0;
    for (unsigned i = 0; i < process.card_count; i++) {
        if (!is_of_type(&process.devices[i], type))
            continue;
        if (count < room)
            devices[count] = &process.devices[i];
        count++;
    }
    return count;
}

cl_int api_clGetDeviceIDs(cl_platform_id platform, cl_device_type device_type, cl_uint num_entries,
                          cl_device_id *devices, cl_uint *num_devices)
{
    const cl_device_type known = CL_DEVICE_TYPE_DEFAULT | CL_DEVICE_TYPE_CPU | CL_DEVICE_TYPE_GPU |
                                 CL_DEVICE_TYPE_ACCELERATOR | CL_DEVICE_TYPE_CUSTOM;
    if ((!devices && !num_devices) || (devices && num_entries == 0))
        return CL_INVALID_VALUE;
    if (device_type != CL_DEVICE_TYPE_ALL && (device_type == 0 || (device_type & ~known)))
        return CL_INVALID_DEVICE_TYPE;
    if (process_connect() != CL_SUCCESS)
        return CL_DEVICE_NOT_FOUND;
    const cl_uint count = list_devices(device_type, devices ? num_entries : 0, devices);
    if (count > 0 && num_devices)
        *num_devices = count;
    return count > 0 ? CL_SUCCESS : CL_DEVICE_NOT_FOUND;
}

cl_int api_clGetDeviceInfo(cl_device_id device, cl_device_info param_name, size_t param_value_size,
                           void *param_value, size_t *param_value_size_ret)
{
    struct info_out out = {param_value_size, param_value, param_value_size_ret};
    const cl_platform_id platform = &process.platform;
    size_t length;
    if (process_connect() != CL_SUCCESS)
        return CL_DEVICE_NOT_AVAILABLE;
    switch (param_name) {
    case CL_DEVICE_PLATFORM:
        return info_put(&out, &platform, sizeof(platform));
    case CL_DEVICE_PARENT_DEVICE:
        return info_put(&out, &device->parent, sizeof(device->parent));
    case CL_DEVICE_REFERENCE_COUNT:
        return info_put(&out, &device->references, sizeof(device->references));
    default: {
        const void *data = device_find(device, param_name, &length);
        return data ? info_put(&out, data, length) : CL_INVALID_VALUE;
    }
    }
}

cl_int api_clUnloadPlatformCompiler(cl_platform_id platform)
{
    return CL_SUCCESS;
}

cl_int api_clUnloadCompiler(void)
{
    return CL_SUCCESS;
}

/* Whether the device has the extension that a function belongs to. */
static int has_extension(const char *name)
{
    if (process_connect() != CL_SUCCESS)
        return 0;
    size_t length;
    const char *all = device_find(process.devices, CL_DEVICE_EXTENSIONS, &length);
    const size_t name_length = strlen(name);
    for (const char *at = all; at && (at = strstr(at, name)); at += name_length)
        if ((at == all || at[-1] == ' ') && (at[name_length] == ' ' || !at[name_length]))
            return 1;
    return 0;
}

/* What the loader looks up by name, extensions that became functions of the core, and functions of
 * extensions. Everything else goes through the dispatch table. */
void *api_clGetExtensionFunctionAddress(const char *function_name)
{
    const struct {
        const char *name;
        void *function;
    } functions[] = {
        {"clIcdGetPlatformIDsKHR", (void *)api_clGetPlatformIDs},
        {"clGetPlatformInfo", (void *)clGetPlatformInfo},
        {"clCreateProgramWithILKHR", (void *)opencl_dispatch.clCreateProgramWithIL},
        {CONTENT_SIZE_FUNCTION, content_size_is_served() ? (void *)content_size_set : NULL},
        {SIBLING_FUNCTION, (void *)sibling_be}};
    for (size_t i = 0; function_name && i < sizeof(functions) / sizeof(functions[0]); i++)
        if (strcmp(function_name, functions[i].name) == 0)
            return functions[i].function;
    for (const struct opencl_named *row = opencl_named; function_name && row->name; row++)
        if (strcmp(function_name, row->name) == 0)
            return has_extension(row->extension) ? row->function : NULL;
    return NULL;
}

void *api_clGetExtensionFunctionAddressForPlatform(cl_platform_id platform,
                                                   const char *function_name)
{
    return api_clGetExtensionFunctionAddress(function_name);
}

EXPORT void *CL_API_CALL clGetExtensionFunctionAddress(const char *function_name)
{
    return opencl_dispatch.clGetExtensionFunctionAddress(function_name);
}

EXPORT cl_int CL_API_CALL clIcdGetPlatformIDsKHR(cl_uint num_entries, cl_platform_id *platforms,
                                                 cl_uint *num_platforms)
{
    return opencl_dispatch.clGetPlatformIDs(num_entries, platforms, num_platforms);
}

EXPORT cl_int CL_API_CALL clGetPlatformInfo(cl_platform_id platform, cl_platform_info param_name,
                                            size_t param_value_size, void *param_value,
                                            size_t *param_value_size_ret)
{
    const struct _cl_icd_dispatch *dispatch = &opencl_dispatch;
    cl_platform_id others[CARDS_MAX];
    cl_uint count = siblings_platforms(&process.siblings, CARDS_MAX, others);
    for (cl_uint i = 0; i < count; i++)
        if (others[i] == platform)
            dispatch = platform->object.dispatch;
    return dispatch->clGetPlatformInfo(platform, param_name, param_value_size, param_value,
                                       param_value_size_ret);
}
