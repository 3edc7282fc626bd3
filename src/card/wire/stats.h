/* What a session counts in its shared memory, for people: the client and, on the way to another
 * host, relays write it, leat-cardd reads it and believes nothing. Fields are changed
 * atomically. */
#ifndef LEAT_CARD_WIRE_STATS_H
#define LEAT_CARD_WIRE_STATS_H

#include <stdint.h>

/* What was to be carried between two hosts one way, and what went over the line for it. */
struct wire_carried {
    uint64_t bytes, line_bytes;
};

struct wire_stats {
    uint64_t calls_local;  /* answered in the client */
    uint64_t calls_posted; /* sent, not waited for */
    uint64_t calls_waited; /* sent and waited for, or waited for completions */
    uint64_t bytes_to_device, bytes_from_device;
    uint64_t records; /* records of all kinds */
    uint64_t wait_ns; /* time spent waiting in synchronising calls */
    struct wire_carried carried_to_device, carried_from_device; /* 0 on a card of this host */
};

#endif
