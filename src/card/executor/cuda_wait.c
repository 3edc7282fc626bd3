/* Waits of CUDA programs, and the threads for long ones: see cuda_wait.h. */
#include "card/executor/cuda_wait.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "card/executor/cuda.h"
#include "card/executor/session.h"
#include "cuda_api.h"

/* As long as drivers, too, look before they sleep. */
#define SHORT_NS NS_PER_MS
/* Copied in less than that. */
#define SHORT_BYTES (256u << 10)
/* Numbers of objects, among which a context's streams are looked for. */
#define STREAMS_LOOKED_AT 1024u

/* A thread for waits; they stay for the next. */
struct waiter {
    struct cuda_waits *waits;
    pthread_cond_t called;
    int busy;
    struct cuda_wait wait;
    unsigned lane;
    uint32_t sequence;
};

struct cuda_waits {
    struct consumer *consumer;
    pthread_mutex_t lock; /* of all that follows */
    pthread_cond_t ended;
    unsigned count;
    struct waiter waiters[WIRE_LANES]; /* a thread of the program waits for one thing at a time */
};

/* ---- the wait itself ---- */

static CUresult carry_out(const struct cuda_wait *wait)
{
    CUresult status;
    switch (wait->kind) {
    case CUDA_WAIT_EVENT:
        return driver_cuEventSynchronize(wait->event);
    case CUDA_WAIT_STREAM:
        return driver_cuStreamSynchronize(wait->stream);
    case CUDA_WAIT_COPY:
        status = driver_cuMemcpyDtoHAsync_v2(wait->to, wait->from, wait->bytes, wait->stream);
        return status == CUDA_SUCCESS ? driver_cuStreamSynchronize(wait->stream) : status;
    case CUDA_WAIT_CONTEXT:
        break;
    }
    return driver_cuCtxSynchronize();
}

/* The driver cannot be asked for a context: for each of its streams. */
static CUresult look_at_context(const struct cuda *cuda)
{
    CUresult status =
        cuda->objects_end <= STREAMS_LOOKED_AT ? driver_cuStreamQuery(NULL) : CUDA_ERROR_NOT_READY;
    for (uint32_t id = 1; id < cuda->objects_end && status == CUDA_SUCCESS; id++) {
        const struct cuda_object *object = &cuda->objects[id];
        if (object->kind == CUDA_KIND_STREAM && !object->error && object->context == cuda->current)
            status = driver_cuStreamQuery(object->stream);
    }
    return status;
}

/* Anything but CUDA_ERROR_NOT_READY: the wait will be short. */
static CUresult look(const struct cuda *cuda, const struct cuda_wait *wait)
{
    switch (wait->kind) {
    case CUDA_WAIT_EVENT:
        return driver_cuEventQuery(wait->event);
    case CUDA_WAIT_STREAM:
    case CUDA_WAIT_COPY:
        return driver_cuStreamQuery(wait->stream);
    case CUDA_WAIT_CONTEXT:
        break;
    }
    return look_at_context(cuda);
}

/* While nobody else has something to do. In a capture the driver may not be asked. */
static int is_short(const struct cuda *cuda, const struct cuda_wait *wait)
{
    uint64_t limit_ns = clock_monotonic_ns() + SHORT_NS;
    if (cuda->captures || wait->bytes > SHORT_BYTES)
        return 0;
    while (look(cuda, wait) == CUDA_ERROR_NOT_READY)
        if (consumer_has_records(&cuda->session->consumer) || clock_monotonic_ns() > limit_ns)
            return 0;
    return 1;
}

/* ---- threads ---- */

static void *serve_waits(void *arg)
{
    struct waiter *waiter = arg;
    struct cuda_waits *waits = waiter->waits;
    (void)pthread_mutex_lock(&waits->lock);
    for (;;) {
        while (!waiter->busy)
            (void)pthread_cond_wait(&waiter->called, &waits->lock);
        (void)pthread_mutex_unlock(&waits->lock);
        CUresult status = driver_cuCtxSetCurrent(waiter->wait.context);
        if (status == CUDA_SUCCESS)
            status = carry_out(&waiter->wait);
        consumer_expect(waits->consumer);
        consumer_answer(waits->consumer, waiter->lane, waiter->sequence, (int32_t)status, 0,
                        status == CUDA_SUCCESS ? waiter->wait.bytes : 0);
        (void)pthread_mutex_lock(&waits->lock);
        waiter->busy = 0;
        (void)pthread_cond_broadcast(&waits->ended);
    }
    return NULL;
}

static struct cuda_waits *open_waits(struct cuda *cuda)
{
    if (!cuda->waits)
        cuda->waits = calloc(1, sizeof(*cuda->waits));
    if (!cuda->waits || cuda->waits->consumer)
        return cuda->waits;
    (void)pthread_mutex_init(&cuda->waits->lock, NULL); /* cannot fail here, nor the next */
    (void)pthread_cond_init(&cuda->waits->ended, NULL);
    cuda->waits->consumer = &cuda->session->consumer;
    return cuda->waits;
}

/* With the lock: one more thread, or NULL. */
static struct waiter *start_waiter(struct cuda_waits *waits)
{
    pthread_t thread;
    struct waiter *waiter = waits->count < WIRE_LANES ? &waits->waiters[waits->count] : NULL;
    if (!waiter)
        return NULL;
    waiter->waits = waits;
    (void)pthread_cond_init(&waiter->called, NULL); /* cannot fail */
    if (pthread_create(&thread, NULL, serve_waits, waiter) != 0)
        return NULL;
    (void)pthread_detach(thread); /* it ends with the process */
    waits->count++;
    return waiter;
}

/* 1, or 0 when there is no thread for it. */
static int hand_over(struct cuda *cuda, const struct cuda_wait *wait, uint32_t sequence)
{
    struct cuda_waits *waits = open_waits(cuda);
    struct waiter *waiter = NULL;
    if (!waits)
        return 0;
    (void)pthread_mutex_lock(&waits->lock);
    for (unsigned i = 0; i < waits->count && !waiter; i++)
        if (!waits->waiters[i].busy)
            waiter = &waits->waiters[i];
    if (!waiter)
        waiter = start_waiter(waits);
    if (waiter) {
        waiter->wait = *wait;
        waiter->lane = waits->consumer->lane;
        waiter->sequence = sequence;
        waiter->busy = 1;
        (void)pthread_cond_signal(&waiter->called);
    }
    (void)pthread_mutex_unlock(&waits->lock);
    return waiter != NULL;
}

CUresult cuda_wait(struct cuda *cuda, const struct cuda_wait *wait, uint32_t sequence,
                   struct reply *reply)
{
    if (is_short(cuda, wait) || !hand_over(cuda, wait, sequence)) {
        CUresult status = carry_out(wait);
        reply->length = status == CUDA_SUCCESS ? wait->bytes : 0;
        return status;
    }
    reply->later = 1;
    return CUDA_SUCCESS;
}

static int concerns(const struct waiter *waiter, const struct cuda_wait *what)
{
    if (!waiter->busy)
        return 0;
    return what->stream    ? waiter->wait.stream == what->stream
           : what->event   ? waiter->wait.event == what->event
           : what->context ? waiter->wait.context == what->context
                           : 1;
}

void cuda_wait_ended(struct cuda *cuda, const struct cuda_wait *what)
{
    struct cuda_waits *waits = cuda->waits;
    if (!waits)
        return;
    (void)pthread_mutex_lock(&waits->lock);
    for (unsigned i = 0; i < waits->count; i++)
        while (concerns(&waits->waiters[i], what))
            (void)pthread_cond_wait(&waits->ended, &waits->lock);
    (void)pthread_mutex_unlock(&waits->lock);
}
