/* What is known right after each call, without waiting: prints the status of its command, and
 * whether a read that does not block has arrived. A device runs on; strict mode
 * (LEAT_CARD_STRICT=1) does not return before the command has ended, but for an open event of the
 * user. */

#include "program.h"

static const char *const source = "kernel void slow(global int *x) {\n"
                                  "    int n = x[0];\n"
                                  "    for (int i = 0; i < 50000000; i++)\n"
                                  "        n = n * 3 + i;\n"
                                  "    x[0] = n ? 7 : 8;\n"
                                  "}\n";

static void tell(const char *what, cl_event event)
{
    cl_int status = 1;
    MUST(clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof(status), &status, NULL));
    (void)printf("%s: %s\n", what, status == CL_COMPLETE ? "ended" : "under way");
    MUST(clReleaseEvent(event));
}

int main(void)
{
    cl_device_id device;
    cl_int code, word = 1;
    const size_t one = 1;
    cl_event event;
    cl_context context = open_device(&device);
    cl_command_queue queue = clCreateCommandQueue(context, device, 0, &code);
    must(code, "queue");
    cl_program program = clCreateProgramWithSource(context, 1, (const char **)&source, NULL, &code);
    must(code, "program");
    MUST(clBuildProgram(program, 0, NULL, "", NULL, NULL));
    cl_kernel kernel = clCreateKernel(program, "slow", &code);
    must(code, "kernel");
    cl_mem memory = clCreateBuffer(context, CL_MEM_COPY_HOST_PTR, sizeof(word), &word, &code);
    must(code, "buffer");
    MUST(clSetKernelArg(kernel, 0, sizeof(memory), &memory));

    MUST(clEnqueueNDRangeKernel(queue, kernel, 1, NULL, &one, &one, 0, NULL, &event));
    tell("launch", event);
    MUST(clEnqueueReadBuffer(queue, memory, CL_FALSE, 0, sizeof(word), &word, 0, NULL, &event));
    (void)printf("read: %d\n", (int)word);
    tell("read", event);
    cl_event gate = clCreateUserEvent(context, &code);
    must(code, "user event");
    MUST(clEnqueueNDRangeKernel(queue, kernel, 1, NULL, &one, &one, 1, &gate, &event));
    tell("launch behind a gate", event);
    MUST(clSetUserEventStatus(gate, CL_COMPLETE));
    MUST(clEnqueueMarkerWithWaitList(queue, 0, NULL, &event));
    tell("marker", event);
    MUST(clFinish(queue));
    return 0;
}
