/* Results of builds in a folder that outlives the session: what build_reply.h collects and the
 * device's binary, a file each. The file holds the whole key, so that two builds are never taken
 * for one another, and a checksum. Compiled code is executable: a folder belongs to one tenant.
 *
 * Sessions of one tenant share the folder without locks: a file appears whole, under its final
 * name. Calls block on the disk. */
#ifndef LEAT_CARD_EXECUTOR_BUILD_CACHE_H
#define LEAT_CARD_EXECUTOR_BUILD_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define BUILD_CACHE_MAX_BYTES (256ull << 20)     /* of one tenant */
#define BUILD_CACHE_FILE_MAX_BYTES (64ull << 20) /* larger results are not kept */

/* What a build depends on; borrowed. */
struct build_key {
    const char *device;  /* identity, with the driver's version */
    const char *options; /* as the program gave them */
    const char *kind;    /* of the text: "source", "binary" ... */
    const void *text;
    size_t text_length;
};

/* A result; the pointers lead into `file`, which the caller finishes. */
struct build_result {
    struct buf file;
    const char *reply;
    size_t reply_length;
    const unsigned char *binary;
    size_t binary_length;
};

/* 0 when the result depends on more than the key: a source that includes files. */
int build_cache_allows(const struct build_key *key);
/* 0, -ENOENT when there is none, another negative errno when it cannot be read or is damaged. The
 * result counts as used now. */
int build_cache_load(int folder_fd, const struct build_key *key, struct build_result *ret_result);
/* Keep a result and remove those unused for longest until the folder has `limit_bytes` at most. 0
 * or a negative errno; -EFBIG when the result is too large to be kept. */
int build_cache_store(int folder_fd, const struct build_key *key, const struct build_result *result,
                      uint64_t limit_bytes);

#endif
