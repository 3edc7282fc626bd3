/* Programs in parts: headers by name, by -I and next to each other, compiled objects, libraries and
 * their binaries, and wrong calls. Prints what each step gave. */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "program.h"

#define COUNT 16

struct world {
    cl_device_id device;
    cl_context context, other;
    cl_command_queue queue;
    char folder[64];
};

static void open_world(struct world *w)
{
    cl_int code;
    w->context = open_device(&w->device);
    w->other = clCreateContext(NULL, 1, &w->device, NULL, NULL, &code);
    must(code, "context");
    w->queue = clCreateCommandQueue(w->context, w->device, 0, &code);
    must(code, "queue");
}

static cl_program source(struct world *w, const char *text)
{
    cl_int code;
    cl_program program = clCreateProgramWithSource(w->context, 1, &text, NULL, &code);
    must(code, "source");
    return program;
}

static void put_file(struct world *w, const char *name, const char *text)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/%s", w->folder, name);
    FILE *file = fopen(path, "w");
    if (!file || fputs(text, file) < 0 || fclose(file) != 0)
        must(1, path);
}

/* What the program's kernel makes of the numbers 0, 1, 2 ... */
static void run(struct world *w, const char *name, cl_program program)
{
    cl_int values[COUNT], code, sum = 0;
    const size_t count = COUNT;
    for (int i = 0; i < COUNT; i++)
        values[i] = i;
    cl_mem memory = clCreateBuffer(w->context, CL_MEM_COPY_HOST_PTR, sizeof(values), values, &code);
    must(code, "buffer");
    cl_kernel kernel = clCreateKernel(program, "work", &code);
    (void)printf("%s: kernel %d", name, (int)code);
    if (code == CL_SUCCESS) {
        MUST(clSetKernelArg(kernel, 0, sizeof(memory), &memory));
        MUST(clEnqueueNDRangeKernel(w->queue, kernel, 1, NULL, &count, NULL, 0, NULL, NULL));
        MUST(clEnqueueReadBuffer(w->queue, memory, CL_TRUE, 0, sizeof(values), values, 0, NULL,
                                 NULL));
        for (int i = 0; i < COUNT; i++)
            sum = sum * 3 + values[i];
        (void)printf(" result %d", (int)sum);
        MUST(clReleaseKernel(kernel));
    }
    (void)printf("\n");
    MUST(clReleaseMemObject(memory));
}

static void describe(struct world *w, const char *name, cl_program program)
{
    cl_program_binary_type type = 0xff;
    cl_build_status status = 1;
    MUST(clGetProgramBuildInfo(program, w->device, CL_PROGRAM_BUILD_STATUS, sizeof(status), &status,
                               NULL));
    MUST(clGetProgramBuildInfo(program, w->device, CL_PROGRAM_BINARY_TYPE, sizeof(type), &type,
                               NULL));
    (void)printf("%s: status %d type %d\n", name, (int)status, (int)type);
}

static const char *const part_source = "#include \"parts/triple.h\"\n"
                                       "/* #include \"not-there.h\" */\n"
                                       "int twist(int x) { return triple(x) + 1; }\n";
static const char *const main_source =
    "int twist(int x);\n"
    "kernel void work(global int *x) { x[get_global_id(0)] = twist(x[get_global_id(0)]); }\n";

static cl_program from_binary(struct world *w, cl_program program)
{
    size_t length;
    cl_int code;
    MUST(clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof(length), &length, NULL));
    unsigned char *binary = malloc(length);
    MUST(clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof(binary), &binary, NULL));
    cl_program copy = clCreateProgramWithBinary(w->context, 1, &w->device, &length,
                                                (const unsigned char **)&binary, NULL, &code);
    must(code, "binary");
    free(binary);
    return copy;
}

static void in_parts(struct world *w)
{
    const char *names[] = {"parts/triple.h", "factor.h"};
    cl_program headers[] = {
        source(w, "#pragma once\n#include <factor.h>\nint triple(int x) { return FACTOR * x; }\n"),
        source(w, "#define FACTOR 3\n")};
    cl_program part = source(w, part_source), whole = source(w, main_source);
    cl_int code;
    REPORT("compile part", clCompileProgram(part, 0, NULL, "-DX=1", 2, headers, names, NULL, NULL));
    REPORT("compile main", clCompileProgram(whole, 1, &w->device, NULL, 0, NULL, NULL, NULL, NULL));
    describe(w, "part", part);
    run(w, "part alone", part);
    const cl_program both[] = {part, whole};
    cl_program linked = clLinkProgram(w->context, 0, NULL, "", 2, both, NULL, NULL, &code);
    REPORT("link", code);
    describe(w, "linked", linked);
    run(w, "linked", linked);
    cl_program library =
        clLinkProgram(w->context, 1, &w->device, "-create-library", 1, &part, NULL, NULL, &code);
    REPORT("link library", code);
    describe(w, "library", library);
    cl_program copies[] = {from_binary(w, library), from_binary(w, whole)};
    cl_program relinked = clLinkProgram(w->context, 0, NULL, NULL, 2, copies, NULL, NULL, &code);
    REPORT("link binaries", code);
    run(w, "linked binaries", relinked);
    cl_program broken = source(w, "#include \"nowhere.h\"\n");
    REPORT("compile without its header",
           clCompileProgram(broken, 0, NULL, "", 2, headers, names, NULL, NULL));
    describe(w, "broken", broken);
}

static void with_files(struct world *w)
{
    char options[128];
    put_file(w, "outer.h", "#ifndef OUTER\n#define OUTER\n#include \"inner/deep.h\"\n#endif\n");
    put_file(w, "inner/deep.h",
             "#include \"beside.h\"\n#include \"../outer.h\"\n#include \"beside.h\"\n");
    put_file(w, "inner/beside.h", "#pragma once\nint twist(int x) { return x * 5 + DELTA; }\n");
    cl_program program = source(w, "# include <outer.h>\n#include \"outer.h\"\n"
                                   "#if 0\n#include \"not-there.h\"\n#endif\n"
                                   "int twist(int x);\n"
                                   "kernel void work(global int *x)\n"
                                   "{ x[get_global_id(0)] = twist(x[get_global_id(0)]) + __LINE__; "
                                   "}\n");
    (void)snprintf(options, sizeof(options), "-DDELTA=2 -I %s", w->folder);
    REPORT("build with -I", clBuildProgram(program, 0, NULL, options, NULL, NULL));
    run(w, "built with -I", program);
    put_file(w, "inner/beside.h", "#pragma once\nint twist(int x) { return x * 7 + DELTA; }\n");
    (void)snprintf(options, sizeof(options), "-I%s -DDELTA=3", w->folder);
    REPORT("build again", clBuildProgram(program, 0, NULL, options, NULL, NULL));
    run(w, "built again", program);
    REPORT("build without", clBuildProgram(program, 0, NULL, "-DDELTA=3", NULL, NULL));
    (void)snprintf(options, sizeof(options), "-I%s/inner -DDELTA=4", w->folder);
    cl_program compiled = source(w, "#include \"beside.h\"\n"
                                    "kernel void work(global int *x) { x[0] = twist(x[0]); }\n");
    cl_int code;
    REPORT("compile with -I",
           clCompileProgram(compiled, 0, NULL, options, 0, NULL, NULL, NULL, NULL));
    run(w, "compiled with -I",
        clLinkProgram(w->context, 0, NULL, NULL, 1, &compiled, NULL, NULL, &code));
}

/* What is told of a kernel's arguments and of the options that its program was built with. */
static void tell_built(struct world *w, const char *name, cl_program program)
{
    char options[128] = "", argument[16] = "";
    cl_kernel_arg_address_qualifier address = 0;
    cl_int code;
    MUST(clGetProgramBuildInfo(program, w->device, CL_PROGRAM_BUILD_OPTIONS, sizeof(options),
                               options, NULL));
    (void)printf("%s: options '%s'\n", name, options);
    cl_kernel kernel = clCreateKernel(program, "work", &code);
    if (code != CL_SUCCESS)
        return;
    REPORT("its argument's name",
           clGetKernelArgInfo(kernel, 0, CL_KERNEL_ARG_NAME, sizeof(argument), argument, NULL));
    REPORT("its address space", clGetKernelArgInfo(kernel, 0, CL_KERNEL_ARG_ADDRESS_QUALIFIER,
                                                   sizeof(address), &address, NULL));
    (void)printf("%s %#x\n", argument, address);
    MUST(clReleaseKernel(kernel));
}

static void with_options(struct world *w)
{
    static const char *const given[] = {NULL,
                                        "",
                                        "-cl-kernel-arg-info",
                                        " -DN=1   -w ",
                                        "-DN=1 -w -cl-kernel-arg-info",
                                        "-cl-kernel-arg-info -cl-std=CL1.2",
                                        "-w -cl-unheard-of"};
    for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++) {
        cl_program program = source(w, "kernel void work(global int *numbers) { numbers[0] = 1; }");
        REPORT(given[i] ? given[i] : "none",
               clBuildProgram(program, 1, &w->device, given[i], NULL, NULL));
        tell_built(w, "built", program);
        if (i == 6)
            continue;
        cl_program copy = from_binary(w, program);
        REPORT("from its binary",
               clBuildProgram(copy, 1, &w->device, i % 2 ? "" : NULL, NULL, NULL));
        tell_built(w, "from its binary", copy);
    }
    cl_program part = source(w, "kernel void work(global int *numbers) { numbers[0] = 1; }");
    cl_int code;
    MUST(clCompileProgram(part, 0, NULL, "-DN=2", 0, NULL, NULL, NULL, NULL));
    tell_built(w, "compiled", part);
    tell_built(w, "linked", clLinkProgram(w->context, 0, NULL, "", 1, &part, NULL, NULL, &code));
    tell_built(w, "bare", clLinkProgram(w->context, 0, NULL, NULL, 1, &part, NULL, NULL, &code));
    tell_built(w, "a library",
               clLinkProgram(w->context, 0, NULL, "-create-library", 1, &part, NULL, NULL, &code));
}

static char compile_word[] = "compile";

static void CL_CALLBACK on_built(cl_program program, void *arg)
{
    (void)printf("called back for %s\n", (const char *)arg);
}

static void wrong_calls(struct world *w)
{
    cl_int code;
    cl_program header = source(w, "\n"), plain = source(w, main_source);
    cl_program foreign;
#define COMPILE(program, devices, list, count, headers, names, notify, arg) \
    clCompileProgram(program, devices, list, "", count, headers, names, notify, arg)
#define LINK(context, devices, list, count, inputs, notify, arg) \
    (code = 1, (void)clLinkProgram(context, devices, list, "", count, inputs, notify, arg, &code), \
     code)
    REPORT("compile: null", COMPILE(NULL, 0, NULL, 0, NULL, NULL, NULL, NULL));
    REPORT("compile: list without count",
           COMPILE(header, 0, &w->device, 0, NULL, NULL, NULL, NULL));
    REPORT("compile: count without list", COMPILE(header, 1, NULL, 0, NULL, NULL, NULL, NULL));
    REPORT("compile: user data only", COMPILE(header, 0, NULL, 0, NULL, NULL, NULL, w));
    REPORT("link: not compiled", LINK(w->context, 0, NULL, 1, &plain, NULL, NULL));
    REPORT("compile: called back", COMPILE(plain, 0, NULL, 0, NULL, NULL, on_built, compile_word));
    REPORT("link: null context", LINK(NULL, 0, NULL, 1, &plain, NULL, NULL));
    REPORT("link: nothing", LINK(w->context, 0, NULL, 0, NULL, NULL, NULL));
    REPORT("link: count without list", LINK(w->context, 0, NULL, 1, NULL, NULL, NULL));
    REPORT("link: devices without count", LINK(w->context, 0, &w->device, 1, &plain, NULL, NULL));
    REPORT("link: count without devices", LINK(w->context, 1, NULL, 1, &plain, NULL, NULL));
    REPORT("link: user data only", LINK(w->context, 0, NULL, 1, &plain, NULL, w));
    foreign = clCreateProgramWithSource(w->other, 1, &(const char *){"\n"}, NULL, &code);
    MUST(clCompileProgram(foreign, 0, NULL, "", 0, NULL, NULL, NULL, NULL));
    REPORT("link: foreign", LINK(w->context, 0, NULL, 1, &foreign, NULL, NULL));
}

int main(void)
{
    struct world w = {.folder = "/tmp/leat-compiling.XXXXXX"};
    char path[128];
    (void)setvbuf(stdout, NULL, _IONBF, 0);
    if (!mkdtemp(w.folder))
        must(1, w.folder);
    (void)snprintf(path, sizeof(path), "%s/inner", w.folder);
    if (mkdir(path, 0700) < 0)
        must(1, path);
    open_world(&w);
    in_parts(&w);
    with_files(&w);
    with_options(&w);
    wrong_calls(&w);
    return 0;
}
