/* Many processes on one card that allocate, use and release memory at random, while some of them
 * are killed at random moments and replaced. The parent adds up what they certainly hold and
 * compares it with the quota all the time: an observer that trusts nothing but the programs' own
 * books.
 *
 *   quota_storm QUOTA_BYTES OPERATIONS PROCESSES SEED
 *
 * Prints: operations, kills, refusals, seen_peak_bytes, overshoot_bytes, failures. */
#include <CL/cl.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROCESSES_MAX 16
#define HELD_MAX 64 /* buffers one process holds at most */

/* One process's books. `held_bytes` grows after an allocation succeeded and shrinks before its
 * release is asked for, so it never exceeds what the process has. `version` counts its changes. */
struct books {
    _Atomic uint64_t version;
    _Atomic uint64_t held_bytes;
    _Atomic int counted; /* 0: being killed; what it held may be free already */
};

struct storm {
    struct books books[PROCESSES_MAX];
    _Atomic uint64_t operations, refusals, failures;
};

struct settings {
    uint64_t quota_bytes, operations;
    unsigned processes;
    uint64_t seed;
};

struct worker {
    struct storm *storm;
    struct books *books;
    uint64_t random, quota_bytes;
    cl_context context;
    cl_command_queue queue;
    cl_mem held[HELD_MAX];
    size_t bytes[HELD_MAX];
    unsigned count;
};

static uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void books_change(struct worker *worker, int64_t bytes)
{
    atomic_fetch_add(&worker->books->held_bytes, (uint64_t)bytes);
    atomic_fetch_add(&worker->books->version, 1);
}

static void worker_fail(struct worker *worker, const char *what, cl_int status)
{
    fprintf(stderr, "quota_storm: %s: status %d\n", what, status);
    atomic_fetch_add(&worker->storm->failures, 1);
    _exit(1);
}

/* Mostly small, sometimes a good part of the quota. */
static size_t random_bytes(struct worker *worker)
{
    const uint64_t limit =
        random_next(&worker->random) % 8 ? worker->quota_bytes / 64 : worker->quota_bytes / 3;
    return (size_t)(random_next(&worker->random) % limit) + 1;
}

static void allocate(struct worker *worker)
{
    const size_t bytes = random_bytes(worker);
    cl_int status;
    cl_mem buffer = clCreateBuffer(worker->context, CL_MEM_READ_WRITE, bytes, NULL, &status);
    if (status == CL_MEM_OBJECT_ALLOCATION_FAILURE || status == CL_OUT_OF_RESOURCES) {
        atomic_fetch_add(&worker->storm->refusals, 1);
        return;
    }
    if (status != CL_SUCCESS)
        worker_fail(worker, "clCreateBuffer", status);
    worker->held[worker->count] = buffer;
    worker->bytes[worker->count++] = bytes;
    books_change(worker, (int64_t)bytes);
}

/* Some releases come while commands that use the buffer are still on their way. */
static void release(struct worker *worker)
{
    const unsigned which = (unsigned)(random_next(&worker->random) % worker->count);
    books_change(worker, -(int64_t)worker->bytes[which]);
    clReleaseMemObject(worker->held[which]);
    worker->held[which] = worker->held[--worker->count];
    worker->bytes[which] = worker->bytes[worker->count];
}

static void use(struct worker *worker)
{
    const unsigned which = (unsigned)(random_next(&worker->random) % worker->count);
    const cl_uchar byte = 7;
    const cl_bool wait = random_next(&worker->random) % 4 == 0;
    static const cl_uchar forever = 7; /* outlives a write that is not waited for */
    cl_int status =
        clEnqueueWriteBuffer(worker->queue, worker->held[which], wait, worker->bytes[which] - 1, 1,
                             wait ? &byte : &forever, 0, NULL, NULL);
    if (status != CL_SUCCESS)
        worker_fail(worker, "clEnqueueWriteBuffer", status);
}

static void worker_open(struct worker *worker)
{
    cl_platform_id platform;
    cl_device_id device;
    cl_int status = clGetPlatformIDs(1, &platform, NULL);
    if (status == CL_SUCCESS)
        status = clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, NULL);
    if (status == CL_SUCCESS)
        worker->context = clCreateContext(NULL, 1, &device, NULL, NULL, &status);
    if (status == CL_SUCCESS)
        worker->queue = clCreateCommandQueue(worker->context, device, 0, &status);
    if (status != CL_SUCCESS)
        worker_fail(worker, "opening the device", status);
}

static void worker_run(struct worker *worker, uint64_t operations)
{
    worker_open(worker);
    while (atomic_fetch_add(&worker->storm->operations, 1) < operations) {
        const unsigned dice = (unsigned)(random_next(&worker->random) % 8);
        if (worker->count == 0 || (dice < 3 && worker->count < HELD_MAX))
            allocate(worker);
        else if (dice < 6)
            release(worker);
        else
            use(worker);
    }
    atomic_store(&worker->books->counted, 0); /* before the exit gives everything back */
    _exit(0);
}

static pid_t worker_start(struct storm *storm, unsigned index, const struct settings *settings,
                          uint64_t seed)
{
    struct books *books = &storm->books[index];
    atomic_store(&books->held_bytes, 0);
    atomic_fetch_add(&books->version, 1);
    atomic_store(&books->counted, 1);
    pid_t pid = fork();
    if (pid == 0) {
        struct worker worker = {.storm = storm,
                                .books = books,
                                .random = seed | 1,
                                .quota_bytes = settings->quota_bytes};
        worker_run(&worker, settings->operations);
    }
    return pid;
}

/* The sum at one instant: read twice with nothing changed in between; 0 when that did not
 * succeed. */
static uint64_t held_now(const struct storm *storm, unsigned processes)
{
    uint64_t versions[PROCESSES_MAX], sum = 0;
    for (unsigned i = 0; i < processes; i++)
        versions[i] = atomic_load(&storm->books[i].version);
    for (unsigned i = 0; i < processes; i++)
        sum += atomic_load(&storm->books[i].counted) ? atomic_load(&storm->books[i].held_bytes) : 0;
    for (unsigned i = 0; i < processes; i++) {
        if (versions[i] != atomic_load(&storm->books[i].version))
            return 0;
    }
    return sum;
}

static void worker_kill(struct storm *storm, unsigned index, pid_t pid)
{
    atomic_store(&storm->books[index].counted, 0);
    kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0); /* fails only when it is no child of ours */
}

static int storm_run(struct storm *storm, const struct settings *settings)
{
    pid_t pids[PROCESSES_MAX];
    uint64_t random = settings->seed | 1, kills = 0, peak = 0, looks = 0;
    for (unsigned i = 0; i < settings->processes; i++)
        pids[i] = worker_start(storm, i, settings, random_next(&random));
    uint64_t next_kill = 0;
    while (atomic_load(&storm->operations) < settings->operations &&
           atomic_load(&storm->failures) == 0) {
        const uint64_t held = held_now(storm, settings->processes);
        peak = held > peak ? held : peak;
        if (++looks % 1024 == 0) /* the programs need the processor more than the observer */
            nanosleep(&(struct timespec){0, 100000}, NULL);
        if (atomic_load(&storm->operations) < next_kill)
            continue;
        const unsigned victim = (unsigned)(random_next(&random) % settings->processes);
        worker_kill(storm, victim, pids[victim]);
        pids[victim] = worker_start(storm, victim, settings, random_next(&random));
        next_kill = atomic_load(&storm->operations) + random_next(&random) % 2000;
        kills++;
    }
    for (unsigned i = 0; i < settings->processes; i++)
        (void)waitpid(pids[i], NULL, 0); /* each ends by itself */
    printf("operations\t%llu\n", (unsigned long long)atomic_load(&storm->operations));
    printf("kills\t%llu\n", (unsigned long long)kills);
    printf("refusals\t%llu\n", (unsigned long long)atomic_load(&storm->refusals));
    printf("seen_peak_bytes\t%llu\n", (unsigned long long)peak);
    printf("overshoot_bytes\t%llu\n",
           (unsigned long long)(peak > settings->quota_bytes ? peak - settings->quota_bytes : 0));
    printf("failures\t%llu\n", (unsigned long long)atomic_load(&storm->failures));
    return atomic_load(&storm->failures) ? 1 : 0;
}

int main(int argc, char **argv)
{
    struct settings settings = {0};
    if (argc == 5) {
        settings.quota_bytes = strtoull(argv[1], NULL, 10);
        settings.operations = strtoull(argv[2], NULL, 10);
        settings.processes = (unsigned)strtoul(argv[3], NULL, 10);
        settings.seed = strtoull(argv[4], NULL, 10);
    }
    if (settings.quota_bytes < 1024 || settings.processes == 0 ||
        settings.processes > PROCESSES_MAX) {
        fputs("usage: quota_storm QUOTA_BYTES OPERATIONS PROCESSES SEED\n", stderr);
        return 2;
    }
    struct storm *storm =
        mmap(NULL, sizeof(*storm), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (storm == MAP_FAILED)
        return 1;
    return storm_run(storm, &settings);
}
