/* The buffer of a trace: see trace.h. */
#include "card/ledger/trace.h"

#include <errno.h>

void trace_write(struct trace *trace, const struct trace_entry *entry)
{
    uint64_t number = __atomic_add_fetch(&trace->written, 1, __ATOMIC_SEQ_CST);
    struct trace_entry *place = &trace->entries[(number - 1) % TRACE_ENTRIES];
    struct trace_entry copy = *entry;
    copy.number = 0;
    __atomic_store_n(&place->number, 0, __ATOMIC_SEQ_CST);
    *place = copy;
    __atomic_store_n(&place->number, number, __ATOMIC_SEQ_CST);
}

int trace_read(struct trace *trace, uint64_t number, struct trace_entry *ret_entry)
{
    struct trace_entry *place = &trace->entries[(number - 1) % TRACE_ENTRIES];
    if (__atomic_load_n(&place->number, __ATOMIC_SEQ_CST) != number)
        return -ENOENT;
    struct trace_entry copy = *place;
    /* Adding nothing, other than a load, keeps the copy before it. */
    if (__atomic_fetch_add(&place->number, 0, __ATOMIC_SEQ_CST) != number)
        return -ENOENT; /* overwritten while it was copied */
    copy.name[TRACE_NAME_MAX - 1] = '\0';
    *ret_entry = copy;
    return 0;
}

void trace_span(const struct trace *trace, uint64_t *ret_first, uint64_t *ret_last)
{
    uint64_t written = __atomic_load_n(&trace->written, __ATOMIC_SEQ_CST);
    if (written == UINT64_MAX) /* an executor has lied, and who counts to it does not end */
        written--;
    *ret_last = written;
    *ret_first = written > TRACE_ENTRIES ? written - TRACE_ENTRIES + 1 : 1;
}
