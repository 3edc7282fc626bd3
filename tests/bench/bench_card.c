/* What calls cost, seen from the program: the same binary measures a device directly and a card.
 * Prints "name<TAB>value" lines, of one measure when it is named; run.py runs it both ways and adds
 * units and targets. */
#define CL_TARGET_OPENCL_VERSION 120
#include <string.h>

#include "measure.h"
#include "syscalls.h"

#define SAMPLES 1000
#define CALLS_PER_SAMPLE 100
#define PIPELINED 20000
#define COPY_BYTES (64u << 20)
#define COPY_ROUNDS 9

static const char source[] =
    "kernel void nothing(global float *x, const uint a, const uint b, const float c) { }\n";

struct bench {
    cl_device_id device;
    cl_context context;
    cl_command_queue queue;
    cl_kernel nothing;
    cl_mem buffer;
};

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof(*values), by_value);
    return values[count / 2];
}

static void set_args(struct bench *bench)
{
    const cl_uint number = 7;
    const cl_float real = 1;
    check(clSetKernelArg(bench->nothing, 0, sizeof(bench->buffer), &bench->buffer), "argument 0");
    check(clSetKernelArg(bench->nothing, 1, sizeof(number), &number), "argument 1");
    check(clSetKernelArg(bench->nothing, 2, sizeof(number), &number), "argument 2");
    check(clSetKernelArg(bench->nothing, 3, sizeof(real), &real), "argument 3");
}

static void bench_open(struct bench *bench)
{
    cl_platform_id platform;
    cl_int status;
    const char *text = source;
    check(clGetPlatformIDs(1, &platform, NULL), "clGetPlatformIDs");
    check(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &bench->device, NULL), "clGetDeviceIDs");
    bench->context = clCreateContext(NULL, 1, &bench->device, NULL, NULL, &status);
    check(status, "clCreateContext");
    bench->queue =
        clCreateCommandQueue(bench->context, bench->device, CL_QUEUE_PROFILING_ENABLE, &status);
    check(status, "clCreateCommandQueue");
    cl_program program = clCreateProgramWithSource(bench->context, 1, &text, NULL, &status);
    check(status, "clCreateProgramWithSource");
    check(clBuildProgram(program, 1, &bench->device, "", NULL, NULL), "clBuildProgram");
    bench->nothing = clCreateKernel(program, "nothing", &status);
    check(status, "clCreateKernel");
    bench->buffer = clCreateBuffer(bench->context, CL_MEM_READ_WRITE, COPY_BYTES, NULL, &status);
    check(status, "clCreateBuffer");
    set_args(bench);
}

static void launch(const struct bench *bench)
{
    const size_t one = 1;
    check(clEnqueueNDRangeKernel(bench->queue, bench->nothing, 1, NULL, &one, &one, 0, NULL, NULL),
          "clEnqueueNDRangeKernel");
}

static void measure_set_arg(struct bench *bench, double *samples)
{
    for (int s = 0; s < SAMPLES; s++) {
        const uint64_t start = now_ns();
        for (cl_uint i = 0; i < CALLS_PER_SAMPLE; i++)
            clSetKernelArg(bench->nothing, 1, sizeof(i), &i);
        samples[s] = (double)(now_ns() - start) / CALLS_PER_SAMPLE;
    }
    printf("set_arg_p50_ns\t%.1f\n", median(samples, SAMPLES));
}

static void measure_get_info(struct bench *bench, double *samples)
{
    cl_uint units;
    for (int s = 0; s < SAMPLES; s++) {
        const uint64_t start = now_ns();
        for (int i = 0; i < CALLS_PER_SAMPLE; i++)
            clGetDeviceInfo(bench->device, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof(units), &units,
                            NULL);
        samples[s] = (double)(now_ns() - start) / CALLS_PER_SAMPLE;
    }
    printf("get_info_p50_ns\t%.1f\n", median(samples, SAMPLES));
}

static void measure_create(struct bench *bench, double *samples)
{
    for (int s = 0; s < SAMPLES; s++) {
        const uint64_t start = now_ns();
        for (int i = 0; i < CALLS_PER_SAMPLE; i++)
            clReleaseMemObject(clCreateBuffer(bench->context, CL_MEM_READ_WRITE, 4096, NULL, NULL));
        samples[s] = (double)(now_ns() - start) / CALLS_PER_SAMPLE;
    }
    printf("create_release_buffer_p50_ns\t%.1f\n", median(samples, SAMPLES));
}

/* The cost to the caller of a launch that it does not wait for. The first launch of a sample is not
 * timed: it may have to wake somebody. */
static void measure_posted(struct bench *bench, double *samples)
{
    for (int s = 0; s < SAMPLES; s++) {
        launch(bench);
        const uint64_t start = now_ns();
        for (cl_uint i = 0; i < CALLS_PER_SAMPLE; i++) {
            clSetKernelArg(bench->nothing, 1, sizeof(i), &i);
            launch(bench);
        }
        samples[s] = (double)(now_ns() - start) / CALLS_PER_SAMPLE;
        check(clFinish(bench->queue), "clFinish");
    }
    printf("posted_launch_p50_ns\t%.1f\n", median(samples, SAMPLES));
}

/* Share of launches that made at least one system call in the calling thread. */
static void measure_syscalls(struct bench *bench, double *samples)
{
    if (syscalls_watch() < 0)
        return;
    for (int s = 0; s < SAMPLES / 10; s++) {
        const unsigned long before = syscalls_seen();
        launch(bench);
        for (int i = 0; i < CALLS_PER_SAMPLE; i++) {
            syscalls_arm();
            launch(bench);
            syscalls_disarm();
        }
        samples[s] = (double)(syscalls_seen() - before) / CALLS_PER_SAMPLE;
        check(clFinish(bench->queue), "clFinish");
    }
    printf("posted_launch_syscalls_p50\t%.2f\n", median(samples, SAMPLES / 10));
}

static void measure_finish(struct bench *bench, double *samples)
{
    for (int s = 0; s < SAMPLES; s++) {
        const uint64_t start = now_ns();
        launch(bench);
        check(clFinish(bench->queue), "clFinish");
        samples[s] = (double)(now_ns() - start) / 1000;
    }
    printf("launch_finish_p50_us\t%.2f\n", median(samples, SAMPLES));
}

static void measure_pipelined(struct bench *bench, double *samples)
{
    const uint64_t start = now_ns();
    for (cl_uint i = 0; i < PIPELINED; i++) {
        clSetKernelArg(bench->nothing, 1, sizeof(i), &i);
        launch(bench);
    }
    check(clFinish(bench->queue), "clFinish");
    printf("pipelined_launches_per_s\t%.0f\n", PIPELINED * 1e9 / (double)(now_ns() - start));
}

static void measure_copies(struct bench *bench, double *samples)
{
    char *a = malloc(COPY_BYTES), *b = malloc(COPY_BYTES);
    check(a && b ? CL_SUCCESS : CL_OUT_OF_HOST_MEMORY, "malloc");
    memset(a, 1, COPY_BYTES);
    memset(b, 2, COPY_BYTES);
    const char *const names[] = {"memcpy_gb_per_s", "write_gb_per_s", "read_gb_per_s"};
    for (int what = 0; what < 3; what++) {
        for (int round = 0; round < COPY_ROUNDS; round++) {
            const uint64_t start = now_ns();
            if (what == 0)
                memcpy(b, a, COPY_BYTES);
            else if (what == 1)
                check(clEnqueueWriteBuffer(bench->queue, bench->buffer, CL_TRUE, 0, COPY_BYTES, a,
                                           0, NULL, NULL),
                      "write");
            else
                check(clEnqueueReadBuffer(bench->queue, bench->buffer, CL_TRUE, 0, COPY_BYTES, b, 0,
                                          NULL, NULL),
                      "read");
            samples[round] = COPY_BYTES / (double)(now_ns() - start);
        }
        printf("%s\t%.3f\n", names[what], median(samples, COPY_ROUNDS));
    }
    check(memcmp(a, b, COPY_BYTES) == 0 ? CL_SUCCESS : CL_INVALID_VALUE, "what was read back");
    free(a);
    free(b);
}

static void measure_poll(struct bench *bench, double *samples)
{
    const size_t one = 1;
    cl_event done;
    cl_int status;
    check(clEnqueueNDRangeKernel(bench->queue, bench->nothing, 1, NULL, &one, &one, 0, NULL, &done),
          "clEnqueueNDRangeKernel");
    check(clWaitForEvents(1, &done), "clWaitForEvents");
    for (int s = 0; s < SAMPLES; s++) {
        const uint64_t start = now_ns();
        for (int i = 0; i < CALLS_PER_SAMPLE; i++)
            clGetEventInfo(done, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof(status), &status, NULL);
        samples[s] = (double)(now_ns() - start) / CALLS_PER_SAMPLE;
    }
    clReleaseEvent(done);
    printf("event_poll_p50_ns\t%.1f\n", median(samples, SAMPLES));
}

/* A map of the whole buffer for reading and writing, and its unmap, with nothing under way. */
static void measure_map(struct bench *bench, double *samples)
{
    cl_int status;
    for (int round = 0; round < COPY_ROUNDS; round++) {
        const uint64_t start = now_ns();
        void *mapped =
            clEnqueueMapBuffer(bench->queue, bench->buffer, CL_TRUE, CL_MAP_READ | CL_MAP_WRITE, 0,
                               COPY_BYTES, 0, NULL, NULL, &status);
        check(status, "clEnqueueMapBuffer");
        check(clEnqueueUnmapMemObject(bench->queue, bench->buffer, mapped, 0, NULL, NULL),
              "clEnqueueUnmapMemObject");
        check(clFinish(bench->queue), "clFinish");
        samples[round] = (double)(now_ns() - start) / 1000;
    }
    printf("map_unmap_p50_us\t%.2f\n", median(samples, COPY_ROUNDS));
}

static const struct measure {
    const char *name;
    void (*run)(struct bench *bench, double *samples);
} measures[] = {
    {"set-arg", measure_set_arg}, {"get-info", measure_get_info},
    {"create", measure_create},   {"posted", measure_posted},
    {"finish", measure_finish},   {"pipelined", measure_pipelined},
    {"copies", measure_copies},   {"map", measure_map},
    {"poll", measure_poll},       {"syscalls", measure_syscalls},
};

int main(int argc, char **argv)
{
    static double samples[SAMPLES];
    struct bench bench;
    bench_open(&bench);
    launch(&bench);
    check(clFinish(bench.queue), "clFinish"); /* compiled by now */
    for (size_t i = 0; i < sizeof(measures) / sizeof(measures[0]); i++) {
        if (argc < 2 || strcmp(argv[1], measures[i].name) == 0)
            measures[i].run(&bench, samples);
    }
    return 0;
}
