/* The OpenCL device: see device.h. */
#include "device.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("digits: ", stderr);
    vfprintf(stderr, format, args);
    fputs("\n", stderr);
    va_end(args);
    exit(EXIT_FAILURE);
}

static const char *error_name(cl_int status)
{
    switch (status) {
    case CL_DEVICE_NOT_FOUND:
        return "no device found";
    case CL_DEVICE_NOT_AVAILABLE:
        return "the device is not available";
    case CL_MEM_OBJECT_ALLOCATION_FAILURE:
    case CL_OUT_OF_RESOURCES:
        return "out of device memory";
    case CL_OUT_OF_HOST_MEMORY:
        return "out of host memory";
    case CL_BUILD_PROGRAM_FAILURE:
        return "the kernels do not compile";
    default:
        return "error";
    }
}

static void check(cl_int status, const char *what)
{
    if (status != CL_SUCCESS)
        fail("%s: %s (OpenCL status %d)", what, error_name(status), status);
}

static cl_device_id device_find(void)
{
    cl_platform_id platforms[8];
    cl_uint platform_count = 0;
    if (clGetPlatformIDs(8, platforms, &platform_count) != CL_SUCCESS || platform_count == 0)
        fail("no OpenCL platform on this system (on Debian: apt install pocl-opencl-icd)");
    for (cl_uint i = 0; i < platform_count && i < 8; i++) {
        cl_device_id id;
        if (clGetDeviceIDs(platforms[i], CL_DEVICE_TYPE_ALL, 1, &id, NULL) == CL_SUCCESS)
            return id;
    }
    fail("none of the %u OpenCL platforms has a device", platform_count);
}

static void program_build(struct device *device, const char *source)
{
    cl_int status;
    device->program = clCreateProgramWithSource(device->context, 1, &source, NULL, &status);
    check(status, "clCreateProgramWithSource");
    status = clBuildProgram(device->program, 1, &device->id, "", NULL, NULL);
    if (status == CL_BUILD_PROGRAM_FAILURE) {
        char log[8192] = "";
        clGetProgramBuildInfo(device->program, device->id, CL_PROGRAM_BUILD_LOG, sizeof(log) - 1,
                              log, NULL);
        fprintf(stderr, "%s\n", log);
    }
    check(status, "clBuildProgram");
}

void device_open(struct device *device, const char *source)
{
    cl_int status;
    char name[256] = "";
    cl_ulong memory_bytes = 0;
    device->id = device_find();
    check(clGetDeviceInfo(device->id, CL_DEVICE_NAME, sizeof(name) - 1, name, NULL), "device name");
    check(clGetDeviceInfo(device->id, CL_DEVICE_GLOBAL_MEM_SIZE, sizeof(memory_bytes),
                          &memory_bytes, NULL),
          "device memory");
    printf("device: %s, %.0f MiB\n", name, (double)memory_bytes / (1 << 20));
    device->context = clCreateContext(NULL, 1, &device->id, NULL, NULL, &status);
    check(status, "clCreateContext");
    device->queue = clCreateCommandQueue(device->context, device->id, 0, &status);
    check(status, "clCreateCommandQueue");
    program_build(device, source);
}

void device_close(struct device *device)
{
    clReleaseProgram(device->program);
    clReleaseCommandQueue(device->queue);
    clReleaseContext(device->context);
}

cl_kernel device_kernel(const struct device *device, const char *name)
{
    cl_int status;
    cl_kernel kernel = clCreateKernel(device->program, name, &status);
    check(status, name);
    return kernel;
}

cl_mem device_buffer(const struct device *device, size_t bytes, const char *what)
{
    cl_int status;
    cl_mem buffer = clCreateBuffer(device->context, CL_MEM_READ_WRITE, bytes, NULL, &status);
    check(status, what);
    return buffer;
}

void device_write(const struct device *device, cl_mem buffer, const void *data, size_t bytes)
{
    check(clEnqueueWriteBuffer(device->queue, buffer, CL_TRUE, 0, bytes, data, 0, NULL, NULL),
          "clEnqueueWriteBuffer");
}

void device_read(const struct device *device, cl_mem buffer, void *data, size_t bytes)
{
    check(clEnqueueReadBuffer(device->queue, buffer, CL_TRUE, 0, bytes, data, 0, NULL, NULL),
          "clEnqueueReadBuffer");
}

void device_finish(const struct device *device)
{
    check(clFinish(device->queue), "clFinish");
}

void device_launch(const struct device *device, cl_kernel kernel, struct work_size global,
                   struct work_size local, const struct argument *arguments, cl_uint count)
{
    const size_t global_size[] = {global.x, global.y}, local_size[] = {local.x, local.y};
    for (cl_uint i = 0; i < count; i++)
        check(clSetKernelArg(kernel, i, arguments[i].bytes, arguments[i].value), "clSetKernelArg");
    check(clEnqueueNDRangeKernel(device->queue, kernel, 2, NULL, global_size, local_size, 0, NULL,
                                 NULL),
          "clEnqueueNDRangeKernel");
}
