/* Kernels, samplers and launches. */
#include "programs.h"

#include <string.h>

#include "world.h"

struct pair {
    cl_uchar a;
    cl_uint b;
};

static struct kernel *any_kernel(struct world *w)
{
    unsigned first = dice(w, KERNELS);
    for (unsigned i = 0; i < KERNELS; i++)
        if (w->kernels[(first + i) % KERNELS].handle)
            return &w->kernels[(first + i) % KERNELS];
    return NULL;
}

static void kernel_release(struct world *w, struct kernel *kernel)
{
    if (kernel->handle)
        (void)told(w, "release kernel", clReleaseKernel(kernel->handle));
    *kernel = (struct kernel){0};
}

static const struct signature *signature_among(struct world *w, const struct source *source)
{
    unsigned count = 0;
    while (count < COUNT_OF(source->kernels) && source->kernels[count].name)
        count++;
    return count ? &source->kernels[dice(w, count)] : NULL;
}

static void make_kernel(struct world *w)
{
    struct program *program = &w->programs[dice(w, PROGRAMS)];
    struct kernel *kernel = &w->kernels[dice(w, KERNELS)];
    if (!program->handle || !program->source)
        program = &w->programs[0];
    const struct signature *signature = signature_among(w, program->source);
    if (!signature)
        return;
    kernel_release(w, kernel);
    cl_int code = 1;
    cl_program handle = program->handle;
    const char *name = signature->name;
    switch (wrong(w, 3)) {
    case 1:
        handle = NULL;
        break;
    case 2:
        name = "nothing";
        break;
    case 3:
        name = NULL;
        break;
    default:
        break;
    }
    *kernel = (struct kernel){clCreateKernel(handle, name, &code), signature, .fresh = true};
    say(w, " %s", signature->name);
    (void)told(w, "kernel", code);
}

static void make_all_kernels(struct world *w)
{
    struct program *program = &w->programs[dice(w, PROGRAMS)];
    cl_kernel kernels[10] = {0};
    cl_uint count = 0;
    char name[32] = "";
    if (!program->handle)
        return;
    if (!told(w, "kernels",
              clCreateKernelsInProgram(program->handle, wrong(w, 1) ? 1 : COUNT_OF(kernels),
                                       kernels, &count)))
        return;
    say(w, " %u", count);
    for (cl_uint i = 0; i < count && kernels[i]; i++) {
        (void)told(w, "ask",
                   clGetKernelInfo(kernels[i], CL_KERNEL_FUNCTION_NAME, sizeof(name), name, NULL));
        say(w, " %s", name);
        need(clReleaseKernel(kernels[i]), "clReleaseKernel");
    }
}

static void clone_kernel(struct world *w)
{
    struct kernel *from = any_kernel(w), *to = &w->kernels[dice(w, KERNELS)];
    cl_int code = 1;
    if (!from || from == to)
        return;
    kernel_release(w, to);
    cl_kernel clone = clCloneKernel(wrong(w, 1) ? NULL : from->handle, &code);
    if (told(w, "clone", code)) {
        *to = *from;
        to->handle = clone;
    }
}

static void drop_kernel(struct world *w)
{
    struct kernel *kernel = &w->kernels[dice(w, KERNELS)];
    if (wrong(w, 1))
        (void)told(w, "release kernel", clReleaseKernel(NULL));
    else
        kernel_release(w, kernel);
}

/* Samplers. */

static const cl_addressing_mode addressing[] = {CL_ADDRESS_NONE, CL_ADDRESS_CLAMP_TO_EDGE,
                                                CL_ADDRESS_CLAMP, CL_ADDRESS_REPEAT,
                                                CL_ADDRESS_MIRRORED_REPEAT};

static cl_sampler new_sampler(struct world *w, cl_context context, cl_bool normalized,
                              cl_addressing_mode mode, cl_filter_mode filter, cl_int *code)
{
    cl_sampler_properties properties[] = {CL_SAMPLER_NORMALIZED_COORDS,
                                          normalized,
                                          CL_SAMPLER_ADDRESSING_MODE,
                                          mode,
                                          CL_SAMPLER_FILTER_MODE,
                                          filter,
                                          0};
    return chance(w, 50) ? clCreateSampler(context, normalized, mode, filter, code)
                         : clCreateSamplerWithProperties(context, properties, code);
}

static void make_sampler(struct world *w)
{
    cl_sampler *slot = &w->samplers[dice(w, SAMPLERS)];
    cl_addressing_mode mode = ANY_OF(w, addressing);
    cl_bool normalized = mode >= CL_ADDRESS_REPEAT || chance(w, 40);
    cl_int code = 1;
    if (*slot)
        (void)told(w, "release sampler", clReleaseSampler(*slot));
    *slot =
        new_sampler(w, wrong(w, 1) ? NULL : w->context, normalized, mode, CL_FILTER_NEAREST, &code);
    say(w, " %x %d", mode, normalized);
    (void)told(w, "sampler", code);
}

/* Arguments. */

/* The bytes of an argument by value, and how many. */
static size_t any_value(struct world *w, char letter, unsigned char value[16])
{
    static const struct {
        char letter;
        unsigned char bytes;
    } sizes[] = {{'k', 4},  {'c', 1},  {'s', 2},
                 {'l', 8},  {'f', 4},  {'d', 8},
                 {'v', 16}, {'w', 16}, {'p', sizeof(struct pair)}};
    scatter(w, value, 16);
    for (unsigned i = 0; i < COUNT_OF(sizes); i++)
        if (sizes[i].letter == letter)
            return sizes[i].bytes;
    return 4;
}

static bool formats_fit(const struct signature *signature, const cl_image_format *format)
{
    char kind = strchr(signature->name, '_') ? strchr(signature->name, '_')[1] : 0;
    switch (format->image_channel_data_type) {
    case CL_SIGNED_INT8:
    case CL_SIGNED_INT16:
    case CL_SIGNED_INT32:
        return kind == 'i';
    case CL_UNSIGNED_INT8:
    case CL_UNSIGNED_INT16:
    case CL_UNSIGNED_INT32:
        return kind == 'u';
    default:
        return kind == 'f';
    }
}

/* Whether that memory is what the argument of that letter takes. */
static bool is_for(const struct kernel *kernel, char letter, const struct memory *memory)
{
    bool image = letter == 'i' || letter == 'o';
    if (memory->flags & (letter == 'x' || letter == 'o' ? CL_MEM_READ_ONLY : CL_MEM_WRITE_ONLY))
        return false;
    return memory->is_image == image &&
           (!image || (memory->desc.image_type == CL_MEM_OBJECT_IMAGE2D &&
                       formats_fit(kernel->signature, &memory->format)));
}

/* Whether a launch may use that memory for this argument now. */
static bool fits(const struct kernel *kernel, unsigned i, const struct memory *memory)
{
    char letter = kernel->signature->arguments[i];
    if (!memory || !memory->handle || memory->contents->writes || !is_for(kernel, letter, memory))
        return false;
    if (memory->contents->reads && (letter == 'x' || letter == 'o'))
        return false;
    for (unsigned other = 0; other < ARGUMENTS; other++)
        if (other != i && kernel->memory[other] &&
            kernel->memory[other]->contents == memory->contents)
            return false;
    return true;
}

static bool set_memory(struct world *w, struct kernel *kernel, unsigned i)
{
    unsigned first = dice(w, MEMORIES);
    kernel->memory[i] = NULL;
    for (unsigned k = 0; k < MEMORIES; k++) {
        struct memory *memory = w->memories[(first + k) % MEMORIES];
        if (!fits(kernel, i, memory))
            continue;
        kernel->memory[i] = memory;
        kernel->is_set[i] = told(
            w, "arg", clSetKernelArg(kernel->handle, i, sizeof(memory->handle), &memory->handle));
        say(w, " %u", memory->number);
        return kernel->is_set[i];
    }
    return false;
}

/* How many bytes the argument `letter` has behind it. */
static cl_uint bytes_of(const struct kernel *kernel, char letter)
{
    const char *at = strchr(kernel->signature->arguments, letter);
    return (cl_uint)kernel->memory[at - kernel->signature->arguments]->bytes;
}

static bool set_argument(struct world *w, struct kernel *kernel, unsigned i)
{
    char letter = kernel->signature->arguments[i];
    unsigned char value[16];
    size_t size;
    cl_int code;
    switch (letter) {
    case 'x':
    case 'y':
    case 'i':
    case 'o':
        return set_memory(w, kernel, i);
    case 'z':
        code = w->samplers[0]
                   ? clSetKernelArg(kernel->handle, i, sizeof(cl_sampler), &w->samplers[0])
                   : CL_INVALID_SAMPLER;
        break;
    case 't':
        code = clSetKernelArg(kernel->handle, i, 8192, NULL);
        break;
    case 'n':
    case 'm': {
        cl_uint bytes = bytes_of(kernel, letter == 'n' ? 'x' : 'y');
        code = clSetKernelArg(kernel->handle, i, sizeof(bytes), &bytes);
        break;
    }
    default:
        size = any_value(w, letter, value);
        code = clSetKernelArg(kernel->handle, i, size, value);
        break;
    }
    kernel->is_set[i] = told(w, "arg", code);
    return kernel->is_set[i];
}

/* Memory first, for the numbers of bytes follow from it. */
static bool set_arguments(struct world *w, struct kernel *kernel)
{
    const char *arguments = kernel->signature->arguments;
    for (unsigned i = 0; arguments[i]; i++) {
        if (!strchr("xyio", arguments[i]))
            continue;
        struct memory *memory = kernel->memory[i];
        kernel->memory[i] = NULL;
        if (kernel->is_set[i] && fits(kernel, i, memory) && chance(w, 50))
            kernel->memory[i] = memory;
        else if (!set_memory(w, kernel, i))
            return false;
    }
    for (unsigned i = 0; arguments[i]; i++)
        if (!strchr("xyio", arguments[i]) &&
            (!kernel->is_set[i] || strchr("nmz", arguments[i]) || chance(w, 50)) &&
            !set_argument(w, kernel, i))
            return false;
    kernel->fresh = false;
    return true;
}

static void set_wrongly(struct world *w)
{
    struct kernel *kernel = any_kernel(w);
    unsigned char value[256] = {0};
    if (!kernel)
        return;
    unsigned count = (unsigned)strlen(kernel->signature->arguments), i = dice(w, count);
    char letter = kernel->signature->arguments[i];
    cl_int code;
    switch (dice(w, 4)) {
    case 0:
        code = clSetKernelArg(kernel->handle, count + dice(w, 3), 4, value);
        break;
    case 1:
        code = clSetKernelArg(NULL, i, 4, value);
        break;
    case 2:
        code = clSetKernelArg(kernel->handle, i, dice(w, 2) ? 0 : 17 + dice(w, 200),
                              letter == 't' ? value : (void *)value);
        break;
    default:
        code = strchr("xytioz", letter) ? CL_SUCCESS : clSetKernelArg(kernel->handle, i, 4, NULL);
        break;
    }
    say(w, " %s %u", kernel->signature->name, i);
    if (told(w, "arg wrongly", code))
        kernel->is_set[i] = false, kernel->fresh = false;
}

/* Launches. */

struct range {
    cl_uint dims;
    size_t offset[3], global[3], local[3];
    bool has_offset, has_local;
};

static struct range any_range(struct world *w, const struct kernel *kernel)
{
    static const size_t locals[][3] = {{1, 1, 1}, {4, 1, 1}, {8, 2, 1}, {16, 1, 1}, {2, 2, 2}};
    static const size_t more[] = {1, 2, 3, 5, 8};
    struct range range = {
        .dims = 1 + dice(w, 3), .has_offset = chance(w, 30), .has_local = chance(w, 60)};
    const size_t *local = ANY_OF(w, locals);
    if (!strcmp(kernel->signature->name, "fixed")) {
        local = locals[1];
        range.has_local = chance(w, 80);
    }
    for (unsigned i = 0; i < 3; i++) {
        range.local[i] = i < range.dims ? local[i] : 1;
        range.global[i] = i < range.dims ? range.local[i] * ANY_OF(w, more) : 1;
        range.offset[i] = dice(w, 9);
    }
    return range;
}

static void spoil_range(struct world *w, struct range *range)
{
    switch (wrong(w, 5)) {
    case 1:
        range->dims = dice(w, 2) ? 0 : 4;
        break;
    case 2:
        range->has_local = true;
        range->local[0] = range->global[0] + 1;
        break;
    case 3:
        range->has_local = true;
        range->local[0] = range->global[0] = 8192;
        break;
    case 4:
        range->global[dice(w, range->dims)] = 0;
        break;
    case 5:
        range->has_local = true;
        range->local[0] = 3;
        break;
    default:
        break;
    }
}

static void launch(struct world *w)
{
    struct kernel *kernel = any_kernel(w);
    struct command command = command_on(w, any_queue(w));
    if (!kernel)
        return;
    bool bare = kernel->fresh && chance(w, 30);
    w->is_wrong = bare;
    say(w, " %s", kernel->signature->name);
    if (!bare && !set_arguments(w, kernel))
        return;
    for (unsigned i = 0; i < ARGUMENTS && !bare; i++)
        if (kernel->memory[i])
            command_uses(&command, kernel->memory[i]->contents);
    command.list_is_right = true; /* PoCL does not look at it */
    command_begin(w, &command);
    struct range range = any_range(w, kernel);
    spoil_range(w, &range);
    say(w, " %u (%zu %zu %zu)/(%zu %zu %zu)", range.dims, range.global[0], range.global[1],
        range.global[2], range.has_local ? range.local[0] : 0, range.local[1], range.local[2]);
    (void)command_end(w, &command, bare ? "launch bare" : "launch",
                      clEnqueueNDRangeKernel(command.handle, kernel->handle, range.dims,
                                             range.has_offset ? range.offset : NULL, range.global,
                                             range.has_local ? range.local : NULL, command.count,
                                             command.waits, command.ret_event));
}

static void work_group(struct world *w)
{
    static const cl_kernel_work_group_info names[] = {CL_KERNEL_WORK_GROUP_SIZE,
                                                      CL_KERNEL_COMPILE_WORK_GROUP_SIZE,
                                                      CL_KERNEL_LOCAL_MEM_SIZE,
                                                      CL_KERNEL_PREFERRED_WORK_GROUP_SIZE_MULTIPLE,
                                                      CL_KERNEL_PRIVATE_MEM_SIZE,
                                                      CL_KERNEL_GLOBAL_WORK_SIZE,
                                                      0x1111};
    struct kernel *kernel = any_kernel(w);
    size_t value[4] = {0}, size = 0;
    if (!kernel)
        return;
    cl_kernel_work_group_info name = ANY_OF(w, names);
    cl_int code = clGetKernelWorkGroupInfo(wrong(w, 1) ? NULL : kernel->handle,
                                           wrong(w, 1) ? NULL : w->device, name,
                                           wrong(w, 1) ? 2 : sizeof(value), value, &size);
    say(w, " %s %x", kernel->signature->name, name);
    if (told(w, "work group", code))
        say(w, " %zu: %zu %zu %zu", size, value[0], value[1], value[2]);
}

static void argument_info(struct world *w)
{
    static const cl_kernel_arg_info names[] = {CL_KERNEL_ARG_ADDRESS_QUALIFIER,
                                               CL_KERNEL_ARG_ACCESS_QUALIFIER,
                                               CL_KERNEL_ARG_TYPE_NAME,
                                               CL_KERNEL_ARG_TYPE_QUALIFIER,
                                               CL_KERNEL_ARG_NAME,
                                               0x1111};
    struct kernel *kernel = any_kernel(w);
    char value[64] = "";
    size_t size = 0;
    if (!kernel)
        return;
    cl_uint index =
        dice(w, (unsigned)strlen(kernel->signature->arguments) + (chance(w, 10) ? 1 : 0));
    cl_kernel_arg_info name = ANY_OF(w, names);
    cl_int code = clGetKernelArgInfo(wrong(w, 1) ? NULL : kernel->handle, index, name,
                                     wrong(w, 1) ? 1 : sizeof(value), value, &size);
    say(w, " %s %u %x", kernel->signature->name, index, name);
    if (told(w, "arg info", code))
        say_bytes(w, "value", value, size);
}

void kernels_close(struct world *w)
{
    for (unsigned i = 0; i < KERNELS; i++)
        kernel_release(w, &w->kernels[i]);
    for (unsigned i = 0; i < SAMPLERS; i++)
        if (w->samplers[i])
            (void)told(w, "release sampler", clReleaseSampler(w->samplers[i]));
}

const struct act kernel_acts[] = {
    {make_kernel, 14}, {make_all_kernels, 2}, {clone_kernel, 3},
    {drop_kernel, 3},  {make_sampler, 3},     {set_wrongly, 5},
    {launch, 40},      {work_group, 5},       {argument_info, 4},
    {NULL, 0},
};
