/* The open batches: see batch.h. One word says who may touch it; whoever makes it BUSY owns the
 * measurement until the word changes again. */
#include "card/cuda/batch.h"

#include <errno.h>

#include "card/cuda/attach.h"
#include "card/cuda/measure.h"

enum batch_word { BATCH_CLOSED, BATCH_OPEN, BATCH_BUSY };

struct batch {
    uint32_t word;
    struct measurement *measurement;
};

static struct batch batches[CARD_DEVICES_MAX];

/* What the word was; it is changed if that is `from`. */
static uint32_t change(struct batch *batch, uint32_t from, uint32_t to)
{
    (void)__atomic_compare_exchange_n(&batch->word, &from, to, 0, __ATOMIC_ACQUIRE,
                                      __ATOMIC_ACQUIRE);
    return from;
}

static void give_up(struct batch *batch, enum batch_word word)
{
    __atomic_store_n(&batch->word, word, __ATOMIC_RELEASE);
}

int batch_join(unsigned device, CUstream stream, enum stream_flavour flavour, uint64_t took_ns,
               struct measurement **ret_over)
{
    struct batch *batch = &batches[device];
    *ret_over = NULL;
    if (change(batch, BATCH_OPEN, BATCH_BUSY) != BATCH_OPEN)
        return 0;
    struct measurement *m = batch->measurement;
    if (took_ns && m->known_ns + took_ns <= BATCH_NS && measure_into(m, stream, flavour) == 0) {
        m->known_ns += took_ns;
        m->launches++;
        return 1;
    }
    *ret_over = m;
    return 0;
}

void batch_over(unsigned device)
{
    batches[device].measurement = NULL;
    give_up(&batches[device], BATCH_CLOSED);
}

void batch_leave(unsigned device)
{
    give_up(&batches[device], BATCH_OPEN);
}

int batch_open(struct measurement *m)
{
    struct batch *batch = &batches[m->device];
    if (change(batch, BATCH_CLOSED, BATCH_BUSY) != BATCH_CLOSED)
        return -EBUSY;
    batch->measurement = m;
    give_up(batch, BATCH_OPEN);
    return 0;
}

int batch_is_open(unsigned device)
{
    return __atomic_load_n(&batches[device].word, __ATOMIC_RELAXED) != BATCH_CLOSED;
}

/* As batch_close_stream: it stays busy when that holds. */
static int take_if(unsigned device, int (*holds)(const struct measurement *m, uint64_t what),
                   uint64_t what, struct measurement **ret_batch)
{
    struct batch *batch = &batches[device];
    *ret_batch = NULL;
    uint32_t word = change(batch, BATCH_OPEN, BATCH_BUSY);
    if (word != BATCH_OPEN)
        return word == BATCH_BUSY ? -EBUSY : 0;
    if (holds(batch->measurement, what))
        *ret_batch = batch->measurement;
    else
        give_up(batch, BATCH_OPEN);
    return 0;
}

static int is_older(const struct measurement *m, uint64_t before_ns)
{
    return m->queued_ns < before_ns;
}

static int has_stream(const struct measurement *m, uint64_t stream)
{
    unsigned i = 0;
    while (i < m->streams_count && (uintptr_t)m->streams[i].stream != stream)
        i++;
    return i < m->streams_count;
}

struct measurement *batch_close(unsigned device, uint64_t before_ns)
{
    struct measurement *m;
    if (take_if(device, is_older, before_ns, &m) == 0 && m)
        batch_over(device);
    return m;
}

int batch_close_stream(unsigned device, CUstream stream, struct measurement **ret_batch)
{
    return take_if(device, has_stream, (uintptr_t)stream, ret_batch);
}

void batch_clear(void)
{
    for (unsigned i = 0; i < CARD_DEVICES_MAX; i++)
        batches[i] = (struct batch){.word = BATCH_CLOSED};
}
