/* Contents in a file: see spill.h. */
#include "card/executor/spill.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "card/executor/checkpoint.h"
#include "card/executor/session.h"

void spill_begin(struct session *session, uint64_t most_bytes)
{
    session->spill.left_bytes = most_bytes;
}

static int open_once(struct session *session)
{
    struct spill *spill = &session->spill;
    if (!spill->is_open && session->params.cache_dir) {
        spill->fd = open(session->params.cache_dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        spill->is_open = spill->fd >= 0;
    }
    return spill->is_open ? 0 : -ENOENT;
}

static int write_at(int fd, const uint8_t *data, uint64_t length, uint64_t at)
{
    while (length) {
        ssize_t written = pwrite(fd, data, length, (off_t)at);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return -EIO;
        data += written;
        at += (uint64_t)written;
        length -= (uint64_t)written;
    }
    return 0;
}

static int read_at(int fd, uint8_t *data, uint64_t length, uint64_t at)
{
    while (length) {
        ssize_t got = pread(fd, data, length, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return -EIO;
        data += got;
        at += (uint64_t)got;
        length -= (uint64_t)got;
    }
    return 0;
}

void spill_out(struct session *session, struct object *object)
{
    struct spill *spill = &session->spill;
    uint64_t bytes = object->size_bytes;
    if (!object->is_buffer || !object->extra)
        return;
    if (bytes <= spill->left_bytes) {
        spill->left_bytes -= bytes;
        return;
    }
    if (open_once(session) < 0 || write_at(spill->fd, object->extra, bytes, spill->end_bytes) < 0)
        return;
    object->spilled = 1;
    object->spilled_at_bytes = spill->end_bytes;
    object->spilled_checksum = checkpoint_checksum(object->extra, bytes);
    spill->end_bytes += bytes;
    free(object->extra);
    object->extra = NULL;
}

int spill_in(struct session *session, struct object *object)
{
    if (!object->spilled)
        return 0;
    AUTO_FREE uint8_t *contents = malloc(object->size_bytes);
    if (!contents)
        return -ENOMEM;
    if (read_at(session->spill.fd, contents, object->size_bytes, object->spilled_at_bytes) < 0 ||
        checkpoint_checksum(contents, object->size_bytes) != object->spilled_checksum)
        return -EIO;
    object->spilled = 0;
    object->extra = TAKE(contents);
    return 0;
}

void spill_end(struct session *session)
{
    if (session->spill.is_open)
        (void)ftruncate(session->spill.fd, 0); /* else its room comes free with the session */
    session->spill.end_bytes = 0;
}
