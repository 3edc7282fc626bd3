/* Each platform's first device, all of them at once: a context, a program, a queue and a buffer of
 * each, work by turns, and what one has to say to the handles of another. With an argument, a child
 * of the process does the same first. */
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "program.h"

#define CARDS_MAX 4
#define ITEMS 1024u
#define ROUNDS 50

struct card {
    cl_device_id device;
    cl_context context;
    cl_command_queue queue;
    cl_kernel kernel;
    cl_mem memory;
};

static const char *const source =
    "kernel void add(global int *x, int n) { x[get_global_id(0)] += n; }\n";

static void open_card(struct card *card, cl_platform_id platform)
{
    static const cl_int zeros[ITEMS];
    cl_int code;
    char text[64];
    cl_ulong bytes;
    cl_program program;
    MUST(clGetPlatformInfo(platform, CL_PLATFORM_NAME, sizeof(text), text, NULL));
    MUST(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &card->device, NULL));
    MUST(clGetDeviceInfo(card->device, CL_DEVICE_GLOBAL_MEM_SIZE, sizeof(bytes), &bytes, NULL));
    (void)printf("%s with %llu MiB\n", text, (unsigned long long)bytes >> 20);
    MAKE(card->context, clCreateContext(NULL, 1, &card->device, NULL, NULL, &code));
    MAKE(card->queue, clCreateCommandQueue(card->context, card->device, 0, &code));
    MAKE(program, clCreateProgramWithSource(card->context, 1, (const char **)(uintptr_t)&source,
                                            NULL, &code));
    MUST(clBuildProgram(program, 0, NULL, "", NULL, NULL));
    MAKE(card->kernel, clCreateKernel(program, "add", &code));
    MUST(clReleaseProgram(program));
    MAKE(card->memory, clCreateBuffer(card->context, CL_MEM_COPY_HOST_PTR, sizeof(zeros),
                                      (void *)(uintptr_t)zeros, &code));
    MUST(clSetKernelArg(card->kernel, 0, sizeof(cl_mem), &card->memory));
}

static void add(const struct card *card, cl_int n)
{
    const size_t global = ITEMS;
    MUST(clSetKernelArg(card->kernel, 1, sizeof(n), &n));
    MUST(clEnqueueNDRangeKernel(card->queue, card->kernel, 1, NULL, &global, NULL, 0, NULL, NULL));
}

static void meet(const struct card *a, const struct card *b)
{
    cl_int code;
    REPORT("another's buffer", clSetKernelArg(a->kernel, 0, sizeof(cl_mem), &b->memory));
    REPORT_CODE("another's device", clCreateCommandQueue(a->context, b->device, 0, &code));
    REPORT_CODE("both devices", clCreateContext(NULL, 2, (cl_device_id[]){a->device, b->device},
                                                NULL, NULL, &code));
}

static void work(const cl_platform_id *platforms, cl_uint count)
{
    struct card cards[CARDS_MAX];
    for (cl_uint i = 0; i < count; i++)
        open_card(&cards[i], platforms[i]);
    for (cl_int round = 0; round < ROUNDS; round++)
        for (cl_uint i = 0; i < count; i++)
            add(&cards[i], (cl_int)i + round);
    for (cl_uint i = 0; i < count; i++) {
        cl_int items[ITEMS];
        MUST(clEnqueueReadBuffer(cards[i].queue, cards[i].memory, CL_TRUE, 0, sizeof(items), items,
                                 0, NULL, NULL));
        (void)printf("card %u: %d %d\n", i, items[0], items[ITEMS - 1]);
    }
    if (count > 1)
        meet(&cards[0], &cards[1]);
    (void)fflush(stdout);
}

int main(int argc, char **argv)
{
    cl_platform_id platforms[CARDS_MAX];
    cl_uint count;
    MUST(clGetPlatformIDs(CARDS_MAX, platforms, &count));
    if (argc > 1) {
        int status;
        pid_t child = fork();
        if (child == 0) {
            work(platforms, count);
            _exit(0);
        }
        if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
            return 1;
    }
    work(platforms, count);
    return 0;
}
