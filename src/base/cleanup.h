/* Scope cleanup: a local is released when its scope ends, unless it is taken. */
#ifndef LEAT_BASE_CLEANUP_H
#define LEAT_BASE_CLEANUP_H

#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(function) __attribute__((cleanup(function)))

static inline void cleanup_free(void *slot)
{
    void *memory;
    __builtin_memcpy(&memory, slot, sizeof(memory));
    free(memory);
}

static inline void cleanup_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd); /* nothing to do about a failing close of a descriptor we abandon */
}

#define AUTO_FREE CLEANUP(cleanup_free)
#define AUTO_FD CLEANUP(cleanup_fd)

/* Define cleanup_NAME(type **) that calls destroy(*slot); destroy must accept NULL. */
#define DEFINE_CLEANUP(name, type, destroy) \
    static inline void cleanup_##name(type **slot) \
    { \
        destroy(*slot); \
    }

static inline void *take_pointer(void *slot)
{
    void *memory, *none = NULL;
    __builtin_memcpy(&memory, slot, sizeof(memory));
    __builtin_memcpy(slot, &none, sizeof(none));
    return memory;
}

static inline int take_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

/* Hand a local with scope cleanup out: return TAKE(job). */
#define TAKE(variable) ((__typeof__(variable))take_pointer(&(variable)))

#endif
