/* The object table: creation and release of everything but programs, kernels and events. */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/error.h"
#include "card/executor/completion.h"
#include "card/executor/session.h"
#include "card/ledger/ledger.h"

#define DRAIN_LIMIT_NS (10 * NS_PER_MS) /* for the driver to free what nothing uses any more */
/* Host pointers stay with the client; it sends the data. */
#define MEMORY_FLAGS_SERVED \
    (CL_MEM_READ_WRITE | CL_MEM_WRITE_ONLY | CL_MEM_READ_ONLY | CL_MEM_HOST_WRITE_ONLY | \
     CL_MEM_HOST_READ_ONLY | CL_MEM_HOST_NO_ACCESS)

struct allocation {
    struct session *session;
    uint64_t bytes;
};

int object_get(struct session *session, uint32_t id, enum object_kind kind,
               struct object **ret_object, struct error *err)
{
    if (id == 0 || id >= WIRE_OBJECTS || session->objects[id].kind != kind)
        return BAD_RECORD(err, "object %u is not there or of another kind", id);
    *ret_object = &session->objects[id];
    return 0;
}

int object_place(struct session *session, uint32_t id, struct object **ret_object,
                 struct error *err)
{
    if (id == 0 || id >= WIRE_OBJECTS || session->objects[id].kind != OBJECT_NONE)
        return BAD_RECORD(err, "object id %u is not free", id);
    if (id >= session->objects_end)
        session->objects_end = id + 1;
    *ret_object = &session->objects[id];
    return 0;
}

int slab_check(uint64_t offset, uint64_t length, struct error *err)
{
    uint64_t end;
    if (__builtin_add_overflow(offset, length, &end) || end > WIRE_SLAB_BYTES)
        return BAD_RECORD(err, "%llu bytes at %llu are outside the slab",
                          (unsigned long long)length, (unsigned long long)offset);
    return 0;
}

/* Find the parent and the place for a new object: the start of most creations. */
static int open_create(struct session *session, uint32_t id, uint32_t parent_id,
                       enum object_kind parent_kind, struct object **ret_parent,
                       struct object **ret_object, struct error *err)
{
    if (object_get(session, parent_id, parent_kind, ret_parent, err) < 0)
        return -EPROTO;
    return object_place(session, id, ret_object, err);
}

static void fill(struct object *object, enum object_kind kind, void *driver, cl_int error)
{
    *object = (struct object){
        .kind = kind, .error = error, .driver = error == CL_SUCCESS ? driver : NULL};
}

int handle_context_create(struct session *session, const struct wire_header *header,
                          struct reply *reply, struct error *err)
{
    const struct wire_context_create *record = (const void *)header;
    struct object *object;
    if (object_place(session, record->id, &object, err) < 0)
        return -EPROTO;
    cl_int status;
    cl_context context = clCreateContext(NULL, 1, &session->device, NULL, NULL, &status);
    fill(object, OBJECT_CONTEXT, context, status);
    return 0;
}

int handle_queue_create(struct session *session, const struct wire_header *header,
                        struct reply *reply, struct error *err)
{
    const struct wire_queue_create *record = (const void *)header;
    struct object *context, *object;
    if (open_create(session, record->id, record->context_id, OBJECT_CONTEXT, &context, &object,
                    err) < 0)
        return -EPROTO;
    if (record->queue_slot >= WIRE_QUEUES)
        return BAD_RECORD(err, "no queue slot %u", record->queue_slot);
    struct queue *queue = calloc(1, sizeof(*queue));
    if (!queue)
        return BAD_RECORD(err, "no memory for a queue");
    cl_int status = context->error;
    if (!status) {
        /* The meter needs the device's times. */
        cl_command_queue_properties properties =
            (record->properties & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE) |
            CL_QUEUE_PROFILING_ENABLE;
        queue->driver = clCreateCommandQueue(context->driver, session->device, properties, &status);
    }
    queue->slot = record->queue_slot;
    queue->in_order = !(record->properties & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE);
    fill(object, OBJECT_QUEUE, queue->driver, status);
    object->extra = queue;
    return 0;
}

static void CL_CALLBACK on_freed(cl_mem memory, void *arg)
{
    struct allocation *allocation = arg;
    struct session *session = allocation->session;
    ledger_release(session->ledger, session->params.slot, allocation->bytes);
    __atomic_sub_fetch(&session->buffers_alive, 1, __ATOMIC_SEQ_CST);
    free(allocation);
}

/* Hand a reserved allocation to the driver; on failure nothing of it is left but the reservation.
 */
static cl_mem make_buffer(struct session *session, cl_context context, uint64_t flags,
                          struct allocation *allocation, cl_int *ret_status)
{
    cl_mem memory =
        clCreateBuffer(context, flags & MEMORY_FLAGS_SERVED, allocation->bytes, NULL, ret_status);
    if (*ret_status != CL_SUCCESS)
        return NULL;
    *ret_status = clSetMemObjectDestructorCallback(memory, on_freed, allocation);
    if (*ret_status == CL_SUCCESS)
        return memory;
    (void)clReleaseMemObject(memory); /* of no use: nobody would see its end */
    return NULL;
}

/* Memory of the device, reserved in the ledger first and given back when the driver frees it. What
 * the client does not get counts as freed. */
static cl_mem create_buffer(struct session *session, cl_context context, uint64_t flags,
                            uint64_t bytes, cl_int *ret_status)
{
    unsigned slot = session->params.slot;
    struct allocation *allocation = malloc(sizeof(*allocation));
    if (!allocation || ledger_reserve(session->ledger, slot, bytes) < 0) {
        *ret_status = allocation ? CL_MEM_OBJECT_ALLOCATION_FAILURE : CL_OUT_OF_HOST_MEMORY;
        ledger_forgo(session->ledger, slot, bytes);
        free(allocation);
        return NULL;
    }
    *allocation = (struct allocation){session, bytes};
    cl_mem memory = make_buffer(session, context, flags, allocation, ret_status);
    if (memory) {
        __atomic_add_fetch(&session->buffers_alive, 1, __ATOMIC_SEQ_CST);
        return memory;
    }
    ledger_release(session->ledger, slot, bytes);
    free(allocation);
    return NULL;
}

int handle_buffer_create(struct session *session, const struct wire_header *header,
                         struct reply *reply, struct error *err)
{
    const struct wire_buffer_create *record = (const void *)header;
    struct object *context, *object;
    if (open_create(session, record->id, record->context_id, OBJECT_CONTEXT, &context, &object,
                    err) < 0)
        return -EPROTO;
    cl_int status = context->error;
    cl_mem memory = NULL;
    if (!status)
        memory =
            create_buffer(session, context->driver, record->flags, record->size_bytes, &status);
    fill(object, OBJECT_MEMORY, memory, status);
    session->buffers_held += status == CL_SUCCESS;
    object->is_buffer = status == CL_SUCCESS;
    return 0;
}

int handle_subbuffer_create(struct session *session, const struct wire_header *header,
                            struct reply *reply, struct error *err)
{
    const struct wire_subbuffer_create *record = (const void *)header;
    struct object *parent, *object;
    if (open_create(session, record->id, record->parent_id, OBJECT_MEMORY, &parent, &object, err) <
        0)
        return -EPROTO;
    cl_int status = parent->error;
    cl_mem memory = NULL;
    if (!status) {
        cl_buffer_region region = {record->origin_bytes, record->size_bytes};
        memory = clCreateSubBuffer(parent->driver, record->flags & MEMORY_FLAGS_SERVED,
                                   CL_BUFFER_CREATE_TYPE_REGION, &region, &status);
    }
    fill(object, OBJECT_MEMORY, memory, status);
    return 0;
}

/* The snapshot tells clients that this device has no images. */
int handle_image_create(struct session *session, const struct wire_header *header,
                        struct reply *reply, struct error *err)
{
    const struct wire_image_create *record = (const void *)header;
    struct object *object;
    if (object_place(session, record->id, &object, err) < 0)
        return -EPROTO;
    fill(object, OBJECT_MEMORY, NULL, CL_INVALID_OPERATION);
    return 0;
}

int handle_sampler_create(struct session *session, const struct wire_header *header,
                          struct reply *reply, struct error *err)
{
    const struct wire_sampler_create *record = (const void *)header;
    struct object *context, *object;
    if (open_create(session, record->id, record->context_id, OBJECT_CONTEXT, &context, &object,
                    err) < 0)
        return -EPROTO;
    cl_int status = context->error;
    cl_sampler sampler = NULL;
    if (!status)
        sampler = clCreateSampler(context->driver, record->normalized != 0, record->addressing,
                                  record->filter, &status);
    fill(object, OBJECT_SAMPLER, sampler, status);
    return 0;
}

static void forget_dirty(struct session *session, const struct queue *queue)
{
    if (queue->dirty)
        session_flush(session);
}

static cl_int release_driver(struct session *session, struct object *object)
{
    switch (object->kind) {
    case OBJECT_CONTEXT:
        return clReleaseContext(object->driver);
    case OBJECT_QUEUE:
        forget_dirty(session, object->extra);
        return clReleaseCommandQueue(object->driver);
    case OBJECT_MEMORY:
        session->buffers_held -= object->is_buffer;
        return clReleaseMemObject(object->driver);
    case OBJECT_SAMPLER:
        return clReleaseSampler(object->driver);
    case OBJECT_PROGRAM:
        return clReleaseProgram(object->driver);
    case OBJECT_KERNEL:
        return clReleaseKernel(object->driver);
    case OBJECT_NONE:
        break;
    }
    return CL_SUCCESS;
}

static void program_finish(struct program *program)
{
    buf_finish(&program->build);
    free(program->text);
    if (program->created)
        (void)clReleaseProgram(program->created); /* ours */
}

void object_release(struct session *session, struct object *object)
{
    if (object->driver)
        (void)release_driver(session, object); /* ours: the driver cannot refuse */
    if (object->kind == OBJECT_PROGRAM && object->extra)
        program_finish(object->extra);
    free(object->extra);
    *object = (struct object){0};
}

int handle_release(struct session *session, const struct wire_header *header, struct reply *reply,
                   struct error *err)
{
    const struct wire_release *record = (const void *)header;
    if (record->id == 0 || record->id >= WIRE_OBJECTS ||
        session->objects[record->id].kind == OBJECT_NONE)
        return BAD_RECORD(err, "no object %u to release", record->id);
    object_release(session, &session->objects[record->id]);
    return 0;
}

int handle_drain(struct session *session, const struct wire_header *header, struct reply *reply,
                 struct error *err)
{
    session_flush(session);
    uint64_t limit_ns = clock_monotonic_ns() + DRAIN_LIMIT_NS;
    /* The driver drops a command's buffers a moment after it reported the command's end. */
    while (__atomic_load_n(&session->buffers_alive, __ATOMIC_SEQ_CST) > session->buffers_held &&
           !completion_pending(session) && clock_monotonic_ns() < limit_ns)
        sched_yield();
    return 0;
}
