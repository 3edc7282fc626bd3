/* What a program tells of itself: its binaries come from the executor, all else is here. */
#include "card/opencl/binary.h"
#include "card/opencl/build.h"
#include "card/opencl/info.h"
#include "card/opencl/process.h"
#include "card/opencl/program.h"
#include "card/opencl/transfer.h"
#include "opencl_api.h"

/* Fetch `length` bytes of binary (0: only ask how many there are) into `target`. */
static cl_int get_binary(cl_program program, cl_uint index, size_t length, void *target,
                         uint64_t *ret_full)
{
    uint64_t offset, got = 0;
    cl_int result = slab_reserve(length, &offset);
    if (result != CL_SUCCESS)
        return result;
    struct wire_program_get_binary *record = record_begin(sizeof(*record));
    result = CL_DEVICE_NOT_AVAILABLE;
    if (record) {
        record->id = program->object.id;
        record->device_id = program->devices[index]->object.id;
        record->reply_offset = offset;
        record->reply_room = length;
        result = record_wait(record, WIRE_PROGRAM_GET_BINARY, sizeof(*record), ret_full, &got);
    }
    if (result == CL_SUCCESS && length > 0)
        memcpy(target, slab_at(offset), got < length ? got : length);
    slab_release(offset, length);
    return result;
}

/* The binary of a built program is fetched when somebody asks, and kept. */
static cl_int ensure_binary(cl_program program, cl_uint index)
{
    struct program_part *part = &program->parts[index];
    uint64_t full = 0;
    if (part->binary || (part->status != CL_BUILD_SUCCESS && !program->built_in))
        return CL_SUCCESS;
    cl_int result = get_binary(program, index, 0, NULL, &full);
    if (result != CL_SUCCESS || full == 0)
        return result;
    struct binary_header header;
    unsigned char *binary = malloc(sizeof(header) + full);
    if (!binary)
        return CL_OUT_OF_HOST_MEMORY;
    result = get_binary(program, index, full, binary + sizeof(header), &full);
    if (result != CL_SUCCESS) {
        free(binary);
        return result;
    }
    binary_header_init(&header,
                       part->build ? part->build->reply.binary_type : CL_PROGRAM_BINARY_TYPE_NONE,
                       binary + sizeof(header), full);
    memcpy(binary, &header, sizeof(header));
    part->binary = binary;
    part->binary_bytes = sizeof(header) + full;
    return CL_SUCCESS;
}

/* The names of all kernels with semicolons between. */
static cl_int put_kernel_names(const struct build *made, const struct info_out *out)
{
    size_t length = 1;
    for (uint32_t i = 0; i < made->reply.kernel_count; i++)
        length += strlen(made->kernels[i].name) + 1;
    char *text = calloc(1, length);
    if (!text)
        return CL_OUT_OF_HOST_MEMORY;
    char *end = text;
    for (uint32_t i = 0; i < made->reply.kernel_count; i++) {
        size_t part = strlen(made->kernels[i].name);
        if (i > 0)
            *end++ = ';';
        memcpy(end, made->kernels[i].name, part);
        end += part;
    }
    cl_int result = info_put(out, text, (size_t)(end - text) + 1);
    free(text);
    return result;
}

static cl_int put_kernels(const struct _cl_program *program, cl_program_info name,
                          const struct info_out *out)
{
    const struct build *made = program_built(program);
    if (!made)
        return CL_INVALID_PROGRAM_EXECUTABLE;
    size_t count = made->reply.kernel_count;
    return name == CL_PROGRAM_NUM_KERNELS ? info_put(out, &count, sizeof(count))
                                          : put_kernel_names(made, out);
}

static cl_int put_binary_sizes(const struct _cl_program *program, const struct info_out *out)
{
    const size_t bytes = program->device_count * sizeof(size_t);
    if (out->value && out->room < bytes)
        return CL_INVALID_VALUE;
    for (cl_uint i = 0; out->value && i < program->device_count; i++)
        ((size_t *)out->value)[i] = program->parts[i].binary ? program->parts[i].binary_bytes : 0;
    if (out->ret_size)
        *out->ret_size = bytes;
    return CL_SUCCESS;
}

static cl_int put_binaries(cl_program program, cl_program_info name, const struct info_out *out)
{
    const size_t bytes = program->device_count * sizeof(unsigned char *);
    unsigned char **targets = out->value;
    for (cl_uint i = 0; i < program->device_count; i++) {
        cl_int result = ensure_binary(program, i);
        if (result != CL_SUCCESS)
            return result;
    }
    if (name == CL_PROGRAM_BINARY_SIZES)
        return put_binary_sizes(program, out);
    if (targets && out->room < bytes)
        return CL_INVALID_VALUE;
    for (cl_uint i = 0; targets && i < program->device_count; i++)
        if (targets[i] && program->parts[i].binary)
            memcpy(targets[i], program->parts[i].binary, program->parts[i].binary_bytes);
    if (out->ret_size)
        *out->ret_size = bytes;
    return CL_SUCCESS;
}

cl_int api_clGetProgramInfo(cl_program program, cl_program_info param_name, size_t param_value_size,
                            void *param_value, size_t *param_value_size_ret)
{
    static const struct info_field fields[] = {
        INFO_VALUE(CL_PROGRAM_REFERENCE_COUNT, struct _cl_program, object.references),
        INFO_VALUE(CL_PROGRAM_CONTEXT, struct _cl_program, context),
        INFO_VALUE(CL_PROGRAM_NUM_DEVICES, struct _cl_program, device_count),
        INFO_TEXT(CL_PROGRAM_SOURCE, struct _cl_program, source),
    };
    struct info_out out = {param_value_size, param_value, param_value_size_ret};
    const cl_bool no = CL_FALSE;
    switch (param_name) {
    case CL_PROGRAM_BINARY_SIZES:
    case CL_PROGRAM_BINARIES:
        return put_binaries(program, param_name, &out);
    case CL_PROGRAM_DEVICES:
        return info_put(&out, program->devices, program->device_count * sizeof(cl_device_id));
    case CL_PROGRAM_NUM_KERNELS:
    case CL_PROGRAM_KERNEL_NAMES:
        return put_kernels(program, param_name, &out);
    case CL_PROGRAM_IL:
        return info_put(&out, NULL, 0);
    case CL_PROGRAM_SCOPE_GLOBAL_CTORS_PRESENT:
    case CL_PROGRAM_SCOPE_GLOBAL_DTORS_PRESENT:
        return info_put(&out, &no, sizeof(no));
    default:
        return info_answer(&out, fields, sizeof(fields) / sizeof(fields[0]), program, param_name);
    }
}

cl_int api_clGetProgramBuildInfo(cl_program program, cl_device_id device,
                                 cl_program_build_info param_name, size_t param_value_size,
                                 void *param_value, size_t *param_value_size_ret)
{
    static const struct info_field fields[] = {
        INFO_VALUE(CL_PROGRAM_BUILD_STATUS, struct program_part, status),
    };
    struct info_out out = {param_value_size, param_value, param_value_size_ret};
    const struct program_part *part = program_part(program, device);
    if (!part)
        return CL_INVALID_DEVICE;
    const struct build *made = part->build;
    cl_program_binary_type type = made ? made->reply.binary_type : part->binary_type;
    size_t global_bytes = made ? (size_t)made->reply.global_variable_bytes : 0;
    const char *log = made ? made->log : "";
    const char *options = made ? made->options : part->options ? part->options : "";
    switch (param_name) {
    case CL_PROGRAM_BUILD_LOG:
        return info_put(&out, log, strlen(log) + 1);
    case CL_PROGRAM_BUILD_OPTIONS:
        return info_put(&out, options, strlen(options) + 1);
    case CL_PROGRAM_BINARY_TYPE:
        return info_put(&out, &type, sizeof(type));
    case CL_PROGRAM_BUILD_GLOBAL_VARIABLE_TOTAL_SIZE:
        return info_put(&out, &global_bytes, sizeof(global_bytes));
    default:
        return info_answer(&out, fields, sizeof(fields) / sizeof(fields[0]), part, param_name);
    }
}
