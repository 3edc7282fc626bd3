/* Programs that start at once: what each waits for its device, and for its first command. The same
 * binary measures a device directly and cards.
 *
 *   bench_crowd COUNT [TOKEN:BYTES]...
 *
 * The programs are processes that have been forked and have not yet called OpenCL; they are let go
 * together and share the cards evenly. Each waits at two gates: for all to be there, and for all to
 * have their device. Prints "name<TAB>value" lines: milliseconds until clGetDeviceIDs has returned,
 * and from the second gate until the first blocking write and read have; then the programs that got
 * a card of another size, other data, or an error. */
#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define COUNT_MAX 1024
#define STAGES 2

/* In memory that all share. A gate is a pipe that nobody writes to: it opens when its last writing
 * end is closed. */
struct crowd {
    int gate[STAGES][2], reached[STAGES][2];
    double ms[STAGES][COUNT_MAX]; /* 0: failed */
};

static const char *const stages[STAGES] = {"device", "first_command"};

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void fail(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

/* The device's memory says whose card it is; `bytes` 0: any. */
static cl_device_id find_device(unsigned long long bytes)
{
    cl_platform_id platform;
    cl_device_id device;
    cl_ulong got = 0;
    if (clGetPlatformIDs(1, &platform, NULL) != CL_SUCCESS ||
        clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, NULL) != CL_SUCCESS ||
        clGetDeviceInfo(device, CL_DEVICE_GLOBAL_MEM_SIZE, sizeof(got), &got, NULL) != CL_SUCCESS)
        return NULL;
    return bytes && bytes != got ? NULL : device;
}

/* Write a number that only this program has, and read it again: 1 when all went well. */
static int run_command(cl_device_id device)
{
    const cl_int number = (cl_int)getpid();
    cl_int back = 0;
    cl_context context = clCreateContext(NULL, 1, &device, NULL, NULL, NULL);
    cl_command_queue queue = clCreateCommandQueue(context, device, 0, NULL);
    cl_mem buffer = clCreateBuffer(context, CL_MEM_READ_WRITE, sizeof(number), NULL, NULL);
    return clEnqueueWriteBuffer(queue, buffer, CL_TRUE, 0, sizeof(number), &number, 0, NULL,
                                NULL) == CL_SUCCESS &&
           clEnqueueReadBuffer(queue, buffer, CL_TRUE, 0, sizeof(back), &back, 0, NULL, NULL) ==
               CL_SUCCESS &&
           back == number;
}

static void gate_wait(const struct crowd *crowd, int stage)
{
    char none;
    if (write(crowd->reached[stage][1], "", 1) != 1 || read(crowd->gate[stage][0], &none, 1) != 0)
        fail("gate");
}

/* In the child. `card` is TOKEN:BYTES or NULL. */
static void program(struct crowd *crowd, unsigned number, char *card)
{
    unsigned long long bytes = 0;
    char *colon = card ? strchr(card, ':') : NULL;
    if (colon) {
        *colon = '\0';
        bytes = strtoull(colon + 1, NULL, 10);
        setenv("LEAT_CARD_TOKEN", card, 1);
    }
    for (int stage = 0; stage < STAGES; stage++)
        close(crowd->gate[stage][1]);
    gate_wait(crowd, 0);
    double began = now_ms();
    cl_device_id device = find_device(bytes);
    if (device)
        crowd->ms[0][number] = now_ms() - began;
    gate_wait(crowd, 1);
    began = now_ms();
    if (device && run_command(device))
        crowd->ms[1][number] = now_ms() - began;
    _exit(EXIT_SUCCESS);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void report(struct crowd *crowd, unsigned count)
{
    unsigned wrong = 0;
    for (int stage = 0; stage < STAGES; stage++) {
        double *ms = crowd->ms[stage];
        for (unsigned i = 0; i < count; i++)
            wrong += ms[i] == 0;
        qsort(ms, count, sizeof(*ms), by_value);
        printf("%s_p50_ms\t%.3f\n%s_p99_ms\t%.3f\n%s_max_ms\t%.3f\n", stages[stage], ms[count / 2],
               stages[stage], ms[count - 1 - count / 100], stages[stage], ms[count - 1]);
    }
    printf("wrong\t%u\n", wrong);
}

static void fork_programs(struct crowd *crowd, unsigned count, char **cards, unsigned card_count)
{
    for (unsigned i = 0; i < count; i++) {
        pid_t child = fork();
        if (child < 0)
            fail("fork");
        if (child == 0)
            program(crowd, i, card_count ? cards[i % card_count] : NULL);
    }
}

/* Open each gate when all have come to it, then wait for their ends. */
static void let_go(const struct crowd *crowd, unsigned count)
{
    for (int stage = 0; stage < STAGES; stage++) {
        char arrived;
        for (unsigned i = 0; i < count; i++) {
            if (read(crowd->reached[stage][0], &arrived, 1) != 1)
                fail("a program has ended");
        }
        close(crowd->gate[stage][1]);
    }
    while (wait(NULL) > 0)
        ;
}

int main(int argc, char **argv)
{
    const unsigned count = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;
    struct crowd *crowd =
        mmap(NULL, sizeof(*crowd), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (count == 0 || count > COUNT_MAX || crowd == MAP_FAILED) {
        fprintf(stderr, "usage: bench_crowd COUNT [TOKEN:BYTES]...\n");
        return 2;
    }
    for (int stage = 0; stage < STAGES; stage++) {
        if (pipe(crowd->gate[stage]) < 0 || pipe(crowd->reached[stage]) < 0)
            fail("pipe");
    }
    fork_programs(crowd, count, argv + 2, (unsigned)argc - 2);
    let_go(crowd, count);
    report(crowd, count);
    return 0;
}
