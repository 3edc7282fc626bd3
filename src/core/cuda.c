/* Libraries and nodes of the CUDA driver: see cuda.h. */
#include "core/cuda.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/path.h"
#include "core/cuda_list.h"
#include "core/cuda_nodes.h"
#include "engine/engine.h"
#include "model/device.h"
#include "model/job.h"

#define INSIDE "/run/cuda"
#define DRIVER_INSIDE INSIDE "/driver"
#define MPS_INSIDE INSIDE "/mps"
#define MOUNTS_MAX 24
#define VARIABLES_MAX 7 /* and the NULL at their end */

/* What of the driver a CUDA program may need, of all that NVIDIA's container toolkit lists. The
 * first two stand behind Leat's own and must be there. */
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
static bool find_library(size_t index, const char *listing, char ret_path[PATH_MAX])
{
    char path[PATH_MAX];
    const char *named = libraries[index].variable ? getenv(libraries[index].variable) : NULL;
    if (named && *named)
        return realpath(named, ret_path) != NULL;
    if (cuda_list_find(listing, libraries[index].name, path) && realpath(path, ret_path))
        return true;
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", folders[i], libraries[index].name);
        if (realpath(path, ret_path))
            return true;
    }
    return false;
}

static int add_driver(struct cuda_view *view, const char *listing, struct error *err)
{
    char host[PATH_MAX], inside[PATH_MAX];
    for (size_t i = 0; i < sizeof(libraries) / sizeof(libraries[0]); i++) {
        if (!find_library(i, listing, host)) {
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

/* The first `count` libraries, as Leat's own. */
static int add_own(struct cuda_view *view, size_t count, struct error *err)
{
    for (size_t i = 0; i < count; i++) {
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

/* ---- MPS: the daemon that lets several processes use the device at the same time ---- */

/* Where it says that it is, as its clients look for it. */
static const char *mps_folder(void)
{
    const char *folder = getenv("CUDA_MPS_PIPE_DIRECTORY");
    return folder && *folder ? folder : "/tmp/nvidia-mps";
}

/* The daemon writes its number beside the pipe that it reads. */
static bool mps_answers(const char *folder)
{
    char path[PATH_MAX], text[32] = "", *end;
    struct stat there;
    (void)snprintf(path, sizeof(path), "%s/control", folder);
    if (stat(path, &there) < 0 || !(S_ISFIFO(there.st_mode) || S_ISSOCK(there.st_mode)))
        return false;
    (void)snprintf(path, sizeof(path), "%s/nvidia-cuda-mps-control.pid", folder);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    (void)fgets(text, sizeof(text), file); /* nothing there: not a number */
    (void)fclose(file);                    /* was only read */
    long long pid = strtoll(text, &end, 10);
    return end != text && pid > 0 && pid <= INT_MAX && (kill((pid_t)pid, 0) == 0 || errno == EPERM);
}

static int add_mps(struct cuda_view *view, struct error *err)
{
    const char *folder = mps_folder();
    if (!mps_answers(folder))
        return error_set(err, -ENODEV, "no-mps",
                         "MPS was asked for, and no nvidia-cuda-mps-control runs with its pipes in "
                         "%s; start one (nvidia-cuda-mps-control -d), name its folder to leatd in "
                         "CUDA_MPS_PIPE_DIRECTORY, or run the job without --mps",
                         folder);
    return add(view, folder, MPS_INSIDE, ENGINE_MOUNT_WRITABLE) < 0
               ? error_set(err, -ENOMEM, "out-of-memory", "showing MPS")
               : 0;
}

/* ---- variables ---- */

static int set_variable(struct cuda_view *view, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static int set_variable(struct cuda_view *view, const char *format, ...)
{
    size_t at = 0;
    va_list args;
    while (view->variables[at])
        at++;
    va_start(args, format);
    int r = vasprintf(&view->variables[at], format, args);
    va_end(args);
    if (r < 0)
        view->variables[at] = NULL;
    return r < 0 ? -ENOMEM : 0;
}

static int set_local(struct cuda_view *view, const struct device *device)
{
    char number[16];
    (void)snprintf(number, sizeof(number), "%u", device->index);
    int r = set_variable(view, "LD_LIBRARY_PATH=" INSIDE ":" DRIVER_INSIDE);
    if (r == 0)
        r = set_variable(view, "LEAT_CUDA_DRIVER=" DRIVER_INSIDE "/libcuda.so.1");
    if (r == 0)
        r = set_variable(view, "LEAT_NVML_DRIVER=" DRIVER_INSIDE "/libnvidia-ml.so.1");
    if (r == 0)
        r = set_variable(view, "CUDA_VISIBLE_DEVICES=%s", device->uuid ? device->uuid : number);
    return r;
}

/* A share of less than a percent is one. */
static int set_mps(struct cuda_view *view, uint32_t share_permille)
{
    uint32_t percent = share_permille >= 10 ? share_permille / 10 : 1;
    int r = set_variable(view, "CUDA_MPS_PIPE_DIRECTORY=" MPS_INSIDE);
    return r < 0 ? r : set_variable(view, "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE=%u", percent);
}

/* ---- views ---- */

static int make_local(struct cuda_view *view, const struct device *device, const char *listing,
                      struct error *err)
{
    int r = add_nodes(view, device);
    if (r == 0)
        r = set_local(view, device);
    if (r < 0)
        return error_set(err, r, "out-of-memory", "showing a CUDA device");
    r = add_own(view, NEEDED, err);
    return r < 0 ? r : add_driver(view, listing, err);
}

static int make_mps(struct cuda_view *view, const struct device *device,
                    const struct job_request *request, const char *listing, struct error *err)
{
    int r = add_mps(view, err);
    if (r == 0 && set_mps(view, request->share_permille) < 0)
        r = error_set(err, -ENOMEM, "out-of-memory", "showing MPS");
    return r < 0 ? r : make_local(view, device, listing, err);
}

static int make_remote(struct cuda_view *view, struct error *err)
{
    if (set_variable(view, "LD_LIBRARY_PATH=" INSIDE) < 0)
        return error_set(err, -ENOMEM, "out-of-memory", "showing a remote card");
    return add_own(view, 1, err);
}

int cuda_view_make(const struct device *device, const struct job_request *request,
                   const char *listing, struct cuda_view *ret_view, struct error *err)
{
    struct cuda_view view = {.mounts = calloc(MOUNTS_MAX, sizeof(*view.mounts)),
                             .variables = calloc(VARIABLES_MAX, sizeof(*view.variables))};
    enum job_interface interface = job_interface(request);
    int r = !view.mounts || !view.variables
                ? error_set(err, -ENOMEM, "out-of-memory", "showing a CUDA device")
            : interface == JOB_CUDA_REMOTE ? make_remote(&view, err)
            : interface == JOB_CUDA_MPS    ? make_mps(&view, device, request, listing, err)
                                           : make_local(&view, device, listing, err);
    if (r < 0) {
        cuda_view_finish(&view);
        return r;
    }
    *ret_view = view;
    return 0;
}
