/* What all OpenCL objects share: the loader's dispatch pointer, a stamp that proves type and
 * session, a count of references, and the number by which the executor knows the object.
 *
 * The executor hears of an object in front of the first record that uses it; one that is destroyed
 * before that never crosses. A child holds a reference to its parent. */
#ifndef LEAT_CARD_OPENCL_OBJECT_H
#define LEAT_CARD_OPENCL_OBJECT_H

#include <CL/cl.h>
#include <stdint.h>

struct _cl_icd_dispatch;

enum object_type {
    OBJECT_INVALID,
    OBJECT_PLATFORM,
    OBJECT_DEVICE,
    OBJECT_CONTEXT,
    OBJECT_QUEUE,
    OBJECT_MEMORY,
    OBJECT_PROGRAM,
    OBJECT_KERNEL,
    OBJECT_EVENT,
    OBJECT_SAMPLER,
    OBJECT_COMMAND_BUFFER,
    OBJECT_TYPES
};

struct object {
    const struct _cl_icd_dispatch *dispatch; /* first, as cl_khr_icd wants it */
    uint32_t stamp;                          /* object_stamp(type) while the object lives */
    cl_uint references;                      /* atomic */
    uint32_t id;                             /* 0: the executor has not heard of it; atomic */
    enum object_type type;
    uint64_t serial; /* never used twice in a session, unlike an address or an id */
};

/* How the objects of one type cross and end. */
struct object_kind {
    /* Send the creation under number `id`; parents have been sent. CL_SUCCESS or an error. Called
     * with the creation lock held; NULL: objects of this type have no record. */
    cl_int (*send)(struct object *object, uint32_t id);
    /* The parent to send first, or NULL. */
    struct object *(*parent)(struct object *object);
    /* The last reference went; its RELEASE comes next. Ends hidden children; may be NULL. */
    void (*leave)(struct object *object);
    /* Its RELEASE has been sent. Frees the memory. */
    void (*destroy)(struct object *object);
};

extern const struct object_kind device_kind, context_kind, queue_kind, memory_kind, program_kind,
    kernel_kind, event_kind, sampler_kind, command_buffer_kind;

/* Zeroed memory of `bytes` with a struct object in front, one reference; NULL: out of memory. */
void *object_create(enum object_type type, size_t bytes);
void object_retain(struct object *object);
void object_release(struct object *object);
/* The executor forgets what it knows by this number, which is free again. */
void object_release_id(uint32_t id);
/* The executor forgets the object, which nothing else there hangs on; the next use sends it
 * anew. */
void object_recall(struct object *object);
/* Free the memory of an object that nobody has seen yet, or at the end of its destroy. */
void object_free(struct object *object);

/* Slow half of object_ensure. */
cl_int object_send(struct object *object);

/* Make sure that the executor knows the object before a record that names it is sent. */
static inline cl_int object_ensure(struct object *object)
{
    if (__atomic_load_n(&object->id, __ATOMIC_ACQUIRE) != 0)
        return CL_SUCCESS;
    return object_send(object);
}

#endif
