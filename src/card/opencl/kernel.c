/* Kernels and their arguments: see kernel.h. */
#include "card/opencl/kernel.h"

#include "card/opencl/build.h"
#include "card/opencl/info.h"
#include "card/opencl/memory.h"
#include "card/opencl/process.h"
#include "card/opencl/program.h"
#include "opencl_api.h"

#define POINTERS_PER_RECORD 4096u
#define POINTERS_MAX (1u << 20) /* as the executor has it */

static cl_int send_kernel(struct object *object, uint32_t id)
{
    cl_kernel kernel = (cl_kernel)object;
    size_t length = strlen(kernel->name);
    size_t bytes = sizeof(struct wire_kernel_create) + (size_t)wire_pad8(length);
    struct wire_kernel_create *record = record_begin(bytes);
    if (!record)
        return CL_DEVICE_NOT_AVAILABLE;
    record->id = id;
    record->program_id = kernel->program->object.id;
    record->name_length = (uint32_t)length;
    memcpy(wire_kernel_create_name(record), kernel->name, length);
    record_post(record, WIRE_KERNEL_CREATE, bytes);
    return CL_SUCCESS;
}

static struct object *kernel_parent(struct object *object)
{
    return &((cl_kernel)object)->program->object;
}

static void leave_kernel(struct object *object)
{
    cl_kernel kernel = (cl_kernel)object;
    if (object->id != 0 && !kernel->pointers &&
        program_keep_kernel(kernel->program, kernel->build, object->id))
        object->id = 0;
}

struct object *kernel_arg_object(const struct _cl_kernel *kernel, cl_uint i)
{
    const struct build_arg *arg = &kernel->build->args[i];
    struct object *object = NULL;
    if (kernel->args[i].state & KERNEL_ARG_SVM)
        return NULL;
    if (arg->info.kind == WIRE_ARG_MEMORY || arg->info.kind == WIRE_ARG_SAMPLER)
        memcpy(&object, kernel->values + arg->value_offset, sizeof(object));
    return object;
}

static void destroy_kernel(struct object *object)
{
    cl_kernel kernel = (cl_kernel)object;
    cl_program program = kernel->program;
    for (cl_uint i = 0; kernel->is_holding && i < kernel->arg_count; i++) {
        struct object *held = kernel_arg_object(kernel, i);
        if (held)
            object_release(held);
    }
    free(kernel->args);
    free(kernel->values);
    free(kernel->pointers);
    object_free(object);
    (void)__atomic_sub_fetch(&program->kernels, 1, __ATOMIC_RELEASE);
    object_release(&program->object);
}

const struct object_kind kernel_kind = {send_kernel, kernel_parent, leave_kernel, destroy_kernel};

static cl_kernel create(cl_program program, const struct build_kernel *build)
{
    cl_kernel kernel = object_create(OBJECT_KERNEL, sizeof(*kernel));
    if (!kernel)
        return NULL;
    kernel->args = calloc(build->info.arg_count + 1u, sizeof(*kernel->args));
    kernel->values = calloc(1, build->value_bytes + 1);
    kernel->program = program;
    kernel->context = program->context;
    kernel->build = build;
    kernel->name = build->name;
    kernel->attributes = build->attributes;
    kernel->arg_count = build->info.arg_count;
    kernel->unset = kernel->arg_count;
    object_retain(&program->object);
    (void)__atomic_add_fetch(&program->kernels, 1, __ATOMIC_RELEASE);
    if (kernel->args && kernel->values) {
        kernel->object.id = program_reuse_kernel(program, build);
        return kernel;
    }
    object_release(&kernel->object);
    return NULL;
}

cl_kernel api_clCreateKernel(cl_program program, const char *kernel_name, cl_int *errcode_ret)
{
    if (!kernel_name) {
        *errcode_ret = CL_INVALID_VALUE;
        return NULL;
    }
    const struct build *built = program_built(program);
    if (!built) {
        *errcode_ret = CL_INVALID_PROGRAM_EXECUTABLE;
        return NULL;
    }
    const struct build_kernel *build = build_find(built, kernel_name);
    if (!build) {
        *errcode_ret = CL_INVALID_KERNEL_NAME;
        return NULL;
    }
    cl_kernel kernel = create(program, build);
    if (!kernel)
        *errcode_ret = CL_OUT_OF_HOST_MEMORY;
    return kernel;
}

cl_int api_clCreateKernelsInProgram(cl_program program, cl_uint num_kernels, cl_kernel *kernels,
                                    cl_uint *num_kernels_ret)
{
    const struct build *built = program_built(program);
    if (!built)
        return CL_INVALID_PROGRAM_EXECUTABLE;
    uint32_t count = built->reply.kernel_count;
    if (kernels && num_kernels < count)
        return CL_INVALID_VALUE;
    for (uint32_t i = 0; kernels && i < count; i++) {
        kernels[i] = create(program, &built->kernels[i]);
        if (kernels[i])
            continue;
        while (i-- > 0)
            object_release(&kernels[i]->object);
        return CL_OUT_OF_HOST_MEMORY;
    }
    if (num_kernels_ret)
        *num_kernels_ret = count;
    return CL_SUCCESS;
}

static cl_int post_pointers(const struct _cl_kernel *kernel)
{
    for (size_t first = 0; first < kernel->pointer_count; first += POINTERS_PER_RECORD) {
        const size_t left = kernel->pointer_count - first;
        const size_t count = left < POINTERS_PER_RECORD ? left : POINTERS_PER_RECORD;
        const size_t bytes = count * sizeof(uint64_t);
        struct wire_kernel_pointers *record = record_begin(sizeof(*record) + bytes);
        if (!record)
            return CL_DEVICE_NOT_AVAILABLE;
        record->kernel_id = kernel->object.id;
        record->total = (uint32_t)kernel->pointer_count;
        record->first = (uint32_t)first;
        record->count = (uint32_t)count;
        memcpy(wire_kernel_pointers_pointers(record), kernel->pointers + first, bytes);
        record_post(record, WIRE_KERNEL_POINTERS, sizeof(*record) + bytes);
    }
    return CL_SUCCESS;
}

cl_int kernel_reach(cl_kernel kernel, const void *pointers, size_t count)
{
    cl_int result = object_ensure(&kernel->object);
    uint64_t *kept = result == CL_SUCCESS ? malloc(count * sizeof(*kept)) : NULL;
    if (!kept || count > POINTERS_MAX) {
        free(kept);
        return result ? result : CL_OUT_OF_HOST_MEMORY;
    }
    memcpy(kept, pointers, count * sizeof(*kept));
    lock_take(&kernel->lock);
    free(kernel->pointers);
    kernel->pointers = kept;
    kernel->pointer_count = count;
    result = post_pointers(kernel);
    lock_give(&kernel->lock);
    return result;
}

cl_kernel api_clCloneKernel(cl_kernel source_kernel, cl_int *errcode_ret)
{
    cl_kernel kernel = create(source_kernel->program, source_kernel->build);
    if (!kernel) {
        *errcode_ret = CL_OUT_OF_HOST_MEMORY;
        return NULL;
    }
    lock_take(&source_kernel->lock);
    memcpy(kernel->values, source_kernel->values, source_kernel->build->value_bytes);
    kernel->unset = source_kernel->unset;
    for (cl_uint i = 0; i < kernel->arg_count; i++) {
        kernel->args[i] = source_kernel->args[i];
        if (!(kernel->args[i].state & KERNEL_ARG_SET))
            continue;
        kernel->args[i].state |= KERNEL_ARG_CHANGED;
        kernel->changed++;
    }
    cl_int result = CL_SUCCESS;
    if (source_kernel->pointers)
        result = kernel_reach(kernel, source_kernel->pointers, source_kernel->pointer_count);
    lock_give(&source_kernel->lock);
    if (result == CL_SUCCESS)
        return kernel;
    object_release(&kernel->object);
    *errcode_ret = result;
    return NULL;
}

cl_kernel kernel_copy(cl_kernel kernel, cl_int *ret_code)
{
    cl_kernel copy = api_clCloneKernel(kernel, ret_code);
    for (cl_uint i = 0; copy && i < copy->arg_count; i++) {
        struct object *held = kernel_arg_object(copy, i);
        if (held)
            object_retain(held);
    }
    if (copy)
        copy->is_holding = 1;
    return copy;
}

cl_int api_clRetainKernel(cl_kernel kernel)
{
    object_retain(&kernel->object);
    return CL_SUCCESS;
}

cl_int api_clReleaseKernel(cl_kernel kernel)
{
    object_release(&kernel->object);
    return CL_SUCCESS;
}

/* Only an image's argument has an access qualifier. */
static int wants_image(const struct wire_arg_info *info)
{
    return info->access >= CL_KERNEL_ARG_ACCESS_READ_ONLY &&
           info->access != CL_KERNEL_ARG_ACCESS_NONE;
}

static int memory_fits(const struct wire_arg_info *info, const struct object *object)
{
    int known = info->access >= CL_KERNEL_ARG_ACCESS_READ_ONLY;
    return handle_is(object, OBJECT_MEMORY) &&
           (!known || wants_image(info) == (((const struct _cl_mem *)object)->image != NULL));
}

static int value_fits(const struct wire_arg_info *info, size_t size)
{
    if (info->size_bytes == 0) /* the driver takes any */
        return size > 0 && size <= BUILD_VALUE_MAX_BYTES;
    return size == info->size_bytes || (info->short_bytes > 0 && size == info->short_bytes);
}

/* Checks by kind; `ret_object` is the memory object or sampler given, if any. */
static cl_int check_arg(const struct wire_arg_info *info, size_t size, const void *value,
                        struct object **ret_object)
{
    switch ((enum wire_arg_kind)info->kind) {
    case WIRE_ARG_LOCAL:
        if (value)
            return CL_INVALID_ARG_VALUE;
        return size == 0 ? CL_INVALID_ARG_SIZE : CL_SUCCESS;
    case WIRE_ARG_MEMORY:
        if (size != sizeof(cl_mem))
            return CL_INVALID_ARG_SIZE;
        if (!value && wants_image(info))
            return CL_INVALID_ARG_VALUE;
        if (value)
            memcpy(ret_object, value, sizeof(cl_mem));
        return !*ret_object || memory_fits(info, *ret_object) ? CL_SUCCESS : CL_INVALID_MEM_OBJECT;
    case WIRE_ARG_SAMPLER:
        if (size != sizeof(cl_sampler))
            return CL_INVALID_ARG_SIZE;
        if (!value)
            return CL_INVALID_ARG_VALUE;
        memcpy(ret_object, value, sizeof(cl_sampler));
        return handle_is(*ret_object, OBJECT_SAMPLER) ? CL_SUCCESS : CL_INVALID_SAMPLER;
    case WIRE_ARG_VALUE:
        if (!value)
            return CL_INVALID_ARG_VALUE;
        return value_fits(info, size) ? CL_SUCCESS : CL_INVALID_ARG_SIZE;
    case WIRE_ARG_SVM:
    case WIRE_ARG_INVALID:
    default:
        return CL_INVALID_ARG_VALUE;
    }
}

/* With the lock. An argument that gets the value which it has is not sent again. */
static void set_arg(cl_kernel kernel, cl_uint index, size_t size, const void *value,
                    size_t value_bytes, uint64_t serial, uint32_t kind)
{
    struct kernel_arg *arg = &kernel->args[index];
    char *kept = kernel->values + kernel->build->args[index].value_offset;
    if (!(arg->state & KERNEL_ARG_SET))
        kernel->unset--;
    else if (arg->bytes == size && arg->serial == serial && (arg->state & KERNEL_ARG_SVM) == kind &&
             (value_bytes == 0 || memcmp(kept, value, value_bytes) == 0))
        return;
    if (value_bytes > 0)
        memcpy(kept, value, value_bytes);
    arg->bytes = size;
    arg->serial = serial;
    if (!(arg->state & KERNEL_ARG_CHANGED))
        kernel->changed++;
    arg->state = KERNEL_ARG_SET | KERNEL_ARG_CHANGED | kind;
}

cl_int api_clSetKernelArg(cl_kernel kernel, cl_uint arg_index, size_t arg_size,
                          const void *arg_value)
{
    if (arg_index >= kernel->arg_count)
        return CL_INVALID_ARG_INDEX;
    const struct wire_arg_info *info = &kernel->build->args[arg_index].info;
    struct object *object = NULL;
    cl_int result = check_arg(info, arg_size, arg_value, &object);
    if (result != CL_SUCCESS)
        return result;
    const void *value = info->kind == WIRE_ARG_MEMORY ? &object : arg_value;
    lock_take(&kernel->lock);
    set_arg(kernel, arg_index, arg_size, value, info->kind == WIRE_ARG_LOCAL ? 0 : arg_size,
            object ? object->serial : 0, 0);
    lock_give(&kernel->lock);
    return CL_SUCCESS;
}

cl_int api_clSetKernelArgSVMPointer(cl_kernel kernel, cl_uint arg_index, const void *arg_value)
{
    if (!svm_is_there())
        return CL_INVALID_OPERATION;
    if (arg_index >= kernel->arg_count)
        return CL_INVALID_ARG_INDEX;
    const struct wire_arg_info *info = &kernel->build->args[arg_index].info;
    if (!arg_value)
        return api_clSetKernelArg(kernel, arg_index, sizeof(cl_mem), NULL);
    if (info->kind != WIRE_ARG_MEMORY || !svm_find(arg_value, NULL))
        return CL_INVALID_ARG_VALUE;
    const uint64_t address = (uintptr_t)arg_value;
    lock_take(&kernel->lock);
    set_arg(kernel, arg_index, sizeof(address), &address, sizeof(address), 0, KERNEL_ARG_SVM);
    lock_give(&kernel->lock);
    return CL_SUCCESS;
}

cl_int api_clGetKernelInfo(cl_kernel kernel, cl_kernel_info param_name, size_t param_value_size,
                           void *param_value, size_t *param_value_size_ret)
{
    static const struct info_field fields[] = {
        INFO_TEXT(CL_KERNEL_FUNCTION_NAME, struct _cl_kernel, name),
        INFO_VALUE(CL_KERNEL_NUM_ARGS, struct _cl_kernel, arg_count),
        INFO_VALUE(CL_KERNEL_REFERENCE_COUNT, struct _cl_kernel, object.references),
        INFO_VALUE(CL_KERNEL_CONTEXT, struct _cl_kernel, context),
        INFO_VALUE(CL_KERNEL_PROGRAM, struct _cl_kernel, program),
        INFO_TEXT(CL_KERNEL_ATTRIBUTES, struct _cl_kernel, attributes),
    };
    struct info_out out = {param_value_size, param_value, param_value_size_ret};
    return info_answer(&out, fields, sizeof(fields) / sizeof(fields[0]), kernel, param_name);
}

cl_int api_clGetKernelArgInfo(cl_kernel kernel, cl_uint arg_indx, cl_kernel_arg_info param_name,
                              size_t param_value_size, void *param_value,
                              size_t *param_value_size_ret)
{
    static const struct info_field fields[] = {
        INFO_VALUE(CL_KERNEL_ARG_ADDRESS_QUALIFIER, struct build_arg, info.address),
        INFO_VALUE(CL_KERNEL_ARG_ACCESS_QUALIFIER, struct build_arg, info.access),
        INFO_VALUE(CL_KERNEL_ARG_TYPE_QUALIFIER, struct build_arg, info.type_qualifier),
        INFO_TEXT(CL_KERNEL_ARG_TYPE_NAME, struct build_arg, type_name),
        INFO_TEXT(CL_KERNEL_ARG_NAME, struct build_arg, name),
    };
    struct info_out out = {param_value_size, param_value, param_value_size_ret};
    if (arg_indx >= kernel->arg_count)
        return CL_INVALID_ARG_INDEX;
    const struct build_arg *arg = &kernel->build->args[arg_indx];
    if (!kernel->build->info.has_arg_info ||
        (param_name == CL_KERNEL_ARG_NAME && arg->info.name_length == 0))
        return CL_KERNEL_ARG_INFO_NOT_AVAILABLE;
    return info_answer(&out, fields, sizeof(fields) / sizeof(fields[0]), arg, param_name);
}

/* What local memory the arguments take that have been set. */
static uint64_t local_argument_bytes(cl_kernel kernel)
{
    uint64_t bytes = 0;
    lock_take(&kernel->lock);
    for (cl_uint i = 0; i < kernel->arg_count; i++)
        if (kernel->build->args[i].info.kind == WIRE_ARG_LOCAL)
            bytes += kernel->args[i].bytes;
    lock_give(&kernel->lock);
    return bytes;
}

cl_int api_clGetKernelWorkGroupInfo(cl_kernel kernel, cl_device_id device,
                                    cl_kernel_work_group_info param_name, size_t param_value_size,
                                    void *param_value, size_t *param_value_size_ret)
{
    _Static_assert(sizeof(size_t) == sizeof(uint64_t),
                   "answers are taken from the reply as they are");
    static const struct info_field fields[] = {
        INFO_VALUE(CL_KERNEL_WORK_GROUP_SIZE, struct wire_kernel_info, work_group_size),
        INFO_VALUE(CL_KERNEL_COMPILE_WORK_GROUP_SIZE, struct wire_kernel_info, compile_work_group),
        INFO_VALUE(CL_KERNEL_LOCAL_MEM_SIZE, struct wire_kernel_info, local_bytes),
        INFO_VALUE(CL_KERNEL_PREFERRED_WORK_GROUP_SIZE_MULTIPLE, struct wire_kernel_info,
                   preferred_multiple),
        INFO_VALUE(CL_KERNEL_PRIVATE_MEM_SIZE, struct wire_kernel_info, private_bytes),
    };
    struct info_out out = {param_value_size, param_value, param_value_size_ret};
    const struct program_part *part = program_part(kernel->program, device);
    if (!part)
        return CL_INVALID_DEVICE;
    const struct build_kernel *build = part->build ? build_find(part->build, kernel->name) : NULL;
    if (!build)
        return CL_INVALID_DEVICE; /* it is not built for that one */
    struct wire_kernel_info info = build->info;
    info.local_bytes += local_argument_bytes(kernel);
    return info_answer(&out, fields, sizeof(fields) / sizeof(fields[0]), &info, param_name);
}
