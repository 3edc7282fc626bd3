/* The look-up that hands out Leat's functions in place of the driver's. */
#include <string.h>

#include "card/cuda/driver.h"
#include "cuda_api.h"

/* The first entry of that base; CUDA_NAMES when there is none. */
static unsigned first_of(const char *base)
{
    unsigned low = 0, high = CUDA_NAMES;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (strcmp(driver_names[middle].base, base) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < CUDA_NAMES && strcmp(driver_names[low].base, base) == 0 ? low : CUDA_NAMES;
}

/* Which entry the driver meant when it answered with `function`: the one with that address, or, for
 * a driver that hands out others than it exports, the newest that the version may have. */
static const struct driver_name *meant(const char *symbol, const void *function, int version,
                                       cuuint64_t flags)
{
    const struct driver_name *same = NULL, *newest = NULL;
    int per_thread = (flags & CUDA_PER_THREAD_STREAM_FLAG) != 0;
    unsigned first = first_of(symbol);
    for (unsigned i = first; i < CUDA_NAMES && strcmp(driver_names[i].base, symbol) == 0; i++) {
        const struct driver_name *entry = &driver_names[i];
        if (driver_entry(i) == function && (!same || entry->per_thread == per_thread))
            same = entry; /* a driver may have one function for both default streams */
        if (entry->version > version || (entry->per_thread && !per_thread))
            continue;
        if (!newest || entry->version > newest->version || entry->per_thread > newest->per_thread)
            newest = entry;
    }
    return same ? same : newest;
}

static void put_own(const char *symbol, void **function, int version, cuuint64_t flags)
{
    if (!symbol || !function || !*function)
        return;
    const struct driver_name *entry = meant(symbol, *function, version, flags);
    if (entry && entry->own)
        *function = entry->own;
}

CUresult api_cuGetProcAddress(const char *symbol, void **function, int version, cuuint64_t flags)
{
    CUresult result = driver_cuGetProcAddress(symbol, function, version, flags);
    if (result == CUDA_SUCCESS)
        put_own(symbol, function, version, flags);
    return result;
}

CUresult api_cuGetProcAddress_v2(const char *symbol, void **function, int version, cuuint64_t flags,
                                 int *status)
{
    CUresult result = driver_cuGetProcAddress_v2(symbol, function, version, flags, status);
    if (result == CUDA_SUCCESS)
        put_own(symbol, function, version, flags);
    return result;
}
