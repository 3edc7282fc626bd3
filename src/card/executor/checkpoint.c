/* The file of a checkpoint: see checkpoint.h. */
#include "card/executor/checkpoint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"

static const char head_magic[8] = "LEATCKPT", part_magic[8] = "LEATPART", end_magic[8] = "LEATDONE";

/* Checksums are of the struct with its checksum 0. */
struct head {
    char magic[8];
    uint32_t version, zero;
    uint64_t checksum;
};

struct part_head {
    char magic[8];
    struct checkpoint_part part;
    uint64_t contents_checksum, checksum;
};

struct end {
    char magic[8];
    uint64_t parts, checksum;
};

uint64_t checkpoint_checksum(const void *data, size_t length)
{
    const uint8_t *bytes = data;
    uint64_t hash = 14695981039346656037u ^ length;
    while (length) {
        uint64_t word = 0;
        size_t now = length < sizeof(word) ? length : sizeof(word);
        memcpy(&word, bytes, now);
        hash = (hash ^ word) * 1099511628211u;
        hash ^= hash >> 29; /* else the upper bytes of a word never reach the lower bits */
        bytes += now;
        length -= now;
    }
    return hash;
}

#define SEAL(thing) \
    ((thing).checksum = 0, (thing).checksum = checkpoint_checksum(&(thing), sizeof(thing)))

#define CHECKED(thing) \
    __extension__({ \
        __typeof__(thing) copy_ = (thing); \
        SEAL(copy_); \
        copy_.checksum == (thing).checksum; \
    })

/* A short write is one that found no room. */
static int put(int fd, struct iovec *parts, int count, struct error *err)
{
    size_t wanted = 0;
    for (int i = 0; i < count; i++)
        wanted += parts[i].iov_len;
    ssize_t written = writev(fd, parts, count);
    if (written == (ssize_t)wanted)
        return 0;
    return error_errno(err, written < 0 ? -errno : -ENOSPC, "checkpoint-failed",
                       "cannot write the checkpoint");
}

int checkpoint_begin(int fd, struct error *err)
{
    struct head head = {.version = CHECKPOINT_VERSION};
    memcpy(head.magic, head_magic, sizeof(head.magic));
    SEAL(head);
    struct iovec part = {&head, sizeof(head)};
    return put(fd, &part, 1, err);
}

int checkpoint_append(int fd, const struct checkpoint_part *part, const void *contents,
                      struct error *err)
{
    struct part_head head = {.part = *part,
                             .contents_checksum = checkpoint_checksum(contents, part->bytes)};
    memcpy(head.magic, part_magic, sizeof(head.magic));
    SEAL(head);
    struct iovec parts[] = {{&head, sizeof(head)}, {(void *)(uintptr_t)contents, part->bytes}};
    return put(fd, parts, 2, err);
}

int checkpoint_end(int fd, uint64_t parts, struct error *err)
{
    struct end end = {.parts = parts};
    memcpy(end.magic, end_magic, sizeof(end.magic));
    SEAL(end);
    struct iovec part = {&end, sizeof(end)};
    return put(fd, &part, 1, err);
}

/* What has come on its way. */
struct passing {
    checkpoint_pull *pull;
    void *arg;
    int fd;
    int refused; /* it takes no more */
};

/* Pull `length` bytes to `data` and pass them on, as long as they are taken. */
static int pass_on(struct passing *passing, void *data, size_t length, struct error *err)
{
    struct iovec part = {data, length};
    int r = passing->pull(passing->arg, data, length);
    if (r < 0)
        return error_errno(err, r, "checkpoint-truncated", "the checkpoint has not come whole");
    if (!passing->refused)
        passing->refused = put(passing->fd, &part, 1, NULL) < 0;
    return 0;
}

int checkpoint_pass(int fd, checkpoint_pull *pull, void *arg, struct error *err)
{
    struct passing passing = {pull, arg, fd, 0};
    AUTO_FREE uint8_t *contents = malloc(CHECKPOINT_PART_MAX);
    struct part_head head;
    const size_t rest = sizeof(head) - sizeof(head.magic);
    if (!contents)
        return error_set(err, -ENOMEM, "out-of-memory", "passing a checkpoint on");
    int r = pass_on(&passing, contents, sizeof(struct head), err);
    while (r == 0) {
        r = pass_on(&passing, head.magic, sizeof(head.magic), err);
        if (r == 0 && memcmp(head.magic, end_magic, sizeof(head.magic)) == 0)
            break;
        if (r == 0)
            r = pass_on(&passing, (uint8_t *)&head + sizeof(head.magic), rest, err);
        if (r == 0 && head.part.bytes > CHECKPOINT_PART_MAX)
            r = error_set(err, -EPROTO, "checkpoint-corrupt", "a part is too long");
        if (r == 0)
            r = pass_on(&passing, contents, head.part.bytes, err);
    }
    return r == 0 ? pass_on(&passing, contents, sizeof(struct end) - sizeof(head.magic), err) : r;
}

struct reader {
    checkpoint_pull *pull;
    void *arg;
    uint64_t at;
    uint8_t *contents; /* room for the longest part */
};

static int corrupt(const struct reader *reader, struct error *err)
{
    return error_set(err, -EPROTO, "checkpoint-corrupt",
                     "the checkpoint is damaged near its byte %llu",
                     (unsigned long long)reader->at);
}

static int get(struct reader *reader, void *data, size_t length, struct error *err)
{
    int r = reader->pull(reader->arg, data, length);
    reader->at += r == 0 ? length : 0;
    if (r == 0)
        return 0;
    if (r == -ECONNRESET)
        return error_set(err, -EPROTO, "checkpoint-truncated", "the checkpoint ends too early");
    return error_errno(err, r, "checkpoint-failed", "cannot read the checkpoint");
}

static int head_read(struct reader *reader, struct error *err)
{
    struct head head = {0};
    if (get(reader, &head, sizeof(head), NULL) < 0 ||
        memcmp(head.magic, head_magic, sizeof(head.magic)) != 0)
        return error_set(err, -EPROTO, "not-a-checkpoint", "this is no checkpoint of a card");
    if (head.version != CHECKPOINT_VERSION)
        return error_set(err, -EPROTO, "checkpoint-version",
                         "the checkpoint has version %u; this Leat reads version %u", head.version,
                         CHECKPOINT_VERSION);
    return CHECKED(head) ? 0 : corrupt(reader, err);
}

static int part_is_sane(const struct checkpoint_part *part)
{
    return part->bytes > 0 && part->bytes <= CHECKPOINT_PART_MAX &&
           part->object_bytes >= part->bytes &&
           part->offset_bytes <= part->object_bytes - part->bytes;
}

/* After its magic. */
static int part_read(struct reader *reader, struct part_head *head, struct error *err)
{
    int r = get(reader, (uint8_t *)head + sizeof(head->magic), sizeof(*head) - sizeof(head->magic),
                err);
    if (r < 0)
        return r;
    if (!CHECKED(*head) || !part_is_sane(&head->part))
        return corrupt(reader, err);
    r = get(reader, reader->contents, head->part.bytes, err);
    if (r == 0 &&
        checkpoint_checksum(reader->contents, head->part.bytes) != head->contents_checksum)
        r = corrupt(reader, err);
    return r;
}

/* One pass over all parts up to the end. */
static int parts_read(struct reader *reader, checkpoint_visit *visit, void *arg, struct error *err)
{
    for (uint64_t count = 0;; count++) {
        struct part_head head;
        int r = get(reader, head.magic, sizeof(head.magic), err);
        if (r < 0)
            return r;
        if (memcmp(head.magic, end_magic, sizeof(head.magic)) == 0) {
            struct end end;
            memcpy(end.magic, head.magic, sizeof(end.magic));
            r = get(reader, (uint8_t *)&end + sizeof(end.magic), sizeof(end) - sizeof(end.magic),
                    err);
            return r < 0 ? r : CHECKED(end) && end.parts == count ? 0 : corrupt(reader, err);
        }
        if (memcmp(head.magic, part_magic, sizeof(head.magic)) != 0)
            return corrupt(reader, err);
        r = part_read(reader, &head, err);
        if (r < 0)
            return r;
        if (visit)
            visit(arg, &head.part, reader->contents);
    }
}

int checkpoint_follow(checkpoint_pull *pull, void *pull_arg, checkpoint_visit *visit, void *arg,
                      struct error *err)
{
    AUTO_FREE uint8_t *contents = malloc(CHECKPOINT_PART_MAX);
    struct reader reader = {.pull = pull, .arg = pull_arg, .contents = contents};
    if (!contents)
        return error_set(err, -ENOMEM, "out-of-memory", "reading a checkpoint");
    int r = head_read(&reader, err);
    return r == 0 ? parts_read(&reader, visit, arg, err) : r;
}

/* Where a file is read, whose position plays no part. */
struct place {
    int fd;
    off_t at;
};

/* A file that was cut while it is read ends, too. */
static int pull_from_file(void *arg, void *data, size_t length)
{
    struct place *place = arg;
    char *to = data;
    while (length) {
        ssize_t got = pread(place->fd, to, length, place->at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? -errno : -ECONNRESET;
        to += got;
        place->at += got;
        length -= (size_t)got;
    }
    return 0;
}

int checkpoint_read(int fd, checkpoint_visit *visit, void *arg, struct error *err)
{
    struct stat status;
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return error_set(err, -EPROTO, "not-a-checkpoint", "a checkpoint is a file");
    for (int pass = 0; pass < 2; pass++) {
        struct place place = {fd, 0};
        int r = checkpoint_follow(pull_from_file, &place, pass ? visit : NULL, arg, err);
        if (r == 0 && place.at != status.st_size)
            r = error_set(err, -EPROTO, "checkpoint-corrupt", "more follows the checkpoint's end");
        if (r < 0 || !visit)
            return r;
    }
    return 0;
}
