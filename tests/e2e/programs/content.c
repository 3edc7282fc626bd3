/* cl_pocl_content_size: copies of a buffer of which only a part is of use, and wrong calls. With
 * `across` says "ready" and waits for a line three times, for what happens to the card meanwhile;
 * the other lines are to be the same wherever it runs. PoCL declares the function in a header of
 * its own. */
#include <string.h>

#include "program.h"

#define BYTES 1024

typedef cl_int(CL_API_CALL *set_content_size)(cl_mem buffer, cl_mem content_size_buffer);

struct world {
    set_content_size set;
    cl_context context;
    cl_command_queue queue;
    cl_mem from, to, size, other, part;
};

static cl_mem buffer(cl_context context, size_t bytes, int value)
{
    cl_int code;
    char content[BYTES];
    cl_mem memory;
    (void)memset(content, value, sizeof(content));
    MAKE(memory, clCreateBuffer(context, CL_MEM_COPY_HOST_PTR, bytes, content, &code));
    return memory;
}

static void open_world(struct world *w)
{
    cl_platform_id platform;
    cl_device_id device;
    cl_int code;
    char names[1024] = "";
    const cl_buffer_region half = {BYTES / 2, BYTES / 2};
    MUST(clGetPlatformIDs(1, &platform, NULL));
    MUST(clGetPlatformInfo(platform, CL_PLATFORM_EXTENSIONS, sizeof(names), names, NULL));
    *(void **)&w->set =
        clGetExtensionFunctionAddressForPlatform(platform, "clSetContentSizeBufferPoCL");
    (void)printf("extension %d function %d\n", strstr(names, "cl_pocl_content_size") != NULL,
                 w->set != NULL);
    w->context = open_device(&device);
    MAKE(w->queue, clCreateCommandQueue(w->context, device, 0, &code));
    w->from = buffer(w->context, BYTES, 1);
    w->to = buffer(w->context, BYTES, 2);
    w->size = buffer(w->context, 16, 0);
    w->other = buffer(w->context, 16, 0);
    MAKE(w->part, clCreateSubBuffer(w->from, 0, CL_BUFFER_CREATE_TYPE_REGION, &half, &code));
    MUST(clEnqueueMarkerWithWaitList(w->queue, 0, NULL, NULL));
    MUST(clFinish(w->queue)); /* the card has a queue now, and no buffer yet */
}

static void wrong_calls(const struct world *w)
{
    cl_device_id device;
    cl_context elsewhere = open_device(&device);
    cl_mem small = buffer(w->context, 4, 0), foreign = buffer(elsewhere, 16, 0);
    REPORT("no buffer", w->set(NULL, w->size));
    REPORT("no size", w->set(w->from, NULL));
    REPORT("a size elsewhere", w->set(w->from, foreign));
    REPORT("a size too small", w->set(w->from, small));
    REPORT("a part for a size", w->set(w->to, w->part));
    MUST(clReleaseMemObject(small));
    MUST(clReleaseMemObject(foreign));
    MUST(clReleaseContext(elsewhere));
}

static void tell_size(const struct world *w, cl_mem size, uint64_t bytes)
{
    MUST(clEnqueueWriteBuffer(w->queue, size, CL_TRUE, 0, sizeof(bytes), &bytes, 0, NULL, NULL));
}

/* What arrives of 100 bytes at `offset` when `bytes` of the buffer are of use. */
static void copy(const struct world *w, cl_mem from, size_t offset, uint64_t bytes)
{
    char content[BYTES];
    int count = 0, first = -1;
    (void)memset(content, 2, sizeof(content));
    tell_size(w, w->size, bytes);
    if (w->other)
        tell_size(w, w->other, bytes / 2);
    MUST(clEnqueueWriteBuffer(w->queue, w->to, CL_TRUE, 0, BYTES, content, 0, NULL, NULL));
    MUST(clEnqueueCopyBuffer(w->queue, from, w->to, offset, offset, 100, 0, NULL, NULL));
    MUST(clEnqueueReadBuffer(w->queue, w->to, CL_TRUE, 0, BYTES, content, 0, NULL, NULL));
    for (int i = BYTES - 1; i >= 0; i--)
        if (content[i] != 2) {
            count++;
            first = i;
        }
    (void)printf("copied %d from %d\n", count, first);
}

static void copies(const struct world *w, cl_mem from)
{
    static const uint64_t sizes[] = {0, 128, 150, 200, BYTES, BYTES * 2};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        copy(w, from, 100, sizes[i]);
        copy(w, from, 300, sizes[i]);
    }
}

int main(int count, char **words)
{
    struct world w;
    const int across = count == 2 && strcmp(words[1], "across") == 0;
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    open_world(&w);
    for (int stage = 0; stage < 3; stage++) {
        if (stage == 1 && w.set)
            REPORT("the buffer", w.set(w.from, w.size));
        if (stage == 2 && w.set)
            REPORT("a part", w.set(w.part, w.other));
        if (across)
            await_line();
        copies(&w, w.from);
        copies(&w, w.part);
    }
    if (w.set)
        wrong_calls(&w);
    MUST(clReleaseMemObject(w.other)); /* from now on all of the part is of use */
    w.other = NULL;
    copy(&w, w.part, 300, 128);
    MUST(clReleaseMemObject(w.part));
    MUST(clReleaseMemObject(w.from));
    MUST(clReleaseMemObject(w.size));
    MUST(clReleaseMemObject(w.to));
    return 0;
}
