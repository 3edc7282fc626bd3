/* CLBlast's SGEMM, called as applications do. Prints the error against a plain product and a
 * fingerprint of every bit of the result, so that two runs can be compared exactly. */
#include <clblast_c.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void check(int status, const char *what)
{
    if (status != 0) {
        fprintf(stderr, "sgemm: %s: status %d\n", what, status);
        exit(1);
    }
}

static float *matrix_make(size_t count, uint32_t seed)
{
    float *values = malloc(count * sizeof(*values));
    for (size_t i = 0; values && i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        values[i] = (float)(seed >> 8) / (1 << 23) - 1.0f;
    }
    check(!values, "malloc");
    return values;
}

static cl_mem buffer_make(cl_context context, size_t bytes, float *data)
{
    cl_int status;
    cl_mem buffer =
        clCreateBuffer(context, CL_MEM_READ_WRITE | CL_MEM_COPY_HOST_PTR, bytes, data, &status);
    check(status, "clCreateBuffer");
    return buffer;
}

static double worst_error(const float *a, const float *b, const float *c, size_t m, size_t n,
                          size_t k)
{
    double worst = 0;
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < n; j++) {
            double sum = 0;
            for (size_t l = 0; l < k; l++)
                sum += (double)a[i * k + l] * b[l * n + j];
            worst = fmax(worst, fabs(sum - c[i * n + j]));
        }
    }
    return worst;
}

static uint64_t fingerprint(const float *values, size_t count)
{
    const unsigned char *bytes = (const unsigned char *)values;
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < count * sizeof(*values); i++)
        h = (h ^ bytes[i]) * 1099511628211u;
    return h;
}

static void multiply(cl_context context, cl_command_queue queue, size_t m, size_t n, size_t k)
{
    float *a = matrix_make(m * k, 1), *b = matrix_make(k * n, 2), *c = matrix_make(m * n, 3);
    cl_mem on_a = buffer_make(context, m * k * sizeof(*a), a);
    cl_mem on_b = buffer_make(context, k * n * sizeof(*b), b);
    cl_mem on_c = buffer_make(context, m * n * sizeof(*c), c);
    cl_event done = NULL;
    check(CLBlastSgemm(CLBlastLayoutRowMajor, CLBlastTransposeNo, CLBlastTransposeNo, m, n, k, 1.0f,
                       on_a, 0, k, on_b, 0, n, 0.0f, on_c, 0, n, &queue, &done),
          "CLBlastSgemm");
    check(clWaitForEvents(1, &done), "clWaitForEvents");
    check(clReleaseEvent(done), "clReleaseEvent");
    check(clEnqueueReadBuffer(queue, on_c, CL_TRUE, 0, m * n * sizeof(*c), c, 0, NULL, NULL),
          "clEnqueueReadBuffer");
    double error = worst_error(a, b, c, m, n, k);
    printf("%zu x %zu x %zu: bits %016llx, error %.3g, %s\n", m, n, k,
           (unsigned long long)fingerprint(c, m * n), error, error < 1e-3 ? "right" : "WRONG");
    const cl_mem buffers[] = {on_a, on_b, on_c};
    for (int i = 0; i < 3; i++)
        clReleaseMemObject(buffers[i]);
    free(a);
    free(b);
    free(c);
}

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* So many products of squares, each waited for; the first, which compiles, is not counted. */
static void multiply_timed(cl_context context, cl_command_queue queue, size_t size, size_t calls)
{
    float *values = matrix_make(size * size, 1);
    double *spent = calloc(calls + 1, sizeof(*spent));
    cl_mem on[3];
    check(!spent, "calloc");
    for (int i = 0; i < 3; i++)
        on[i] = buffer_make(context, size * size * sizeof(*values), values);
    for (size_t call = 0; call <= calls; call++) {
        cl_event done = NULL;
        const double start = now_ms();
        check(CLBlastSgemm(CLBlastLayoutRowMajor, CLBlastTransposeNo, CLBlastTransposeNo, size,
                           size, size, 1.0f, on[0], 0, size, on[1], 0, size, 0.0f, on[2], 0, size,
                           &queue, &done),
              "CLBlastSgemm");
        check(clWaitForEvents(1, &done), "clWaitForEvents");
        check(clReleaseEvent(done), "clReleaseEvent");
        spent[call] = call ? now_ms() - start : 0;
    }
    qsort(spent + 1, calls, sizeof(*spent), by_value);
    printf("sgemm_p50_ms\t%.4f\n", spent[1 + calls / 2]);
    for (int i = 0; i < 3; i++)
        clReleaseMemObject(on[i]);
    free(spent);
    free(values);
}

/* sgemm, or sgemm SIZE CALLS to measure. */
int main(int argc, char **argv)
{
    cl_platform_id platform;
    cl_device_id device;
    cl_int status;
    check(clGetPlatformIDs(1, &platform, NULL), "clGetPlatformIDs");
    check(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, NULL), "clGetDeviceIDs");
    cl_context context = clCreateContext(NULL, 1, &device, NULL, NULL, &status);
    check(status, "clCreateContext");
    cl_command_queue queue = clCreateCommandQueue(context, device, 0, &status);
    check(status, "clCreateCommandQueue");
    if (argc == 3) {
        multiply_timed(context, queue, strtoul(argv[1], NULL, 10), strtoul(argv[2], NULL, 10));
    } else {
        multiply(context, queue, 128, 128, 128);
        multiply(context, queue, 200, 152, 96);
        multiply(context, queue, 33, 65, 17);
    }
    check((int)CLBlastClearCache(), "CLBlastClearCache");
    clReleaseCommandQueue(queue);
    clReleaseContext(context);
    return 0;
}
