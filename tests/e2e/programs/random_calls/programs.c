/* Programs: built, compiled, linked, from binaries; and what is wrong with them. */
#include "programs.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

#define STRIDE \
    "#define EACH(i, n) size_t i = get_global_id(1) + get_global_id(2) == get_global_offset(1) + " \
    "get_global_offset(2) ? get_global_id(0) - get_global_offset(0) : n; i < n; i += " \
    "get_global_size(0)\n"

const struct source sources[SOURCES] = {
    {STRIDE
     "struct pair { uchar a; uint b; };\n"
     "kernel void add(global uchar *x, uint n, int k) { for (EACH(i, n)) x[i] += k; }\n"
     "kernel void mix_in(global uchar *x, global const uchar *y, uint n, uint m, local uchar *t) "
     "{\n"
     "    size_t at = get_local_linear_id();\n"
     "    t[at] = (uchar)(at * 7);\n"
     "    barrier(CLK_LOCAL_MEM_FENCE);\n"
     "    uchar next = t[at ? at - 1 : 0];\n"
     "    for (EACH(i, n)) x[i] = x[i] * 3 + y[i % m] + next;\n"
     "}\n"
     "kernel void place(global uchar *x, uint n) {\n"
     "    size_t at = get_global_linear_id();\n"
     "    if (at < n) x[at] = get_local_size(0) * 3 + get_local_size(1) * 5 + get_group_id(0) * 7 "
     "+\n"
     "                        get_num_groups(2) + get_work_dim() * 11 + get_global_id(1) * 13;\n"
     "}\n"
     "kernel void count(global uint *x, uint n, int k) { if (n >= 4) atomic_add(x, k); }\n"
     "kernel void kinds(global uchar *x, uint n, char c, short s, long l, float f, double d,\n"
     "                  float3 v, char16 w, struct pair p) {\n"
     "    ulong sum = c + 3 * s + 5 * l + 7 * as_uint(f) + 11 * as_ulong(d) + 13 * as_uint(v.x) +\n"
     "                17 * as_uint(v.z) + 19 * w.s0 + 23 * w.sf + 29 * p.a + 31 * p.b;\n"
     "    for (EACH(i, n)) x[i] = sum >> (i % 8 * 8);\n"
     "}\n"
     "kernel __attribute__((reqd_work_group_size(4, 1, 1))) void fixed(global uchar *x, uint n)\n"
     "{ for (EACH(i, n)) x[i] ^= get_local_id(0); }\n"
     "kernel void table(constant uchar *y, global uchar *x, uint n, uint m)\n"
     "{ for (EACH(i, n)) x[i] += y[m - 1 - i % m]; }\n",
     {{"add", "xnk"},
      {"mix_in", "xynmt"},
      {"place", "xn"},
      {"count", "xnk"},
      {"kinds", "xncslfdvwp"},
      {"fixed", "xn"},
      {"table", "yxnm"}}},
    {STRIDE
     "#define LOOK(name, type, read) \\\n"
     "    kernel void name(read_only image2d_t i, sampler_t z, global uchar *x, uint n) { \\\n"
     "        for (EACH(at, n / sizeof(type))) { \\\n"
     "            type p = read(i, z, (float2)(at % 16 * 0.25f - 1.0f, at / 16 * 0.125f - 0.5f)); "
     "\\\n"
     "            for (uint b = 0; b < sizeof(p); b++) x[at * sizeof(p) + b] = ((uchar *)&p)[b]; "
     "\\\n"
     "        } \\\n"
     "    }\n"
     "#define PAINT(name, type, write) \\\n"
     "    kernel void name(write_only image2d_t o, int k) { \\\n"
     "        uint width = get_image_width(o); \\\n"
     "        for (EACH(at, width * get_image_height(o))) \\\n"
     "            write(o, (int2)(at % width, at / width), (type)(at % 5, k & 63, at % 3, 1)); \\\n"
     "    }\n"
     "LOOK(look_f, float4, read_imagef) LOOK(look_u, uint4, read_imageui)\n"
     "LOOK(look_i, int4, read_imagei)\n"
     "PAINT(paint_f, float4, write_imagef) PAINT(paint_u, uint4, write_imageui)\n"
     "PAINT(paint_i, int4, write_imagei)\n",
     {{"look_f", "izxn"},
      {"look_u", "izxn"},
      {"look_i", "izxn"},
      {"paint_f", "ok"},
      {"paint_u", "ok"},
      {"paint_i", "ok"}}},
    {STRIDE "uchar helper(uchar);\n"
            "kernel void far(global uchar *x, uint n) { for (EACH(i, n)) x[i] = helper(x[i]); }\n",
     {{"far", "xn"}}},
    {"#ifndef VALUE\n#define VALUE 1\n#endif\n"
     "uchar helper(uchar x);\nuchar helper(uchar x) { return x * 5 + VALUE; }\n",
     {{NULL, NULL}}},
    {STRIDE "#include \"extra.h\"\n"
            "kernel void extra(global uchar *x, uint n) { for (EACH(i, n)) x[i] += EXTRA; }\n",
     {{"extra", "xn"}}},
    {STRIDE "#ifndef VALUE\n#error no value\n#endif\n"
            "kernel void valued(global uchar *x, uint n) { for (EACH(i, n)) x[i] += VALUE; }\n",
     {{"valued", "xn"}}},
    {"kernel void broken(global uchar *x) { x[0] = nothing; }\n", {{"broken", "x"}}},
};

static const char *const options[] = {"",
                                      "",
                                      "",
                                      NULL,
                                      "-DVALUE=3",
                                      "-D VALUE=5 -w",
                                      "-cl-mad-enable -cl-kernel-arg-info",
                                      "-cl-std=CL1.2",
                                      "-cl-fast-relaxed-math"};
static const char *const wrong_options[] = {"-nonsense", "-cl-nonsense", "VALUE"};

static const char *any_options(struct world *w)
{
    const char *text = wrong(w, 1) ? ANY_OF(w, wrong_options) : ANY_OF(w, options);
    say(w, " [%s]", text ? text : "");
    return text;
}

static void program_release(struct world *w, struct program *program)
{
    if (program->handle)
        (void)told(w, "release program", clReleaseProgram(program->handle));
    *program = (struct program){0};
}

/* A program's place, emptied. The first holds the plain kernels and stays. */
static struct program *place(struct world *w)
{
    struct program *program = &w->programs[1 + dice(w, PROGRAMS - 1)];
    program_release(w, program);
    return program;
}

static cl_int from_source(struct world *w, struct program *program, const struct source *source)
{
    const char *text[2] = {source->text, NULL};
    size_t lengths[2] = {strlen(source->text), 0};
    cl_int code = 1;
    cl_uint count = 1;
    const size_t *given = NULL;
    switch (dice(w, 3)) {
    case 0: /* in two pieces */
        lengths[0] /= 2;
        text[1] = text[0] + lengths[0];
        given = lengths;
        count = 2;
        break;
    case 1:
        given = lengths;
        break;
    default:
        break;
    }
    cl_context context = w->context;
    switch (wrong(w, 3) * (program != &w->programs[0])) {
    case 1:
        context = NULL;
        break;
    case 2:
        count = 0;
        break;
    case 3:
        text[0] = NULL;
        break;
    default:
        break;
    }
    program->handle = clCreateProgramWithSource(context, count, text, given, &code);
    program->source = source;
    program->has_source = true;
    return code;
}

static void make_program(struct world *w)
{
    struct program *program = place(w);
    unsigned i = dice(w, SOURCES);
    say(w, " source %u", i);
    (void)told(w, "program", from_source(w, program, &sources[i]));
}

static struct program *any_program(struct world *w)
{
    struct program *program = &w->programs[dice(w, PROGRAMS)];
    return program->handle ? program : &w->programs[0];
}

static void say_build(struct world *w, struct program *program)
{
    cl_build_status status = 99;
    cl_program_binary_type type = 99;
    size_t bytes = 0;
    (void)told(w, "ask",
               clGetProgramBuildInfo(program->handle, w->device, CL_PROGRAM_BUILD_STATUS,
                                     sizeof(status), &status, NULL));
    (void)told(w, "ask",
               clGetProgramBuildInfo(program->handle, w->device, CL_PROGRAM_BINARY_TYPE,
                                     sizeof(type), &type, NULL));
    if (status != CL_BUILD_SUCCESS)
        type = CL_PROGRAM_BINARY_TYPE_NONE; /* PoCL has one of before now and then */
    if (status != CL_BUILD_NONE)
        (void)told(w, "ask",
                   clGetProgramBuildInfo(program->handle, w->device, CL_PROGRAM_BUILD_LOG, 0, NULL,
                                         &bytes));
    say(w, " status %d type %u log %d", status, type, bytes > 1);
}

static void CL_CALLBACK on_program(cl_program program, void *arg)
{
    unsigned *calls = arg;
    (void)__atomic_add_fetch(calls, 1, __ATOMIC_RELEASE);
}

/* PoCL 3.1 asserts when something is built a second time. */
static void note_build(struct program *program, bool is_other, bool right, cl_int code)
{
    if (is_other)
        return;
    program->built = right;
    if (!right && code != CL_INVALID_VALUE)
        program->has_source = program->is_binary = false;
}

static void build(struct world *w)
{
    struct program *program = any_program(w);
    cl_program handle = program->handle;
    cl_device_id list[] = {w->device, NULL};
    cl_uint count = dice(w, 2);
    const cl_device_id *devices = count ? list : NULL;
    void *given = NULL;
    if (program == &w->programs[0] || program->compiled || program->built ||
        !(program->has_source || program->is_binary))
        return;
    switch (wrong(w, 3)) {
    case 1:
        handle = NULL;
        break;
    case 2:
        count = !count;
        break;
    case 3:
        given = w;
        break;
    default:
        break;
    }
    cl_int code = clBuildProgram(handle, count, devices, any_options(w), NULL, given);
    note_build(program, handle == NULL, told(w, "build", code), code);
    if (handle)
        say_build(w, program);
}

/* Whether it comes before the call returns or later: it comes, also when the build has failed. */
static void build_and_call_back(struct world *w)
{
    struct program *program = any_program(w);
    unsigned *calls = keep(w, sizeof(*calls));
    if (program->built || program->compiled || program == &w->programs[0] || !program->has_source)
        return;
    cl_int code = clBuildProgram(program->handle, 0, NULL, any_options(w), on_program, calls);
    note_build(program, false, told(w, "build", code), code);
    while (program->built && !__atomic_load_n(calls, __ATOMIC_ACQUIRE))
        (void)sched_yield();
    say(w, " called back %u", *calls);
    say_build(w, program);
}

static void compile(struct world *w)
{
    struct program *program = any_program(w), header = {0};
    static const struct source extra = {"#define EXTRA 9\n", {{NULL, NULL}}};
    const char *names[] = {chance(w, 80) ? "extra.h" : "other.h", NULL};
    if (program == &w->programs[0] || program->built || !program->has_source)
        return;
    bool with = chance(w, 60);
    cl_uint count = with && !wrong(w, 1);
    with = count; /* PoCL looks at neither without a number */
    cl_int code;
    const char *text = extra.text;
    header.handle = clCreateProgramWithSource(w->context, 1, &text, NULL, &code);
    need(code, "clCreateProgramWithSource");
    code = clCompileProgram(wrong(w, 1) ? NULL : program->handle, 0, NULL, any_options(w), count,
                            with ? &header.handle : NULL, with ? names : NULL, NULL, NULL);
    say(w, " headers %u", count);
    program->compiled = told(w, "compile", code);
    say_build(w, program);
    need(clReleaseProgram(header.handle), "clReleaseProgram");
}

static void link_some(struct world *w)
{
    static const char *const kinds[] = {"", NULL, "-create-library", "-nonsense"};
    struct program *slot = place(w), *first = any_program(w), *second = any_program(w);
    cl_program list[] = {first->handle, second->handle};
    cl_context context = w->context;
    cl_uint count = 1 + dice(w, 2);
    const char *text = ANY_OF(w, kinds);
    cl_int code = 1;
    if (!(first->built || first->compiled) || !(second->built || second->compiled))
        return;
    switch (wrong(w, 2)) {
    case 1:
        context = NULL;
        break;
    case 2:
        count = 0;
        break;
    default:
        break;
    }
    slot->handle = clLinkProgram(context, 0, NULL, text, count, list, NULL, NULL, &code);
    slot->built = told(w, "link", code) && !(text && *text);
    slot->compiled = code == CL_SUCCESS;
    say(w, " %u of it %d", count, slot->handle != NULL);
    slot->source = first->source;
    if (slot->handle)
        say_build(w, slot);
}

static void from_binary(struct world *w)
{
    struct program *from = any_program(w), *slot = place(w);
    size_t bytes = 0;
    cl_int code = 1, status = 77;
    if (!from->built || !from->has_source) /* PoCL asserts at what becomes of the others */
        return;
    (void)told(
        w, "ask",
        clGetProgramInfo(from->handle, CL_PROGRAM_BINARY_SIZES, sizeof(bytes), &bytes, NULL));
    unsigned char *binary = keep(w, bytes + 1);
    (void)told(w, "ask",
               clGetProgramInfo(from->handle, CL_PROGRAM_BINARIES, sizeof(binary), &binary, NULL));
    const unsigned char *given = binary;
    cl_uint count = 1;
    switch (wrong(w, 3)) {
    case 1:
        bytes = 0;
        break;
    case 2:
        given = NULL;
        break;
    case 3:
        count = 0;
        break;
    default:
        break;
    }
    slot->handle =
        clCreateProgramWithBinary(w->context, count, &w->device, &bytes, &given, &status, &code);
    if (told(w, "binary", code))
        say(w, " status %d", status);
    slot->source = from->source;
    slot->is_binary = code == CL_SUCCESS;
}

static void drop_program(struct world *w)
{
    struct program *program = &w->programs[1 + dice(w, PROGRAMS - 1)];
    if (wrong(w, 1))
        (void)told(w, "release program", clReleaseProgram(NULL));
    else
        program_release(w, program);
}

void programs_open(struct world *w)
{
    need(from_source(w, &w->programs[0], &sources[PLAIN]), "clCreateProgramWithSource");
    need(clBuildProgram(w->programs[0].handle, 0, NULL, "", NULL, NULL), "clBuildProgram");
    w->programs[0].built = true;
}

void programs_close(struct world *w)
{
    for (unsigned i = 0; i < PROGRAMS; i++)
        program_release(w, &w->programs[i]);
}

const struct act program_acts[] = {
    {make_program, 8}, {build, 10},      {build_and_call_back, 4}, {compile, 6},
    {link_some, 6},    {from_binary, 4}, {drop_program, 2},        {NULL, 0},
};
