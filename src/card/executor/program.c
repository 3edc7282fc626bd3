/* Programs and kernels: creation, builds and what a client must know of a built program to answer
 * its queries alone (build_reply.c). */
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
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

static cl_program load_program(struct session *session, cl_context context,
                               const struct program *program, cl_int *ret_status)
{
    const char *text = program->text;
    const unsigned char *bytes = (const unsigned char *)program->text;
    cl_int loaded;
    if (strcmp(program->kind, "source") == 0)
        return clCreateProgramWithSource(context, 1, &text, &program->text_length, ret_status);
    return clCreateProgramWithBinary(context, 1, &session->device, &program->text_length, &bytes,
                                     &loaded, ret_status);
}

/* What was built when the program left is built again, out of the kept result if there is one. */
static cl_int build_again(struct session *session, struct object *object)
{
    struct program *program = object->extra;
    AUTO_BUF struct buf unused = BUF_INIT;
    AUTO_FREE char *options = TAKE(program->options);
    cl_int status = options ? build_run(session, object, options, &unused) : CL_SUCCESS;
    if (status != CL_SUCCESS || !options || program->options)
        return status;
    program->options = TAKE(options); /* for the next try */
    return CL_BUILD_PROGRAM_FAILURE;
}

cl_int program_make(struct session *session, struct object *object)
{
    cl_int status;
    object->driver =
        load_program(session, session->objects[object->parent].driver, object->extra, &status);
    if (status != CL_SUCCESS)
        return status;
    status = build_again(session, object);
    if (status != CL_SUCCESS)
        object_put_away(session, object);
    return status;
}

/* Take `program`, whose text may be NULL for want of memory, into the object. */
static int create_program(struct session *session, struct object *object, uint32_t context_id,
                          struct program program, struct reply *reply, struct error *err)
{
    struct program *extra = malloc(sizeof(*extra));
    if (!extra || !program.text) {
        free(extra);
        free(program.text);
        return BAD_RECORD(err, "no memory for a program");
    }
    *extra = program;
    *object = (struct object){.kind = OBJECT_PROGRAM, .parent = context_id, .extra = extra};
    object->error = object_make(session, object);
    reply->status = object->error;
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

int handle_program_binary(struct session *session, const struct wire_header *header,
                          struct reply *reply, struct error *err)
{
    const struct wire_program_binary *record = (const void *)header;
    struct object *context, *object;
    if (open_program(session, record->id, record->context_id, record->slab_offset, record->length,
                     &context, &object, err) < 0)
        return -EPROTO;
    const struct program program = {.kind = "binary",
                                    .text = copy_slab(session, record->slab_offset, record->length),
                                    .text_length = record->length};
    return create_program(session, object, record->context_id, program, reply, err);
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
                        const char *options, struct object *object, struct reply *reply,
                        struct error *err)
{
    const uint32_t *ids = wire_program_build_inputs(record);
    struct object *context, *input;
    if (object_get(session, record->context_id, OBJECT_CONTEXT, &context, err) < 0)
        return -EPROTO;
    AUTO_FREE cl_program *inputs = calloc(record->input_count + 1u, sizeof(cl_program));
    struct program *program = calloc(1, sizeof(*program));
    if (!inputs || !program) {
        free(program);
        return BAD_RECORD(err, "no memory for a link");
    }
    program->kind = "binary";
    *object = (struct object){.kind = OBJECT_PROGRAM,
                              .parent = record->context_id,
                              .error = context->error,
                              .extra = program};
    for (uint32_t i = 0; i < record->input_count; i++) {
        if (object_get(session, ids[i], OBJECT_PROGRAM, &input, err) < 0)
            return -EPROTO;
        if (!object->error)
            object->error = input->error;
        inputs[i] = input->driver;
    }
    if (!object->error)
        reply->status =
            build_link(session, object, inputs, record->input_count, options, &program->build);
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

int handle_program_build(struct session *session, const struct wire_header *header,
                         struct reply *reply, struct error *err)
{
    const struct wire_program_build *record = (const void *)header;
    struct object *object;
    if (find_program(session, record, &object, err) < 0)
        return -EPROTO;
    AUTO_FREE char *options = copy_slab(session, record->slab_offset, record->length);
    if (!options)
        return BAD_RECORD(err, "no memory for build options");
    struct program *program = object->extra;
    if (record->stage == WIRE_BUILD_LINK) {
        if (link_program(session, record, options, object, reply, err) < 0)
            return -EPROTO;
        program = object->extra;
    } else if (!object->error) {
        buf_clear(&program->build);
        reply->status = record->stage == WIRE_BUILD_COMPILE
                            ? build_compile(session, object, options, &program->build)
                            : build_run(session, object, options, &program->build);
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
