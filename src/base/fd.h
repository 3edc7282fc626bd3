/* Files and descriptors: close-on-exec from birth, whole reads with a limit, atomic replacement. */
#ifndef LEAT_BASE_FD_H
#define LEAT_BASE_FD_H

#include <stddef.h>
#include <sys/types.h>

#include "base/buf.h"

struct error;

/* Read a whole file relative to `dir_fd` (AT_FDCWD for the working directory). More than
 * `limit_bytes` is refused with -EFBIG. */
int file_read(int dir_fd, const char *path, size_t limit_bytes, struct buf *ret_data,
              struct error *err);
/* Write beside and rename over, with fsync of file and folder: after a crash the old or the new
 * content is there, never a mix. */
int file_write_atomic(int dir_fd, const char *path, const void *data, size_t length, mode_t mode,
                      struct error *err);
/* One write(2) to an existing file, as cgroup and proc files want it. Returns 0 or -errno. */
int file_put(int dir_fd, const char *path, const char *text);

/* flock(2) exclusively, waiting for it as long as `seconds`; -EINTR: nobody gave it up. Takes the
 * alarm clock of the process meanwhile. */
int fd_lock_wait(int fd, unsigned seconds);
/* A stranger's descriptor may hold up whoever lets go of it last: a TCP socket with SO_LINGER waits
 * for its peer, in close(2) and wherever a message is dropped in which it lay. Between these two no
 * such wait is longer than a moment, and other calls may be interrupted. Takes the process's timer.
 */
void fd_hurry_begin(void);
void fd_hurry_end(void);
/* Close what a stranger has sent, or sends over, without waiting; -1: nothing. */
void fd_drop(int *fd);
int fd_write_all(int fd, const void *data, size_t length); /* 0 or -errno; retries EINTR */
/* mkdir -p with `mode` for what is made. */
int dir_make(const char *path, mode_t mode, struct error *err);
/* Remove a tree without following links or crossing into other file systems. Missing: fine. */
int dir_remove_tree(int dir_fd, const char *path, struct error *err);

#endif
