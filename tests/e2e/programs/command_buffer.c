/* Command buffers (cl_khr_command_buffer): recorded once, enqueued many times, on queues in and out
 * of order; what is wrong; what they tell of themselves. Prints codes and contents.
 *
 *   command_buffer          so that a run on a card can be compared with one on the device
 *   command_buffer alone    what PoCL 3.1 crashes at or does otherwise than specified */
#undef CL_TARGET_OPENCL_VERSION
#define CL_TARGET_OPENCL_VERSION 300
#include <CL/cl_ext.h>
#include <sched.h>
#include <string.h>

#include "program.h"

#define ITEMS 256u
#define BYTES (ITEMS * sizeof(cl_int))
#define SIDE 8u
#define SIMULTANEOUS CL_COMMAND_BUFFER_SIMULTANEOUS_USE_KHR

/* The functions, found by name. */
#define EACH_FUNCTION(of) \
    of(clCreateCommandBufferKHR) of(clFinalizeCommandBufferKHR) of(clRetainCommandBufferKHR) \
        of(clReleaseCommandBufferKHR) of(clEnqueueCommandBufferKHR) \
            of(clCommandBarrierWithWaitListKHR) of(clCommandCopyBufferKHR) \
                of(clCommandCopyBufferRectKHR) of(clCommandCopyBufferToImageKHR) \
                    of(clCommandCopyImageKHR) of(clCommandCopyImageToBufferKHR) \
                        of(clCommandFillBufferKHR) of(clCommandFillImageKHR) \
                            of(clCommandNDRangeKernelKHR) of(clGetCommandBufferInfoKHR)
#define DECLARE(name) name##_fn name;
static struct {
    EACH_FUNCTION(DECLARE)
} f;

static struct {
    cl_device_id device;
    cl_context context, other_context;
    cl_command_queue queue, loose, other_queue; /* in order, out of order, of the other context */
    cl_program program;
    cl_kernel five, seven, nine; /* b = a + 5, c = b + 7, c = b + 9 */
    cl_mem a, b, c, other, image, other_image;
    cl_event foreign; /* of the other context */
} w;

static const char *const source = "kernel void add(global int *to, global const int *from, int n)\n"
                                  "{ size_t i = get_global_id(0); to[i] = from[i] + n; }\n";

static cl_mem buffer_of(cl_context context)
{
    cl_int code;
    cl_mem memory;
    MAKE(memory, clCreateBuffer(context, 0, BYTES, NULL, &code));
    return memory;
}

static cl_mem image_of(cl_context context)
{
    const cl_image_format format = {CL_RGBA, CL_UNSIGNED_INT8};
    const cl_image_desc shape = {
        .image_type = CL_MEM_OBJECT_IMAGE2D, .image_width = SIDE, .image_height = SIDE};
    cl_int code;
    cl_mem memory;
    MAKE(memory, clCreateImage(context, 0, &format, &shape, NULL, &code));
    return memory;
}

static cl_command_queue queue_of(cl_context context, cl_command_queue_properties properties)
{
    cl_int code;
    cl_command_queue queue;
    const cl_queue_properties list[] = {CL_QUEUE_PROPERTIES, properties, 0};
    MAKE(queue, clCreateCommandQueueWithProperties(context, w.device, list, &code));
    return queue;
}

static void set_add(cl_kernel add, cl_mem to, cl_mem from, cl_int n)
{
    MUST(clSetKernelArg(add, 0, sizeof(to), &to));
    MUST(clSetKernelArg(add, 1, sizeof(from), &from));
    MUST(clSetKernelArg(add, 2, sizeof(n), &n));
}

static cl_kernel make_add(cl_mem to, cl_mem from, cl_int n)
{
    cl_int code;
    cl_kernel kernel;
    MAKE(kernel, clCreateKernel(w.program, "add", &code));
    if (to)
        set_add(kernel, to, from, n);
    return kernel;
}

static void open_world(void)
{
    cl_int code;
    cl_platform_id platform;
    w.context = open_device(&w.device);
    MUST(clGetDeviceInfo(w.device, CL_DEVICE_PLATFORM, sizeof(platform), &platform, NULL));
#define FIND(name) \
    *(void **)&f.name = clGetExtensionFunctionAddressForPlatform(platform, #name); \
    must(f.name ? CL_SUCCESS : CL_INVALID_VALUE, #name);
    EACH_FUNCTION(FIND)
    MAKE(w.other_context, clCreateContext(NULL, 1, &w.device, NULL, NULL, &code));
    w.queue = queue_of(w.context, CL_QUEUE_PROFILING_ENABLE);
    w.loose = queue_of(w.context, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE);
    w.other_queue = queue_of(w.other_context, CL_QUEUE_PROFILING_ENABLE);
    MAKE(w.program, clCreateProgramWithSource(w.context, 1, (const char **)&source, NULL, &code));
    MUST(clBuildProgram(w.program, 0, NULL, NULL, NULL, NULL));
    w.a = buffer_of(w.context);
    w.b = buffer_of(w.context);
    w.c = buffer_of(w.context);
    w.five = make_add(w.b, w.a, 5);
    w.seven = make_add(w.c, w.b, 7);
    w.nine = make_add(w.c, w.b, 9);
    w.other = buffer_of(w.other_context);
    w.image = image_of(w.context);
    w.other_image = image_of(w.context);
    MAKE(w.foreign, clCreateUserEvent(w.other_context, &code));
}

static cl_command_buffer_khr make(cl_command_queue queue, cl_command_buffer_flags_khr flags)
{
    const cl_command_buffer_properties_khr list[] = {CL_COMMAND_BUFFER_FLAGS_KHR, flags, 0};
    cl_int code;
    cl_command_buffer_khr made;
    MAKE(made, f.clCreateCommandBufferKHR(1, &queue, flags ? list : NULL, &code));
    return made;
}

static int state_of(cl_command_buffer_khr buffer)
{
    cl_command_buffer_state_khr state = 99;
    MUST(f.clGetCommandBufferInfoKHR(buffer, CL_COMMAND_BUFFER_STATE_KHR, sizeof(state), &state,
                                     NULL));
    return (int)state;
}

/* PoCL's is executable again a moment after its event has completed. */
static void settle(cl_command_buffer_khr buffer)
{
    while (state_of(buffer) == CL_COMMAND_BUFFER_STATE_PENDING_KHR)
        (void)sched_yield();
}

static void fill(cl_mem memory, cl_int first)
{
    cl_int numbers[ITEMS];
    for (cl_uint i = 0; i < ITEMS; i++)
        numbers[i] = first + (cl_int)i;
    MUST(clEnqueueWriteBuffer(w.queue, memory, CL_TRUE, 0, BYTES, numbers, 0, NULL, NULL));
    MUST(clFinish(w.queue)); /* it is for other queues */
}

static void show_buffer(const char *name, cl_mem memory)
{
    cl_int numbers[ITEMS];
    MUST(clEnqueueReadBuffer(w.queue, memory, CL_TRUE, 0, BYTES, numbers, 0, NULL, NULL));
    (void)printf("%s: %d %d .. %d ", name, numbers[0], numbers[1], numbers[ITEMS - 1]);
    show("", numbers, sizeof(numbers));
}

static void show_image(const char *name, cl_mem image)
{
    unsigned char pixels[SIDE * SIDE * 4];
    const size_t zero[3] = {0, 0, 0}, all[3] = {SIDE, SIDE, 1};
    MUST(clEnqueueReadImage(w.queue, image, CL_TRUE, zero, all, 0, 0, pixels, 0, NULL, NULL));
    show(name, pixels, sizeof(pixels));
}

/* Enqueue, wait, and wait until the buffer may be enqueued again. */
static void run(cl_command_buffer_khr buffer)
{
    cl_event event;
    MUST(f.clEnqueueCommandBufferKHR(0, NULL, buffer, 0, NULL, &event));
    MUST(clWaitForEvents(1, &event));
    MUST(clReleaseEvent(event));
    settle(buffer);
}

/* b = a + 5; c = b + 7, in four parts, with sync points or in order. */
static cl_command_buffer_khr record_chain(cl_command_queue queue, cl_command_buffer_flags_khr flags)
{
    const int linked = queue == w.loose;
    const size_t part = ITEMS / 4;
    cl_command_buffer_khr buffer = make(queue, flags);
    for (size_t at = 0; at < ITEMS; at += part) {
        cl_sync_point_khr first, second;
        MUST(f.clCommandNDRangeKernelKHR(buffer, NULL, NULL, w.five, 1, &at, &part, NULL, 0, NULL,
                                         &first, NULL));
        MUST(f.clCommandNDRangeKernelKHR(buffer, NULL, NULL, w.seven, 1, &at, &part, NULL,
                                         linked ? 1 : 0, linked ? &first : NULL, &second, NULL));
        (void)printf("points %u %u\n", first, second);
    }
    return buffer;
}

static void again(cl_command_queue queue)
{
    cl_command_buffer_khr buffer = record_chain(queue, 0);
    MUST(f.clFinalizeCommandBufferKHR(buffer));
    for (cl_int turn = 0; turn < 3; turn++) {
        fill(w.a, 10 * turn);
        run(buffer);
        show_buffer("a", w.a);
        show_buffer("b", w.b);
        show_buffer("c", w.c);
    }
    REPORT("release", f.clReleaseCommandBufferKHR(buffer));
}

/* The kernel and a buffer end after they were recorded. */
static void survivors(void)
{
    cl_mem from = buffer_of(w.context);
    cl_kernel add = make_add(w.b, from, 3);
    cl_command_buffer_khr buffer = make(w.queue, 0);
    fill(from, 40);
    const size_t all = ITEMS;
    MUST(f.clCommandNDRangeKernelKHR(buffer, NULL, NULL, add, 1, NULL, &all, NULL, 0, NULL, NULL,
                                     NULL));
    MUST(f.clCommandCopyBufferKHR(buffer, NULL, from, w.c, 0, 4, BYTES - 4, 0, NULL, NULL, NULL));
    MUST(clReleaseKernel(add));
    MUST(clReleaseMemObject(from));
    MUST(f.clFinalizeCommandBufferKHR(buffer));
    for (int turn = 0; turn < 2; turn++) {
        fill(w.b, 0);
        run(buffer);
        show_buffer("kernel gone", w.b);
        show_buffer("memory gone", w.c);
    }
    REPORT("retain", f.clRetainCommandBufferKHR(buffer));
    REPORT("release", f.clReleaseCommandBufferKHR(buffer));
    run(buffer);
    REPORT("release", f.clReleaseCommandBufferKHR(buffer));
}

/* One of each kind, joined by sync points and a barrier. */
static void every_kind(cl_command_queue queue)
{
    const size_t zero[3] = {0, 0, 0}, four[3] = {4, 4, 0}, part[3] = {3, 2, 1};
    const size_t all[3] = {SIDE, SIDE, 1}, box[3] = {8, 4, 1};
    const cl_uint color[4] = {1, 2, 250, 4};
    const cl_int pattern = 77;
    cl_sync_point_khr p[8];
    cl_command_buffer_khr buffer = make(queue, 0);
    MUST(f.clCommandFillBufferKHR(buffer, NULL, w.b, &pattern, 4, 16, 64, 0, NULL, &p[0], NULL));
    MUST(f.clCommandFillImageKHR(buffer, NULL, w.image, color, zero, all, 0, NULL, &p[1], NULL));
    MUST(f.clCommandCopyBufferKHR(buffer, NULL, w.a, w.b, 0, 128, 64, 1, &p[0], &p[2], NULL));
    MUST(f.clCommandCopyBufferRectKHR(buffer, NULL, w.a, w.b, zero, four, box, 32, 0, 64, 0, 2,
                                      (cl_sync_point_khr[]){p[0], p[2]}, &p[3], NULL));
    MUST(f.clCommandCopyBufferToImageKHR(buffer, NULL, w.a, w.other_image, 4, zero, all, 0, NULL,
                                         &p[4], NULL));
    MUST(f.clCommandCopyImageKHR(buffer, NULL, w.other_image, w.image, zero, four, part, 2,
                                 (cl_sync_point_khr[]){p[1], p[4]}, &p[5], NULL));
    MUST(f.clCommandBarrierWithWaitListKHR(buffer, NULL, 0, NULL, &p[6], NULL));
    MUST(f.clCommandCopyImageToBufferKHR(buffer, NULL, w.image, w.c, zero, all, 512, 1, &p[5],
                                         &p[7], NULL));
    const size_t some = 64;
    MUST(f.clCommandNDRangeKernelKHR(buffer, NULL, NULL, w.nine, 1, NULL, &some, NULL, 2,
                                     (cl_sync_point_khr[]){p[6], p[7]}, NULL, NULL));
    (void)printf("last point %u\n", p[7]);
    MUST(f.clFinalizeCommandBufferKHR(buffer));
    for (cl_int turn = 1; turn < 4; turn++) {
        fill(w.a, 100 * turn);
        fill(w.b, turn);
        fill(w.c, turn);
        run(buffer);
        show_buffer("b", w.b);
        show_buffer("c", w.c);
        show_image("image", w.image);
    }
    MUST(f.clReleaseCommandBufferKHR(buffer));
}

/* Behind an event of the user; a second one meanwhile, and the event when all has ended. */
static void pending(cl_command_queue queue, cl_command_buffer_flags_khr flags)
{
    cl_int code, status;
    cl_event gate, first, second = NULL;
    cl_command_type type;
    cl_command_queue its_queue;
    cl_command_buffer_khr buffer = record_chain(queue, flags);
    (void)printf("recording %d\n", state_of(buffer));
    REPORT("too early", f.clEnqueueCommandBufferKHR(0, NULL, buffer, 0, NULL, &first));
    REPORT("final", f.clFinalizeCommandBufferKHR(buffer));
    (void)printf("final %d\n", state_of(buffer));
    fill(w.a, 1);
    fill(w.b, 2);
    fill(w.c, 3);
    MAKE(gate, clCreateUserEvent(w.context, &code));
    REPORT("first", f.clEnqueueCommandBufferKHR(0, NULL, buffer, 1, &gate, &first));
    (void)printf("pending %d\n", state_of(buffer));
    REPORT("second", f.clEnqueueCommandBufferKHR(0, NULL, buffer, 1, &gate, &second));
    MUST(clGetEventInfo(first, CL_EVENT_COMMAND_TYPE, sizeof(type), &type, NULL));
    MUST(clGetEventInfo(first, CL_EVENT_COMMAND_QUEUE, sizeof(its_queue), &its_queue, NULL));
    MUST(clGetEventInfo(first, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof(status), &status, NULL));
    (void)printf("event %x %d %d\n", type, its_queue == queue, status > CL_COMPLETE);
    MUST(clSetUserEventStatus(gate, CL_COMPLETE));
    MUST(clWaitForEvents(1, &first));
    if (second)
        MUST(clWaitForEvents(1, &second));
    settle(buffer);
    (void)printf("ended %d\n", state_of(buffer));
    show_buffer("b", w.b);
    show_buffer("c", w.c);
    MUST(clReleaseEvent(first));
    if (second)
        MUST(clReleaseEvent(second));
    MUST(clReleaseEvent(gate));
    MUST(f.clReleaseCommandBufferKHR(buffer));
}

/* Nobody asks for an event, and the buffer is released before its commands end. */
static void unwatched(void)
{
    cl_int code;
    cl_event gate;
    cl_command_buffer_khr buffer = record_chain(w.queue, 0);
    MUST(f.clFinalizeCommandBufferKHR(buffer));
    fill(w.a, 20);
    MAKE(gate, clCreateUserEvent(w.context, &code));
    REPORT("without an event", f.clEnqueueCommandBufferKHR(0, NULL, buffer, 1, &gate, NULL));
    (void)printf("pending %d\n", state_of(buffer));
    REPORT("release", f.clReleaseCommandBufferKHR(buffer));
    MUST(clSetUserEventStatus(gate, CL_COMPLETE));
    MUST(clReleaseEvent(gate));
    show_buffer("c", w.c);
}

static void times(void)
{
    cl_event event;
    cl_ulong t[4];
    cl_command_buffer_khr buffer = record_chain(w.queue, 0);
    MUST(f.clFinalizeCommandBufferKHR(buffer));
    MUST(f.clEnqueueCommandBufferKHR(0, NULL, buffer, 0, NULL, &event));
    MUST(clWaitForEvents(1, &event));
    for (cl_uint i = 0; i < 4; i++)
        MUST(clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_QUEUED + i, sizeof(t[i]), &t[i],
                                     NULL));
    (void)printf("times %d %d %d\n", t[0] <= t[1], t[1] <= t[2], t[2] <= t[3]);
    MUST(clReleaseEvent(event));
    settle(buffer);
    MUST(f.clReleaseCommandBufferKHR(buffer));
}

/* Another queue in place of its own, and wait lists. */
static void other_queues(void)
{
    cl_event event;
    cl_int code;
    cl_command_queue like = queue_of(w.context, CL_QUEUE_PROFILING_ENABLE);
    cl_command_queue both[2] = {w.queue, like};
    cl_command_buffer_khr buffer = record_chain(w.queue, 0);
    MUST(f.clFinalizeCommandBufferKHR(buffer));
    fill(w.a, 60);
    REPORT("like", f.clEnqueueCommandBufferKHR(1, &like, buffer, 0, NULL, &event));
    MUST(clWaitForEvents(1, &event));
    MUST(clReleaseEvent(event));
    settle(buffer);
    show_buffer("c", w.c);
#define WRONG(name, count, queues, waits, list) \
    REPORT(name, f.clEnqueueCommandBufferKHR(count, queues, buffer, waits, list, &event))
    WRONG("other properties", 1, &w.loose, 0, NULL);
    WRONG("other context", 1, &w.other_queue, 0, NULL);
    WRONG("two queues", 2, both, 0, NULL);
    WRONG("no queues", 1, NULL, 0, NULL);
    WRONG("queues of none", 0, both, 0, NULL);
    WRONG("null queue", 1, (cl_command_queue[]){NULL}, 0, NULL);
    WRONG("list of none", 0, NULL, 0, &w.foreign);
    WRONG("no list", 0, NULL, 1, NULL);
    WRONG("foreign event", 0, NULL, 1, &w.foreign);
    WRONG("null event", 0, NULL, 1, (cl_event[]){NULL});
    REPORT("null buffer", f.clEnqueueCommandBufferKHR(0, NULL, NULL, 0, NULL, &event));
    run(buffer);
    cl_event done;
    MAKE(done, clCreateUserEvent(w.context, &code));
    MUST(clSetUserEventStatus(done, CL_COMPLETE));
    WRONG("ended event", 0, NULL, 1, &done);
    MUST(clWaitForEvents(1, &event));
    settle(buffer);
    MUST(clReleaseEvent(event));
    MUST(clReleaseEvent(done));
    MUST(f.clReleaseCommandBufferKHR(buffer));
    MUST(clReleaseCommandQueue(like));
}

static void try_create(const char *name, cl_uint count, const cl_command_queue *queues,
                       const cl_command_buffer_properties_khr *properties)
{
    cl_int code = 1;
    cl_command_buffer_khr made = f.clCreateCommandBufferKHR(count, queues, properties, &code);
    (void)printf("create %s: %d %d\n", name, code, made != NULL);
    if (made)
        MUST(f.clReleaseCommandBufferKHR(made));
}

static void creations(void)
{
    const cl_command_queue both[2] = {w.queue, w.queue};
#define LIST(...) (const cl_command_buffer_properties_khr[]){__VA_ARGS__, 0}
#define FLAGS CL_COMMAND_BUFFER_FLAGS_KHR
    try_create("plain", 1, &w.queue, NULL);
    try_create("flags of none", 1, &w.queue, LIST(FLAGS, 0));
    try_create("simultaneous", 1, &w.queue, LIST(FLAGS, SIMULTANEOUS));
    try_create("unknown flag", 1, &w.queue, LIST(FLAGS, 2));
    try_create("unknown property", 1, &w.queue, LIST(0x1294, 1));
    try_create("no queue", 0, &w.queue, NULL);
    try_create("no list", 1, NULL, NULL);
    try_create("two", 2, both, NULL);
    cl_command_buffer_khr made = f.clCreateCommandBufferKHR(1, &w.loose, NULL, NULL);
    (void)printf("no code %d\n", made != NULL);
    REPORT("finalize", f.clFinalizeCommandBufferKHR(made));
    REPORT("finalize again", f.clFinalizeCommandBufferKHR(made));
    run(made); /* of nothing */
    REPORT("release", f.clReleaseCommandBufferKHR(made));
    REPORT("finalize none", f.clFinalizeCommandBufferKHR(NULL));
    REPORT("retain none", f.clRetainCommandBufferKHR(NULL));
    REPORT("release none", f.clReleaseCommandBufferKHR(NULL));
}

static void told(void)
{
    static const cl_command_buffer_info_khr names[] = {CL_COMMAND_BUFFER_REFERENCE_COUNT_KHR,
                                                       CL_COMMAND_BUFFER_STATE_KHR,
                                                       CL_COMMAND_BUFFER_NUM_QUEUES_KHR, 0x1292};
    size_t length = 0;
    cl_command_buffer_khr buffer = make(w.queue, SIMULTANEOUS);
    for (unsigned i = 0; i < 4; i++) {
        cl_uint number = 99;
        length = 7777;
        const cl_int code =
            f.clGetCommandBufferInfoKHR(buffer, names[i], sizeof(number), &number, &length);
        (void)printf("told %x: %d %u %zu\n", names[i], code, number, length);
    }
    REPORT("length alone",
           f.clGetCommandBufferInfoKHR(buffer, CL_COMMAND_BUFFER_STATE_KHR, 0, NULL, &length));
    REPORT("no buffer",
           f.clGetCommandBufferInfoKHR(NULL, CL_COMMAND_BUFFER_STATE_KHR, 0, NULL, &length));
    MUST(f.clReleaseCommandBufferKHR(buffer));
}

/* PoCL 3.1 tells where its lists lie. */
static void lists(void)
{
    cl_command_queue its_queue = NULL;
    size_t length = 0;
    cl_command_buffer_properties_khr list[3] = {0, 0, 1};
    cl_command_buffer_state_khr state;
    cl_command_buffer_khr buffer = make(w.queue, SIMULTANEOUS);
    REPORT("queues", f.clGetCommandBufferInfoKHR(buffer, CL_COMMAND_BUFFER_QUEUES_KHR,
                                                 sizeof(its_queue), &its_queue, NULL));
    REPORT("properties", f.clGetCommandBufferInfoKHR(buffer, CL_COMMAND_BUFFER_PROPERTIES_ARRAY_KHR,
                                                     sizeof(list), list, &length));
    (void)printf("queue %d, properties %x %x %x, %zu\n", its_queue == w.queue, (unsigned)list[0],
                 (unsigned)list[1], (unsigned)list[2], length);
    REPORT("no room",
           f.clGetCommandBufferInfoKHR(buffer, CL_COMMAND_BUFFER_STATE_KHR, 1, &state, NULL));
    MUST(f.clReleaseCommandBufferKHR(buffer));
}

/* PoCL 3.1 launches with what the kernel has at the end. */
static void later_arguments(cl_command_queue queue)
{
    cl_command_buffer_khr buffer = make(queue, 0);
    cl_kernel add = make_add(w.b, w.a, 5);
    const size_t all = ITEMS;
    cl_sync_point_khr point;
    MUST(f.clCommandNDRangeKernelKHR(buffer, NULL, NULL, add, 1, NULL, &all, NULL, 0, NULL, &point,
                                     NULL));
    set_add(add, w.c, w.b, 7);
    MUST(f.clCommandNDRangeKernelKHR(buffer, NULL, NULL, add, 1, NULL, &all, NULL, 1, &point, NULL,
                                     NULL));
    set_add(add, w.a, w.a, 1000);
    MUST(f.clFinalizeCommandBufferKHR(buffer));
    fill(w.a, 10);
    run(buffer);
    MUST(clReleaseKernel(add));
    run(buffer);
    show_buffer("a", w.a);
    show_buffer("b", w.b);
    show_buffer("c", w.c);
    MUST(f.clReleaseCommandBufferKHR(buffer));
}

static void wrong_copies(cl_command_buffer_khr buffer)
{
    const size_t zero[3] = {0, 0, 0}, box[3] = {8, 4, 1}, nothing[3] = {0, 1, 1};
    const size_t all[3] = {SIDE, SIDE, 1}, far[3] = {SIDE + 1, 0, 0};
    const cl_int pattern = 1;
    const cl_uint color[4] = {1, 2, 3, 4};
    cl_sync_point_khr point;
#define COPY(from, to, at, there, bytes) \
    f.clCommandCopyBufferKHR(buffer, NULL, from, to, at, there, bytes, 0, NULL, &point, NULL)
    REPORT("copy null", COPY(NULL, w.b, 0, 0, 4));
    REPORT("copy to null", COPY(w.a, NULL, 0, 0, 4));
    REPORT("copy foreign", COPY(w.a, w.other, 0, 0, 4));
    REPORT("copy nothing", COPY(w.a, w.b, 0, 0, 0));
    REPORT("copy past", COPY(w.a, w.b, BYTES, 0, 4));
    REPORT("copy past there", COPY(w.a, w.b, 0, BYTES - 2, 4));
    REPORT("copy overlap", COPY(w.a, w.a, 0, 4, 8));
#define RECT(from, to, at, there, size, pitch) \
    f.clCommandCopyBufferRectKHR(buffer, NULL, from, to, at, there, size, pitch, 0, 64, 0, 0, \
                                 NULL, &point, NULL)
    REPORT("rect foreign", RECT(w.a, w.other, zero, zero, box, 64));
    REPORT("rect no origin", RECT(w.a, w.b, NULL, zero, box, 64));
    REPORT("rect no region", RECT(w.a, w.b, zero, zero, NULL, 64));
    REPORT("rect pitch", RECT(w.a, w.b, zero, zero, box, 4));
    REPORT("rect past", RECT(w.a, w.b, zero, zero, box, 1024));
    REPORT("rect overlap", RECT(w.a, w.a, zero, zero, box, 64));
    REPORT("rect nothing", RECT(w.a, w.b, zero, zero, nothing, 64) != CL_SUCCESS);
#define FILL(target, value, bytes, at, length) \
    f.clCommandFillBufferKHR(buffer, NULL, target, value, bytes, at, length, 0, NULL, &point, NULL)
    REPORT("fill null", FILL(NULL, &pattern, 4, 0, 16));
    REPORT("fill nothing with", FILL(w.a, NULL, 4, 0, 16));
    REPORT("fill foreign", FILL(w.other, &pattern, 4, 0, 16));
    REPORT("fill pattern", FILL(w.a, &pattern, 3, 0, 15));
    REPORT("fill large pattern", FILL(w.a, &pattern, 256, 0, 256));
    REPORT("fill uneven", FILL(w.a, &pattern, 4, 2, 16));
    REPORT("fill past", FILL(w.a, &pattern, 4, BYTES, 16));
#define FILL_IMAGE(target, value, at, size) \
    f.clCommandFillImageKHR(buffer, NULL, target, value, at, size, 0, NULL, &point, NULL)
    REPORT("color of none", FILL_IMAGE(w.image, NULL, zero, all));
    REPORT("color null", FILL_IMAGE(NULL, color, zero, all));
    REPORT("color no origin", FILL_IMAGE(w.image, color, NULL, all));
    REPORT("color no region", FILL_IMAGE(w.image, color, zero, NULL));
    REPORT("color far", FILL_IMAGE(w.image, color, far, all) != CL_SUCCESS);
    REPORT("images null", f.clCommandCopyImageKHR(buffer, NULL, NULL, w.image, zero, zero, all, 0,
                                                  NULL, &point, NULL));
    REPORT("images overlap", f.clCommandCopyImageKHR(buffer, NULL, w.image, w.image, zero, zero,
                                                     all, 0, NULL, &point, NULL));
    REPORT("to image null", f.clCommandCopyBufferToImageKHR(buffer, NULL, NULL, w.image, 0, zero,
                                                            all, 0, NULL, &point, NULL));
}

/* PoCL 3.1 crashes at each. */
static void crashes(void)
{
    const size_t zero[3] = {0, 0, 0}, box[3] = {8, 4, 1}, all = ITEMS, three = 3;
    cl_sync_point_khr point, one = 1;
    cl_command_buffer_khr buffer = make(w.queue, 0);
    cl_kernel unset = make_add(NULL, NULL, 0);
#define LAUNCH(kernel, dims, global, local, count, points) \
    f.clCommandNDRangeKernelKHR(buffer, NULL, NULL, kernel, dims, NULL, global, local, count, \
                                points, &point, NULL)
    REPORT("kernel null", LAUNCH(NULL, 1, &all, NULL, 0, NULL));
    REPORT("kernel unset", LAUNCH(unset, 1, &all, NULL, 0, NULL));
    REPORT("no dimensions", LAUNCH(w.five, 0, &all, NULL, 0, NULL));
    REPORT("four dimensions", LAUNCH(w.five, 4, &all, NULL, 0, NULL));
    REPORT("uneven groups", LAUNCH(w.five, 1, &all, &three, 0, NULL));
    REPORT("points of none", LAUNCH(w.five, 1, &all, NULL, 0, &one));
    REPORT("rect null", f.clCommandCopyBufferRectKHR(buffer, NULL, NULL, w.b, zero, zero, box, 64,
                                                     0, 64, 0, 0, NULL, &point, NULL));
    REPORT("from image null", f.clCommandCopyImageToBufferKHR(buffer, NULL, w.image, NULL, zero,
                                                              box, 0, 0, NULL, &point, NULL));
    REPORT("right one", LAUNCH(w.five, 1, &all, NULL, 0, NULL));
    (void)printf("point %u\n", point);
    MUST(clReleaseKernel(unset));
    MUST(f.clReleaseCommandBufferKHR(buffer));
}

/* What it waits for fails: so do all commands, and the buffer can be enqueued again. PoCL 3.1
 * ends the program. */
static void failed(cl_command_queue queue)
{
    cl_int code, status;
    cl_event gate, event;
    cl_command_buffer_khr buffer = record_chain(queue, 0);
    MUST(f.clFinalizeCommandBufferKHR(buffer));
    fill(w.a, 30);
    fill(w.c, 0);
    MAKE(gate, clCreateUserEvent(w.context, &code));
    MUST(f.clEnqueueCommandBufferKHR(0, NULL, buffer, 1, &gate, &event));
    MUST(clSetUserEventStatus(gate, -5));
    REPORT("failed", clWaitForEvents(1, &event));
    MUST(clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof(status), &status, NULL));
    (void)printf("status %d, state %d\n", status < 0, state_of(buffer));
    show_buffer("c", w.c);
    MUST(clReleaseEvent(event));
    MUST(clReleaseEvent(gate));
    run(buffer);
    show_buffer("c", w.c);
    MUST(f.clReleaseCommandBufferKHR(buffer));
}

/* What every call that records checks, seen at the barrier and at the launch. */
static void wrong_recordings(cl_command_buffer_khr buffer)
{
    const size_t all = ITEMS;
    cl_sync_point_khr point = 0, one = 1, far = 1000;
    cl_mutable_command_khr handle = NULL;
#define BARRIER(queue, count, list, ret_handle) \
    f.clCommandBarrierWithWaitListKHR(buffer, queue, count, list, &point, ret_handle)
    REPORT("with a queue", BARRIER(w.queue, 0, NULL, NULL));
    REPORT("with a handle", BARRIER(NULL, 0, NULL, &handle));
    REPORT("points of none", BARRIER(NULL, 0, &one, NULL));
    REPORT("no points", BARRIER(NULL, 1, NULL, NULL));
    REPORT("far point", BARRIER(NULL, 1, &far, NULL));
    REPORT("no buffer", f.clCommandBarrierWithWaitListKHR(NULL, NULL, 0, NULL, &point, NULL));
    REPORT("launch with a handle",
           f.clCommandNDRangeKernelKHR(buffer, NULL, NULL, w.five, 1, NULL, &all, NULL, 0, NULL,
                                       &point, &handle));
    REPORT("copy far point",
           f.clCommandCopyBufferKHR(buffer, NULL, w.a, w.b, 0, 0, 4, 1, &far, &point, NULL));
    REPORT("right one", BARRIER(NULL, 0, NULL, NULL));
    (void)printf("point %u\n", point);
    MUST(f.clFinalizeCommandBufferKHR(buffer));
    REPORT("final", BARRIER(NULL, 0, NULL, NULL));
    REPORT("final copy",
           f.clCommandCopyBufferKHR(buffer, NULL, w.a, w.b, 0, 0, 4, 0, NULL, &point, NULL));
}

int main(int argc, char **argv)
{
    (void)setvbuf(stdout, NULL, _IONBF, 0);
    open_world();
    if (argc > 1) {
        later_arguments(w.queue);
        later_arguments(w.loose);
        failed(w.queue);
        failed(w.loose);
        lists();
        crashes();
        return 0;
    }
    again(w.queue);
    again(w.loose);
    survivors();
    every_kind(w.queue);
    every_kind(w.loose);
    pending(w.queue, 0);
    pending(w.loose, 0);
    pending(w.queue, SIMULTANEOUS);
    pending(w.loose, SIMULTANEOUS);
    times();
    unwatched();
    other_queues();
    creations();
    told();
    cl_command_buffer_khr buffer = make(w.queue, 0);
    wrong_copies(buffer);
    wrong_recordings(buffer);
    MUST(f.clReleaseCommandBufferKHR(buffer));
    return 0;
}
