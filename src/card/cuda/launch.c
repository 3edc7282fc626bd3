/* The gate: which launches join a batch, which are measured alone, and what each is expected to
 * take. */
#include "card/cuda/launch.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>

#include "card/cuda/batch.h"
#include "card/cuda/measure.h"
#include "card/cuda/process.h"
#include "card/meter/meter.h"
#include "cuda_api.h"

#define PACES 4096u
#define PACE_BITS 12
#define SHORT_NS 100000u /* longer launches are measured each: the cost does not matter to them */

/* Of one device. */
struct gate {
    pthread_mutex_t entering; /* the meter lets in one thread at a time */
    uint32_t alone; /* the last that entered did so alone: batches and single launches take turns */
};

static struct {
    struct gate gates[CARD_DEVICES_MAX];
    uint64_t paces[PACES]; /* what the same launch took lately */
} launches = {.gates = {[0 ... CARD_DEVICES_MAX - 1] = {.entering = PTHREAD_MUTEX_INITIALIZER}}};

static struct gate *gate_of(const struct measurement *m)
{
    return &launches.gates[m->device];
}

void launch_clear(void)
{
    for (unsigned i = 0; i < CARD_DEVICES_MAX; i++)
        (void)pthread_mutex_init(&launches.gates[i].entering, NULL);
    batch_clear();
    measure_clear();
}

static uint64_t *find_pace(const void *subject, uint64_t blocks)
{
    uint64_t size = blocks ? 64 - (unsigned)__builtin_clzll(blocks) : 0;
    uint64_t mixed = ((uintptr_t)subject + size) * 0x9e3779b97f4a7c15u;
    return &launches.paces[mixed >> (64 - PACE_BITS)];
}

static void nothing_to_flush(void *unused)
{
}

/* The batch ends here. Its streams live: one that goes ends the batch first, and waits for this.
 * Without the context nothing can be put into them. */
static void end_batch(struct measurement *batch)
{
    CUcontext current;
    unsigned device = batch->device;
    if (driver_cuCtxGetCurrent(&current) == CUDA_SUCCESS && current == batch->context)
        (void)measure_end(batch); /* without ends it is what its launches usually take */
    batch_over(device);
    measure_queue(batch);
}

/* The null stream of a thread is known under one name in all threads. */
static int may_batch(CUstream stream, enum stream_flavour flavour)
{
    return stream != CUDA_STREAM_PER_THREAD && (stream || flavour != STREAM_PER_THREAD);
}

/* 1: what is launched next may be the first of a batch. */
static int may_open(const struct measurement *m, uint64_t usual_ns)
{
    return usual_ns && usual_ns <= SHORT_NS &&
           may_batch(m->streams[0].stream, m->streams[0].flavour) &&
           __atomic_load_n(&gate_of(m)->alone, __ATOMIC_RELAXED) && !batch_is_open(m->device);
}

/* Through the meter, and with the first event in the stream. */
static CUresult enter(struct measurement *m)
{
    struct gate *gate = gate_of(m);
    (void)pthread_mutex_lock(&gate->entering);
    int entered;
    while ((entered = meter_enter(m->meter, m->estimate_ns, nothing_to_flush, NULL)) == -EINTR)
        process_called_off();
    (void)pthread_mutex_unlock(&gate->entering);
    if (entered < 0) {
        measure_put_back(m);
        return CUDA_ERROR_SYSTEM_NOT_READY;
    }
    m->queued_ns = measure_now_ns();
    CUresult result = measure_begin(m);
    if (result != CUDA_SUCCESS)
        measure_call_off(m);
    return result;
}

static CUresult enter_alone(struct launch_pass *pass, CUdevice device, CUstream stream,
                            enum stream_flavour flavour, uint64_t *pace)
{
    struct card_view view;
    CUcontext context = NULL;
    enum card_state state = process_card(device, &view);
    if (state == CARD_FAILED)
        return CUDA_ERROR_SYSTEM_NOT_READY;
    if (state != CARD_READY)
        return CUDA_SUCCESS;
    if (driver_cuCtxGetCurrent(&context) != CUDA_SUCCESS || !context ||
        measure_is_captured(stream, flavour))
        return CUDA_SUCCESS; /* the driver says what is wrong, if anything is */
    struct measurement *m = measure_take((unsigned)device, context);
    if (!m)
        return CUDA_ERROR_OUT_OF_MEMORY; /* an unmeasured launch would be a way out of the share */
    uint64_t usual_ns = __atomic_load_n(pace, __ATOMIC_RELAXED);
    (void)measure_into(m, stream, flavour); /* there is room for the first */
    m->meter = view.meter;
    m->pace = pace;
    m->estimate_ns = usual_ns ? usual_ns : METER_UNKNOWN_NS;
    if (may_open(m, usual_ns)) {
        m->known_ns = usual_ns;
        m->estimate_ns = BATCH_NS;
    }
    __atomic_store_n(&gate_of(m)->alone, m->known_ns == 0, __ATOMIC_RELAXED);
    CUresult result = enter(m);
    if (result == CUDA_SUCCESS)
        pass->measurement = m;
    return result;
}

CUresult launch_enter(struct launch_pass *pass, CUstream stream, enum stream_flavour flavour,
                      const void *subject, uint64_t blocks)
{
    uint64_t *pace = find_pace(subject, blocks);
    uint64_t usual_ns = __atomic_load_n(pace, __ATOMIC_RELAXED);
    struct measurement *over = NULL;
    CUdevice device = process_device();
    *pass = (struct launch_pass){.device = (unsigned)device};
    if (usual_ns > SHORT_NS || !may_batch(stream, flavour))
        usual_ns = 0;
    if (pass->device < CARD_DEVICES_MAX)
        pass->in_batch = batch_join(pass->device, stream, flavour, usual_ns, &over);
    if (over)
        end_batch(over);
    return pass->in_batch ? CUDA_SUCCESS : enter_alone(pass, device, stream, flavour, pace);
}

CUresult launch_leave(struct launch_pass *pass, CUresult result)
{
    struct measurement *m = pass->measurement;
    if (pass->in_batch)
        batch_leave(pass->device);
    if (!m)
        return result;
    if (result != CUDA_SUCCESS) {
        measure_call_off(m);
        return result;
    }
    if (m->known_ns && batch_open(m) == 0) {
        measure_tell_batch(pass->device);
        return result;
    }
    m->delay_ns = measure_now_ns() - m->queued_ns;
    if (measure_end(m) == CUDA_SUCCESS)
        measure_queue(m);
    else
        measure_call_off(m);
    return result;
}

void launch_end_stream(CUstream stream)
{
    for (unsigned device = 0; device < CARD_DEVICES_MAX; device++) {
        struct measurement *batch;
        while (batch_close_stream(device, stream, &batch) == -EBUSY)
            sched_yield();
        if (batch)
            end_batch(batch);
    }
}

static void end_batches(unsigned device)
{
    while (batch_is_open(device)) {
        struct measurement *batch = batch_close(device, UINT64_MAX);
        if (batch)
            measure_queue(batch);
        else
            sched_yield(); /* a thread is launching in it */
    }
}

void launch_drain(void)
{
    for (unsigned device = 0; device < CARD_DEVICES_MAX; device++)
        end_batches(device);
    measure_drain();
}
