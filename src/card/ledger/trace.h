/* The commands that a card's sessions ran, while somebody asks for them: a bounded buffer, shared
 * as the ledger is, of which the oldest entries are overwritten. It takes memory only where it was
 * written to. Written by executors, read by leat-cardd, which believes nothing in it. */
#ifndef LEAT_CARD_TRACE_H
#define LEAT_CARD_TRACE_H

#include <stdint.h>

#define TRACE_ENTRIES 8192
#define TRACE_NAME_MAX 48

/* Times are the device's, in ns. */
struct trace_entry {
    uint64_t number; /* 1 and up, atomic; 0: being written */
    uint64_t queued_ns, submit_ns, start_ns, end_ns;
    uint32_t slot, queue;
    char name[TRACE_NAME_MAX]; /* of the kernel, else the kind of command */
};

struct trace {
    uint64_t written; /* ever, atomic */
    struct trace_entry entries[TRACE_ENTRIES];
};

/* Any thread of any session; `entry->number` is set here. */
void trace_write(struct trace *trace, const struct trace_entry *entry);
/* The entry with the number, as it was written: 0; -ENOENT when it was overwritten or is not
 * complete. */
int trace_read(struct trace *trace, uint64_t number, struct trace_entry *ret_entry);
/* Numbers from the first that may still be there to the last; first > last: none. */
void trace_span(const struct trace *trace, uint64_t *ret_first, uint64_t *ret_last);

#endif
