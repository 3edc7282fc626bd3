/* Moving the cards of running jobs to other devices of the machine so that one that waits finds
 * room: at most so often an hour, and only when that job then starts. When no single move helps,
 * several cards change places: all are suspended, as if others had their place, and come back where
 * they are to be. A leatd that is killed meanwhile finds jobs that are idle and wakes them. Loop
 * thread only. */
#ifndef LEAT_CORE_REPACK_H
#define LEAT_CORE_REPACK_H

#include <stdbool.h>
#include <stdint.h>

#include "model/device.h"
#include "sched/sched.h"

struct core;

/* Of an exchange: a card that leaves its device, and where it comes back. */
struct repack_step {
    uint64_t job;
    char device[DEVICE_ID_MAX + 1];
};

struct repacking {
    uint32_t moves_per_hour; /* 0: none */
    double moves_left;       /* of this hour's */
    uint64_t counted_ms;     /* on the loop's clock */
    bool moving;             /* a move of one card is under way */
    struct repack_step steps[SCHED_MOVES_MAX];
    size_t step_count; /* of the exchange under way; 0: none */
};

void repack_init(struct core *core, uint32_t moves_per_hour);
void repack_poll(struct core *core); /* is a move of use? */
/* Is an exchange under way? Until all its cards are away nothing starts and nothing wakes, for the
 * room that they leave is theirs; then they come back before anybody else. */
bool repack_is_busy(struct core *core);

#endif
