/* Collecting a build reply: see build_reply.h. The exact size of an argument by value is in no
 * query, so it is learned by offering clSetKernelArg one size after the other. */
#include "card/executor/build_reply.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "card/executor/arg_info.h"
#include "card/wire/wire.h"

#define PROBE_MAX_BYTES 4096u /* more than any CL_DEVICE_MAX_PARAMETER_SIZE in use */

static void pad(struct buf *reply)
{
    static const char zeros[8];
    (void)buf_append(reply, zeros, wire_pad8(reply->length) - reply->length); /* remembered */
}

static void append_text(struct buf *reply, const char *text)
{
    (void)buf_append(reply, text, strlen(text) + 1); /* remembered in the buf */
    pad(reply);
}

/* A text answer of one of the driver's queries, owned; "" when it has none, NULL: out of memory. */
#define QUERY_TEXT(call, ...) \
    __extension__({ \
        size_t query_length = 0; \
        char *query_text = NULL; \
        if (call(__VA_ARGS__, 0, NULL, &query_length) == CL_SUCCESS) \
            query_text = calloc(1, query_length + 1); \
        if (query_text && query_length) \
            (void)call(__VA_ARGS__, query_length, query_text, NULL); \
        query_text ? query_text : calloc(1, 1); \
    })

/* The sizes that fixed-size values have first: most probes end after a few calls. */
static const uint32_t common_sizes[] = {1, 2, 4, 8, 16, 32, 64, 128};

static int takes(cl_kernel kernel, cl_uint index, size_t bytes)
{
    static const uint8_t zeros[PROBE_MAX_BYTES];
    return clSetKernelArg(kernel, index, bytes, zeros) == CL_SUCCESS;
}

/* The size of an argument by value; 0 when the driver takes any. */
static uint32_t probe_value(cl_kernel kernel, cl_uint index)
{
    if (takes(kernel, index, 1) && takes(kernel, index, 2))
        return 0;
    for (unsigned i = 0; i < sizeof(common_sizes) / sizeof(common_sizes[0]); i++) {
        if (takes(kernel, index, common_sizes[i]))
            return common_sizes[i];
    }
    for (uint32_t bytes = 1; bytes <= PROBE_MAX_BYTES; bytes++) {
        if (takes(kernel, index, bytes))
            return bytes;
    }
    return 0;
}

/* Some drivers take three parts of four, as if of a vector of three, for any type. */
static void probe_sizes(cl_kernel kernel, cl_uint index, struct wire_arg_info *info)
{
    const uint32_t bytes = probe_value(kernel, index), three = bytes / 4 * 3;
    info->size_bytes = bytes;
    info->short_bytes = three && bytes % 4 == 0 && takes(kernel, index, three) ? three : 0;
}

static int takes_null(cl_kernel kernel, cl_uint index, size_t bytes)
{
    return clSetKernelArg(kernel, index, bytes, NULL) == CL_SUCCESS;
}

/* Kind and size of an argument without argument info: a sampler complains of a handle that is none,
 * local memory takes any size without a value, a buffer takes a null of a handle's size, a value
 * takes no null. */
static void probe_unknown(cl_kernel kernel, cl_uint index, struct wire_arg_info *info)
{
    const cl_sampler none = NULL;
    info->kind = WIRE_ARG_VALUE;
    if (clSetKernelArg(kernel, index, sizeof(none), &none) == CL_INVALID_SAMPLER)
        info->kind = WIRE_ARG_SAMPLER;
    else if (takes_null(kernel, index, sizeof(cl_mem)))
        info->kind =
            takes_null(kernel, index, 2 * sizeof(cl_mem)) ? WIRE_ARG_LOCAL : WIRE_ARG_MEMORY;
    if (info->kind == WIRE_ARG_VALUE)
        probe_sizes(kernel, index, info);
    else if (info->kind != WIRE_ARG_LOCAL)
        info->size_bytes = sizeof(cl_mem); /* or of a cl_sampler */
}

static void classify(cl_kernel kernel, cl_uint index, const char *type_name,
                     struct wire_arg_info *info)
{
    if (info->address == CL_KERNEL_ARG_ADDRESS_LOCAL) {
        info->kind = WIRE_ARG_LOCAL;
    } else if (strcmp(type_name, "sampler_t") == 0) {
        info->kind = WIRE_ARG_SAMPLER;
        info->size_bytes = sizeof(cl_sampler);
    } else if (info->address != CL_KERNEL_ARG_ADDRESS_PRIVATE ||
               strncmp(type_name, "image", 5) == 0) {
        info->kind = WIRE_ARG_MEMORY;
        info->size_bytes = sizeof(cl_mem);
    } else {
        info->kind = WIRE_ARG_VALUE;
        probe_sizes(kernel, index, info);
    }
}

/* Fixed part of an argument's info from the driver; 0 when the driver has none. */
static int query_arg(cl_kernel kernel, cl_uint index, struct wire_arg_info *info)
{
    cl_kernel_arg_type_qualifier qualifier = 0;
    int known = clGetKernelArgInfo(kernel, index, CL_KERNEL_ARG_ADDRESS_QUALIFIER,
                                   sizeof(info->address), &info->address, NULL) == CL_SUCCESS;
    known &= clGetKernelArgInfo(kernel, index, CL_KERNEL_ARG_ACCESS_QUALIFIER, sizeof(info->access),
                                &info->access, NULL) == CL_SUCCESS;
    known &= clGetKernelArgInfo(kernel, index, CL_KERNEL_ARG_TYPE_QUALIFIER, sizeof(qualifier),
                                &qualifier, NULL) == CL_SUCCESS;
    info->type_qualifier = qualifier;
    return known;
}

static void write_arg(cl_kernel kernel, cl_uint index, int has_info, struct buf *reply)
{
    struct wire_arg_info info = {0};
    AUTO_FREE char *type_name =
        QUERY_TEXT(clGetKernelArgInfo, kernel, index, CL_KERNEL_ARG_TYPE_NAME);
    AUTO_FREE char *name = QUERY_TEXT(clGetKernelArgInfo, kernel, index, CL_KERNEL_ARG_NAME);
    if (!type_name || !name) {
        reply->failed = 1;
        return;
    }
    if (has_info && query_arg(kernel, index, &info))
        classify(kernel, index, type_name, &info);
    else
        probe_unknown(kernel, index, &info);
    info.type_name_length = (uint32_t)strlen(type_name) + 1;
    const int named =
        clGetKernelArgInfo(kernel, index, CL_KERNEL_ARG_NAME, 0, NULL, NULL) == CL_SUCCESS;
    info.name_length = named ? (uint32_t)strlen(name) + 1 : 0;
    (void)buf_append(reply, &info, sizeof(info)); /* remembered in the buf */
    append_text(reply, type_name);
    if (named)
        append_text(reply, name);
}

static uint64_t work_group_u64(cl_kernel kernel, cl_device_id device,
                               cl_kernel_work_group_info what)
{
    uint64_t value = 0;
    (void)clGetKernelWorkGroupInfo(kernel, device, what, sizeof(value), &value, NULL); /* 0 then */
    return value;
}

static void write_kernel(cl_kernel kernel, cl_device_id device, struct buf *reply)
{
    struct wire_kernel_info info = {
        .work_group_size = work_group_u64(kernel, device, CL_KERNEL_WORK_GROUP_SIZE),
        .local_bytes = work_group_u64(kernel, device, CL_KERNEL_LOCAL_MEM_SIZE),
        .preferred_multiple =
            work_group_u64(kernel, device, CL_KERNEL_PREFERRED_WORK_GROUP_SIZE_MULTIPLE),
        .private_bytes = work_group_u64(kernel, device, CL_KERNEL_PRIVATE_MEM_SIZE),
    };
    size_t compiled[3] = {0};
    struct wire_arg_info first = {0};
    AUTO_FREE char *name = QUERY_TEXT(clGetKernelInfo, kernel, CL_KERNEL_FUNCTION_NAME);
    AUTO_FREE char *attributes = QUERY_TEXT(clGetKernelInfo, kernel, CL_KERNEL_ATTRIBUTES);
    if (!name || !attributes) {
        reply->failed = 1;
        return;
    }
    (void)clGetKernelInfo(kernel, CL_KERNEL_NUM_ARGS, sizeof(info.arg_count), &info.arg_count,
                          NULL); /* 0 then */
    (void)clGetKernelWorkGroupInfo(kernel, device, CL_KERNEL_COMPILE_WORK_GROUP_SIZE,
                                   sizeof(compiled), compiled, NULL); /* 0 then */
    for (int i = 0; i < 3; i++)
        info.compile_work_group[i] = compiled[i];
    info.name_length = (uint32_t)strlen(name) + 1;
    info.attributes_length = (uint32_t)strlen(attributes) + 1;
    info.has_arg_info = info.arg_count > 0 && query_arg(kernel, 0, &first);
    (void)buf_append(reply, &info, sizeof(info)); /* remembered in the buf */
    append_text(reply, name);
    append_text(reply, attributes);
    for (cl_uint i = 0; i < info.arg_count; i++)
        write_arg(kernel, i, (int)info.has_arg_info, reply);
}

/* Scratch kernels of a built program: `ret_kernels` owned; returns their number. */
static cl_uint make_kernels(cl_program program, cl_kernel **ret_kernels)
{
    cl_uint count = 0;
    if (clCreateKernelsInProgram(program, 0, NULL, &count) != CL_SUCCESS || count == 0)
        return 0;
    cl_kernel *kernels = calloc(count, sizeof(cl_kernel));
    if (!kernels)
        return 0;
    if (clCreateKernelsInProgram(program, count, kernels, NULL) != CL_SUCCESS) {
        free(kernels);
        return 0;
    }
    *ret_kernels = kernels;
    return count;
}

/* Take a word off the end. */
static void cut_off(char *text, const char *word)
{
    const size_t length = strlen(text), cut = strlen(word);
    if (length < cut || strcmp(text + length - cut, word) != 0)
        return;
    char *end = text + length - cut;
    *(end > text && end[-1] == ' ' ? end - 1 : end) = '\0';
}

cl_int build_reply_write(cl_program program, cl_device_id device, cl_int status, const char *asked,
                         struct buf *reply)
{
    /* Drivers before OpenCL 1.2 know of executables only. */
    struct wire_build_reply head = {.status = status,
                                    .build_status = CL_BUILD_NONE,
                                    .binary_type = CL_PROGRAM_BINARY_TYPE_EXECUTABLE};
    size_t global_bytes = 0;
    AUTO_FREE cl_kernel *kernels = NULL;
    AUTO_FREE char *log = QUERY_TEXT(clGetProgramBuildInfo, program, device, CL_PROGRAM_BUILD_LOG);
    AUTO_FREE char *built_with =
        QUERY_TEXT(clGetProgramBuildInfo, program, device, CL_PROGRAM_BUILD_OPTIONS);
    if (!log || !built_with)
        return CL_OUT_OF_HOST_MEMORY;
    if (!strstr(asked, ARG_INFO_OPTION))
        cut_off(built_with, ARG_INFO_OPTION);
    (void)clGetProgramBuildInfo(program, device, CL_PROGRAM_BUILD_STATUS, sizeof(head.build_status),
                                &head.build_status, NULL);
    (void)clGetProgramBuildInfo(program, device, CL_PROGRAM_BINARY_TYPE, sizeof(head.binary_type),
                                &head.binary_type, NULL);
    (void)clGetProgramBuildInfo(program, device, CL_PROGRAM_BUILD_GLOBAL_VARIABLE_TOTAL_SIZE,
                                sizeof(global_bytes), &global_bytes, NULL);
    if (status == CL_SUCCESS && head.binary_type != CL_PROGRAM_BINARY_TYPE_COMPILED_OBJECT &&
        head.binary_type != CL_PROGRAM_BINARY_TYPE_LIBRARY)
        head.kernel_count = make_kernels(program, &kernels);
    head.global_variable_bytes = global_bytes;
    head.log_length = strlen(log) + 1;
    (void)buf_append(reply, &head, sizeof(head)); /* remembered in the buf */
    append_text(reply, log);
    append_text(reply, built_with);
    for (cl_uint i = 0; i < head.kernel_count; i++) {
        write_kernel(kernels[i], device, reply);
        (void)clReleaseKernel(kernels[i]); /* ours */
    }
    return reply->failed ? CL_OUT_OF_HOST_MEMORY : CL_SUCCESS;
}
