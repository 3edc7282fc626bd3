/* Keeping devices busy with launches of all kinds, from one thread for each device. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "fake-cuda/api.h"
#include "fake-cuda/probe.h"

#define STREAMS 8
#define DEVICES 2

/* What a thread launches with: the graph holds one launch of the kernel. */
struct spin {
    CUdevice device;
    const char *way;
    unsigned milliseconds;
    uint32_t first_us, kernel_us; /* of the first, and of the next kernel */
    CUfunction function;
    CUstream streams[STREAMS], stream;
    CUgraphExec graph;
    void *params[1];
    unsigned long launched;
};

static const char *const ways[] = {"plain", "graph", "cooperative", "extended"};

static void launch(const struct spin *spin, const char *way)
{
    const struct cuda_launch shape = {1, 1, 1, 1, 1, 1, 0, spin->stream};
    void **params = (void **)spin->params;
    if (strcmp(way, "cooperative") == 0)
        CHECK(cuLaunchCooperativeKernel(spin->function, 1, 1, 1, 1, 1, 1, 0, spin->stream, params));
    else if (strcmp(way, "extended") == 0)
        CHECK(cuLaunchKernelEx(&shape, spin->function, params, NULL));
    else if (strcmp(way, "graph") == 0)
        CHECK(cuGraphLaunch(spin->graph, spin->stream));
    else
        CHECK(cuLaunchKernel(spin->function, 1, 1, 1, 1, 1, 1, 0, spin->stream, params, NULL));
}

static void prepare(struct spin *spin)
{
    CUcontext context;
    CUgraph graph;
    CHECK(cuDevicePrimaryCtxRetain(&context, spin->device));
    CHECK(cuCtxSetCurrent(context));
    spin->function = kernel("spin_us");
    spin->kernel_us = spin->first_us;
    spin->params[0] = &spin->kernel_us;
    for (int i = 0; i < STREAMS; i++)
        CHECK(cuStreamCreate(&spin->streams[i], 0));
    spin->stream = spin->streams[0];
    CHECK(cuStreamBeginCapture_v2(spin->stream, 0));
    launch(spin, "plain");
    CHECK(cuStreamEndCapture(spin->stream, &graph));
    CHECK(cuGraphInstantiateWithFlags(&spin->graph, graph, 0));
}

/* How many streams are used in turn. */
static unsigned streams_of(const char *way)
{
    if (strcmp(way, "many") == 0 || strcmp(way, "joined") == 0)
        return STREAMS;
    return strcmp(way, "streams") == 0 ? 2 : 1;
}

static void *run(void *argument)
{
    struct spin *spin = argument;
    int mixed = strcmp(spin->way, "mixed") == 0, joined = strcmp(spin->way, "joined") == 0;
    unsigned streams = streams_of(spin->way);
    prepare(spin);
    uint64_t end = now_ns() + spin->milliseconds * 1000000ull;
    for (; now_ns() < end; spin->launched++) {
        if (mixed) /* ways and lengths in turn */
            spin->kernel_us = spin->first_us * (1 + (uint32_t)spin->launched % 3);
        spin->stream = spin->streams[spin->launched % streams];
        launch(spin, mixed ? ways[spin->launched % 4] : spin->way);
        for (unsigned i = 0; joined && spin->launched % streams == streams - 1 && i < streams; i++)
            CHECK(cuStreamSynchronize(spin->streams[i]));
    }
    return NULL;
}

/* Streams that come and go amid short launches, more of them than are measured together. */
int passing(unsigned rounds)
{
    enum { MOST = 24 };
    CUstream streams[MOST];
    CUfunction function = kernel("spin_us");
    uint32_t us = 1;
    void *params[] = {&us};
    for (unsigned round = 0; round < rounds; round++) {
        unsigned count = 1 + round % MOST;
        for (unsigned i = 0; i < count; i++)
            CHECK(cuStreamCreate(&streams[i], 0));
        for (unsigned i = 0; i < 2 * MOST; i++)
            CHECK(cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, streams[i % count], params, NULL));
        for (unsigned i = 0; i < count; i++)
            CHECK(cuStreamDestroy_v2(streams[(i + round) % count]));
    }
    CHECK(cuCtxSynchronize());
    (void)printf("launched=%u\n", rounds * 2 * MOST);
    return 0;
}

int spin(unsigned milliseconds, uint32_t kernel_us, const char *way)
{
    struct spin spins[DEVICES];
    pthread_t threads[DEVICES];
    int all = strcmp(way, "devices") == 0;
    for (int d = 0; d < DEVICES; d++) {
        spins[d] = (struct spin){
            .device = d, .way = way, .milliseconds = milliseconds, .first_us = kernel_us};
        if (d > 0 && all && pthread_create(&threads[d], NULL, run, &spins[d]) != 0)
            return 1;
    }
    (void)run(&spins[0]);
    for (int d = 1; d < DEVICES && all; d++)
        (void)pthread_join(threads[d], NULL);
    (void)printf("launched=%lu\n", spins[0].launched);
    return 0;
}
