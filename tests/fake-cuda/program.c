/* A program on the CUDA driver interface that runs unchanged, and prints the same, on a driver, on
 * a local card and on a remote one.
 *
 * usage: cuda-program all            everything that remote cards serve, a line each
 *        cuda-program keep BYTES     fill BYTES in pieces of all sizes, then for each line of input
 *                                    print a checksum of them, of which pointers are a part, and
 *                                    launch a kernel and a graph of one
 *        cuda-program child         after a fork both go on
 *        cuda-program threads COUNT  as many threads with contexts, streams and memory of their own
 *        cuda-program launches COUNT the median of so many in a row, in ns
 *        cuda-program beside COUNT   so many calls that wait for little, in ns, while other threads
 *                                    wait in all ways for a kernel of a minute */
#include <elf.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fake-cuda/api.h"
#include "fake-cuda/kernels.h"

#define CHECK(call) check((call), #call)
#define NUMBERS 1024u
#define PIECES 4096

static void check(CUresult result, const char *what)
{
    if (result == CUDA_SUCCESS)
        return;
    (void)fprintf(stderr, "cuda-program: %s: %d\n", what, (int)result);
    exit(1);
}

/* What all parts work on. */
struct work {
    CUmodule module;
    CUfunction add_one;
    CUdeviceptr numbers;
    uint32_t count, host[NUMBERS];
};

static unsigned long sum(const struct work *work)
{
    unsigned long all = 0;
    for (unsigned i = 0; i < NUMBERS; i++)
        all += work->host[i];
    return all;
}

static unsigned long read_back(struct work *work)
{
    CHECK(cuMemcpyDtoH_v2(work->host, work->numbers, sizeof(work->host)));
    return sum(work);
}

static void launch(struct work *work, CUstream stream)
{
    void *params[] = {&work->numbers, &work->count};
    CHECK(cuLaunchKernel(work->add_one, 4, 1, 1, 256, 1, 1, 0, stream, params, NULL));
}

static void device(void)
{
    char name[128];
    int version, attribute, major, minor;
    CHECK(cuDriverGetVersion(&version));
    CHECK(cuDeviceGetName(name, sizeof(name), 0));
    CHECK(cuDeviceGetAttribute(&attribute, 16, 0)); /* multiprocessors */
    CHECK(cuDeviceComputeCapability(&major, &minor, 0));
    (void)printf("device: %s, driver %d, %d processors, %d.%d\n", name, version, attribute, major,
                 minor);
}

static void errors(struct work *work)
{
    CUfunction function;
    CUdeviceptr pointer = 0;
    CUcontext context;
    size_t limit = 0;
    int codes[] = {cuModuleGetFunction(&function, work->module, "no_such_kernel"),
                   cuMemAlloc_v2(&pointer, 0), cuMemAlloc_v2(&pointer, 1ull << 60),
                   cuMemAlloc_v2(NULL, 1)};
    CHECK(cuCtxSetLimit(1, 1 << 20));
    CHECK(cuCtxGetLimit(&limit, 1));
    CHECK(cuCtxGetCurrent(&context));
    CHECK(cuCtxSetCurrent(NULL));
    int without = cuMemAlloc_v2(&pointer, 4096);
    CHECK(cuCtxSetCurrent(context));
    (void)printf("errors: %d %d %d %d, without a context %d; limit %zu\n", codes[0], codes[1],
                 codes[2], codes[3], without, limit);
}

/* What a file of these bytes is as a module. */
static int load_file(const void *bytes, size_t length, CUmodule *ret_module)
{
    char path[32];
    int fd = memfd_create("module", 0);
    if (fd < 0 || write(fd, bytes, length) != (ssize_t)length)
        exit(1);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int result = cuModuleLoad(ret_module, path);
    (void)close(fd);
    return result;
}

/* Text, and an ELF image that was cut off before its sections, and in its header. */
static void files(void)
{
    Elf64_Ehdr header = {.e_ident = ELFMAG, .e_shoff = 1ull << 40, .e_shnum = 1};
    CUmodule module;
    CUfunction function;
    int codes[] = {load_file(&header, sizeof(header), &module), load_file(&header, 20, &module),
                   cuModuleLoad(&module, "/nowhere"),
                   load_file(kernels, sizeof(kernels) - 1, &module)};
    CHECK(cuModuleGetFunction(&function, module, "add_one"));
    CHECK(cuModuleUnload(module));
    (void)printf("files: %d %d %d %d\n", codes[0], codes[1], codes[2], codes[3]);
}

static void launches(struct work *work)
{
    size_t offset, bytes, block_bytes = 12;
    char block[12];
    int attribute, blocks;
    memcpy(block, &work->numbers, 8);
    memcpy(block + 8, &work->count, 4);
    void *params[] = {&work->numbers, &work->count};
    void *extra[] = {CUDA_LAUNCH_BLOCK, block, CUDA_LAUNCH_BLOCK_BYTES, &block_bytes,
                     CUDA_LAUNCH_END};
    for (int i = 0; i < 100; i++)
        launch(work, NULL);
    CHECK(cuLaunchKernel(work->add_one, 4, 1, 1, 256, 1, 1, 0, NULL, NULL, extra));
    CHECK(cuLaunchCooperativeKernel(work->add_one, 4, 1, 1, 256, 1, 1, 0, NULL, params));
    CHECK(cuCtxSynchronize());
    CHECK(cuFuncGetParamInfo(work->add_one, 1, &offset, &bytes));
    CHECK(cuFuncGetAttribute(&attribute, 0, work->add_one));
    CHECK(cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, work->add_one, 256, 0));
    (void)printf("launches: sum %lu; n at %zu of %zu; %d threads, %d blocks\n", read_back(work),
                 offset, bytes, attribute, blocks);
}

static void streams(struct work *work)
{
    CUstream streams[2];
    CUevent start, end;
    CUdeviceptr other;
    float ms = -1;
    void *pinned;
    CHECK(cuMemHostAlloc(&pinned, sizeof(work->host), 0));
    CHECK(cuMemAlloc_v2(&other, sizeof(work->host)));
    for (int i = 0; i < 2; i++)
        CHECK(cuStreamCreate(&streams[i], 1));
    CHECK(cuEventCreate(&start, 0));
    CHECK(cuEventCreate(&end, 0));
    memset(pinned, 0, sizeof(work->host));
    CHECK(cuMemcpyHtoDAsync_v2(work->numbers, pinned, sizeof(work->host), streams[0]));
    CHECK(cuEventRecord(start, streams[0]));
    for (int i = 0; i < 10; i++)
        launch(work, streams[0]);
    CHECK(cuEventRecord(end, streams[0]));
    CHECK(cuStreamWaitEvent(streams[1], end, 0));
    CHECK(cuMemcpyDtoDAsync_v2(other, work->numbers, sizeof(work->host), streams[1]));
    CHECK(cuMemsetD32Async(other, 7, 24, streams[1]));
    CHECK(cuMemcpyDtoHAsync_v2(work->host, other, sizeof(work->host), streams[1]));
    CHECK(cuStreamSynchronize(streams[1]));
    CHECK(cuEventSynchronize(end));
    CHECK(cuEventQuery(end));
    CHECK(cuStreamQuery(streams[1]));
    CHECK(cuEventElapsedTime(&ms, start, end));
    (void)printf("streams: sum %lu; %s\n", sum(work),
                 ms > 0 && ms < 1000 ? "time has passed" : "no time has passed");
    for (int i = 0; i < 2; i++)
        CHECK(cuStreamDestroy_v2(streams[i]));
    CHECK(cuEventDestroy_v2(start));
    CHECK(cuEventDestroy_v2(end));
    CHECK(cuMemFreeHost(pinned));
    CHECK(cuMemFree_v2(other));
}

static void fills(struct work *work)
{
    CUdeviceptr plane;
    size_t pitch;
    unsigned short row[8];
    CHECK(cuMemsetD8_v2(work->numbers, 1, sizeof(work->host)));
    CHECK(cuMemAllocPitch_v2(&plane, &pitch, sizeof(row), 4, 4));
    CHECK(cuMemsetD2D16_v2(plane, pitch, 515, 8, 4));
    CHECK(cuMemcpyDtoH_v2(row, plane + 3 * pitch, sizeof(row)));
    CHECK(cuMemcpy(work->numbers, plane, sizeof(row)));
    (void)printf("fills: %u, sum %lu\n", row[7], read_back(work));
    CHECK(cuMemFree_v2(plane));
}

static void graphs(struct work *work)
{
    CUstream stream;
    CUgraph graph;
    CUgraphExec exec;
    int during, after;
    CHECK(cuMemsetD8_v2(work->numbers, 0, sizeof(work->host)));
    CHECK(cuStreamCreate(&stream, 1));
    CHECK(cuStreamBeginCapture_v2(stream, 0));
    CHECK(cuStreamIsCapturing(stream, &during));
    CHECK(cuStreamEndCapture(stream, &graph));
    CHECK(cuStreamIsCapturing(stream, &after));
    CHECK(cuGraphInstantiateWithFlags(&exec, graph, 0));
    CHECK(cuGraphLaunch(exec, stream));
    CHECK(cuStreamSynchronize(stream));
    (void)printf("graphs: capturing %d, then %d; sum %lu\n", during, after, read_back(work));
    CHECK(cuGraphExecDestroy(exec));
    CHECK(cuGraphDestroy(graph));
    CHECK(cuStreamDestroy_v2(stream));
}

/* A graph of nodes that a program adds: the left half of each row of 64 numbers is filled, one is
 * added to all by a child graph, left halves are copied to the right, and one is added again. */
struct nodes {
    CUgraph graph, child;
    CUgraphNode fill, empty, inner, copy, kernel;
    struct cuda_kernel_node add_one;
    struct cuda_fill fill_params;
    struct cuda_copy copy_params;
    void *parameters[2];
};

static void describe_nodes(struct nodes *nodes, struct work *work)
{
    const struct cuda_copy_side side = {
        .type = CUDA_SIDE_DEVICE, .device = work->numbers, .pitch = 256, .height = 8};
    nodes->parameters[0] = &work->numbers;
    nodes->parameters[1] = &work->count;
    nodes->add_one = (struct cuda_kernel_node){.function = work->add_one,
                                               .grid_x = 4,
                                               .grid_y = 1,
                                               .grid_z = 1,
                                               .block_x = 256,
                                               .block_y = 1,
                                               .block_z = 1,
                                               .params = nodes->parameters};
    nodes->fill_params = (struct cuda_fill){
        .to = work->numbers, .pitch = 256, .item = 5, .item_bytes = 4, .columns = 32, .rows = 16};
    nodes->copy_params =
        (struct cuda_copy){.from = side, .to = side, .row_bytes = 128, .rows = 8, .depth = 2};
    nodes->copy_params.to.x_bytes = 128;
}

/* Added in no order of theirs; the dependencies say it. */
static void build_nodes(struct nodes *nodes, CUcontext context)
{
    CUgraphNode unwanted, only;
    CHECK(cuGraphCreate(&nodes->graph, 0));
    CHECK(cuGraphCreate(&nodes->child, 0));
    CHECK(cuGraphAddKernelNode(&only, nodes->child, NULL, 0, &nodes->add_one));
    CHECK(cuGraphAddKernelNode(&nodes->kernel, nodes->graph, NULL, 0, &nodes->add_one));
    CHECK(cuGraphAddEmptyNode(&nodes->empty, nodes->graph, NULL, 0));
    CHECK(cuGraphAddChildGraphNode(&nodes->inner, nodes->graph, &nodes->empty, 1, nodes->child));
    CHECK(cuGraphAddMemcpyNode(&nodes->copy, nodes->graph, &nodes->inner, 1, &nodes->copy_params,
                               context));
    CHECK(cuGraphAddMemsetNode(&nodes->fill, nodes->graph, NULL, 0, &nodes->fill_params, context));
    CHECK(cuGraphAddEmptyNode(&unwanted, nodes->graph, &nodes->fill, 1));
    CHECK(cuGraphAddDependencies(nodes->graph, &nodes->fill, &nodes->empty, 1));
    CHECK(cuGraphAddDependencies(nodes->graph, &nodes->copy, &nodes->kernel, 1));
    CHECK(cuGraphAddDependencies(nodes->graph, &nodes->kernel, &unwanted, 1));
    CHECK(cuGraphRemoveDependencies(nodes->graph, &nodes->fill, &unwanted, 1));
    CHECK(cuGraphDestroyNode(unwanted));
    CHECK(cuGraphDestroy(nodes->child));
}

static unsigned long run_graph(struct work *work, CUgraphExec exec)
{
    CHECK(cuGraphLaunch(exec, NULL));
    CHECK(cuCtxSynchronize());
    return read_back(work);
}

static void graph_nodes(struct work *work)
{
    struct nodes nodes;
    CUcontext context;
    CUgraphExec exec, again;
    unsigned long sums[4];
    int type, wrong;
    CHECK(cuCtxGetCurrent(&context));
    describe_nodes(&nodes, work);
    build_nodes(&nodes, context);
    CHECK(cuGraphNodeGetType(nodes.copy, &type));
    CHECK(cuGraphInstantiate_v2(&exec, nodes.graph, NULL, NULL, 0));
    sums[0] = run_graph(work, exec);
    nodes.fill_params.item = 50; /* in what was made of the graph, and then in the graph */
    CHECK(cuGraphExecMemsetNodeSetParams(exec, nodes.fill, &nodes.fill_params, context));
    work->count = 10; /* for the kernel outside the child */
    CHECK(cuGraphExecKernelNodeSetParams(exec, nodes.kernel, &nodes.add_one));
    work->count = NUMBERS;
    sums[1] = run_graph(work, exec);
    nodes.copy_params.row_bytes = 4;
    CHECK(cuGraphExecMemcpyNodeSetParams(exec, nodes.copy, &nodes.copy_params, context));
    nodes.fill_params.item = 7;
    CHECK(cuGraphMemsetNodeSetParams(nodes.fill, &nodes.fill_params));
    CHECK(cuGraphKernelNodeSetParams(nodes.kernel, &nodes.add_one));
    CHECK(cuGraphMemcpyNodeSetParams(nodes.copy, &nodes.copy_params));
    CHECK(cuGraphInstantiateWithFlags(&again, nodes.graph, 0));
    sums[2] = run_graph(work, exec);
    sums[3] = run_graph(work, again);
    CHECK(cuGraphAddDependencies(nodes.graph, &nodes.kernel, &nodes.fill, 1));
    CHECK(cuGraphExecDestroy(again));
    wrong = cuGraphInstantiateWithFlags(&again, nodes.graph, 0);
    (void)printf("nodes: type %d, sums %lu %lu %lu %lu; in a circle %d\n", type, sums[0], sums[1],
                 sums[2], sums[3], wrong);
    CHECK(cuGraphExecDestroy(exec));
    CHECK(cuGraphDestroy(nodes.graph));
}

static void peers(void)
{
    CUcontext context;
    int can = -1;
    CHECK(cuCtxGetCurrent(&context));
    CHECK(cuDeviceCanAccessPeer(&can, 0, 0));
    (void)printf("peers: %d, %d %d\n", can, cuCtxEnablePeerAccess(context, 0),
                 cuCtxDisablePeerAccess(context));
}

/* More than lies in one piece of the session. */
static void large(void)
{
    const size_t bytes = 40u << 20;
    CUdeviceptr memory;
    uint32_t *host = malloc(bytes);
    unsigned long wrong = 0;
    if (!host)
        exit(1);
    CHECK(cuMemAlloc_v2(&memory, bytes));
    for (uint32_t i = 0; i < bytes / 4; i++)
        host[i] = i * 2654435761u;
    for (int i = 0; i < 3; i++)
        CHECK(cuMemcpyHtoD_v2(memory, host, bytes));
    memset(host, 0, bytes);
    CHECK(cuMemcpyDtoH_v2(host, memory, bytes));
    for (uint32_t i = 0; i < bytes / 4; i++)
        wrong += host[i] != i * 2654435761u;
    (void)printf("large: %lu wrong\n", wrong);
    CHECK(cuMemFree_v2(memory));
    free(host);
}

static int all(struct work *work)
{
    device();
    errors(work);
    files();
    launches(work);
    streams(work);
    fills(work);
    graphs(work);
    graph_nodes(work);
    peers();
    large();
    return 0;
}

/* ---- memory that is kept ---- */

struct piece {
    CUdeviceptr address;
    size_t bytes;
};

static unsigned long checksum(const struct piece *pieces, unsigned count)
{
    unsigned long hash = 14695981039346656037ul;
    for (unsigned i = 0; i < count; i++) {
        unsigned char *host = malloc(pieces[i].bytes);
        if (!host)
            exit(1);
        CHECK(cuMemcpyDtoH_v2(host, pieces[i].address, pieces[i].bytes));
        for (size_t b = 0; b < pieces[i].bytes; b++)
            hash = (hash ^ host[b]) * 1099511628211ul;
        free(host);
    }
    return hash;
}

/* Each piece holds the address of the one before, as a list on a device does. */
static int keep(struct work *work, size_t bytes)
{
    static struct piece pieces[PIECES];
    struct nodes nodes;
    CUgraphExec exec;
    unsigned count = 0;
    char line[16];
    for (size_t size = 64; bytes >= size && count < PIECES; count++) {
        struct piece *piece = &pieces[count];
        piece->bytes = size;
        CHECK(cuMemAlloc_v2(&piece->address, size));
        CHECK(cuMemsetD8_v2(piece->address, (unsigned char)count, size));
        if (count)
            CHECK(cuMemcpyHtoD_v2(piece->address, &pieces[count - 1].address, 8));
        bytes -= size;
        size = count % 8 == 7 ? size * 2 : size;
    }
    describe_nodes(&nodes, work);
    CHECK(cuGraphCreate(&nodes.graph, 0));
    CHECK(cuGraphAddKernelNode(&nodes.kernel, nodes.graph, NULL, 0, &nodes.add_one));
    CHECK(cuGraphInstantiateWithFlags(&exec, nodes.graph, 0));
    do {
        (void)printf("%u %lx\n", count, checksum(pieces, count));
        (void)fflush(stdout);
        launch(work, NULL);
        CHECK(cuGraphLaunch(exec, NULL));
    } while (fgets(line, sizeof(line), stdin));
    (void)printf("launches %u\n", (read_back(work), work->host[0]));
    return 0;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* What the program waits for one, in the middle of all. */
static int time_launches(struct work *work, size_t count)
{
    uint64_t *ns = calloc(count, sizeof(*ns));
    if (!ns || !count)
        exit(1);
    launch(work, NULL);
    CHECK(cuCtxSynchronize());
    for (size_t i = 0; i < count; i++) {
        uint64_t start = now_ns();
        launch(work, NULL);
        ns[i] = now_ns() - start;
    }
    CHECK(cuCtxSynchronize());
    qsort(ns, count, sizeof(*ns), compare);
    (void)printf("launch_p50_ns=%lu\n", (unsigned long)ns[count / 2]);
    free(ns);
    return 0;
}

/* A thread that waits in one of four ways. */
struct waiting {
    CUcontext context;
    CUstream stream;
    CUevent event;
    CUdeviceptr from;
    unsigned way;
};

static void *wait_long(void *arg)
{
    const struct waiting *waiting = arg;
    static char to[4][64];
    CHECK(cuCtxSetCurrent(waiting->context));
    switch (waiting->way) {
    case 0:
        CHECK(cuStreamSynchronize(waiting->stream));
        break;
    case 1:
        CHECK(cuEventSynchronize(waiting->event));
        break;
    case 2:
        CHECK(cuCtxSynchronize());
        break;
    default:
        CHECK(cuMemcpyDtoHAsync_v2(to[waiting->way % 4], waiting->from, 64, waiting->stream));
        CHECK(cuStreamSynchronize(waiting->stream));
    }
    (void)fprintf(stderr, "cuda-program: the long kernel has ended\n");
    return NULL;
}

/* What this thread does takes no time on the device, and it ends the process without the others. */
static int beside(struct work *work, size_t count)
{
    static struct waiting waiting[4];
    uint64_t *ns = calloc(count, sizeof(*ns));
    unsigned long long_us = 6000000;
    void *params[] = {&long_us};
    CUfunction spin;
    CUstream busy, idle;
    CUevent event;
    pthread_t thread;
    if (!ns || !count)
        exit(1);
    CHECK(cuModuleGetFunction(&spin, work->module, "spin_us"));
    CHECK(cuStreamCreate(&busy, 1));
    CHECK(cuStreamCreate(&idle, 1));
    CHECK(cuEventCreate(&event, 0));
    CHECK(cuLaunchKernel(spin, 1, 1, 1, 1, 1, 1, 0, busy, params, NULL));
    CHECK(cuEventRecord(event, busy));
    for (unsigned i = 0; i < 4; i++) {
        waiting[i] =
            (struct waiting){.stream = busy, .event = event, .from = work->numbers, .way = i};
        CHECK(cuCtxGetCurrent(&waiting[i].context));
        if (pthread_create(&thread, NULL, wait_long, &waiting[i]) != 0)
            exit(1);
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t start = now_ns();
        CHECK(cuMemcpyDtoHAsync_v2(work->host, work->numbers, sizeof(work->host), idle));
        CHECK(cuStreamSynchronize(idle));
        ns[i] = now_ns() - start;
    }
    int others = cuStreamQuery(busy);
    qsort(ns, count, sizeof(*ns), compare);
    (void)printf("beside_p50_ns=%lu beside_p99_ns=%lu busy=%d\n", (unsigned long)ns[count / 2],
                 (unsigned long)ns[count - 1 - count / 100], others);
    (void)fflush(stdout);
    _exit(0);
}

/* What a process begins with. */
static void open_card(struct work *work)
{
    CUcontext context;
    CHECK(cuInit(0));
    CHECK(cuDevicePrimaryCtxRetain(&context, 0));
    CHECK(cuCtxSetCurrent(context));
    CHECK(cuModuleLoadData(&work->module, kernels));
    CHECK(cuModuleGetFunction(&work->add_one, work->module, "add_one"));
    CHECK(cuMemAlloc_v2(&work->numbers, sizeof(work->host)));
    CHECK(cuMemcpyHtoD_v2(work->numbers, work->host, sizeof(work->host)));
}

/* A child begins anew, and does not disturb its parent. */
static int child(struct work *work)
{
    uint32_t before, in_child[2];
    int pipes[2], status = -1;
    launch(work, NULL);
    launch(work, NULL);
    before = (read_back(work), work->host[0]);
    if (pipe(pipes) < 0)
        return 1;
    pid_t pid = fork();
    if (pid == 0) {
        open_card(work);
        in_child[0] = (read_back(work), work->host[0]);
        launch(work, NULL);
        in_child[1] = (read_back(work), work->host[0]);
        _exit(write(pipes[1], in_child, sizeof(in_child)) != (ssize_t)sizeof(in_child));
    }
    if (waitpid(pid, &status, 0) != pid || status ||
        read(pipes[0], in_child, sizeof(in_child)) != (ssize_t)sizeof(in_child))
        return 1;
    launch(work, NULL);
    (void)printf("numbers %u %lu, those of the child %u %u\n", before, read_back(work) / NUMBERS,
                 in_child[0], in_child[1]);
    return 0;
}

/* ---- several threads ---- */

#define THREADS_MAX 16
#define ROUNDS 40

struct worker {
    pthread_t thread;
    CUcontext shared; /* what the others have, too; NULL: a context of its own */
    unsigned number;
    unsigned wrong;
};

/* Fill, add one a few times in two streams of which one waits for the other, and read back. */
static void work_once(struct worker *worker, struct work *work, unsigned round)
{
    CUstream first, second;
    CUevent done;
    unsigned value = worker->number * 1000 + round;
    CHECK(cuMemAlloc_v2(&work->numbers, sizeof(work->host)));
    CHECK(cuStreamCreate(&first, 1));
    CHECK(cuStreamCreate(&second, 1));
    CHECK(cuEventCreate(&done, 2)); /* without times */
    CHECK(cuMemsetD32Async(work->numbers, value, NUMBERS, first));
    for (int i = 0; i < 5; i++)
        launch(work, first);
    CHECK(cuEventRecord(done, first));
    CHECK(cuStreamWaitEvent(second, done, 0));
    for (int i = 0; i < 5; i++)
        launch(work, second);
    CHECK(cuMemcpyDtoHAsync_v2(work->host, work->numbers, sizeof(work->host), second));
    CHECK(cuStreamSynchronize(second));
    for (unsigned i = 0; i < NUMBERS; i++)
        worker->wrong += work->host[i] != value + 10;
    CHECK(cuEventDestroy_v2(done));
    CHECK(cuStreamDestroy_v2(first));
    CHECK(cuStreamDestroy_v2(second));
    CHECK(cuMemFree_v2(work->numbers));
}

static void *work_on(void *argument)
{
    struct worker *worker = argument;
    struct work *work = calloc(1, sizeof(*work));
    CUcontext context = worker->shared;
    if (!work)
        exit(1);
    work->count = NUMBERS;
    if (!context)
        CHECK(cuCtxCreate_v2(&context, 0, 0));
    CHECK(cuCtxSetCurrent(context));
    CHECK(cuModuleLoadData(&work->module, kernels));
    CHECK(cuModuleGetFunction(&work->add_one, work->module, "add_one"));
    for (unsigned round = 0; round < ROUNDS; round++)
        work_once(worker, work, round);
    CHECK(cuModuleUnload(work->module));
    if (!worker->shared)
        CHECK(cuCtxDestroy_v2(context));
    free(work);
    return NULL;
}

static int threads(struct work *work, size_t count)
{
    static struct worker workers[THREADS_MAX];
    CUcontext context;
    unsigned wrong = 0;
    if (!count || count > THREADS_MAX)
        return 2;
    CHECK(cuCtxGetCurrent(&context));
    for (unsigned i = 0; i < count; i++) {
        workers[i] = (struct worker){.number = i, .shared = i % 3 ? context : NULL};
        if (pthread_create(&workers[i].thread, NULL, work_on, &workers[i]) != 0)
            return 1;
    }
    for (unsigned i = 0; i < count; i++) {
        (void)pthread_join(workers[i].thread, NULL);
        wrong += workers[i].wrong;
    }
    (void)printf("threads %zu, wrong %u\n", count, wrong);
    return wrong != 0;
}

int main(int argc, char **argv)
{
    static struct work work = {.count = NUMBERS};
    const char *what = argc > 1 ? argv[1] : "";
    unsigned long number = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    int r = 2;
    open_card(&work);
    if (strcmp(what, "all") == 0)
        r = all(&work);
    else if (strcmp(what, "keep") == 0)
        r = keep(&work, number);
    else if (strcmp(what, "child") == 0)
        r = child(&work);
    else if (strcmp(what, "beside") == 0)
        r = beside(&work, number);
    else if (strcmp(what, "launches") == 0)
        r = time_launches(&work, number);
    else if (strcmp(what, "threads") == 0)
        r = threads(&work, number);
    CHECK(cuMemFree_v2(work.numbers));
    CHECK(cuModuleUnload(work.module));
    CHECK(cuDevicePrimaryCtxRelease_v2(0));
    return r;
}
