/* A device, its cards and their executors in virtual time: the real meter decides, and what it asks
 * the kernel (the clock, to sleep on a word, to wake who sleeps) is answered here. One thread,
 * coroutines for the executors, no real time, so that the same run always gives the same figures.
 *
 * Linked with --wrap=clock_gettime,--wrap=syscall. */
#ifndef LEAT_TESTS_METER_WORLD_H
#define LEAT_TESTS_METER_WORLD_H

#include <stdint.h>

#define WORLD_CARDS 4
#define WORLD_LENGTHS 8

/* A card, with one session whose program has commands of these lengths, in turn. */
struct world_card {
    uint32_t share_permille;
    uint32_t burst, priority;
    uint64_t lengths_ns[WORLD_LENGTHS]; /* up to the first 0 */
    uint64_t from_ns;                   /* when the program begins; while it settles, too */
    uint64_t pause_ns; /* it waits for each command, then for so long; 0: always has more */

    /* What came of it, in the measured time. */
    uint64_t device_ns; /* as charged */
    uint64_t work_ns;   /* that its commands took less what they stood still */
    uint64_t most_ns;   /* by which it ever was ahead of what it was granted since the start */
    uint64_t waits, waited_ns, longest_wait_ns; /* from being wanted to being begun; counted from
                                                   the start */
};

/* What goes wrong, in the mean. */
struct world_trouble {
    uint32_t jitter_percent; /* commands are shorter and longer by up to this */
    uint64_t stall_every_ns,
        stall_ns;              /* the machine stands still, twice as long at most; 0: never */
    uint32_t starved_permille; /* wake-ups that come late ... */
    uint64_t starved_ns;       /* ... by up to this */
    uint32_t estimate_percent; /* what the estimates are of the true length; 0: 100 */
};

/* Run for `settle_ns`, then measure for `seconds_ns`. */
void world_run(struct world_card *cards, unsigned count, const struct world_trouble *trouble,
               uint64_t settle_ns, uint64_t measure_ns);

#endif
