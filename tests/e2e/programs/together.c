/* All devices of the first platform in one context: what they are, buffers that go from queue to
 * queue, a program for all of them, events between their queues, contexts of some of them, and what
 * is wrong. What is printed is the same with and without cards. With an argument, as many rounds of
 * work in which each device uses what another wrote before. */
#include <string.h>

#include "program.h"

#define DEVICES_MAX 4
#define ITEMS 4096u
#define BYTES (ITEMS * sizeof(cl_uint))

struct all {
    cl_uint count;
    cl_platform_id platform;
    cl_device_id devices[DEVICES_MAX];
    cl_context context;
    cl_command_queue queues[DEVICES_MAX];
    cl_program program;
    cl_kernel mix;
};

static const char *const source =
    "kernel void stir(global const uint *from, global uint *to, uint n) {\n"
    "    uint i = get_global_id(0), size = get_global_size(0);\n"
    "    to[i] = to[i] * 3u + from[(i * 7u + n) % size] + n;\n"
    "}\n";

static void open_all(struct all *all)
{
    cl_int code;
    MUST(clGetPlatformIDs(1, &all->platform, NULL));
    MUST(clGetDeviceIDs(all->platform, CL_DEVICE_TYPE_ALL, DEVICES_MAX, all->devices, &all->count));
    MAKE(all->context, clCreateContext(NULL, all->count, all->devices, NULL, NULL, &code));
    for (cl_uint i = 0; i < all->count; i++)
        MAKE(all->queues[i],
             clCreateCommandQueue(all->context, all->devices[i], CL_QUEUE_PROFILING_ENABLE, &code));
    MAKE(all->program, clCreateProgramWithSource(all->context, 1, (const char **)(uintptr_t)&source,
                                                 NULL, &code));
    MUST(clBuildProgram(all->program, 0, NULL, "", NULL, NULL));
    MAKE(all->mix, clCreateKernel(all->program, "stir", &code));
}

static cl_mem buffer_of(cl_context context, cl_uint seed)
{
    static cl_uint items[ITEMS];
    cl_int code;
    cl_mem memory;
    for (cl_uint i = 0; i < ITEMS; i++)
        items[i] = i * 2654435761u + seed;
    MAKE(memory, clCreateBuffer(context, CL_MEM_COPY_HOST_PTR, BYTES, items, &code));
    return memory;
}

static void mix(const struct all *all, cl_uint on, cl_mem from, cl_mem to, cl_uint n,
                cl_event after, cl_event *ret_event)
{
    const size_t global = ITEMS;
    MUST(clSetKernelArg(all->mix, 0, sizeof(cl_mem), &from));
    MUST(clSetKernelArg(all->mix, 1, sizeof(cl_mem), &to));
    MUST(clSetKernelArg(all->mix, 2, sizeof(n), &n));
    MUST(clEnqueueNDRangeKernel(all->queues[on], all->mix, 1, NULL, &global, NULL, after ? 1 : 0,
                                after ? &after : NULL, ret_event));
}

static void show_buffer(const struct all *all, const char *name, cl_uint on, cl_mem memory)
{
    cl_uint items[ITEMS];
    MUST(clEnqueueReadBuffer(all->queues[on], memory, CL_TRUE, 0, BYTES, items, 0, NULL, NULL));
    show(name, items, BYTES);
}

/* By turns, each after the one before. */
static void work(const struct all *all, cl_uint rounds)
{
    cl_mem a = buffer_of(all->context, 1), b = buffer_of(all->context, 2);
    cl_event last = NULL;
    for (cl_uint round = 0; round < rounds; round++) {
        const cl_uint on = round % all->count;
        cl_event event;
        mix(all, on, round % 2 ? b : a, round % 2 ? a : b, round, last, &event);
        MUST(clFlush(all->queues[on]));
        if (last)
            MUST(clReleaseEvent(last));
        last = event;
    }
    MUST(clWaitForEvents(1, &last));
    MUST(clReleaseEvent(last));
    for (cl_uint i = 0; i < all->count; i++) {
        MUST(clFinish(all->queues[i]));
        show_buffer(all, "a", i, a);
        show_buffer(all, "b", i, b);
    }
    MUST(clReleaseMemObject(a));
    MUST(clReleaseMemObject(b));
}

static cl_uint index_of(const struct all *all, cl_device_id device)
{
    cl_uint index = 0;
    while (index < all->count && all->devices[index] != device)
        index++;
    return index;
}

static void tell_devices(const struct all *all, const char *name, const cl_device_id *devices,
                         size_t bytes)
{
    (void)printf("%s", name);
    for (size_t i = 0; i < bytes / sizeof(*devices); i++)
        (void)printf(" %u", index_of(all, devices[i]));
    (void)printf("\n");
}

static void describe(const struct all *all)
{
    cl_device_id found[2 * DEVICES_MAX];
    cl_uint number = 0;
    size_t bytes, sizes[DEVICES_MAX];
    static const cl_device_type types[] = {CL_DEVICE_TYPE_DEFAULT, CL_DEVICE_TYPE_CPU,
                                           CL_DEVICE_TYPE_GPU, CL_DEVICE_TYPE_ALL};
    (void)printf("%u devices\n", all->count);
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        number = 0;
        REPORT("of a type", clGetDeviceIDs(all->platform, types[i], 1, found, &number));
        (void)printf("%u\n", number);
    }
    for (cl_uint i = 0; i < all->count; i++) {
        char text[256] = "";
        cl_uint units = 0;
        cl_platform_id platform = NULL;
        cl_build_status status = CL_BUILD_NONE;
        MUST(clGetDeviceInfo(all->devices[i], CL_DEVICE_NAME, sizeof(text), text, NULL));
        MUST(clGetDeviceInfo(all->devices[i], CL_DEVICE_MAX_COMPUTE_UNITS, sizeof(units), &units,
                             NULL));
        MUST(clGetDeviceInfo(all->devices[i], CL_DEVICE_PLATFORM, sizeof(cl_platform_id), &platform,
                             NULL));
        MUST(clGetProgramBuildInfo(all->program, all->devices[i], CL_PROGRAM_BUILD_STATUS,
                                   sizeof(status), &status, NULL));
        (void)printf("%s, %u units, platform %d, built %d\n", text, units,
                     platform == all->platform, status);
        MUST(clGetCommandQueueInfo(all->queues[i], CL_QUEUE_DEVICE, sizeof(found[0]), found, NULL));
        tell_devices(all, "queue of", found, sizeof(found[0]));
    }
    MUST(clGetContextInfo(all->context, CL_CONTEXT_DEVICES, sizeof(found), found, &bytes));
    tell_devices(all, "context of", found, bytes);
    MUST(clGetProgramInfo(all->program, CL_PROGRAM_DEVICES, sizeof(found), found, &bytes));
    tell_devices(all, "program of", found, bytes);
    MUST(clGetProgramInfo(all->program, CL_PROGRAM_BINARY_SIZES, sizeof(sizes), sizes, &bytes));
    (void)printf("%zu binaries\n", bytes / sizeof(sizes[0]));
}

/* A context that has the last device alone, and what does not go with it. */
static void apart(const struct all *all)
{
    const cl_uint last = all->count - 1;
    cl_device_id twice[] = {all->devices[last], all->devices[0], all->devices[last]}, found[4];
    struct all one = {.platform = all->platform, .count = 1, .devices = {all->devices[last]}};
    cl_context context;
    cl_int code;
    size_t bytes;
    MAKE(one.context, clCreateContext(NULL, 1, one.devices, NULL, NULL, &code));
    MAKE(one.queues[0], clCreateCommandQueue(one.context, one.devices[0], 0, &code));
    MAKE(one.program,
         clCreateProgramWithSource(one.context, 1, (const char **)(uintptr_t)&source, NULL, &code));
    MUST(clBuildProgram(one.program, 1, one.devices, "", NULL, NULL));
    MAKE(one.mix, clCreateKernel(one.program, "stir", &code));
    work(&one, 5);
    cl_mem stranger = buffer_of(one.context, 3);
    REPORT("another's buffer",
           clEnqueueCopyBuffer(all->queues[last], stranger, stranger, 0, 8, 8, 0, NULL, NULL));
    REPORT_CODE("another's device", clCreateCommandQueue(one.context, all->devices[0], 0, &code));
    MAKE(context, clCreateContext(NULL, 3, twice, NULL, NULL, &code));
    MUST(clGetContextInfo(context, CL_CONTEXT_DEVICES, sizeof(found), found, &bytes));
    tell_devices(all, "twice", found, bytes);
    MUST(clReleaseContext(context));
    MAKE(context, clCreateContextFromType(NULL, CL_DEVICE_TYPE_ALL, NULL, NULL, &code));
    MUST(clGetContextInfo(context, CL_CONTEXT_DEVICES, sizeof(found), found, &bytes));
    tell_devices(all, "from type", found, bytes);
}

/* Fills and copies on one device, sub-buffers and maps on the next. */
static void hand_on(const struct all *all)
{
    const cl_uint seven = 7, last = all->count - 1;
    const cl_buffer_region half = {BYTES / 2, BYTES / 2};
    cl_mem a = buffer_of(all->context, 4), b = buffer_of(all->context, 5), part;
    cl_event filled, copied, user;
    cl_int code;
    MAKE(user, clCreateUserEvent(all->context, &code));
    MUST(clEnqueueFillBuffer(all->queues[0], a, &seven, sizeof(seven), 0, BYTES / 4, 1, &user,
                             &filled));
    MUST(
        clEnqueueCopyBuffer(all->queues[last], a, b, 0, BYTES / 2, BYTES / 2, 1, &filled, &copied));
    MUST(clSetUserEventStatus(user, CL_COMPLETE));
    MUST(clEnqueueMigrateMemObjects(all->queues[0], 1, &b, 0, 1, &copied, NULL));
    MAKE(part, clCreateSubBuffer(b, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION, &half, &code));
    cl_uint *items;
    MAKE(items, clEnqueueMapBuffer(all->queues[0], part, CL_TRUE, CL_MAP_READ | CL_MAP_WRITE, 0,
                                   BYTES / 2, 1, &copied, NULL, &code));
    show("mapped", items, BYTES / 2);
    for (cl_uint i = 0; i < ITEMS / 2; i++)
        items[i] += i;
    MUST(clEnqueueUnmapMemObject(all->queues[0], part, items, 0, NULL, NULL));
    MUST(clFinish(all->queues[0]));
    show_buffer(all, "unmapped", last, b);
}

int main(int argc, char **argv)
{
    struct all all = {0};
    open_all(&all);
    if (argc > 1) {
        work(&all, (cl_uint)strtoul(argv[1], NULL, 10));
        return 0;
    }
    describe(&all);
    work(&all, 20);
    hand_on(&all);
    apart(&all);
    return 0;
}
