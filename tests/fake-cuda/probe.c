/* A program on the CUDA driver interface, for tests: what it is told to do, and one line of what
 * came of it. It runs unchanged on a driver and on a card.
 *
 * usage: cuda-probe numbers | codes | graphs | resolve | fork | manners | nvml | bench | devices
 *        cuda-probe crowd PROCESSES TOKEN...
 *        cuda-probe hold|cheat BYTES
 *        cuda-probe blocks|passing COUNT
 *        cuda-probe churn OPERATIONS SEED
 *        cuda-probe spin MILLISECONDS KERNEL_US
 *                        plain|graph|cooperative|extended|mixed|streams|many|joined|devices */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "card/cuda/types.h"
#include "fake-cuda/api.h"
#include "fake-cuda/kernels.h"
#include "fake-cuda/probe.h"

#define SIGNALS 32

void check(CUresult result, const char *what)
{
    if (result == CUDA_SUCCESS)
        return;
    (void)fprintf(stderr, "cuda-probe: %s: %d\n", what, (int)result);
    exit(1);
}

uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

CUfunction kernel(const char *name)
{
    CUmodule module;
    CUfunction function;
    CHECK(cuModuleLoadData(&module, kernels));
    CHECK(cuModuleGetFunction(&function, module, name));
    return function;
}

/* Hold some memory until the input ends. */
static int hold(size_t bytes)
{
    CUdeviceptr memory;
    CHECK(cuMemAlloc_v2(&memory, bytes));
    (void)puts("held");
    (void)fflush(stdout);
    (void)getchar();
    return 0;
}

/* Many blocks at once, of sizes that tell them apart, freed in another order. */
static int many_blocks(unsigned count)
{
    CUdeviceptr *memory = calloc(count, sizeof(*memory));
    size_t before, left;
    unsigned wrong = 0;
    CHECK(cuMemGetInfo_v2(&before, NULL));
    for (unsigned i = 0; i < count; i++)
        CHECK(cuMemAlloc_v2(&memory[i], 256 + i % 1024));
    for (unsigned i = 0; i < count; i++)
        CHECK(cuMemFree_v2(memory[(i * 7919ull) % count]));
    CHECK(cuMemGetInfo_v2(&left, NULL));
    wrong += left != before;
    (void)printf("blocks=%u wrong=%u\n", count, wrong);
    free(memory);
    return wrong != 0;
}

/* ---- a guest's manners ---- */

static void on_signal(int unused)
{
}

/* After work of all kinds the process is as it was: its mask for new files, its signals, errno. */
static int manners(void)
{
    uint32_t us = 1;
    void *params[] = {&us};
    CUdeviceptr memory;
    const struct sigaction handler = {.sa_handler = on_signal};
    struct sigaction before[SIGNALS] = {{.sa_handler = SIG_DFL}}, now;
    int changed = 0;
    (void)umask(027);
    (void)sigaction(SIGUSR1, &handler, NULL);
    (void)sigaction(SIGUSR2, &handler, NULL);
    for (int number = 1; number < SIGNALS; number++)
        (void)sigaction(number, NULL, &before[number]);
    errno = ENOTTY;
    CHECK(cuMemAlloc_v2(&memory, 4096));
    CHECK(cuLaunchKernel(kernel("spin_us"), 1, 1, 1, 1, 1, 1, 0, NULL, params, NULL));
    CHECK(cuMemFree_v2(memory));
    changed += errno != ENOTTY;
    changed += umask(0) != 027;
    for (int number = 1; number < SIGNALS; number++)
        if (sigaction(number, NULL, &now) == 0)
            changed += now.sa_handler != before[number].sa_handler;
    (void)printf("changed=%d\n", changed);
    return changed != 0;
}

/* Take memory of the driver itself, past the card. */
static int cheat(size_t bytes)
{
    CUdeviceptr memory;
    CUresult (*allocate)(CUdeviceptr *, size_t);
    CUresult (*make)(CUcontext *, unsigned, CUdevice);
    CUcontext context;
    void *driver = dlopen(getenv("LEAT_CUDA_DRIVER"), RTLD_NOW | RTLD_LOCAL);
    *(void **)&make = driver ? dlsym(driver, "cuCtxCreate_v2") : NULL;
    *(void **)&allocate = driver ? dlsym(driver, "cuMemAlloc_v2") : NULL;
    if (!make || !allocate)
        return 1;
    CHECK(cuMemAlloc_v2(&memory, 4096));
    CHECK(make(&context, 0, 0));
    CHECK(allocate(&memory, bytes));
    (void)puts("held");
    (void)fflush(stdout);
    (void)getchar();
    return 0;
}

static int numbers(void)
{
    uint32_t values[4] = {1, 2, 3, 4}, count = 4;
    CUdeviceptr memory;
    void *params[] = {&memory, &count};
    CHECK(cuMemAlloc_v2(&memory, sizeof(values)));
    CHECK(cuMemcpyHtoD_v2(memory, values, sizeof(values)));
    CHECK(cuLaunchKernel(kernel("add_one"), 1, 1, 1, 4, 1, 1, 0, NULL, params, NULL));
    CHECK(cuCtxSynchronize());
    CHECK(cuMemcpyDtoH_v2(values, memory, sizeof(values)));
    CHECK(cuMemFree_v2(memory));
    (void)printf("%u %u %u %u\n", values[0], values[1], values[2], values[3]);
    return 0;
}

/* What calls return, and what the card says of itself. */
static int codes(void)
{
    size_t left, whole, total;
    CUdeviceptr memory;
    CHECK(cuMemGetInfo_v2(&left, &whole));
    CHECK(cuMemGetInfo_v2(NULL, NULL));
    CHECK(cuDeviceTotalMem_v2(&total, 0));
    int over = (int)cuMemAlloc_v2(&memory, whole + 1);
    int over_async = (int)cuMemAllocAsync(&memory, whole + 1, NULL);
    int unknown = (int)cuMemFree_v2(4096);
    int never = (int)cuLaunchCooperativeKernelMultiDevice(NULL, 0, 0);
    int missing = (int)cuTexRefSetMipmapLevelBias(NULL, 1.0f);
    CHECK(cuMemAlloc_v2(&memory, whole));
    int full = (int)cuMemAlloc_v2(&memory, 1);
    CHECK(cuMemGetInfo_v2(&left, NULL));
    (void)printf("whole=%zu total=%zu over=%d over_async=%d full=%d left=%zu unknown=%d "
                 "never=%d missing=%d\n",
                 whole, total, over, over_async, full, left, unknown, never, missing);
    return 0;
}

static size_t left_mib(void)
{
    size_t left;
    CHECK(cuMemGetInfo_v2(&left, NULL));
    return left >> 20;
}

/* What is left of a card of 64 MiB, step by step, and what calls return. */
static int graphs(void)
{
    const size_t mib = 1 << 20;
    struct cuda_instantiation params = {.flags = 2};
    CUgraphExec small, middle, large, nested, captured, lasting;
    CUgraphNode node;
    CUdeviceptr pointer, memory, alive;
    CUgraph graph = allocating_graph(0, 24 * mib, 1, &pointer), outer;
    CUstream stream;
    CHECK(cuGraphInstantiateWithFlags(&small, graph, 0));
    size_t made = left_mib();
    CHECK(cuGraphUpload(small, NULL));
    size_t uploaded = left_mib();
    CHECK(cuGraphLaunch(small, NULL));
    CHECK(cuGraphLaunch(small, NULL));
    size_t launched = left_mib();
    int never =
        (int)cuGraphInstantiateWithFlags(&large, allocating_graph(0, 65 * mib, 1, &pointer), 0);
    CHECK(
        cuGraphInstantiateWithParams(&middle, allocating_graph(0, 48 * mib, 1, &pointer), &params));
    CHECK(cuGraphLaunch(middle, NULL));
    size_t shared = left_mib();
    CHECK(cuMemAlloc_v2(&memory, 16 * mib));
    CHECK(cuGraphLaunch(middle, NULL)); /* the card is full, and it has its memory */
    CHECK(cuGraphInstantiateWithFlags(&large, allocating_graph(0, 60 * mib, 1, &pointer), 0));
    int refused = (int)cuGraphLaunch(large, NULL), refused_upload = (int)cuGraphUpload(large, NULL);
    int refused_params = (int)cuGraphInstantiateWithParams(
        &large, allocating_graph(0, 60 * mib, 1, &pointer), &params);
    CHECK(cuGraphCreate(&outer, 0));
    CHECK(cuGraphAddChildGraphNode(&node, outer, NULL, 0, graph));
    CHECK(cuGraphInstantiateWithFlags(&nested, outer, 0));
    CHECK(cuDeviceGraphMemTrim(0));
    size_t trimmed = left_mib();
    CHECK(cuGraphLaunch(nested, NULL));
    size_t inside = left_mib();
    CHECK(cuStreamCreate(&stream, 0));
    CHECK(cuStreamBeginCapture_v2(stream, 0));
    CHECK(cuMemAllocAsync(&pointer, 32 * mib, stream));
    CHECK(cuMemFreeAsync(pointer, stream));
    CHECK(cuStreamEndCapture(stream, &graph));
    CHECK(cuGraphInstantiateWithFlags(&captured, graph, 0));
    CHECK(cuGraphLaunch(captured, stream));
    size_t after_capture = left_mib();
    CHECK(cuGraphInstantiateWithFlags(&lasting, allocating_graph(0, 40 * mib, 0, &alive), 0));
    CHECK(cuGraphLaunch(lasting, NULL));
    int beside = (int)cuGraphLaunch(captured, stream);
    CHECK(cuMemFree_v2(alive));
    CHECK(cuGraphLaunch(captured, stream));
    CHECK(cuMemAlloc_v2(&memory, 48 * mib)); /* idle graph memory makes room */
    (void)printf("made=%zu uploaded=%zu launched=%zu never=%d shared=%zu refused=%d "
                 "refused_upload=%d refused_params=%d trimmed=%zu inside=%zu captured=%zu "
                 "beside=%d left=%zu\n",
                 made, uploaded, launched, never, shared, refused, refused_upload, refused_params,
                 trimmed, inside, after_capture, beside, left_mib());
    return 0;
}

static int resolve(void)
{
    static const struct {
        const char *name;
        int version;
        cuuint64_t flags;
        void *own;
    } asked[] = {
        {"cuMemAlloc", 12000, 0, (void *)cuMemAlloc_v2},
        {"cuMemFree", 12000, 0, (void *)cuMemFree_v2},
        {"cuLaunchKernel", 12000, 0, (void *)cuLaunchKernel},
        {"cuLaunchKernel", 12000, 1, (void *)cuLaunchKernel},
        {"cuLaunchKernel", 12000, 2, (void *)cuLaunchKernel_ptsz},
        {"cuGetProcAddress", 12000, 0, (void *)cuGetProcAddress_v2},
        {"cuGraphInstantiate", 12000, 0, (void *)cuGraphInstantiateWithFlags},
    };
    void *function, *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
    const void *table = NULL;
    int wrong = 0, status = -1;
    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
        CHECK(
            cuGetProcAddress_v2(asked[i].name, &function, asked[i].version, asked[i].flags, NULL));
        wrong += function != asked[i].own;
    }
    wrong += cuGetProcAddress_v2("cuMemAlloc", &function, 3000, 0, &status) == CUDA_SUCCESS;
    wrong += cuGetProcAddress_v2("cuNewerThanLeat", &function, 13000, 0, NULL) != CUDA_SUCCESS;
    wrong += !function;
    wrong += !library || dlsym(library, "cuMemAlloc_v2") != (void *)cuMemAlloc_v2;
    wrong += dlsym(RTLD_DEFAULT, "cuda_driver_entry") != NULL;
    CHECK(cuGetExportTable(&table, "0123456789abcdef"));
    wrong += ((const uint64_t *)table)[1] != 42;
    (void)printf("wrong=%d\n", wrong);
    return wrong != 0;
}

/* A child begins anew: its parent's memory stays charged once, its own is freed at its end. */
static int forked(void)
{
    size_t before, after;
    CUdeviceptr memory;
    int status = -1;
    CHECK(cuMemAlloc_v2(&memory, 1 << 20));
    CHECK(cuMemGetInfo_v2(&before, NULL));
    pid_t child = fork();
    if (child == 0) {
        CHECK(cuMemAlloc_v2(&memory, 1 << 20));
        CHECK(cuMemGetInfo_v2(&after, NULL));
        _exit(before - after == 1 << 20 ? 0 : 1);
    }
    (void)waitpid(child, &status, 0);
    CHECK(cuMemFree_v2(memory));
    (void)printf("child=%d\n", status);
    return status != 0;
}

/* ---- what the management library says ---- */

struct nvml {
    int (*init)(void), (*count)(unsigned *), (*handle)(unsigned, nvmlDevice_t *);
    int (*by_uuid)(const char *, nvmlDevice_t *), (*by_bus)(const char *, nvmlDevice_t *);
    int (*index)(nvmlDevice_t, unsigned *), (*name)(nvmlDevice_t, char *, unsigned);
    int (*memory)(nvmlDevice_t, struct nvml_memory *);
    int (*memory_v2)(nvmlDevice_t, struct nvml_memory_v2 *);
    int (*use)(nvmlDevice_t, struct nvml_utilization *);
    int (*processes)(nvmlDevice_t, unsigned *, struct nvml_process *), (*set)(nvmlDevice_t, int);
};

static void nvml_open(struct nvml *nvml)
{
    const struct {
        const char *name;
        void *function;
    } names[] = {
        {"nvmlInit_v2", &nvml->init},
        {"nvmlDeviceGetCount_v2", &nvml->count},
        {"nvmlDeviceGetHandleByIndex_v2", &nvml->handle},
        {"nvmlDeviceGetHandleByUUID", &nvml->by_uuid},
        {"nvmlDeviceGetHandleByPciBusId_v2", &nvml->by_bus},
        {"nvmlDeviceGetIndex", &nvml->index},
        {"nvmlDeviceGetName", &nvml->name},
        {"nvmlDeviceGetMemoryInfo", &nvml->memory},
        {"nvmlDeviceGetMemoryInfo_v2", &nvml->memory_v2},
        {"nvmlDeviceGetUtilizationRates", &nvml->use},
        {"nvmlDeviceGetComputeRunningProcesses_v3", &nvml->processes},
        {"nvmlDeviceSetPersistenceMode", &nvml->set},
    };
    void *library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        *(void **)names[i].function = library ? dlsym(library, names[i].name) : NULL;
        if (!*(void **)names[i].function) {
            (void)fprintf(stderr, "cuda-probe: no %s: %s\n", names[i].name, dlerror());
            exit(1);
        }
    }
}

static int nvml(void)
{
    struct nvml n;
    struct nvml_memory memory, of_second = {0};
    struct nvml_memory_v2 memory_v2;
    struct nvml_utilization use;
    struct nvml_process list[8] = {{0}}, *own = list;
    unsigned count = 0, index = 9, processes = 0, full;
    nvmlDevice_t device, other;
    CUdeviceptr held;
    char name[64];
    CHECK(cuMemAlloc_v2(&held, 1 << 20));
    nvml_open(&n);
    CHECK((CUresult)n.init());
    CHECK((CUresult)n.count(&count));
    CHECK((CUresult)n.handle(0, &device));
    CHECK((CUresult)n.name(device, name, sizeof(name)));
    CHECK((CUresult)n.index(device, &index));
    CHECK((CUresult)n.memory(device, &memory));
    CHECK((CUresult)n.memory_v2(device, &memory_v2));
    CHECK((CUresult)n.use(device, &use));
    int second = n.handle(1, &other);
    if (second == NVML_SUCCESS)
        CHECK((CUresult)n.memory(other, &of_second));
    full = (unsigned)n.processes(device, &processes, NULL);
    processes = sizeof(list) / sizeof(list[0]);
    CHECK((CUresult)n.processes(device, &processes, list));
    for (unsigned i = 0; i < processes; i++)
        if (list[i].pid == (unsigned)getpid())
            own = &list[i];
    (void)printf(
        "count=%u index=%u total=%llu used=%llu free=%llu total_v2=%llu used_v2=%llu "
        "busy=%u processes=%u full=%u own=%d held=%llu second=%d second_total=%llu uuid=%d "
        "other_uuid=%d "
        "bus=%d set=%d\n",
        count, index, memory.total, memory.used, memory.free, memory_v2.total, memory_v2.used,
        use.gpu, processes, full, own->pid == (unsigned)getpid(), own->used, second,
        of_second.total, n.by_uuid("GPU-00000000-0000-0000-0000-000000000000", &other),
        n.by_uuid("GPU-00000000-0000-0000-0000-000000000001", &other),
        n.by_bus("00000000:01:00.0", &other), n.set(device, 1));
    return 0;
}

/* ---- what calls cost ---- */

enum { CHUNKS = 400, CHUNK = 256 };

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void bench_allocate(CUfunction unused)
{
    CUdeviceptr memory;
    CHECK(cuMemAlloc_v2(&memory, 4096));
    CHECK(cuMemFree_v2(memory));
}

static void bench_resolve(CUfunction unused)
{
    void *found;
    CHECK(cuGetProcAddress_v2("cuLaunchKernel", &found, 12000, 2, NULL));
}

static void bench_launch(CUfunction function)
{
    uint32_t us = 0;
    void *params[] = {&us};
    CHECK(cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, NULL, params, NULL));
}

/* Into four streams in turn. */
static void bench_streams(CUfunction function)
{
    static CUstream streams[4];
    static unsigned launched;
    uint32_t us = 0;
    void *params[] = {&us};
    CUstream *stream = &streams[launched++ % 4];
    if (!*stream)
        CHECK(cuStreamCreate(stream, 0));
    CHECK(cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, *stream, params, NULL));
}

static uint64_t cpu_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Nanoseconds of one call: by the clock, the median of short chunks, so that a busy machine matters
 * little; and by the thread's own time on a processor, the mean of all, in which the rare dear
 * calls count. */
static void time_calls(const char *name, void (*call)(CUfunction), CUfunction function)
{
    static double ns[CHUNKS];
    uint64_t cpu = cpu_ns();
    for (int chunk = 0; chunk < CHUNKS; chunk++) {
        uint64_t start = now_ns();
        for (int i = 0; i < CHUNK; i++)
            call(function);
        ns[chunk] = (double)(now_ns() - start) / CHUNK;
    }
    cpu = cpu_ns() - cpu;
    qsort(ns, CHUNKS, sizeof(ns[0]), compare);
    (void)printf("%s_ns=%.1f %s_mean_ns=%.1f ", name, ns[CHUNKS / 2], name,
                 (double)cpu / CHUNKS / CHUNK);
}

static int bench(void)
{
    CUfunction function = kernel("spin_us");
    time_calls("alloc_free", bench_allocate, function);
    time_calls("resolve", bench_resolve, function);
    time_calls("launch", bench_launch, function);
    time_calls("streams", bench_streams, function);
    (void)printf("\n");
    return 0;
}

/* Processes that meet their cards at the same instant, in turn the given ones: the microseconds
 * until each was told of its card's memory. */
static int crowd(unsigned count, char **tokens, unsigned cards)
{
    size_t bytes = (count + 2) * sizeof(double);
    double *took = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_barrierattr_t shared;
    pthread_barrier_t *all =
        mmap(NULL, sizeof(*all), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    unsigned failed = 0;
    int status;
    if (took == MAP_FAILED || all == MAP_FAILED)
        return 1;
    (void)pthread_barrierattr_init(&shared);
    (void)pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
    (void)pthread_barrier_init(all, &shared, count);
    for (unsigned i = 0; i < count; i++) {
        if (fork() != 0)
            continue;
        size_t left = 0, whole = 0;
        (void)setenv("LEAT_CARD_TOKEN", tokens[i % cards], 1);
        (void)pthread_barrier_wait(all);
        uint64_t start = now_ns();
        CHECK(cuMemGetInfo_v2(&left, &whole));
        took[i] = (double)(now_ns() - start) / 1000;
        (void)pthread_barrier_wait(all); /* nobody makes room for others by leaving */
        _exit(left == whole ? 0 : 1);
    }
    while (wait(&status) > 0)
        failed += status != 0;
    qsort(took, count, sizeof(took[0]), compare);
    (void)printf("p50_us=%.0f p99_us=%.0f max_us=%.0f failed=%u\n", took[count / 2],
                 took[count * 99 / 100], took[count - 1], failed);
    return failed != 0;
}

static unsigned number(const char *text)
{
    return (unsigned)strtoul(text, NULL, 10);
}

static int run_churn(char **words)
{
    return churn(strtoul(words[0], NULL, 10), number(words[1]));
}

static int run_spin(char **words)
{
    return spin(number(words[0]), number(words[1]), words[2]);
}

static int run_hold(char **words)
{
    return hold(strtoul(words[0], NULL, 10));
}

static int run_blocks(char **words)
{
    return many_blocks(number(words[0]));
}

static int run_passing(char **words)
{
    return passing(number(words[0]));
}

static int run_cheat(char **words)
{
    return cheat(strtoul(words[0], NULL, 10));
}

static int run_crowd(char **words)
{
    unsigned cards = 0;
    while (words[1 + cards])
        cards++;
    return crowd(number(words[0]), words + 1, cards);
}

static const struct {
    const char *name;
    int words; /* at least */
    int (*plain)(void);
    int (*run)(char **words);
} verbs[] = {
    {"numbers", 0, numbers, NULL}, {"codes", 0, codes, NULL},
    {"graphs", 0, graphs, NULL},   {"resolve", 0, resolve, NULL},
    {"fork", 0, forked, NULL},     {"manners", 0, manners, NULL},
    {"nvml", 0, nvml, NULL},       {"bench", 0, bench, NULL},
    {"churn", 2, NULL, run_churn}, {"spin", 3, NULL, run_spin},
    {"hold", 1, NULL, run_hold},   {"cheat", 1, NULL, run_cheat},
    {"crowd", 2, NULL, run_crowd}, {"blocks", 1, NULL, run_blocks},
    {"devices", 0, devices, NULL}, {"passing", 1, NULL, run_passing},
};

int main(int argc, char **argv)
{
    CUcontext context;
    int r = 2;
    CHECK(cuInit(0));
    CHECK(cuCtxCreate_v2(&context, 0, 0));
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
        if (argc - 2 >= verbs[i].words && strcmp(argv[1], verbs[i].name) == 0)
            r = verbs[i].plain ? verbs[i].plain() : verbs[i].run(argv + 2);
    CHECK(cuCtxDestroy_v2(context));
    return r;
}
