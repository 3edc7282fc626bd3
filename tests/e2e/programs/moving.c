/* Use everything that a session has across a line on standard input: two queues, one without order,
 * kernels with arguments of each kind, a sub-buffer, an image, a map that stays open, events that
 * have ended and one that the program sets afterwards. Says "ready" before each line it waits for;
 * the lines that begin otherwise are to be the same wherever it runs.
 * moving places: nothing is open across the line; tells whether a map has the first one's pointer
 */
#include "program.h"

#define COUNT 65536u
#define BYTES (COUNT * sizeof(cl_uint))
#define SIDE 64u
#define ROUNDS 3

static const char source[] =
    "kernel void advance(global uint *data, uint factor, local uint *scratch, global const uint "
    "*more) {"
    "  size_t i = get_global_id(0), l = get_local_id(0);"
    "  scratch[l] = more[i] ^ factor; barrier(CLK_LOCAL_MEM_FENCE);"
    "  data[i] = data[i] * factor + scratch[get_local_size(0) - 1 - l]; }"
    "kernel void paint(read_only image2d_t from, write_only image2d_t to, sampler_t how, uint add) "
    "{"
    "  int2 at = (int2)(get_global_id(0), get_global_id(1));"
    "  write_imageui(to, at, read_imageui(from, how, at) + (uint4)(add)); }";

struct moving {
    cl_device_id device;
    cl_context context;
    cl_command_queue ordered, loose;
    cl_program program;
    cl_kernel step, paint;
    cl_mem data, more, part, late, images[2];
    cl_sampler sampler;
};

static void prepare(struct moving *moving)
{
    cl_int code;
    const char *text = source;
    const cl_image_format format = {CL_RGBA, CL_UNSIGNED_INT8};
    const cl_image_desc desc = {
        .image_type = CL_MEM_OBJECT_IMAGE2D, .image_width = SIDE, .image_height = SIDE};
    static cl_uint values[COUNT];
    for (cl_uint i = 0; i < COUNT; i++)
        values[i] = i * 2654435761u;
    moving->context = open_device(&moving->device);
    MAKE(moving->ordered,
         clCreateCommandQueue(moving->context, moving->device, CL_QUEUE_PROFILING_ENABLE, &code));
    MAKE(moving->loose, clCreateCommandQueue(moving->context, moving->device,
                                             CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE, &code));
    MAKE(moving->program, clCreateProgramWithSource(moving->context, 1, &text, NULL, &code));
    MUST(clBuildProgram(moving->program, 1, &moving->device, "", NULL, NULL));
    MAKE(moving->step, clCreateKernel(moving->program, "advance", &code));
    MAKE(moving->paint, clCreateKernel(moving->program, "paint", &code));
    MAKE(moving->data, clCreateBuffer(moving->context, CL_MEM_READ_WRITE | CL_MEM_COPY_HOST_PTR,
                                      BYTES, values, &code));
    MAKE(moving->more, clCreateBuffer(moving->context, CL_MEM_READ_WRITE, BYTES, NULL, &code));
    MAKE(moving->late, clCreateBuffer(moving->context, CL_MEM_READ_WRITE, BYTES, NULL, &code));
    const cl_buffer_region half = {BYTES / 2, BYTES / 2};
    MAKE(moving->part, clCreateSubBuffer(moving->data, CL_MEM_READ_WRITE,
                                         CL_BUFFER_CREATE_TYPE_REGION, &half, &code));
    for (int i = 0; i < 2; i++)
        MAKE(moving->images[i],
             clCreateImage(moving->context, CL_MEM_READ_WRITE, &format, &desc, NULL, &code));
    MAKE(moving->sampler, clCreateSampler(moving->context, CL_FALSE, CL_ADDRESS_CLAMP_TO_EDGE,
                                          CL_FILTER_NEAREST, &code));
    const cl_uint seven = 7, three = 3;
    const size_t origin[3] = {0}, region[3] = {SIDE, SIDE, 1};
    MUST(clEnqueueFillBuffer(moving->ordered, moving->more, &seven, sizeof(seven), 0, BYTES, 0,
                             NULL, NULL));
    MUST(clEnqueueWriteImage(moving->ordered, moving->images[0], CL_TRUE, origin, region, 0, 0,
                             values, 0, NULL, NULL));
    MUST(clSetKernelArg(moving->step, 0, sizeof(cl_mem), &moving->data));
    MUST(clSetKernelArg(moving->step, 1, sizeof(three), &three));
    MUST(clSetKernelArg(moving->step, 2, 64 * sizeof(cl_uint), NULL));
    MUST(clSetKernelArg(moving->step, 3, sizeof(cl_mem), &moving->more));
    MUST(clSetKernelArg(moving->paint, 0, sizeof(cl_mem), &moving->images[0]));
    MUST(clSetKernelArg(moving->paint, 1, sizeof(cl_mem), &moving->images[1]));
    MUST(clSetKernelArg(moving->paint, 2, sizeof(cl_sampler), &moving->sampler));
    MUST(clSetKernelArg(moving->paint, 3, sizeof(seven), &seven));
}

static void launch(const struct moving *moving, cl_command_queue queue, cl_event *event)
{
    const size_t global = COUNT, local = 64, area[2] = {SIDE, SIDE};
    MUST(clEnqueueNDRangeKernel(queue, moving->step, 1, NULL, &global, &local, 0, NULL, event));
    MUST(
        clEnqueueNDRangeKernel(moving->ordered, moving->paint, 2, NULL, area, NULL, 0, NULL, NULL));
}

static cl_int status_of(cl_event event)
{
    cl_int status;
    MUST(clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof(status), &status, NULL));
    return status;
}

static void show_all(const struct moving *moving)
{
    static cl_uint values[COUNT];
    const size_t origin[3] = {0}, region[3] = {SIDE, SIDE, 1};
    cl_event arrived;
    MUST(clEnqueueReadBuffer(moving->ordered, moving->data, CL_FALSE, 0, BYTES, values, 0, NULL,
                             &arrived));
    MUST(clWaitForEvents(1, &arrived));
    show("data", values, BYTES);
    MUST(clEnqueueReadBuffer(moving->loose, moving->part, CL_TRUE, 64, BYTES / 4, values, 1,
                             &arrived, NULL));
    show("part", values, BYTES / 4);
    MUST(clEnqueueReadBuffer(moving->ordered, moving->more, CL_TRUE, 0, BYTES, values, 0, NULL,
                             NULL));
    show("more", values, BYTES);
    MUST(clEnqueueReadBuffer(moving->ordered, moving->late, CL_TRUE, 0, BYTES, values, 0, NULL,
                             NULL));
    show("late", values, BYTES);
    MUST(clEnqueueReadImage(moving->ordered, moving->images[1], CL_TRUE, origin, region, 0, 0,
                            values, 0, NULL, NULL));
    show("image", values, SIDE * SIDE * 4);
    MUST(clReleaseEvent(arrived));
}

/* What is open before the line is used behind it. */
static void cross(const struct moving *moving, cl_uint round)
{
    cl_int code;
    cl_event launched, promise, set;
    cl_uint *mapped;
    cl_ulong start, end;
    launch(moving, moving->ordered, &launched);
    MAKE(mapped, clEnqueueMapBuffer(moving->ordered, moving->more, CL_TRUE,
                                    CL_MAP_READ | CL_MAP_WRITE, 0, BYTES, 0, NULL, NULL, &code));
    MAKE(promise, clCreateUserEvent(moving->context, &code));
    mapped[round] += 5;
    await_line();
    mapped[COUNT - 1 - round] ^= 0x55aa;
    REPORT("launched", status_of(launched));
    MUST(
        clGetEventProfilingInfo(launched, CL_PROFILING_COMMAND_START, sizeof(start), &start, NULL));
    MUST(clGetEventProfilingInfo(launched, CL_PROFILING_COMMAND_END, sizeof(end), &end, NULL));
    REPORT("timed", end > start);
    REPORT("promise", status_of(promise));
    MUST(clEnqueueUnmapMemObject(moving->ordered, moving->more, mapped, 0, NULL, NULL));
    MUST(clEnqueueCopyBuffer(moving->loose, moving->data, moving->late, 0, 0, BYTES, 1, &promise,
                             &set));
    MUST(clFlush(moving->loose));
    REPORT("waits", status_of(set) > CL_COMPLETE);
    MUST(clSetUserEventStatus(promise, CL_COMPLETE));
    MUST(clWaitForEvents(1, &set));
    MUST(clSetKernelArg(moving->step, 1, sizeof(round), &round));
    launch(moving, moving->ordered, NULL);
    show_all(moving);
    MUST(clReleaseEvent(launched));
    MUST(clReleaseEvent(promise));
    MUST(clReleaseEvent(set));
}

/* New objects, and what was freed can be had again: more than a card of 64 MiB holds at once. */
static void use_again(const struct moving *moving)
{
    static cl_uint values[COUNT];
    const size_t bytes = 24u << 20;
    cl_int code;
    for (int i = 0; i < 8; i++) {
        cl_mem memory;
        cl_uint *mapped;
        MAKE(memory, clCreateBuffer(moving->context, CL_MEM_READ_WRITE, bytes, NULL, &code));
        MUST(clEnqueueWriteBuffer(moving->ordered, memory, CL_TRUE, 0, BYTES, values, 0, NULL,
                                  NULL));
        MAKE(mapped, clEnqueueMapBuffer(moving->ordered, memory, CL_TRUE, CL_MAP_READ, 0, BYTES, 0,
                                        NULL, NULL, &code));
        show("new", mapped, BYTES);
        MUST(clEnqueueUnmapMemObject(moving->ordered, memory, mapped, 0, NULL, NULL));
        MUST(clFinish(moving->ordered));
        MUST(clReleaseMemObject(memory));
        values[i] = (cl_uint)i + 1;
    }
}

static cl_uint *map_data(const struct moving *moving)
{
    cl_int code;
    cl_uint *mapped;
    MAKE(mapped, clEnqueueMapBuffer(moving->ordered, moving->data, CL_TRUE,
                                    CL_MAP_READ | CL_MAP_WRITE, 0, BYTES, 0, NULL, NULL, &code));
    return mapped;
}

/* The other buffer is another one after each line. */
static void places(struct moving *moving)
{
    static cl_uint values[COUNT] = {3, 1, 4};
    cl_uint *first = map_data(moving), *mapped = first;
    cl_int code;
    for (cl_uint round = 0; round < ROUNDS; round++) {
        MUST(clEnqueueUnmapMemObject(moving->ordered, moving->data, mapped, 0, NULL, NULL));
        MUST(clFinish(moving->ordered));
        await_line();
        MUST(clReleaseMemObject(moving->more));
        MAKE(moving->more, clCreateBuffer(moving->context, CL_MEM_READ_WRITE | CL_MEM_COPY_HOST_PTR,
                                          BYTES, values, &code));
        MUST(clSetKernelArg(moving->step, 3, sizeof(cl_mem), &moving->more));
        launch(moving, moving->ordered, NULL);
        mapped = map_data(moving);
        (void)printf("same place %d\n", mapped == first);
        show("data", mapped, BYTES);
        mapped[round] += 7;
    }
}

int main(int count, char **words)
{
    struct moving moving;
    prepare(&moving);
    if (count > 1) {
        places(&moving);
        return 0;
    }
    for (cl_uint round = 0; round < ROUNDS; round++)
        cross(&moving, round + 2);
    use_again(&moving);
    (void)printf("done\n");
    return 0;
}
