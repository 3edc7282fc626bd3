/* What Oclgrind's tests have in common, written anew: they run on any platform. */
#include "common.h"

#include <stdio.h>
#include <stdlib.h>

void checkError(cl_int code, const char *what)
{
    if (code == CL_SUCCESS)
        return;
    printf("%s: %d\n", what, code);
    exit(1);
}

void checkOclgrindPlatform(cl_platform_id platform)
{
    (void)platform;
}

Context createContext(const char *source, const char *options)
{
    Context it;
    cl_int code;
    checkError(clGetPlatformIDs(1, &it.platform, NULL), "platform");
    checkError(clGetDeviceIDs(it.platform, CL_DEVICE_TYPE_ALL, 1, &it.device, NULL), "device");
    it.context = clCreateContext(NULL, 1, &it.device, NULL, NULL, &code);
    checkError(code, "context");
    it.queue = clCreateCommandQueue(it.context, it.device, 0, &code);
    checkError(code, "queue");
    it.program = clCreateProgramWithSource(it.context, 1, &source, NULL, &code);
    checkError(code, "program");
    checkError(clBuildProgram(it.program, 1, &it.device, options, NULL, NULL), "build");
    return it;
}

void releaseContext(Context it)
{
    clReleaseProgram(it.program);
    clReleaseCommandQueue(it.queue);
    clReleaseContext(it.context);
}
