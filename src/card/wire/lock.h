/* A lock of one word for a few instructions' worth of work; yields when it is held for longer. */
#ifndef LEAT_CARD_WIRE_LOCK_H
#define LEAT_CARD_WIRE_LOCK_H

#include <sched.h>
#include <stdint.h>

#define LOCK_TRIES 64

static inline void lock_take(uint32_t *lock)
{
    for (unsigned tries = 0; __atomic_exchange_n(lock, 1, __ATOMIC_ACQUIRE) != 0; tries++)
        if (tries >= LOCK_TRIES)
            (void)sched_yield(); /* the holder may be waiting for ring room, or be preempted */
}

static inline void lock_give(uint32_t *lock)
{
    __atomic_store_n(lock, 0, __ATOMIC_RELEASE);
}

#endif
