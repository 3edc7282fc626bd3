/* Fill a card to its last byte and one step further. Prints how many bytes fitted, the error of the
 * allocation that did not, and whether what was released can be taken again.
 *
 *   quota_probe CHUNK_BYTES LIMIT_BYTES     stop at the limit when nothing refuses */
#include <CL/cl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define BUFFERS_MAX 4096

static void check(cl_int status, const char *what)
{
    if (status != CL_SUCCESS) {
        fprintf(stderr, "quota_probe: %s: status %d\n", what, status);
        exit(1);
    }
}

/* An allocation counts when its memory can be used: some drivers allocate at the first command. */
static cl_int allocate(cl_context context, cl_command_queue queue, size_t bytes, cl_mem *ret_buffer)
{
    cl_int status;
    const cl_uchar byte = 1;
    *ret_buffer = clCreateBuffer(context, CL_MEM_READ_WRITE, bytes, NULL, &status);
    if (status != CL_SUCCESS)
        return status;
    status = clEnqueueWriteBuffer(queue, *ret_buffer, CL_TRUE, bytes - 1, 1, &byte, 0, NULL, NULL);
    if (status != CL_SUCCESS)
        clReleaseMemObject(*ret_buffer);
    return status;
}

int main(int argc, char **argv)
{
    static cl_mem buffers[BUFFERS_MAX];
    const size_t chunk = argc == 3 ? strtoull(argv[1], NULL, 10) : 0;
    const uint64_t limit = argc == 3 ? strtoull(argv[2], NULL, 10) : 0;
    if (chunk == 0) {
        fputs("usage: quota_probe CHUNK_BYTES LIMIT_BYTES\n", stderr);
        return 2;
    }
    cl_platform_id platform;
    cl_device_id device;
    cl_ulong memory = 0;
    cl_int status;
    check(clGetPlatformIDs(1, &platform, NULL), "clGetPlatformIDs");
    check(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, NULL), "clGetDeviceIDs");
    check(clGetDeviceInfo(device, CL_DEVICE_GLOBAL_MEM_SIZE, sizeof(memory), &memory, NULL),
          "info");
    cl_context context = clCreateContext(NULL, 1, &device, NULL, NULL, &status);
    check(status, "clCreateContext");
    cl_command_queue queue = clCreateCommandQueue(context, device, 0, &status);
    check(status, "clCreateCommandQueue");

    unsigned count = 0;
    cl_int refusal = CL_SUCCESS;
    while (count < BUFFERS_MAX && count * (uint64_t)chunk < limit && refusal == CL_SUCCESS) {
        refusal = allocate(context, queue, chunk, &buffers[count]);
        count += refusal == CL_SUCCESS;
    }
    printf("device_bytes\t%llu\n", (unsigned long long)memory);
    printf("fitted_bytes\t%llu\n", (unsigned long long)count * chunk);
    printf("refusal\t%d\n", refusal);
    cl_mem again = NULL;
    if (count > 0) {
        clReleaseMemObject(buffers[--count]);
        check(clFinish(queue), "clFinish");
        status = allocate(context, queue, chunk, &again);
        printf("again\t%d\n", status);
        if (status == CL_SUCCESS)
            clReleaseMemObject(again);
    }
    while (count > 0)
        clReleaseMemObject(buffers[--count]);
    clReleaseCommandQueue(queue);
    clReleaseContext(context);
    return 0;
}
