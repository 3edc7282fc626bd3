/* The measuring threads and the events they wait for: see measure.h. */
#include "card/cuda/measure.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "card/cuda/attach.h"
#include "card/cuda/batch.h"
#include "card/ledger/futex.h"
#include "card/meter/meter.h"
#include "cuda_api.h"

#define REBASE_NS 1000000000u /* event times are floats: 1 s is told to 60 ns */
#define DELAY_NS 50000u       /* a longer delay: the program was not running */
#define PACE_LEAST_NS 500u    /* no launch costs a device less */
#define PACE_WEIGHT 4         /* of what was known before, against a new measurement: 3 to 1 */

/* Of one device. */
struct line {
    pthread_mutex_t lock;             /* guards what follows */
    struct measurement *first, *last; /* handed over */
    struct measurement *spare;
    uint64_t under_way; /* taken and not yet put back */
    uint32_t changes;   /* futex */
    uint32_t waiting;   /* threads that sleep on it */
    int has_thread;
    /* Device time against ours; of the measuring thread, and of measure_drain when it is idle. */
    CUevent base;
    CUcontext base_context;
    uint64_t base_ns;
};

static struct line lines[CARD_DEVICES_MAX] = {
    [0 ... CARD_DEVICES_MAX - 1] = {.lock = PTHREAD_MUTEX_INITIALIZER}};

static struct line *line_of(const struct measurement *m)
{
    return &lines[m->device];
}

uint64_t measure_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The events are the parent's. */
void measure_clear(void)
{
    for (unsigned i = 0; i < CARD_DEVICES_MAX; i++)
        lines[i] = (struct line){.lock = PTHREAD_MUTEX_INITIALIZER};
}

/* With the lock held. */
static void wait_for_change(struct line *line, uint64_t timeout_ns)
{
    uint32_t seen = line->changes;
    line->waiting++;
    (void)pthread_mutex_unlock(&line->lock);
    futex_sleep(&line->changes, seen, timeout_ns);
    (void)pthread_mutex_lock(&line->lock);
    line->waiting--;
}

/* With the lock held. */
static void tell_change(struct line *line)
{
    __atomic_add_fetch(&line->changes, 1, __ATOMIC_SEQ_CST);
    if (line->waiting)
        futex_wake(&line->changes, INT_MAX);
}

/* ---- the thread ---- */

static int elapsed_ns(CUevent start, CUevent end, uint64_t *ret_ns)
{
    float ms = 0;
    if (driver_cuEventElapsedTime(&ms, start, end) != CUDA_SUCCESS || ms < 0)
        return -1;
    *ret_ns = (uint64_t)((double)ms * 1e6);
    return 0;
}

/* Make an end of the measurement the base of times to come; the old base takes its place. */
static void rebase(struct line *line, const struct measurement *m, CUevent *end, uint64_t end_ns)
{
    CUevent old = line->base;
    line->base = *end;
    *end = line->base_context == m->context ? old : NULL;
    if (old && !*end)
        (void)driver_cuEventDestroy_v2(old); /* its context may have gone before */
    line->base_ns = end_ns;
    line->base_context = m->context;
}

/* When the measurement ended, in our clock as far as two clocks can agree. */
static uint64_t end_of(const struct measurement *m, CUevent *end)
{
    struct line *line = line_of(m);
    uint64_t since;
    if (line->base && line->base_context == m->context &&
        elapsed_ns(line->base, *end, &since) == 0) {
        uint64_t end_ns = line->base_ns + since;
        if (since > REBASE_NS)
            rebase(line, m, end, end_ns);
        return end_ns;
    }
    uint64_t end_ns = measure_now_ns();
    rebase(line, m, end, end_ns);
    return end_ns;
}

/* Wait until the last of the streams has come to its end, which is returned; NULL: nothing is
 * known. */
static CUevent *await_end(struct measurement *m, uint64_t *ret_between_ns)
{
    CUevent *last = NULL;
    uint64_t between_ns;
    for (unsigned i = 0; i < m->streams_count; i++) {
        CUevent *end = &m->streams[i].end;
        if (driver_cuEventSynchronize(*end) != CUDA_SUCCESS ||
            elapsed_ns(m->start, *end, &between_ns) < 0)
            return NULL;
        if (!last || between_ns > *ret_between_ns) {
            last = end;
            *ret_between_ns = between_ns;
        }
    }
    return last;
}

/* Of the time from the first event to the last, what the device worked. In a batch it may have
 * waited for the program, but never works more than its launches need. A single launch that the
 * program was late to hand over takes as long as it does otherwise, if that can be. */
static uint64_t worked_ns(const struct measurement *m, uint64_t between_ns)
{
    if (m->known_ns)
        return between_ns < m->known_ns ? between_ns : m->known_ns;
    uint64_t usual_ns = __atomic_load_n(m->pace, __ATOMIC_RELAXED);
    if (m->delay_ns < DELAY_NS || !usual_ns || between_ns <= usual_ns)
        return between_ns;
    uint64_t least_ns = between_ns > m->delay_ns ? between_ns - m->delay_ns : 0;
    return least_ns > usual_ns ? least_ns : usual_ns;
}

/* Of a single launch, what it adds to the time that the device is busy: beside launches into other
 * streams that is less than from its beginning to its end, and nothing says little. */
static void note_pace(const struct measurement *m, uint64_t took_ns)
{
    uint64_t usual_ns = __atomic_load_n(m->pace, __ATOMIC_RELAXED);
    if (m->known_ns || !took_ns)
        return;
    if (usual_ns)
        took_ns = (usual_ns * (PACE_WEIGHT - 1) + took_ns) / PACE_WEIGHT;
    __atomic_store_n(m->pace, took_ns < PACE_LEAST_NS ? PACE_LEAST_NS : took_ns, __ATOMIC_RELAXED);
}

/* When the device worked for it. A batch that nobody could put an end to has taken what is known of
 * its launches. All 0 when nothing is known. */
static struct meter_span span_of(struct measurement *m)
{
    struct meter_span span = {.queued_ns = m->queued_ns, .commands = m->launches};
    uint64_t took_ns = 0;
    if (!m->has_ends) {
        span.end_ns = measure_now_ns();
        span.start_ns = span.end_ns - m->known_ns;
        return span;
    }
    CUevent *last =
        driver_cuCtxSetCurrent(m->context) == CUDA_SUCCESS ? await_end(m, &took_ns) : NULL;
    if (!last)
        return span;
    span.end_ns = end_of(m, last);
    span.start_ns = span.end_ns - worked_ns(m, took_ns);
    return span;
}

/* The next that was handed over, or a batch that has grown old. */
static struct measurement *await_next(struct line *line)
{
    const unsigned device = (unsigned)(line - lines);
    struct measurement *m = NULL;
    (void)pthread_mutex_lock(&line->lock);
    while (!line->first && !m) {
        if (!batch_is_open(device)) {
            wait_for_change(line, FUTEX_FOREVER);
            continue;
        }
        wait_for_change(line, BATCH_AGE_NS);
        if (!line->first)
            m = batch_close(device, measure_now_ns() - BATCH_AGE_NS);
    }
    if (!m) {
        m = line->first;
        line->first = m->next;
        if (!line->first)
            line->last = NULL;
    }
    (void)pthread_mutex_unlock(&line->lock);
    return m;
}

static void *measure(void *line)
{
    for (;;) {
        struct measurement *m = await_next(line);
        struct meter_span span = span_of(m);
        uint64_t took_ns = span.end_ns - span.start_ns;
        uint64_t charged_ns = meter_charge(m->meter, &span, m->estimate_ns);
        note_pace(m, charged_ns < took_ns ? charged_ns : took_ns);
        measure_put_back(m);
    }
    return NULL;
}

/* With the lock held. The program's signals are not for this thread. */
static int start_thread(struct line *line)
{
    pthread_t thread;
    sigset_t all, before;
    if (line->has_thread)
        return 0;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = pthread_create(&thread, NULL, measure, line);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r != 0)
        return -1;
    (void)pthread_detach(thread); /* cannot fail for a running thread */
    line->has_thread = 1;
    return 0;
}

/* ---- the launching threads ---- */

static void destroy_events(struct measurement *m)
{
    if (m->start)
        (void)driver_cuEventDestroy_v2(m->start); /* their context may have gone before */
    for (unsigned i = 0; i < MEASURE_STREAMS; i++)
        if (m->streams[i].end)
            (void)driver_cuEventDestroy_v2(m->streams[i].end);
    free(m);
}

/* The events that a single launch needs, in the current context. */
static int complete(struct measurement *m)
{
    CUevent *const events[] = {&m->start, &m->streams[0].end};
    for (int i = 0; i < 2; i++)
        if (!*events[i] &&
            driver_cuEventCreate(events[i], CUDA_EVENT_BLOCKING_SYNC) != CUDA_SUCCESS)
            return 0;
    return 1;
}

int measure_into(struct measurement *m, CUstream stream, enum stream_flavour flavour)
{
    unsigned i = 0;
    while (i < m->streams_count &&
           (m->streams[i].stream != stream || m->streams[i].flavour != flavour))
        i++;
    if (i == MEASURE_STREAMS)
        return -ENOSPC;
    if (i == m->streams_count) {
        m->streams[i].stream = stream;
        m->streams[i].flavour = flavour;
        m->streams_count++;
    }
    return 0;
}

static CUresult record(CUevent event, CUstream stream, enum stream_flavour flavour)
{
    return flavour == STREAM_PER_THREAD ? driver_cuEventRecord_ptsz(event, stream)
                                        : driver_cuEventRecord(event, stream);
}

CUresult measure_begin(const struct measurement *m)
{
    return record(m->start, m->streams[0].stream, m->streams[0].flavour);
}

int measure_is_captured(CUstream stream, enum stream_flavour flavour)
{
    int capturing = 0;
    CUresult result = flavour == STREAM_PER_THREAD
                          ? driver_cuStreamIsCapturing_ptsz(stream, &capturing)
                          : driver_cuStreamIsCapturing(stream, &capturing);
    return result != CUDA_SUCCESS || capturing;
}

CUresult measure_end(struct measurement *m)
{
    CUresult result = CUDA_SUCCESS;
    for (unsigned i = 0; i < m->streams_count && result == CUDA_SUCCESS; i++) {
        CUstream stream = m->streams[i].stream;
        enum stream_flavour flavour = m->streams[i].flavour;
        if (m->known_ns && measure_is_captured(stream, flavour))
            return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
        if (!m->streams[i].end)
            result = driver_cuEventCreate(&m->streams[i].end, CUDA_EVENT_BLOCKING_SYNC);
        if (result == CUDA_SUCCESS)
            result = record(m->streams[i].end, stream, flavour);
    }
    m->has_ends = result == CUDA_SUCCESS;
    return result;
}

static void drop_under_way(struct line *line)
{
    if (--line->under_way == 0)
        tell_change(line);
}

struct measurement *measure_take(unsigned device, CUcontext context)
{
    struct line *line = &lines[device];
    (void)pthread_mutex_lock(&line->lock);
    struct measurement **at = &line->spare, *m = NULL;
    int ready = start_thread(line) == 0;
    while (*at && (*at)->context != context)
        at = &(*at)->next;
    if (ready) {
        m = *at;
        if (m)
            *at = m->next;
        line->under_way++;
    }
    (void)pthread_mutex_unlock(&line->lock);
    if (!ready)
        return NULL;
    if (!m)
        m = calloc(1, sizeof(*m));
    if (m && !complete(m)) {
        destroy_events(m);
        m = NULL;
    }
    if (!m) {
        (void)pthread_mutex_lock(&line->lock);
        drop_under_way(line);
        (void)pthread_mutex_unlock(&line->lock);
        return NULL;
    }
    m->device = device;
    m->context = context;
    m->has_ends = 0;
    m->streams_count = 0;
    m->delay_ns = m->known_ns = 0;
    m->launches = 1;
    return m;
}

void measure_queue(struct measurement *m)
{
    struct line *line = line_of(m);
    m->next = NULL;
    (void)pthread_mutex_lock(&line->lock);
    if (line->last)
        line->last->next = m;
    else
        line->first = m;
    line->last = m;
    tell_change(line);
    (void)pthread_mutex_unlock(&line->lock);
}

void measure_put_back(struct measurement *m)
{
    struct line *line = line_of(m);
    (void)pthread_mutex_lock(&line->lock);
    m->next = line->spare;
    line->spare = m;
    drop_under_way(line);
    (void)pthread_mutex_unlock(&line->lock);
}

void measure_call_off(struct measurement *m)
{
    const struct meter_span none = {.commands = 0};
    meter_charge(m->meter, &none, m->estimate_ns);
    measure_put_back(m);
}

void measure_tell_batch(unsigned device)
{
    (void)pthread_mutex_lock(&lines[device].lock);
    tell_change(&lines[device]);
    (void)pthread_mutex_unlock(&lines[device].lock);
}

static void drain(struct line *line)
{
    (void)pthread_mutex_lock(&line->lock);
    while (line->under_way)
        wait_for_change(line, FUTEX_FOREVER);
    struct measurement *spare = line->spare;
    CUevent base = line->base;
    line->spare = NULL;
    line->base = NULL;
    (void)pthread_mutex_unlock(&line->lock);
    while (spare) {
        struct measurement *next = spare->next;
        destroy_events(spare);
        spare = next;
    }
    if (base)
        (void)driver_cuEventDestroy_v2(base); /* its context may have gone before */
}

void measure_drain(void)
{
    for (unsigned i = 0; i < CARD_DEVICES_MAX; i++)
        drain(&lines[i]);
}
