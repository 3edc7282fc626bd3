/* How much a TCP connection's line carries, as the kernel saw it: what was acknowledged in the time
 * in which something was under way. */
#ifndef LEAT_CARD_RELAY_LINE_H
#define LEAT_CARD_RELAY_LINE_H

#include <stdint.h>

/* The kernel's counts of a connection's sending end. */
struct line_seen {
    uint64_t acked_bytes; /* all in all */
    uint64_t busy_us;     /* so long something was under way, all in all; in ticks of up to 10 ms */
    uint64_t round_trip_us; /* the shortest */
    int is_idle;            /* nothing is under way */
};

/* One thread at a time. Zeroed: nothing is known. */
struct line {
    uint64_t bytes_per_s;          /* 0: not known */
    uint64_t acked_bytes, busy_us; /* when it was learnt last */
    uint64_t waits_us;             /* since then, for acknowledgements with nothing left to send */
};

void line_learn(struct line *line, const struct line_seen *seen);
/* Learn from what the kernel says now: a system call. */
void line_look(struct line *line, int fd);
/* The shortest round trip so far, 0 when the kernel does not know. A system call. */
uint64_t line_round_trip_us(int fd);

#endif
