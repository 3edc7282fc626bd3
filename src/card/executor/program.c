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

/* `text` is taken over on success. */
static void fill_program(struct object *object, cl_program program, cl_int status, char **text,
                         size_t text_length, const char *kind, struct reply *reply)
{
    struct program *extra = calloc(1, sizeof(*extra));
    if (!extra && status == CL_SUCCESS) {
        (void)clReleaseProgram(program); /* ours */
        status = CL_OUT_OF_HOST_MEMORY;
    }
    if (status == CL_SUCCESS)
        *extra = (struct program){.text = TAKE(*text), .text_length = text_length, .kind = kind};
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
    fill_program(object, program, status, &source, length, "source", reply);
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
    fill_program(object, program, status, &binary, length, "binary", reply);
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

int handle_program_build(struct session *session, const struct wire_header *header,
                         struct reply *reply, struct error *err)
{
    const struct wire_program_build *record = (const void *)header;
    struct object *object;
    if (object_get(session, record->id, OBJECT_PROGRAM, &object, err) < 0 ||
        slab_check(record->slab_offset, record->length, err) < 0 ||
        slab_check(record->reply_offset, record->reply_room, err) < 0)
        return -EPROTO;
    AUTO_FREE char *options = copy_slab(session, record->slab_offset, record->length);
    reply->status = options ? object->error : CL_OUT_OF_HOST_MEMORY;
    if (reply->status)
        return 0;
    struct program *program = object->extra;
    buf_clear(&program->build);
    reply->status = build_run(session, object, options, &program->build);
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
