/* Programs: their sources, builds and queries: see program.h. */
#include "card/opencl/program.h"

#include "card/opencl/binary.h"
#include "card/opencl/build.h"
#include "card/opencl/context.h"
#include "card/opencl/include.h"
#include "card/opencl/output.h"
#include "card/opencl/process.h"
#include "card/opencl/subdevice.h"
#include "card/opencl/transfer.h"
#include "opencl_api.h"

#define REPLY_ROOM_BYTES (256u * 1024) /* most build replies fit; others are asked for again */

/* The numbers of devices as records have them: none mean the card alone. */
static cl_uint count_numbers(const struct _cl_program *program, const struct device_choice *devices)
{
    return program->device_count == 1 && program->devices[0] == process.devices ? 0
                                                                                : devices->count;
}

static void put_numbers(uint32_t *ids, cl_uint count, const cl_device_id *devices)
{
    for (cl_uint i = 0; i < count; i++)
        ids[i] = devices[i]->object.id;
}

/* What a program is made of: a text, or a binary for each of its devices. */
static size_t piece(const struct _cl_program *program, cl_uint index, const void **ret_data)
{
    const struct program_part *part = &program->parts[index];
    size_t length;
    cl_program_binary_type type;
    if (program->from_binary) {
        *ret_data = binary_payload(part->binary, part->binary_bytes, &length, &type);
        return length;
    }
    *ret_data = program->built_in   ? program->built_in
                : program->expanded ? program->expanded
                                    : program->source;
    return strlen(*ret_data);
}

/* PROGRAM_SOURCE is laid out as the others begin, and PROGRAM_BUILT_IN like PROGRAM_BINARY without
 * the lengths. */
static cl_int post_payload(const struct _cl_program *program, uint32_t id, uint64_t offset,
                           uint64_t length, uint64_t *ret_type)
{
    const struct device_choice all = {program->device_count, program->devices};
    const cl_uint count = program->source ? 0 : count_numbers(program, &all);
    const unsigned opcode = program->source     ? WIRE_PROGRAM_SOURCE
                            : program->built_in ? WIRE_PROGRAM_BUILT_IN
                                                : WIRE_PROGRAM_BINARY;
    size_t bytes = program->source
                       ? sizeof(struct wire_program_source)
                       : sizeof(struct wire_program_binary) + wire_pad8(count * sizeof(uint32_t));
    if (program->from_binary)
        bytes += count * sizeof(uint64_t);
    struct wire_program_binary *record = record_begin(bytes);
    if (!record)
        return CL_DEVICE_NOT_AVAILABLE;
    record->id = id;
    record->context_id = program->context->object.id;
    record->slab_offset = offset;
    record->length = length;
    if (!program->source) {
        record->device_count = count;
        put_numbers(wire_program_binary_devices(record), count, program->devices);
    }
    for (cl_uint i = 0; i < count && program->from_binary; i++) {
        const void *data;
        wire_program_binary_lengths(record)[i] = piece(program, i, &data);
    }
    return record_wait(record, opcode, bytes, ret_type, NULL);
}

/* A binary that does not say itself what it is, is what the driver takes it for. */
static void name_binaries(cl_program program, cl_program_binary_type type)
{
    for (cl_uint i = 0; program->from_binary && i < program->device_count; i++) {
        const void *payload;
        (void)piece(program, i, &payload);
        if (payload == program->parts[i].binary)
            program->parts[i].binary_type = type;
    }
}

/* The payload travels through the slab, and the reply tells that it is free again. */
static cl_int send_program(struct object *object, uint32_t id)
{
    cl_program program = (cl_program)object;
    const cl_uint count = program->from_binary ? program->device_count : 1;
    const void *data;
    size_t length = 0, at = 0;
    uint64_t offset, type = CL_PROGRAM_BINARY_TYPE_NONE;
    if (program->from_link)
        return CL_SUCCESS; /* the link makes it */
    for (cl_uint i = 0; i < count; i++)
        length += piece(program, i, &data);
    cl_int result = slab_reserve(length, &offset);
    if (result != CL_SUCCESS)
        return result;
    for (cl_uint i = 0; i < count; i++) {
        size_t bytes = piece(program, i, &data);
        memcpy(slab_at(offset + at), data, bytes);
        at += bytes;
    }
    result = post_payload(program, id, offset, length, &type);
    slab_release(offset, length);
    name_binaries(program, (cl_program_binary_type)type);
    return result;
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
    for (cl_uint i = 0; i < program->device_count; i++) {
        build_destroy(program->parts[i].build);
        free(program->parts[i].binary);
        free(program->parts[i].options);
    }
    free(program->parts);
    free(program->devices);
    free(program->source);
    free(program->expanded);
    free(program->built_in);
    object_free(object);
    object_release(parent);
}

const struct object_kind program_kind = {send_program, program_parent, leave_program,
                                         destroy_program};

cl_program program_create(cl_context context, const struct device_choice *devices)
{
    cl_program program = object_create(OBJECT_PROGRAM, sizeof(*program));
    if (!program)
        return NULL;
    program->context = context;
    object_retain(&context->object);
    program->devices = calloc(devices->count, sizeof(cl_device_id));
    program->parts = calloc(devices->count, sizeof(*program->parts));
    if (!program->devices || !program->parts) {
        object_release(&program->object);
        return NULL;
    }
    memcpy(program->devices, devices->devices, devices->count * sizeof(cl_device_id));
    program->device_count = devices->count;
    for (cl_uint i = 0; i < devices->count; i++)
        program->parts[i].status = CL_BUILD_NONE;
    return program;
}

const struct build *program_built(const struct _cl_program *program)
{
    for (cl_uint i = 0; i < program->device_count; i++)
        if (program->parts[i].status == CL_BUILD_SUCCESS)
            return program->parts[i].build;
    return NULL;
}

struct program_part *program_part(cl_program program, cl_device_id device)
{
    if (!device)
        return program->device_count == 1 ? &program->parts[0] : NULL;
    int index = device_stands_for(device, program->devices, program->device_count);
    return index < 0 ? NULL : &program->parts[index];
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
    const struct device_choice all = {context->device_count, context->devices};
    cl_program program = program_create(context, &all);
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

static cl_int check_binary(const unsigned char *binary, size_t length)
{
    size_t payload;
    cl_program_binary_type type;
    if (length == 0 || !binary)
        return CL_INVALID_VALUE;
    return binary_payload(binary, length, &payload, &type) ? CL_SUCCESS : CL_INVALID_BINARY;
}

static cl_int check_binaries(cl_uint count, const size_t *lengths, const unsigned char **binaries,
                             cl_int *status)
{
    cl_int first = CL_SUCCESS;
    for (cl_uint i = 0; i < count; i++) {
        cl_int result = check_binary(binaries[i], lengths[i]);
        if (status)
            status[i] = result;
        if (first == CL_SUCCESS)
            first = result;
    }
    return first;
}

static cl_int keep_binary(struct program_part *part, const unsigned char *binary, size_t length)
{
    free(part->binary); /* of another part of the same device */
    part->binary = malloc(length);
    if (!part->binary)
        return CL_OUT_OF_HOST_MEMORY;
    memcpy(part->binary, binary, length);
    part->binary_bytes = length;
    size_t payload;
    (void)binary_payload(binary, length, &payload, &part->binary_type);
    output_expect(binary, length);
    return CL_SUCCESS;
}

static int names_twice(cl_uint count, const cl_device_id *devices)
{
    for (cl_uint i = 1; i < count; i++)
        for (cl_uint j = 0; j < i; j++)
            if (devices[i] == devices[j])
                return 1;
    return 0;
}

static cl_program create_from_binaries(cl_context context, const struct device_choice *devices,
                                       const cl_device_id *asked, cl_uint count,
                                       const size_t *lengths, const unsigned char **binaries,
                                       cl_int *ret_code)
{
    cl_program program = program_create(context, devices);
    *ret_code = program ? CL_SUCCESS : CL_OUT_OF_HOST_MEMORY;
    if (!program)
        return NULL;
    program->from_binary = 1;
    for (cl_uint i = 0; i < count && *ret_code == CL_SUCCESS; i++)
        *ret_code = keep_binary(program_part(program, asked[i]), binaries[i], lengths[i]);
    if (*ret_code == CL_SUCCESS)
        *ret_code = object_ensure(&program->object);
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
    struct device_choice devices;
    cl_program program = NULL;
    *errcode_ret = num_devices == 0 || !device_list || !lengths || !binaries ? CL_INVALID_VALUE
                   : names_twice(num_devices, device_list)
                       ? CL_INVALID_DEVICE
                       : devices_choose(context->devices, context->device_count, device_list,
                                        num_devices, &devices);
    if (*errcode_ret != CL_SUCCESS)
        return NULL;
    *errcode_ret = check_binaries(num_devices, lengths, binaries, binary_status);
    if (*errcode_ret == CL_SUCCESS) {
        program = create_from_binaries(context, &devices, device_list, num_devices, lengths,
                                       binaries, errcode_ret);
        for (cl_uint i = 0; binary_status && i < num_devices; i++)
            binary_status[i] = *errcode_ret;
    }
    device_choice_finish(&devices);
    return program;
}

/* The replies of the executor for some of a program's devices, one after the other. */
static cl_int keep_builds(cl_program program, const struct device_choice *devices,
                          const void *replies, size_t length)
{
    cl_int result = CL_SUCCESS;
    for (cl_uint i = 0; i < devices->count; i++) {
        struct program_part *part = program_part(program, devices->devices[i]);
        size_t used = 0;
        build_destroy(part->build);
        part->build = build_create(replies, length, &used);
        part->status = part->build ? part->build->reply.build_status : CL_BUILD_ERROR;
        result = part->build ? part->build->reply.status : CL_OUT_OF_HOST_MEMORY;
        replies = (const char *)replies + used;
        length -= used;
    }
    return result;
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

static cl_int fetch_builds(cl_program program, const struct device_choice *devices, uint64_t room)
{
    uint64_t offset, length;
    cl_int result = fetch_build(program->object.id, room, &offset, &length);
    if (result != CL_SUCCESS)
        return result;
    result = keep_builds(program, devices, slab_at(offset), (size_t)length);
    slab_release(offset, room);
    return result;
}

/* One round trip: options out, build reply back. */
static cl_int build(cl_program program, const struct program_task *task, const char *options)
{
    size_t options_length = strlen(options) + 1;
    const cl_uint count = count_numbers(program, task->devices);
    size_t bytes = sizeof(struct wire_program_build) +
                   (size_t)wire_pad8(task->input_count * sizeof(uint32_t)) +
                   (size_t)wire_pad8(count * sizeof(uint32_t));
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
        record->stage = task->stage | (task->options ? 0 : WIRE_BUILD_BARE);
        record->context_id = program->context->object.id;
        record->input_count = task->input_count;
        record->device_count = count;
        for (cl_uint i = 0; i < task->input_count; i++)
            wire_program_build_inputs(record)[i] = task->inputs[i]->object.id;
        put_numbers(wire_program_build_devices(record), count, task->devices->devices);
        record->slab_offset = offset;
        record->length = options_length - 1;
        record->reply_offset = offset + options_room;
        record->reply_room = REPLY_ROOM_BYTES;
        result = record_wait(record, WIRE_PROGRAM_BUILD, bytes, &full, &length);
    }
    /* A failed build has a reply, too. */
    if (full > 0 && full <= REPLY_ROOM_BYTES)
        result = keep_builds(program, task->devices, slab_at(offset + options_room), (size_t)full);
    slab_release(offset, room);
    return full > REPLY_ROOM_BYTES ? fetch_builds(program, task->devices, full) : result;
}

cl_int program_check(cl_program program, cl_uint num_devices, const cl_device_id *device_list,
                     struct device_choice *ret_devices)
{
    cl_int result = devices_choose(program->devices, program->device_count, device_list,
                                   num_devices, ret_devices);
    if (result == CL_SUCCESS && __atomic_load_n(&program->kernels, __ATOMIC_ACQUIRE)) {
        device_choice_finish(ret_devices);
        result = CL_INVALID_OPERATION;
    }
    return result;
}

/* Put what the source includes in its place; if that differs from what the executor has, or if that
 * has no source any more (its card came back since), it gets the program anew, built for no
 * device. */
static void place_includes(cl_program program, const struct program_task *task)
{
    if (!program->source)
        return;
    char *expanded =
        include_expand(program->source, task->headers, task->options ? task->options : "");
    const char *is = expanded ? expanded : program->source;
    const char *was = program->expanded ? program->expanded : program->source;
    const int gone = program->compiled && task->devices->count == program->device_count;
    if (program->object.id != 0 && (gone || strcmp(is, was) != 0)) {
        object_recall(&program->object);
        for (cl_uint i = 0; i < program->device_count; i++)
            program->parts[i].status = CL_BUILD_NONE;
    }
    program->compiled = task->stage == WIRE_BUILD_COMPILE;
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
    drop_idle_kernels(program);
    for (cl_uint i = 0; i < task->devices->count; i++) {
        struct program_part *part = program_part(program, task->devices->devices[i]);
        char *kept = strdup(task->options ? task->options : "");
        if (!kept)
            return CL_OUT_OF_HOST_MEMORY;
        free(part->options);
        part->options = kept;
        if (program->from_binary)
            continue;
        free(part->binary); /* of an earlier build */
        part->binary = NULL;
    }
    place_includes(program, task);
    cl_int result = CL_SUCCESS;
    for (cl_uint i = 0; i < task->input_count && result == CL_SUCCESS; i++)
        result = object_ensure(&task->inputs[i]->object);
    return result == CL_SUCCESS ? build(program, task, task->options ? task->options : "") : result;
}

cl_int api_clBuildProgram(cl_program program, cl_uint num_devices, const cl_device_id *device_list,
                          const char *options,
                          void(CL_CALLBACK *pfn_notify)(cl_program program, void *user_data),
                          void *user_data)
{
    struct device_choice devices;
    const struct program_task task = {
        .stage = WIRE_BUILD_WHOLE, .devices = &devices, .options = options};
    if (!pfn_notify && user_data)
        return CL_INVALID_VALUE;
    cl_int result = program_check(program, num_devices, device_list, &devices);
    if (result != CL_SUCCESS)
        return result;
    result = program->from_link ? CL_INVALID_OPERATION : program_work(program, &task);
    device_choice_finish(&devices);
    if (program->from_link)
        return result;
    if (pfn_notify)
        pfn_notify(program, user_data);
    return result;
}

cl_program api_clCreateProgramWithBuiltInKernels(cl_context context, cl_uint num_devices,
                                                 const cl_device_id *device_list,
                                                 const char *kernel_names, cl_int *errcode_ret)
{
    struct device_choice devices;
    *errcode_ret = num_devices == 0 || !device_list || !kernel_names
                       ? CL_INVALID_VALUE
                       : devices_choose(context->devices, context->device_count, device_list,
                                        num_devices, &devices);
    if (*errcode_ret != CL_SUCCESS)
        return NULL;
    cl_program program = program_create(context, &devices);
    if (program)
        program->built_in = strdup(kernel_names);
    *errcode_ret = CL_OUT_OF_HOST_MEMORY;
    if (program && program->built_in)
        *errcode_ret = object_ensure(&program->object);
    if (*errcode_ret == CL_SUCCESS)
        *errcode_ret = fetch_builds(program, &devices, REPLY_ROOM_BYTES);
    device_choice_finish(&devices);
    if (*errcode_ret == CL_SUCCESS || !program)
        return program;
    object_release(&program->object);
    return NULL;
}
