/* A pair of events around each launch, and one thread of the process that waits for them in the
 * order of the launches and charges what they tell. */
#include "card/cuda/launch.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "card/cuda/process.h"
#include "card/meter/meter.h"
#include "cuda_api.h"

#define PACES 4096u
#define REBASE_NS 1000000000u /* event times are floats: 1 s is told to 60 ns */

struct measurement {
    struct measurement *next;
    CUcontext context;
    CUstream stream;
    CUevent start, end;
    struct meter *meter;
    uint64_t estimate_ns, queued_ns;
    uint64_t *pace;
};

static struct {
    pthread_mutex_t entering; /* the meter lets in one thread at a time */
    pthread_mutex_t lock;     /* guards the lists */
    pthread_cond_t changed;
    struct measurement *first, *last; /* launched */
    struct measurement *spare;
    uint64_t under_way; /* entered and not yet charged */
    unsigned waiting;   /* threads that wait for a change */
    int has_thread;
    /* Device time against ours; of the measuring thread, and of launch_drain when it is idle. */
    CUevent base;
    CUcontext base_context;
    uint64_t base_ns;
    uint64_t paces[PACES]; /* what the same launch took last */
} launches = {.entering = PTHREAD_MUTEX_INITIALIZER,
              .lock = PTHREAD_MUTEX_INITIALIZER,
              .changed = PTHREAD_COND_INITIALIZER};

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void launch_clear(void)
{
    (void)pthread_mutex_init(&launches.entering, NULL);
    (void)pthread_mutex_init(&launches.lock, NULL);
    (void)pthread_cond_init(&launches.changed, NULL);
    launches.first = launches.last = launches.spare = NULL; /* the events are the parent's */
    launches.base = NULL;
    launches.under_way = 0;
    launches.waiting = 0;
    launches.has_thread = 0;
}

static uint64_t *find_pace(const void *subject, uint64_t blocks)
{
    uint64_t size = blocks ? 64 - (unsigned)__builtin_clzll(blocks) : 0;
    uint64_t mixed = ((uintptr_t)subject + size) * 0x9e3779b97f4a7c15u;
    return &launches.paces[mixed >> 52];
}

/* ---- the measuring thread ---- */

static int elapsed_ns(CUevent start, CUevent end, uint64_t *ret_ns)
{
    float ms = 0;
    if (driver_cuEventElapsedTime(&ms, start, end) != CUDA_SUCCESS || ms < 0)
        return -1;
    *ret_ns = (uint64_t)((double)ms * 1e6);
    return 0;
}

/* Make the measurement's end the base of times to come; the old base becomes its end. */
static void rebase(struct measurement *m, uint64_t end_ns)
{
    CUevent old = launches.base;
    launches.base = m->end;
    m->end = old;
    launches.base_ns = end_ns;
    launches.base_context = m->context;
}

/* When the device ran it, in our clock as far as two clocks can agree. All 0 when it is not known.
 */
static struct meter_span span_of(struct measurement *m)
{
    struct meter_span span = {.queued_ns = m->queued_ns};
    uint64_t took, since;
    if (driver_cuCtxSetCurrent(m->context) != CUDA_SUCCESS ||
        driver_cuEventSynchronize(m->end) != CUDA_SUCCESS ||
        elapsed_ns(m->start, m->end, &took) < 0)
        return span;
    if (launches.base && launches.base_context == m->context &&
        elapsed_ns(launches.base, m->end, &since) == 0) {
        span.end_ns = launches.base_ns + since;
        span.start_ns = span.end_ns - took;
        if (since > REBASE_NS)
            rebase(m, span.end_ns);
        return span;
    }
    span.end_ns = now_ns();
    span.start_ns = span.end_ns - took;
    rebase(m, span.end_ns);
    return span;
}

/* With the lock held. A call into the kernel for each launch would be most of its price. */
static void wait_for_change(void)
{
    launches.waiting++;
    (void)pthread_cond_wait(&launches.changed, &launches.lock);
    launches.waiting--;
}

static void tell_change(void)
{
    if (launches.waiting)
        (void)pthread_cond_broadcast(&launches.changed);
}

static struct measurement *await_first(void)
{
    (void)pthread_mutex_lock(&launches.lock);
    while (!launches.first)
        wait_for_change();
    struct measurement *m = launches.first;
    launches.first = m->next;
    if (!launches.first)
        launches.last = NULL;
    (void)pthread_mutex_unlock(&launches.lock);
    return m;
}

/* The measurement is over; its events serve the next. */
static void put_back(struct measurement *m)
{
    (void)pthread_mutex_lock(&launches.lock);
    m->next = launches.spare;
    launches.spare = m;
    if (--launches.under_way == 0)
        tell_change();
    (void)pthread_mutex_unlock(&launches.lock);
}

static void *measure(void *unused)
{
    for (;;) {
        struct measurement *m = await_first();
        struct meter_span span = span_of(m);
        if (span.end_ns > span.start_ns)
            __atomic_store_n(m->pace, span.end_ns - span.start_ns, __ATOMIC_RELAXED);
        meter_charge(m->meter, &span, m->estimate_ns);
        put_back(m);
    }
    return unused;
}

/* With the lock held. The program's signals are not for this thread. */
static int start_thread(void)
{
    pthread_t thread;
    sigset_t all, before;
    if (launches.has_thread)
        return 0;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = pthread_create(&thread, NULL, measure, NULL);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r != 0)
        return -1;
    (void)pthread_detach(thread); /* cannot fail for a running thread */
    launches.has_thread = 1;
    return 0;
}

/* ---- the launching threads ---- */

static void destroy_events(struct measurement *m)
{
    if (m->start)
        (void)driver_cuEventDestroy_v2(m->start); /* their context may have gone before */
    if (m->end)
        (void)driver_cuEventDestroy_v2(m->end);
    free(m);
}

/* A spare pair of events of the context, or a new one; counted as under way. NULL: none to be had.
 */
static struct measurement *take_spare(CUcontext context)
{
    (void)pthread_mutex_lock(&launches.lock);
    struct measurement **at = &launches.spare;
    while (*at && ((*at)->context != context || !(*at)->end))
        at = &(*at)->next;
    struct measurement *m = *at;
    if (m)
        *at = m->next;
    int ready = start_thread() == 0;
    launches.under_way += ready != 0;
    (void)pthread_mutex_unlock(&launches.lock);
    if (ready && !m) {
        m = calloc(1, sizeof(*m));
        if (m && (driver_cuEventCreate(&m->start, CUDA_EVENT_BLOCKING_SYNC) != CUDA_SUCCESS ||
                  driver_cuEventCreate(&m->end, CUDA_EVENT_BLOCKING_SYNC) != CUDA_SUCCESS)) {
            destroy_events(m);
            m = NULL;
        }
    }
    if (m)
        m->context = context;
    if (ready && !m) {
        (void)pthread_mutex_lock(&launches.lock);
        if (--launches.under_way == 0)
            tell_change();
        (void)pthread_mutex_unlock(&launches.lock);
    }
    return ready ? m : NULL;
}

static CUresult record(CUevent event, CUstream stream, enum stream_flavour flavour)
{
    return flavour == STREAM_PER_THREAD ? driver_cuEventRecord_ptsz(event, stream)
                                        : driver_cuEventRecord(event, stream);
}

/* 1: the stream is being captured, or cannot be asked: nothing may be put into it. */
static int is_captured(CUstream stream, enum stream_flavour flavour)
{
    int capturing = 0;
    CUresult result = flavour == STREAM_PER_THREAD
                          ? driver_cuStreamIsCapturing_ptsz(stream, &capturing)
                          : driver_cuStreamIsCapturing(stream, &capturing);
    return result != CUDA_SUCCESS || capturing;
}

static void nothing_to_flush(void *unused)
{
}

/* The launch did not happen: nothing is charged. */
static void call_off(struct measurement *m)
{
    const struct meter_span none = {0};
    meter_charge(m->meter, &none, m->estimate_ns);
    put_back(m);
}

CUresult launch_enter(struct launch_pass *pass, CUstream stream, enum stream_flavour flavour,
                      const void *subject, uint64_t blocks)
{
    struct card_view view;
    CUcontext context = NULL;
    *pass = (struct launch_pass){NULL, flavour};
    enum card_state state = process_card(&view);
    if (state == CARD_FAILED)
        return CUDA_ERROR_SYSTEM_NOT_READY;
    if (state != CARD_READY || driver_cuCtxGetCurrent(&context) != CUDA_SUCCESS || !context ||
        is_captured(stream, flavour))
        return CUDA_SUCCESS; /* the driver says what is wrong, if anything is */
    struct measurement *m = take_spare(context);
    if (!m)
        return CUDA_ERROR_OUT_OF_MEMORY; /* an unmeasured launch would be a way out of the share */
    m->stream = stream;
    m->meter = view.meter;
    m->pace = find_pace(subject, blocks);
    uint64_t known = __atomic_load_n(m->pace, __ATOMIC_RELAXED);
    m->estimate_ns = known ? known : METER_UNKNOWN_NS;
    (void)pthread_mutex_lock(&launches.entering);
    int entered = meter_enter(view.meter, m->estimate_ns, nothing_to_flush, NULL);
    (void)pthread_mutex_unlock(&launches.entering);
    m->queued_ns = now_ns();
    if (entered < 0) {
        put_back(m);
        return CUDA_ERROR_SYSTEM_NOT_READY;
    }
    CUresult result = record(m->start, stream, flavour);
    if (result != CUDA_SUCCESS) {
        call_off(m);
        return result;
    }
    pass->measurement = m;
    return CUDA_SUCCESS;
}

CUresult launch_leave(struct launch_pass *pass, CUresult result)
{
    struct measurement *m = pass->measurement;
    if (!m)
        return result;
    if (result != CUDA_SUCCESS || record(m->end, m->stream, pass->flavour) != CUDA_SUCCESS) {
        call_off(m);
        return result;
    }
    m->next = NULL;
    (void)pthread_mutex_lock(&launches.lock);
    if (launches.last)
        launches.last->next = m;
    else
        launches.first = m;
    launches.last = m;
    tell_change();
    (void)pthread_mutex_unlock(&launches.lock);
    return result;
}

void launch_drain(void)
{
    (void)pthread_mutex_lock(&launches.lock);
    while (launches.under_way)
        wait_for_change();
    struct measurement *spare = launches.spare;
    CUevent base = launches.base;
    launches.spare = NULL;
    launches.base = NULL;
    (void)pthread_mutex_unlock(&launches.lock);
    while (spare) {
        struct measurement *next = spare->next;
        destroy_events(spare);
        spare = next;
    }
    if (base)
        (void)driver_cuEventDestroy_v2(base); /* its context may have gone before */
}
