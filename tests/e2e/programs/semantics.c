/* What OpenCL promises beyond codes: order, visibility, callbacks, views, many threads. Prints
 * results that do not depend on timing, so that a run on a card can be compared with one on the
 * device. */
#define CL_USE_DEPRECATED_OPENCL_1_1_APIS
#include <pthread.h>
#include <string.h>

#include "program.h"

#define COUNT 4096u
#define BYTES (COUNT * sizeof(cl_int))
#define LARGE ((size_t)100 << 20) /* more than the client's staging area */
#define THREADS 80                /* more than a session has lanes */
#define ROUNDS 20

struct world {
    cl_device_id device;
    cl_context context;
    cl_command_queue queue, loose; /* in order, out of order */
    cl_program program;
    cl_kernel add, scale;
};

static const char *const source =
    "kernel void add(global int *x, const int n) { x[get_global_id(0)] += n; }\n"
    "kernel void scale(global int *x, const int n, local int *l) {\n"
    "    l[get_local_id(0)] = x[get_global_id(0)] * n;\n"
    "    barrier(CLK_LOCAL_MEM_FENCE);\n"
    "    x[get_global_id(0)] = l[get_local_id(0)];\n"
    "}\n";

static void open_world(struct world *w)
{
    cl_int code;
    w->context = open_device(&w->device);
    w->queue = clCreateCommandQueue(w->context, w->device, 0, &code);
    must(code, "queue");
    w->loose =
        clCreateCommandQueue(w->context, w->device, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE, &code);
    must(code, "queue");
    w->program = clCreateProgramWithSource(w->context, 1, (const char **)&source, NULL, &code);
    must(code, "program");
    MUST(clBuildProgram(w->program, 0, NULL, "", NULL, NULL));
    w->add = clCreateKernel(w->program, "add", &code);
    must(code, "kernel");
    w->scale = clCreateKernel(w->program, "scale", &code);
    must(code, "kernel");
}

static cl_mem buffer(struct world *w, size_t bytes, const void *content)
{
    cl_int code;
    cl_mem memory = clCreateBuffer(w->context, content ? CL_MEM_COPY_HOST_PTR : 0, bytes,
                                   (void *)(uintptr_t)content, &code);
    must(code, "buffer");
    return memory;
}

static void launch(cl_command_queue queue, cl_kernel kernel, cl_mem memory, cl_int n,
                   const cl_event *wait, cl_event *event)
{
    const size_t global = COUNT;
    MUST(clSetKernelArg(kernel, 0, sizeof(memory), &memory));
    MUST(clSetKernelArg(kernel, 1, sizeof(n), &n));
    MUST(clEnqueueNDRangeKernel(queue, kernel, 1, NULL, &global, NULL, wait ? 1 : 0, wait, event));
}

static void fill(cl_int *values, cl_int seed)
{
    for (cl_uint i = 0; i < COUNT; i++)
        values[i] = (cl_int)(i * 2654435761u) + seed;
}

/* Content from a host pointer, arguments that change and that do not, results. */
static void basics(struct world *w)
{
    cl_int values[COUNT];
    fill(values, 1);
    cl_mem memory = buffer(w, BYTES, values);
    for (cl_int i = 0; i < 10; i++)
        launch(w->queue, w->add, memory, i / 3, NULL, NULL);
    const size_t global = COUNT, local = 64;
    cl_int three = 3;
    MUST(clSetKernelArg(w->scale, 0, sizeof(memory), &memory));
    MUST(clSetKernelArg(w->scale, 1, sizeof(three), &three));
    MUST(clSetKernelArg(w->scale, 2, local * sizeof(cl_int), NULL));
    MUST(clEnqueueNDRangeKernel(w->queue, w->scale, 1, NULL, &global, &local, 0, NULL, NULL));
    MUST(clEnqueueReadBuffer(w->queue, memory, CL_TRUE, 0, BYTES, values, 0, NULL, NULL));
    show("basics", values, BYTES);
    MUST(clReleaseMemObject(memory));
}

/* A read that does not block is there when anything later is known to have ended. */
static void late_reads(struct world *w)
{
    cl_int values[COUNT], out[COUNT];
    fill(values, 2);
    cl_mem memory = buffer(w, BYTES, values);
    cl_event marker, read;
    memset(out, 0, sizeof(out));
    MUST(clEnqueueReadBuffer(w->queue, memory, CL_FALSE, 0, BYTES, out, 0, NULL, NULL));
    MUST(clEnqueueMarker(w->queue, &marker));
    MUST(clWaitForEvents(1, &marker));
    show("read before a marker", out, BYTES);
    memset(out, 0, sizeof(out));
    MUST(clEnqueueReadBuffer(w->queue, memory, CL_FALSE, 0, BYTES, out, 0, NULL, &read));
    cl_int status = CL_QUEUED;
    while (status != CL_COMPLETE)
        MUST(
            clGetEventInfo(read, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof(status), &status, NULL));
    show("read polled for", out, BYTES);
    memset(out, 0, sizeof(out));
    MUST(clEnqueueReadBuffer(w->queue, memory, CL_FALSE, 0, BYTES, out, 0, NULL, NULL));
    MUST(clFinish(w->queue));
    show("read and finish", out, BYTES);
    memset(out, 0, sizeof(out));
    (void)clReleaseEvent(read);
    MUST(clEnqueueReadBuffer(w->loose, memory, CL_FALSE, 0, BYTES, out, 0, NULL, &read));
    (void)clReleaseEvent(marker);
    MUST(clEnqueueMarkerWithWaitList(w->queue, 1, &read, &marker));
    MUST(clWaitForEvents(1, &marker));
    show("read on another queue", out, BYTES);
    (void)clReleaseEvent(read);
    (void)clReleaseEvent(marker);
    MUST(clReleaseMemObject(memory));
}

/* A write that blocks has ended at its return, behind other commands, too, and has its times. */
static void write_and_ask(struct world *w)
{
    const size_t box[3] = {64, 4, 1}, nowhere[3] = {0, 0, 0};
    cl_int values[COUNT], code, status;
    cl_ulong end;
    cl_event events[2];
    fill(values, 8);
    cl_mem memory = buffer(w, BYTES, values);
    cl_command_queue queue =
        clCreateCommandQueue(w->context, w->device, CL_QUEUE_PROFILING_ENABLE, &code);
    must(code, "queue");
    for (cl_int i = 0; i < 20; i++)
        launch(queue, w->add, memory, i, NULL, NULL);
    MUST(clEnqueueWriteBuffer(queue, memory, CL_TRUE, 0, 1024, values, 0, NULL, &events[0]));
    for (cl_int i = 0; i < 20; i++)
        launch(queue, w->add, memory, i, NULL, NULL);
    MUST(clEnqueueWriteBufferRect(queue, memory, CL_TRUE, nowhere, nowhere, box, 64, 0, 80, 0,
                                  values, 0, NULL, &events[1]));
    for (int i = 0; i < 2; i++) {
        MUST(clGetEventInfo(events[i], CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof(status), &status,
                            NULL));
        code =
            clGetEventProfilingInfo(events[i], CL_PROFILING_COMMAND_END, sizeof(end), &end, NULL);
        (void)printf("write %d: status %d, times %d\n", i, (int)status, (int)code);
        (void)clReleaseEvent(events[i]);
    }
    MUST(clReleaseCommandQueue(queue));
    MUST(clReleaseMemObject(memory));
}

/* Commands of an out-of-order queue ordered by events alone, started by an event of the user. */
static void loose_order(struct world *w)
{
    cl_int values[COUNT], code;
    fill(values, 3);
    cl_mem memory = buffer(w, BYTES, values);
    cl_event start = clCreateUserEvent(w->context, &code), last = start, next;
    must(code, "user event");
    MUST(clRetainEvent(start));
    for (cl_int i = 0; i < 20; i++) {
        launch(w->loose, w->add, memory, i, &last, &next);
        (void)clReleaseEvent(last);
        last = next;
    }
    cl_int status;
    MUST(clGetEventInfo(last, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof(status), &status, NULL));
    (void)printf("waits for the user %d\n", status > CL_RUNNING);
    MUST(clSetUserEventStatus(start, CL_COMPLETE));
    MUST(clEnqueueReadBuffer(w->loose, memory, CL_TRUE, 0, BYTES, values, 1, &last, NULL));
    show("out of order", values, BYTES);
    (void)clReleaseEvent(start);
    (void)clReleaseEvent(last);
    MUST(clReleaseMemObject(memory));
}

struct seen {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int calls;
    cl_int status;
    struct world *world;
};

/* Uses the API and releases its own event, as callbacks may. */
static void CL_CALLBACK on_event(cl_event event, cl_int status, void *arg)
{
    struct seen *seen = arg;
    cl_event another;
    MUST(clEnqueueMarker(seen->world->queue, &another));
    (void)clReleaseEvent(another);
    MUST(clFlush(seen->world->queue));
    (void)clReleaseEvent(event);
    pthread_mutex_lock(&seen->lock);
    seen->calls++;
    seen->status = status;
    pthread_cond_signal(&seen->changed);
    pthread_mutex_unlock(&seen->lock);
}

static void callbacks(struct world *w)
{
    cl_int values[COUNT], code;
    fill(values, 4);
    struct seen seen = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 1, w};
    cl_mem memory = buffer(w, BYTES, values);
    cl_event user = clCreateUserEvent(w->context, &code), done;
    must(code, "user event");
    launch(w->queue, w->add, memory, 7, &user, &done);
    MUST(clSetEventCallback(done, CL_COMPLETE, on_event, &seen));
    MUST(clFlush(w->queue));
    MUST(clSetUserEventStatus(user, CL_COMPLETE));
    pthread_mutex_lock(&seen.lock);
    while (seen.calls == 0)
        pthread_cond_wait(&seen.changed, &seen.lock);
    pthread_mutex_unlock(&seen.lock);
    (void)printf("callback status %d\n", (int)seen.status);
    (void)clReleaseEvent(user);
    MUST(clFinish(w->queue));
    MUST(clReleaseMemObject(memory));
}

static void views(struct world *w)
{
    cl_int values[COUNT], code;
    fill(values, 5);
    cl_mem memory = buffer(w, BYTES, values);
    cl_buffer_region second = {BYTES / 2, BYTES / 2};
    cl_mem half = clCreateSubBuffer(memory, 0, CL_BUFFER_CREATE_TYPE_REGION, &second, &code);
    must(code, "sub-buffer");
    const size_t global = COUNT / 2;
    cl_int n = 11;
    MUST(clSetKernelArg(w->add, 0, sizeof(half), &half));
    MUST(clSetKernelArg(w->add, 1, sizeof(n), &n));
    MUST(clEnqueueNDRangeKernel(w->queue, w->add, 1, NULL, &global, NULL, 0, NULL, NULL));
    cl_int pattern = 0x01020304;
    MUST(clEnqueueFillBuffer(w->queue, half, &pattern, 4, 64, 128, 0, NULL, NULL));
    MUST(clEnqueueCopyBuffer(w->queue, memory, half, 0, 1024, 512, 0, NULL, NULL));
    cl_int *mapped = clEnqueueMapBuffer(w->queue, half, CL_TRUE, CL_MAP_READ | CL_MAP_WRITE, 4096,
                                        256, 0, NULL, NULL, &code);
    must(code, "map");
    for (int i = 0; i < 64; i++)
        mapped[i] = ~mapped[i];
    MUST(clEnqueueUnmapMemObject(w->queue, half, mapped, 0, NULL, NULL));
    MUST(clEnqueueReadBuffer(w->queue, memory, CL_TRUE, 0, BYTES, values, 0, NULL, NULL));
    show("views", values, BYTES);
    MUST(clReleaseMemObject(memory));
    MUST(clReleaseMemObject(half));
}

static void boxes(struct world *w)
{
    static unsigned char host[64 * 64 * 16], out[64 * 64 * 16];
    for (size_t i = 0; i < sizeof(host); i++)
        host[i] = (unsigned char)(i * 7);
    memset(out, 0, sizeof(out));
    cl_mem memory = buffer(w, sizeof(host), host);
    const size_t there[3] = {5, 3, 2}, here[3] = {1, 2, 3}, size[3] = {31, 17, 9};
    MUST(clEnqueueWriteBufferRect(w->queue, memory, CL_FALSE, there, here, size, 64, 64 * 64, 48,
                                  48 * 40, host, 0, NULL, NULL));
    MUST(clEnqueueCopyBufferRect(w->queue, memory, memory, there, (const size_t[3]){5, 30, 2}, size,
                                 64, 64 * 64, 64, 64 * 64, 0, NULL, NULL));
    MUST(clEnqueueReadBufferRect(w->queue, memory, CL_FALSE, here, there, size, 64, 64 * 64, 50,
                                 50 * 50, out, 0, NULL, NULL));
    MUST(clFinish(w->queue));
    show("boxes out", out, sizeof(out));
    MUST(clEnqueueReadBuffer(w->queue, memory, CL_TRUE, 0, sizeof(out), out, 0, NULL, NULL));
    show("boxes all", out, sizeof(out));
    MUST(clReleaseMemObject(memory));
}

/* More than fits in flight at once, every which way. */
static void large(struct world *w)
{
    unsigned char *in = malloc(LARGE), *out = calloc(1, LARGE);
    if (!in || !out)
        exit(2);
    for (size_t i = 0; i < LARGE; i += 509)
        in[i] = (unsigned char)(i >> 8);
    cl_mem memory = buffer(w, LARGE, NULL);
    cl_command_queue queues[] = {w->queue, w->loose};
    for (int i = 0; i < 2; i++) {
        cl_event written;
        MUST(clEnqueueWriteBuffer(queues[i], memory, CL_FALSE, 0, LARGE, in, 0, NULL, &written));
        MUST(clEnqueueReadBuffer(queues[i], memory, CL_FALSE, 0, LARGE, out, 1, &written, NULL));
        MUST(clFinish(queues[i]));
        (void)printf("large %d %d\n", i, memcmp(in, out, LARGE));
        memset(out, 0, LARGE);
        MUST(clEnqueueReadBuffer(queues[i], memory, CL_TRUE, 1, LARGE - 1, out, 0, NULL, NULL));
        (void)printf("large blocking %d %d\n", i, memcmp(in + 1, out, LARGE - 1));
        (void)clReleaseEvent(written);
    }
    MUST(clReleaseMemObject(memory));
    free(in);
    free(out);
}

struct worker {
    struct world *world;
    cl_int seed;
    uint64_t result;
};

/* A thread with a kernel, a queue and buffers of its own. */
static void *work(void *arg)
{
    struct worker *worker = arg;
    struct world *w = worker->world;
    cl_int values[COUNT], code;
    fill(values, worker->seed);
    cl_kernel kernel = clCreateKernel(w->program, "add", &code);
    must(code, "kernel");
    cl_command_queue queue = clCreateCommandQueue(w->context, w->device, 0, &code);
    must(code, "queue");
    for (cl_int i = 0; i < ROUNDS; i++) {
        cl_mem memory = buffer(w, BYTES, values);
        launch(queue, kernel, memory, i, NULL, NULL);
        MUST(clEnqueueReadBuffer(queue, memory, CL_TRUE, 0, BYTES, values, 0, NULL, NULL));
        MUST(clReleaseMemObject(memory));
    }
    worker->result = hash(values, BYTES);
    MUST(clReleaseKernel(kernel));
    MUST(clReleaseCommandQueue(queue));
    return NULL;
}

static void threads(struct world *w)
{
    pthread_t ids[THREADS];
    struct worker workers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){w, i, 0};
        if (pthread_create(&ids[i], NULL, work, &workers[i]) != 0)
            exit(2);
    }
    for (int i = 0; i < THREADS; i++) {
        (void)pthread_join(ids[i], NULL);
        (void)printf("thread %d %016llx\n", i, (unsigned long long)workers[i].result);
    }
}

/* A program built from the binary of another, and a clone of a kernel. */
/* Owned by the caller. */
static unsigned char *binary_of(const struct world *w, size_t *ret_length)
{
    MUST(clGetProgramInfo(w->program, CL_PROGRAM_BINARY_SIZES, sizeof(*ret_length), ret_length,
                          NULL));
    unsigned char *binary = malloc(*ret_length);
    if (!binary)
        exit(2);
    MUST(clGetProgramInfo(w->program, CL_PROGRAM_BINARIES, sizeof(binary), &binary, NULL));
    return binary;
}

/* What becomes of a binary with one byte turned around. */
static void damage(const struct world *w, unsigned char *binary, size_t length, size_t at)
{
    cl_int code = CL_SUCCESS, status = CL_SUCCESS;
    binary[at] ^= 0xff;
    cl_program program = clCreateProgramWithBinary(w->context, 1, &w->device, &length,
                                                   (const unsigned char **)&binary, &status, &code);
    binary[at] ^= 0xff;
    (void)printf("damaged: program %d, %d, %d\n", program != NULL, code, status);
    if (program)
        MUST(clReleaseProgram(program));
}

#define BEGIN 64 /* bytes that are turned around each: all that a card puts before the device's */

/* A byte here and there in all of it: a device may take such a binary, a card takes none. */
static void damaged(struct world *w)
{
    size_t length = 0;
    unsigned char *binary = binary_of(w, &length);
    for (size_t i = 0; i < length; i += i < BEGIN ? 1 : length / 16)
        damage(w, binary, length, i);
    damage(w, binary, length, length - 1);
    free(binary);
}

static void copies_of_code(struct world *w)
{
    size_t length = 0;
    cl_int code, status, values[COUNT];
    unsigned char *binary = binary_of(w, &length);
    cl_program program = clCreateProgramWithBinary(w->context, 1, &w->device, &length,
                                                   (const unsigned char **)&binary, &status, &code);
    must(code, "binary");
    MUST(clBuildProgram(program, 0, NULL, "", NULL, NULL));
    cl_kernel kernel = clCreateKernel(program, "add", &code);
    must(code, "kernel of a binary");
    fill(values, 6);
    cl_mem memory = buffer(w, BYTES, values);
    launch(w->queue, kernel, memory, 5, NULL, NULL);
    MUST(clEnqueueReadBuffer(w->queue, memory, CL_TRUE, 0, BYTES, values, 0, NULL, NULL));
    show("from binary", values, BYTES);
    damage(w, binary, length, 0);
    free(binary);
    MUST(clReleaseKernel(kernel));
    MUST(clReleaseProgram(program));
    MUST(clReleaseMemObject(memory));
}

static void CL_CALLBACK on_farewell(cl_mem memory, void *arg)
{
    int *order = arg;
    *order = *order * 10 + 1;
}

static void CL_CALLBACK on_first_farewell(cl_mem memory, void *arg)
{
    int *order = arg;
    *order = *order * 10 + 2;
}

static void farewells(struct world *w)
{
    int order = 0;
    cl_mem memory = buffer(w, 64, NULL);
    MUST(clSetMemObjectDestructorCallback(memory, on_farewell, &order));
    MUST(clSetMemObjectDestructorCallback(memory, on_first_farewell, &order));
    MUST(clReleaseMemObject(memory));
    (void)printf("farewells %d\n", order);
}

/* A write of more than any staging area holds at once, behind an event that only this thread
 * sets. */
static void held(struct world *w)
{
    const size_t bytes = 96u << 20;
    cl_int code;
    cl_event written, go = clCreateUserEvent(w->context, &code);
    unsigned char *host = malloc(bytes), ends[2] = {0};
    cl_mem memory = buffer(w, bytes, NULL);
    must(code, "user event");
    if (!host)
        exit(2);
    memset(host, 7, bytes);
    host[bytes - 1] = 9;
    MUST(clEnqueueWriteBuffer(w->queue, memory, CL_FALSE, 0, bytes, host, 1, &go, &written));
    (void)printf("held: posted\n");
    MUST(clSetUserEventStatus(go, CL_COMPLETE));
    MUST(clWaitForEvents(1, &written));
    MUST(clEnqueueReadBuffer(w->queue, memory, CL_TRUE, 0, 1, &ends[0], 0, NULL, NULL));
    MUST(clEnqueueReadBuffer(w->queue, memory, CL_TRUE, bytes - 1, 1, &ends[1], 0, NULL, NULL));
    (void)printf("held: %d %d\n", ends[0], ends[1]);
    MUST(clReleaseEvent(go));
    MUST(clReleaseEvent(written));
    MUST(clReleaseMemObject(memory));
    free(host);
}

/* With an argument only what a device need not do: see `damaged`. */
int main(int argc, char **argv)
{
    struct world w = {0};
    static void (*const parts[])(struct world * w) = {
        basics, late_reads, write_and_ask, loose_order,    callbacks, views,
        boxes,  large,      threads,       copies_of_code, farewells, held};
    (void)setvbuf(stdout, NULL, _IONBF, 0);
    open_world(&w);
    if (argc > 1)
        damaged(&w);
    for (size_t i = 0; argc == 1 && i < sizeof(parts) / sizeof(parts[0]); i++)
        parts[i](&w);
    MUST(clReleaseKernel(w.add));
    MUST(clReleaseKernel(w.scale));
    MUST(clReleaseProgram(w.program));
    MUST(clReleaseCommandQueue(w.queue));
    MUST(clReleaseCommandQueue(w.loose));
    MUST(clReleaseContext(w.context));
    return 0;
}
