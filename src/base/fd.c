/* Files and descriptors: see fd.h. */
#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"

#define HURRY_US 1000
#define DIR_DEPTH_MAX 256 /* deeper trees are refused, not recursed into */

int file_read(int dir_fd, const char *path, size_t limit_bytes, struct buf *ret_data,
              struct error *err)
{
    AUTO_FD int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, -errno, "cannot-read", "cannot open '%s'", path);
    AUTO_BUF struct buf data = BUF_INIT;
    for (;;) {
        if (buf_reserve(&data, 8192) < 0)
            return error_set(err, -ENOMEM, "out-of-memory", "reading '%s'", path);
        ssize_t n = read(fd, data.data + data.length, 8192);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(err, -errno, "cannot-read", "cannot read '%s'", path);
        if (n == 0)
            break;
        data.length += (size_t)n;
        data.data[data.length] = '\0';
        if (data.length > limit_bytes)
            return error_set(err, -EFBIG, "too-large", "'%s' is larger than %zu bytes", path,
                             limit_bytes);
    }
    buf_finish(ret_data);
    *ret_data = data;
    data = (struct buf)BUF_INIT;
    return 0;
}

int fd_write_all(int fd, const void *data, size_t length)
{
    const char *next = data;
    while (length) {
        ssize_t n = write(fd, next, length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        next += n;
        length -= (size_t)n;
    }
    return 0;
}

static int folder_sync(int dir_fd, const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    (void)snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path) + 1 : 1,
                   slash ? path : ".");
    AUTO_FD int fd = openat(dir_fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return -errno;
    return 0;
}

int file_write_atomic(int dir_fd, const char *path, const void *data, size_t length, mode_t mode,
                      struct error *err)
{
    char beside[PATH_MAX];
    if (snprintf(beside, sizeof(beside), "%s.new-%d", path, (int)getpid()) >= (int)sizeof(beside))
        return error_set(err, -ENAMETOOLONG, "cannot-write", "path too long: '%s'", path);
    AUTO_FD int fd = openat(dir_fd, beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (fd < 0)
        return error_errno(err, -errno, "cannot-write", "cannot create '%s'", beside);
    int r = fd_write_all(fd, data, length);
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    if (r == 0 && renameat(dir_fd, beside, dir_fd, path) < 0)
        r = -errno;
    if (r == 0)
        r = folder_sync(dir_fd, path);
    if (r < 0) {
        (void)unlinkat(dir_fd, beside, 0); /* may be gone already */
        return error_errno(err, r, "cannot-write", "cannot write '%s'", path);
    }
    return 0;
}

int file_put(int dir_fd, const char *path, const char *text)
{
    AUTO_FD int fd = openat(dir_fd, path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    size_t length = strlen(text);
    ssize_t n = write(fd, text, length);
    if (n < 0)
        return -errno;
    return (size_t)n == length ? 0 : -EIO;
}

static void alarm_rang(int number)
{
}

int fd_lock_wait(int fd, unsigned seconds)
{
    struct sigaction rings = {.sa_handler = alarm_rang}, before;
    if (sigaction(SIGALRM, &rings, &before) < 0)
        return -errno;
    (void)alarm(seconds); /* flock has no timeout, but a signal interrupts it */
    int r = flock(fd, LOCK_EX) < 0 ? -errno : 0;
    (void)alarm(0);
    (void)sigaction(SIGALRM, &before, NULL); /* cannot fail: it was there before */
    return r;
}

/* The signal comes again and again, for the first may come just before the call that waits. */
static void ring_every(suseconds_t us)
{
    const struct itimerval timer = {{.tv_usec = us}, {.tv_usec = us}};
    (void)setitimer(ITIMER_REAL, &timer, NULL); /* fails only on wrong arguments */
}

void fd_hurry_begin(void)
{
    const struct sigaction rings = {.sa_handler = alarm_rang};
    (void)sigaction(SIGALRM, &rings, NULL); /* stays, for the last signal may come late */
    ring_every(HURRY_US);
}

void fd_hurry_end(void)
{
    ring_every(0);
}

void fd_drop(int *fd)
{
    if (*fd < 0)
        return;
    fd_hurry_begin();
    cleanup_fd(fd);
    fd_hurry_end();
}

int dir_make(const char *path, mode_t mode, struct error *err)
{
    char part[PATH_MAX];
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof(part))
        return error_set(err, -EINVAL, "bad-path", "cannot make the folder '%s'", path);
    memcpy(part, path, length + 1);
    for (char *c = part + 1; *c; c++) {
        if (*c != '/')
            continue;
        *c = '\0';
        if (mkdir(part, mode) < 0 && errno != EEXIST)
            return error_errno(err, -errno, "cannot-write", "cannot make the folder '%s'", part);
        *c = '/';
    }
    if (mkdir(part, mode) < 0 && errno != EEXIST)
        return error_errno(err, -errno, "cannot-write", "cannot make the folder '%s'", part);
    return 0;
}

/* Open a folder to be emptied: never through a link, never on another file system than its parent's
 * (`device`; 0 for the top). */
static int folder_open(int dir_fd, const char *name, dev_t device, DIR **ret_folder,
                       struct stat *ret_status)
{
    AUTO_FD int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, ret_status) < 0)
        return -errno;
    if (device && ret_status->st_dev != device)
        return -EXDEV;
    *ret_folder = fdopendir(fd);
    if (!*ret_folder)
        return -ENOMEM;
    (void)take_fd(&fd); /* the folder owns it now */
    return 0;
}

static int tree_remove(int dir_fd, const char *name, dev_t device, unsigned depth)
{
    if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -errno;
    if (depth == DIR_DEPTH_MAX)
        return -ELOOP;
    DIR *folder = NULL;
    struct stat status = {0};
    int r = folder_open(dir_fd, name, device, &folder, &status);
    if (r < 0)
        return r;
    for (struct dirent *entry; r == 0 && (entry = readdir(folder));) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            r = tree_remove(dirfd(folder), entry->d_name, status.st_dev, depth + 1);
    }
    (void)closedir(folder);
    if (r == 0 && unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        r = -errno;
    return r;
}

int dir_remove_tree(int dir_fd, const char *path, struct error *err)
{
    int r = tree_remove(dir_fd, path, 0, 0);
    if (r < 0)
        return error_errno(err, r, "cannot-remove", "cannot remove '%s'", path);
    return 0;
}
