/* The names of the driver's interface, and which of them lead to Leat. Any thread. */
#ifndef LEAT_CARD_CUDA_RESOLVE_H
#define LEAT_CARD_CUDA_RESOLVE_H

#include "card/cuda/types.h"

struct cuda_entry {
    const char *symbol; /* as exported */
    const char *base;   /* as programs ask for it */
    void *own;          /* NULL: the driver's own function */
    int version;        /* first version that gets it */
    int per_thread;     /* for the per-thread default stream */
};

/* By number (enum cuda_name), ordered by base and version. */
extern const struct cuda_entry cuda_entries[];

/* What a refused name does. */
CUresult cuda_not_supported(void);

#endif
