/* Kernels that print: each call through which the program can learn that a command ended has
 * brought the command's text, in front of what the program itself writes next.
 * usage: printing DIGIT [binary]; or printing DIGIT across: with a line on standard input between
 * the kernel and that call */
#include <string.h>

#include "program.h"

#define ROUNDS 40

static const char *const source =
    "kernel void tell(const int tag, const int round) {\n"
    "    for (int i = 0; i < 4; i++)\n"
    "        printf(\"kernel %d: round %d, line %d, %s, %v4d, %.2f\\n\", tag, round, i, \"text\",\n"
    "               (int4)(1, 2, 3, i), 0.5f * i);\n"
    "}\n"
    "kernel void much(const int tag) {\n"
    "    for (int i = 0; i < 3000; i++)\n"
    "        printf(\"much %d %d: a line of some length, so that it takes several pieces\\n\", "
    "tag, i);\n"
    "}\n";

struct world {
    cl_device_id device;
    cl_context context;
    cl_command_queue queue;
    cl_mem memory;
    cl_program program;
    cl_int tag;
};

static void open_world(struct world *w)
{
    cl_int code;
    w->context = open_device(&w->device);
    w->queue = clCreateCommandQueue(w->context, w->device, 0, &code);
    must(code, "queue");
    w->memory = clCreateBuffer(w->context, CL_MEM_READ_WRITE, 64, NULL, &code);
    must(code, "buffer");
    w->program = clCreateProgramWithSource(w->context, 1, (const char **)&source, NULL, &code);
    must(code, "program");
    MUST(clBuildProgram(w->program, 0, NULL, "", NULL, NULL));
}

static cl_event tell(struct world *w, cl_kernel kernel, cl_int round)
{
    const size_t one = 1;
    cl_event event;
    MUST(clSetKernelArg(kernel, 0, sizeof(w->tag), &w->tag));
    MUST(clSetKernelArg(kernel, 1, sizeof(round), &round));
    MUST(clEnqueueNDRangeKernel(w->queue, kernel, 1, NULL, &one, &one, 0, NULL, &event));
    return event;
}

/* One of the ways to learn that everything on the queue has ended. */
static void learn(struct world *w, cl_event event, int way)
{
    cl_int word, code;
    void *there;
    switch (way) {
    case 0:
        MUST(clFinish(w->queue));
        break;
    case 1:
        MUST(clWaitForEvents(1, &event));
        break;
    case 2:
        MUST(clEnqueueReadBuffer(w->queue, w->memory, CL_TRUE, 0, 4, &word, 0, NULL, NULL));
        break;
    default:
        there = clEnqueueMapBuffer(w->queue, w->memory, CL_TRUE, CL_MAP_READ, 0, 4, 0, NULL, NULL,
                                   &code);
        must(code, "map");
        MUST(clEnqueueUnmapMemObject(w->queue, w->memory, there, 0, NULL, NULL));
        break;
    }
}

/* A program made from a binary prints, too. */
static cl_program copy_of(struct world *w)
{
    size_t length;
    cl_int code;
    MUST(clGetProgramInfo(w->program, CL_PROGRAM_BINARY_SIZES, sizeof(length), &length, NULL));
    unsigned char *binary = malloc(length);
    MUST(clGetProgramInfo(w->program, CL_PROGRAM_BINARIES, sizeof(binary), &binary, NULL));
    cl_program program = clCreateProgramWithBinary(w->context, 1, &w->device, &length,
                                                   (const unsigned char **)&binary, NULL, &code);
    must(code, "binary");
    free(binary);
    MUST(clBuildProgram(program, 0, NULL, "", NULL, NULL));
    return program;
}

static void across(struct world *w)
{
    cl_int code, word = 0;
    cl_kernel kernel;
    MUST(clEnqueueWriteBuffer(w->queue, w->memory, CL_TRUE, 0, sizeof(word), &word, 0, NULL, NULL));
    MAKE(kernel, clCreateKernel(w->program, "tell", &code));
    for (int round = 0; round < 3; round++) {
        cl_event event = tell(w, kernel, round);
        MUST(clFlush(w->queue));
        await_line();
        learn(w, event, round);
        (void)printf("program %d: after round %d\n", w->tag, round);
        MUST(clReleaseEvent(event));
    }
}

int main(int argc, char **argv)
{
    struct world w = {.tag = argc > 1 ? argv[1][0] - '0' : 1};
    cl_int code;
    const size_t one = 1;
    (void)setvbuf(stdout, NULL, _IONBF, 0);
    open_world(&w);
    if (argc > 2 && strcmp(argv[2], "across") == 0) {
        across(&w);
        return 0;
    }
    cl_program copy = copy_of(&w);
    cl_kernel kernel = clCreateKernel(argc > 2 ? copy : w.program, "tell", &code);
    must(code, "kernel");
    for (int round = 0; round < ROUNDS; round++) {
        cl_event event = tell(&w, kernel, round);
        learn(&w, event, round % 4);
        (void)printf("program %d: after round %d\n", w.tag, round);
        MUST(clReleaseEvent(event));
    }
    cl_kernel much = clCreateKernel(w.program, "much", &code);
    must(code, "kernel");
    MUST(clSetKernelArg(much, 0, sizeof(w.tag), &w.tag));
    MUST(clEnqueueNDRangeKernel(w.queue, much, 1, NULL, &one, &one, 0, NULL, NULL));
    MUST(clFinish(w.queue));
    (void)printf("program %d: end\n", w.tag);
    return 0;
}
