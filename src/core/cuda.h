/* What a container sees of a CUDA device: Leat's libcuda.so.1 and libnvidia-ml.so.1 where its
 * loader looks first, this machine's driver read-only behind them, and the device's nodes. Of a
 * remote card, only Leat's libcuda.so.1. */
#ifndef LEAT_CORE_CUDA_H
#define LEAT_CORE_CUDA_H

#include <stdbool.h>
#include <stddef.h>

struct device;
struct engine_mount;
struct error;
struct job_request;

/* The member `kind` of a device of leat-cardd. */
bool cuda_is_device(const struct device *device);

/* All that it points to lives as long as it does. */
struct cuda_view {
    struct engine_mount *mounts;
    size_t mounts_count;
    char **variables; /* NULL-ended NAME=VALUE */
};

/* The view of one device for a job of CUDA; `listing` is that of cuda_list.h, or NULL. -ENOENT when
 * a library is missing, -ENODEV "no-mps", -ENOMEM. */
int cuda_view_make(const struct device *device, const struct job_request *request,
                   const char *listing, struct cuda_view *ret_view, struct error *err);
void cuda_view_finish(struct cuda_view *view);

#endif
