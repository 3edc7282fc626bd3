/* What trips libraries that stand between a program and its device: the order of callbacks, events
 * of the user that fail, mapped and user's own memory, objects handed from thread to thread, one
 * kernel used by many. Prints what does not depend on timing, so that a run on a card can be
 * compared with one on the device. */
#include <pthread.h>
#include <string.h>

#include "program.h"

#define COUNT 1024u
#define BYTES (COUNT * sizeof(cl_int))
#define THREADS 8
#define ROUNDS 25

struct world {
    cl_device_id device;
    cl_context context;
    cl_command_queue queue, second, loose; /* two in order, one out of order */
    cl_program program;
    cl_kernel add;
};

static const char *const source =
    "kernel void add(global int *x, const int n) { x[get_global_id(0)] += n; }\n";

static void open_world(struct world *w)
{
    cl_int code;
    w->context = open_device(&w->device);
    MAKE(w->queue, clCreateCommandQueue(w->context, w->device, 0, &code));
    MAKE(w->second, clCreateCommandQueue(w->context, w->device, 0, &code));
    MAKE(w->loose, clCreateCommandQueue(w->context, w->device,
                                        CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE, &code));
    MAKE(w->program, clCreateProgramWithSource(w->context, 1, (const char **)&source, NULL, &code));
    MUST(clBuildProgram(w->program, 0, NULL, "", NULL, NULL));
    MAKE(w->add, clCreateKernel(w->program, "add", &code));
}

static cl_mem buffer(struct world *w, cl_mem_flags flags, void *host)
{
    cl_int code;
    cl_mem memory;
    MAKE(memory, clCreateBuffer(w->context, flags, BYTES, host, &code));
    return memory;
}

static cl_mem zeros(struct world *w)
{
    static cl_int none[COUNT];
    return buffer(w, CL_MEM_COPY_HOST_PTR, none);
}

static cl_event gate(struct world *w)
{
    cl_int code;
    cl_event event;
    MAKE(event, clCreateUserEvent(w->context, &code));
    return event;
}

static void add(cl_command_queue queue, cl_kernel kernel, cl_mem memory, cl_int n,
                const cl_event *wait, cl_event *event)
{
    const size_t global = COUNT;
    MUST(clSetKernelArg(kernel, 0, sizeof(memory), &memory));
    MUST(clSetKernelArg(kernel, 1, sizeof(n), &n));
    MUST(clEnqueueNDRangeKernel(queue, kernel, 1, NULL, &global, NULL, wait ? 1 : 0, wait, event));
}

static cl_int status_of(cl_event event)
{
    cl_int status;
    MUST(clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof(status), &status, NULL));
    return status;
}

/* What callbacks note, in the order in which they are called. */
struct notes {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int count;
    char text[16];
};

static void note(struct notes *notes, char letter)
{
    (void)pthread_mutex_lock(&notes->lock);
    notes->text[notes->count++] = letter;
    (void)pthread_cond_signal(&notes->changed);
    (void)pthread_mutex_unlock(&notes->lock);
}

static void await_notes(struct notes *notes, int count)
{
    (void)pthread_mutex_lock(&notes->lock);
    while (notes->count < count)
        (void)pthread_cond_wait(&notes->changed, &notes->lock);
    (void)pthread_mutex_unlock(&notes->lock);
}

static void CL_CALLBACK on_complete(cl_event event, cl_int status, void *arg)
{
    note(arg, status < 0 ? 'x' : 'c');
}

static void CL_CALLBACK on_running(cl_event event, cl_int status, void *arg)
{
    note(arg, status < 0 ? 'x' : 'r');
}

static void CL_CALLBACK on_submitted(cl_event event, cl_int status, void *arg)
{
    note(arg, status < 0 ? 'x' : 's');
}

static void stages(struct world *w)
{
    struct notes notes = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    cl_event go = gate(w), done;
    cl_mem memory = zeros(w);
    add(w->queue, w->add, memory, 1, &go, &done);
    MUST(clSetEventCallback(done, CL_SUBMITTED, on_submitted, &notes));
    MUST(clSetEventCallback(done, CL_RUNNING, on_running, &notes));
    MUST(clSetEventCallback(done, CL_COMPLETE, on_complete, &notes));
    MUST(clFlush(w->queue));
    MUST(clSetUserEventStatus(go, CL_COMPLETE));
    await_notes(&notes, 3);
    (void)printf("stages %s\n", notes.text);
    /* One that has ended already is told at once. */
    MUST(clSetEventCallback(done, CL_COMPLETE, on_complete, &notes));
    await_notes(&notes, 4);
    MUST(clReleaseEvent(go));
    MUST(clReleaseEvent(done));
    MUST(clReleaseMemObject(memory));
}

/* An event of the user that fails takes with it all that waits for it, directly or not. */
static void failures(struct world *w)
{
    struct notes notes = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    cl_int values[COUNT];
    cl_event go = gate(w), first, second, third;
    cl_mem memory = zeros(w);
    add(w->loose, w->add, memory, 1, &go, &first);
    MUST(clEnqueueMarkerWithWaitList(w->loose, 1, &first, &second));
    MUST(clEnqueueReadBuffer(w->loose, memory, CL_FALSE, 0, BYTES, values, 1, &second, &third));
    MUST(clSetEventCallback(third, CL_COMPLETE, on_complete, &notes));
    MUST(clFlush(w->loose));
    MUST(clSetUserEventStatus(go, -7));
    await_notes(&notes, 1);
    (void)printf("failures %s wait %d\n", notes.text, (int)clWaitForEvents(1, &third));
    (void)printf("failures user %d, others fail %d %d %d\n", (int)status_of(go),
                 status_of(first) < 0, status_of(second) < 0, status_of(third) < 0);
    (void)printf("failures finish %d\n", (int)clFinish(w->loose));
    const cl_event events[] = {go, first, second, third};
    for (size_t i = 0; i < 4; i++)
        MUST(clReleaseEvent(events[i]));
    MUST(clReleaseMemObject(memory));
}

/* One queue's failure is not another's. */
static void after_failures(struct world *w)
{
    cl_int values[COUNT];
    cl_mem memory = zeros(w);
    add(w->second, w->add, memory, 5, NULL, NULL);
    MUST(clEnqueueReadBuffer(w->second, memory, CL_TRUE, 0, BYTES, values, 0, NULL, NULL));
    show("after failures", values, BYTES);
    MUST(clReleaseMemObject(memory));
}

static void CL_CALLBACK on_first(cl_mem memory, void *arg)
{
    note(arg, '1');
}

static void CL_CALLBACK on_second(cl_mem memory, void *arg)
{
    note(arg, '2');
}

/* A buffer released while a command uses it says farewell when that has ended, last set first; also
 * when nothing else is left of the queue. */
static void farewells(struct world *w)
{
    struct notes notes = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    cl_event go = gate(w), done;
    cl_command_queue queue;
    cl_kernel kernel;
    cl_int code;
    cl_mem memory = zeros(w);
    MUST(clSetMemObjectDestructorCallback(memory, on_first, &notes));
    MUST(clSetMemObjectDestructorCallback(memory, on_second, &notes));
    MAKE(kernel, clCreateKernel(w->program, "add", &code));
    MAKE(queue, clCreateCommandQueue(w->context, w->device, 0, &code));
    add(queue, kernel, memory, 1, &go, &done);
    MUST(clReleaseCommandQueue(queue));
    MUST(clReleaseMemObject(memory));
    (void)pthread_mutex_lock(&notes.lock);
    (void)printf("farewells early %d\n", notes.count);
    (void)pthread_mutex_unlock(&notes.lock);
    MUST(clSetUserEventStatus(go, CL_COMPLETE));
    MUST(clWaitForEvents(1, &done));
    MUST(clReleaseEvent(done));
    MUST(clReleaseKernel(kernel));
    await_notes(&notes, 2);
    (void)printf("farewells %s\n", notes.text);
    MUST(clReleaseEvent(go));
}

/* Memory of the program's own: the same address when mapped, kept in step by map and unmap. */
static void host_memory(struct world *w, const char *name, cl_mem_flags flags, void *host)
{
    cl_int code, *mapped, values[COUNT];
    cl_uint maps;
    cl_mem memory = buffer(w, flags, host);
    cl_int one = 1;
    MUST(clEnqueueFillBuffer(w->queue, memory, &one, sizeof(one), 0, BYTES, 0, NULL, NULL));
    add(w->queue, w->add, memory, 2, NULL, NULL);
    MAKE(mapped, clEnqueueMapBuffer(w->queue, memory, CL_TRUE, CL_MAP_READ | CL_MAP_WRITE, 16, 64,
                                    0, NULL, NULL, &code));
    MUST(clGetMemObjectInfo(memory, CL_MEM_MAP_COUNT, sizeof(maps), &maps, NULL));
    (void)printf("%s: at its place %d, mapped %u, there %d\n", name,
                 !host || (char *)mapped == (char *)host + 16, maps, mapped[0]);
    mapped[1] = 100;
    MUST(clEnqueueUnmapMemObject(w->queue, memory, mapped, 0, NULL, NULL));
    add(w->queue, w->add, memory, 3, NULL, NULL);
    MAKE(mapped, clEnqueueMapBuffer(w->queue, memory, CL_TRUE, CL_MAP_WRITE_INVALIDATE_REGION, 0, 8,
                                    0, NULL, NULL, &code));
    mapped[0] = -1;
    mapped[1] = -2;
    MUST(clEnqueueUnmapMemObject(w->queue, memory, mapped, 0, NULL, NULL));
    MUST(clEnqueueReadBuffer(w->queue, memory, CL_TRUE, 0, BYTES, values, 0, NULL, NULL));
    show(name, values, BYTES);
    MUST(clReleaseMemObject(memory));
}

/* Two maps of one buffer at a time, behind a gate, given back in the other order. */
static void two_maps(struct world *w)
{
    cl_int code, *low, *high, values[COUNT];
    cl_event go = gate(w), mapped[2];
    cl_uint maps;
    cl_mem memory = zeros(w);
    add(w->queue, w->add, memory, 9, &go, NULL);
    MAKE(low, clEnqueueMapBuffer(w->queue, memory, CL_FALSE, CL_MAP_READ | CL_MAP_WRITE, 0,
                                 BYTES / 2, 0, NULL, &mapped[0], &code));
    MAKE(high, clEnqueueMapBuffer(w->queue, memory, CL_FALSE, CL_MAP_READ | CL_MAP_WRITE, BYTES / 2,
                                  BYTES / 2, 0, NULL, &mapped[1], &code));
    MUST(clSetUserEventStatus(go, CL_COMPLETE));
    MUST(clWaitForEvents(2, mapped));
    MUST(clGetMemObjectInfo(memory, CL_MEM_MAP_COUNT, sizeof(maps), &maps, NULL));
    (void)printf("two maps %u: %d %d, apart %d\n", maps, low[0], high[0], high == low + COUNT / 2);
    low[1] = high[1] = 4;
    MUST(clEnqueueUnmapMemObject(w->queue, memory, high, 0, NULL, NULL));
    MUST(clEnqueueUnmapMemObject(w->queue, memory, low, 0, NULL, NULL));
    MUST(clEnqueueReadBuffer(w->queue, memory, CL_TRUE, 0, BYTES, values, 0, NULL, NULL));
    show("two maps", values, BYTES);
    MUST(clReleaseEvent(go));
    MUST(clReleaseEvent(mapped[0]));
    MUST(clReleaseEvent(mapped[1]));
    MUST(clReleaseMemObject(memory));
}

/* A buffer goes round: each thread has its turn, and uses what the one before it made. */
struct round {
    struct world *world;
    pthread_mutex_t lock;
    pthread_cond_t turned;
    int turn;
    cl_mem memory;
    cl_kernel kernel;
    cl_event last;
};

struct runner {
    struct round *round;
    int number;
};

static void take_turn(struct round *round)
{
    struct world *w = round->world;
    cl_command_queue queues[] = {w->queue, w->second, w->loose};
    cl_int code;
    cl_event before = round->last;
    cl_kernel made;
    cl_mem fresh = zeros(w);
    add(queues[round->turn % 3], round->kernel, round->memory, round->turn, &before, &round->last);
    MUST(clReleaseEvent(before));
    before = round->last;
    MUST(clEnqueueCopyBuffer(queues[(round->turn + 1) % 3], round->memory, fresh, 0, 0, BYTES, 1,
                             &before, &round->last));
    MUST(clReleaseEvent(before));
    MUST(clReleaseMemObject(round->memory));
    MUST(clReleaseKernel(round->kernel));
    MAKE(made, clCreateKernel(w->program, "add", &code));
    round->memory = fresh;
    round->kernel = made;
}

static void *run_round(void *arg)
{
    struct runner *runner = arg;
    struct round *round = runner->round;
    (void)pthread_mutex_lock(&round->lock);
    for (int i = 0; i < ROUNDS; i++) {
        while (round->turn % THREADS != runner->number)
            (void)pthread_cond_wait(&round->turned, &round->lock);
        take_turn(round);
        round->turn++;
        (void)pthread_cond_broadcast(&round->turned);
    }
    (void)pthread_mutex_unlock(&round->lock);
    return NULL;
}

static void run_threads(void *(*work)(void *), struct round *round)
{
    pthread_t threads[THREADS];
    struct runner runners[THREADS];
    for (int i = 0; i < THREADS; i++) {
        runners[i] = (struct runner){round, i};
        if (pthread_create(&threads[i], NULL, work, &runners[i]) != 0)
            exit(2);
    }
    for (int i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
}

static void handed_on(struct world *w)
{
    cl_int values[COUNT], code;
    struct round round = {.world = w,
                          .lock = PTHREAD_MUTEX_INITIALIZER,
                          .turned = PTHREAD_COND_INITIALIZER,
                          .memory = zeros(w),
                          .last = gate(w)};
    MAKE(round.kernel, clCreateKernel(w->program, "add", &code));
    MUST(clSetUserEventStatus(round.last, CL_COMPLETE));
    run_threads(run_round, &round);
    MUST(clEnqueueReadBuffer(w->queue, round.memory, CL_TRUE, 0, BYTES, values, 1, &round.last,
                             NULL));
    show("handed on", values, BYTES);
    MUST(clReleaseEvent(round.last));
    MUST(clReleaseKernel(round.kernel));
    MUST(clReleaseMemObject(round.memory));
}

/* Arguments set and a launch made under a lock of the program's: each launch has its own. */
static void *share_kernel(void *arg)
{
    struct runner *runner = arg;
    struct round *round = runner->round;
    for (int i = 0; i < ROUNDS; i++) {
        (void)pthread_mutex_lock(&round->lock);
        add(round->world->queue, round->kernel, round->memory, runner->number * ROUNDS + i, NULL,
            NULL);
        (void)pthread_mutex_unlock(&round->lock);
    }
    return NULL;
}

static void shared_kernel(struct world *w)
{
    cl_int values[COUNT], code;
    struct round round = {.world = w, .lock = PTHREAD_MUTEX_INITIALIZER, .memory = zeros(w)};
    MAKE(round.kernel, clCreateKernel(w->program, "add", &code));
    run_threads(share_kernel, &round);
    MUST(clEnqueueReadBuffer(w->queue, round.memory, CL_TRUE, 0, BYTES, values, 0, NULL, NULL));
    (void)printf("shared kernel %d\n", values[7]);
    MUST(clReleaseKernel(round.kernel));
    MUST(clReleaseMemObject(round.memory));
}

/* What a launch was given stays its own when the arguments change before it runs. */
static void arguments_of_then(struct world *w)
{
    cl_int values[COUNT];
    cl_event go = gate(w);
    cl_mem a = zeros(w), b = zeros(w);
    add(w->queue, w->add, a, 1, &go, NULL);
    add(w->queue, w->add, b, 10, NULL, NULL);
    add(w->queue, w->add, a, 100, NULL, NULL);
    MUST(clSetUserEventStatus(go, CL_COMPLETE));
    MUST(clEnqueueReadBuffer(w->queue, a, CL_TRUE, 0, BYTES, values, 0, NULL, NULL));
    (void)printf("arguments of then %d", values[0]);
    MUST(clEnqueueReadBuffer(w->queue, b, CL_TRUE, 0, BYTES, values, 0, NULL, NULL));
    (void)printf(" %d\n", values[0]);
    MUST(clReleaseEvent(go));
    MUST(clReleaseMemObject(a));
    MUST(clReleaseMemObject(b));
}

/* Without an argument: everything but failures. */
int main(int argc, char **argv)
{
    struct world w = {0};
    static _Alignas(4096) cl_int own[COUNT];
    (void)setvbuf(stdout, NULL, _IONBF, 0);
    open_world(&w);
    if (argc > 1) {
        failures(&w);
        after_failures(&w);
        return 0;
    }
    stages(&w);
    host_memory(&w, "use", CL_MEM_USE_HOST_PTR, own);
    host_memory(&w, "allocate", CL_MEM_ALLOC_HOST_PTR, NULL);
    host_memory(&w, "neither", 0, NULL);
    two_maps(&w);
    handed_on(&w);
    shared_kernel(&w);
    arguments_of_then(&w);
    farewells(&w);
    return 0;
}
