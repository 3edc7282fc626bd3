/* Wrong calls, and right ones at the edge: prints one line "name code" a call. A card answers like
 * the device itself. */
#define CL_USE_DEPRECATED_OPENCL_1_1_APIS
#include <CL/cl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIZE 4096
#define REPORT(name, call) (void)printf("%s %d\n", name, (int)(call))
/* A call that gives an object, and its code through the caller's `code`. */
#define REPORT_CODE(name, call) (code = 1, (void)(call), REPORT(name, code))

struct world {
    cl_platform_id platform;
    cl_device_id device;
    cl_context context, other;
    cl_command_queue queue, profiling;
    cl_program program;
    cl_kernel kernel;
    cl_mem a, b;
};

static const char *const source =
    "kernel void sum(global int *x, local int *l, const int n, const float4 v, constant int *c)\n"
    "{ x[get_global_id(0)] = n + l[0] + c[0] + (int)v.x; }\n"
    "kernel __attribute__((reqd_work_group_size(4, 1, 1))) void fixed(global int *x) { x[0] = 1; "
    "}\n";

static void must(cl_int code, const char *what)
{
    if (code == CL_SUCCESS)
        return;
    (void)fprintf(stderr, "%s: %d\n", what, (int)code);
    exit(2);
}

static void open_world(struct world *w)
{
    cl_int code;
    must(clGetPlatformIDs(1, &w->platform, NULL), "platform");
    must(clGetDeviceIDs(w->platform, CL_DEVICE_TYPE_ALL, 1, &w->device, NULL), "device");
    w->context = clCreateContext(NULL, 1, &w->device, NULL, NULL, &code);
    must(code, "context");
    w->other = clCreateContext(NULL, 1, &w->device, NULL, NULL, &code);
    must(code, "context");
    w->queue = clCreateCommandQueue(w->context, w->device, 0, &code);
    must(code, "queue");
    w->profiling = clCreateCommandQueue(w->context, w->device, CL_QUEUE_PROFILING_ENABLE, &code);
    must(code, "queue");
    w->a = clCreateBuffer(w->context, CL_MEM_READ_WRITE, SIZE, NULL, &code);
    must(code, "buffer");
    w->b = clCreateBuffer(w->context, CL_MEM_READ_WRITE, SIZE, NULL, &code);
    must(code, "buffer");
    w->program = clCreateProgramWithSource(w->context, 1, (const char **)&source, NULL, &code);
    must(code, "program");
    REPORT_CODE("kernel before build", clCreateKernel(w->program, "sum", &code));
    must(clBuildProgram(w->program, 0, NULL, "", NULL, NULL), "build");
    w->kernel = clCreateKernel(w->program, "sum", &code);
    must(code, "kernel");
}

static void platforms_and_devices(struct world *w)
{
    char small[2];
    size_t size = 0;
    cl_uint count;
    REPORT("platform ids: nothing", clGetPlatformIDs(0, NULL, NULL));
    REPORT("device ids: none of",
           clGetDeviceIDs(w->platform, CL_DEVICE_TYPE_CUSTOM, 0, NULL, &count));
    REPORT("device ids: bad type", clGetDeviceIDs(w->platform, 1u << 20, 0, NULL, &count));
    REPORT("device ids: nothing", clGetDeviceIDs(w->platform, CL_DEVICE_TYPE_ALL, 0, NULL, NULL));
    REPORT("device ids: no entries",
           clGetDeviceIDs(w->platform, CL_DEVICE_TYPE_ALL, 0, &w->device, NULL));
    REPORT("platform info: bad name", clGetPlatformInfo(w->platform, 0x1, 0, NULL, &size));
    REPORT("platform info: small",
           clGetPlatformInfo(w->platform, CL_PLATFORM_NAME, 2, small, NULL));
    REPORT("device info: bad name", clGetDeviceInfo(w->device, 0x9999, 0, NULL, &size));
    REPORT("device info: small", clGetDeviceInfo(w->device, CL_DEVICE_NAME, 2, small, NULL));
    REPORT("device info: small, size only",
           clGetDeviceInfo(w->device, CL_DEVICE_NAME, 2, NULL, &size));
    REPORT("device info: null device", clGetDeviceInfo(NULL, CL_DEVICE_NAME, 0, NULL, &size));
    const cl_device_partition_property unknown[] = {1, 1, 0};
    cl_device_id part;
    REPORT("sub devices: no property", clCreateSubDevices(w->device, NULL, 1, &part, &count));
    REPORT("sub devices: bad property", clCreateSubDevices(w->device, unknown, 1, &part, &count));
    REPORT("retain device", clRetainDevice(w->device));
    REPORT("release device", clReleaseDevice(w->device));
}

static void contexts(struct world *w)
{
    cl_int code;
    size_t size;
    cl_context_properties twice[] = {CL_CONTEXT_PLATFORM, (cl_context_properties)w->platform,
                                     CL_CONTEXT_PLATFORM, (cl_context_properties)w->platform, 0};
    cl_context_properties unknown[] = {0x7777, 1, 0};
    REPORT_CODE("context: no device", clCreateContext(NULL, 0, NULL, NULL, NULL, &code));
    REPORT_CODE("context: user data only", clCreateContext(NULL, 1, &w->device, NULL, w, &code));
    REPORT_CODE("context: property twice",
                clCreateContext(twice, 1, &w->device, NULL, NULL, &code));
    REPORT_CODE("context: unknown property",
                clCreateContext(unknown, 1, &w->device, NULL, NULL, &code));
    REPORT("context info: bad name", clGetContextInfo(w->context, 0x1, 0, NULL, &size));
    REPORT("context info: small", clGetContextInfo(w->context, CL_CONTEXT_DEVICES, 1, &size, NULL));
    REPORT("context info: properties",
           clGetContextInfo(w->context, CL_CONTEXT_PROPERTIES, 0, NULL, &size));
    REPORT("context info: properties size", size);
    REPORT("release context: null", clReleaseContext(NULL));
}

static void queues(struct world *w)
{
    cl_int code;
    size_t size;
    REPORT_CODE("queue: bad properties",
                clCreateCommandQueue(w->context, w->device, 1u << 20, &code));
    REPORT_CODE("queue: null context", clCreateCommandQueue(NULL, w->device, 0, &code));
    REPORT_CODE("queue: null device", clCreateCommandQueue(w->context, NULL, 0, &code));
    REPORT("queue info: bad name", clGetCommandQueueInfo(w->queue, 0x1, 0, NULL, &size));
    REPORT("flush: null", clFlush(NULL));
    REPORT("finish: null", clFinish(NULL));
    REPORT("finish: idle", clFinish(w->queue));
    REPORT("marker: no event", clEnqueueMarker(w->queue, NULL));
    REPORT("barrier", clEnqueueBarrier(w->queue));
    REPORT("wait for no events", clWaitForEvents(0, NULL));
}

static void buffers(struct world *w)
{
    cl_int code;
    char host[64] = {0};
    size_t size;
    cl_ulong most = 0;
    cl_mem_flags both = CL_MEM_READ_ONLY | CL_MEM_WRITE_ONLY;
    (void)clGetDeviceInfo(w->device, CL_DEVICE_MAX_MEM_ALLOC_SIZE, sizeof(most), &most, NULL);
    REPORT_CODE("buffer: size 0", clCreateBuffer(w->context, CL_MEM_READ_WRITE, 0, NULL, &code));
    REPORT_CODE("buffer: too large",
                clCreateBuffer(w->context, CL_MEM_READ_WRITE, most + 1, NULL, &code));
    REPORT_CODE("buffer: both accesses", clCreateBuffer(w->context, both, 64, NULL, &code));
    REPORT_CODE("buffer: unknown flag", clCreateBuffer(w->context, 1u << 30, 64, NULL, &code));
    REPORT_CODE("buffer: pointer without flag", clCreateBuffer(w->context, 0, 64, host, &code));
    REPORT_CODE("buffer: flag without pointer",
                clCreateBuffer(w->context, CL_MEM_COPY_HOST_PTR, 64, NULL, &code));
    REPORT_CODE(
        "buffer: use and copy",
        clCreateBuffer(w->context, CL_MEM_COPY_HOST_PTR | CL_MEM_USE_HOST_PTR, 64, host, &code));
    REPORT_CODE(
        "buffer: use and alloc",
        clCreateBuffer(w->context, CL_MEM_ALLOC_HOST_PTR | CL_MEM_USE_HOST_PTR, 64, host, &code));
    REPORT_CODE("buffer: null context", clCreateBuffer(NULL, 0, 64, NULL, &code));
    REPORT("memory info: bad name", clGetMemObjectInfo(w->a, 0x1, 0, NULL, &size));
    REPORT("memory info: small", clGetMemObjectInfo(w->a, CL_MEM_SIZE, 1, host, NULL));
    REPORT("release memory: null", clReleaseMemObject(NULL));
    REPORT("retain memory: null", clRetainMemObject(NULL));
    REPORT("farewell: null", clSetMemObjectDestructorCallback(w->a, NULL, NULL));
}

static void sub_buffers(struct world *w)
{
    cl_buffer_region good = {0, 64}, empty = {0, 0}, out = {SIZE - 32, 64}, crooked = {3, 64};
    cl_int code = 0;
    cl_mem reader = clCreateBuffer(w->context, CL_MEM_READ_ONLY, SIZE, NULL, &code);
    cl_mem sub = clCreateSubBuffer(w->a, 0, CL_BUFFER_CREATE_TYPE_REGION, &good, &code);
    REPORT("sub-buffer", code);
    REPORT_CODE("sub-buffer: of a sub-buffer",
                clCreateSubBuffer(sub, 0, CL_BUFFER_CREATE_TYPE_REGION, &good, &code));
    REPORT_CODE("sub-buffer: empty",
                clCreateSubBuffer(w->a, 0, CL_BUFFER_CREATE_TYPE_REGION, &empty, &code));
    REPORT_CODE("sub-buffer: outside",
                clCreateSubBuffer(w->a, 0, CL_BUFFER_CREATE_TYPE_REGION, &out, &code));
    REPORT_CODE("sub-buffer: misaligned",
                clCreateSubBuffer(w->a, 0, CL_BUFFER_CREATE_TYPE_REGION, &crooked, &code));
    REPORT_CODE("sub-buffer: bad type", clCreateSubBuffer(w->a, 0, 0x1, &good, &code));
    REPORT_CODE("sub-buffer: no region",
                clCreateSubBuffer(w->a, 0, CL_BUFFER_CREATE_TYPE_REGION, NULL, &code));
    REPORT_CODE(
        "sub-buffer: writes a reader",
        clCreateSubBuffer(reader, CL_MEM_WRITE_ONLY, CL_BUFFER_CREATE_TYPE_REGION, &good, &code));
    REPORT_CODE(
        "sub-buffer: host pointer flag",
        clCreateSubBuffer(w->a, CL_MEM_COPY_HOST_PTR, CL_BUFFER_CREATE_TYPE_REGION, &good, &code));
    (void)clReleaseMemObject(sub);
    (void)clReleaseMemObject(reader);
}

static void programs(struct world *w)
{
    cl_int code = 0;
    size_t size = 16;
    cl_uint count;
    const char *bad = "kernel void f( { }", *none = NULL;
    unsigned char junk[16] = {1, 2, 3};
    const unsigned char *binary = junk;
    cl_kernel kernels[1];
    cl_program broken = clCreateProgramWithSource(w->context, 1, &bad, NULL, &code);
    REPORT("build: broken", clBuildProgram(broken, 0, NULL, "", NULL, NULL));
    cl_build_status status = 0;
    (void)clGetProgramBuildInfo(broken, w->device, CL_PROGRAM_BUILD_STATUS, sizeof(status), &status,
                                NULL);
    REPORT("build: status of a broken one", status);
    REPORT_CODE("kernel of a broken program", clCreateKernel(broken, "f", &code));
    REPORT("kernel names of a broken program",
           clGetProgramInfo(broken, CL_PROGRAM_KERNEL_NAMES, 0, NULL, &size));
    (void)clReleaseProgram(broken);
    REPORT_CODE("program: no strings", clCreateProgramWithSource(w->context, 0, NULL, NULL, &code));
    REPORT_CODE("program: null string",
                clCreateProgramWithSource(w->context, 1, &none, NULL, &code));
    REPORT_CODE("program: junk binary",
                clCreateProgramWithBinary(w->context, 1, &w->device, &size, &binary, NULL, &code));
    REPORT_CODE("program: no binary",
                clCreateProgramWithBinary(w->context, 1, &w->device, NULL, NULL, NULL, &code));
    REPORT("build: with kernels attached", clBuildProgram(w->program, 0, NULL, "", NULL, NULL));
    REPORT("build: list without count", clBuildProgram(w->program, 0, &w->device, "", NULL, NULL));
    REPORT("build: count without list", clBuildProgram(w->program, 1, NULL, "", NULL, NULL));
    REPORT("build: user data only", clBuildProgram(w->program, 0, NULL, "", NULL, w));
    REPORT("build: null", clBuildProgram(NULL, 0, NULL, "", NULL, NULL));
    REPORT("program info: bad name", clGetProgramInfo(w->program, 0x1, 0, NULL, &size));
    REPORT("build info: bad name",
           clGetProgramBuildInfo(w->program, w->device, 0x1, 0, NULL, &size));
    REPORT("build info: null device",
           clGetProgramBuildInfo(w->program, NULL, CL_PROGRAM_BUILD_LOG, 0, NULL, &size));
    REPORT("kernels: room for one", clCreateKernelsInProgram(w->program, 1, kernels, &count));
}

static void kernels(struct world *w)
{
    cl_int code;
    size_t size;
    int n = 1;
    cl_mem none = NULL;
    void *junk = malloc(512);
    memset(junk, 0, 512);
    REPORT_CODE("kernel: no such name", clCreateKernel(w->program, "nobody", &code));
    REPORT_CODE("kernel: null name", clCreateKernel(w->program, NULL, &code));
    REPORT("arg: index", clSetKernelArg(w->kernel, 9, 4, &n));
    REPORT("arg: size of an int", clSetKernelArg(w->kernel, 2, 8, &n));
    REPORT("arg: size 0 of an int", clSetKernelArg(w->kernel, 2, 0, &n));
    REPORT("arg: null int", clSetKernelArg(w->kernel, 2, 4, NULL));
    REPORT("arg: size of a vector", clSetKernelArg(w->kernel, 3, 4, &n));
    REPORT("arg: local with a value", clSetKernelArg(w->kernel, 1, 16, &n));
    REPORT("arg: local of size 0", clSetKernelArg(w->kernel, 1, 0, NULL));
    REPORT("arg: size of a buffer", clSetKernelArg(w->kernel, 0, 4, &w->a));
    REPORT("arg: null pointer to a buffer", clSetKernelArg(w->kernel, 0, sizeof(cl_mem), NULL));
    REPORT("arg: null buffer", clSetKernelArg(w->kernel, 0, sizeof(cl_mem), &none));
    REPORT("arg: constant buffer", clSetKernelArg(w->kernel, 4, sizeof(cl_mem), &w->b));
    REPORT("arg: null kernel", clSetKernelArg(NULL, 0, 4, &n));
    REPORT("kernel info: bad name", clGetKernelInfo(w->kernel, 0x1, 0, NULL, &size));
    REPORT("kernel info: small", clGetKernelInfo(w->kernel, CL_KERNEL_FUNCTION_NAME, 1, &n, NULL));
    REPORT("arg info: index", clGetKernelArgInfo(w->kernel, 9, CL_KERNEL_ARG_NAME, 0, NULL, &size));
    REPORT("arg info: bad name", clGetKernelArgInfo(w->kernel, 0, 0x1, 0, NULL, &size));
    REPORT("work group info: bad name",
           clGetKernelWorkGroupInfo(w->kernel, w->device, 0x1, 0, NULL, &size));
    REPORT("work group info: null device",
           clGetKernelWorkGroupInfo(w->kernel, NULL, CL_KERNEL_WORK_GROUP_SIZE, 0, NULL, &size));
    REPORT(
        "work group info: global size",
        clGetKernelWorkGroupInfo(w->kernel, w->device, CL_KERNEL_GLOBAL_WORK_SIZE, 0, NULL, &size));
    free(junk);
}

#define LAUNCH(kernel, dims, offset, global, local) \
    clEnqueueNDRangeKernel(w->queue, kernel, dims, offset, global, local, 0, NULL, NULL)

static void launches(struct world *w)
{
    cl_int code = 0;
    cl_kernel fresh = clCreateKernel(w->program, "sum", &code);
    cl_kernel fixed = clCreateKernel(w->program, "fixed", &code);
    cl_float4 vector = {{0}};
    int n = 1;
    const size_t eight = 8, three = 3, huge = 1 << 20, four = 4;
    const size_t box[3] = {8, 1, 1}, wide[3] = {1 << 16, 1, 1};
    REPORT("launch: no arguments", LAUNCH(fresh, 1, NULL, &eight, NULL));
    (void)clSetKernelArg(fresh, 0, sizeof(cl_mem), &w->a);
    (void)clSetKernelArg(fresh, 1, 64, NULL);
    (void)clSetKernelArg(fresh, 2, 4, &n);
    (void)clSetKernelArg(fresh, 3, 16, &vector);
    REPORT("launch: one argument missing", LAUNCH(fresh, 1, NULL, &eight, NULL));
    (void)clSetKernelArg(fresh, 4, sizeof(cl_mem), &w->b);
    (void)clSetKernelArg(fixed, 0, sizeof(cl_mem), &w->a);
    REPORT("launch", LAUNCH(fresh, 1, NULL, &eight, NULL));
    REPORT("launch: 0 dimensions", LAUNCH(fresh, 0, NULL, &eight, NULL));
    REPORT("launch: 4 dimensions", LAUNCH(fresh, 4, NULL, &eight, NULL));
    REPORT("launch: 3 dimensions", LAUNCH(fresh, 3, NULL, box, NULL));
    REPORT("launch: no size", LAUNCH(fresh, 1, NULL, NULL, NULL));
    REPORT("launch: uneven groups", LAUNCH(fresh, 1, NULL, &eight, &three));
    REPORT("launch: local too large", LAUNCH(fresh, 1, NULL, &huge, &huge));
    REPORT("launch: local much too large", LAUNCH(fresh, 3, NULL, wide, wide));
    REPORT("launch: required group", LAUNCH(fixed, 1, NULL, &eight, &four));
    REPORT("launch: another group", LAUNCH(fixed, 1, NULL, &eight, &eight));
    REPORT("launch: null queue",
           clEnqueueNDRangeKernel(NULL, fresh, 1, NULL, &eight, NULL, 0, NULL, NULL));
    REPORT("task", clEnqueueTask(w->queue, fresh, 0, NULL, NULL));
    REPORT("finish", clFinish(w->queue));
    (void)clReleaseKernel(fresh);
    (void)clReleaseKernel(fixed);
}

static void transfers(struct world *w)
{
    char host[SIZE];
    cl_int code = 0;
    cl_mem hidden = clCreateBuffer(w->context, CL_MEM_HOST_NO_ACCESS, 64, NULL, &code);
    cl_mem foreign = clCreateBuffer(w->other, 0, 64, NULL, &code);
    memset(host, 0, sizeof(host));
#define READ(mem, offset, size, ptr) \
    clEnqueueReadBuffer(w->queue, mem, CL_TRUE, offset, size, ptr, 0, NULL, NULL)
#define WRITE(mem, offset, size, ptr) \
    clEnqueueWriteBuffer(w->queue, mem, CL_TRUE, offset, size, ptr, 0, NULL, NULL)
    REPORT("read: all", READ(w->a, 0, SIZE, host));
    REPORT("read: past the end", READ(w->a, 1, SIZE, host));
    REPORT("read: far", READ(w->a, (size_t)-1, 2, host));
    REPORT("read: size 0", READ(w->a, 0, 0, host));
    REPORT("read: null", READ(w->a, 0, 4, NULL));
    REPORT("read: hidden", READ(hidden, 0, 4, host));
    REPORT("read: foreign", READ(foreign, 0, 4, host));
    REPORT("read: no buffer", READ(NULL, 0, 4, host));
    REPORT("write: past the end", WRITE(w->a, SIZE, 1, host));
    REPORT("write: size 0", WRITE(w->a, 0, 0, host));
    REPORT("write: null", WRITE(w->a, 0, 4, NULL));
    REPORT("write: hidden", WRITE(hidden, 0, 4, host));
    REPORT("copy: overlap", clEnqueueCopyBuffer(w->queue, w->a, w->a, 0, 8, 16, 0, NULL, NULL));
    REPORT("copy: apart", clEnqueueCopyBuffer(w->queue, w->a, w->a, 0, 64, 16, 0, NULL, NULL));
    REPORT("copy: size 0", clEnqueueCopyBuffer(w->queue, w->a, w->b, 0, 0, 0, 0, NULL, NULL));
    REPORT("copy: past the end",
           clEnqueueCopyBuffer(w->queue, w->a, w->b, 0, SIZE - 8, 16, 0, NULL, NULL));
    REPORT("copy: foreign", clEnqueueCopyBuffer(w->queue, w->a, foreign, 0, 0, 4, 0, NULL, NULL));
    REPORT("fill", clEnqueueFillBuffer(w->queue, w->a, host, 4, 0, 64, 0, NULL, NULL));
    REPORT("fill: odd pattern", clEnqueueFillBuffer(w->queue, w->a, host, 3, 0, 63, 0, NULL, NULL));
    REPORT("fill: crooked offset",
           clEnqueueFillBuffer(w->queue, w->a, host, 4, 2, 64, 0, NULL, NULL));
    REPORT("fill: crooked size",
           clEnqueueFillBuffer(w->queue, w->a, host, 4, 0, 62, 0, NULL, NULL));
    REPORT("fill: large pattern",
           clEnqueueFillBuffer(w->queue, w->a, host, 256, 0, 256, 0, NULL, NULL));
    REPORT("fill: null", clEnqueueFillBuffer(w->queue, w->a, NULL, 4, 0, 64, 0, NULL, NULL));
    REPORT("fill: past the end",
           clEnqueueFillBuffer(w->queue, w->a, host, 4, SIZE, 4, 0, NULL, NULL));
    REPORT("migrate", clEnqueueMigrateMemObjects(w->queue, 1, &w->a, 0, 0, NULL, NULL));
    REPORT("migrate: nothing", clEnqueueMigrateMemObjects(w->queue, 0, NULL, 0, 0, NULL, NULL));
    REPORT("migrate: bad flags",
           clEnqueueMigrateMemObjects(w->queue, 1, &w->a, 1u << 20, 0, NULL, NULL));
    (void)clFinish(w->queue);
    (void)clReleaseMemObject(hidden);
    (void)clReleaseMemObject(foreign);
}

static cl_int read_rect(struct world *w, const size_t *origin, const size_t *size, size_t row,
                        size_t slice, size_t host_row)
{
    static char host[SIZE];
    const size_t zero[3] = {0, 0, 0};
    return clEnqueueReadBufferRect(w->queue, w->a, CL_TRUE, origin, zero, size, row, slice,
                                   host_row, 0, host, 0, NULL, NULL);
}

static void boxes(struct world *w)
{
    const size_t zero[3] = {0, 0, 0}, small[3] = {8, 4, 2}, empty[3] = {8, 0, 1};
    const size_t tall[3] = {64, 65, 1}, far[3] = {(size_t)-1, 1, 1}, near[3] = {4, 0, 0};
    REPORT("box: read", read_rect(w, zero, small, 64, 0, 0));
    REPORT("box: empty", read_rect(w, zero, empty, 0, 0, 0));
    REPORT("box: past the end", read_rect(w, zero, tall, 64, 0, 0));
    REPORT("box: far", read_rect(w, far, small, 64, 0, 0));
    REPORT("box: short row", read_rect(w, zero, small, 4, 0, 0));
    REPORT("box: short host row", read_rect(w, zero, small, 0, 0, 4));
    REPORT("box: short slice", read_rect(w, zero, small, 64, 65, 0));
    REPORT("box: odd slice", read_rect(w, zero, small, 64, 300, 0));
    REPORT("box: copy onto itself", clEnqueueCopyBufferRect(w->queue, w->a, w->a, zero, near, small,
                                                            64, 0, 64, 0, 0, NULL, NULL));
    REPORT("box: copy", clEnqueueCopyBufferRect(w->queue, w->a, w->b, zero, near, small, 64, 0, 64,
                                                0, 0, NULL, NULL));
    REPORT("box: other pitches in one buffer",
           clEnqueueCopyBufferRect(w->queue, w->a, w->a, zero, near, small, 64, 0, 32, 0, 0, NULL,
                                   NULL));
    (void)clFinish(w->queue);
}

static void maps(struct world *w)
{
    cl_int code = 0;
    cl_mem hidden = clCreateBuffer(w->context, CL_MEM_HOST_NO_ACCESS, 64, NULL, &code);
    char elsewhere[4];
#define MAP(mem, flags, offset, size) \
    clEnqueueMapBuffer(w->queue, mem, CL_TRUE, flags, offset, size, 0, NULL, NULL, &code)
    REPORT_CODE("map: past the end", MAP(w->a, CL_MAP_READ, 1, SIZE));
    REPORT_CODE("map: size 0", MAP(w->a, CL_MAP_READ, 0, 0));
    REPORT_CODE("map: bad flags", MAP(w->a, 1u << 20, 0, 64));
    REPORT_CODE("map: hidden", MAP(hidden, CL_MAP_READ, 0, 64));
    REPORT("unmap: elsewhere", clEnqueueUnmapMemObject(w->queue, w->a, elsewhere, 0, NULL, NULL));
    void *there = MAP(w->a, CL_MAP_READ | CL_MAP_WRITE, 64, 64);
    REPORT("map", code);
    REPORT("unmap", clEnqueueUnmapMemObject(w->queue, w->a, there, 0, NULL, NULL));
    REPORT("unmap: again", clEnqueueUnmapMemObject(w->queue, w->a, there, 0, NULL, NULL));
    (void)clFinish(w->queue);
    (void)clReleaseMemObject(hidden);
}

static void events(struct world *w)
{
    cl_int code = 0;
    cl_event user = clCreateUserEvent(w->context, &code), marker = NULL, timed = NULL;
    cl_ulong when;
    size_t size;
    REPORT("user event", code);
    REPORT("user event: profiling",
           clGetEventProfilingInfo(user, CL_PROFILING_COMMAND_END, sizeof(when), &when, NULL));
    REPORT("user event: positive status", clSetUserEventStatus(user, 1));
    REPORT("user event: set", clSetUserEventStatus(user, CL_COMPLETE));
    REPORT("user event: set again", clSetUserEventStatus(user, CL_COMPLETE));
    REPORT("wait: user event", clWaitForEvents(1, &user));
    REPORT("marker", clEnqueueMarker(w->queue, &marker));
    REPORT("marker: list without count", clEnqueueMarkerWithWaitList(w->queue, 0, &marker, NULL));
    REPORT("marker: count without list", clEnqueueMarkerWithWaitList(w->queue, 1, NULL, NULL));
    REPORT("marker: set status", clSetUserEventStatus(marker, CL_COMPLETE));
    (void)clFinish(w->queue);
    REPORT("profiling: not asked for",
           clGetEventProfilingInfo(marker, CL_PROFILING_COMMAND_END, sizeof(when), &when, NULL));
    (void)clEnqueueMarker(w->profiling, &timed);
    (void)clFinish(w->profiling);
    REPORT("profiling",
           clGetEventProfilingInfo(timed, CL_PROFILING_COMMAND_END, sizeof(when), &when, NULL));
    REPORT("profiling: small",
           clGetEventProfilingInfo(timed, CL_PROFILING_COMMAND_END, 1, &when, NULL));
    REPORT("profiling: bad name", clGetEventProfilingInfo(timed, 0x1, sizeof(when), &when, NULL));
    REPORT("event info: bad name", clGetEventInfo(timed, 0x1, 0, NULL, &size));
    REPORT("event callback: none", clSetEventCallback(timed, CL_COMPLETE, NULL, NULL));
    REPORT("release event: null", clReleaseEvent(NULL));
    REPORT("wait: count without list", clWaitForEvents(1, NULL));
    (void)clReleaseEvent(user);
    (void)clReleaseEvent(marker);
    (void)clReleaseEvent(timed);
}

int main(void)
{
    struct world w = {0};
    static void (*const parts[])(struct world * w) = {platforms_and_devices,
                                                      contexts,
                                                      queues,
                                                      buffers,
                                                      sub_buffers,
                                                      programs,
                                                      kernels,
                                                      launches,
                                                      transfers,
                                                      boxes,
                                                      maps,
                                                      events};
    (void)setvbuf(stdout, NULL, _IONBF, 0); /* a driver that dies of a wrong call shows which */
    open_world(&w);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        parts[i](&w);
    return 0;
}
