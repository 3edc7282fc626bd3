/* Suspend and resume: see suspend.h. */
#include "card/executor/suspend.h"

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "card/executor/content_size.h"
#include "card/executor/cuda.h"
#include "card/executor/image.h"
#include "card/executor/session.h"
#include "card/executor/spill.h"

/* Children come after what they are made of, kernels after what their arguments name. */
enum rank {
    RANK_CARD,   /* the devices of further cards, */
    RANK_PART_1, /* parts of cards, */
    RANK_PART_2, /* parts of those, */
    RANK_PART_3, /* and of those: see SUBDEVICE_DEPTH_MAX */
    RANK_CONTEXT,
    RANK_SVM,    /* first, for it has to come back to its addresses, */
    RANK_MEMORY, /* buffers and images with bytes of their own */
    RANK_VIEW_1, /* sub-buffers, and images made of a buffer or image */
    RANK_VIEW_2, /* an image made of one of those, */
    RANK_VIEW_3, /* and one made of that: there is no longer chain */
    RANK_SAMPLER,
    RANK_PROGRAM,
    RANK_KERNEL,
    RANK_QUEUE,
    RANKS
};

static enum rank rank_of(const struct session *session, const struct object *object)
{
    static const enum rank ranks[] = {
        [OBJECT_CONTEXT] = RANK_CONTEXT,    [OBJECT_QUEUE] = RANK_QUEUE,
        [OBJECT_MEMORY] = RANK_MEMORY,      [OBJECT_SAMPLER] = RANK_SAMPLER,
        [OBJECT_PROGRAM] = RANK_PROGRAM,    [OBJECT_KERNEL] = RANK_KERNEL,
        [OBJECT_CUDA_MEMORY] = RANK_MEMORY, [OBJECT_DEVICE] = RANK_CARD,
    };
    enum rank rank = ranks[object->kind];
    if (object->svm)
        return RANK_SVM;
    if (object->kind == OBJECT_DEVICE && object->extra)
        return rank + ((const struct subdevice *)object->extra)->depth;
    for (; object->kind == OBJECT_MEMORY && !object->is_buffer && rank < RANK_VIEW_3; rank++)
        object = &session->objects[object->parent];
    return rank;
}

/* The queue over which contents travel, of the context used last. */
struct carrier {
    struct session *session;
    uint32_t context;
    cl_command_queue queue;
};

static void carrier_close(struct carrier *carrier)
{
    if (carrier->queue)
        (void)clReleaseCommandQueue(carrier->queue); /* ours */
    carrier->queue = NULL;
}

static cl_int carrier_open(struct carrier *carrier, uint32_t context)
{
    cl_int status = CL_SUCCESS;
    if (carrier->queue && carrier->context == context)
        return CL_SUCCESS;
    carrier_close(carrier);
    carrier->context = context;
    const struct object *of = &carrier->session->objects[context];
    const struct device_list *devices = of->extra;
    carrier->queue = clCreateCommandQueue(of->driver, devices->drivers[0], 0, &status);
    if (status != CL_SUCCESS)
        carrier->queue = NULL;
    return status;
}

/* Copy the contents of a buffer or image out of the device. */
static cl_int take_contents(struct carrier *carrier, struct object *object)
{
    void *contents = malloc(object->size_bytes);
    int is_cuda = object->kind == OBJECT_CUDA_MEMORY;
    cl_int status = !contents ? CL_OUT_OF_HOST_MEMORY
                    : is_cuda ? cuda_memory_read(carrier->session, object, contents)
                              : carrier_open(carrier, object->parent);
    if (!status && object->image)
        status = image_carry(object, carrier->queue, IMAGE_OUT, contents);
    else if (!status && !is_cuda)
        status = clEnqueueReadBuffer(carrier->queue, object->driver, CL_TRUE, 0, object->size_bytes,
                                     contents, 0, NULL, NULL);
    if (status)
        free(contents);
    else
        object->extra = contents;
    return status;
}

static cl_int give_contents(struct carrier *carrier, struct object *object)
{
    int is_cuda = object->kind == OBJECT_CUDA_MEMORY;
    cl_int status = is_cuda ? cuda_memory_write(carrier->session, object, object->extra)
                            : carrier_open(carrier, object->parent);
    if (!status && object->image)
        status = image_carry(object, carrier->queue, IMAGE_IN, object->extra);
    else if (!status && !is_cuda)
        status = clEnqueueWriteBuffer(carrier->queue, object->driver, CL_TRUE, 0,
                                      object->size_bytes, object->extra, 0, NULL, NULL);
    if (status)
        return status;
    free(object->extra);
    object->extra = NULL;
    return CL_SUCCESS;
}

static cl_int leave_device(struct carrier *carrier, struct object *object)
{
    int has_contents = object->is_buffer && !object->range.host; /* else they are host memory */
    cl_int status = has_contents && !object->extra ? take_contents(carrier, object) : 0;
    if (status)
        return status;
    object_put_away(carrier->session, object);
    spill_out(carrier->session, object);
    return CL_SUCCESS;
}

static cl_int enter_device(struct carrier *carrier, struct object *object)
{
    struct session *session = carrier->session;
    if (object_is_orphan(session, object)) {
        object->error = CL_INVALID_OPERATION; /* its client's fault: no reason to keep the rest */
        return CL_SUCCESS;
    }
    int r = spill_in(session, object);
    if (r == -EIO) {
        object->error = CL_OUT_OF_RESOURCES; /* nobody is to go on with other bytes */
        return CL_SUCCESS;
    }
    cl_int status = r < 0 ? CL_OUT_OF_HOST_MEMORY : object_make(session, object);
    return !status && object->is_buffer && object->extra ? give_contents(carrier, object) : status;
}

/* Apply `step` to all objects of a rank that have (`away` 0) or had a driver's object. */
static cl_int each_of_rank(struct session *session, enum rank rank, int away,
                           cl_int (*step)(struct carrier *, struct object *))
{
    struct carrier carrier = {.session = session};
    cl_int status = CL_SUCCESS;
    for (uint32_t id = 1; id < session->objects_end && !status; id++) {
        struct object *object = &session->objects[id];
        if (object->kind != OBJECT_NONE && !object->error && object->away == away &&
            rank_of(session, object) == rank)
            status = step(&carrier, object);
    }
    carrier_close(&carrier);
    return status;
}

/* No command is in the driver: what an event says now it says for ever, but for open user
 * events. */
static void settle_event(struct session *session, struct event_slot *event)
{
    cl_int status = CL_COMPLETE;
    if (!event->driver)
        return;
    (void)clGetEventInfo(event->driver, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof(status), &status,
                         NULL);
    (void)clReleaseEvent(event->driver); /* the slot's reference */
    event->driver = NULL;
    if (event->user_open)
        return;
    if (status < 0 && !event->error)
        event->error = status;
    event->settled = !event->error;
}

static cl_int open_again(struct session *session, struct event_slot *event)
{
    const struct object *context = &session->objects[event->context];
    cl_int status = CL_SUCCESS;
    if (!event->user_open || event->driver)
        return CL_SUCCESS;
    if (context->kind == OBJECT_CONTEXT && context->driver)
        event->driver = clCreateUserEvent(context->driver, &status);
    if (status)
        event->driver = NULL;
    return status;
}

static cl_int all_enter(struct session *session)
{
    cl_int status = CL_SUCCESS;
    for (int rank = 0; rank < RANKS && !status; rank++)
        status = each_of_rank(session, (enum rank)rank, 1, enter_device);
    if (!status)
        content_sizes_tie(session);
    for (uint32_t slot = 1; slot < session->events_end && !status; slot++)
        status = open_again(session, &session->events[slot]);
    return status;
}

static cl_int all_leave(struct session *session)
{
    cl_int status = CL_SUCCESS;
    for (uint32_t slot = 1; slot < session->events_end; slot++)
        settle_event(session, &session->events[slot]);
    for (int rank = RANKS - 1; rank >= 0 && !status; rank--)
        status = each_of_rank(session, (enum rank)rank, 0, leave_device);
    return status;
}

int session_suspend(struct session *session, struct error *err)
{
    cl_int status = all_leave(session);
    if (status == CL_SUCCESS)
        return 0;
    (void)all_enter(session); /* there was room for it a moment ago */
    return error_set(err, -ENOMEM, "suspend-failed",
                     "the contents of the card cannot be copied to host memory (OpenCL error %d)",
                     status);
}

int session_resume(struct session *session, struct error *err)
{
    session->svm_missed = 0;
    cl_int status = all_enter(session);
    if (status == CL_SUCCESS)
        return 0;
    (void)all_leave(session); /* what had come back goes again; the rest never left host memory */
    if (session->svm_missed)
        return error_set(err, -EADDRINUSE, "resume-failed",
                         "the driver does not give a program's shared virtual memory its address "
                         "back");
    return error_set(err, -ENOSPC, "resume-failed",
                     "the device does not take the card back (OpenCL error %d)", status);
}

uint64_t session_away_bytes(const struct session *session)
{
    uint64_t bytes = 0;
    for (uint32_t id = 1; id < session->objects_end; id++) {
        const struct object *object = &session->objects[id];
        bytes += object->is_buffer && object->away ? object->size_bytes : 0;
    }
    return bytes;
}
