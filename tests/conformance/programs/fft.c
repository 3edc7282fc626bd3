/* A client of clFFT: transforms there and back, of one and two dimensions; prints hashes. */
#include <clFFT.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static void must(cl_int code, const char *what)
{
    if (code == CL_SUCCESS)
        return;
    (void)fprintf(stderr, "%s: %d\n", what, (int)code);
    exit(2);
}

static void show(const char *name, const float *values, size_t count)
{
    const unsigned char *bytes = (const unsigned char *)values;
    uint64_t state = 14695981039346656037u;
    for (size_t i = 0; i < count * sizeof(*values); i++)
        state = (state ^ bytes[i]) * 1099511628211u;
    (void)printf("%s %016llx\n", name, (unsigned long long)state);
}

static void transform(cl_context context, cl_command_queue queue, clfftDim dim, size_t *lengths)
{
    size_t count = 2 * lengths[0] * (dim == CLFFT_2D ? lengths[1] : 1);
    float *values = calloc(count, sizeof(*values));
    cl_int code;
    for (size_t i = 0; i < count; i++)
        values[i] = (float)(i * 37 % 101) / 101.0f;
    cl_mem memory =
        clCreateBuffer(context, CL_MEM_COPY_HOST_PTR, count * sizeof(*values), values, &code);
    must(code, "buffer");
    clfftPlanHandle plan;
    must(clfftCreateDefaultPlan(&plan, context, dim, lengths), "plan");
    must(clfftSetPlanPrecision(plan, CLFFT_SINGLE), "precision");
    must(clfftSetLayout(plan, CLFFT_COMPLEX_INTERLEAVED, CLFFT_COMPLEX_INTERLEAVED), "layout");
    must(clfftSetResultLocation(plan, CLFFT_INPLACE), "place");
    must(clfftBakePlan(plan, 1, &queue, NULL, NULL), "bake");
    static const clfftDirection ways[] = {CLFFT_FORWARD, CLFFT_BACKWARD};
    for (int way = 0; way < 2; way++) {
        must(clfftEnqueueTransform(plan, ways[way], 1, &queue, 0, NULL, NULL, &memory, NULL, NULL),
             "transform");
        must(clEnqueueReadBuffer(queue, memory, CL_TRUE, 0, count * sizeof(*values), values, 0,
                                 NULL, NULL),
             "read");
        show(way ? "back" : "there", values, count);
    }
    must(clfftDestroyPlan(&plan), "destroy");
    (void)clReleaseMemObject(memory);
    free(values);
}

int main(void)
{
    cl_platform_id platform;
    cl_device_id device;
    cl_int code;
    clfftSetupData setup;
    must(clGetPlatformIDs(1, &platform, NULL), "platform");
    must(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, NULL), "device");
    cl_context context = clCreateContext(NULL, 1, &device, NULL, NULL, &code);
    must(code, "context");
    cl_command_queue queue = clCreateCommandQueue(context, device, 0, &code);
    must(code, "queue");
    must(clfftInitSetupData(&setup), "setup data");
    must(clfftSetup(&setup), "setup");
    size_t line[1] = {1024}, plane[2] = {60, 64};
    transform(context, queue, CLFFT_1D, line);
    transform(context, queue, CLFFT_2D, plane);
    must(clfftTeardown(), "teardown");
    (void)clReleaseCommandQueue(queue);
    (void)clReleaseContext(context);
    return 0;
}
