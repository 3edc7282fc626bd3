/* An ICD in front of another one, PoCL, whose device says that it is a GPU, and not whose: for
 * programs that ask for nothing else, and take no PoCL. */
#include "icd_front.h"

/* What to ask the driver for; 0: nothing there is of that kind. */
static cl_device_type asked(cl_device_type type)
{
    if (type & (CL_DEVICE_TYPE_GPU | CL_DEVICE_TYPE_DEFAULT))
        return CL_DEVICE_TYPE_CPU;
    return type & ~(cl_device_type)CL_DEVICE_TYPE_CPU;
}

static cl_int CL_API_CALL device_ids(cl_platform_id platform, cl_device_type type, cl_uint room,
                                     cl_device_id *devices, cl_uint *count)
{
    return asked(type) ? driver.clGetDeviceIDs(platform, asked(type), room, devices, count)
                       : CL_DEVICE_NOT_FOUND;
}

static cl_context CL_API_CALL context_from_type(
    const cl_context_properties *properties, cl_device_type type,
    void(CL_CALLBACK *notify)(const char *, const void *, size_t, void *), void *arg, cl_int *code)
{
    if (asked(type))
        return driver.clCreateContextFromType(properties, asked(type), notify, arg, code);
    if (code)
        *code = CL_DEVICE_NOT_FOUND;
    return NULL;
}

static cl_int CL_API_CALL device_info(cl_device_id device, cl_device_info what, size_t room,
                                      void *value, size_t *length)
{
    static const cl_device_type type = CL_DEVICE_TYPE_GPU;
    static const char version[] = "OpenCL 3.0 graphics";
    const void *data = what == CL_DEVICE_TYPE ? (const void *)&type : version;
    const size_t bytes = what == CL_DEVICE_TYPE ? sizeof(type) : sizeof(version);

    if (what != CL_DEVICE_TYPE && what != CL_DEVICE_VERSION)
        return driver.clGetDeviceInfo(device, what, room, value, length);
    if (value && room < bytes)
        return CL_INVALID_VALUE;
    if (value)
        memcpy(value, data, bytes);
    if (length)
        *length = bytes;
    return CL_SUCCESS;
}

static void intercept(struct _cl_icd_dispatch *table)
{
    table->clGetDeviceIDs = device_ids;
    table->clCreateContextFromType = context_from_type;
    table->clGetDeviceInfo = device_info;
}
