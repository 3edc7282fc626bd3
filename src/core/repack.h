/* Moving the card of a running job to another device of the machine so that one that waits finds
 * room: at most so often an hour, and only when that job then starts. Loop thread only. */
#ifndef LEAT_CORE_REPACK_H
#define LEAT_CORE_REPACK_H

#include <stdbool.h>
#include <stdint.h>

struct core;

struct repacking {
    uint32_t moves_per_hour; /* 0: none */
    double moves_left;       /* of this hour's */
    uint64_t counted_ms;     /* on the loop's clock */
    bool moving;             /* a move is under way */
};

void repack_init(struct core *core, uint32_t moves_per_hour);
void repack_poll(struct core *core); /* is a move of use? */

#endif
