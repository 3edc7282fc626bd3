/* Who sleeps for one command, seen from the side that publishes its end. Called after the change is
 * stored; 1: wake all that sleep on the word. Both sides store, then look at what the other stored,
 * all sequentially consistent, so that one of them sees the other. */
#ifndef LEAT_CARD_WIRE_WAKE_H
#define LEAT_CARD_WIRE_WAKE_H

#include "card/wire/wire.h"

/* The word is `woken`. */
static inline int wire_queue_wakes(struct wire_queue_state *queue)
{
    uint64_t wanted = __atomic_load_n(&queue->wanted, __ATOMIC_SEQ_CST);
    uint64_t completed = __atomic_load_n(&queue->completed, __ATOMIC_RELAXED); /* our own */
    if (wanted == 0 || (int64_t)(completed - wanted) < 0)
        return 0;
    /* Who lowered it meanwhile to something not reached yet is woken for nothing, and asks
     * again. */
    __atomic_store_n(&queue->wanted, 0, __ATOMIC_SEQ_CST);
    (void)__atomic_add_fetch(&queue->woken, 1, __ATOMIC_SEQ_CST);
    return 1;
}

/* The word is `status`. */
static inline int wire_event_wakes(struct wire_event_state *event)
{
    if (!__atomic_load_n(&event->waited, __ATOMIC_SEQ_CST))
        return 0;
    __atomic_store_n(&event->waited, 0, __ATOMIC_RELAXED);
    return 1;
}

#endif
