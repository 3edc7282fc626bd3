/* Parts of a device: what divides it, what parts tell of themselves, and programs for them. Prints
 * codes, numbers and results, so that a run on a card can be compared with one on the device.
 *
 *   subdevices                     the comparison
 *   subdevices turns COUNT         adds on a queue of each part by turns, so often, and says the
 * sum: for a card that leaves its device meanwhile
 *   subdevices across              likewise, across a line on standard input, three times */
#include <string.h>

#include "program.h"

#define PARTS_MAX 8
#define ITEMS 4096u

struct world {
    cl_device_id root;
    cl_device_id parts[PARTS_MAX]; /* 0 and 1: halves; 2: one part of all; 3 and 4: its halves */
    cl_device_partition_property whole[3], half[3];
};

static const char *const source =
    "kernel void add(global int *x, int n) { x[get_global_id(0)] += n; }\n";

static const char *name_of(const struct world *w, cl_device_id device)
{
    static const char *const names[] = {"part 0", "part 1", "part 2", "part 3", "part 4"};
    if (device == w->root)
        return "root";
    for (int i = 0; i < 5; i++)
        if (device == w->parts[i])
            return names[i];
    return device ? "other" : "none";
}

static void try_division(const struct world *w, const char *name,
                         const cl_device_partition_property *properties)
{
    cl_device_id parts[PARTS_MAX] = {0};
    cl_uint count = 99;
    (void)printf("%s:", name);
    (void)printf(" %d", clCreateSubDevices(w->root, properties, 0, NULL, &count));
    (void)printf(" %u,", count);
    count = 99;
    (void)printf(" %d", clCreateSubDevices(w->root, properties, PARTS_MAX, NULL, &count));
    (void)printf(" %u,", count);
    count = 99;
    (void)printf(" %d", clCreateSubDevices(w->root, properties, 1, parts, &count));
    (void)printf(" %u,", count);
    (void)printf(" %d\n", clCreateSubDevices(w->root, properties, PARTS_MAX, parts, NULL));
}

static void divisions(const struct world *w)
{
    static const struct {
        const char *name;
        cl_device_partition_property properties[6];
    } rows[] = {
        {"equally 1", {CL_DEVICE_PARTITION_EQUALLY, 1, 0}},
        {"equally 2", {CL_DEVICE_PARTITION_EQUALLY, 2, 0}},
        {"equally 0", {CL_DEVICE_PARTITION_EQUALLY, 0, 0}},
        {"equally 1000", {CL_DEVICE_PARTITION_EQUALLY, 1000, 0}},
        {"counts 1", {CL_DEVICE_PARTITION_BY_COUNTS, 1, 0, 0}},
        {"counts 1 1", {CL_DEVICE_PARTITION_BY_COUNTS, 1, 1, 0, 0}},
        {"counts 1000", {CL_DEVICE_PARTITION_BY_COUNTS, 1000, 0, 0}},
        {"counts none", {CL_DEVICE_PARTITION_BY_COUNTS, 0, 0}},
        {"numa", {CL_DEVICE_PARTITION_BY_AFFINITY_DOMAIN, CL_DEVICE_AFFINITY_DOMAIN_NUMA, 0}},
        {"next",
         {CL_DEVICE_PARTITION_BY_AFFINITY_DOMAIN, CL_DEVICE_AFFINITY_DOMAIN_NEXT_PARTITIONABLE, 0}},
        {"nothing", {0}},
        {"no such kind", {0x7777, 1, 0}},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        try_division(w, rows[i].name, rows[i].properties);
}

static cl_uint number(cl_device_id device, cl_device_info what)
{
    cl_uint value = 0;
    MUST(clGetDeviceInfo(device, what, sizeof(value), &value, NULL));
    return value;
}

static void show_list(cl_device_id device, const char *name, cl_device_info what)
{
    cl_device_partition_property list[16];
    size_t length;
    MUST(clGetDeviceInfo(device, what, sizeof(list), list, &length));
    (void)printf(" %s", name);
    for (size_t i = 0; i < length / sizeof(list[0]); i++)
        (void)printf(" %lx", (long)list[i]);
}

static void show_device(const struct world *w, cl_device_id device)
{
    cl_device_id parent;
    MUST(clGetDeviceInfo(device, CL_DEVICE_PARENT_DEVICE, sizeof(parent), &parent, NULL));
    (void)printf("%s: units %u most parts %u references %u parent %s", name_of(w, device),
                 number(device, CL_DEVICE_MAX_COMPUTE_UNITS),
                 number(device, CL_DEVICE_PARTITION_MAX_SUB_DEVICES),
                 number(device, CL_DEVICE_REFERENCE_COUNT), name_of(w, parent));
    show_list(device, "properties", CL_DEVICE_PARTITION_PROPERTIES);
    show_list(device, "type", CL_DEVICE_PARTITION_TYPE);
    (void)printf("\n");
}

/* Which questions a part answers otherwise than the whole device. */
static void differences(const struct world *w)
{
    static char a[65536], b[65536];
    for (cl_device_info name = 0x1000; name < 0x1100; name++) {
        size_t length_a = 0, length_b = 0;
        cl_int code_a = clGetDeviceInfo(w->root, name, sizeof(a), a, &length_a);
        cl_int code_b = clGetDeviceInfo(w->parts[0], name, sizeof(b), b, &length_b);
        if (code_a != code_b || length_a != length_b ||
            (code_a == CL_SUCCESS && memcmp(a, b, length_a) != 0))
            (void)printf("differs %x: %d %zu, %d %zu\n", name, code_a, length_a, code_b, length_b);
    }
}

static void divide(struct world *w)
{
    cl_uint count;
    cl_device_id unused[PARTS_MAX];
    MUST(clCreateSubDevices(w->root, w->half, 2, w->parts, &count));
    MUST(clCreateSubDevices(w->root, w->whole, 1, &w->parts[2], &count));
    REPORT("more than a part has", clCreateSubDevices(w->parts[0], w->whole, 1, unused, NULL));
    MUST(clCreateSubDevices(w->parts[2], w->half, 2, &w->parts[3], &count));
    show_device(w, w->root);
    for (int i = 0; i < 5; i++)
        show_device(w, w->parts[i]);
    differences(w);
}

static void try_queues(const struct world *w, cl_context context)
{
    const cl_device_id devices[] = {w->root, w->parts[0], w->parts[1], w->parts[2], w->parts[3]};
    for (size_t i = 0; i < 5; i++) {
        cl_int code;
        cl_device_id device = NULL;
        cl_command_queue queue = clCreateCommandQueue(context, devices[i], 0, &code);
        (void)printf(" %d", code);
        if (!queue)
            continue;
        MUST(clGetCommandQueueInfo(queue, CL_QUEUE_DEVICE, sizeof(device), &device, NULL));
        (void)printf(" %s", name_of(w, device));
        MUST(clReleaseCommandQueue(queue));
    }
    (void)printf("\n");
}

static void show_devices(const struct world *w, const cl_device_id *devices, size_t bytes)
{
    for (size_t i = 0; i < bytes / sizeof(*devices); i++)
        (void)printf(" %s", name_of(w, devices[i]));
}

/* What a built program and its kernel tell about each device. */
static void show_program(const struct world *w, cl_program program)
{
    const cl_device_id devices[] = {w->root, w->parts[0], w->parts[1], w->parts[2], NULL};
    cl_device_id of[PARTS_MAX];
    size_t bytes, sizes[PARTS_MAX] = {0}, group = 0;
    cl_int code;
    MUST(clGetProgramInfo(program, CL_PROGRAM_DEVICES, sizeof(of), of, &bytes));
    show_devices(w, of, bytes);
    MUST(clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof(sizes), sizes, &bytes));
    for (size_t i = 0; i < bytes / sizeof(size_t); i++)
        (void)printf(" binary %d", sizes[i] > 0);
    cl_kernel kernel;
    MAKE(kernel, clCreateKernel(program, "add", &code));
    for (int i = 0; i < 5; i++) {
        cl_build_status status = 99;
        if (devices[i]) {
            (void)printf(" %d", clGetProgramBuildInfo(program, devices[i], CL_PROGRAM_BUILD_STATUS,
                                                      sizeof(status), &status, NULL));
            (void)printf(" %d", status);
        }
        (void)printf(" %d", clGetKernelWorkGroupInfo(kernel, devices[i], CL_KERNEL_WORK_GROUP_SIZE,
                                                     sizeof(group), &group, NULL));
        (void)printf(" %zu", group);
    }
    MUST(clReleaseKernel(kernel));
    (void)printf("\n");
}

static cl_program build(cl_context context, cl_device_id device)
{
    cl_int code;
    cl_program program;
    MAKE(program, clCreateProgramWithSource(context, 1, (const char **)&source, NULL, &code));
    REPORT("build", clBuildProgram(program, 1, &device, "", NULL, NULL));
    return program;
}

/* Its binaries again, for the devices that it says they are for. */
static void try_binaries(const struct world *w, cl_context context, cl_program program)
{
    size_t lengths[PARTS_MAX], bytes;
    unsigned char *binaries[PARTS_MAX];
    cl_device_id devices[PARTS_MAX];
    cl_int code, status[PARTS_MAX] = {1, 1, 1};
    cl_uint count;
    MUST(clGetProgramInfo(program, CL_PROGRAM_NUM_DEVICES, sizeof(count), &count, NULL));
    MUST(clGetProgramInfo(program, CL_PROGRAM_DEVICES, sizeof(devices), devices, NULL));
    MUST(clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof(lengths), lengths, NULL));
    for (cl_uint i = 0; i < count; i++)
        binaries[i] = lengths[i] ? malloc(lengths[i]) : NULL;
    MUST(clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof(binaries), binaries, &bytes));
    cl_uint given = 0;
    for (cl_uint i = 0; i < count; i++)
        if (lengths[i]) {
            lengths[given] = lengths[i];
            devices[given] = devices[i];
            binaries[given++] = binaries[i];
        }
    cl_program loaded = clCreateProgramWithBinary(context, given, devices, lengths,
                                                  (const unsigned char **)binaries, status, &code);
    (void)printf("%u binaries %zu: %d %d %d\n", given, bytes / sizeof(*binaries), code, status[0],
                 status[1]);
    must(code, "binary");
    REPORT("build", clBuildProgram(loaded, 0, NULL, "", NULL, NULL));
    show_program(w, loaded);
    MUST(clReleaseProgram(loaded));
    for (cl_uint i = 0; i < given; i++)
        free(binaries[i]);
}

static void try_steps(const struct world *w, cl_context context, cl_uint count,
                      const cl_device_id *devices)
{
    cl_int code;
    cl_program compiled, linked;
    MAKE(compiled,
         clCreateProgramWithSource(context, 1, (const char **)(uintptr_t)&source, NULL, &code));
    REPORT("compile", clCompileProgram(compiled, count, devices, "", 0, NULL, NULL, NULL, NULL));
    REPORT_CODE("link", linked = clLinkProgram(context, count, devices, "", 1, &compiled, NULL,
                                               NULL, &code));
    show_program(w, linked);
    MUST(clReleaseProgram(compiled));
    MUST(clReleaseProgram(linked));
}

/* Work on a queue of `device`, over what the queue before it left; a sum, or why there is no
 * queue. */
static cl_int add_on(cl_context context, cl_device_id device, cl_kernel kernel, cl_mem memory,
                     cl_int n)
{
    cl_int code, first;
    cl_command_queue queue = clCreateCommandQueue(context, device, 0, &code);
    if (!queue)
        return code;
    MUST(clSetKernelArg(kernel, 0, sizeof(memory), &memory));
    MUST(clSetKernelArg(kernel, 1, sizeof(n), &n));
    const size_t global = ITEMS;
    MUST(clEnqueueNDRangeKernel(queue, kernel, 1, NULL, &global, NULL, 0, NULL, NULL));
    MUST(clEnqueueReadBuffer(queue, memory, CL_TRUE, sizeof(first) * (ITEMS - 1), sizeof(first),
                             &first, 0, NULL, NULL));
    MUST(clReleaseCommandQueue(queue));
    return first;
}

static void work(const struct world *w, cl_context context, cl_program program)
{
    static const cl_int zeros[ITEMS];
    const cl_device_id devices[] = {w->parts[0], w->parts[1], w->parts[2], w->root};
    cl_int code;
    cl_kernel kernel;
    cl_mem memory;
    MAKE(kernel, clCreateKernel(program, "add", &code));
    MAKE(memory,
         clCreateBuffer(context, CL_MEM_COPY_HOST_PTR, sizeof(zeros), (void *)zeros, &code));
    for (int i = 0; i < 4; i++)
        (void)printf(" %d", add_on(context, devices[i], kernel, memory, i + 1));
    (void)printf("\n");
    MUST(clReleaseMemObject(memory));
    MUST(clReleaseKernel(kernel));
}

static void contexts(const struct world *w)
{
    const struct {
        cl_uint count;
        cl_device_id devices[2];
    } rows[] = {{1, {w->parts[0]}},
                {2, {w->parts[0], w->parts[1]}},
                {2, {w->root, w->parts[0]}},
                {2, {w->parts[3], w->parts[1]}},
                {2, {w->parts[0], w->parts[0]}},
                {2, {w->root, w->root}}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cl_int code;
        cl_uint count;
        cl_device_id devices[PARTS_MAX];
        size_t bytes;
        cl_context context =
            clCreateContext(NULL, rows[i].count, rows[i].devices, NULL, NULL, &code);
        (void)printf("context of%s,%s: %d", name_of(w, rows[i].devices[0]),
                     name_of(w, rows[i].devices[1]), code);
        must(code, "context");
        MUST(clGetContextInfo(context, CL_CONTEXT_NUM_DEVICES, sizeof(count), &count, NULL));
        MUST(clGetContextInfo(context, CL_CONTEXT_DEVICES, sizeof(devices), devices, &bytes));
        (void)printf(" %u", count);
        show_devices(w, devices, bytes);
        try_queues(w, context);
        cl_program program = build(context, rows[i].devices[0]);
        show_program(w, program);
        try_binaries(w, context, program);
        REPORT("build for all",
               clBuildProgram(program, rows[i].count, rows[i].devices, "", NULL, NULL));
        show_program(w, program);
        work(w, context, program);
        try_binaries(w, context, program);
        if (i < 2) { /* compiling takes long */
            try_steps(w, context, rows[i].count, rows[i].devices);
            try_steps(w, context, 0, NULL);
        }
        MUST(clReleaseProgram(program));
        MUST(clReleaseContext(context));
    }
}

static void references(const struct world *w)
{
    (void)printf("references %u", number(w->parts[0], CL_DEVICE_REFERENCE_COUNT));
    MUST(clRetainDevice(w->parts[0]));
    (void)printf(" %u", number(w->parts[0], CL_DEVICE_REFERENCE_COUNT));
    MUST(clReleaseDevice(w->parts[0]));
    (void)printf(" %u", number(w->parts[0], CL_DEVICE_REFERENCE_COUNT));
    (void)printf(" root %d %u %d\n", clRetainDevice(w->root),
                 number(w->root, CL_DEVICE_REFERENCE_COUNT), clReleaseDevice(w->root));
    for (int i = 4; i >= 0; i--)
        REPORT("release", clReleaseDevice(w->parts[i]));
}

/* `rest`: so many turns, then the line; 0: never. */
static void turns(struct world *w, unsigned count, unsigned rest)
{
    static const cl_int zeros[ITEMS];
    cl_int code, sum = 0;
    cl_context context;
    cl_mem memory;
    cl_kernel kernel;
    MUST(clCreateSubDevices(w->root, w->whole, 1, &w->parts[2], NULL));
    MUST(clCreateSubDevices(w->parts[2], w->half, 2, w->parts, NULL));
    MAKE(context, clCreateContext(NULL, 2, w->parts, NULL, NULL, &code));
    cl_program program = build(context, w->parts[0]);
    MAKE(kernel, clCreateKernel(program, "add", &code));
    MAKE(memory,
         clCreateBuffer(context, CL_MEM_COPY_HOST_PTR, sizeof(zeros), (void *)zeros, &code));
    for (unsigned i = 0; i < count; i++) {
        sum = add_on(context, w->parts[i % 2], kernel, memory, (cl_int)(i % 3));
        if (rest && i % rest == rest - 1)
            await_line();
    }
    (void)printf("sum %d of %u, units %u %u\n", sum, count,
                 number(w->parts[0], CL_DEVICE_MAX_COMPUTE_UNITS),
                 number(w->parts[1], CL_DEVICE_MAX_COMPUTE_UNITS));
}

int main(int argc, char **argv)
{
    struct world w = {0};
    MUST(clReleaseContext(open_device(&w.root)));
    const cl_uint units = number(w.root, CL_DEVICE_MAX_COMPUTE_UNITS);
    w.whole[0] = w.half[0] = CL_DEVICE_PARTITION_EQUALLY;
    w.whole[1] = units;
    w.half[1] = units / 2;
    if (argc > 1) {
        turns(&w, argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 32, argc > 2 ? 0 : 10);
        return 0;
    }
    divisions(&w);
    if (units < 2)
        return 0;
    divide(&w);
    contexts(&w);
    references(&w);
    return 0;
}
