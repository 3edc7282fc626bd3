/* Every kind of command held back by two events of the user: what its event tells before they are
 * set, between them and after it has ended, which callbacks come in which order, how its times lie,
 * and what it did. In order and out of order. Prints it, so that a run on a card can be compared
 * with one on the device. */
#undef CL_TARGET_OPENCL_VERSION
#define CL_TARGET_OPENCL_VERSION 300
#define CL_USE_DEPRECATED_OPENCL_1_1_APIS
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#include <pthread.h>
#include <string.h>

#include "program.h"

#define BYTES 4096u
#define SIDE 16u
#define DEEP 4u
#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static struct {
    cl_device_id device;
    cl_context context;
    cl_command_queue queue; /* of the command at hand */
    cl_mem a, b, flat, second_flat, deep, second_deep;
    cl_kernel add;
    unsigned char *shared, *freed;
    void *mapped;
    _Alignas(4096) unsigned char host[BYTES];
    pthread_mutex_t lock;
    pthread_cond_t called;
    char letters[8]; /* of the callbacks, in their order */
    size_t letter_count;
} w = {.lock = PTHREAD_MUTEX_INITIALIZER, .called = PTHREAD_COND_INITIALIZER};

static const size_t nowhere[3] = {0, 0, 0}, box[3] = {16, 4, 2};
static const size_t flat_part[3] = {8, 4, 1}, deep_part[3] = {8, 4, 2};
static const size_t items = 64;
static const cl_uint color[4] = {1, 2, 3, 4};
static const cl_int number = 7;

#define WAITS cl_uint count, const cl_event *list, cl_event *event
#define WITH count, list, event

static cl_int launch(WAITS)
{
    return clEnqueueNDRangeKernel(w.queue, w.add, 1, NULL, &items, NULL, WITH);
}

static cl_int task(WAITS)
{
    return clEnqueueTask(w.queue, w.add, WITH);
}

static cl_int read_buffer(WAITS)
{
    return clEnqueueReadBuffer(w.queue, w.a, CL_FALSE, 64, 512, w.host, WITH);
}

static cl_int write_buffer(WAITS)
{
    return clEnqueueWriteBuffer(w.queue, w.a, CL_FALSE, 64, 512, w.host, WITH);
}

static cl_int copy_buffer(WAITS)
{
    return clEnqueueCopyBuffer(w.queue, w.a, w.b, 0, 128, 1024, WITH);
}

static cl_int read_rect(WAITS)
{
    return clEnqueueReadBufferRect(w.queue, w.a, CL_FALSE, nowhere, nowhere, box, 32, 0, 16, 0,
                                   w.host, WITH);
}

static cl_int write_rect(WAITS)
{
    return clEnqueueWriteBufferRect(w.queue, w.a, CL_FALSE, nowhere, nowhere, box, 32, 0, 16, 0,
                                    w.host, WITH);
}

static cl_int copy_rect(WAITS)
{
    return clEnqueueCopyBufferRect(w.queue, w.a, w.b, nowhere, nowhere, box, 32, 0, 16, 0, WITH);
}

static cl_int fill_buffer(WAITS)
{
    return clEnqueueFillBuffer(w.queue, w.a, color, 16, 32, 256, WITH);
}

static cl_int map_buffer(WAITS)
{
    cl_int code;
    w.mapped = clEnqueueMapBuffer(w.queue, w.a, CL_FALSE, CL_MAP_READ | CL_MAP_WRITE, 64, 512, WITH,
                                  &code);
    return code;
}

static cl_int unmap_buffer(WAITS)
{
    return clEnqueueUnmapMemObject(w.queue, w.a, w.mapped, WITH);
}

static cl_int migrate(WAITS)
{
    const cl_mem both[] = {w.a, w.b};
    return clEnqueueMigrateMemObjects(w.queue, 2, both, 0, WITH);
}

static cl_int migrate_home(WAITS)
{
    return clEnqueueMigrateMemObjects(w.queue, 1, &w.a, CL_MIGRATE_MEM_OBJECT_HOST, WITH);
}

static cl_int marker(WAITS)
{
    return clEnqueueMarkerWithWaitList(w.queue, WITH);
}

static cl_int barrier(WAITS)
{
    return clEnqueueBarrierWithWaitList(w.queue, WITH);
}

static cl_int read_image(WAITS)
{
    return clEnqueueReadImage(w.queue, w.flat, CL_FALSE, nowhere, flat_part, 0, 0, w.host, WITH);
}

static cl_int write_image(WAITS)
{
    return clEnqueueWriteImage(w.queue, w.flat, CL_FALSE, nowhere, flat_part, 0, 0, w.host, WITH);
}

static cl_int read_deep(WAITS)
{
    return clEnqueueReadImage(w.queue, w.deep, CL_FALSE, nowhere, deep_part, 0, 0, w.host, WITH);
}

static cl_int write_deep(WAITS)
{
    return clEnqueueWriteImage(w.queue, w.deep, CL_FALSE, nowhere, deep_part, 0, 0, w.host, WITH);
}

static cl_int copy_flat(WAITS)
{
    return clEnqueueCopyImage(w.queue, w.flat, w.second_flat, nowhere, nowhere, flat_part, WITH);
}

static cl_int copy_flat_to_deep(WAITS)
{
    return clEnqueueCopyImage(w.queue, w.flat, w.deep, nowhere, nowhere, flat_part, WITH);
}

static cl_int copy_deep_to_flat(WAITS)
{
    return clEnqueueCopyImage(w.queue, w.deep, w.flat, nowhere, nowhere, flat_part, WITH);
}

static cl_int copy_deep(WAITS)
{
    return clEnqueueCopyImage(w.queue, w.deep, w.second_deep, nowhere, nowhere, deep_part, WITH);
}

static cl_int flat_to_buffer(WAITS)
{
    return clEnqueueCopyImageToBuffer(w.queue, w.flat, w.b, nowhere, flat_part, 16, WITH);
}

static cl_int deep_to_buffer(WAITS)
{
    return clEnqueueCopyImageToBuffer(w.queue, w.deep, w.b, nowhere, deep_part, 16, WITH);
}

static cl_int buffer_to_flat(WAITS)
{
    return clEnqueueCopyBufferToImage(w.queue, w.a, w.flat, 16, nowhere, flat_part, WITH);
}

static cl_int buffer_to_deep(WAITS)
{
    return clEnqueueCopyBufferToImage(w.queue, w.a, w.deep, 16, nowhere, deep_part, WITH);
}

static cl_int fill_image(WAITS)
{
    return clEnqueueFillImage(w.queue, w.flat, color, nowhere, flat_part, WITH);
}

static cl_int map_image(WAITS)
{
    cl_int code;
    size_t row, slice;
    w.mapped = clEnqueueMapImage(w.queue, w.deep, CL_FALSE, CL_MAP_READ, nowhere, deep_part, &row,
                                 &slice, WITH, &code);
    return code;
}

static cl_int unmap_image(WAITS)
{
    return clEnqueueUnmapMemObject(w.queue, w.deep, w.mapped, WITH);
}

static cl_int shared_copy(WAITS)
{
    return clEnqueueSVMMemcpy(w.queue, CL_FALSE, w.shared, w.host, 512, WITH);
}

static cl_int shared_fill(WAITS)
{
    return clEnqueueSVMMemFill(w.queue, w.shared, color, 16, 512, WITH);
}

static cl_int shared_map(WAITS)
{
    return clEnqueueSVMMap(w.queue, CL_FALSE, CL_MAP_READ | CL_MAP_WRITE, w.shared, BYTES, WITH);
}

static cl_int shared_unmap(WAITS)
{
    return clEnqueueSVMUnmap(w.queue, w.shared, WITH);
}

static cl_int shared_migrate(WAITS)
{
    const void *pointers[] = {w.shared};
    return clEnqueueSVMMigrateMem(w.queue, 1, pointers, NULL, 0, WITH);
}

static cl_int shared_free(WAITS)
{
    void *pointers[] = {w.freed};
    return clEnqueueSVMFree(w.queue, 1, pointers, NULL, NULL, WITH);
}

static const struct kind {
    const char *name;
    cl_int (*enqueue)(WAITS);
} kinds[] = {{"launch", launch},
             {"task", task},
             {"read buffer", read_buffer},
             {"write buffer", write_buffer},
             {"copy buffer", copy_buffer},
             {"read rectangle", read_rect},
             {"write rectangle", write_rect},
             {"copy rectangle", copy_rect},
             {"fill buffer", fill_buffer},
             {"map buffer", map_buffer},
             {"unmap buffer", unmap_buffer},
             {"migrate", migrate},
             {"migrate home", migrate_home},
             {"marker", marker},
             {"barrier", barrier},
             {"read image", read_image},
             {"write image", write_image},
             {"read 3d", read_deep},
             {"write 3d", write_deep},
             {"copy 2d", copy_flat},
             {"copy 2d to 3d", copy_flat_to_deep},
             {"copy 3d to 2d", copy_deep_to_flat},
             {"copy 3d", copy_deep},
             {"2d to buffer", flat_to_buffer},
             {"3d to buffer", deep_to_buffer},
             {"buffer to 2d", buffer_to_flat},
             {"buffer to 3d", buffer_to_deep},
             {"fill image", fill_image},
             {"map image", map_image},
             {"unmap image", unmap_image},
             {"shared copy", shared_copy},
             {"shared fill", shared_fill},
             {"shared map", shared_map},
             {"shared unmap", shared_unmap},
             {"shared migrate", shared_migrate},
             {"shared free", shared_free}};

static void note(char letter)
{
    (void)pthread_mutex_lock(&w.lock);
    w.letters[w.letter_count++] = letter;
    (void)pthread_cond_signal(&w.called);
    (void)pthread_mutex_unlock(&w.lock);
}

static void CL_CALLBACK on_stage(cl_event event, cl_int status, void *arg)
{
    const char *letter = arg;
    note(status < 0 ? 'x' : *letter);
}

static void expect_calls(cl_event event)
{
    static char submitted[] = "s", running[] = "r", complete[] = "c";
    w.letter_count = 0;
    (void)memset(w.letters, 0, sizeof(w.letters));
    MUST(clSetEventCallback(event, CL_COMPLETE, on_stage, complete));
    MUST(clSetEventCallback(event, CL_SUBMITTED, on_stage, submitted));
    MUST(clSetEventCallback(event, CL_RUNNING, on_stage, running));
}

static void await_calls(void)
{
    (void)pthread_mutex_lock(&w.lock);
    while (w.letter_count < 3)
        (void)pthread_cond_wait(&w.called, &w.lock);
    (void)pthread_mutex_unlock(&w.lock);
}

static void tell_status(const char *when, cl_event event)
{
    cl_int status = 77;
    size_t length = 0;
    MUST(
        clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof(status), &status, &length));
    (void)printf("  %s %d %zu\n", when, (int)status, length);
}

static void tell_event(cl_event event)
{
    cl_command_type type = 0;
    cl_command_queue queue = NULL;
    cl_context context = NULL;
    cl_ulong time = 0;
    MUST(clGetEventInfo(event, CL_EVENT_COMMAND_TYPE, sizeof(type), &type, NULL));
    MUST(clGetEventInfo(event, CL_EVENT_COMMAND_QUEUE, sizeof(queue), &queue, NULL));
    MUST(clGetEventInfo(event, CL_EVENT_CONTEXT, sizeof(context), &context, NULL));
    (void)printf(
        "  type %x, queue %d, context %d, time %d\n", type, queue == w.queue, context == w.context,
        (int)clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_END, sizeof(time), &time, NULL));
}

/* Times do not go back, and there is one behind the other. */
static void tell_times(cl_event event)
{
    static const cl_profiling_info stages[] = {
        CL_PROFILING_COMMAND_QUEUED, CL_PROFILING_COMMAND_SUBMIT, CL_PROFILING_COMMAND_START,
        CL_PROFILING_COMMAND_END};
    cl_ulong times[COUNT(stages)];
    int in_order = 1;
    for (size_t i = 0; i < COUNT(stages); i++) {
        cl_int code = clGetEventProfilingInfo(event, stages[i], sizeof(times[i]), &times[i], NULL);
        if (code != CL_SUCCESS) {
            REPORT("  times", code);
            return;
        }
        in_order = in_order && times[i] > 0 && (i == 0 || times[i] >= times[i - 1]);
    }
    (void)printf("  times in order %d\n", in_order);
}

static void tell_memory(void)
{
    static const size_t flat_all[3] = {SIDE, SIDE, 1}, deep_all[3] = {SIDE, SIDE, DEEP};
    static unsigned char bytes[SIDE * SIDE * DEEP * 4];
    const cl_mem buffers[] = {w.a, w.b}, flats[] = {w.flat, w.second_flat},
                 deeps[] = {w.deep, w.second_deep};
    uint64_t sum = hash(w.host, sizeof(w.host));
    for (int i = 0; i < 2; i++) {
        MUST(clEnqueueReadBuffer(w.queue, buffers[i], CL_TRUE, 0, BYTES, bytes, 0, NULL, NULL));
        sum = sum * 3 + hash(bytes, BYTES);
        MUST(clEnqueueReadImage(w.queue, flats[i], CL_TRUE, nowhere, flat_all, 0, 0, bytes, 0, NULL,
                                NULL));
        sum = sum * 3 + hash(bytes, (size_t)SIDE * SIDE * 4);
        MUST(clEnqueueReadImage(w.queue, deeps[i], CL_TRUE, nowhere, deep_all, 0, 0, bytes, 0, NULL,
                                NULL));
        sum = sum * 3 + hash(bytes, sizeof(bytes));
    }
    MUST(clEnqueueSVMMap(w.queue, CL_TRUE, CL_MAP_READ, w.shared, BYTES, 0, NULL, NULL));
    sum = sum * 3 + hash(w.shared, BYTES);
    MUST(clEnqueueSVMUnmap(w.queue, w.shared, 0, NULL, NULL));
    MUST(clFinish(w.queue));
    (void)printf("  memory %016llx\n", (unsigned long long)sum);
}

static void hold_back(const struct kind *kind)
{
    cl_int code;
    cl_event gates[2], event = NULL;
    for (int i = 0; i < 2; i++)
        MAKE(gates[i], clCreateUserEvent(w.context, &code));
    w.freed = clSVMAlloc(w.context, CL_MEM_READ_WRITE, 64, 0);
    code = kind->enqueue(2, gates, &event);
    (void)printf("%s %d\n", kind->name, (int)code);
    if (code == CL_SUCCESS) {
        expect_calls(event);
        tell_status("queued", event);
        tell_event(event);
        MUST(clFlush(w.queue));
        MUST(clSetUserEventStatus(gates[1], CL_COMPLETE));
        tell_status("half", event);
        MUST(clSetUserEventStatus(gates[0], CL_COMPLETE));
        MUST(clWaitForEvents(1, &event));
        tell_status("ended", event);
        await_calls();
        (void)printf("  called %s\n", w.letters);
        tell_times(event);
        MUST(clReleaseEvent(event));
    }
    if (kind->enqueue != shared_free)
        clSVMFree(w.context, w.freed);
    MUST(clReleaseEvent(gates[0]));
    MUST(clReleaseEvent(gates[1]));
    tell_memory();
}

static cl_mem image(cl_mem_object_type type)
{
    const cl_image_format format = {CL_RGBA, CL_UNSIGNED_INT8};
    const cl_image_desc desc = {.image_type = type,
                                .image_width = SIDE,
                                .image_height = SIDE,
                                .image_depth = type == CL_MEM_OBJECT_IMAGE3D ? DEEP : 0};
    cl_int code;
    cl_mem made;
    MAKE(made, clCreateImage(w.context, CL_MEM_READ_WRITE, &format, &desc, NULL, &code));
    return made;
}

/* Contents that every card and device has, whatever new memory holds. */
static void fill(void)
{
    static const size_t flat_all[3] = {SIDE, SIDE, 1}, deep_all[3] = {SIDE, SIDE, DEEP};
    const cl_mem flats[] = {w.flat, w.second_flat}, deeps[] = {w.deep, w.second_deep};
    for (size_t i = 0; i < BYTES; i++)
        w.host[i] = (unsigned char)((i * 2654435761u) >> 11);
    MUST(clEnqueueWriteBuffer(w.queue, w.a, CL_TRUE, 0, BYTES, w.host, 0, NULL, NULL));
    MUST(clEnqueueFillBuffer(w.queue, w.b, &number, 4, 0, BYTES, 0, NULL, NULL));
    for (int i = 0; i < 2; i++) {
        MUST(clEnqueueFillImage(w.queue, flats[i], color, nowhere, flat_all, 0, NULL, NULL));
        MUST(clEnqueueFillImage(w.queue, deeps[i], color, nowhere, deep_all, 0, NULL, NULL));
    }
    MUST(clEnqueueSVMMemFill(w.queue, w.shared, &number, 4, BYTES, 0, NULL, NULL));
    MUST(clFinish(w.queue));
}

static void open_world(void)
{
    const char *source = "kernel void add(global int *x, int n) { x[get_global_id(0)] += n; }";
    cl_int code;
    cl_program program;
    w.context = open_device(&w.device);
    MAKE(program, clCreateProgramWithSource(w.context, 1, &source, NULL, &code));
    MUST(clBuildProgram(program, 0, NULL, "", NULL, NULL));
    MAKE(w.add, clCreateKernel(program, "add", &code));
    MAKE(w.a, clCreateBuffer(w.context, 0, BYTES, NULL, &code));
    MAKE(w.b, clCreateBuffer(w.context, 0, BYTES, NULL, &code));
    MUST(clSetKernelArg(w.add, 0, sizeof(w.a), &w.a));
    MUST(clSetKernelArg(w.add, 1, sizeof(number), &number));
    w.flat = image(CL_MEM_OBJECT_IMAGE2D);
    w.second_flat = image(CL_MEM_OBJECT_IMAGE2D);
    w.deep = image(CL_MEM_OBJECT_IMAGE3D);
    w.second_deep = image(CL_MEM_OBJECT_IMAGE3D);
    w.shared = clSVMAlloc(w.context, CL_MEM_READ_WRITE, BYTES, 0);
    must(w.shared ? CL_SUCCESS : CL_OUT_OF_RESOURCES, "shared memory");
}

int main(void)
{
    static const cl_command_queue_properties ways[] = {
        CL_QUEUE_PROFILING_ENABLE,
        CL_QUEUE_PROFILING_ENABLE | CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE, 0};
    cl_int code;
    (void)setvbuf(stdout, NULL, _IONBF, 0);
    open_world();
    for (size_t i = 0; i < COUNT(ways); i++) {
        MAKE(w.queue, clCreateCommandQueue(w.context, w.device, ways[i], &code));
        (void)printf("queue %u\n", (unsigned)ways[i]);
        fill();
        for (size_t j = 0; j < COUNT(kinds); j++)
            hold_back(&kinds[j]);
        MUST(clReleaseCommandQueue(w.queue));
    }
    return 0;
}
