/* What a program is told of what it has made, and what calls with sizes of every kind come to:
 * memory objects, queues, programs, kernels, launches, commands. Prints it, so that a run on a card
 * can be compared with one on the device. */
#undef CL_TARGET_OPENCL_VERSION
#define CL_TARGET_OPENCL_VERSION 300
#include <string.h>

#include "program.h"

#define BYTES 8192
#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static struct {
    cl_device_id device;
    cl_context context;
    cl_command_queue queue;
    _Alignas(4096) unsigned char host[BYTES];
} w;

/* A query's code, how long the answer is, and the answer. */
#define TELL(call, object, what) \
    do { \
        unsigned char told[4096] = {0}; \
        size_t length = 7777; \
        const cl_int code_of_it = call(object, what, sizeof(told), told, &length); \
        (void)printf("%s %d %zu ", #what, (int)code_of_it, length); \
        show("", told, sizeof(told)); \
    } while (0)

static cl_program source(const char *text)
{
    cl_int code;
    cl_program program;
    MAKE(program, clCreateProgramWithSource(w.context, 1, &text, NULL, &code));
    return program;
}

static cl_program built(const char *text)
{
    cl_program program = source(text);
    MUST(clBuildProgram(program, 0, NULL, "-cl-std=CL3.0", NULL, NULL));
    return program;
}

static cl_kernel kernel_of(cl_program program, const char *name)
{
    cl_int code;
    cl_kernel kernel;
    MAKE(kernel, clCreateKernel(program, name, &code));
    return kernel;
}

static cl_mem buffer(size_t bytes)
{
    cl_int code;
    cl_mem memory;
    MAKE(memory, clCreateBuffer(w.context, 0, bytes, NULL, &code));
    return memory;
}

static void tell_memory(const char *name, cl_mem memory)
{
    unsigned char *host = NULL;
    cl_mem whole = NULL;
    (void)printf("%s\n", name);
    TELL(clGetMemObjectInfo, memory, CL_MEM_TYPE);
    TELL(clGetMemObjectInfo, memory, CL_MEM_FLAGS);
    TELL(clGetMemObjectInfo, memory, CL_MEM_SIZE);
    TELL(clGetMemObjectInfo, memory, CL_MEM_MAP_COUNT);
    TELL(clGetMemObjectInfo, memory, CL_MEM_REFERENCE_COUNT);
    TELL(clGetMemObjectInfo, memory, CL_MEM_OFFSET);
    TELL(clGetMemObjectInfo, memory, CL_MEM_USES_SVM_POINTER);
    TELL(clGetMemObjectInfo, memory, CL_MEM_PROPERTIES);
    MUST(clGetMemObjectInfo(memory, CL_MEM_HOST_PTR, sizeof(host), &host, NULL));
    MUST(clGetMemObjectInfo(memory, CL_MEM_ASSOCIATED_MEMOBJECT, sizeof(whole), &whole, NULL));
    (void)printf("host %ld whole %d\n", host ? (long)(host - w.host) : -1L, whole != NULL);
}

/* Two maps of one range at a time. */
static void map_twice(cl_mem memory, cl_map_flags flags)
{
    cl_int code, again;
    void *first =
        clEnqueueMapBuffer(w.queue, memory, CL_TRUE, flags, 128, 1000, 0, NULL, NULL, &code);
    void *second =
        clEnqueueMapBuffer(w.queue, memory, CL_TRUE, CL_MAP_READ, 128, 1000, 0, NULL, NULL, &again);
    (void)printf("maps %d %d, one place %d\n", (int)code, (int)again, first == second);
    TELL(clGetMemObjectInfo, memory, CL_MEM_MAP_COUNT);
    if (again == CL_SUCCESS)
        REPORT("unmap", clEnqueueUnmapMemObject(w.queue, memory, second, 0, NULL, NULL));
    if (code == CL_SUCCESS)
        REPORT("unmap", clEnqueueUnmapMemObject(w.queue, memory, first, 0, NULL, NULL));
    MUST(clFinish(w.queue));
    TELL(clGetMemObjectInfo, memory, CL_MEM_MAP_COUNT);
}

static void memory(void)
{
    static const cl_mem_flags flags[] = {0,
                                         CL_MEM_READ_ONLY,
                                         CL_MEM_WRITE_ONLY,
                                         CL_MEM_ALLOC_HOST_PTR,
                                         CL_MEM_USE_HOST_PTR,
                                         CL_MEM_COPY_HOST_PTR | CL_MEM_ALLOC_HOST_PTR,
                                         CL_MEM_HOST_READ_ONLY,
                                         CL_MEM_HOST_WRITE_ONLY | CL_MEM_READ_ONLY,
                                         CL_MEM_HOST_NO_ACCESS};
    static const cl_mem_flags of_parts[] = {0, CL_MEM_READ_ONLY, CL_MEM_HOST_READ_ONLY,
                                            CL_MEM_HOST_NO_ACCESS};
    const cl_buffer_region region = {4096, 1000};
    cl_int code;
    for (size_t i = 0; i < COUNT(flags); i++) {
        void *host = flags[i] & (CL_MEM_USE_HOST_PTR | CL_MEM_COPY_HOST_PTR) ? w.host : NULL;
        cl_mem whole;
        MAKE(whole, clCreateBuffer(w.context, flags[i], BYTES, host, &code));
        tell_memory("buffer", whole);
        for (size_t j = 0; j < COUNT(of_parts); j++) {
            cl_mem part =
                clCreateSubBuffer(whole, of_parts[j], CL_BUFFER_CREATE_TYPE_REGION, &region, &code);
            (void)printf("part %d\n", (int)code);
            if (code == CL_SUCCESS) {
                tell_memory("part", part);
                MUST(clReleaseMemObject(part));
            }
        }
        map_twice(whole, CL_MAP_READ);
        map_twice(whole, CL_MAP_WRITE);
        map_twice(whole, CL_MAP_WRITE_INVALIDATE_REGION);
        MUST(clReleaseMemObject(whole));
    }
}

static void queues(void)
{
    static const cl_queue_properties empty[] = {0}, plain[] = {CL_QUEUE_PROPERTIES, 0, 0},
                                     all[] = {CL_QUEUE_PROPERTIES,
                                              CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE |
                                                  CL_QUEUE_PROFILING_ENABLE,
                                              0};
    const cl_queue_properties *const given[] = {NULL, empty, plain, all};
    for (size_t i = 0; i < COUNT(given); i++) {
        cl_int code;
        cl_command_queue queue;
        MAKE(queue, clCreateCommandQueueWithProperties(w.context, w.device, given[i], &code));
        TELL(clGetCommandQueueInfo, queue, CL_QUEUE_PROPERTIES);
        TELL(clGetCommandQueueInfo, queue, CL_QUEUE_PROPERTIES_ARRAY);
        TELL(clGetCommandQueueInfo, queue, CL_QUEUE_SIZE);
        TELL(clGetCommandQueueInfo, queue, CL_QUEUE_REFERENCE_COUNT);
        MUST(clReleaseCommandQueue(queue));
    }
}

static void tell_program(const char *name, cl_program program)
{
    cl_build_status status = 77;
    cl_program_binary_type type = 77;
    (void)printf("%s\n", name);
    TELL(clGetProgramInfo, program, CL_PROGRAM_SOURCE);
    TELL(clGetProgramInfo, program, CL_PROGRAM_NUM_KERNELS);
    TELL(clGetProgramInfo, program, CL_PROGRAM_KERNEL_NAMES);
    TELL(clGetProgramInfo, program, CL_PROGRAM_NUM_DEVICES);
    TELL(clGetProgramInfo, program, CL_PROGRAM_REFERENCE_COUNT);
    MUST(clGetProgramBuildInfo(program, w.device, CL_PROGRAM_BUILD_STATUS, sizeof(status), &status,
                               NULL));
    MUST(clGetProgramBuildInfo(program, w.device, CL_PROGRAM_BINARY_TYPE, sizeof(type), &type,
                               NULL));
    (void)printf("status %d type %u\n", (int)status, (unsigned)type);
}

static void programs(void)
{
    const char *pieces[] = {"kernel void b(global int *x)", "{ x[0] = 1; }\r\n never",
                            "kernel void a(global int *x) { x[0] = 2; }"};
    const size_t lengths[] = {0, strlen("{ x[0] = 1; }\r\n"), strlen(pieces[2])};
    cl_kernel kernels[2];
    cl_uint count = 0;
    cl_int code;
    cl_program program;
    MAKE(program, clCreateProgramWithSource(w.context, 3, pieces, lengths, &code));
    tell_program("not built", program);
    REPORT("build", clBuildProgram(program, 1, &w.device, "", NULL, NULL));
    tell_program("built", program);
    REPORT("kernels", clCreateKernelsInProgram(program, 2, kernels, &count));
    for (cl_uint i = 0; i < count; i++)
        TELL(clGetKernelInfo, kernels[i], CL_KERNEL_FUNCTION_NAME);
    REPORT("build with kernels", clBuildProgram(program, 1, &w.device, "", NULL, NULL));
    for (cl_uint i = 0; i < count; i++)
        MUST(clReleaseKernel(kernels[i]));
    REPORT("build without", clBuildProgram(program, 1, &w.device, "-DAGAIN", NULL, NULL));
    tell_program("built again", program);
    program = source("kernel void broken(global int *x) { x[0] = y; }");
    REPORT("broken", clBuildProgram(program, 0, NULL, "", NULL, NULL));
    tell_program("broken", program);
    program = source("int f(int x) { return x; }");
    REPORT("without kernels", clBuildProgram(program, 0, NULL, "", NULL, NULL));
    tell_program("without kernels", program);
}

static void links(void)
{
    static const char *const texts[] = {
        "int g(int);\nkernel void k(global int *x) { x[0] = g(1); }",
        "int g(int x) { return x + 1; }", "int g(int x) { return x + 2; }",
        "kernel void k(global int *x) { x[0] = 9; }"};
    static const struct {
        const char *name, *options;
        unsigned count, parts[3];
    } cases[] = {{"a name too few", "", 1, {0}},           {"fitting", "", 2, {0, 1}},
                 {"one name twice", "", 3, {0, 1, 2}},     {"one kernel twice", "", 2, {0, 3}},
                 {"a library", "-create-library", 1, {1}}, {"no kernel", "", 1, {1}},
                 {"bad option", "-bad", 2, {0, 1}}};
    cl_program parts[COUNT(texts)];
    for (size_t i = 0; i < COUNT(texts); i++) {
        parts[i] = source(texts[i]);
        MUST(clCompileProgram(parts[i], 0, NULL, "", 0, NULL, NULL, NULL, NULL));
        tell_program("compiled", parts[i]);
    }
    for (size_t i = 0; i < COUNT(cases); i++) {
        cl_program inputs[3];
        cl_int code;
        for (unsigned j = 0; j < cases[i].count; j++)
            inputs[j] = parts[cases[i].parts[j]];
        cl_program linked = clLinkProgram(w.context, 1, &w.device, cases[i].options, cases[i].count,
                                          inputs, NULL, NULL, &code);
        REPORT(cases[i].name, code);
        if (linked)
            tell_program("linked", linked);
    }
}

static const char *const kernels_source =
    "kernel void takes(local int *l, short h, uchar3 c, double d, long8 v, global int *x,\n"
    "                  constant int *n) { x[0] = h + c.y + (int)d + (int)v.s3 + (n ? n[0] : 7); }\n"
    "kernel void ids(global int *x) {\n"
    "    size_t i = get_global_linear_id() * 8;\n"
    "    x[i] = get_global_id(0); x[i + 1] = get_global_id(1); x[i + 2] = get_local_size(0);\n"
    "    x[i + 3] = get_group_id(0); x[i + 4] = get_global_offset(1);\n"
    "    x[i + 5] = get_num_groups(1); x[i + 6] = get_work_dim(); x[i + 7] = "
    "get_local_linear_id();\n"
    "}\n"
    "kernel __attribute__((reqd_work_group_size(2, 3, 1))) void fixed(global int *x)\n"
    "{ local int l[100]; l[0] = 3; barrier(CLK_LOCAL_MEM_FENCE); x[0] = l[0]; }\n"
    "kernel __attribute__((vec_type_hint(float4))) void nothing(void) {}\n";

/* Which sizes of an argument are taken. */
static void argument_sizes(cl_kernel kernel)
{
    static const size_t sizes[] = {0, 1, 2, 3, 4, 7, 8, 12, 16, 32, 64, 65, 128};
    for (cl_uint i = 0; i < 5; i++)
        for (size_t j = 0; j < COUNT(sizes); j++)
            (void)printf("argument %u of %zu: %d %d\n", i, sizes[j],
                         (int)clSetKernelArg(kernel, i, sizes[j], NULL),
                         (int)clSetKernelArg(kernel, i, sizes[j], w.host));
}

static void local_memory(cl_kernel kernel, cl_mem memory)
{
    const cl_double number = 2;
    const size_t one = 1;
    const cl_mem none = NULL;
    cl_ulong most = 0;
    MUST(clGetDeviceInfo(w.device, CL_DEVICE_LOCAL_MEM_SIZE, sizeof(most), &most, NULL));
    MUST(clSetKernelArg(kernel, 1, 2, w.host));
    MUST(clSetKernelArg(kernel, 2, 4, w.host));
    MUST(clSetKernelArg(kernel, 3, sizeof(number), &number));
    MUST(clSetKernelArg(kernel, 4, 64, w.host));
    MUST(clSetKernelArg(kernel, 5, sizeof(memory), &memory));
    MUST(clSetKernelArg(kernel, 6, sizeof(none), &none));
    for (cl_ulong size = most; size <= most + 1; size++) {
        MUST(clSetKernelArg(kernel, 0, (size_t)size, NULL));
        REPORT("local memory",
               clEnqueueNDRangeKernel(w.queue, kernel, 1, NULL, &one, NULL, 0, NULL, NULL));
        REPORT("and its end", clFinish(w.queue));
    }
    MUST(clSetKernelArg(kernel, 0, 64, NULL));
    REPORT("less", clEnqueueNDRangeKernel(w.queue, kernel, 1, NULL, &one, NULL, 0, NULL, NULL));
    MUST(clEnqueueReadBuffer(w.queue, memory, CL_TRUE, 0, 4, w.host, 0, NULL, NULL));
    show("sum", w.host, 4);
}

/* Ranges of every shape, with offsets and without. */
static void shapes(cl_kernel kernel, cl_mem memory)
{
    static const size_t sizes[][3] = {{7, 5, 1}, {4, 4, 4}}, offset[3] = {3, 5, 7};
    static const cl_int zero = 0;
    MUST(clSetKernelArg(kernel, 0, sizeof(memory), &memory));
    for (size_t i = 0; i < COUNT(sizes); i++)
        for (cl_uint dimensions = 1; dimensions <= 3; dimensions++)
            for (int far = 0; far < 2; far++) {
                MUST(clEnqueueFillBuffer(w.queue, memory, &zero, 4, 0, BYTES, 0, NULL, NULL));
                REPORT("range",
                       clEnqueueNDRangeKernel(w.queue, kernel, dimensions, far ? offset : NULL,
                                              sizes[i], NULL, 0, NULL, NULL));
                MUST(
                    clEnqueueReadBuffer(w.queue, memory, CL_TRUE, 0, BYTES, w.host, 0, NULL, NULL));
                show("its numbers", w.host, BYTES);
            }
}

static void groups(cl_kernel kernel, cl_mem memory)
{
    static const size_t fits[] = {4, 6}, misses[] = {5, 6}, right[] = {2, 3}, wrong[] = {3, 2};
#define LAUNCH(global, local) \
    clEnqueueNDRangeKernel(w.queue, kernel, 2, NULL, global, local, 0, NULL, NULL)
    REPORT("fixed, unnamed, no argument", LAUNCH(fits, NULL));
    REPORT("fixed, right, no argument", LAUNCH(fits, right));
    MUST(clSetKernelArg(kernel, 0, sizeof(memory), &memory));
    REPORT("fixed, unnamed", LAUNCH(fits, NULL));
    REPORT("fixed, right", LAUNCH(fits, right));
    REPORT("fixed, wrong", LAUNCH(fits, wrong));
    REPORT("fixed, not a multiple", LAUNCH(misses, right));
    REPORT("fixed, not a multiple, unnamed", LAUNCH(misses, NULL));
    MUST(clFinish(w.queue));
}

static void kernels(void)
{
    static const char *const names[] = {"takes", "ids", "fixed", "nothing"};
    static const cl_kernel_work_group_info questions[] = {
        CL_KERNEL_WORK_GROUP_SIZE, CL_KERNEL_COMPILE_WORK_GROUP_SIZE, CL_KERNEL_LOCAL_MEM_SIZE,
        CL_KERNEL_PREFERRED_WORK_GROUP_SIZE_MULTIPLE, CL_KERNEL_PRIVATE_MEM_SIZE};
    cl_program program = built(kernels_source);
    cl_kernel made[COUNT(names)];
    for (size_t i = 0; i < COUNT(names); i++) {
        made[i] = kernel_of(program, names[i]);
        TELL(clGetKernelInfo, made[i], CL_KERNEL_NUM_ARGS);
        TELL(clGetKernelInfo, made[i], CL_KERNEL_ATTRIBUTES);
        TELL(clGetKernelInfo, made[i], CL_KERNEL_REFERENCE_COUNT);
        for (size_t j = 0; j < COUNT(questions); j++) {
            size_t answer[3] = {0}, length = 0;
            REPORT(names[i], clGetKernelWorkGroupInfo(made[i], w.device, questions[j],
                                                      sizeof(answer), answer, &length));
            (void)printf("%zu: %zu %zu %zu\n", length, answer[0], answer[1], answer[2]);
        }
    }
    cl_mem memory = buffer(BYTES);
    argument_sizes(made[0]);
    local_memory(made[0], memory);
    shapes(made[1], memory);
    groups(made[2], memory);
    MUST(clReleaseMemObject(memory));
}

/* Patterns of each size at the first places, parts of a buffer at each power of two. */
static void fills(void)
{
    unsigned char pattern[128];
    cl_uint bits = 0;
    cl_mem memory = buffer(4096);
    for (unsigned i = 0; i < sizeof(pattern); i++)
        pattern[i] = (unsigned char)(i * 7 + 1);
    for (size_t size = 1; size <= sizeof(pattern); size *= 2)
        for (size_t place = 0; place < 3; place++) {
            memset(w.host, 0, 4096);
            MUST(clEnqueueWriteBuffer(w.queue, memory, CL_TRUE, 0, 4096, w.host, 0, NULL, NULL));
            REPORT("fill", clEnqueueFillBuffer(w.queue, memory, pattern, size, place * size, 1024,
                                               0, NULL, NULL));
            MUST(clEnqueueReadBuffer(w.queue, memory, CL_TRUE, 0, 4096, w.host, 0, NULL, NULL));
            show("filled", w.host, 4096);
        }
    MUST(clGetDeviceInfo(w.device, CL_DEVICE_MEM_BASE_ADDR_ALIGN, sizeof(bits), &bits, NULL));
    for (size_t origin = 1; origin <= bits / 8; origin *= 2) {
        const cl_buffer_region region = {origin, 16};
        cl_int code;
        REPORT_CODE("part",
                    clCreateSubBuffer(memory, 0, CL_BUFFER_CREATE_TYPE_REGION, &region, &code));
    }
}

/* Transfers of images that are wrong in several ways: which of them is told of. */
static void wrong_transfers(void)
{
    static const cl_mem_flags flags[] = {0, CL_MEM_HOST_NO_ACCESS};
    static const cl_image_format format = {CL_RGBA, CL_UNSIGNED_INT8};
    static const cl_image_desc shape = {
        .image_type = CL_MEM_OBJECT_IMAGE2D, .image_width = 8, .image_height = 8};
    static const size_t origin[3] = {0}, large[3] = {9, 1, 1};
    cl_int code;
    cl_context other;
    cl_event foreign;
    MAKE(other, clCreateContext(NULL, 1, &w.device, NULL, NULL, &code));
    MAKE(foreign, clCreateUserEvent(other, &code));
    for (size_t i = 0; i < COUNT(flags); i++) {
        cl_mem image;
        MAKE(image, clCreateImage(w.context, flags[i], &format, &shape, NULL, &code));
        for (cl_uint waits = 0; waits < 2; waits++)
            for (int named = 0; named < 2; named++) {
                void *host = named ? w.host : NULL;
                const cl_event *list = waits ? &foreign : NULL;
                REPORT("wrong write", clEnqueueWriteImage(w.queue, image, CL_TRUE, origin, large, 0,
                                                          0, host, waits, list, NULL));
                REPORT("wrong read", clEnqueueReadImage(w.queue, image, CL_TRUE, origin, large, 0,
                                                        0, host, waits, list, NULL));
            }
        REPORT("wrong copy",
               clEnqueueCopyImage(w.queue, image, image, origin, origin, large, 0, NULL, NULL));
        REPORT("wrong copy",
               clEnqueueCopyImage(w.queue, image, image, origin, origin, large, 1, &foreign, NULL));
        MUST(clReleaseMemObject(image));
    }
    MUST(clReleaseEvent(foreign));
    MUST(clReleaseContext(other));
}

/* Each command's type, and that its times are in order. */
static void tell_event(const char *name, cl_event event)
{
    cl_command_type type = 0;
    cl_ulong times[4] = {0};
    MUST(clWaitForEvents(1, &event));
    MUST(clGetEventInfo(event, CL_EVENT_COMMAND_TYPE, sizeof(type), &type, NULL));
    for (cl_uint i = 0; i < 4; i++)
        MUST(clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_QUEUED + i, sizeof(times[i]),
                                     &times[i], NULL));
    (void)printf("%s %#x in order %d\n", name, type,
                 times[0] <= times[1] && times[1] <= times[2] && times[2] <= times[3]);
    TELL(clGetEventInfo, event, CL_EVENT_COMMAND_EXECUTION_STATUS);
    MUST(clReleaseEvent(event));
}

static void commands(cl_command_queue_properties order)
{
    static const size_t origin[3] = {0}, box[3] = {8, 2, 1}, one = 1;
    static const cl_int zero = 0;
    cl_int code;
    cl_event event;
    cl_mem a = buffer(4096), b = buffer(4096);
    cl_kernel kernel = kernel_of(built("kernel void nothing(void) {}"), "nothing");
    cl_command_queue queue;
    MAKE(queue,
         clCreateCommandQueueWithProperties(
             w.context, w.device,
             (cl_queue_properties[]){CL_QUEUE_PROPERTIES, order | CL_QUEUE_PROFILING_ENABLE, 0},
             &code));
#define COMMAND(call) (MUST(call), tell_event(#call, event))
    COMMAND(clEnqueueWriteBuffer(queue, a, CL_FALSE, 0, 64, w.host, 0, NULL, &event));
    COMMAND(clEnqueueReadBuffer(queue, a, CL_TRUE, 0, 64, w.host, 0, NULL, &event));
    COMMAND(clEnqueueCopyBuffer(queue, a, b, 0, 0, 64, 0, NULL, &event));
    COMMAND(clEnqueueFillBuffer(queue, a, &zero, 4, 0, 64, 0, NULL, &event));
    COMMAND(clEnqueueWriteBufferRect(queue, a, CL_FALSE, origin, origin, box, 0, 0, 0, 0, w.host, 0,
                                     NULL, &event));
    COMMAND(clEnqueueReadBufferRect(queue, a, CL_TRUE, origin, origin, box, 0, 0, 0, 0, w.host, 0,
                                    NULL, &event));
    COMMAND(clEnqueueCopyBufferRect(queue, a, b, origin, origin, box, 0, 0, 0, 0, 0, NULL, &event));
    COMMAND(clEnqueueNDRangeKernel(queue, kernel, 1, NULL, &one, NULL, 0, NULL, &event));
    COMMAND(clEnqueueMigrateMemObjects(queue, 1, &a, CL_MIGRATE_MEM_OBJECT_HOST, 0, NULL, &event));
    COMMAND(clEnqueueMarkerWithWaitList(queue, 0, NULL, &event));
    COMMAND(clEnqueueBarrierWithWaitList(queue, 0, NULL, &event));
    void *mapped;
    MAKE(mapped, clEnqueueMapBuffer(queue, a, CL_TRUE, CL_MAP_READ, 0, 64, 0, NULL, &event, &code));
    tell_event("map", event);
    COMMAND(clEnqueueUnmapMemObject(queue, a, mapped, 0, NULL, &event));
}

int main(void)
{
    (void)setvbuf(stdout, NULL, _IONBF, 0);
    w.context = open_device(&w.device);
    cl_int code;
    MAKE(w.queue, clCreateCommandQueueWithProperties(w.context, w.device, NULL, &code));
    memory();
    queues();
    programs();
    links();
    kernels();
    fills();
    wrong_transfers();
    commands(0);
    commands(CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE);
    return 0;
}
