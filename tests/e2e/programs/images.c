/* Images and samplers: what is made, what is told of it, how pixels travel, and the codes of wrong
 * calls. Prints lines that a card must print as the device does. */
#define CL_USE_DEPRECATED_OPENCL_1_1_APIS
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#include <string.h>

#include "program.h"

#define WIDTH 37u
#define HEIGHT 23u
#define DEPTH 5u
#define PIXELS (WIDTH * HEIGHT * DEPTH)

struct world {
    cl_device_id device;
    cl_context context, other;
    cl_command_queue queue, loose; /* in order, out of order */
    cl_program program;
};

static const char *const source =
    "kernel void turn(read_only image2d_t from, write_only image2d_t to, int n) {\n"
    "    const sampler_t s = CLK_NORMALIZED_COORDS_FALSE | CLK_ADDRESS_CLAMP | "
    "CLK_FILTER_NEAREST;\n"
    "    int2 at = (int2)(get_global_id(0), get_global_id(1));\n"
    "    uint4 p = read_imageui(from, s, at);\n"
    "    write_imageui(to, at, p.wzyx + (uint4)(n));\n"
    "}\n"
    "kernel void probe(read_only image2d_t from, sampler_t s, global float4 *out) {\n"
    "    int i = get_global_id(0);\n"
    "    out[i] = read_imagef(from, s, (float2)(i * 0.25f - 1.0f, i * 0.125f - 0.5f));\n"
    "}\n"
    "kernel void sum(read_only image3d_t from, global uint *out) {\n"
    "    const sampler_t s = CLK_NORMALIZED_COORDS_FALSE | CLK_ADDRESS_NONE | CLK_FILTER_NEAREST;\n"
    "    int4 at = (int4)(get_global_id(0), get_global_id(1), get_global_id(2), 0);\n"
    "    uint4 p = read_imageui(from, s, at);\n"
    "    int i = at.x + (at.y + at.z * get_global_size(1)) * get_global_size(0);\n"
    "    out[i] = p.x + p.y + p.z + p.w;\n"
    "}\n"
    "kernel void line(read_only image1d_buffer_t from, write_only image1d_t to) {\n"
    "    int i = get_global_id(0);\n"
    "    write_imageui(to, i, read_imageui(from, i) * 3);\n"
    "}\n";

static void fill(void *data, size_t bytes, unsigned seed)
{
    unsigned char *at = data;
    for (size_t i = 0; i < bytes; i++)
        at[i] = (unsigned char)((i * 2654435761u + seed) >> 13);
}

static void open_world(struct world *w)
{
    cl_int code;
    w->context = open_device(&w->device);
    w->other = clCreateContext(NULL, 1, &w->device, NULL, NULL, &code);
    must(code, "context");
    w->queue = clCreateCommandQueue(w->context, w->device, 0, &code);
    must(code, "queue");
    w->loose =
        clCreateCommandQueue(w->context, w->device, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE, &code);
    must(code, "queue");
    w->program = clCreateProgramWithSource(w->context, 1, (const char **)&source, NULL, &code);
    must(code, "program");
    MUST(clBuildProgram(w->program, 0, NULL, "", NULL, NULL));
}

static const cl_image_format rgba = {CL_RGBA, CL_UNSIGNED_INT8};
static const size_t nowhere[3] = {0, 0, 0};

static cl_mem image(struct world *w, cl_mem_flags flags, const cl_image_format *format,
                    const cl_image_desc *desc, void *host)
{
    cl_int code;
    cl_mem made = clCreateImage(w->context, flags, format, desc, host, &code);
    must(code, "image");
    return made;
}

/* Everything that is told of an image, but for what differs with the address space. */
static void tell(const char *name, cl_mem memory)
{
    static const cl_image_info numbers[] = {
        CL_IMAGE_ELEMENT_SIZE, CL_IMAGE_ROW_PITCH, CL_IMAGE_SLICE_PITCH, CL_IMAGE_WIDTH,
        CL_IMAGE_HEIGHT,       CL_IMAGE_DEPTH,     CL_IMAGE_ARRAY_SIZE};
    size_t value = 0;
    (void)printf("%s", name);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        MUST(clGetImageInfo(memory, numbers[i], sizeof(value), &value, NULL));
        (void)printf(" %zu", value);
    }
    cl_uint count = 7, type = 0;
    cl_image_format format;
    MUST(clGetImageInfo(memory, CL_IMAGE_NUM_MIP_LEVELS, sizeof(count), &count, NULL));
    MUST(clGetImageInfo(memory, CL_IMAGE_FORMAT, sizeof(format), &format, NULL));
    MUST(clGetMemObjectInfo(memory, CL_MEM_TYPE, sizeof(type), &type, NULL));
    MUST(clGetMemObjectInfo(memory, CL_MEM_SIZE, sizeof(value), &value, NULL));
    cl_mem_flags flags;
    MUST(clGetMemObjectInfo(memory, CL_MEM_FLAGS, sizeof(flags), &flags, NULL));
    (void)printf(" %u %x %x %x %zu %llx\n", count, format.image_channel_order,
                 format.image_channel_data_type, type, value, (unsigned long long)flags);
}

/* The types of images, the region that is all of one, and one inside it. */
struct type {
    const char *name;
    cl_image_desc desc;
    size_t all[3], origin[3], part[3];
};

static const struct type types[] = {
    {"1d",
     {.image_type = CL_MEM_OBJECT_IMAGE1D, .image_width = WIDTH},
     {WIDTH, 1, 1},
     {3, 0, 0},
     {9, 1, 1}},
    {"1d array",
     {.image_type = CL_MEM_OBJECT_IMAGE1D_ARRAY, .image_width = WIDTH, .image_array_size = DEPTH},
     {WIDTH, DEPTH, 1},
     {3, 1, 0},
     {9, 2, 1}},
    {"2d",
     {.image_type = CL_MEM_OBJECT_IMAGE2D, .image_width = WIDTH, .image_height = HEIGHT},
     {WIDTH, HEIGHT, 1},
     {3, 2, 0},
     {9, 7, 1}},
    {"2d array",
     {.image_type = CL_MEM_OBJECT_IMAGE2D_ARRAY,
      .image_width = WIDTH,
      .image_height = HEIGHT,
      .image_array_size = DEPTH},
     {WIDTH, HEIGHT, DEPTH},
     {3, 2, 1},
     {9, 7, 3}},
    {"3d",
     {.image_type = CL_MEM_OBJECT_IMAGE3D,
      .image_width = WIDTH,
      .image_height = HEIGHT,
      .image_depth = DEPTH},
     {WIDTH, HEIGHT, DEPTH},
     {3, 2, 1},
     {9, 7, 3}},
};
#define TYPES (sizeof(types) / sizeof(types[0]))

static size_t bytes_of(const size_t region[3])
{
    return region[0] * region[1] * region[2] * 4;
}

/* Pixels written, filled, copied, mapped and read back. */
static void travel(struct world *w, const struct type *type)
{
    static unsigned char pixels[PIXELS * 4], out[PIXELS * 8];
    const cl_uint color[4] = {1, 2, 3, 250};
    const size_t bytes = bytes_of(type->all);
    cl_int code;
    (void)printf("-- %s\n", type->name);
    fill(pixels, sizeof(pixels), 5);
    memset(out, 0, sizeof(out));
    cl_mem a = image(w, CL_MEM_COPY_HOST_PTR, &rgba, &type->desc, pixels);
    cl_mem b = image(w, CL_MEM_READ_WRITE, &rgba, &type->desc, NULL);
    cl_mem buffer = clCreateBuffer(w->context, 0, bytes + 64, NULL, &code);
    tell("told", a);
    MUST(clEnqueueReadImage(w->queue, a, CL_TRUE, nowhere, type->all, 0, 0, out, 0, NULL, NULL));
    show("content", out, bytes);
    MUST(clEnqueueFillImage(w->queue, b, color, nowhere, type->all, 0, NULL, NULL));
    MUST(clEnqueueCopyImage(w->queue, a, b, type->origin, nowhere, type->part, 0, NULL, NULL));
    MUST(clEnqueueWriteImage(w->queue, b, CL_FALSE, type->origin, type->part, 0, 0, pixels, 0, NULL,
                             NULL));
    MUST(clEnqueueReadImage(w->queue, b, CL_FALSE, nowhere, type->all, 0, 0, out, 0, NULL, NULL));
    MUST(clFinish(w->queue));
    show("filled, copied, written", out, bytes);
    MUST(clEnqueueCopyImageToBuffer(w->queue, b, buffer, type->origin, type->part, 64, 0, NULL,
                                    NULL));
    MUST(clEnqueueReadBuffer(w->queue, buffer, CL_TRUE, 64, bytes_of(type->part), out, 0, NULL,
                             NULL));
    show("to a buffer", out, bytes_of(type->part));
    MUST(clEnqueueWriteBuffer(w->queue, buffer, CL_TRUE, 0, bytes, pixels + 4, 0, NULL, NULL));
    MUST(clEnqueueCopyBufferToImage(w->queue, buffer, a, 8, type->origin, type->part, 0, NULL,
                                    NULL));
    memset(out, 0, sizeof(out));
    MUST(clEnqueueReadImage(w->queue, a, CL_TRUE, type->origin, type->part, 0, 0, out, 0, NULL,
                            NULL));
    show("from a buffer", out, bytes_of(type->part));
    size_t row = 0, slice = 0;
    unsigned char *there =
        clEnqueueMapImage(w->queue, a, CL_TRUE, CL_MAP_READ | CL_MAP_WRITE, type->origin,
                          type->part, &row, &slice, 0, NULL, NULL, &code);
    must(code, "map");
    (void)printf("pitches %zu %zu\n", row, slice);
    size_t step = type->desc.image_type == CL_MEM_OBJECT_IMAGE1D_ARRAY ? slice : row;
    for (size_t z = 0; z < type->part[2]; z++)
        for (size_t y = 0; y < type->part[1]; y++)
            for (size_t x = 0; x < type->part[0] * 4; x++)
                there[z * slice + y * step + x] ^= (unsigned char)(x + y * 16 + z * 64);
    cl_uint maps = 9;
    MUST(clGetMemObjectInfo(a, CL_MEM_MAP_COUNT, sizeof(maps), &maps, NULL));
    MUST(clEnqueueUnmapMemObject(w->queue, a, there, 0, NULL, NULL));
    MUST(clEnqueueReadImage(w->queue, a, CL_TRUE, nowhere, type->all, 0, 0, out, 0, NULL, NULL));
    (void)printf("maps %u\n", maps);
    show("mapped", out, bytes);
    MUST(clReleaseMemObject(a));
    MUST(clReleaseMemObject(b));
    MUST(clReleaseMemObject(buffer));
}

/* Pitches of the program's memory, for content, reads and writes; and memory that stays in use. */
static void pitches(struct world *w)
{
    enum { ROW = WIDTH * 4 + 12, SLICE = ROW * (HEIGHT + 2) };
    static unsigned char host[SLICE * DEPTH], out[SLICE * DEPTH];
    const struct type *type = &types[TYPES - 1];
    cl_image_desc desc = type->desc;
    fill(host, sizeof(host), 9);
    desc.image_row_pitch = ROW;
    desc.image_slice_pitch = SLICE;
    cl_mem a = image(w, CL_MEM_COPY_HOST_PTR, &rgba, &desc, host);
    tell("pitched", a);
    MUST(clEnqueueReadImage(w->queue, a, CL_TRUE, nowhere, type->all, ROW, SLICE, out, 0, NULL,
                            NULL));
    show("pitched read", out, sizeof(out));
    MUST(clEnqueueReadImage(w->queue, a, CL_TRUE, type->origin, type->part, 0, 0, out, 0, NULL,
                            NULL));
    show("packed read", out, bytes_of(type->part));
    MUST(clEnqueueWriteImage(w->queue, a, CL_TRUE, type->origin, type->part, ROW, SLICE, host, 0,
                             NULL, NULL));
    MUST(clEnqueueReadImage(w->queue, a, CL_TRUE, nowhere, type->all, 0, 0, out, 0, NULL, NULL));
    show("pitched write", out, bytes_of(type->all));
    MUST(clReleaseMemObject(a));
    cl_mem used = image(w, CL_MEM_USE_HOST_PTR, &rgba, &type->desc, host);
    void *pointer = NULL;
    size_t row, slice;
    cl_int code;
    MUST(clGetMemObjectInfo(used, CL_MEM_HOST_PTR, sizeof(pointer), &pointer, NULL));
    unsigned char *there = clEnqueueMapImage(w->queue, used, CL_TRUE, CL_MAP_WRITE, type->origin,
                                             type->part, &row, &slice, 0, NULL, NULL, &code);
    must(code, "map");
    (void)printf("memory in use %d, mapped %d\n", pointer == host,
                 there ==
                     host + type->origin[0] * 4 + type->origin[1] * row + type->origin[2] * slice);
    there[0] = 77;
    MUST(clEnqueueUnmapMemObject(w->queue, used, there, 0, NULL, NULL));
    MUST(clEnqueueReadImage(w->queue, used, CL_TRUE, nowhere, type->all, 0, 0, out, 0, NULL, NULL));
    show("memory in use", out, bytes_of(type->all));
    MUST(clReleaseMemObject(used));
}

static cl_kernel kernel(struct world *w, const char *name)
{
    cl_int code;
    cl_kernel made = clCreateKernel(w->program, name, &code);
    must(code, name);
    return made;
}

/* Images as arguments, commands of an out-of-order queue tied together by events. */
static void kernels(struct world *w)
{
    static unsigned char pixels[PIXELS * 4];
    static cl_uint sums[PIXELS];
    const struct type *flat = &types[2], *solid = &types[TYPES - 1];
    cl_kernel turn = kernel(w, "turn"), sum = kernel(w, "sum");
    cl_int code, two = 2;
    cl_event written, turned;
    fill(pixels, sizeof(pixels), 1);
    cl_mem from = image(w, CL_MEM_READ_ONLY, &rgba, &flat->desc, NULL);
    cl_mem to = image(w, CL_MEM_WRITE_ONLY, &rgba, &flat->desc, NULL);
    MUST(clSetKernelArg(turn, 0, sizeof(from), &from));
    MUST(clSetKernelArg(turn, 1, sizeof(to), &to));
    MUST(clSetKernelArg(turn, 2, sizeof(two), &two));
    MUST(clEnqueueWriteImage(w->loose, from, CL_FALSE, nowhere, flat->all, 0, 0, pixels, 0, NULL,
                             &written));
    MUST(clEnqueueNDRangeKernel(w->loose, turn, 2, NULL, flat->all, NULL, 1, &written, &turned));
    MUST(clEnqueueReadImage(w->loose, to, CL_TRUE, nowhere, flat->all, 0, 0, pixels, 1, &turned,
                            NULL));
    show("turned", pixels, bytes_of(flat->all));
    cl_command_type type;
    MUST(clGetEventInfo(written, CL_EVENT_COMMAND_TYPE, sizeof(type), &type, NULL));
    (void)printf("written by %x\n", type);
    cl_mem space = image(w, CL_MEM_COPY_HOST_PTR, &rgba, &solid->desc, pixels);
    cl_mem out = clCreateBuffer(w->context, 0, sizeof(sums), NULL, &code);
    MUST(clSetKernelArg(sum, 0, sizeof(space), &space));
    MUST(clSetKernelArg(sum, 1, sizeof(out), &out));
    MUST(clEnqueueNDRangeKernel(w->queue, sum, 3, NULL, solid->all, NULL, 0, NULL, NULL));
    MUST(clEnqueueReadBuffer(w->queue, out, CL_TRUE, 0, sizeof(sums), sums, 0, NULL, NULL));
    show("sums", sums, sizeof(sums));
    REPORT("arg: a buffer for an image", clSetKernelArg(turn, 0, sizeof(out), &out));
    REPORT("arg: an image for a buffer", clSetKernelArg(sum, 1, sizeof(to), &to));
    REPORT("arg: size of an image", clSetKernelArg(turn, 0, 4, &from));
    (void)clReleaseEvent(written);
    (void)clReleaseEvent(turned);
    cl_mem all[] = {from, to, space, out};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        MUST(clReleaseMemObject(all[i]));
    MUST(clReleaseKernel(turn));
    MUST(clReleaseKernel(sum));
}

static void samplers(struct world *w)
{
    static const cl_addressing_mode modes[] = {CL_ADDRESS_NONE, CL_ADDRESS_CLAMP_TO_EDGE,
                                               CL_ADDRESS_CLAMP, CL_ADDRESS_REPEAT,
                                               CL_ADDRESS_MIRRORED_REPEAT};
    static const cl_image_format floats = {CL_RGBA, CL_FLOAT};
    static float pixels[8 * 8 * 4], out[16 * 4];
    const cl_image_desc desc = {
        .image_type = CL_MEM_OBJECT_IMAGE2D, .image_width = 8, .image_height = 8};
    const size_t count = 16;
    cl_int code;
    for (size_t i = 0; i < sizeof(pixels) / sizeof(pixels[0]); i++)
        pixels[i] = (float)(i * 7 % 64) * 0.5f;
    cl_kernel probe = kernel(w, "probe");
    cl_mem from = image(w, CL_MEM_COPY_HOST_PTR, &floats, &desc, pixels);
    cl_mem to = clCreateBuffer(w->context, 0, sizeof(out), NULL, &code);
    MUST(clSetKernelArg(probe, 0, sizeof(from), &from));
    MUST(clSetKernelArg(probe, 2, sizeof(to), &to));
    for (cl_bool normal = 0; normal < 2; normal++) {
        for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
            cl_sampler s = clCreateSampler(w->context, normal, modes[i], CL_FILTER_NEAREST, &code);
            (void)printf("sampler %u %zu: %d\n", normal, i, code);
            if (code != CL_SUCCESS)
                continue;
            cl_addressing_mode mode = 0;
            MUST(clGetSamplerInfo(s, CL_SAMPLER_ADDRESSING_MODE, sizeof(mode), &mode, NULL));
            MUST(clSetKernelArg(probe, 1, sizeof(s), &s));
            MUST(clEnqueueNDRangeKernel(w->queue, probe, 1, NULL, &count, NULL, 0, NULL, NULL));
            /* A mode that the coordinates do not allow gives what it likes. */
            MUST(clEnqueueReadBuffer(w->queue, to, CL_TRUE, 0, sizeof(out), out, 0, NULL, NULL));
            if (mode == CL_ADDRESS_CLAMP || mode == CL_ADDRESS_CLAMP_TO_EDGE)
                show("probed", out, sizeof(out));
            MUST(clReleaseSampler(s));
        }
    }
    REPORT("arg: no sampler", clSetKernelArg(probe, 1, sizeof(cl_sampler), NULL));
    REPORT("arg: size of a sampler", clSetKernelArg(probe, 1, 4, &from));
    REPORT_CODE("sampler: bad mode", clCreateSampler(w->context, 0, 0x1, CL_FILTER_NEAREST, &code));
    REPORT_CODE("sampler: bad filter",
                clCreateSampler(w->context, 0, CL_ADDRESS_CLAMP, 0x1, &code));
    REPORT_CODE("sampler: null context",
                clCreateSampler(NULL, 0, CL_ADDRESS_CLAMP, CL_FILTER_NEAREST, &code));
    REPORT("release sampler: null", clReleaseSampler(NULL));
    REPORT("retain sampler: null", clRetainSampler(NULL));
    cl_sampler s = clCreateSampler(w->context, CL_TRUE, CL_ADDRESS_REPEAT, CL_FILTER_LINEAR, &code);
    size_t size = 0;
    cl_uint count_of = 0;
    MUST(clRetainSampler(s));
    MUST(clGetSamplerInfo(s, CL_SAMPLER_REFERENCE_COUNT, sizeof(count_of), &count_of, &size));
    (void)printf("references %u in %zu\n", count_of, size);
    REPORT("sampler info: bad name", clGetSamplerInfo(s, 0x1, 0, NULL, &size));
    REPORT("sampler info: small", clGetSamplerInfo(s, CL_SAMPLER_CONTEXT, 1, &size, NULL));
    REPORT("sampler info: null", clGetSamplerInfo(NULL, CL_SAMPLER_CONTEXT, 0, NULL, &size));
    MUST(clReleaseSampler(s));
    MUST(clReleaseSampler(s));
    MUST(clReleaseMemObject(from));
    MUST(clReleaseMemObject(to));
    MUST(clReleaseKernel(probe));
}

/* An image made of a buffer, and of a part of one. */
static void views(struct world *w)
{
    static const cl_image_format one = {CL_R, CL_UNSIGNED_INT32};
    cl_uint values[1024], out[256];
    cl_int code;
    cl_image_desc desc = {.image_type = CL_MEM_OBJECT_IMAGE1D_BUFFER, .image_width = 256};
    const size_t all[3] = {256, 1, 1}, count = 256;
    cl_kernel line = kernel(w, "line");
    for (cl_uint i = 0; i < 1024; i++)
        values[i] = i * i;
    cl_mem buffer = clCreateBuffer(w->context, CL_MEM_COPY_HOST_PTR, sizeof(values), values, &code);
    desc.buffer = buffer;
    cl_mem view = clCreateImage(w->context, CL_MEM_READ_ONLY, &one, &desc, NULL, &code);
    (void)printf("view %d\n", code);
    if (code == CL_SUCCESS) {
        cl_image_desc plain = {.image_type = CL_MEM_OBJECT_IMAGE1D, .image_width = 256};
        cl_mem to = image(w, CL_MEM_WRITE_ONLY, &one, &plain, NULL), parent = NULL;
        tell("view", view);
        MUST(clGetMemObjectInfo(view, CL_MEM_ASSOCIATED_MEMOBJECT, sizeof(parent), &parent, NULL));
        (void)printf("view of its buffer %d\n", parent == buffer);
        MUST(clGetImageInfo(view, CL_IMAGE_BUFFER, sizeof(parent), &parent, NULL));
        (void)printf("made of its buffer %d\n", parent == buffer);
        MUST(clSetKernelArg(line, 0, sizeof(view), &view));
        MUST(clSetKernelArg(line, 1, sizeof(to), &to));
        MUST(clEnqueueNDRangeKernel(w->queue, line, 1, NULL, &count, NULL, 0, NULL, NULL));
        MUST(clEnqueueReadImage(w->queue, to, CL_TRUE, nowhere, all, 0, 0, out, 0, NULL, NULL));
        show("through a view", out, sizeof(out));
        MUST(clReleaseMemObject(to));
        MUST(clReleaseMemObject(view));
    }
    MUST(clReleaseMemObject(buffer));
    MUST(clReleaseKernel(line));
}

static void formats(struct world *w)
{
    static cl_image_format list[512];
    static const cl_mem_flags flags[] = {CL_MEM_READ_WRITE, CL_MEM_READ_ONLY, CL_MEM_WRITE_ONLY, 0,
                                         CL_MEM_READ_ONLY | CL_MEM_COPY_HOST_PTR};
    cl_uint count;
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        for (cl_mem_object_type type = CL_MEM_OBJECT_IMAGE2D; type <= CL_MEM_OBJECT_IMAGE1D_BUFFER;
             type++) {
            cl_int code = clGetSupportedImageFormats(w->context, flags[i], type, 512, list, &count);
            (void)printf("formats %zu %x: %d %u ", i, type, code, code ? 0 : count);
            show("are", list, code ? 0 : count * sizeof(list[0]));
        }
    }
#define FORMATS(flags, type, room, count) \
    clGetSupportedImageFormats(w->context, flags, type, room, list, count)
    REPORT("formats: bad type", FORMATS(0, CL_MEM_OBJECT_BUFFER, 8, &count));
    REPORT("formats: bad flags", FORMATS(1u << 30, CL_MEM_OBJECT_IMAGE2D, 8, &count));
    REPORT("formats: no room", FORMATS(0, CL_MEM_OBJECT_IMAGE2D, 0, &count));
    REPORT("formats: nothing",
           clGetSupportedImageFormats(w->context, 0, CL_MEM_OBJECT_IMAGE2D, 0, NULL, NULL));
    REPORT("formats: null context",
           clGetSupportedImageFormats(NULL, 0, CL_MEM_OBJECT_IMAGE2D, 8, list, &count));
}

/* Descriptions that no image can be made of. */
static void wrong_images(struct world *w)
{
    static unsigned char host[WIDTH * HEIGHT * 8];
    static const cl_image_format bad_order = {0x1, CL_UNSIGNED_INT8}, bad_type = {CL_RGBA, 0x1},
                                 odd = {CL_RGB, CL_FLOAT};
    const cl_image_desc good = types[2].desc;
    cl_image_desc desc = good;
    cl_int code;
#define IMAGE(flags, format, desc, host) clCreateImage(w->context, flags, format, desc, host, &code)
    REPORT_CODE("image: null context", clCreateImage(NULL, 0, &rgba, &good, NULL, &code));
    REPORT_CODE("image: no format", IMAGE(0, NULL, &good, NULL));
    REPORT_CODE("image: no description", IMAGE(0, &rgba, NULL, NULL));
    REPORT_CODE("image: bad order", IMAGE(0, &bad_order, &good, NULL));
    REPORT_CODE("image: bad type", IMAGE(0, &bad_type, &good, NULL));
    REPORT_CODE("image: odd format", IMAGE(0, &odd, &good, NULL));
    REPORT_CODE("image: bad flags", IMAGE(1u << 30, &rgba, &good, NULL));
    REPORT_CODE("image: both accesses",
                IMAGE(CL_MEM_READ_ONLY | CL_MEM_WRITE_ONLY, &rgba, &good, NULL));
    REPORT_CODE("image: pointer without flag", IMAGE(0, &rgba, &good, host));
    REPORT_CODE("image: flag without pointer", IMAGE(CL_MEM_COPY_HOST_PTR, &rgba, &good, NULL));
    desc.image_type = CL_MEM_OBJECT_BUFFER;
    REPORT_CODE("image: a buffer", IMAGE(0, &rgba, &desc, NULL));
    desc = good;
    desc.image_width = 0;
    REPORT_CODE("image: no width", IMAGE(0, &rgba, &desc, NULL));
    desc = good;
    desc.image_height = 0;
    REPORT_CODE("image: no height", IMAGE(0, &rgba, &desc, NULL));
    desc = good;
    desc.image_width = (size_t)1 << 40;
    REPORT_CODE("image: too wide", IMAGE(0, &rgba, &desc, NULL));
    desc = types[TYPES - 1].desc;
    desc.image_depth = (size_t)1 << 40;
    REPORT_CODE("image: too deep", IMAGE(0, &rgba, &desc, NULL));
    desc = good;
    desc.image_row_pitch = WIDTH * 4 + 1;
    REPORT_CODE("image: odd pitch", IMAGE(CL_MEM_COPY_HOST_PTR, &rgba, &desc, host));
    desc.image_row_pitch = WIDTH * 4 - 4;
    REPORT_CODE("image: small pitch", IMAGE(CL_MEM_COPY_HOST_PTR, &rgba, &desc, host));
    desc.image_row_pitch = WIDTH * 4;
    REPORT_CODE("image: pitch of nothing", IMAGE(0, &rgba, &desc, NULL));
    cl_mem old = clCreateImage2D(w->context, 0, &rgba, WIDTH, HEIGHT, 0, NULL, &code);
    REPORT("image 2d", code);
    REPORT("release", clReleaseMemObject(old));
    old = clCreateImage3D(w->context, 0, &rgba, WIDTH, HEIGHT, DEPTH, 0, 0, NULL, &code);
    REPORT("image 3d", code);
    REPORT("release", clReleaseMemObject(old));
    REPORT_CODE("image 2d: no format",
                clCreateImage2D(w->context, 0, NULL, WIDTH, HEIGHT, 0, NULL, &code));
}

/* Images of one size: two alike, one that the host may not see, one of another context, one of
 * other pixels; and a buffer. */
struct victims {
    cl_mem a, b, hidden, other, unlike, buffer;
};

static const size_t *const whole = types[2].all;
static const size_t far_off[3] = {1, 0, 0};
static unsigned char scratch[WIDTH * HEIGHT * 8];

static struct victims make_victims(struct world *w)
{
    static const cl_image_format wide = {CL_RGBA, CL_UNSIGNED_INT16};
    const cl_image_desc *desc = &types[2].desc;
    cl_int code;
    return (struct victims){
        .a = image(w, 0, &rgba, desc, NULL),
        .b = image(w, 0, &rgba, desc, NULL),
        .hidden = image(w, CL_MEM_HOST_NO_ACCESS, &rgba, desc, NULL),
        .other = clCreateImage(w->other, 0, &rgba, desc, NULL, &code),
        .unlike = image(w, 0, &wide, desc, NULL),
        .buffer = clCreateBuffer(w->context, 0, 4096, NULL, &code),
    };
}

static void release_victims(const struct victims *v)
{
    const cl_mem all[] = {v->a, v->b, v->hidden, v->other, v->unlike, v->buffer};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        MUST(clReleaseMemObject(all[i]));
}

static void wrong_transfers(struct world *w, const struct victims *v)
{
    const size_t deep[3] = {0, 0, 1}, none[3] = {WIDTH, 0, 1};
#define READ(image, origin, region, ptr) \
    clEnqueueReadImage(w->queue, image, CL_TRUE, origin, region, 0, 0, ptr, 0, NULL, NULL)
    REPORT("read image: null queue",
           clEnqueueReadImage(NULL, v->a, CL_TRUE, nowhere, whole, 0, 0, scratch, 0, NULL, NULL));
    REPORT("read image: null image", READ(NULL, nowhere, whole, scratch));
    REPORT("read image: null pointer", READ(v->a, nowhere, whole, NULL));
    REPORT("read image: no origin", READ(v->a, NULL, whole, scratch));
    REPORT("read image: no region", READ(v->a, nowhere, NULL, scratch));
    REPORT("read image: outside", READ(v->a, far_off, whole, scratch));
    REPORT("read image: too deep", READ(v->a, deep, whole, scratch));
    REPORT("read image: empty", READ(v->a, nowhere, none, scratch));
    REPORT("read image: other context", READ(v->other, nowhere, whole, scratch));
    REPORT("read image: hidden", READ(v->hidden, nowhere, whole, scratch));
    REPORT("read image: a buffer", READ(v->buffer, nowhere, whole, scratch));
    REPORT("read image: small pitch", clEnqueueReadImage(w->queue, v->a, CL_TRUE, nowhere, whole, 4,
                                                         0, scratch, 0, NULL, NULL));
    REPORT(
        "read image: waits without list",
        clEnqueueReadImage(w->queue, v->a, CL_TRUE, nowhere, whole, 0, 0, scratch, 1, NULL, NULL));
    REPORT("write image: null pointer",
           clEnqueueWriteImage(w->queue, v->a, CL_TRUE, nowhere, whole, 0, 0, NULL, 0, NULL, NULL));
    REPORT("write image: hidden", clEnqueueWriteImage(w->queue, v->hidden, CL_TRUE, nowhere, whole,
                                                      0, 0, scratch, 0, NULL, NULL));
}

static void wrong_copies(struct world *w, const struct victims *v)
{
    const cl_uint color[4] = {0};
    cl_int code;
    REPORT("fill image: no color",
           clEnqueueFillImage(w->queue, v->a, NULL, nowhere, whole, 0, NULL, NULL));
    REPORT("fill image: outside",
           clEnqueueFillImage(w->queue, v->a, color, far_off, whole, 0, NULL, NULL));
    REPORT("fill image: a buffer",
           clEnqueueFillImage(w->queue, v->buffer, color, nowhere, whole, 0, NULL, NULL));
#define COPY(from, to, origin) \
    clEnqueueCopyImage(w->queue, from, to, nowhere, origin, whole, 0, NULL, NULL)
    REPORT("copy image: outside", COPY(v->a, v->b, far_off));
    REPORT("copy image: formats", COPY(v->a, v->unlike, nowhere));
    REPORT("copy image: itself", COPY(v->a, v->a, nowhere));
    REPORT("copy image: other context", COPY(v->a, v->other, nowhere));
    REPORT("copy image: a buffer", COPY(v->a, v->buffer, nowhere));
    REPORT("image to buffer: offset", clEnqueueCopyImageToBuffer(w->queue, v->a, v->buffer, nowhere,
                                                                 whole, 4000, 0, NULL, NULL));
    REPORT("image to buffer: an image",
           clEnqueueCopyImageToBuffer(w->queue, v->a, v->b, nowhere, whole, 0, 0, NULL, NULL));
    REPORT("buffer to image: offset", clEnqueueCopyBufferToImage(w->queue, v->buffer, v->a, 4000,
                                                                 nowhere, whole, 0, NULL, NULL));
    REPORT("read buffer: an image",
           clEnqueueReadBuffer(w->queue, v->a, CL_TRUE, 0, 4, scratch, 0, NULL, NULL));
    REPORT_CODE("map buffer: an image", clEnqueueMapBuffer(w->queue, v->a, CL_TRUE, CL_MAP_READ, 0,
                                                           4, 0, NULL, NULL, &code));
}

static void wrong_maps(struct world *w, const struct victims *v)
{
    cl_int code;
    size_t row, slice, size;
#define MAP(image, flags, origin, row) \
    clEnqueueMapImage(w->queue, image, CL_TRUE, flags, origin, whole, row, &slice, 0, NULL, NULL, \
                      &code)
    REPORT_CODE("map image: no pitch", MAP(v->a, CL_MAP_READ, nowhere, NULL));
    REPORT_CODE("map image: outside", MAP(v->a, CL_MAP_READ, far_off, &row));
    REPORT_CODE("map image: hidden", MAP(v->hidden, CL_MAP_READ, nowhere, &row));
    REPORT_CODE("map image: a buffer", MAP(v->buffer, CL_MAP_READ, nowhere, &row));
    REPORT_CODE("map image: null", MAP(NULL, CL_MAP_READ, nowhere, &row));
    REPORT("unmap image: elsewhere",
           clEnqueueUnmapMemObject(w->queue, v->a, scratch, 0, NULL, NULL));
    REPORT("image info: bad name", clGetImageInfo(v->a, 0x1, 0, NULL, &size));
    REPORT("image info: small", clGetImageInfo(v->a, CL_IMAGE_WIDTH, 1, &size, NULL));
    REPORT("image info: a buffer", clGetImageInfo(v->buffer, CL_IMAGE_WIDTH, 8, &size, NULL));
    REPORT("image info: null", clGetImageInfo(NULL, CL_IMAGE_WIDTH, 8, &size, NULL));
    cl_buffer_region region = {0, 64};
    REPORT_CODE("sub-buffer: of an image",
                clCreateSubBuffer(v->a, 0, CL_BUFFER_CREATE_TYPE_REGION, &region, &code));
}

static void wrong_commands(struct world *w)
{
    const struct victims v = make_victims(w);
    wrong_transfers(w, &v);
    wrong_copies(w, &v);
    wrong_maps(w, &v);
    MUST(clFinish(w->queue));
    release_victims(&v);
}

/* The same pixels turned again and again through two images, a sampler and a view of a buffer, all
 * of them made before the first round. */
/* Images between so many commands that all of what carries them has been used before, every byte
 * of it set, wherever an image's turn comes. */
static void after_much(struct world *w)
{
    static const size_t region[3] = {WIDTH, HEIGHT, 1};
    static unsigned char pattern[128], pixels[WIDTH * HEIGHT * 4], back[sizeof(pixels)];
    unsigned long right = 0;
    cl_int code;
    cl_mem buffer;
    MAKE(buffer, clCreateBuffer(w->context, 0, sizeof(pattern), NULL, &code));
    memset(pattern, 0xff, sizeof(pattern));
    for (unsigned i = 0; i < 100; i++) {
        for (unsigned j = 0; j < 40; j++)
            MUST(clEnqueueFillBuffer(w->queue, buffer, pattern, (size_t)16 << j % 4, 0,
                                     sizeof(pattern), 0, NULL, NULL));
        cl_mem made = image(w, 0, &rgba, &types[2].desc, NULL);
        fill(pixels, sizeof(pixels), i);
        MUST(clEnqueueWriteImage(w->queue, made, CL_TRUE, nowhere, region, 0, 0, pixels, 0, NULL,
                                 NULL));
        MUST(clEnqueueReadImage(w->queue, made, CL_TRUE, nowhere, region, 0, 0, back, 0, NULL,
                                NULL));
        right += memcmp(pixels, back, sizeof(back)) == 0;
        MUST(clReleaseMemObject(made));
    }
    MUST(clFinish(w->queue));
    MUST(clReleaseMemObject(buffer));
    (void)printf("images between commands: %lu right\n", right);
}

static void rounds(struct world *w, unsigned long count)
{
    static unsigned char pixels[WIDTH * HEIGHT * 4];
    static const cl_image_format one = {CL_R, CL_UNSIGNED_INT32};
    static float probed[64];
    const struct type *flat = &types[2];
    cl_image_desc desc = {.image_type = CL_MEM_OBJECT_IMAGE1D_BUFFER, .image_width = 256};
    const cl_image_desc plain = {.image_type = CL_MEM_OBJECT_IMAGE1D, .image_width = 256};
    const size_t line_all[3] = {256, 1, 1}, sixteen = 16;
    cl_uint values[256], out[256];
    cl_int code, n = 3;
    cl_kernel turn = kernel(w, "turn"), line = kernel(w, "line"), probe = kernel(w, "probe");
    fill(pixels, sizeof(pixels), 4);
    fill(values, sizeof(values), 8);
    cl_mem pair[2] = {image(w, CL_MEM_COPY_HOST_PTR, &rgba, &flat->desc, pixels),
                      image(w, CL_MEM_READ_WRITE, &rgba, &flat->desc, NULL)};
    static const cl_image_format floats = {CL_RGBA, CL_UNORM_INT8};
    cl_mem smooth = image(w, CL_MEM_COPY_HOST_PTR, &floats, &flat->desc, pixels);
    cl_mem buffer = clCreateBuffer(w->context, CL_MEM_COPY_HOST_PTR, sizeof(values), values, &code);
    cl_mem to = clCreateBuffer(w->context, 0, sizeof(probed), NULL, &code);
    desc.buffer = buffer;
    cl_mem view = image(w, CL_MEM_READ_ONLY, &one, &desc, NULL);
    cl_mem tripled = image(w, CL_MEM_WRITE_ONLY, &one, &plain, NULL);
    cl_sampler s =
        clCreateSampler(w->context, CL_TRUE, CL_ADDRESS_CLAMP_TO_EDGE, CL_FILTER_NEAREST, &code);
    must(code, "sampler");
    MUST(clSetKernelArg(turn, 2, sizeof(n), &n));
    MUST(clSetKernelArg(line, 0, sizeof(view), &view));
    MUST(clSetKernelArg(line, 1, sizeof(tripled), &tripled));
    MUST(clSetKernelArg(probe, 0, sizeof(smooth), &smooth));
    MUST(clSetKernelArg(probe, 1, sizeof(s), &s));
    MUST(clSetKernelArg(probe, 2, sizeof(to), &to));
    for (unsigned long i = 0; i < count; i++) {
        MUST(clSetKernelArg(turn, 0, sizeof(cl_mem), &pair[i % 2]));
        MUST(clSetKernelArg(turn, 1, sizeof(cl_mem), &pair[(i + 1) % 2]));
        MUST(clEnqueueNDRangeKernel(w->queue, turn, 2, NULL, flat->all, NULL, 0, NULL, NULL));
        MUST(clEnqueueNDRangeKernel(w->queue, line, 1, NULL, line_all, NULL, 0, NULL, NULL));
        MUST(clEnqueueReadImage(w->queue, tripled, CL_FALSE, nowhere, line_all, 0, 0, out, 0, NULL,
                                NULL));
        MUST(clEnqueueNDRangeKernel(w->queue, probe, 1, NULL, &sixteen, NULL, 0, NULL, NULL));
        MUST(clFinish(w->queue));
        MUST(clEnqueueWriteBuffer(w->queue, buffer, CL_TRUE, 0, sizeof(out), out, 0, NULL, NULL));
    }
    MUST(clEnqueueReadImage(w->queue, pair[count % 2], CL_TRUE, nowhere, flat->all, 0, 0, pixels, 0,
                            NULL, NULL));
    MUST(clEnqueueReadBuffer(w->queue, to, CL_TRUE, 0, sizeof(probed), probed, 0, NULL, NULL));
    show("turned", pixels, sizeof(pixels));
    show("tripled", out, sizeof(out));
    show("probed", probed, sizeof(probed));
}

/* Without an argument: everything but rounds; else so many rounds. */
int main(int argc, char **argv)
{
    struct world w = {0};
    static void (*const parts[])(struct world * w) = {
        pitches, kernels, samplers, views, formats, wrong_images, wrong_commands, after_much};
    (void)setvbuf(stdout, NULL, _IONBF, 0); /* a driver that dies of a wrong call shows which */
    open_world(&w);
    if (argc > 1) {
        rounds(&w, strtoul(argv[1], NULL, 10));
        return 0;
    }
    for (size_t i = 0; i < TYPES; i++)
        travel(&w, &types[i]);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        parts[i](&w);
    return 0;
}
