/* The open batch: see batch.h. One word says who may touch it; whoever makes it BUSY owns the
 * measurement until the word changes again. */
#include "card/cuda/batch.h"

#include <errno.h>

#include "card/cuda/measure.h"

enum batch_word { BATCH_CLOSED, BATCH_OPEN, BATCH_BUSY };

static struct {
    uint32_t word;
    struct measurement *measurement;
} batch;

static int change(uint32_t from, uint32_t to)
{
    return __atomic_compare_exchange_n(&batch.word, &from, to, 0, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

static void give_up(enum batch_word word)
{
    __atomic_store_n(&batch.word, word, __ATOMIC_RELEASE);
}

int batch_join(CUstream stream, enum stream_flavour flavour, uint64_t took_ns,
               struct measurement **ret_over)
{
    *ret_over = NULL;
    if (!change(BATCH_OPEN, BATCH_BUSY))
        return 0;
    struct measurement *m = batch.measurement;
    if (m->stream == stream && m->flavour == flavour && took_ns &&
        m->known_ns + took_ns <= BATCH_NS) {
        m->known_ns += took_ns;
        m->launches++;
        return 1;
    }
    batch.measurement = NULL;
    give_up(BATCH_CLOSED);
    *ret_over = m;
    return 0;
}

void batch_leave(void)
{
    give_up(BATCH_OPEN);
}

int batch_open(struct measurement *m)
{
    if (!change(BATCH_CLOSED, BATCH_BUSY))
        return -EBUSY;
    batch.measurement = m;
    give_up(BATCH_OPEN);
    return 0;
}

int batch_is_open(void)
{
    return __atomic_load_n(&batch.word, __ATOMIC_RELAXED) != BATCH_CLOSED;
}

struct measurement *batch_close(uint64_t before_ns)
{
    if (!change(BATCH_OPEN, BATCH_BUSY))
        return NULL;
    struct measurement *m = batch.measurement;
    if (m->queued_ns >= before_ns) {
        give_up(BATCH_OPEN);
        return NULL;
    }
    batch.measurement = NULL;
    give_up(BATCH_CLOSED);
    return m;
}

void batch_clear(void)
{
    batch.measurement = NULL;
    batch.word = BATCH_CLOSED;
}
