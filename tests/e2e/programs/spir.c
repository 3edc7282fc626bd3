/* Use a program that comes as SPIR: `spir FILE` prints what it tells at each stage, what comes of
 * wrong uses, and what its kernel computes; FILE has the code of spir.cl. `spir FILE across` says
 * "ready" and waits for a line after each stage, for what happens to the card meanwhile; the other
 * lines are to be the same wherever it runs. */
#include <CL/cl_ext.h>
#include <string.h>

#include "program.h"

#define COUNT 64
#define FILE_MAX_BYTES (1u << 20)

struct world {
    cl_device_id device;
    cl_context context;
    cl_command_queue queue;
    unsigned char *code;
    size_t code_bytes;
    int across;
};

static void stage(const struct world *w)
{
    if (w->across)
        await_line();
}

static void open_world(struct world *w, const char *path)
{
    cl_int code;
    char extensions[4096] = "", versions[256] = "";
    FILE *file = fopen(path, "rb");
    w->code = malloc(FILE_MAX_BYTES);
    if (!file || !w->code)
        must(CL_INVALID_VALUE, path);
    w->code_bytes = fread(w->code, 1, FILE_MAX_BYTES, file);
    (void)fclose(file);
    w->context = open_device(&w->device);
    MAKE(w->queue, clCreateCommandQueue(w->context, w->device, 0, &code));
    MUST(clGetDeviceInfo(w->device, CL_DEVICE_EXTENSIONS, sizeof(extensions), extensions, NULL));
    code = clGetDeviceInfo(w->device, CL_DEVICE_SPIR_VERSIONS, sizeof(versions), versions, NULL);
    (void)printf("extension %d versions %d \"%s\"\n", strstr(extensions, "cl_khr_spir") != NULL,
                 (int)code, versions);
}

static cl_program of_binary(const struct world *w, const char *name, const unsigned char *binary,
                            size_t bytes)
{
    cl_int code, status = 77;
    cl_program program =
        clCreateProgramWithBinary(w->context, 1, &w->device, &bytes, &binary, &status, &code);
    (void)printf("%s: made %d %d\n", name, (int)code, (int)status);
    return program;
}

static void tell(const struct world *w, const char *name, cl_program program)
{
    cl_program_binary_type type = 77;
    cl_build_status status = 77;
    char log[4096] = "", options[256] = "";
    MUST(clGetProgramBuildInfo(program, w->device, CL_PROGRAM_BINARY_TYPE, sizeof(type), &type,
                               NULL));
    MUST(clGetProgramBuildInfo(program, w->device, CL_PROGRAM_BUILD_STATUS, sizeof(status), &status,
                               NULL));
    MUST(clGetProgramBuildInfo(program, w->device, CL_PROGRAM_BUILD_OPTIONS, sizeof(options),
                               options, NULL));
    (void)printf("%s: status %d type %u options \"%s\"\n", name, (int)status, (unsigned)type,
                 options);
    if (status == CL_BUILD_NONE)
        return; /* some have no log then */
    MUST(clGetProgramBuildInfo(program, w->device, CL_PROGRAM_BUILD_LOG, sizeof(log), log, NULL));
    (void)printf("%s: log \"%s\"\n", name, log);
}

static void tell_arguments(const char *name, cl_kernel kernel)
{
    cl_uint count = 77;
    MUST(clGetKernelInfo(kernel, CL_KERNEL_NUM_ARGS, sizeof(count), &count, NULL));
    (void)printf("%s: %u arguments\n", name, count);
    for (cl_uint i = 0; i < count; i++)
        for (cl_kernel_arg_info what = CL_KERNEL_ARG_ADDRESS_QUALIFIER; what <= CL_KERNEL_ARG_NAME;
             what++) {
            char value[256] = "";
            size_t length = 0;
            cl_int code = clGetKernelArgInfo(kernel, i, what, sizeof(value), value, &length);
            (void)printf("argument %u %x: %d, %zu ", i, what, (int)code, length);
            show("", value, length);
        }
}

/* Its arguments of a wrong kind or size, then what it computes. */
static void use(const struct world *w, const char *name, cl_program program)
{
    cl_int code, values[COUNT], factor = 3;
    const size_t count = COUNT, group = COUNT / 4;
    cl_kernel kernel = clCreateKernel(program, "twist", &code);
    cl_mem data;
    (void)printf("%s: kernel %d\n", name, (int)code);
    if (code)
        return;
    tell_arguments(name, kernel);
    for (int i = 0; i < COUNT; i++)
        values[i] = i;
    MAKE(data, clCreateBuffer(w->context, CL_MEM_COPY_HOST_PTR, sizeof(values), values, &code));
    REPORT("short value", clSetKernelArg(kernel, 1, sizeof(factor) - 1, &factor));
    REPORT("too many", clSetKernelArg(kernel, 3, sizeof(factor), &factor));
    REPORT("local with a value", clSetKernelArg(kernel, 2, sizeof(data), &data));
    MUST(clSetKernelArg(kernel, 0, sizeof(data), &data));
    MUST(clSetKernelArg(kernel, 1, sizeof(factor), &factor));
    MUST(clSetKernelArg(kernel, 2, group * sizeof(cl_int), NULL));
    for (int round = 0; round < 2; round++) {
        stage(w);
        MUST(clEnqueueNDRangeKernel(w->queue, kernel, 1, NULL, &count, &group, 0, NULL, NULL));
        MUST(
            clEnqueueReadBuffer(w->queue, data, CL_TRUE, 0, sizeof(values), values, 0, NULL, NULL));
        (void)printf("%s: %d %d\n", name, values[1], values[COUNT - 1]);
    }
    MUST(clReleaseMemObject(data));
    MUST(clReleaseKernel(kernel));
}

/* The binary that the driver made of it is one like any other. */
static void use_copy(const struct world *w, cl_program program)
{
    size_t bytes = 0;
    unsigned char *binary;
    MUST(clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof(bytes), &bytes, NULL));
    binary = malloc(bytes);
    MUST(clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof(binary), &binary, NULL));
    cl_program copy = of_binary(w, "copy", binary, bytes);
    free(binary);
    if (!copy)
        return;
    REPORT("build of the copy", clBuildProgram(copy, 1, &w->device, NULL, NULL, NULL));
    use(w, "copy", copy);
    MUST(clReleaseProgram(copy));
}

/* As a part of a program, alone or with a compiled one. */
static void link_it(const struct world *w, cl_program spir)
{
    const char *text = "kernel void other(global int *x) { x[0] = 1; }\n";
    cl_int code;
    cl_program parts[2] = {spir}, linked;
    REPORT("compile", clCompileProgram(spir, 1, &w->device, "-x spir", 0, NULL, NULL, NULL, NULL));
    MAKE(parts[1], clCreateProgramWithSource(w->context, 1, &text, NULL, &code));
    MUST(clCompileProgram(parts[1], 1, &w->device, "", 0, NULL, NULL, NULL, NULL));
    for (cl_uint count = 1; count <= 2; count++) {
        stage(w);
        linked = clLinkProgram(w->context, 1, &w->device, "", count, parts, NULL, NULL, &code);
        (void)printf("link of %u: %d\n", count, (int)code);
        if (!linked)
            continue;
        tell(w, "linked", linked);
        if (code == CL_SUCCESS)
            use(w, "linked", linked);
        MUST(clReleaseProgram(linked));
    }
    MUST(clReleaseProgram(parts[1]));
}

int main(int count, char **words)
{
    static const char *const options[] = {NULL, "-x spir -spir-std=1.2",
                                          "-x spir -cl-kernel-arg-info"};
    struct world w = {.across = count == 3 && strcmp(words[2], "across") == 0};
    cl_int code;
    if (count != (w.across ? 3 : 2)) {
        (void)fprintf(stderr, "usage: spir FILE [across]\n");
        return 2;
    }
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    open_world(&w, words[1]);
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        const char *name = options[i] ? options[i] : "bare";
        cl_program program = of_binary(&w, name, w.code, w.code_bytes);
        if (!program)
            return 0;
        tell(&w, name, program);
        (void)clCreateKernel(program, "twist", &code);
        REPORT("kernel of what is not built", code);
        stage(&w);
        REPORT(name, clBuildProgram(program, 1, &w.device, options[i], NULL, NULL));
        tell(&w, name, program);
        stage(&w);
        use(&w, name, program);
        if (i == 0)
            use_copy(&w, program);
        MUST(clReleaseProgram(program));
    }
    cl_program half = of_binary(&w, "half", w.code, w.code_bytes);
    link_it(&w, half);
    MUST(clReleaseProgram(half));
    free(w.code);
    return 0;
}
