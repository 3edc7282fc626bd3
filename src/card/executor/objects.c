/* The object table: creation and release of everything but programs, kernels and events. */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/error.h"
#include "card/executor/build.h"
#include "card/executor/completion.h"
#include "card/executor/content_size.h"
#include "card/executor/cuda.h"
#include "card/executor/image.h"
#include "card/executor/session.h"
#include "card/ledger/ledger.h"

#define DRAIN_LIMIT_NS (10 * NS_PER_MS) /* for the driver to free what nothing uses any more */
#define FREED_LIMIT_NS NS_PER_S
/* Host pointers stay with the client, which sends the data. It also refuses what the host's access
 * flags forbid; here they would stand in the way of a suspension. */
#define MEMORY_FLAGS_SERVED (CL_MEM_READ_WRITE | CL_MEM_WRITE_ONLY | CL_MEM_READ_ONLY)

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

static struct object *parent_of(struct session *session, const struct object *object)
{
    return &session->objects[object->parent]; /* found when the child was made */
}

static cl_int make_context(struct session *session, struct object *object)
{
    struct device_list *devices = object->extra;
    cl_int status = device_list_find(session, devices);
    if (status == CL_SUCCESS)
        object->driver = clCreateContext(NULL, device_list_length(devices), devices->drivers, NULL,
                                         NULL, &status);
    return status;
}

static cl_int make_queue(struct session *session, struct object *object)
{
    struct queue *queue = object->extra;
    cl_int status;
    /* The meter needs the device's times. */
    cl_command_queue_properties properties =
        (object->flags & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE) | CL_QUEUE_PROFILING_ENABLE;
    object->driver =
        clCreateCommandQueue(parent_of(session, object)->driver,
                             device_of(session, queue->device_id), properties, &status);
    queue->driver = status == CL_SUCCESS ? object->driver : NULL;
    return status;
}

static void CL_CALLBACK on_freed(cl_mem memory, void *arg)
{
    struct allocation *allocation = arg;
    struct session *session = allocation->session;
    if (!allocation->kept)
        range_leave(session, &allocation->range);
    seats_account(session, allocation->seats, allocation->bytes,
                  allocation->kept ? ledger_put_away : ledger_release);
    __atomic_sub_fetch(&session->buffers_alive, 1, __ATOMIC_SEQ_CST);
    free(allocation);
}

/* Hand a reserved allocation to the driver; on failure nothing of it is left but the
 * reservation. */
static cl_int make_allocated(struct session *session, struct object *object)
{
    cl_int status;
    uint8_t *host = object->range.host;
    cl_mem_flags flags = (object->flags & MEMORY_FLAGS_SERVED) | (host ? CL_MEM_USE_HOST_PTR : 0);
    cl_context context = parent_of(session, object)->driver;
    cl_mem memory = object->image
                        ? image_make(object, context, NULL, &status)
                        : clCreateBuffer(context, flags, object->size_bytes, host, &status);
    if (status != CL_SUCCESS)
        return status;
    status = clSetMemObjectDestructorCallback(memory, on_freed, object->allocation);
    if (status == CL_SUCCESS)
        object->driver = memory;
    else
        (void)clReleaseMemObject(memory); /* of no use: nobody would see its end */
    return status;
}

/* Memory of the device, reserved in the ledger first and given back when the driver frees it. What
 * the client does not get counts as freed. */
static cl_int make_buffer(struct session *session, struct object *object)
{
    uint64_t bytes = object->size_bytes;
    struct allocation *allocation = malloc(sizeof(*allocation));
    if (!object->away)
        object->seats = seats_of_devices(session, parent_of(session, object)->extra);
    if (!allocation) {
        if (!object->away)
            seats_account(session, object->seats, bytes, ledger_forgo);
        return CL_OUT_OF_HOST_MEMORY;
    }
    if (object->away) {
        seats_account(session, object->seats, bytes, ledger_bring_back);
    } else if (seats_reserve(session, object->seats, bytes) < 0) {
        free(allocation);
        return CL_MEM_OBJECT_ALLOCATION_FAILURE;
    }
    *allocation = (struct allocation){session, bytes, object->seats, 0, object->range};
    range_populate(&object->range);
    object->allocation = allocation;
    cl_int status = make_allocated(session, object);
    if (status == CL_SUCCESS) {
        session->buffers_held++;
        __atomic_add_fetch(&session->buffers_alive, 1, __ATOMIC_SEQ_CST);
        return CL_SUCCESS;
    }
    seats_account(session, object->seats, bytes, object->away ? ledger_put_away : ledger_release);
    free(allocation);
    object->allocation = NULL;
    return status;
}

static cl_context context_of(struct session *session, const struct object *object)
{
    while (object->kind == OBJECT_MEMORY)
        object = parent_of(session, object);
    return object->driver;
}

static cl_int make_memory(struct session *session, struct object *object)
{
    cl_int status;
    if (object->svm)
        return svm_make(session, object);
    if (object->is_buffer)
        return make_buffer(session, object);
    if (object->image) {
        object->driver = image_make(object, context_of(session, object),
                                    parent_of(session, object)->driver, &status);
        return status;
    }
    cl_buffer_region region = {object->origin_bytes, object->size_bytes};
    object->driver =
        clCreateSubBuffer(parent_of(session, object)->driver, object->flags & MEMORY_FLAGS_SERVED,
                          CL_BUFFER_CREATE_TYPE_REGION, &region, &status);
    return status;
}

static cl_int make_sampler(struct session *session, struct object *object)
{
    cl_int status;
    object->driver = clCreateSampler(parent_of(session, object)->driver, object->flags != 0,
                                     object->addressing, object->filter, &status);
    return status;
}

/* An object that is made again must find its parent as it was: a client that released it first has
 * broken its own objects. */
static cl_int parent_error(struct session *session, const struct object *object)
{
    static const enum object_kind kinds[] = {
        [OBJECT_QUEUE] = OBJECT_CONTEXT,   [OBJECT_MEMORY] = OBJECT_MEMORY,
        [OBJECT_SAMPLER] = OBJECT_CONTEXT, [OBJECT_PROGRAM] = OBJECT_CONTEXT,
        [OBJECT_KERNEL] = OBJECT_PROGRAM,
    };
    if (object->kind == OBJECT_CUDA_MEMORY)
        return CL_SUCCESS;
    if (object->kind == OBJECT_CONTEXT)
        return device_list_find(session, object->extra);
    if (object->kind == OBJECT_DEVICE)
        return device_of(session, object->parent) ? CL_SUCCESS : CL_INVALID_DEVICE;
    if (object->kind == OBJECT_QUEUE &&
        !device_of(session, ((struct queue *)object->extra)->device_id))
        return CL_INVALID_DEVICE;
    const struct object *parent = parent_of(session, object);
    if (parent->kind != (object->is_buffer ? OBJECT_CONTEXT : kinds[object->kind]))
        return CL_INVALID_OPERATION;
    return parent->error ? parent->error : parent->driver ? CL_SUCCESS : CL_INVALID_OPERATION;
}

int object_is_orphan(struct session *session, const struct object *object)
{
    return parent_error(session, object) != CL_SUCCESS;
}

cl_int object_make(struct session *session, struct object *object)
{
    static cl_int (*const makers[])(struct session *, struct object *) = {
        [OBJECT_CONTEXT] = make_context,         [OBJECT_QUEUE] = make_queue,
        [OBJECT_MEMORY] = make_memory,           [OBJECT_SAMPLER] = make_sampler,
        [OBJECT_PROGRAM] = program_make,         [OBJECT_KERNEL] = kernel_make,
        [OBJECT_CUDA_MEMORY] = cuda_memory_make, [OBJECT_DEVICE] = subdevice_make,
    };
    cl_int status = parent_error(session, object);
    if (!status)
        status = makers[object->kind](session, object);
    if (!object->serial)
        object->serial = ++session->serials;
    if (status)
        object->driver = NULL;
    else
        object->away = 0;
    return status;
}

int handle_context_create(struct session *session, const struct wire_header *header,
                          struct reply *reply, struct error *err)
{
    const struct wire_context_create *record = (const void *)header;
    struct object *object;
    if (object_place(session, record->id, &object, err) < 0)
        return -EPROTO;
    struct device_list *devices = malloc(sizeof(*devices));
    if (!devices)
        return BAD_RECORD(err, "no memory for a context");
    if (device_list_read(session, wire_context_create_devices(record), record->device_count,
                         devices, err) < 0) {
        free(devices);
        return -EPROTO;
    }
    *object = (struct object){.kind = OBJECT_CONTEXT, .extra = devices};
    object->error = object_make(session, object);
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
    if (!device_exists(session, record->device_id))
        return BAD_RECORD(err, "%u is no device", record->device_id);
    struct queue *queue = calloc(1, sizeof(*queue));
    if (!queue)
        return BAD_RECORD(err, "no memory for a queue");
    queue->slot = record->queue_slot;
    queue->in_order = !(record->properties & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE);
    queue->timed = (record->properties & CL_QUEUE_PROFILING_ENABLE) != 0;
    queue->device_id = record->device_id;
    queue->seat = seat_of_device(session, record->device_id);
    queue->first = (record->properties & WIRE_QUEUE_FIRST) != 0;
    *object = (struct object){.kind = OBJECT_QUEUE,
                              .parent = record->context_id,
                              .flags = record->properties & ~WIRE_QUEUE_FIRST,
                              .extra = queue};
    object->error = object_make(session, object);
    return 0;
}

int handle_buffer_create(struct session *session, const struct wire_header *header,
                         struct reply *reply, struct error *err)
{
    const struct wire_buffer_create *record = (const void *)header;
    struct object *context, *object;
    struct range range;
    if (open_create(session, record->id, record->context_id, OBJECT_CONTEXT, &context, &object,
                    err) < 0 ||
        range_find(session, record, &range, err) < 0)
        return -EPROTO;
    *object = (struct object){.kind = OBJECT_MEMORY,
                              .parent = record->context_id,
                              .is_buffer = 1,
                              .flags = record->flags,
                              .size_bytes = record->size_bytes,
                              .range = range};
    object->error = object_make(session, object);
    if (object->error)
        range_leave(session, &range);
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
    *object = (struct object){.kind = OBJECT_MEMORY,
                              .parent = record->parent_id,
                              .flags = record->flags,
                              .origin_bytes = record->origin_bytes,
                              .size_bytes = record->size_bytes};
    object->error = object_make(session, object);
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
    *object = (struct object){.kind = OBJECT_SAMPLER,
                              .parent = record->context_id,
                              .flags = record->normalized,
                              .addressing = record->addressing,
                              .filter = record->filter};
    object->error = object_make(session, object);
    return 0;
}

static void forget_queue(struct session *session, const struct queue *queue)
{
    if (session->first == queue)
        session->first = NULL;
    if (queue->dirty)
        session_flush(session);
}

static cl_int release_driver(struct session *session, struct object *object)
{
    switch (object->kind) {
    case OBJECT_CONTEXT:
        return clReleaseContext(object->driver);
    case OBJECT_QUEUE:
        forget_queue(session, object->extra);
        return clReleaseCommandQueue(object->driver);
    case OBJECT_MEMORY:
        if (object->svm) {
            svm_unmake(session, object);
            break;
        }
        session->buffers_held -= object->is_buffer;
        return clReleaseMemObject(object->driver);
    case OBJECT_SAMPLER:
        return clReleaseSampler(object->driver);
    case OBJECT_PROGRAM:
        return clReleaseProgram(object->driver);
    case OBJECT_KERNEL:
        return clReleaseKernel(object->driver);
    case OBJECT_DEVICE:
        return seat_is_device(session, object) ? CL_SUCCESS : clReleaseDevice(object->driver);
    case OBJECT_CUDA_MEMORY:
        cuda_memory_unmake(session, object);
        break;
    case OBJECT_NONE:
        break;
    }
    return CL_SUCCESS;
}

static void forget_created(struct program *program)
{
    if (program->created)
        (void)clReleaseProgram(program->created); /* ours */
    program->created = NULL;
}

/* Its bytes are gone when it is let go of; those of others when the driver says so. */
static int is_counted_here(const struct object *object)
{
    return object->kind == OBJECT_CUDA_MEMORY || object->svm;
}

void object_put_away(struct session *session, struct object *object)
{
    if (object->allocation)
        object->allocation->kept = 1;
    object->allocation = NULL;             /* the driver frees it */
    (void)release_driver(session, object); /* ours: the driver cannot refuse */
    if (is_counted_here(object))
        seats_account(session, object->seats, object->size_bytes, ledger_put_away);
    if (object->kind == OBJECT_QUEUE)
        ((struct queue *)object->extra)->driver = NULL;
    if (object->kind == OBJECT_PROGRAM)
        forget_created(object->extra);
    object->driver = NULL;
    object->away = 1;
}

static void program_finish(struct program *program)
{
    buf_finish(&program->build);
    free(program->text);
    free(program->lengths);
    device_list_finish(&program->devices);
    forget_created(program);
    build_forget(program);
}

static void kernel_finish(struct kernel *kernel)
{
    for (uint32_t i = 0; i < kernel->arg_count; i++)
        free(kernel->args[i].bytes);
    free(kernel->args);
    free(kernel->name);
    free(kernel->pointers);
}

void object_forget(struct object *object)
{
    if (object->kind == OBJECT_PROGRAM && object->extra)
        program_finish(object->extra);
    if (object->kind == OBJECT_KERNEL && object->extra)
        kernel_finish(object->extra);
    if (object->kind == OBJECT_CONTEXT)
        device_list_finish(object->extra);
    free(object->extra);
    free(object->image);
    *object = (struct object){0};
}

void object_release(struct session *session, struct object *object)
{
    if (object->driver) {
        (void)release_driver(session, object); /* ours: the driver cannot refuse */
        if (is_counted_here(object))
            seats_account(session, object->seats, object->size_bytes, ledger_release);
    } else if (object->away && object->is_buffer) {
        range_leave(session, &object->range);
        seats_account(session, object->seats, object->size_bytes, ledger_drop_away);
    }
    if (object->svm)
        svm_finish(session, object->svm);
    content_size_untie(session, object);
    object_forget(object);
}

int handle_release(struct session *session, const struct wire_header *header, struct reply *reply,
                   struct error *err)
{
    const struct wire_release *record = (const void *)header;
    if (record->id == 0 || record->id >= WIRE_OBJECTS ||
        session->objects[record->id].kind == OBJECT_NONE)
        return BAD_RECORD(err, "no object %u to release", record->id);
    if (seat_is_device(session, &session->objects[record->id]))
        return BAD_RECORD(err, "object %u is a card", record->id);
    object_release(session, &session->objects[record->id]);
    return 0;
}

void objects_wait_freed(struct session *session, uint64_t count)
{
    uint64_t limit_ns = clock_monotonic_ns() + FREED_LIMIT_NS;
    while (__atomic_load_n(&session->buffers_alive, __ATOMIC_SEQ_CST) > count &&
           clock_monotonic_ns() < limit_ns)
        sched_yield();
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
