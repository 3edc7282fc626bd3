/* Builds beyond the plain one: told of by callbacks, by many threads at once, with options,
 * of many parts and headers in folders, from binaries of every kind, with the compiler unloaded in
 * between. Prints what came of each, so that a run on a card can be compared with one on the
 * device. */
#undef CL_TARGET_OPENCL_VERSION
#define CL_TARGET_OPENCL_VERSION 300
#define CL_USE_DEPRECATED_OPENCL_1_1_APIS
#include <pthread.h>
#include <string.h>

#include "program.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))
#define THREADS 6
#define PARTS 6
#define SOME_OPTIONS 4

static struct {
    cl_platform_id platform;
    cl_device_id device;
    cl_context context;
    cl_command_queue queue;
    cl_mem out;
    pthread_mutex_t lock;
    pthread_cond_t called;
} w = {.lock = PTHREAD_MUTEX_INITIALIZER, .called = PTHREAD_COND_INITIALIZER};

static cl_program source(const char *text)
{
    cl_int code;
    cl_program program;
    MAKE(program, clCreateProgramWithSource(w.context, 1, &text, NULL, &code));
    return program;
}

static void tell(const char *name, cl_program program)
{
    cl_build_status status = 77;
    cl_program_binary_type type = 77;
    char options[256] = "", names[512] = "";
    size_t kernels = 77, globals = 77;
    MUST(clGetProgramBuildInfo(program, w.device, CL_PROGRAM_BUILD_STATUS, sizeof(status), &status,
                               NULL));
    MUST(clGetProgramBuildInfo(program, w.device, CL_PROGRAM_BINARY_TYPE, sizeof(type), &type,
                               NULL));
    MUST(clGetProgramBuildInfo(program, w.device, CL_PROGRAM_BUILD_OPTIONS, sizeof(options),
                               options, NULL));
    MUST(clGetProgramBuildInfo(program, w.device, CL_PROGRAM_BUILD_GLOBAL_VARIABLE_TOTAL_SIZE,
                               sizeof(globals), &globals, NULL));
    cl_int counted =
        clGetProgramInfo(program, CL_PROGRAM_NUM_KERNELS, sizeof(kernels), &kernels, NULL);
    cl_int named = clGetProgramInfo(program, CL_PROGRAM_KERNEL_NAMES, sizeof(names), names, NULL);
    (void)printf("%s: status %d type %d options '%s' globals %zu kernels %d %zu %d '%s'\n", name,
                 (int)status, (int)type, options, globals, (int)counted, kernels, (int)named,
                 names);
}

static cl_int run(cl_program program, const char *name)
{
    const size_t one = 1;
    cl_int result = -1, code;
    cl_kernel kernel = clCreateKernel(program, name, &code);
    if (code != CL_SUCCESS)
        return code;
    MUST(clSetKernelArg(kernel, 0, sizeof(w.out), &w.out));
    MUST(clEnqueueNDRangeKernel(w.queue, kernel, 1, NULL, &one, NULL, 0, NULL, NULL));
    MUST(clEnqueueReadBuffer(w.queue, w.out, CL_TRUE, 0, sizeof(result), &result, 0, NULL, NULL));
    MUST(clReleaseKernel(kernel));
    return result;
}

/* What a callback saw. */
struct notice {
    cl_program program;
    cl_build_status status;
    int calls;
};

static void CL_CALLBACK on_built(cl_program program, void *arg)
{
    struct notice *notice = arg;
    cl_build_status status = 77;
    MUST(clGetProgramBuildInfo(program, w.device, CL_PROGRAM_BUILD_STATUS, sizeof(status), &status,
                               NULL));
    (void)pthread_mutex_lock(&w.lock);
    notice->program = program;
    notice->status = status;
    notice->calls++;
    (void)pthread_cond_signal(&w.called);
    (void)pthread_mutex_unlock(&w.lock);
}

static void await_notice(const char *name, struct notice *notice, cl_program program)
{
    (void)pthread_mutex_lock(&w.lock);
    while (notice->calls == 0)
        (void)pthread_cond_wait(&w.called, &w.lock);
    (void)printf("%s: called %d, same program %d, status %d\n", name, notice->calls,
                 notice->program == program, (int)notice->status);
    (void)pthread_mutex_unlock(&w.lock);
    *notice = (struct notice){0};
}

static const char *const good = "int f(int x);\nkernel void k(global int *x) { x[0] = f(41); }\n",
                         *const other = "int f(int x) { return x + 1; }\n",
                         *const whole =
                             "constant int c = 6;\nkernel void k(global int *x) { x[0] = c * 7; }\n"
                             "kernel void l(global int *x) { x[0] = c; }\n",
                         *const broken = "kernel void k(global int *x) { x[0] = nothing; }\n";

/* Whoever asks to be called back is, for good and for bad ends. */
static void called_back(void)
{
    struct notice notice = {0};
    cl_int code;
    cl_program parts[] = {source(good), source(other)}, bad = source(broken), all = source(whole);
    REPORT("build", clBuildProgram(all, 1, &w.device, "", on_built, &notice));
    await_notice("build", &notice, all);
    (void)printf("runs %d\n", (int)run(all, "k"));
    cl_int failed = clBuildProgram(bad, 1, &w.device, "", on_built, &notice);
    await_notice("broken build", &notice, bad);
    REPORT("broken build", failed);
    for (int i = 0; i < 2; i++) {
        MUST(clCompileProgram(parts[i], 1, &w.device, "", 0, NULL, NULL, on_built, &notice));
        await_notice("compile", &notice, parts[i]);
    }
    failed = clCompileProgram(bad, 1, &w.device, "", 0, NULL, NULL, on_built, &notice);
    await_notice("broken compile", &notice, bad);
    REPORT("broken compile", failed);
    cl_program linked =
        clLinkProgram(w.context, 1, &w.device, "", 2, parts, on_built, &notice, &code);
    await_notice("link", &notice, linked);
    (void)printf("link %d, runs %d\n", (int)code, (int)run(linked, "k"));
    linked = clLinkProgram(w.context, 1, &w.device, "", 1, parts, on_built, &notice, &code);
    await_notice("broken link", &notice, linked);
    (void)printf("broken link %d %d\n", (int)code, linked != NULL);
}

/* All threads build the same text and one of their own. */
static void *build_beside(void *arg)
{
    const int number = (int)(intptr_t)arg;
    char text[128];
    cl_program same = source(whole), own;
    (void)snprintf(text, sizeof(text), "kernel void k(global int *x) { x[%d] = %d; }\n", number,
                   number * number);
    own = source(text);
    const cl_program both[] = {same, own};
    for (int i = 0; i < 2; i++) {
        cl_int code;
        cl_kernel kernel;
        const size_t one = 1;
        MUST(clBuildProgram(both[i], 1, &w.device, i ? "-DX=1" : NULL, NULL, NULL));
        MAKE(kernel, clCreateKernel(both[i], i ? "k" : "l", &code));
        if (i) {
            MUST(clSetKernelArg(kernel, 0, sizeof(w.out), &w.out));
            MUST(clEnqueueNDRangeKernel(w.queue, kernel, 1, NULL, &one, NULL, 0, NULL, NULL));
        }
        MUST(clReleaseKernel(kernel));
        MUST(clReleaseProgram(both[i]));
    }
    return NULL;
}

static void beside_one_another(void)
{
    pthread_t threads[THREADS];
    cl_int values[THREADS];
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, build_beside, (void *)(intptr_t)i) != 0)
            must(CL_OUT_OF_HOST_MEMORY, "a thread");
    for (int i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    MUST(clEnqueueReadBuffer(w.queue, w.out, CL_TRUE, 0, sizeof(values), values, 0, NULL, NULL));
    show("threads", values, sizeof(values));
}

/* The first of them, or all: a build takes long. */
static void with_options(size_t count)
{
    static const char *const options[] = {"-cl-fast-relaxed-math",
                                          "-D NAME=5 -D OTHER=6",
                                          "-DNAME=\"5 + 1\"",
                                          "-DNAME=5\t-w",
                                          "-cl-opt-disable",
                                          "-cl-std=CL1.2 -w",
                                          "-D'NAME=7'",
                                          "-cl-single-precision-constant",
                                          "-cl-denorms-are-zero",
                                          "-cl-strict-aliasing",
                                          "-cl-fp32-correctly-rounded-divide-sqrt",
                                          "-cl-mad-enable",
                                          "-cl-no-signed-zeros",
                                          "-cl-unsafe-math-optimizations",
                                          "-cl-finite-math-only",
                                          "-cl-uniform-work-group-size",
                                          "-cl-no-subgroup-ifp",
                                          "-cl-kernel-arg-info",
                                          "-cl-std=CL1.0",
                                          "-cl-std=CL1.1",
                                          "-cl-std=CL1.2",
                                          "-cl-std=CL2.0",
                                          "-cl-std=CL3.0",
                                          "-g",
                                          "-w",
                                          "-Werror",
                                          "-D NAME",
                                          "-DNAME=5",
                                          "-x spir -spir-std=1.2",
                                          "-cl-opt-disable -cl-mad-enable -w",
                                          "  ",
                                          "-UNAME",
                                          "-I /nowhere -w"};
    for (size_t i = 0; i < count && i < COUNT(options); i++) {
        cl_program program = source("#ifndef NAME\n#define NAME 3\n#endif\n"
                                    "kernel void k(global int *x) {\n"
                                    "#ifdef __FAST_RELAXED_MATH__\nx[0] = 1000 + NAME + 0;\n"
                                    "#else\nx[0] = NAME + 0;\n#endif\n}\n");
        REPORT(options[i], clBuildProgram(program, 0, NULL, options[i], NULL, NULL));
        tell("built", program);
        (void)printf("gives %d\n", (int)run(program, "k"));
        MUST(clReleaseProgram(program));
    }
}

static cl_program copy_of(cl_program program)
{
    size_t length = 0;
    cl_int code, status = 77;
    MUST(clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof(length), &length, NULL));
    unsigned char *binary = malloc(length);
    MUST(clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof(binary), &binary, NULL));
    cl_program copy = clCreateProgramWithBinary(w.context, 1, &w.device, &length,
                                                (const unsigned char **)&binary, &status, &code);
    (void)printf("copy %d %d\n", (int)code, (int)status);
    free(binary);
    must(code, "binary");
    tell("copy", copy);
    return copy;
}

/* Many kernels that one calls, in parts of their own, linked at once and through a library. */
static void many_parts(void)
{
    cl_program parts[PARTS + 1];
    char text[PARTS * 80] = "", body[PARTS * 40] = "", name[32];
    cl_int code;
    for (int i = 0; i < PARTS; i++) {
        char part[128];
        (void)snprintf(part, sizeof(part), "kernel void part%d(global int *x) { x[0] += %d; }\n", i,
                       i);
        parts[i] = source(part);
        MUST(clCompileProgram(parts[i], 1, &w.device, NULL, 0, NULL, NULL, NULL, NULL));
        (void)snprintf(text + strlen(text), sizeof(text) - strlen(text),
                       "extern kernel void part%d(global int *x);\n", i);
        (void)snprintf(body + strlen(body), sizeof(body) - strlen(body), "part%d(x); ", i);
    }
    const char *pieces[] = {text, "kernel void k(global int *x) { x[0] = 5; ", body, "}\n"};
    MAKE(parts[PARTS], clCreateProgramWithSource(w.context, 4, pieces, NULL, &code));
    MUST(clCompileProgram(parts[PARTS], 1, &w.device, NULL, 0, NULL, NULL, NULL, NULL));
    cl_program linked =
        clLinkProgram(w.context, 1, &w.device, NULL, PARTS + 1, parts, NULL, NULL, &code);
    REPORT("link", code);
    tell("linked", linked);
    (void)printf("gives %d\n", (int)run(linked, "k"));
    cl_program library =
        clLinkProgram(w.context, 1, &w.device, "-create-library", PARTS, parts, NULL, NULL, &code);
    REPORT("library", code);
    tell("library", library);
    const cl_program two[] = {parts[PARTS], library};
    linked = clLinkProgram(w.context, 1, &w.device, NULL, 2, two, NULL, NULL, &code);
    REPORT("link with the library", code);
    (void)printf("gives %d\n", (int)run(linked, "k"));
    const cl_program copies[] = {copy_of(parts[PARTS]), copy_of(library)};
    linked = clLinkProgram(w.context, 1, &w.device, NULL, 2, copies, NULL, NULL, &code);
    REPORT("link of copies", code);
    (void)snprintf(name, sizeof(name), "part%d", PARTS - 1);
    (void)printf("gives %d %d\n", (int)run(linked, "k"), (int)run(linked, name));
}

/* Headers that are programs, with folders in their names. */
static void headers_in_folders(void)
{
    static const char *const names[] = {"plain.h", "a/inner.h", "a/b/deep.h", "a/b/c/deepest.h"};
    cl_program headers[COUNT(names)];
    char text[1024] = "";
    for (size_t i = 0; i < COUNT(names); i++) {
        char header[64];
        (void)snprintf(header, sizeof(header), "#define H%zu %zu\n", i, i + 1);
        headers[i] = source(header);
        (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "#include \"%s\"\n",
                       names[i]);
    }
    (void)snprintf(text + strlen(text), sizeof(text) - strlen(text),
                   "kernel void k(global int *x) { x[0] = ((H0 * 10 + H1) * 10 + H2) * 10 + H3; }");
    for (cl_uint count = 0; count <= COUNT(names); count += 2) {
        cl_int code;
        cl_program program = source(text);
        cl_int compiled =
            clCompileProgram(program, 0, NULL, NULL, count, count ? headers : NULL,
                             count ? (const char **)(uintptr_t)names : NULL, NULL, NULL);
        (void)printf("%u headers: %d\n", count, (int)compiled);
        if (compiled != CL_SUCCESS)
            continue;
        cl_program linked = clLinkProgram(w.context, 0, NULL, NULL, 1, &program, NULL, NULL, &code);
        (void)printf("link %d gives %d\n", (int)code, (int)run(linked, "k"));
    }
}

/* Constants and functions of other parts, private ones and missing ones. */
static void names_across(void)
{
    static const char *const pairs[][2] = {
        {"constant int c = 8;\n", "extern constant int c;\n"},
        {"constant struct { int a, b; } c = {3, 4};\n",
         "extern constant struct { int a, b; } c;\n#define c c.b\n"},
        {"static constant int c = 8;\n", "extern constant int c;\n"},
        {"int f(int x) { return x * x; }\n", "extern int f(int);\n#define c f(3)\n"},
        {"static int f(int x) { return x * x; }\n", "extern int f(int);\n#define c f(3)\n"},
        {"constant int c = 8;\n", "constant int c = 9;\n"}};
    for (size_t i = 0; i < COUNT(pairs); i++) {
        char text[256];
        cl_int code, codes[2];
        (void)snprintf(text, sizeof(text), "%skernel void k(global int *x) { x[0] = c; }\n",
                       pairs[i][1]);
        const cl_program parts[] = {source(pairs[i][0]), source(text)};
        for (int j = 0; j < 2; j++)
            codes[j] = clCompileProgram(parts[j], 1, &w.device, NULL, 0, NULL, NULL, NULL, NULL);
        cl_program linked =
            clLinkProgram(w.context, 1, &w.device, NULL, 2, parts, NULL, NULL, &code);
        (void)printf("names %zu: %d %d, link %d %d\n", i, (int)codes[0], (int)codes[1], (int)code,
                     linked != NULL);
        if (code == CL_SUCCESS)
            (void)printf("gives %d\n", (int)run(linked, "k"));
    }
}

/* Binaries of programs in every state, built, run and given on again. */
static void from_binaries(void)
{
    cl_program built = source(whole), compiled = source(whole), again;
    MUST(clBuildProgram(built, 0, NULL, "-DX", NULL, NULL));
    MUST(clCompileProgram(compiled, 0, NULL, "-DY", 0, NULL, NULL, NULL, NULL));
    again = copy_of(built);
    REPORT("run before its build", run(again, "k"));
    REPORT("build", clBuildProgram(again, 1, &w.device, NULL, NULL, NULL));
    tell("built copy", again);
    (void)printf("gives %d %d\n", (int)run(again, "k"), (int)run(again, "l"));
    again = copy_of(again);
    REPORT("build", clBuildProgram(again, 1, &w.device, "-cl-opt-disable", NULL, NULL));
    (void)printf("gives %d\n", (int)run(again, "k"));
    again = copy_of(compiled);
    cl_int code;
    again = clLinkProgram(w.context, 0, NULL, NULL, 1, &again, NULL, NULL, &code);
    REPORT("link", code);
    tell("linked copy", again);
    (void)printf("gives %d\n", (int)run(again, "k"));
}

/* The compiler may be unloaded whenever no build is under way. */
static void unloaded(void)
{
    cl_program program = source(whole);
    REPORT("unload", clUnloadPlatformCompiler(w.platform));
    MUST(clBuildProgram(program, 0, NULL, NULL, NULL, NULL));
    REPORT("unload", clUnloadCompiler());
    (void)printf("gives %d\n", (int)run(program, "k"));
    REPORT("no platform", clUnloadPlatformCompiler(NULL));
}

/* With an argument: all options and nothing else. */
int main(int argc, char **argv)
{
    cl_int code;
    (void)setvbuf(stdout, NULL, _IONBF, 0);
    MUST(clGetPlatformIDs(1, &w.platform, NULL));
    w.context = open_device(&w.device);
    MAKE(w.queue, clCreateCommandQueueWithProperties(w.context, w.device, NULL, &code));
    MAKE(w.out, clCreateBuffer(w.context, 0, 4096, NULL, &code));
    if (argc > 1) {
        with_options(SIZE_MAX);
        return 0;
    }
    called_back();
    beside_one_another();
    with_options(SOME_OPTIONS);
    many_parts();
    headers_in_folders();
    names_across();
    from_binaries();
    unloaded();
    return 0;
}
