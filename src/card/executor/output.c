/* Standard output caught in memory, and handed out in pieces: see output.h. */
#include "card/executor/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "card/executor/session.h"

int output_capture(struct error *err)
{
    AUTO_FD int fd = memfd_create("leat-output", MFD_CLOEXEC);
    if (fd < 0 || fcntl(fd, F_SETFL, O_APPEND) < 0 || dup2(fd, STDOUT_FILENO) < 0)
        return error_errno(err, -errno, "no-output", "cannot catch what kernels print");
    (void)setvbuf(stdout, NULL, _IONBF, 0); /* nothing stays behind in this process */
    return 0;
}

uint64_t output_left(const struct session *session)
{
    struct stat file;
    if (!session->output_caught || fstat(STDOUT_FILENO, &file) < 0 ||
        file.st_size < session->output_taken)
        return 0;
    return (uint64_t)(file.st_size - session->output_taken);
}

void output_save(const struct session *session, uint64_t bytes, struct buf *state)
{
    if (bytes == 0 || buf_reserve(state, bytes) < 0)
        return; /* `state` knows */
    /* A memory file has what it says. */
    if (pread(STDOUT_FILENO, state->data + state->length, bytes, session->output_taken) !=
        (ssize_t)bytes) {
        state->failed = -EIO;
        return;
    }
    state->length += bytes;
    state->data[state->length] = '\0';
}

/* What was handed over needs no memory any more; the file's length stays as it is, for others
 * append to it meanwhile. */
static void drop_pages(off_t taken)
{
    (void)fallocate(STDOUT_FILENO, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                    taken); /* without it, memory is all that is lost */
}

void output_forget(struct session *session)
{
    session->output_taken += (int64_t)output_left(session);
    drop_pages(session->output_taken);
}

int output_load(const struct session *session, const void *data, size_t bytes)
{
    return session->output_caught ? fd_write_all(STDOUT_FILENO, data, bytes) : 0;
}

int handle_output_read(struct session *session, const struct wire_header *header,
                       struct reply *reply, struct error *err)
{
    const struct wire_output_read *record = (const void *)header;
    struct stat file;
    if (slab_check(record->reply_offset, record->reply_room, err) < 0)
        return -EPROTO;
    if (!session->output_caught)
        return 0;
    ssize_t got = pread(STDOUT_FILENO, session->slab + record->reply_offset, record->reply_room,
                        session->output_taken);
    if (got <= 0 || fstat(STDOUT_FILENO, &file) < 0)
        return 0;
    session->output_taken += got;
    drop_pages(session->output_taken);
    reply->length = (uint64_t)got;
    reply->value = (uint64_t)(file.st_size - session->output_taken);
    return 0;
}
