#include "poclu.h"

#include <string.h>

#define DEVICES_MAX 16

cl_int poclu_get_multiple_devices(cl_platform_id *platform, cl_context *context, cl_uint *count,
                                  cl_device_id **devices, cl_command_queue **queues)
{
    cl_int code = clGetPlatformIDs(1, platform, NULL);
    *devices = calloc(DEVICES_MAX, sizeof(**devices));
    *queues = calloc(DEVICES_MAX, sizeof(**queues));
    if (!*devices || !*queues)
        return CL_OUT_OF_HOST_MEMORY;
    if (code == CL_SUCCESS)
        code = clGetDeviceIDs(*platform, CL_DEVICE_TYPE_ALL, DEVICES_MAX, *devices, count);
    if (code == CL_SUCCESS)
        *context = clCreateContext(NULL, *count, *devices, NULL, NULL, &code);
    for (cl_uint i = 0; code == CL_SUCCESS && i < *count; i++)
        (*queues)[i] = clCreateCommandQueue(*context, (*devices)[i], 0, &code);
    return code;
}

cl_int poclu_get_any_device2(cl_context *context, cl_device_id *device, cl_command_queue *queue,
                             cl_platform_id *platform)
{
    cl_int code = clGetPlatformIDs(1, platform, NULL);
    if (code == CL_SUCCESS)
        code = clGetDeviceIDs(*platform, CL_DEVICE_TYPE_ALL, 1, device, NULL);
    if (code == CL_SUCCESS)
        *context = clCreateContext(NULL, 1, device, NULL, NULL, &code);
    if (code == CL_SUCCESS)
        *queue = clCreateCommandQueue(*context, *device, CL_QUEUE_PROFILING_ENABLE, &code);
    return code;
}

cl_int poclu_get_any_device(cl_context *context, cl_device_id *device, cl_command_queue *queue)
{
    cl_platform_id platform;
    return poclu_get_any_device2(context, device, queue, &platform);
}

cl_context poclu_create_any_context(void)
{
    cl_context context = NULL;
    cl_device_id device;
    cl_command_queue queue;
    if (poclu_get_any_device(&context, &device, &queue) == CL_SUCCESS)
        (void)clReleaseCommandQueue(queue);
    return context;
}

char *poclu_read_binfile(const char *path, size_t *bytes)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    (void)fseek(file, 0, SEEK_END);
    long length = ftell(file);
    rewind(file);
    char *content = calloc(1, (size_t)length + 1);
    *bytes = content ? fread(content, 1, (size_t)length, file) : 0;
    (void)fclose(file);
    return content;
}

char *poclu_read_file(const char *path)
{
    size_t bytes;
    return poclu_read_binfile(path, &bytes);
}

int poclu_write_file(const char *path, char *content, size_t bytes)
{
    FILE *file = fopen(path, "wb");
    if (!file)
        return -1;
    size_t written = fwrite(content, 1, bytes, file);
    return fclose(file) == 0 && written == bytes ? 0 : -1;
}

/* Sources only: the other forms are for other drivers. */
int poclu_load_program_multidev(cl_context context, cl_device_id *devices, cl_uint count,
                                const char *name, int spir, int spirv, int poclbin,
                                const char *binary, const char *options, cl_program *program)
{
    char path[4096];
    cl_int code = CL_INVALID_VALUE;
    (void)snprintf(path, sizeof(path), "%s/%s.cl", SRCDIR, name);
    char *source = spir || spirv || poclbin || binary ? NULL : poclu_read_file(path);
    if (!source)
        return code;
    *program = clCreateProgramWithSource(context, 1, (const char **)&source, NULL, &code);
    free(source);
    if (code == CL_SUCCESS)
        code = clBuildProgram(*program, count, devices, options, NULL, NULL);
    return code;
}

int poclu_load_program(cl_context context, cl_device_id device, const char *name, int spir,
                       int spirv, int poclbin, const char *binary, const char *options,
                       cl_program *program)
{
    return poclu_load_program_multidev(context, &device, 1, name, spir, spirv, poclbin, binary,
                                       options, program);
}

cl_int poclu_show_program_build_log(cl_program program)
{
    cl_device_id devices[DEVICES_MAX];
    char log[65536];
    size_t bytes = 0;
    cl_int code = clGetProgramInfo(program, CL_PROGRAM_DEVICES, sizeof(devices), devices, &bytes);
    for (size_t i = 0; code == CL_SUCCESS && i < bytes / sizeof(devices[0]); i++) {
        code = clGetProgramBuildInfo(program, devices[i], CL_PROGRAM_BUILD_LOG, sizeof(log), log,
                                     NULL);
        if (code == CL_SUCCESS)
            (void)fprintf(stderr, "%s\n", log);
    }
    return code;
}

/* Device and host have the same order of bytes on every machine that this runs on. */
cl_int poclu_bswap_cl_int(cl_device_id device, cl_int value)
{
    return value;
}

cl_float poclu_bswap_cl_float(cl_device_id device, cl_float value)
{
    return value;
}

void poclu_bswap_cl_int_array(cl_device_id device, cl_int *values, size_t count)
{
}

void poclu_bswap_cl_float_array(cl_device_id device, cl_float *values, size_t count)
{
}

int check_cl_error(cl_int code, int line, const char *where)
{
    if (code != CL_SUCCESS)
        (void)fprintf(stderr, "line %d, %s: OpenCL error %d\n", line, where, (int)code);
    return code != CL_SUCCESS;
}
