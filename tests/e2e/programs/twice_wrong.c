/* Calls with two things wrong at once, of which a driver tells one: which comes first. */
#include "program.h"

#define BYTES 1024

/* Objects of the context that is worked in, and likewise of another. */
struct side {
    cl_context context;
    cl_mem buffer, second, image, same, other; /* two images of one format and one of another */
};

struct world {
    cl_device_id device;
    cl_command_queue queue;
    struct side here, there;
    cl_event foreign; /* of the other context */
    char host[4 * BYTES];
};

/* What a wait list is besides right. */
static const char *const lists[] = {"right", "missing", "foreign", "countless"};
#define LISTS (sizeof(lists) / sizeof(lists[0]))

struct waits {
    cl_uint count;
    const cl_event *list;
};

static struct waits waits_of(const struct world *w, size_t which)
{
    const struct waits waits[LISTS] = {{0, NULL}, {1, NULL}, {1, &w->foreign}, {0, &w->foreign}};
    return waits[which];
}

/* The call with each list from `first` on; `e` is what it has of it. */
#define WITH_LISTS_FROM(first, what, call) \
    for (size_t which = (first); which < LISTS; which++) { \
        const struct waits e = waits_of(w, which); \
        (void)printf("%s ", lists[which]); \
        REPORT(what, call); \
    }
#define WITH_LISTS(what, call) WITH_LISTS_FROM(0, what, call)
/* PoCL does it otherwise, beyond the image. */
#define WITH_WRONG_LISTS(what, call) WITH_LISTS_FROM(1, what, call)

static void fill_side(struct side *side, cl_context context)
{
    const cl_image_format bytes = {CL_RGBA, CL_UNSIGNED_INT8}, floats = {CL_R, CL_FLOAT};
    const cl_image_desc desc = {
        .image_type = CL_MEM_OBJECT_IMAGE2D, .image_width = 16, .image_height = 16};
    cl_int code;
    side->context = context;
    MAKE(side->buffer, clCreateBuffer(context, 0, BYTES, NULL, &code));
    MAKE(side->second, clCreateBuffer(context, 0, BYTES, NULL, &code));
    MAKE(side->image, clCreateImage(context, 0, &bytes, &desc, NULL, &code));
    MAKE(side->same, clCreateImage(context, 0, &bytes, &desc, NULL, &code));
    MAKE(side->other, clCreateImage(context, 0, &floats, &desc, NULL, &code));
}

static void release_side(const struct side *side)
{
    MUST(clReleaseMemObject(side->buffer));
    MUST(clReleaseMemObject(side->second));
    MUST(clReleaseMemObject(side->image));
    MUST(clReleaseMemObject(side->same));
    MUST(clReleaseMemObject(side->other));
    MUST(clReleaseContext(side->context));
}

static void buffers(struct world *w)
{
    const cl_mem a = w->here.buffer, b = w->here.second, far = w->there.buffer;
    const cl_mem both[] = {a, far};
    cl_command_queue q = w->queue;
    char *host = w->host;
    WITH_LISTS("read beyond", clEnqueueReadBuffer(q, a, 1, 1000, 100, host, e.count, e.list, NULL))
    WITH_LISTS("read null", clEnqueueReadBuffer(q, a, 1, 0, 10, NULL, e.count, e.list, NULL))
    WITH_LISTS("read far", clEnqueueReadBuffer(q, far, 1, 0, 10, host, e.count, e.list, NULL))
    WITH_LISTS("write beyond",
               clEnqueueWriteBuffer(q, a, 1, 1000, 100, host, e.count, e.list, NULL))
    WITH_LISTS("write far", clEnqueueWriteBuffer(q, far, 1, 0, 10, host, e.count, e.list, NULL))
    WITH_LISTS("fill beyond", clEnqueueFillBuffer(q, a, host, 4, 1000, 100, e.count, e.list, NULL))
    WITH_LISTS("fill odd", clEnqueueFillBuffer(q, a, host, 3, 0, 99, e.count, e.list, NULL))
    WITH_LISTS("fill far", clEnqueueFillBuffer(q, far, host, 4, 0, 100, e.count, e.list, NULL))
    WITH_LISTS("copy nothing", clEnqueueCopyBuffer(q, a, b, 0, 0, 0, e.count, e.list, NULL))
    WITH_LISTS("copy beyond", clEnqueueCopyBuffer(q, a, b, 1000, 0, 100, e.count, e.list, NULL))
    WITH_LISTS("copy over itself", clEnqueueCopyBuffer(q, a, a, 0, 10, 100, e.count, e.list, NULL))
    WITH_LISTS("copy far", clEnqueueCopyBuffer(q, a, far, 0, 10, 100, e.count, e.list, NULL))
    WITH_LISTS("copy far beyond",
               clEnqueueCopyBuffer(q, a, far, 0, 1000, 100, e.count, e.list, NULL))
    WITH_LISTS("migrate so", clEnqueueMigrateMemObjects(q, 1, &a, 77, e.count, e.list, NULL))
    WITH_LISTS("migrate far", clEnqueueMigrateMemObjects(q, 2, both, 0, e.count, e.list, NULL))
}

static void maps(struct world *w)
{
    for (size_t which = 1; which < LISTS - 1; which++) {
        const struct waits e = waits_of(w, which);
        cl_int code;
        REPORT_CODE("map beyond", clEnqueueMapBuffer(w->queue, w->here.buffer, 1, CL_MAP_READ, 1000,
                                                     100, e.count, e.list, NULL, &code));
        REPORT_CODE("map so", clEnqueueMapBuffer(w->queue, w->here.buffer, 1, 77777, 0, 100,
                                                 e.count, e.list, NULL, &code));
        REPORT_CODE("map far", clEnqueueMapBuffer(w->queue, w->there.buffer, 1, CL_MAP_READ, 0, 100,
                                                  e.count, e.list, NULL, &code));
    }
}

static void boxes(struct world *w)
{
    const size_t o[3] = {0}, next[3] = {8}, beyond[3] = {1000}, box[3] = {16, 2, 1},
                 none[3] = {0, 1, 1};
    const cl_mem a = w->here.buffer, b = w->here.second, far = w->there.buffer;
    cl_command_queue q = w->queue;
    char *host = w->host;
    WITH_LISTS("read box of nothing", clEnqueueReadBufferRect(q, a, 1, o, o, none, 0, 0, 0, 0, host,
                                                              e.count, e.list, NULL))
    WITH_LISTS("read box beyond", clEnqueueReadBufferRect(q, a, 1, beyond, o, box, 0, 0, 0, 0, host,
                                                          e.count, e.list, NULL))
    WITH_LISTS("read box null",
               clEnqueueReadBufferRect(q, a, 1, o, o, box, 0, 0, 0, 0, NULL, e.count, e.list, NULL))
    WITH_LISTS("read box far", clEnqueueReadBufferRect(q, far, 1, o, o, box, 0, 0, 0, 0, host,
                                                       e.count, e.list, NULL))
    WITH_LISTS("write box beyond", clEnqueueWriteBufferRect(q, a, 1, beyond, o, box, 0, 0, 0, 0,
                                                            host, e.count, e.list, NULL))
    WITH_LISTS("copy box of nothing",
               clEnqueueCopyBufferRect(q, a, b, o, o, none, 0, 0, 0, 0, e.count, e.list, NULL))
    WITH_LISTS("copy box beyond",
               clEnqueueCopyBufferRect(q, a, b, beyond, o, box, 0, 0, 0, 0, e.count, e.list, NULL))
    WITH_LISTS("copy box over itself",
               clEnqueueCopyBufferRect(q, a, a, o, next, box, 32, 0, 32, 0, e.count, e.list, NULL))
    WITH_LISTS("copy box far",
               clEnqueueCopyBufferRect(q, a, far, o, o, box, 32, 0, 32, 0, e.count, e.list, NULL))
}

static void images(struct world *w)
{
    const size_t o[3] = {0}, next[3] = {4}, beyond[3] = {10}, box[3] = {8, 8, 1};
    const cl_mem i = w->here.image, same = w->here.same, other = w->here.other, a = w->here.buffer;
    const struct side *there = &w->there;
    cl_command_queue q = w->queue;
    char *host = w->host;
    WITH_LISTS("image read beyond",
               clEnqueueReadImage(q, i, 1, beyond, box, 0, 0, host, e.count, e.list, NULL))
    WITH_LISTS("image fill beyond",
               clEnqueueFillImage(q, i, host, beyond, box, e.count, e.list, NULL))
    WITH_LISTS("image fill far",
               clEnqueueFillImage(q, there->image, host, o, box, e.count, e.list, NULL))
    WITH_LISTS("image copy other",
               clEnqueueCopyImage(q, i, other, o, o, box, e.count, e.list, NULL))
    WITH_LISTS("image copy other beyond",
               clEnqueueCopyImage(q, i, other, beyond, o, box, e.count, e.list, NULL))
    WITH_LISTS("image copy far other",
               clEnqueueCopyImage(q, i, there->other, o, o, box, e.count, e.list, NULL))
    WITH_LISTS("image copy far beyond",
               clEnqueueCopyImage(q, i, there->image, beyond, o, box, e.count, e.list, NULL))
    WITH_WRONG_LISTS("image copy beyond",
                     clEnqueueCopyImage(q, i, same, beyond, o, box, e.count, e.list, NULL))
    WITH_LISTS("image copy over itself",
               clEnqueueCopyImage(q, i, i, o, next, box, e.count, e.list, NULL))
    WITH_WRONG_LISTS("image out beyond",
                     clEnqueueCopyImageToBuffer(q, i, a, beyond, box, 0, e.count, e.list, NULL))
    WITH_LISTS("image out far beyond", clEnqueueCopyImageToBuffer(q, i, there->buffer, beyond, box,
                                                                  0, e.count, e.list, NULL))
    WITH_LISTS("image out too much",
               clEnqueueCopyImageToBuffer(q, i, a, o, box, 1000, e.count, e.list, NULL))
    WITH_WRONG_LISTS("image in beyond",
                     clEnqueueCopyBufferToImage(q, a, i, 0, beyond, box, e.count, e.list, NULL))
    WITH_LISTS("image in too much",
               clEnqueueCopyBufferToImage(q, a, i, 1000, o, box, e.count, e.list, NULL))
}

static void parts(struct world *w)
{
    static const cl_buffer_region regions[] = {{387, 639}, {387, 0}, {387, 10}, {2000, 0}};
    static const cl_mem_flags flags[] = {0, CL_MEM_COPY_HOST_PTR};
    cl_int code;
    for (size_t i = 0; i < sizeof(regions) / sizeof(regions[0]); i++)
        for (size_t j = 0; j < sizeof(flags) / sizeof(flags[0]); j++)
            REPORT_CODE("part",
                        clCreateSubBuffer(w->here.buffer, flags[j], CL_BUFFER_CREATE_TYPE_REGION,
                                          &regions[i], &code));
}

int main(void)
{
    struct world world = {0}, *w = &world;
    cl_int code;
    fill_side(&w->here, open_device(&w->device));
    fill_side(&w->there, clCreateContext(NULL, 1, &w->device, NULL, NULL, &code));
    MAKE(w->queue, clCreateCommandQueue(w->here.context, w->device, 0, &code));
    MAKE(w->foreign, clCreateUserEvent(w->there.context, &code));
    buffers(w);
    maps(w);
    boxes(w);
    images(w);
    parts(w);
    REPORT("finish", clFinish(w->queue));
    MUST(clReleaseEvent(w->foreign));
    MUST(clReleaseCommandQueue(w->queue));
    release_side(&w->here);
    release_side(&w->there);
    return 0;
}
