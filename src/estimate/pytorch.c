/* PyTorch's archives: a ZIP without compression with NAME/data.pkl, which says what the tensors
 * are, and their storages in NAME/data/. The layout of ZIP is PKWARE's APPNOTE. */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "estimate/pickle.h"
#include "estimate/reader.h"

#define END_BYTES 22u /* of the end record, without its comment */
#define END_SIGNATURE 0x06054b50u
#define COMMENT_MAX_BYTES 65535u
#define LOCATOR_BYTES 20u
#define LOCATOR_SIGNATURE 0x07064b50u
#define END64_BYTES 56u
#define END64_SIGNATURE 0x06064b50u
#define ENTRY_BYTES 46u
#define ENTRY_SIGNATURE 0x02014b50u
#define LOCAL_BYTES 30u
#define LOCAL_SIGNATURE 0x04034b50u
#define WIDE 0xffffffffu /* the number is in the 64-bit fields */
#define EXTRA_WIDE 1u    /* their tag */
#define ENTRIES_MAX 1000000u

struct entry {
    uint64_t stored_bytes, size_bytes, local_at;
    bool stored; /* not compressed */
};

struct archive {
    const struct source *source;
    uint64_t directory_at, directory_bytes;
    struct entry pickle;
    bool has_pickle;
    uint64_t storage_bytes;
};

static uint64_t le(const uint8_t *bytes, unsigned size)
{
    uint64_t number = 0;
    for (unsigned i = 0; i < size; i++)
        number |= (uint64_t)bytes[i] << 8 * i;
    return number;
}

static int bytes_read(const struct source *source, uint64_t offset, void *data, size_t length)
{
    if (length > source->size_bytes || offset > source->size_bytes - length)
        return -EINVAL;
    return source->read_at(source->arg, offset, data, length);
}

/* The directory's place is in the 64-bit end record, which a locator before the end points at. */
static int end64_read(struct archive *archive, uint64_t end_at)
{
    uint8_t locator[LOCATOR_BYTES], end[END64_BYTES];
    if (end_at < LOCATOR_BYTES ||
        bytes_read(archive->source, end_at - LOCATOR_BYTES, locator, LOCATOR_BYTES) < 0 ||
        le(locator, 4) != LOCATOR_SIGNATURE ||
        bytes_read(archive->source, le(locator + 8, 8), end, END64_BYTES) < 0 ||
        le(end, 4) != END64_SIGNATURE)
        return -EINVAL;
    archive->directory_bytes = le(end + 40, 8);
    archive->directory_at = le(end + 48, 8);
    return 0;
}

static int end_read(struct archive *archive)
{
    uint64_t size = archive->source->size_bytes;
    size_t tail =
        size < END_BYTES + COMMENT_MAX_BYTES ? (size_t)size : END_BYTES + COMMENT_MAX_BYTES;
    AUTO_FREE uint8_t *bytes = malloc(tail + 1);
    if (!bytes)
        return -ENOMEM;
    int r = bytes_read(archive->source, size - tail, bytes, tail);
    if (r < 0 || tail < END_BYTES)
        return -EINVAL;
    for (size_t at = tail - END_BYTES + 1; at > 0; at--) {
        const uint8_t *end = bytes + at - 1;
        if (le(end, 4) != END_SIGNATURE)
            continue;
        archive->directory_bytes = le(end + 12, 4);
        archive->directory_at = le(end + 16, 4);
        if (archive->directory_at == WIDE || archive->directory_bytes == WIDE ||
            le(end + 10, 2) == UINT16_MAX)
            return end64_read(archive, size - tail + at - 1);
        return 0;
    }
    return -EINVAL;
}

/* Numbers that did not fit stand in the extra field, in their order. */
static int wide_read(const uint8_t *extra, size_t length, struct entry *entry)
{
    uint64_t *const wide[] = {&entry->size_bytes, &entry->stored_bytes, &entry->local_at};
    for (size_t at = 0; at + 4 <= length;) {
        size_t tag = (size_t)le(extra + at, 2), size = (size_t)le(extra + at + 2, 2), next = at + 4;
        if (size > length - next)
            return -EINVAL;
        for (size_t i = 0; tag == EXTRA_WIDE && i < 3; i++) {
            if (*wide[i] != WIDE)
                continue;
            if (next + 8 > at + 4 + size)
                return -EINVAL;
            *wide[i] = le(extra + next, 8);
            next += 8;
        }
        at += 4 + size;
    }
    return 0;
}

static bool ends_with(const char *name, const char *end)
{
    size_t length = strlen(name), tail = strlen(end);
    return length >= tail && strcmp(name + length - tail, end) == 0;
}

static int entry_take(struct archive *archive, const char *name, const struct entry *entry)
{
    if (ends_with(name, "/data.pkl")) {
        archive->pickle = *entry;
        archive->has_pickle = true;
    } else if (strstr(name, "/data/") &&
               __builtin_add_overflow(archive->storage_bytes, entry->size_bytes,
                                      &archive->storage_bytes)) {
        return -EINVAL;
    }
    return 0;
}

static int directory_read(struct archive *archive)
{
    uint64_t at = archive->directory_at, entries = 0, end;
    if (__builtin_add_overflow(at, archive->directory_bytes, &end))
        return -EINVAL;
    while (at < end) {
        uint8_t head[ENTRY_BYTES], extra[1024];
        char name[1024];
        if (++entries > ENTRIES_MAX || bytes_read(archive->source, at, head, ENTRY_BYTES) < 0 ||
            le(head, 4) != ENTRY_SIGNATURE)
            return -EINVAL;
        size_t name_length = (size_t)le(head + 28, 2), extra_length = (size_t)le(head + 30, 2);
        if (name_length >= sizeof(name) || extra_length > sizeof(extra) ||
            bytes_read(archive->source, at + ENTRY_BYTES, name, name_length) < 0 ||
            bytes_read(archive->source, at + ENTRY_BYTES + name_length, extra, extra_length) < 0)
            return -EINVAL;
        name[name_length] = '\0';
        struct entry entry = {.stored = le(head + 10, 2) == 0,
                              .stored_bytes = le(head + 20, 4),
                              .size_bytes = le(head + 24, 4),
                              .local_at = le(head + 42, 4)};
        if (wide_read(extra, extra_length, &entry) < 0 || entry_take(archive, name, &entry) < 0)
            return -EINVAL;
        at += ENTRY_BYTES + name_length + extra_length + le(head + 32, 2);
    }
    return 0;
}

static int pickle_read(const struct archive *archive, struct tally *tally)
{
    const struct entry *entry = &archive->pickle;
    uint8_t local[LOCAL_BYTES];
    if (!entry->stored || entry->size_bytes > PICKLE_LIMIT_BYTES ||
        bytes_read(archive->source, entry->local_at, local, LOCAL_BYTES) < 0 ||
        le(local, 4) != LOCAL_SIGNATURE)
        return -EINVAL;
    uint64_t at = entry->local_at + LOCAL_BYTES + le(local + 26, 2) + le(local + 28, 2);
    AUTO_FREE uint8_t *data = malloc((size_t)entry->size_bytes + 1);
    if (!data)
        return -ENOMEM;
    int r = bytes_read(archive->source, at, data, (size_t)entry->size_bytes);
    return r < 0 ? r : pickle_walk(data, (size_t)entry->size_bytes, tally);
}

int pytorch_read(const struct source *source, struct tally *tally, struct error *err)
{
    struct archive archive = {.source = source};
    struct tally found = *tally;
    int r = end_read(&archive);
    if (r == 0)
        r = directory_read(&archive);
    if (r == 0 && !archive.has_pickle)
        r = -EINVAL;
    if (r == 0)
        r = pickle_read(&archive, &found);
    /* It builds something unknown: what its storages take, as numbers of four bytes. */
    if (r == -ENOTSUP && archive.storage_bytes) {
        found = *tally;
        r = tally_add(&found, "", "fp32", archive.storage_bytes / 4, archive.storage_bytes);
    }
    if (r < 0)
        return error_errno(err, r, "bad-pytorch",
                           "not an archive of PyTorch 1.6 or later, damaged, or without tensors");
    *tally = found;
    return 0;
}
