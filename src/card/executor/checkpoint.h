/* The file of a checkpoint: what the buffers and images of a card's programs hold, and of each
 * session its state as an object without a number. Several executors append to one file at once;
 * leat-cardd writes its head and, when all have ended well, its end.
 *
 *   head      magic, version, checksum
 *   parts     of at most CHECKPOINT_PART_MAX bytes, in any order: whose, where, checksums, contents
 *   end       magic, number of parts, checksum
 *
 * Numbers are little-endian, as the machines are that Leat runs on. Checksums are against
 * accidents: who can write the file may write what he likes. Reading believes nothing. */
#ifndef LEAT_CARD_EXECUTOR_CHECKPOINT_H
#define LEAT_CARD_EXECUTOR_CHECKPOINT_H

#include <stddef.h>
#include <stdint.h>

#include "card/executor/executor.h"

struct error;

#define CHECKPOINT_VERSION 1u
#define CHECKPOINT_PART_MAX (4u << 20)

/* Some bytes of one object. */
struct checkpoint_part {
    uint8_t session[EXECUTOR_ID_BYTES];
    uint64_t serial; /* of the object in its session: never used twice; 0: the session's state */
    uint64_t object_bytes, offset_bytes, bytes;
};

/* FNV-1a by words of eight bytes: against accidents. */
uint64_t checkpoint_checksum(const void *data, size_t length);

/* All calls: 0 or a negative errno with err set. */
int checkpoint_begin(int fd, struct error *err);
/* `fd` must be open for appending: a part is one write. */
int checkpoint_append(int fd, const struct checkpoint_part *part, const void *contents,
                      struct error *err);
int checkpoint_end(int fd, uint64_t parts, struct error *err);

/* Exactly `length` bytes of a checkpoint that comes from elsewhere: 0 or a negative errno;
 * -ECONNRESET: there are no more. */
typedef int checkpoint_pull(void *arg, void *data, size_t length);
/* Pull a checkpoint up to its end, and write it to `fd` as it comes. What it says is left to who
 * reads it there; when that one takes no more, which is no error, the rest is pulled in vain. */
int checkpoint_pass(int fd, checkpoint_pull *pull, void *arg, struct error *err);

typedef void checkpoint_visit(void *arg, const struct checkpoint_part *part, const void *contents);

/* Check the whole file, then visit each part (`visit` NULL: only check). -EPROTO with "not-a-
 * checkpoint", "checkpoint-version", "checkpoint-truncated" or "checkpoint-corrupt": nothing was
 * visited. The position of `fd` plays no part. */
int checkpoint_read(int fd, checkpoint_visit *visit, void *arg, struct error *err);
/* Visit each part as it comes; nothing is kept. The same errors, but parts may have been visited
 * before one. */
int checkpoint_follow(checkpoint_pull *pull, void *pull_arg, checkpoint_visit *visit, void *arg,
                      struct error *err);

#endif
