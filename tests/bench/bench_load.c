/* Programs that always have work, each a different kind, for measuring how cards share a device:
 *
 *   bench_load KIND SECONDS MS [ROUNDS]
 *
 * Kernels take about MS; ROUNDS of their loop do so on this device (found out when 0 or not given).
 * Says "ready<TAB>ROUNDS" when the measured part begins. A batch of commands is handed over before
 * the one before it has ended, and is BATCH_NS of work at least: a program that waits with nothing
 * under way, or that is given a processor late, leaves its device idle, which is no matter of
 * shares. `waiting` is the exception, and says at its end what its commands took. */
#define CL_TARGET_OPENCL_VERSION 120
#include <pthread.h>
#include <string.h>

#include "measure.h"

#define ITEMS 4096
#define TRIES 8
#define BATCH_LEAST 8
#define BATCH_NS 20e6
#define THREADS 4
#define SMALL_BYTES 16384u
#define BUFFER_BYTES (1u << 20)

static const char source[] = "kernel void burn(global float *x, const uint rounds) {\n"
                             "    float v = x[get_global_id(0)];\n"
                             "    for (uint i = 0; i < rounds; i++) v = v * 0.999f + 0.001f;\n"
                             "    x[get_global_id(0)] = v;\n"
                             "}\n";

struct load {
    cl_device_id device;
    cl_context context;
    cl_program program;
    double kernel_ns;
    cl_uint rounds;
    uint64_t until_ns;
};

/* One thread's. */
struct lane {
    const struct load *load;
    cl_command_queue queue;
    cl_kernel burn;
    cl_mem buffer;
};

static void load_open(struct load *load)
{
    cl_platform_id platform;
    cl_int status;
    const char *text = source;
    check(clGetPlatformIDs(1, &platform, NULL), "clGetPlatformIDs");
    check(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &load->device, NULL), "clGetDeviceIDs");
    load->context = clCreateContext(NULL, 1, &load->device, NULL, NULL, &status);
    check(status, "clCreateContext");
    load->program = clCreateProgramWithSource(load->context, 1, &text, NULL, &status);
    check(status, "clCreateProgramWithSource");
    check(clBuildProgram(load->program, 1, &load->device, "", NULL, NULL), "clBuildProgram");
}

static struct lane lane_open(const struct load *load, cl_command_queue_properties properties)
{
    struct lane lane = {.load = load};
    cl_int status;
    lane.queue = clCreateCommandQueue(load->context, load->device, properties, &status);
    check(status, "clCreateCommandQueue");
    lane.burn = clCreateKernel(load->program, "burn", &status);
    check(status, "clCreateKernel");
    lane.buffer = clCreateBuffer(load->context, CL_MEM_READ_WRITE, BUFFER_BYTES, NULL, &status);
    check(status, "clCreateBuffer");
    check(clSetKernelArg(lane.burn, 0, sizeof(lane.buffer), &lane.buffer), "argument 0");
    return lane;
}

/* `ret_event` may be NULL. */
static void launch(const struct lane *lane, cl_uint rounds, cl_event *ret_event)
{
    const size_t items = ITEMS;
    check(clSetKernelArg(lane->burn, 1, sizeof(rounds), &rounds), "argument 1");
    check(
        clEnqueueNDRangeKernel(lane->queue, lane->burn, 1, NULL, &items, NULL, 0, NULL, ret_event),
        "clEnqueueNDRangeKernel");
}

static uint64_t launch_and_wait(const struct lane *lane, cl_uint rounds)
{
    cl_event done;
    cl_ulong start = 0, end = 0;
    launch(lane, rounds, &done);
    check(clWaitForEvents(1, &done), "clWaitForEvents");
    check(clGetEventProfilingInfo(done, CL_PROFILING_COMMAND_START, sizeof(start), &start, NULL),
          "profiling");
    check(clGetEventProfilingInfo(done, CL_PROFILING_COMMAND_END, sizeof(end), &end, NULL),
          "profiling");
    clReleaseEvent(done);
    return end - start;
}

/* The shortest of several: what the kernel takes when nothing comes between. */
static double best_ns(const struct lane *lane, cl_uint rounds)
{
    uint64_t best = launch_and_wait(lane, rounds);
    for (int i = 1; i < TRIES; i++) {
        const uint64_t took_ns = launch_and_wait(lane, rounds);
        best = took_ns < best ? took_ns : best;
    }
    return (double)best;
}

static cl_uint find_rounds(const struct lane *lane, double wanted_ns)
{
    cl_uint rounds = 20;
    double took_ns;
    (void)launch_and_wait(lane, rounds); /* compiles */
    while ((took_ns = best_ns(lane, rounds)) < wanted_ns && rounds < 1u << 28)
        rounds *= 2;
    rounds = (cl_uint)(rounds * wanted_ns / took_ns);
    return rounds ? rounds : 1;
}

static int batch_of(double command_ns)
{
    const double count = BATCH_NS / command_ns;
    return count > BATCH_LEAST ? (int)count : BATCH_LEAST;
}

/* Batch after batch, of which two are under way; `batch` gives the event of its last command. */
static void keep_busy(const struct lane *lane, cl_event (*batch)(const struct lane *lane))
{
    cl_event before = NULL;
    while (now_ns() < lane->load->until_ns) {
        cl_event last = batch(lane);
        check(clFlush(lane->queue), "clFlush");
        if (before) {
            check(clWaitForEvents(1, &before), "clWaitForEvents");
            clReleaseEvent(before);
        }
        before = last;
    }
    check(clFinish(lane->queue), "clFinish");
}

static cl_event even_batch(const struct lane *lane)
{
    const int count = batch_of(lane->load->kernel_ns);
    cl_event last = NULL;
    for (int i = 0; i < count; i++)
        launch(lane, lane->load->rounds, i == count - 1 ? &last : NULL);
    return last;
}

/* Lengths of a tenth to ten times MS. */
static cl_event mixed_batch(const struct lane *lane)
{
    static const double lengths[] = {0.1, 0.1, 3, 0.3, 1, 0.1, 10, 1, 0.3};
    const cl_uint rounds = lane->load->rounds;
    cl_event last = NULL;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
        launch(lane, (cl_uint)(rounds * lengths[i]) + 1,
               i + 1 == sizeof(lengths) / sizeof(lengths[0]) ? &last : NULL);
    return last;
}

/* Each with an event, and the last waits for all. */
static cl_event unordered_batch(const struct lane *lane)
{
    enum { MOST = 256 };
    const int wanted = batch_of(lane->load->kernel_ns);
    const cl_uint count = wanted < MOST ? (cl_uint)wanted : MOST;
    cl_event events[MOST] = {NULL}, last;
    for (cl_uint i = 0; i < count; i++)
        launch(lane, lane->load->rounds, &events[i]);
    check(clEnqueueMarkerWithWaitList(lane->queue, count, events, &last), "a marker");
    for (cl_uint i = 0; i < count; i++)
        clReleaseEvent(events[i]);
    return last;
}

/* Small copies, fills and writes, and a kernel now and then. */
static cl_event copying_batch(const struct lane *lane)
{
    enum { ROUNDS = 64 };
    static const char bytes[SMALL_BYTES];
    const cl_float pattern = 1;
    cl_event last;
    for (int i = 0; i < ROUNDS; i++) {
        check(clEnqueueWriteBuffer(lane->queue, lane->buffer, CL_FALSE, 0, sizeof(bytes), bytes, 0,
                                   NULL, NULL),
              "clEnqueueWriteBuffer");
        check(clEnqueueCopyBuffer(lane->queue, lane->buffer, lane->buffer, 0, BUFFER_BYTES / 2,
                                  BUFFER_BYTES / 2, 0, NULL, NULL),
              "clEnqueueCopyBuffer");
        check(clEnqueueFillBuffer(lane->queue, lane->buffer, &pattern, sizeof(pattern), 0,
                                  BUFFER_BYTES, 0, NULL, NULL),
              "clEnqueueFillBuffer");
    }
    launch(lane, lane->load->rounds, &last);
    return last;
}

static void *lane_main(void *arg)
{
    keep_busy(arg, even_batch);
    return NULL;
}

/* As many threads, each with a queue of its own. */
static void run_threads(const struct load *load)
{
    pthread_t threads[THREADS];
    struct lane lanes[THREADS];
    for (int i = 0; i < THREADS; i++) {
        lanes[i] = lane_open(load, 0);
        check(pthread_create(&threads[i], NULL, lane_main, &lanes[i]), "a thread");
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static void run_waiting(const struct lane *lane)
{
    const uint64_t start = now_ns();
    uint64_t device_ns = 0, commands = 0;
    for (; now_ns() < lane->load->until_ns; commands++)
        device_ns += launch_and_wait(lane, lane->load->rounds);
    printf("wall_ns\t%llu\n", (unsigned long long)(now_ns() - start));
    printf("device_ns\t%llu\n", (unsigned long long)device_ns);
    printf("commands\t%llu\n", (unsigned long long)commands);
}

static const struct kind {
    const char *name;
    cl_command_queue_properties queue;
    cl_event (*batch)(const struct lane *lane); /* NULL: in a way of its own */
} kinds[] = {
    {"even", 0, even_batch},
    {"mixed", 0, mixed_batch},
    {"unordered", CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE, unordered_batch},
    {"copying", 0, copying_batch},
    {"threads", 0, NULL},
    {"waiting", CL_QUEUE_PROFILING_ENABLE, NULL},
};

static const struct kind *kind_of(const char *name)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    }
    return NULL;
}

int main(int argc, char **argv)
{
    const struct kind *kind = argc == 4 || argc == 5 ? kind_of(argv[1]) : NULL;
    if (!kind) {
        fputs("usage: bench_load even|mixed|unordered|copying|threads|waiting SECONDS MS "
              "[ROUNDS]\n",
              stderr);
        return 2;
    }
    struct load load = {.kernel_ns = strtod(argv[3], NULL) * 1e6};
    load_open(&load);
    const struct lane first = lane_open(&load, CL_QUEUE_PROFILING_ENABLE);
    load.rounds = argc == 5 ? (cl_uint)strtoul(argv[4], NULL, 10) : 0;
    if (!load.rounds)
        load.rounds = find_rounds(&first, load.kernel_ns);
    (void)launch_and_wait(&first, load.rounds); /* compiled by now */
    printf("ready\t%u\n", load.rounds);
    fflush(stdout);
    load.until_ns = now_ns() + (uint64_t)(strtod(argv[2], NULL) * 1e9);
    const struct lane lane = lane_open(&load, kind->queue);
    if (kind->batch)
        keep_busy(&lane, kind->batch);
    else if (strcmp(kind->name, "threads") == 0)
        run_threads(&load);
    else
        run_waiting(&lane);
    return 0;
}
