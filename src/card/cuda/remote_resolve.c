/* A remote card: looking functions up. */
#include <stdio.h>
#include <string.h>

#include "card/cuda/driver.h"
#include "card/cuda/remote.h"
#include "cuda_api.h"

/* CUdriverProcAddressQueryResult */
enum query_result { QUERY_FOUND = 0, QUERY_UNKNOWN = 1, QUERY_TOO_NEW = 2 };

/* 1: `entry` is a better answer than `found`, which may be NULL. */
static int is_better(const struct driver_name *entry, const struct driver_name *found, int version,
                     int per_thread)
{
    if (entry->version > version || (entry->per_thread && !per_thread))
        return 0;
    return !found || entry->version > found->version || entry->per_thread > found->per_thread;
}

/* The newest that the version may have. Names are few and asked for once, so all are looked at. */
CUresult remote_cuGetProcAddress_v2(const char *symbol, void **function, int version,
                                    cuuint64_t flags, int *status)
{
    const struct driver_name *found = NULL;
    int known = 0, per_thread = (flags & CUDA_PER_THREAD_STREAM_FLAG) != 0;
    if (!symbol || !function)
        return CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0; i < CUDA_NAMES; i++) {
        const struct driver_name *entry = &driver_names[i];
        if (strcmp(entry->base, symbol) != 0)
            continue;
        known = 1;
        if (is_better(entry, found, version, per_thread))
            found = entry;
    }
    *function = found ? driver_entry((unsigned)(found - driver_names)) : NULL;
    if (status)
        *status = found ? QUERY_FOUND : known ? QUERY_TOO_NEW : QUERY_UNKNOWN;
    return found ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

CUresult remote_cuGetProcAddress(const char *symbol, void **function, int version, cuuint64_t flags)
{
    return remote_cuGetProcAddress_v2(symbol, function, version, flags, NULL);
}

/* Only the CUDA runtime library asks for these tables, which are the vendor's own. The program
 * cannot go on, and nothing else would tell its user why. */
CUresult remote_cuGetExportTable(const void **table, const void *id)
{
    static int told;
    const struct remote_call refused = {.call = WIRE_CUDA_RUNTIME_REFUSED};
    if (__atomic_exchange_n(&told, 1, __ATOMIC_RELAXED) == 0) {
        (void)remote_ask(&refused, NULL); /* what failed before does not matter any more */
        (void)fputs("leat: a remote card serves programs on the CUDA driver's interface; those on "
                    "the CUDA runtime library need a card of their own host\n",
                    stderr);
    }
    return CUDA_ERROR_NOT_SUPPORTED;
}
