/* random_calls SEED [SEEDS [THREADS [STEPS]]]: what the sequences of those seeds print, one line a
 * step; with threads, each seed's run beside one another and are printed one after the other. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "world.h"

#define HANG_SECONDS 300

static const struct act *const acts[] = {queue_acts, buffer_acts, program_acts, kernel_acts,
                                         ask_acts,   image_acts,  shared_acts};

struct run {
    unsigned seed, thread, steps;
    FILE *out;
    char *text;
    size_t bytes;
    pthread_t id;
};

static void world_open(struct world *w, const struct run *run, unsigned which, struct world *other)
{
    cl_platform_id platform;
    cl_ulong largest = 0;
    cl_int code;
    *w = (struct world){.dice = ((uint64_t)run->seed << 16 | run->thread << 1 | which) *
                                0x2545f4914f6cdd1du,
                        .out = run->out,
                        .other = other,
                        .lock = PTHREAD_MUTEX_INITIALIZER,
                        .called = PTHREAD_COND_INITIALIZER};
    w->last_pending = &w->pending;
    need(clGetPlatformIDs(1, &platform, NULL), "clGetPlatformIDs");
    need(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &w->device, NULL), "clGetDeviceIDs");
    need(clGetDeviceInfo(w->device, CL_DEVICE_MAX_MEM_ALLOC_SIZE, sizeof(largest), &largest, NULL),
         "clGetDeviceInfo");
    w->largest = (size_t)largest;
    w->context = clCreateContext(NULL, 1, &w->device, NULL, NULL, &code);
    need(code, "clCreateContext");
    queues_open(w);
    buffers_open(w);
    programs_open(w);
}

/* Whether the device can do what an act of that kind needs. */
static bool has(const struct world *w, const struct act *act)
{
    cl_bool images = CL_FALSE;
    cl_device_svm_capabilities shared = 0;
    if (act == image_acts)
        return !clGetDeviceInfo(w->device, CL_DEVICE_IMAGE_SUPPORT, sizeof(images), &images,
                                NULL) &&
               images;
    if (act == shared_acts)
        return !clGetDeviceInfo(w->device, CL_DEVICE_SVM_CAPABILITIES, sizeof(shared), &shared,
                                NULL) &&
               shared;
    return true;
}

static void step(struct world *w)
{
    const struct act *kind = ANY_OF(w, acts), *act = kind;
    unsigned total = 0;
    if (!has(w, kind))
        return;
    for (; act->run; act++)
        total += act->weight;
    unsigned at = dice(w, total);
    for (act = kind; at >= act->weight; act++)
        at -= act->weight;
    act->run(w);
}

/* Everything ends, is looked at once more and released; what was promised to be called back is. */
static void world_close(struct world *w)
{
    say(w, "end:");
    finish_all(w);
    settle(w);
    for (unsigned i = 0; i < EVENTS; i++)
        promise_drop(&w->events[i]);
    kernels_close(w);
    programs_close(w);
    shared_close(w);
    for (unsigned i = 0; i < MEMORIES; i++) {
        struct memory *memory = w->memories[i];
        if (memory && !memory->is_image) {
            unsigned char *bytes = keep(w, memory->bytes);
            while (memory->maps)
                unmap_all(w, memory);
            (void)told(w, "read",
                       clEnqueueReadBuffer(w->queues[0].handle, memory->handle, CL_TRUE, 0,
                                           memory->bytes, bytes, 0, NULL, NULL));
            say_bytes(w, "data", bytes, memory->bytes);
        }
    }
    finish_all(w);
    for (unsigned i = 0; i < MEMORIES; i++)
        memory_release(w, &w->memories[i]);
    finish_all(w);
    (void)pthread_mutex_lock(&w->lock);
    while (w->calls < w->expected)
        (void)pthread_cond_wait(&w->called, &w->lock);
    say(w, " calls %u failed %u\n", w->calls, w->failed_calls);
    (void)pthread_mutex_unlock(&w->lock);
}

static void world_release(struct world *w)
{
    struct kept *next;
    for (unsigned i = 0; i < w->gate_count; i++)
        need(clReleaseEvent(w->gates[i]), "clReleaseEvent");
    for (struct contents *contents = w->contents; contents; contents = contents->next)
        promise_drop(&contents->last);
    for (unsigned i = 0; i < QUEUES; i++)
        if (w->queues[i].handle)
            need(clReleaseCommandQueue(w->queues[i].handle), "clReleaseCommandQueue");
    need(clReleaseContext(w->context), "clReleaseContext");
    for (struct kept *kept = w->kept; kept; kept = next) {
        next = kept->next;
        free(kept);
    }
}

static void *run_sequence(void *arg)
{
    struct run *run = arg;
    struct world worlds[2];
    world_open(&worlds[0], run, 0, &worlds[1]);
    world_open(&worlds[1], run, 1, &worlds[0]);
    for (unsigned i = 1; i <= run->steps; i++) {
        struct world *w = &worlds[i % 7 == 0];
        w->step = i;
        say(w, "%u.%u:", run->seed, i);
        unsigned said = w->said;
        for (unsigned tries = 0; tries < 8 && w->said == said; tries++)
            w->is_wrong = false, step(w);
        say(w, "\n");
    }
    for (unsigned i = 0; i < 2; i++)
        world_close(&worlds[i]);
    for (unsigned i = 0; i < 2; i++)
        world_release(&worlds[i]);
    return NULL;
}

static void run_seed(unsigned seed, unsigned threads, unsigned steps)
{
    struct run runs[64] = {0};
    (void)alarm(HANG_SECONDS);
    for (unsigned i = 0; i < threads; i++) {
        runs[i] = (struct run){seed, i, steps, stdout};
        if (threads > 1)
            runs[i].out = open_memstream(&runs[i].text, &runs[i].bytes);
        if (!runs[i].out || pthread_create(&runs[i].id, NULL, run_sequence, &runs[i]) != 0)
            need(CL_OUT_OF_HOST_MEMORY, "a thread");
    }
    for (unsigned i = 0; i < threads; i++) {
        (void)pthread_join(runs[i].id, NULL);
        if (threads == 1)
            continue;
        (void)fclose(runs[i].out);
        (void)printf("thread %u\n%s", i, runs[i].text);
        free(runs[i].text);
    }
}

/* Before there are threads: not every driver can begin in several at once. */
static void begin(void)
{
    cl_platform_id platform;
    cl_device_id device;
    need(clGetPlatformIDs(1, &platform, NULL), "clGetPlatformIDs");
    need(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, NULL), "clGetDeviceIDs");
}

int main(int argc, char **argv)
{
    unsigned values[] = {1, 1, 1, 150};
    for (int i = 1; i < argc && i <= (int)COUNT_OF(values); i++)
        values[i - 1] = (unsigned)strtoul(argv[i], NULL, 10);
    (void)setvbuf(stdout, NULL, _IONBF, 0);
    if (values[2] < 1 || values[2] > 64)
        return 2;
    begin();
    for (unsigned seed = values[0]; seed < values[0] + values[1]; seed++)
        run_seed(seed, values[2], values[3]);
    return 0;
}
