/* Libraries and nodes of the CUDA driver: see cuda.h. */
#include "core/cuda.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/path.h"
#include "core/cuda_nodes.h"
#include "engine/engine.h"
#include "model/device.h"

#define INSIDE "/run/cuda"
#define DRIVER_INSIDE INSIDE "/driver"
#define MOUNTS_MAX 24

/* What of the driver a CUDA program may need, as NVIDIA's container toolkit lists it. The first two
 * stand behind Leat's own and must be there. */
static const struct {
    const char *name, *variable; /* which names another file for it */
} libraries[] = {
    {"libcuda.so.1", "LEAT_CUDA_DRIVER"},    {"libnvidia-ml.so.1", "LEAT_NVML_DRIVER"},
    {"libnvidia-ptxjitcompiler.so.1", NULL}, {"libnvidia-nvvm.so.4", NULL},
    {"libnvidia-gpucomp.so", NULL},          {"libcudadebugger.so.1", NULL},
};

#define NEEDED 2

static const char *const folders[] = {
    "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib",
    "/usr/lib/wsl/lib",
};

bool cuda_is_device(const struct device *device)
{
    return device->kind && strcmp(device->kind, "cuda") == 0;
}

void cuda_view_finish(struct cuda_view *view)
{
    for (size_t i = 0; i < view->mounts_count; i++) {
        free((char *)(uintptr_t)view->mounts[i].host);
        free((char *)(uintptr_t)view->mounts[i].inside);
    }
    free(view->mounts);
    for (char **variable = view->variables; variable && *variable; variable++)
        free(*variable);
    free(view->variables);
    *view = (struct cuda_view){0};
}

static int add(struct cuda_view *view, const char *host, const char *inside,
               enum engine_mount_flags flags)
{
    const struct engine_mount mount = {strdup(host), strdup(inside), flags};
    view->mounts[view->mounts_count++] = mount;
    return mount.host && mount.inside ? 0 : -ENOMEM;
}

/* The file behind all links, of which containers know nothing. */
static bool find_library(size_t index, char ret_path[PATH_MAX])
{
    char path[PATH_MAX];
    const char *named = libraries[index].variable ? getenv(libraries[index].variable) : NULL;
    if (named && *named)
        return realpath(named, ret_path) != NULL;
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", folders[i], libraries[index].name);
        if (realpath(path, ret_path))
            return true;
    }
    return false;
}

static int add_driver(struct cuda_view *view, struct error *err)
{
    char host[PATH_MAX], inside[PATH_MAX];
    for (size_t i = 0; i < sizeof(libraries) / sizeof(libraries[0]); i++) {
        if (!find_library(i, host)) {
            if (i < NEEDED)
                return error_set(err, -ENOENT, "no-cuda-driver",
                                 "the CUDA driver's %s was not found on this machine",
                                 libraries[i].name);
            continue;
        }
        (void)snprintf(inside, sizeof(inside), DRIVER_INSIDE "/%s", libraries[i].name);
        if (add(view, host, inside, ENGINE_MOUNT_READ_ONLY) < 0)
            return error_set(err, -ENOMEM, "out-of-memory", "showing the CUDA driver");
    }
    return 0;
}

static int add_own(struct cuda_view *view, struct error *err)
{
    for (size_t i = 0; i < NEEDED; i++) {
        char beside[64], installed[PATH_MAX], host[PATH_MAX], inside[64];
        (void)snprintf(beside, sizeof(beside), "../card/cuda/%s", libraries[i].name);
        (void)snprintf(installed, sizeof(installed), LEAT_LIBDIR_FROM_BINDIR "/leat/cuda/%s",
                       libraries[i].name);
        const char *const places[] = {beside, installed, NULL};
        int r = path_find_beside(libraries[i].name, places, host, err);
        if (r < 0)
            return r;
        (void)snprintf(inside, sizeof(inside), INSIDE "/%s", libraries[i].name);
        if (add(view, host, inside, ENGINE_MOUNT_READ_ONLY) < 0)
            return error_set(err, -ENOMEM, "out-of-memory", "showing the CUDA library");
    }
    return 0;
}

static int add_nodes(struct cuda_view *view, const struct device *device)
{
    struct cuda_nodes nodes;
    cuda_nodes_find("", device->index, device->part, &nodes);
    for (unsigned i = 0; i < nodes.count; i++)
        if (add(view, nodes.paths[i], nodes.paths[i], ENGINE_MOUNT_DEVICE) < 0)
            return -ENOMEM;
    return 0;
}

static int set_variables(struct cuda_view *view, const struct device *device)
{
    char number[16];
    (void)snprintf(number, sizeof(number), "%u", device->index);
    const char *visible = device->uuid ? device->uuid : number;
    view->variables = calloc(5, sizeof(*view->variables));
    if (!view->variables ||
        asprintf(&view->variables[0], "LD_LIBRARY_PATH=" INSIDE ":" DRIVER_INSIDE) < 0 ||
        asprintf(&view->variables[1], "LEAT_CUDA_DRIVER=" DRIVER_INSIDE "/libcuda.so.1") < 0 ||
        asprintf(&view->variables[2], "LEAT_NVML_DRIVER=" DRIVER_INSIDE "/libnvidia-ml.so.1") < 0 ||
        asprintf(&view->variables[3], "CUDA_VISIBLE_DEVICES=%s", visible) < 0)
        return -ENOMEM;
    return 0;
}

int cuda_view_make(const struct device *device, struct cuda_view *ret_view, struct error *err)
{
    struct cuda_view view = {.mounts = calloc(MOUNTS_MAX, sizeof(*view.mounts))};
    int r = view.mounts ? add_nodes(&view, device) : -ENOMEM;
    if (r == 0)
        r = set_variables(&view, device);
    if (r < 0)
        (void)error_set(err, r, "out-of-memory", "showing a CUDA device");
    if (r == 0)
        r = add_own(&view, err);
    if (r == 0)
        r = add_driver(&view, err);
    if (r < 0) {
        cuda_view_finish(&view);
        return r;
    }
    *ret_view = view;
    return 0;
}
