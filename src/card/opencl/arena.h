/* Where the buffers of a device that works on the host's memory lie in the session's arena. This
 * process places them; the executor tells when the driver has let go of one. */
#ifndef LEAT_CARD_OPENCL_ARENA_H
#define LEAT_CARD_OPENCL_ARENA_H

#include <stdint.h>

struct arena_range {
    struct arena_range *next; /* by offset */
    uint64_t offset, bytes;
    uint32_t number; /* of its word in the session */
    uint32_t left;   /* given back; free once the executor's word says so, too */
};

struct arena {
    uint32_t lock;
    uint32_t left_count;
    struct arena_range *ranges;
};

/* A place for `bytes`, marked as used by the executor: its creation must be sent. NULL: there is no
 * arena or no room. Any thread. */
struct arena_range *arena_take(uint64_t bytes);
/* The buffer's RELEASE was sent. NULL is fine. */
void arena_give(struct arena_range *range);
char *arena_at(const struct arena_range *range);
/* 1: what lies in the arena is the device's memory until arena_leave, and what is posted till then
 * is carried out on it. 0: the session has left the arena, and what lies there is no buffer's any
 * more. Any thread, several times; not while waiting for the device. */
int arena_enter(void);
void arena_leave(void);
/* A pointer into the arena is given to the program (1) or given back (-1). */
void arena_count_map(int change);

#endif
