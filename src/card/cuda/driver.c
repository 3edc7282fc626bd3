/* Finding the real library: see driver.h. */
#include "card/cuda/driver.h"

#include <dlfcn.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>

static void *driver_handle; /* of the real library; NULL: not open */

static const char *const folders[] = {
    "/usr/lib/leat/driver", /* where a container keeps it under Leat's */
    "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib/wsl/lib",
};

/* 1 when `handle` is this very library, which may be mounted at the real one's place. */
static int is_own(void *handle)
{
    const struct link_map *map = NULL;
    return dlinfo(handle, RTLD_DI_LINKMAP, (void *)&map) == 0 && map->l_ld == _DYNAMIC;
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
static void *open_any(void)
{
    char path[PATH_MAX];
    const char *named = getenv(driver_library.variable);
    if (named && *named)
        return open_one(named);
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", folders[i], driver_library.file);
        void *handle = open_one(path);
        if (handle)
            return handle;
    }
    return NULL;
}

/* Two threads that open the library, or fill an entry, store the same value. */
static void *real_library(void)
{
    void *library = __atomic_load_n(&driver_handle, __ATOMIC_RELAXED);
    if (!library) {
        library = open_any();
        __atomic_store_n(&driver_handle, library, __ATOMIC_RELAXED);
    }
    return library;
}

void *driver_entry(unsigned name)
{
    void *entry = __atomic_load_n(&driver_table[name], __ATOMIC_RELAXED);
    if (entry)
        return entry;
    entry = driver_library.stand_in ? driver_library.stand_in(name) : NULL;
    void *library = entry ? NULL : real_library();
    if (library)
        entry = dlsym(library, driver_names[name].symbol);
    if (!entry)
        entry = driver_library.missing;
    __atomic_store_n(&driver_table[name], entry, __ATOMIC_RELAXED);
    return entry;
}
