/* Where a program learns that the device's driver has refused what was posted: prints what calls
 * and events say, and what the context's notification is told. */
#include <semaphore.h>
#include <string.h>

#include "program.h"
#include "refusing.h"

static const char *const source = "kernel void refused(global int *x) { x[0] = 1; }\n"
                                  "kernel void add(global int *x) { x[0] += 1; }\n";

struct notice {
    sem_t told;
    cl_int error;
};

static void CL_CALLBACK on_error(const char *text, const void *data, size_t bytes, void *arg)
{
    struct notice *notice = arg;
    if (bytes == sizeof(notice->error))
        memcpy(&notice->error, data, bytes);
    (void)sem_post(&notice->told);
}

static cl_kernel kernel_of(cl_program program, const char *name, cl_mem memory)
{
    cl_int code;
    cl_kernel kernel = clCreateKernel(program, name, &code);
    must(code, name);
    MUST(clSetKernelArg(kernel, 0, sizeof(memory), &memory));
    return kernel;
}

/* Prints what the call says and how its command ended; a call that is refused has none. */
static void launch(const char *what, cl_command_queue queue, cl_kernel kernel)
{
    const size_t one = 1;
    cl_event event = NULL;
    cl_int status = 1;
    REPORT(what, clEnqueueNDRangeKernel(queue, kernel, 1, NULL, &one, NULL, 0, NULL, &event));
    if (!event)
        return;
    REPORT("  wait", clWaitForEvents(1, &event));
    MUST(clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof(status), &status, NULL));
    REPORT("  event", status);
    MUST(clReleaseEvent(event));
}

int main(void)
{
    struct notice notice = {.error = 0};
    cl_device_id device;
    cl_int code, value = 1;
    (void)sem_init(&notice.told, 0, 0);
    (void)clReleaseContext(open_device(&device));
    cl_context context = clCreateContext(NULL, 1, &device, on_error, &notice, &code);
    must(code, "context");
    cl_command_queue queue = clCreateCommandQueue(context, device, 0, &code);
    must(code, "queue");
    cl_program program = clCreateProgramWithSource(context, 1, (const char **)&source, NULL, &code);
    must(code, "program");
    MUST(clBuildProgram(program, 0, NULL, "", NULL, NULL));
    cl_mem memory = clCreateBuffer(context, CL_MEM_COPY_HOST_PTR, sizeof(value), &value, &code);
    must(code, "buffer");
    cl_kernel add = kernel_of(program, "add", memory);
    cl_kernel refused = kernel_of(program, REFUSED_KERNEL, memory);

    launch("add", queue, add);
    REPORT("finish", clFinish(queue));
    launch("refused", queue, refused);
    REPORT("finish", clFinish(queue));
    while (sem_wait(&notice.told) != 0)
        continue;
    REPORT("told", notice.error);
    launch("add", queue, add);
    launch("add", queue, add);
    REPORT("finish", clFinish(queue));
    REPORT("read",
           clEnqueueReadBuffer(queue, memory, CL_TRUE, 0, sizeof(value), &value, 0, NULL, NULL));
    REPORT("value", value);

    cl_command_queue other = clCreateCommandQueue(context, device, 0, &code);
    must(code, "queue");
    launch("add", other, add);
    REPORT("finish", clFinish(other));
    cl_mem none = clCreateBuffer(context, 0, REFUSED_BYTES, NULL, &code);
    REPORT("buffer", code);
    if (none)
        launch("add to it", other, kernel_of(program, "add", none));
    REPORT("finish", clFinish(other));
    return 0;
}
