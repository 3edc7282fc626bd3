/* As much as the device says it can, and one more: allocations, arguments of a kernel, groups,
 * images, what kernels print. Prints codes and results but no limit, so that a run on a card can be
 * compared with one on the device. */
#undef CL_TARGET_OPENCL_VERSION
#define CL_TARGET_OPENCL_VERSION 300
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#include <stdarg.h>
#include <string.h>

#include "program.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))
#define MANY 400u

static struct {
    cl_device_id device;
    cl_context context;
    cl_command_queue queue;
    cl_mem out;
    char *text; /* of the program at hand */
    size_t length;
} w;

static cl_ulong limit(cl_device_info what)
{
    cl_ulong value = 0;
    MUST(clGetDeviceInfo(w.device, what, sizeof(value), &value, NULL));
    return value;
}

static unsigned at_most(cl_ulong count)
{
    return count < MANY ? (unsigned)count : MANY;
}

/* Start the program's text anew, or go on with it. */
__attribute__((format(printf, 2, 3))) static void text(int anew, const char *format, ...)
{
    static char room[1 << 18];
    va_list arguments;
    if (anew)
        w.length = 0;
    w.text = room;
    va_start(arguments, format);
    w.length += (size_t)vsnprintf(room + w.length, sizeof(room) - w.length, format, arguments);
    va_end(arguments);
}

/* The kernel `work` of the text, which has its `out`, or NULL. */
static cl_kernel build(const char *name)
{
    const char *source = w.text;
    cl_int code;
    cl_program program;
    MAKE(program, clCreateProgramWithSource(w.context, 1, &source, NULL, &code));
    cl_int built = clBuildProgram(program, 0, NULL, "", NULL, NULL);
    cl_kernel kernel = clCreateKernel(program, "work", &code);
    (void)printf("%s: build %d kernel %d\n", name, (int)built, (int)code);
    MUST(clReleaseProgram(program));
    if (code != CL_SUCCESS)
        return NULL;
    MUST(clSetKernelArg(kernel, 0, sizeof(w.out), &w.out));
    return kernel;
}

static cl_mem buffer(size_t bytes, const void *host)
{
    cl_int code;
    cl_mem memory;
    MAKE(memory, clCreateBuffer(w.context, host ? CL_MEM_COPY_HOST_PTR : 0, bytes,
                                (void *)(uintptr_t)host, &code));
    return memory;
}

/* Launch once and tell what it left in `out`. */
static void run(const char *name, cl_kernel kernel)
{
    const size_t one = 1;
    cl_int result = -1, status = 77;
    cl_event event;
    MUST(clEnqueueFillBuffer(w.queue, w.out, &result, sizeof(result), 0, 4, 0, NULL, NULL));
    cl_int code = clEnqueueNDRangeKernel(w.queue, kernel, 1, NULL, &one, NULL, 0, NULL, &event);
    if (code == CL_SUCCESS) {
        (void)clWaitForEvents(1, &event); /* its status says more */
        MUST(clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof(status), &status,
                            NULL));
        MUST(clReleaseEvent(event));
    }
    MUST(clEnqueueReadBuffer(w.queue, w.out, CL_TRUE, 0, sizeof(result), &result, 0, NULL, NULL));
    (void)printf("%s: launch %d status %d result %d\n", name, (int)code, (int)status, (int)result);
}

/* The largest buffer there is: its ends are written, read, mapped and reached by a kernel. */
static void largest_buffer(cl_mem_flags flags)
{
    static const cl_uint words[2] = {0x12345678, 0x9abcdef0};
    const size_t size = (size_t)limit(CL_DEVICE_MAX_MEM_ALLOC_SIZE);
    cl_uint back[3] = {0};
    cl_int code;
    cl_mem none = clCreateBuffer(w.context, flags, size + 1, NULL, &code);
    (void)printf("more than the largest %d %d\n", (int)code, none != NULL);
    cl_mem all = clCreateBuffer(w.context, flags, size, NULL, &code);
    REPORT("the largest", code);
    if (!all)
        return;
    const cl_buffer_region region = {size - 4096, 4096};
    MUST(clEnqueueWriteBuffer(w.queue, all, CL_FALSE, 0, 4, &words[0], 0, NULL, NULL));
    MUST(clEnqueueWriteBuffer(w.queue, all, CL_FALSE, size - 4, 4, &words[1], 0, NULL, NULL));
    MUST(clEnqueueReadBuffer(w.queue, all, CL_TRUE, 0, 4, &back[0], 0, NULL, NULL));
    MUST(clEnqueueReadBuffer(w.queue, all, CL_TRUE, size - 4, 4, &back[1], 0, NULL, NULL));
    cl_mem end = clCreateSubBuffer(all, 0, CL_BUFFER_CREATE_TYPE_REGION, &region, &code);
    REPORT("its end", code);
    if (end) {
        MUST(clEnqueueReadBuffer(w.queue, end, CL_TRUE, 4092, 4, &back[2], 0, NULL, NULL));
        MUST(clReleaseMemObject(end));
    }
    (void)printf("its ends %x %x %x\n", back[0], back[1], back[2]);
    REPORT("past its end",
           clEnqueueReadBuffer(w.queue, all, CL_TRUE, size - 3, 4, back, 0, NULL, NULL));
    MUST(clReleaseMemObject(all));
}

static void many_numbers(const char *name, unsigned count)
{
    text(1, "kernel void work(global int *out");
    for (unsigned i = 0; i < count; i++)
        text(0, ", int a%u", i);
    text(0, ") { int sum = 0;\n");
    for (unsigned i = 0; i < count; i++)
        text(0, "sum = sum * 3 + a%u;\n", i);
    text(0, "*out = sum; }\n");
    cl_kernel kernel = build(name);
    cl_uint told = 0;
    if (!kernel)
        return;
    MUST(clGetKernelInfo(kernel, CL_KERNEL_NUM_ARGS, sizeof(told), &told, NULL));
    for (cl_int i = 0; i + 1 < (cl_int)told; i++)
        MUST(clSetKernelArg(kernel, (cl_uint)i + 1, sizeof(i), &i));
    (void)printf("arguments %u\n", told);
    run(name, kernel);
    MUST(clReleaseKernel(kernel));
}

/* As many buffers as fit, in global or in constant memory. */
static void many_buffers(const char *name, const char *space, unsigned count)
{
    cl_mem memories[MANY];
    text(1, "kernel void work(global int *out");
    for (unsigned i = 0; i < count; i++)
        text(0, ", %s int *a%u", space, i);
    text(0, ") { int sum = 0;\n");
    for (unsigned i = 0; i < count; i++)
        text(0, "sum = sum * 3 + a%u[%u];\n", i, i % 7);
    text(0, "*out = sum; }\n");
    cl_kernel kernel = build(name);
    if (!kernel)
        return;
    for (unsigned i = 0; i < count; i++) {
        const unsigned values[8] = {i, i + 1, i + 2, i + 3, i + 4, i + 5, i + 6, i + 7};
        memories[i] = buffer(sizeof(values), values);
        MUST(clSetKernelArg(kernel, i + 1, sizeof(memories[i]), &memories[i]));
    }
    run(name, kernel);
    for (unsigned i = 0; i < count; i++)
        MUST(clReleaseMemObject(memories[i]));
    MUST(clReleaseKernel(kernel));
}

/* As much constant memory as there is, once for each argument of that kind. */
static void largest_constants(void)
{
    const cl_ulong most = limit(CL_DEVICE_MAX_MEM_ALLOC_SIZE);
    cl_ulong bytes = limit(CL_DEVICE_MAX_CONSTANT_BUFFER_SIZE);
    if (bytes > most / 2) /* there is more on the device now than it alone */
        bytes = most / 2;
    text(1, "kernel void work(global int *out, constant int *c, ulong n) { *out = c[n]; }\n");
    cl_kernel kernel = build("constants");
    const cl_ulong last = bytes / 4 - 1;
    const cl_int value = 77;
    cl_mem memory = buffer((size_t)bytes, NULL);
    MUST(clEnqueueFillBuffer(w.queue, memory, &value, 4, (size_t)last * 4, 4, 0, NULL, NULL));
    MUST(clSetKernelArg(kernel, 1, sizeof(memory), &memory));
    MUST(clSetKernelArg(kernel, 2, sizeof(last), &last));
    run("constants", kernel);
    MUST(clReleaseMemObject(memory));
    MUST(clReleaseKernel(kernel));
}

static cl_mem image(const cl_image_desc *desc, const void *host, cl_int *ret_code)
{
    const cl_image_format format = {CL_RGBA, CL_UNSIGNED_INT8};
    return clCreateImage(w.context, host ? CL_MEM_COPY_HOST_PTR : 0, &format, desc,
                         (void *)(uintptr_t)host, ret_code);
}

/* As many images as a kernel may read or write. */
static void many_images(const char *name, int reads, unsigned count)
{
    static const cl_image_desc desc = {
        .image_type = CL_MEM_OBJECT_IMAGE2D, .image_width = 1, .image_height = 1};
    static const size_t nowhere[3] = {0}, pixel[3] = {1, 1, 1};
    cl_mem images[MANY];
    unsigned char last[4] = {0};
    cl_int code;
    text(1, "kernel void work(global int *out");
    for (unsigned i = 0; i < count; i++)
        text(0, ", %s image2d_t i%u", reads ? "read_only" : "write_only", i);
    text(0, ") { uint sum = 0;\n");
    for (unsigned i = 0; i < count; i++)
        if (reads)
            text(0, "sum = sum * 3 + read_imageui(i%u, (int2)(0, 0)).x;\n", i);
        else
            text(0, "write_imageui(i%u, (int2)(0, 0), (uint4)(%u));\n", i, i % 200);
    text(0, "*out = sum; }\n");
    cl_kernel kernel = build(name);
    if (!kernel)
        return;
    for (unsigned i = 0; i < count; i++) {
        const unsigned char value[4] = {(unsigned char)i};
        MAKE(images[i], image(&desc, value, &code));
        MUST(clSetKernelArg(kernel, i + 1, sizeof(images[i]), &images[i]));
    }
    run(name, kernel);
    MUST(clEnqueueReadImage(w.queue, images[count - 1], CL_TRUE, nowhere, pixel, 0, 0, last, 0,
                            NULL, NULL));
    (void)printf("the last image %d\n", last[0]);
    for (unsigned i = 0; i < count; i++)
        MUST(clReleaseMemObject(images[i]));
    MUST(clReleaseKernel(kernel));
}

static void many_samplers(unsigned count)
{
    static const cl_image_desc desc = {
        .image_type = CL_MEM_OBJECT_IMAGE2D, .image_width = 1, .image_height = 1};
    const unsigned char value[4] = {5};
    cl_sampler samplers[MANY];
    cl_int code;
    cl_mem from;
    text(1, "kernel void work(global int *out, read_only image2d_t from");
    for (unsigned i = 0; i < count; i++)
        text(0, ", sampler_t s%u", i);
    text(0, ") { uint sum = 0;\n");
    for (unsigned i = 0; i < count; i++)
        text(0, "sum = sum * 3 + read_imageui(from, s%u, (int2)(%u, 0)).x;\n", i, i % 2);
    text(0, "*out = sum; }\n");
    cl_kernel kernel = build("samplers");
    if (!kernel)
        return;
    MAKE(from, image(&desc, value, &code));
    MUST(clSetKernelArg(kernel, 1, sizeof(from), &from));
    for (unsigned i = 0; i < count; i++) {
        MAKE(samplers[i], clCreateSampler(w.context, CL_FALSE,
                                          i % 3 ? CL_ADDRESS_CLAMP_TO_EDGE : CL_ADDRESS_CLAMP,
                                          CL_FILTER_NEAREST, &code));
        MUST(clSetKernelArg(kernel, i + 2, sizeof(samplers[i]), &samplers[i]));
    }
    run("samplers", kernel);
    for (unsigned i = 0; i < count; i++)
        MUST(clReleaseSampler(samplers[i]));
    MUST(clReleaseMemObject(from));
    MUST(clReleaseKernel(kernel));
}

/* Vectors, arrays in structures: values of every size up to all that a kernel takes. */
static void large_values(void)
{
    static const unsigned ints[] = {2, 3, 16, 33, 64, 120, 250};
    cl_int values[250];
    for (cl_int i = 0; i < 250; i++)
        values[i] = i * i;
    for (size_t i = 0; i < COUNT(ints); i++) {
        text(1,
             "struct many { int v[%u]; };\n"
             "kernel void work(global int *out, struct many m, short s)\n"
             "{ int sum = s; for (int i = 0; i < %u; i++) sum = sum * 3 + m.v[i]; *out = sum; }\n",
             ints[i], ints[i]);
        const cl_short small = 9;
        cl_kernel kernel = build("structure");
        if (!kernel)
            continue;
        REPORT("too small", clSetKernelArg(kernel, 1, ints[i] * 4u - 4, values));
        REPORT("too large", clSetKernelArg(kernel, 1, ints[i] * 4u + 4, values));
        REPORT("fitting", clSetKernelArg(kernel, 1, ints[i] * 4u, values));
        MUST(clSetKernelArg(kernel, 2, sizeof(small), &small));
        run("structure", kernel);
        MUST(clReleaseKernel(kernel));
    }
}

/* Groups as large as they may be, in each direction. */
static void groups(void)
{
    size_t sizes[3] = {0};
    const size_t most = (size_t)limit(CL_DEVICE_MAX_WORK_GROUP_SIZE);
    MUST(clGetDeviceInfo(w.device, CL_DEVICE_MAX_WORK_ITEM_SIZES, sizeof(sizes), sizes, NULL));
    text(1, "kernel void work(global int *out) { if (get_local_linear_id() == get_local_size(0) *\n"
            "get_local_size(1) * get_local_size(2) - 1) atomic_inc(out); }\n");
    cl_kernel kernel = build("groups");
    for (int i = 0; i < 3; i++)
        for (int more = 0; more < 2; more++) {
            size_t local[3] = {1, 1, 1}, global[3] = {1, 1, 1};
            cl_int result = 0;
            local[i] = (sizes[i] < most ? sizes[i] : most) + (size_t)more;
            global[i] = local[i] * 2;
            MUST(clEnqueueFillBuffer(w.queue, w.out, &result, 4, 0, 4, 0, NULL, NULL));
            cl_int code =
                clEnqueueNDRangeKernel(w.queue, kernel, 3, NULL, global, local, 0, NULL, NULL);
            MUST(clEnqueueReadBuffer(w.queue, w.out, CL_TRUE, 0, 4, &result, 0, NULL, NULL));
            (void)printf("group %d, %d more: %d %d\n", i, more, (int)code, (int)result);
        }
    MUST(clReleaseKernel(kernel));
}

/* As long, high and deep as images may be. */
static void largest_images(void)
{
    const size_t width = (size_t)limit(CL_DEVICE_IMAGE2D_MAX_WIDTH),
                 height = (size_t)limit(CL_DEVICE_IMAGE2D_MAX_HEIGHT),
                 wide = (size_t)limit(CL_DEVICE_IMAGE3D_MAX_WIDTH),
                 high = (size_t)limit(CL_DEVICE_IMAGE3D_MAX_HEIGHT),
                 deep = (size_t)limit(CL_DEVICE_IMAGE3D_MAX_DEPTH),
                 layers = (size_t)limit(CL_DEVICE_IMAGE_MAX_ARRAY_SIZE);
    const struct {
        const char *name;
        cl_mem_object_type type;
        size_t width, height, depth, layers;
    } cases[] = {{"wide", CL_MEM_OBJECT_IMAGE2D, width, 2, 0, 0},
                 {"wider", CL_MEM_OBJECT_IMAGE2D, width + 1, 1, 0, 0},
                 {"high", CL_MEM_OBJECT_IMAGE2D, 2, height, 0, 0},
                 {"higher", CL_MEM_OBJECT_IMAGE2D, 1, height + 1, 0, 0},
                 {"3d wide", CL_MEM_OBJECT_IMAGE3D, wide, 2, 2, 0},
                 {"3d wider", CL_MEM_OBJECT_IMAGE3D, wide + 1, 1, 1, 0},
                 {"3d high", CL_MEM_OBJECT_IMAGE3D, 2, high, 2, 0},
                 {"3d higher", CL_MEM_OBJECT_IMAGE3D, 1, high + 1, 1, 0},
                 {"3d deep", CL_MEM_OBJECT_IMAGE3D, 2, 2, deep, 0},
                 {"3d deeper", CL_MEM_OBJECT_IMAGE3D, 1, 1, deep + 1, 0},
                 {"line", CL_MEM_OBJECT_IMAGE1D, width, 0, 0, 0},
                 {"longer line", CL_MEM_OBJECT_IMAGE1D, width + 1, 0, 0, 0},
                 {"layers", CL_MEM_OBJECT_IMAGE2D_ARRAY, 2, 2, 0, layers},
                 {"more layers", CL_MEM_OBJECT_IMAGE2D_ARRAY, 1, 1, 0, layers + 1},
                 {"lines", CL_MEM_OBJECT_IMAGE1D_ARRAY, 2, 0, 0, layers},
                 {"more lines", CL_MEM_OBJECT_IMAGE1D_ARRAY, 1, 0, 0, layers + 1}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        const cl_image_desc desc = {.image_type = cases[i].type,
                                    .image_width = cases[i].width,
                                    .image_height = cases[i].height,
                                    .image_depth = cases[i].depth,
                                    .image_array_size = cases[i].layers};
        cl_int code;
        cl_mem made = image(&desc, NULL, &code);
        (void)printf("image %s %d %d\n", cases[i].name, (int)code, made != NULL);
        if (made)
            MUST(clReleaseMemObject(made));
    }
}

/* More queues than any program has reason to hold, each with work. */
static void many_queues(void)
{
    static cl_command_queue queues[2000];
    const size_t bytes = sizeof(cl_uint) * COUNT(queues);
    static cl_uint values[COUNT(queues)];
    cl_uint right = 0;
    cl_int code;
    cl_mem memory = buffer(bytes, NULL);
    for (cl_uint i = 0; i < COUNT(queues); i++) {
        MAKE(queues[i], clCreateCommandQueueWithProperties(w.context, w.device, NULL, &code));
        MUST(clEnqueueFillBuffer(queues[i], memory, &i, 4, (size_t)i * 4, 4, 0, NULL, NULL));
    }
    for (size_t i = 0; i < COUNT(queues); i++)
        MUST(clFinish(queues[i]));
    MUST(clEnqueueReadBuffer(queues[0], memory, CL_TRUE, 0, bytes, values, 0, NULL, NULL));
    for (cl_uint i = 0; i < COUNT(queues); i++) {
        right += values[i] == i;
        MUST(clReleaseCommandQueue(queues[i]));
    }
    (void)printf("queues with work %u\n", right);
    MUST(clReleaseMemObject(memory));
}

int main(void)
{
    cl_int code;
    (void)setvbuf(stdout, NULL, _IONBF, 0);
    w.context = open_device(&w.device);
    MAKE(w.queue, clCreateCommandQueueWithProperties(w.context, w.device, NULL, &code));
    const unsigned parameters = (unsigned)limit(CL_DEVICE_MAX_PARAMETER_SIZE);
    const unsigned fitting = at_most(parameters / 8 - 1);
    largest_buffer(0);
    largest_buffer(CL_MEM_ALLOC_HOST_PTR);
    w.out = buffer(64, NULL);
    many_numbers("all numbers", (parameters - 8) / 4);
    many_numbers("too many numbers", parameters / 4 + 1);
    many_buffers("buffers", "global", fitting);
    many_buffers("constant buffers", "constant", at_most(limit(CL_DEVICE_MAX_CONSTANT_ARGS)));
    largest_constants();
    many_images("read images", 1, fitting);
    many_images("write images", 0, fitting);
    many_samplers(at_most(limit(CL_DEVICE_MAX_SAMPLERS)));
    large_values();
    groups();
    largest_images();
    many_queues();
    return 0;
}
