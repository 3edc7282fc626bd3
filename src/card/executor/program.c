/* Programs and kernels: creation, builds and what a client must know of a built program to answer
 * its queries alone (build_reply.c). */
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "card/executor/build_reply.h"
#include "card/executor/session.h"
#include "card/meter/meter.h"

#define ARG_INFO_OPTION " -cl-kernel-arg-info"

/* A private copy, for the client may change the slab at any time; NULL: out of memory. */
static char *copy_slab(const struct session *session, uint64_t offset, uint64_t length)
{
    char *copy = malloc(length + sizeof(ARG_INFO_OPTION));
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

static void fill_program(struct object *object, cl_program program, cl_int status,
                         struct reply *reply)
{
    struct program *extra = calloc(1, sizeof(*extra));
    if (!extra && status == CL_SUCCESS) {
        (void)clReleaseProgram(program); /* ours */
        status = CL_OUT_OF_HOST_MEMORY;
    }
    *object = (struct object){.kind = OBJECT_PROGRAM,
                              .error = status,
                              .driver = status == CL_SUCCESS ? program : NULL,
                              .extra = extra};
    reply->status = status;
}

int handle_program_source(struct session *session, const struct wire_header *header,
                          struct reply *reply, struct error *err)
{
    const struct wire_program_source *record = (const void *)header;
    struct object *context, *object;
    if (open_program(session, record->id, record->context_id, record->slab_offset, record->length,
                     &context, &object, err) < 0)
        return -EPROTO;
    AUTO_FREE char *source = copy_slab(session, record->slab_offset, record->length);
    const char *text = source;
    size_t length = record->length;
    cl_int status = source ? context->error : CL_OUT_OF_HOST_MEMORY;
    cl_program program = NULL;
    if (!status)
        program = clCreateProgramWithSource(context->driver, 1, &text, &length, &status);
    fill_program(object, program, status, reply);
    return 0;
}

int handle_program_binary(struct session *session, const struct wire_header *header,
                          struct reply *reply, struct error *err)
{
    const struct wire_program_binary *record = (const void *)header;
    struct object *context, *object;
    if (open_program(session, record->id, record->context_id, record->slab_offset, record->length,
                     &context, &object, err) < 0)
        return -EPROTO;
    AUTO_FREE char *binary = copy_slab(session, record->slab_offset, record->length);
    const unsigned char *bytes = (const unsigned char *)binary;
    size_t length = record->length;
    cl_int status = binary ? context->error : CL_OUT_OF_HOST_MEMORY, loaded = CL_SUCCESS;
    cl_program program = NULL;
    if (!status)
        program = clCreateProgramWithBinary(context->driver, 1, &session->device, &length, &bytes,
                                            &loaded, &status);
    fill_program(object, program, status, reply);
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

/* Link the record's programs into a new one in `object`. 0 or -EPROTO. */
static int link_program(struct session *session, const struct wire_program_build *record,
                        const char *options, struct object *object, cl_int *ret_status,
                        struct error *err)
{
    const uint32_t *ids = wire_program_build_inputs(record);
    struct object *context, *input;
    struct reply unused;
    if (object_get(session, record->context_id, OBJECT_CONTEXT, &context, err) < 0)
        return -EPROTO;
    AUTO_FREE cl_program *inputs = calloc(record->input_count + 1u, sizeof(cl_program));
    cl_int status = inputs ? context->error : CL_OUT_OF_HOST_MEMORY;
    for (uint32_t i = 0; i < record->input_count; i++) {
        if (object_get(session, ids[i], OBJECT_PROGRAM, &input, err) < 0)
            return -EPROTO;
        if (!status)
            status = input->error;
        if (inputs)
            inputs[i] = input->driver;
    }
    cl_program program = NULL;
    if (!status) {
        program = clLinkProgram(context->driver, 1, &session->device, options, record->input_count,
                                inputs, NULL, NULL, &status);
        *ret_status = status;
    }
    /* A link that failed may have given a program, with its log. */
    fill_program(object, program, program ? CL_SUCCESS : status, &unused);
    return 0;
}

/* The program to work on: for a link a new place, else the one there is. 0 or -EPROTO. */
static int find_program(struct session *session, const struct wire_program_build *record,
                        struct object **ret_object, struct error *err)
{
    if (slab_check(record->slab_offset, record->length, err) < 0 ||
        slab_check(record->reply_offset, record->reply_room, err) < 0)
        return -EPROTO;
    if (record->stage > WIRE_BUILD_LINK)
        return BAD_RECORD(err, "no build stage %u", record->stage);
    return record->stage == WIRE_BUILD_LINK
               ? object_place(session, record->id, ret_object, err)
               : object_get(session, record->id, OBJECT_PROGRAM, ret_object, err);
}

/* Compile or build a program with the options, and argument info whether asked for or not. */
static cl_int compile_program(struct session *session, cl_program program, uint32_t stage,
                              char *options)
{
    size_t asked = strlen(options);
    if (!strstr(options, &ARG_INFO_OPTION[1]))
        memcpy(options + asked, ARG_INFO_OPTION, sizeof(ARG_INFO_OPTION));
    cl_int status =
        stage == WIRE_BUILD_COMPILE
            ? clCompileProgram(program, 1, &session->device, options, 0, NULL, NULL, NULL, NULL)
            : clBuildProgram(program, 1, &session->device, options, NULL, NULL);
    options[asked] = '\0';
    return status;
}

int handle_program_build(struct session *session, const struct wire_header *header,
                         struct reply *reply, struct error *err)
{
    const struct wire_program_build *record = (const void *)header;
    struct object *object;
    cl_int status = CL_SUCCESS;
    int result = find_program(session, record, &object, err);
    if (result < 0)
        return result;
    AUTO_FREE char *options = copy_slab(session, record->slab_offset, record->length);
    if (!options)
        return BAD_RECORD(err, "no memory for build options");
    meter_work_begin(session->meter);
    if (record->stage == WIRE_BUILD_LINK)
        result = link_program(session, record, options, object, &status, err);
    else if (!object->error)
        status = compile_program(session, object->driver, record->stage, options);
    meter_work_end(session->meter);
    reply->status = object->error;
    if (result < 0 || reply->status)
        return result;
    struct program *program = object->extra;
    buf_clear(&program->build);
    reply->status =
        build_reply_write(object->driver, session->device, status, options, &program->build);
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
    size_t length = 0;
    reply->status = object->error;
    if (!reply->status)
        reply->status = clGetProgramInfo(object->driver, CL_PROGRAM_BINARY_SIZES, sizeof(length),
                                         &length, NULL);
    if (reply->status || length == 0)
        return 0;
    AUTO_FREE unsigned char *binary = malloc(length);
    reply->status = CL_OUT_OF_HOST_MEMORY;
    if (!binary)
        return 0;
    reply->status =
        clGetProgramInfo(object->driver, CL_PROGRAM_BINARIES, sizeof(binary), &binary, NULL);
    if (!reply->status)
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

int handle_kernel_create(struct session *session, const struct wire_header *header,
                         struct reply *reply, struct error *err)
{
    const struct wire_kernel_create *record = (const void *)header;
    struct object *program, *object;
    if (object_get(session, record->program_id, OBJECT_PROGRAM, &program, err) < 0 ||
        object_place(session, record->id, &object, err) < 0)
        return -EPROTO;
    AUTO_FREE char *name =
        strndup((const char *)wire_kernel_create_name(record), record->name_length);
    struct kernel *kernel = calloc(1, sizeof(*kernel));
    if (!name || !kernel) {
        free(kernel);
        return BAD_RECORD(err, "no memory for a kernel");
    }
    cl_int status = program->error;
    cl_kernel driver = NULL;
    if (!status)
        driver = clCreateKernel(program->driver, name, &status);
    kernel->pace_base = hash_name(record->program_id, name);
    *object = (struct object){.kind = OBJECT_KERNEL,
                              .error = status,
                              .driver = status == CL_SUCCESS ? driver : NULL,
                              .extra = kernel};
    return 0;
}
