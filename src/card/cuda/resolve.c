/* The real driver, opened by path when its first function is needed, and the look-up that hands out
 * Leat's functions in place of the driver's. */
#include "card/cuda/resolve.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "cuda_api.h"

/* The driver's functions by number, filled as they are used. Two threads that fill an entry store
 * the same value. */
void *cuda_driver_table[CUDA_NAMES];

static const char *const driver_paths[] = {
    "/usr/lib/leat/driver/libcuda.so.1", /* where a container keeps it under Leat's */
    "/usr/lib/x86_64-linux-gnu/libcuda.so.1",
    "/usr/lib/aarch64-linux-gnu/libcuda.so.1",
    "/usr/lib64/libcuda.so.1",
    "/usr/lib/wsl/lib/libcuda.so.1",
};

CUresult cuda_not_supported(void)
{
    return CUDA_ERROR_NOT_SUPPORTED;
}

static CUresult not_found(void)
{
    return CUDA_ERROR_NOT_FOUND;
}

/* 1 when `handle` is this very library, which may be mounted at the driver's place. */
static int is_own(void *handle)
{
    void *function = dlsym(handle, "cuInit");
    Dl_info theirs, ours;
    return function && dladdr(function, &theirs) && dladdr((void *)&cuda_not_supported, &ours) &&
           theirs.dli_fbase == ours.dli_fbase;
}

static void *open_one(const char *path)
{
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (handle && is_own(handle)) {
        (void)dlclose(handle); /* only counts down */
        return NULL;
    }
    return handle;
}

/* The loader keeps one handle a library, however often it is opened. */
static void *driver_open(void)
{
    const char *path = getenv("LEAT_CUDA_DRIVER");
    if (path && *path)
        return open_one(path);
    for (size_t i = 0; i < sizeof(driver_paths) / sizeof(driver_paths[0]); i++) {
        void *handle = open_one(driver_paths[i]);
        if (handle)
            return handle;
    }
    return NULL;
}

void *cuda_driver_entry(unsigned name)
{
    void *entry = __atomic_load_n(&cuda_driver_table[name], __ATOMIC_RELAXED);
    if (entry)
        return entry;
    void *driver = driver_open();
    entry = driver ? dlsym(driver, cuda_entries[name].symbol) : NULL;
    if (!entry)
        entry = (void *)not_found;
    __atomic_store_n(&cuda_driver_table[name], entry, __ATOMIC_RELAXED);
    return entry;
}

/* The first entry of that base; CUDA_NAMES when there is none. */
static unsigned first_of(const char *base)
{
    unsigned low = 0, high = CUDA_NAMES;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (strcmp(cuda_entries[middle].base, base) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < CUDA_NAMES && strcmp(cuda_entries[low].base, base) == 0 ? low : CUDA_NAMES;
}

/* Which entry the driver meant when it answered with `function`: the one with that address, or, for
 * a driver that hands out others than it exports, the newest that the version may have. */
static const struct cuda_entry *meant(const char *symbol, const void *function, int version,
                                      cuuint64_t flags)
{
    const struct cuda_entry *same = NULL, *newest = NULL;
    int per_thread = (flags & CUDA_PER_THREAD_STREAM_FLAG) != 0;
    unsigned first = first_of(symbol);
    for (unsigned i = first; i < CUDA_NAMES && strcmp(cuda_entries[i].base, symbol) == 0; i++) {
        const struct cuda_entry *entry = &cuda_entries[i];
        if (cuda_driver_entry(i) == function && (!same || entry->per_thread == per_thread))
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
    const struct cuda_entry *entry = meant(symbol, *function, version, flags);
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
