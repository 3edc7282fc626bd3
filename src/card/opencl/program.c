/* Programs: their sources, builds and queries: see program.h. */
#include "card/opencl/program.h"

#include "card/opencl/binary.h"
#include "card/opencl/build.h"
#include "card/opencl/context.h"
#include "card/opencl/include.h"
#include "card/opencl/info.h"
#include "card/opencl/output.h"
#include "card/opencl/process.h"
#include "card/opencl/transfer.h"
#include "opencl_api.h"

#define REPLY_ROOM_BYTES \
    (256u * 1024) /* most build replies fit; larger ones are asked for again \
                   */

/* The payload travels through the slab, and the reply tells that it is free again. */
static cl_int send_payload(unsigned opcode, uint32_t id, uint32_t context_id, const void *payload,
                           size_t length)
{
    uint64_t offset;
    cl_int result = slab_reserve(length, &offset);
    if (result != CL_SUCCESS)
        return result;
    memcpy(slab_at(offset), payload, length);
    /* PROGRAM_SOURCE and PROGRAM_BINARY are laid out alike. */
    struct wire_program_source *record = record_begin(sizeof(*record));
    result = CL_DEVICE_NOT_AVAILABLE;
    if (record) {
        record->id = id;
        record->context_id = context_id;
        record->slab_offset = offset;
        record->length = length;
        result = record_wait(record, opcode, sizeof(*record), NULL, NULL);
    }
    slab_release(offset, length);
    return result;
}

static cl_int send_program(struct object *object, uint32_t id)
{
    cl_program program = (cl_program)object;
    uint32_t context_id = program->context->object.id;
    size_t length;
    const char *source = program->expanded ? program->expanded : program->source;
    if (program->from_link)
        return CL_SUCCESS; /* the link makes it */
    if (!program->from_binary)
        return send_payload(WIRE_PROGRAM_SOURCE, id, context_id, source, strlen(source));
    const void *payload = binary_payload(program->binary, program->binary_bytes, &length);
    return send_payload(WIRE_PROGRAM_BINARY, id, context_id, payload, length);
}

static struct object *program_parent(struct object *object)
{
    return &((cl_program)object)->context->object;
}

int program_keep_kernel(cl_program program, const struct build_kernel *build, uint32_t id)
{
    lock_take(&program->idle_lock);
    int kept = program->idle_count < IDLE_KERNELS_MOST;
    if (kept)
        program->idle[program->idle_count++] = (struct idle_kernel){build, id};
    lock_give(&program->idle_lock);
    return kept;
}

uint32_t program_reuse_kernel(cl_program program, const struct build_kernel *build)
{
    uint32_t id = 0;
    lock_take(&program->idle_lock);
    for (uint32_t i = program->idle_count; i-- > 0 && !id;) {
        if (program->idle[i].build != build)
            continue;
        id = program->idle[i].id;
        program->idle[i] = program->idle[--program->idle_count];
    }
    lock_give(&program->idle_lock);
    return id;
}

/* Before another build, which the driver refuses while there are kernels, and before the end. */
static void drop_idle_kernels(cl_program program)
{
    while (program->idle_count > 0)
        object_release_id(program->idle[--program->idle_count].id);
}

static void leave_program(struct object *object)
{
    drop_idle_kernels((cl_program)object);
}

static void destroy_program(struct object *object)
{
    cl_program program = (cl_program)object;
    struct object *parent = program_parent(object);
    build_destroy(program->build);
    free(program->source);
    free(program->expanded);
    free(program->binary);
    free(program->options);
    object_free(object);
    object_release(parent);
}

const struct object_kind program_kind = {send_program, program_parent, leave_program,
                                         destroy_program};

cl_program program_create(cl_context context)
{
    cl_program program = object_create(OBJECT_PROGRAM, sizeof(*program));
    if (!program)
        return NULL;
    program->context = context;
    program->device = context->device;
    program->device_count = 1;
    program->status = CL_BUILD_NONE;
    object_retain(&context->object);
    return program;
}

/* The pieces of a source as one text; lengths may be NULL, or 0 for a text with a NUL. */
static char *join(cl_uint count, const char **strings, const size_t *lengths)
{
    size_t total = 0;
    for (cl_uint i = 0; i < count; i++)
        total += lengths && lengths[i] ? lengths[i] : strlen(strings[i]);
    char *text = malloc(total + 1);
    char *end = text;
    for (cl_uint i = 0; text && i < count; i++) {
        size_t length = lengths && lengths[i] ? lengths[i] : strlen(strings[i]);
        memcpy(end, strings[i], length);
        end += length;
    }
    if (text)
        *end = '\0';
    return text;
}

cl_program api_clCreateProgramWithSource(cl_context context, cl_uint count, const char **strings,
                                         const size_t *lengths, cl_int *errcode_ret)
{
    int valid = count > 0 && strings;
    for (cl_uint i = 0; valid && i < count; i++)
        valid = strings[i] != NULL;
    if (!valid) {
        *errcode_ret = CL_INVALID_VALUE;
        return NULL;
    }
    cl_program program = program_create(context);
    if (program)
        program->source = join(count, strings, lengths);
    if (program && program->source) {
        output_expect(program->source, strlen(program->source));
        return program;
    }
    if (program)
        object_release(&program->object);
    *errcode_ret = CL_OUT_OF_HOST_MEMORY;
    return NULL;
}

static cl_int check_binary(cl_context context, cl_uint num_devices, const cl_device_id *device_list,
                           const size_t *lengths, const unsigned char **binaries, cl_int *status)
{
    size_t length;
    if (num_devices == 0 || !device_list || !lengths || !binaries)
        return CL_INVALID_VALUE;
    if (num_devices != 1 || device_list[0] != context->device)
        return CL_INVALID_DEVICE;
    if (lengths[0] == 0 || !binaries[0]) {
        *status = CL_INVALID_VALUE;
        return CL_INVALID_VALUE;
    }
    if (!binary_payload(binaries[0], lengths[0], &length)) {
        *status = CL_INVALID_BINARY;
        return CL_INVALID_BINARY;
    }
    return CL_SUCCESS;
}

static cl_program create_from_binary(cl_context context, const unsigned char *binary, size_t length,
                                     cl_int *ret_code)
{
    *ret_code = CL_OUT_OF_HOST_MEMORY;
    cl_program program = program_create(context);
    if (!program)
        return NULL;
    program->from_binary = 1;
    program->binary = malloc(length);
    if (program->binary) {
        memcpy(program->binary, binary, length);
        program->binary_bytes = length;
        output_expect(binary, length);
        *ret_code = object_ensure(&program->object);
    }
    if (*ret_code == CL_SUCCESS)
        return program;
    object_release(&program->object);
    return NULL;
}

cl_program api_clCreateProgramWithBinary(cl_context context, cl_uint num_devices,
                                         const cl_device_id *device_list, const size_t *lengths,
                                         const unsigned char **binaries, cl_int *binary_status,
                                         cl_int *errcode_ret)
{
    cl_int status = CL_SUCCESS;
    cl_program program = NULL;
    *errcode_ret = check_binary(context, num_devices, device_list, lengths, binaries, &status);
    if (*errcode_ret == CL_SUCCESS) {
        program = create_from_binary(context, binaries[0], lengths[0], errcode_ret);
        status = *errcode_ret;
    }
    if (binary_status && num_devices > 0)
        binary_status[0] = status;
    return program;
}

cl_int api_clRetainProgram(cl_program program)
{
    object_retain(&program->object);
    return CL_SUCCESS;
}

cl_int api_clReleaseProgram(cl_program program)
{
    object_release(&program->object);
    return CL_SUCCESS;
}

/* The whole reply of the last build, in a new piece of the slab of `room` bytes. */
static cl_int fetch_build(uint32_t id, uint64_t room, uint64_t *ret_offset, uint64_t *ret_length)
{
    uint64_t value = 0;
    cl_int result = slab_reserve(room, ret_offset);
    if (result != CL_SUCCESS)
        return result;
    struct wire_program_get_build *record = record_begin(sizeof(*record));
    result = CL_DEVICE_NOT_AVAILABLE;
    if (record) {
        record->id = id;
        record->reply_offset = *ret_offset;
        record->reply_room = room;
        result = record_wait(record, WIRE_PROGRAM_GET_BUILD, sizeof(*record), &value, ret_length);
    }
    if (result != CL_SUCCESS)
        slab_release(*ret_offset, room);
    return result;
}

static cl_int keep_build(cl_program program, const void *reply, size_t length)
{
    build_destroy(program->build);
    program->build = build_create(reply, length);
    program->status = program->build ? program->build->reply.build_status : CL_BUILD_ERROR;
    return program->build ? program->build->reply.status : CL_OUT_OF_HOST_MEMORY;
}

static cl_int keep_large_build(cl_program program, uint64_t room)
{
    uint64_t offset, length;
    cl_int result = fetch_build(program->object.id, room, &offset, &length);
    if (result != CL_SUCCESS)
        return result;
    result = keep_build(program, slab_at(offset), (size_t)length);
    slab_release(offset, room);
    return result;
}

/* One round trip: options out, build reply back. */
static cl_int build(cl_program program, const struct program_task *task, const char *options)
{
    size_t options_length = strlen(options) + 1;
    size_t bytes =
        sizeof(struct wire_program_build) + (size_t)wire_pad8(task->input_count * sizeof(uint32_t));
    uint64_t options_room = wire_pad8(options_length);
    uint64_t room = options_room + REPLY_ROOM_BYTES, offset, full = 0, length = 0;
    cl_int result = slab_reserve(room, &offset);
    if (result != CL_SUCCESS)
        return result;
    memcpy(slab_at(offset), options, options_length);
    result = object_ensure(&program->object);
    struct wire_program_build *record = result == CL_SUCCESS ? record_begin(bytes) : NULL;
    if (result == CL_SUCCESS)
        result = CL_DEVICE_NOT_AVAILABLE;
    if (record) {
        record->id = program->object.id;
        record->stage = task->stage;
        record->context_id = program->context->object.id;
        record->input_count = task->input_count;
        for (cl_uint i = 0; i < task->input_count; i++)
            wire_program_build_inputs(record)[i] = task->inputs[i]->object.id;
        record->slab_offset = offset;
        record->length = options_length - 1;
        record->reply_offset = offset + options_room;
        record->reply_room = REPLY_ROOM_BYTES;
        result = record_wait(record, WIRE_PROGRAM_BUILD, bytes, &full, &length);
    }
    /* A failed build has a reply, too. */
    if (full > 0 && full <= REPLY_ROOM_BYTES)
        result = keep_build(program, slab_at(offset + options_room), (size_t)full);
    slab_release(offset, room);
    return full > REPLY_ROOM_BYTES ? keep_large_build(program, full) : result;
}

cl_int program_check(cl_program program, cl_uint num_devices, const cl_device_id *device_list)
{
    if (!device_list != !num_devices)
        return CL_INVALID_VALUE;
    for (cl_uint i = 0; i < num_devices; i++)
        if (device_list[i] != program->device)
            return CL_INVALID_DEVICE;
    return __atomic_load_n(&program->kernels, __ATOMIC_ACQUIRE) ? CL_INVALID_OPERATION : CL_SUCCESS;
}

/* Put what the source includes in its place; if that differs from what the executor has, it gets
 * the program anew. */
static void place_includes(cl_program program, const struct program_task *task)
{
    if (!program->source)
        return;
    char *expanded = include_expand(program->source, task->headers, program->options);
    const char *is = expanded ? expanded : program->source;
    const char *was = program->expanded ? program->expanded : program->source;
    if (program->object.id != 0 && strcmp(is, was) != 0)
        object_recall(&program->object);
    output_expect(is, strlen(is));
    free(program->expanded);
    program->expanded = expanded;
}

/* A last option that needs a word behind it: drivers have been seen to crash. */
static int lacks_word(const char *options)
{
    size_t length = strlen(options);
    while (length > 0 && strchr(" \t\r\n", options[length - 1]))
        length--;
    if (length < 2 || options[length - 2] != '-' || !strchr("DI", options[length - 1]))
        return 0;
    return length == 2 || strchr(" \t\r\n", options[length - 3]) != NULL;
}

cl_int program_work(cl_program program, const struct program_task *task)
{
    if (task->options && task->stage != WIRE_BUILD_LINK && lacks_word(task->options))
        return task->stage == WIRE_BUILD_COMPILE ? CL_INVALID_COMPILER_OPTIONS
                                                 : CL_INVALID_BUILD_OPTIONS;
    char *kept = strdup(task->options ? task->options : "");
    if (!kept)
        return CL_OUT_OF_HOST_MEMORY;
    drop_idle_kernels(program);
    free(program->options);
    program->options = kept;
    if (!program->from_binary) {
        free(program->binary); /* of an earlier build */
        program->binary = NULL;
    }
    place_includes(program, task);
    cl_int result = CL_SUCCESS;
    for (cl_uint i = 0; i < task->input_count && result == CL_SUCCESS; i++)
        result = object_ensure(&task->inputs[i]->object);
    return result == CL_SUCCESS ? build(program, task, kept) : result;
}

cl_int api_clBuildProgram(cl_program program, cl_uint num_devices, const cl_device_id *device_list,
                          const char *options,
                          void(CL_CALLBACK *pfn_notify)(cl_program program, void *user_data),
                          void *user_data)
{
    const struct program_task task = {.stage = WIRE_BUILD_WHOLE, .options = options};
    if (!pfn_notify && user_data)
        return CL_INVALID_VALUE;
    cl_int result = program_check(program, num_devices, device_list);
    if (result == CL_SUCCESS && program->from_link)
        result = CL_INVALID_OPERATION;
    if (result != CL_SUCCESS)
        return result;
    result = program_work(program, &task);
    if (pfn_notify)
        pfn_notify(program, user_data);
    return result;
}

/* Fetch `length` bytes of binary (0: only ask how many there are) into `target`. */
static cl_int get_binary(cl_program program, size_t length, void *target, uint64_t *ret_full)
{
    uint64_t offset, got = 0;
    cl_int result = slab_reserve(length, &offset);
    if (result != CL_SUCCESS)
        return result;
    struct wire_program_get_binary *record = record_begin(sizeof(*record));
    result = CL_DEVICE_NOT_AVAILABLE;
    if (record) {
        record->id = program->object.id;
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
static cl_int ensure_binary(cl_program program)
{
    uint64_t full = 0;
    if (program->binary || program->status != CL_BUILD_SUCCESS)
        return CL_SUCCESS;
    cl_int result = get_binary(program, 0, NULL, &full);
    if (result != CL_SUCCESS || full == 0)
        return result;
    struct binary_header header;
    unsigned char *binary = malloc(sizeof(header) + full);
    if (!binary)
        return CL_OUT_OF_HOST_MEMORY;
    result = get_binary(program, full, binary + sizeof(header), &full);
    if (result != CL_SUCCESS) {
        free(binary);
        return result;
    }
    binary_header_init(&header, binary + sizeof(header), full);
    memcpy(binary, &header, sizeof(header));
    program->binary = binary;
    program->binary_bytes = sizeof(header) + full;
    return CL_SUCCESS;
}

/* The names of all kernels with semicolons between. */
static cl_int put_kernel_names(const struct _cl_program *program, const struct info_out *out)
{
    const struct build *made = program->build;
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
    if (program->status != CL_BUILD_SUCCESS)
        return CL_INVALID_PROGRAM_EXECUTABLE;
    size_t count = program->build->reply.kernel_count;
    return name == CL_PROGRAM_NUM_KERNELS ? info_put(out, &count, sizeof(count))
                                          : put_kernel_names(program, out);
}

static cl_int put_binary(cl_program program, cl_program_info name, const struct info_out *out)
{
    cl_int result = ensure_binary(program);
    if (result != CL_SUCCESS)
        return result;
    size_t length = program->binary ? program->binary_bytes : 0;
    if (name == CL_PROGRAM_BINARY_SIZES)
        return info_put(out, &length, sizeof(length));
    unsigned char **targets = out->value;
    if (targets && out->room < sizeof(*targets))
        return CL_INVALID_VALUE;
    if (targets && targets[0] && length > 0)
        memcpy(targets[0], program->binary, length);
    if (out->ret_size)
        *out->ret_size = sizeof(*targets);
    return CL_SUCCESS;
}

cl_int api_clGetProgramInfo(cl_program program, cl_program_info param_name, size_t param_value_size,
                            void *param_value, size_t *param_value_size_ret)
{
    static const struct info_field fields[] = {
        INFO_VALUE(CL_PROGRAM_REFERENCE_COUNT, struct _cl_program, object.references),
        INFO_VALUE(CL_PROGRAM_CONTEXT, struct _cl_program, context),
        INFO_VALUE(CL_PROGRAM_NUM_DEVICES, struct _cl_program, device_count),
        INFO_VALUE(CL_PROGRAM_DEVICES, struct _cl_program, device),
        INFO_TEXT(CL_PROGRAM_SOURCE, struct _cl_program, source),
    };
    struct info_out out = {param_value_size, param_value, param_value_size_ret};
    const cl_bool no = CL_FALSE;
    switch (param_name) {
    case CL_PROGRAM_BINARY_SIZES:
    case CL_PROGRAM_BINARIES:
        return put_binary(program, param_name, &out);
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
        INFO_VALUE(CL_PROGRAM_BUILD_STATUS, struct _cl_program, status),
        INFO_TEXT(CL_PROGRAM_BUILD_OPTIONS, struct _cl_program, options),
    };
    struct info_out out = {param_value_size, param_value, param_value_size_ret};
    const struct build *made = program->build;
    cl_program_binary_type type = made ? made->reply.binary_type : CL_PROGRAM_BINARY_TYPE_NONE;
    size_t global_bytes = made ? (size_t)made->reply.global_variable_bytes : 0;
    const char *log = made ? made->log : "";
    switch (param_name) {
    case CL_PROGRAM_BUILD_LOG:
        return info_put(&out, log, strlen(log) + 1);
    case CL_PROGRAM_BINARY_TYPE:
        return info_put(&out, &type, sizeof(type));
    case CL_PROGRAM_BUILD_GLOBAL_VARIABLE_TOTAL_SIZE:
        return info_put(&out, &global_bytes, sizeof(global_bytes));
    default:
        return info_answer(&out, fields, sizeof(fields) / sizeof(fields[0]), program, param_name);
    }
}
