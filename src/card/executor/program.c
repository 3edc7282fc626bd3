/* Programs and kernels: creation, builds and what a client must know of a built program to answer
 * its queries alone (build_reply.c). */
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "card/executor/arg_info.h"
#include "card/executor/build.h"
#include "card/executor/session.h"

/* A private copy, for the client may change the slab at any time; NULL: out of memory. */
static char *copy_slab(const struct session *session, uint64_t offset, uint64_t length)
{
    char *copy = malloc(length + 1);
    if (!copy)
        return NULL;
    memcpy(copy, session->slab + offset, length);
    copy[length] = '\0';
    return copy;
}

/* What PROGRAM_SOURCE and PROGRAM_BINARY have in common: the place for the new program and its
 * text. */
static int open_program(struct session *session, uint32_t id, uint32_t context_id, uint64_t offset,
                        uint64_t length, struct object **ret_context, struct object **ret_object,
                        struct error *err)
{
    if (object_get(session, context_id, OBJECT_CONTEXT, ret_context, err) < 0 ||
        object_place(session, id, ret_object, err) < 0)
        return -EPROTO;
    return slab_check(offset, length, err);
}

static cl_program load_binaries(cl_context context, const struct program *program,
                                cl_int *ret_status)
{
    const cl_uint count = device_list_length(&program->devices);
    AUTO_FREE cl_int *loaded = calloc(count, sizeof(cl_int));
    AUTO_FREE const unsigned char **binaries = calloc(count, sizeof(unsigned char *));
    *ret_status = CL_OUT_OF_HOST_MEMORY;
    if (!loaded || !binaries)
        return NULL;
    const unsigned char *at = (const unsigned char *)program->text;
    for (cl_uint i = 0; i < count; at += program->lengths[i++])
        binaries[i] = at;
    return clCreateProgramWithBinary(context, count, program->devices.drivers, program->lengths,
                                     binaries, loaded, ret_status);
}

static cl_program load_program(struct session *session, cl_context context, struct program *program,
                               cl_int *ret_status)
{
    const char *text = program->text;
    if (strcmp(program->kind, "source") == 0)
        return clCreateProgramWithSource(context, 1, &text, &program->text_length, ret_status);
    *ret_status = device_list_find(session, &program->devices);
    if (*ret_status)
        return NULL;
    if (strcmp(program->kind, "built-in") == 0)
        return clCreateProgramWithBuiltInKernels(context, device_list_length(&program->devices),
                                                 program->devices.drivers, text, ret_status);
    return load_binaries(context, program, ret_status);
}

cl_int program_make(struct session *session, struct object *object)
{
    const struct program *program = object->extra;
    cl_int status;
    if (!program->text) { /* a link that failed, of which there is nothing but its log */
        object->error = CL_INVALID_PROGRAM;
        return CL_SUCCESS;
    }
    object->driver =
        load_program(session, session->objects[object->parent].driver, object->extra, &status);
    if (status != CL_SUCCESS)
        return status;
    status = build_again(session, object);
    if (status != CL_SUCCESS)
        object_put_away(session, object);
    return status;
}

/* Take `program`, whose text may be NULL for want of memory, into the object; when the driver
 * refuses it, its number is free again. */
static int create_program(struct session *session, struct object *object, uint32_t context_id,
                          struct program program, struct reply *reply, struct error *err)
{
    struct program *extra = malloc(sizeof(*extra));
    if (!extra || !program.text) {
        free(extra);
        free(program.text);
        free(program.lengths);
        device_list_finish(&program.devices);
        return BAD_RECORD(err, "no memory for a program");
    }
    *extra = program;
    *object = (struct object){.kind = OBJECT_PROGRAM, .parent = context_id, .extra = extra};
    reply->status = object_make(session, object);
    if (reply->status)
        object_release(session, object);
    return 0;
}

int handle_program_source(struct session *session, const struct wire_header *header,
                          struct reply *reply, struct error *err)
{
    const struct wire_program_source *record = (const void *)header;
    struct object *context, *object;
    if (open_program(session, record->id, record->context_id, record->slab_offset, record->length,
                     &context, &object, err) < 0)
        return -EPROTO;
    const struct program program = {.kind = "source",
                                    .text = copy_slab(session, record->slab_offset, record->length),
                                    .text_length = record->length};
    return create_program(session, object, record->context_id, program, reply, err);
}

/* The lengths of a record's binaries, which together are no longer than `length`: a private copy,
 * or NULL. */
static size_t *copy_lengths(const struct wire_program_binary *record)
{
    const uint64_t *lengths = wire_program_binary_lengths(record);
    size_t *copy = calloc(record->device_count + 1u, sizeof(*copy));
    uint64_t left = record->length;
    if (copy && record->device_count == 0)
        copy[0] = left;
    for (uint32_t i = 0; copy && i < record->device_count; i++) {
        if (lengths[i] > left) {
            free(copy);
            return NULL;
        }
        copy[i] = lengths[i];
        left -= lengths[i];
    }
    return copy;
}

/* Before it is built; drivers before OpenCL 1.2 know of executables only. */
static cl_program_binary_type binary_type(const struct object *object)
{
    const struct program *program = object->extra;
    cl_program_binary_type type = CL_PROGRAM_BINARY_TYPE_EXECUTABLE;
    (void)clGetProgramBuildInfo(object->driver, program->devices.drivers[0], CL_PROGRAM_BINARY_TYPE,
                                sizeof(type), &type, NULL);
    return type;
}

int handle_program_binary(struct session *session, const struct wire_header *header,
                          struct reply *reply, struct error *err)
{
    const struct wire_program_binary *record = (const void *)header;
    struct object *context, *object;
    struct program program = {.kind = "binary", .text_length = record->length};
    if (open_program(session, record->id, record->context_id, record->slab_offset, record->length,
                     &context, &object, err) < 0 ||
        device_list_read(session, wire_program_binary_devices(record), record->device_count,
                         &program.devices, err) < 0)
        return -EPROTO;
    program.lengths = copy_lengths(record);
    if (program.lengths)
        program.text = copy_slab(session, record->slab_offset, record->length);
    if (create_program(session, object, record->context_id, program, reply, err) < 0)
        return -EPROTO;
    if (!reply->status)
        reply->value = binary_type(object);
    return 0;
}

int handle_program_built_in(struct session *session, const struct wire_header *header,
                            struct reply *reply, struct error *err)
{
    const struct wire_program_built_in *record = (const void *)header;
    struct object *context, *object;
    struct program program = {.kind = "built-in", .text_length = record->length};
    if (open_program(session, record->id, record->context_id, record->slab_offset, record->length,
                     &context, &object, err) < 0 ||
        device_list_read(session, wire_program_built_in_devices(record), record->device_count,
                         &program.devices, err) < 0)
        return -EPROTO;
    program.text = copy_slab(session, record->slab_offset, record->length);
    if (create_program(session, object, record->context_id, program, reply, err) < 0)
        return -EPROTO;
    if (!reply->status)
        reply->status = build_describe(object);
    return 0;
}

/* Copy as much as fits into the client's room; the reply's value is always the full length. */
static void answer_bytes(struct session *session, uint64_t offset, uint64_t room, const void *data,
                         uint64_t length, struct reply *reply)
{
    reply->value = length;
    reply->length = length <= room ? length : room;
    if (reply->length)
        memcpy(session->slab + offset, data, reply->length);
}

/* A new place for the program that a link of the record's programs gives. 0 or -EPROTO. */
static int link_program(struct session *session, const struct wire_program_build *record,
                        struct device_list *devices, const char *options, struct object *object,
                        struct reply *reply, struct error *err)
{
    const uint32_t *ids = wire_program_build_inputs(record);
    struct object *context, *input;
    if (object_get(session, record->context_id, OBJECT_CONTEXT, &context, err) < 0)
        return -EPROTO;
    AUTO_FREE cl_program *inputs = calloc(record->input_count + 1u, sizeof(cl_program));
    cl_int status = context->error;
    for (uint32_t i = 0; inputs && i < record->input_count; i++) { /* the new one is none of them */
        if (object_get(session, ids[i], OBJECT_PROGRAM, &input, err) < 0)
            return -EPROTO;
        if (!status)
            status = input->error;
        inputs[i] = input->driver;
    }
    struct program *program = calloc(1, sizeof(*program));
    if (!inputs || !program) {
        free(program);
        return BAD_RECORD(err, "no memory for a link");
    }
    program->kind = "binary";
    *object = (struct object){
        .kind = OBJECT_PROGRAM, .parent = record->context_id, .error = status, .extra = program};
    const struct build_inputs given = {inputs, record->input_count};
    if (!object->error)
        reply->status = build_link(session, object, devices, &given, options, &program->build);
    return 0;
}

static uint32_t stage_of(const struct wire_program_build *record)
{
    return record->stage & ~WIRE_BUILD_BARE;
}

/* The program to work on: for a link a new place, else the one there is. 0 or -EPROTO. */
static int find_program(struct session *session, const struct wire_program_build *record,
                        struct object **ret_object, struct error *err)
{
    if (slab_check(record->slab_offset, record->length, err) < 0 ||
        slab_check(record->reply_offset, record->reply_room, err) < 0)
        return -EPROTO;
    if (stage_of(record) > WIRE_BUILD_LINK)
        return BAD_RECORD(err, "no build stage %u", record->stage);
    return stage_of(record) == WIRE_BUILD_LINK
               ? object_place(session, record->id, ret_object, err)
               : object_get(session, record->id, OBJECT_PROGRAM, ret_object, err);
}

int handle_program_build(struct session *session, const struct wire_header *header,
                         struct reply *reply, struct error *err)
{
    const struct wire_program_build *record = (const void *)header;
    struct object *object;
    AUTO_DEVICES struct device_list devices = {0};
    if (find_program(session, record, &object, err) < 0 ||
        device_list_read(session, wire_program_build_devices(record), record->device_count,
                         &devices, err) < 0)
        return -EPROTO;
    AUTO_FREE char *options = copy_slab(session, record->slab_offset, record->length);
    if (!options)
        return BAD_RECORD(err, "no memory for build options");
    const char *given = record->stage & WIRE_BUILD_BARE ? NULL : options;
    struct program *program = object->extra;
    if (stage_of(record) == WIRE_BUILD_LINK) {
        if (link_program(session, record, &devices, given, object, reply, err) < 0)
            return -EPROTO;
        program = object->extra;
    } else if (!object->error) {
        buf_clear(&program->build);
        program->hides_arguments = stage_of(record) == WIRE_BUILD_WHOLE &&
                                   !arg_info_is_told(session, object->driver, given);
        reply->status = stage_of(record) == WIRE_BUILD_COMPILE
                            ? build_compile(session, object, &devices, options, &program->build)
                            : build_run(session, object, &devices, options, &program->build);
    }
    if (object->error)
        reply->status = object->error;
    if (reply->status == CL_SUCCESS)
        answer_bytes(session, record->reply_offset, record->reply_room, program->build.data,
                     program->build.length, reply);
    return 0;
}

int handle_program_get_build(struct session *session, const struct wire_header *header,
                             struct reply *reply, struct error *err)
{
    const struct wire_program_get_build *record = (const void *)header;
    struct object *object;
    if (object_get(session, record->id, OBJECT_PROGRAM, &object, err) < 0 ||
        slab_check(record->reply_offset, record->reply_room, err) < 0)
        return -EPROTO;
    const struct program *program = object->extra;
    if (object->error || program->build.length == 0) {
        reply->status = object->error ? object->error : CL_INVALID_PROGRAM_EXECUTABLE;
        return 0;
    }
    answer_bytes(session, record->reply_offset, record->reply_room, program->build.data,
                 program->build.length, reply);
    return 0;
}

int handle_program_get_binary(struct session *session, const struct wire_header *header,
                              struct reply *reply, struct error *err)
{
    const struct wire_program_get_binary *record = (const void *)header;
    struct object *object;
    if (object_get(session, record->id, OBJECT_PROGRAM, &object, err) < 0 ||
        slab_check(record->reply_offset, record->reply_room, err) < 0)
        return -EPROTO;
    cl_device_id device = device_of(session, record->device_id);
    AUTO_FREE unsigned char *binary = NULL;
    size_t length = 0;
    reply->status = object->error ? object->error : device ? CL_SUCCESS : CL_INVALID_DEVICE;
    if (!reply->status)
        reply->status = build_binary(object->driver, device, &binary, &length);
    if (!reply->status && binary)
        answer_bytes(session, record->reply_offset, record->reply_room, binary, length, reply);
    return 0;
}

/* FNV-1a, over the program's id and the kernel's name. */
static uint32_t hash_name(uint32_t program_id, const char *name)
{
    uint32_t hash = 2166136261u ^ program_id;
    for (; *name; name++)
        hash = (hash ^ (uint8_t)*name) * 16777619u;
    return hash;
}

cl_int kernel_make(struct session *session, struct object *object)
{
    const struct kernel *kernel = object->extra;
    cl_int status;
    object->driver = clCreateKernel(session->objects[object->parent].driver, kernel->name, &status);
    if (status == CL_SUCCESS && object->away)
        kernel_set_again(session, object);
    return status;
}

int handle_kernel_create(struct session *session, const struct wire_header *header,
                         struct reply *reply, struct error *err)
{
    const struct wire_kernel_create *record = (const void *)header;
    struct object *program, *object;
    if (object_get(session, record->program_id, OBJECT_PROGRAM, &program, err) < 0 ||
        object_place(session, record->id, &object, err) < 0)
        return -EPROTO;
    struct kernel *kernel = calloc(1, sizeof(*kernel));
    if (kernel)
        kernel->name = strndup((const char *)wire_kernel_create_name(record), record->name_length);
    if (!kernel || !kernel->name) {
        free(kernel);
        return BAD_RECORD(err, "no memory for a kernel");
    }
    kernel->pace_base = hash_name(record->program_id, kernel->name);
    *object = (struct object){.kind = OBJECT_KERNEL, .parent = record->program_id, .extra = kernel};
    object->error = object_make(session, object);
    return 0;
}
