/* Counting references, and numbers for the executor: see object.h. */
#include "card/opencl/object.h"

#include "card/opencl/process.h"

static const struct object_kind *const kinds[OBJECT_TYPES] = {
    [OBJECT_DEVICE] = &device_kind,
    [OBJECT_CONTEXT] = &context_kind,
    [OBJECT_QUEUE] = &queue_kind,
    [OBJECT_MEMORY] = &memory_kind,
    [OBJECT_PROGRAM] = &program_kind,
    [OBJECT_KERNEL] = &kernel_kind,
    [OBJECT_EVENT] = &event_kind,
    [OBJECT_SAMPLER] = &sampler_kind,
    [OBJECT_COMMAND_BUFFER] = &command_buffer_kind,
};

void *object_create(enum object_type type, size_t bytes)
{
    struct object *object = calloc(1, bytes);
    if (!object)
        return NULL;
    *object = (struct object){
        .dispatch = &opencl_dispatch,
        .stamp = object_stamp(type),
        .references = 1,
        .type = type,
        .serial = __atomic_add_fetch(&process.serials, 1, __ATOMIC_RELAXED),
    };
    return object;
}

void object_free(struct object *object)
{
    object->stamp = 0;
    object->dispatch = NULL;
    free(object);
}

void object_retain(struct object *object)
{
    (void)__atomic_add_fetch(&object->references, 1, __ATOMIC_RELAXED);
}

void object_release_id(uint32_t id)
{
    struct wire_release *record = record_begin(sizeof(*record));
    if (record) {
        record->id = id;
        record_post(record, WIRE_RELEASE, sizeof(*record));
    }
    slots_give(&process.ids, id, 0);
}

static void send_release(const struct object *object)
{
    if (object->id != 0)
        object_release_id(object->id);
}

void object_recall(struct object *object)
{
    send_release(object);
    object->id = 0;
}

void object_release(struct object *object)
{
    if (__atomic_sub_fetch(&object->references, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    if (kinds[object->type]->leave)
        kinds[object->type]->leave(object);
    send_release(object);
    kinds[object->type]->destroy(object);
}

/* Parents first; a chain is at most kernel, program, context long. */
static cl_int send_locked(struct object *object)
{
    struct object *chain[OBJECT_TYPES];
    unsigned length = 0;
    for (; object && object->id == 0 && length < OBJECT_TYPES;
         object = kinds[object->type]->parent(object))
        chain[length++] = object;
    while (length > 0) {
        struct object *next = chain[--length];
        uint32_t id = slots_take(&process.ids);
        if (id == 0)
            return CL_OUT_OF_RESOURCES;
        cl_int result = kinds[next->type]->send(next, id);
        if (result != CL_SUCCESS) {
            slots_give(&process.ids, id, 0);
            return result;
        }
        __atomic_store_n(&next->id, id, __ATOMIC_RELEASE);
    }
    return CL_SUCCESS;
}

cl_int object_send(struct object *object)
{
    (void)pthread_mutex_lock(&process.lock);
    cl_int result = send_locked(object);
    (void)pthread_mutex_unlock(&process.lock);
    return result;
}
