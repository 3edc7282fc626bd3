/* Numbers that are given out and taken back: object ids, and the slots of queues and events in the
 * session. The last one back goes out first, so that few are used and they stay warm. */
#ifndef LEAT_CARD_WIRE_SLOTS_H
#define LEAT_CARD_WIRE_SLOTS_H

#include <stddef.h>
#include <stdint.h>

/* A slot whose owner is gone while the executor still writes to it. */
struct slot_leaving {
    uint32_t slot;
    uint64_t posted; /* as given to slots_give */
};

struct slots {
    uint32_t lock;
    uint32_t next, limit; /* first never given out; one past the last. 0 is never given out */
    uint32_t *free;
    uint32_t free_count, free_room;
    struct slot_leaving *leaving;
    uint32_t leaving_count, leaving_room;
    /* Whether the executor has done with a slot; NULL: it has at once. */
    int (*ended)(uint32_t slot, uint64_t posted);
};

void slots_init(struct slots *slots, uint32_t limit, int (*ended)(uint32_t slot, uint64_t posted));
void slots_finish(struct slots *slots);
uint32_t slots_take(struct slots *slots); /* 0: none left */
void slots_give(struct slots *slots, uint32_t slot, uint64_t posted);
/* Those given back of which the executor has not done with yet; at most `most` are told. Gives
 * their number. */
size_t slots_leaving(struct slots *slots, struct slot_leaving *ret_leaving, size_t most);

#endif
