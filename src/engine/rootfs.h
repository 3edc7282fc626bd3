/* An unpacked root, made fit to be a container's: places to mount on, no device nodes. All calls
 * may block and touch no state: fit for the pool. The root's own links are resolved in it. */
#ifndef LEAT_ENGINE_ROOTFS_H
#define LEAT_ENGINE_ROOTFS_H

#include <stdint.h>

struct error;

int rootfs_finish(const char *path, uint64_t *ret_size_bytes, struct error *err);

#endif
