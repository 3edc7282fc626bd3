/* Hold buffers as it is told, a line each on standard input, and answer each line.
 *
 *   +BYTES   make and fill a buffer: "ok", or the status that refused it
 *   -        release the newest: "ok"
 *   !        overwrite all with something else: "ok"
 *   =        check that all buffers hold what was written: "ok" or "differs" */
#include <CL/cl.h>
#include <stdio.h>
#include <stdlib.h>

#define BUFFERS_MAX 256

struct holder {
    cl_context context;
    cl_command_queue queue;
    struct {
        cl_mem memory;
        size_t bytes;
    } held[BUFFERS_MAX];
    unsigned count;
};

static cl_int hold(struct holder *holder, size_t bytes)
{
    cl_int status;
    cl_uchar pattern = (cl_uchar)(holder->count + 1);
    if (holder->count == BUFFERS_MAX)
        return CL_OUT_OF_RESOURCES;
    cl_mem memory = clCreateBuffer(holder->context, CL_MEM_READ_WRITE, bytes, NULL, &status);
    if (status != CL_SUCCESS)
        return status;
    status = clEnqueueFillBuffer(holder->queue, memory, &pattern, 1, 0, bytes, 0, NULL, NULL);
    if (status == CL_SUCCESS)
        status = clFinish(holder->queue);
    if (status != CL_SUCCESS) {
        clReleaseMemObject(memory);
        return status;
    }
    holder->held[holder->count].memory = memory;
    holder->held[holder->count].bytes = bytes;
    holder->count++;
    return CL_SUCCESS;
}

static cl_int let_go(struct holder *holder)
{
    if (holder->count == 0)
        return CL_INVALID_VALUE;
    clReleaseMemObject(holder->held[--holder->count].memory);
    return clFinish(holder->queue);
}

static cl_int overwrite(struct holder *holder)
{
    const cl_uchar other = 0xee;
    cl_int status = CL_SUCCESS;
    for (unsigned i = 0; i < holder->count && status == CL_SUCCESS; i++)
        status = clEnqueueFillBuffer(holder->queue, holder->held[i].memory, &other, 1, 0,
                                     holder->held[i].bytes, 0, NULL, NULL);
    return status == CL_SUCCESS ? clFinish(holder->queue) : status;
}

static int all_there(struct holder *holder)
{
    int good = 1;
    for (unsigned i = 0; i < holder->count; i++) {
        size_t bytes = holder->held[i].bytes;
        unsigned char *copy = malloc(bytes);
        good &= copy && clEnqueueReadBuffer(holder->queue, holder->held[i].memory, CL_TRUE, 0,
                                            bytes, copy, 0, NULL, NULL) == CL_SUCCESS;
        for (size_t k = 0; good && k < bytes; k++)
            good = copy[k] == (unsigned char)(i + 1);
        free(copy);
    }
    return good;
}

int main(void)
{
    static struct holder holder;
    char line[64];
    cl_platform_id platform;
    cl_device_id device;
    cl_int status = clGetPlatformIDs(1, &platform, NULL);
    if (status == CL_SUCCESS)
        status = clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, NULL);
    if (status == CL_SUCCESS)
        holder.context = clCreateContext(NULL, 1, &device, NULL, NULL, &status);
    if (status == CL_SUCCESS)
        holder.queue = clCreateCommandQueue(holder.context, device, 0, &status);
    if (status != CL_SUCCESS) {
        fprintf(stderr, "holder: status %d\n", status);
        return 1;
    }
    while (fgets(line, sizeof(line), stdin)) {
        if (line[0] == '=') {
            puts(all_there(&holder) ? "ok" : "differs");
        } else {
            status = line[0] == '+'   ? hold(&holder, strtoull(line + 1, NULL, 10))
                     : line[0] == '!' ? overwrite(&holder)
                                      : let_go(&holder);
            if (status == CL_SUCCESS)
                puts("ok");
            else
                printf("%d\n", status);
        }
        fflush(stdout);
    }
    return 0;
}
