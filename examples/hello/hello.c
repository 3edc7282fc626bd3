/* Add two vectors on the first OpenCL device: cc hello.c -o hello -lOpenCL && leat run ./hello */
#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
#include <stdio.h>

int main(void)
{
    const char *source = "kernel void add(global const float *a, global const float *b, global"
                         " float *c) { size_t i = get_global_id(0); c[i] = a[i] + b[i]; }";
    float a[4] = {1, 2, 3, 4}, b[4] = {10, 20, 30, 40}, c[4];
    size_t count = 4;
    cl_platform_id platform;
    cl_device_id device;
    clGetPlatformIDs(1, &platform, NULL);
    clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, NULL);
    cl_context context = clCreateContext(NULL, 1, &device, NULL, NULL, NULL);
    cl_command_queue queue = clCreateCommandQueue(context, device, 0, NULL);
    cl_program program = clCreateProgramWithSource(context, 1, &source, NULL, NULL);
    clBuildProgram(program, 1, &device, "", NULL, NULL);
    cl_kernel add = clCreateKernel(program, "add", NULL);
    cl_mem in_a = clCreateBuffer(context, CL_MEM_COPY_HOST_PTR, sizeof(a), a, NULL);
    cl_mem in_b = clCreateBuffer(context, CL_MEM_COPY_HOST_PTR, sizeof(b), b, NULL);
    cl_mem out = clCreateBuffer(context, CL_MEM_WRITE_ONLY, sizeof(c), NULL, NULL);
    clSetKernelArg(add, 0, sizeof(in_a), &in_a);
    clSetKernelArg(add, 1, sizeof(in_b), &in_b);
    clSetKernelArg(add, 2, sizeof(out), &out);
    clEnqueueNDRangeKernel(queue, add, 1, NULL, &count, NULL, 0, NULL, NULL);
    if (clEnqueueReadBuffer(queue, out, CL_TRUE, 0, sizeof(c), c, 0, NULL, NULL) != CL_SUCCESS)
        return 1;
    printf("%g %g %g %g\n", c[0], c[1], c[2], c[3]);
    return 0;
}
