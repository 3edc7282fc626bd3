/* The run folder of one leat-cardd: see rundir.h. */
#include "card/cardd/rundir.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/path.h"

static int address_of(const struct rundir *rundir, const char *name,
                      struct sockaddr_un *ret_address, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int length =
        snprintf(address.sun_path, sizeof(address.sun_path), "%.100s/%s", rundir->path, name);
    if (strlen(rundir->path) > 100 || length >= (int)sizeof(address.sun_path))
        return error_set(err, -ENAMETOOLONG, "bad-run-dir",
                         "the run folder's path is too long for a socket: '%.200s'", rundir->path);
    *ret_address = address;
    return 0;
}

static int control_answers(const struct rundir *rundir)
{
    struct sockaddr_un address;
    if (address_of(rundir, RUNDIR_CONTROL, &address, NULL) < 0)
        return 0;
    AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
}

/* In a folder of somebody else, that one could put another socket in our place. */
static int owner_check(const char *path, struct error *err)
{
    struct stat status;
    if (lstat(path, &status) < 0)
        return error_errno(err, -errno, "bad-run-dir", "cannot look at '%s'", path);
    if (!S_ISDIR(status.st_mode) || (geteuid() != 0 && status.st_uid != geteuid()))
        return error_set(err, -EPERM, "bad-run-dir",
                         "'%.200s' is not a folder of your own; choose another --run-dir", path);
    return 0;
}

static int lock_take(struct rundir *rundir, struct error *err)
{
    char path[PATH_MAX];
    int r = path_join(rundir->path, RUNDIR_LOCK, path, err);
    if (r < 0)
        return r;
    AUTO_FD int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_errno(err, -errno, "bad-run-dir", "cannot open '%s'", path);
    /* The lock of an instance that no longer answers comes free when that has left; one that
     * answers may be about to end with its keeper. */
    if (flock(fd, LOCK_EX | LOCK_NB) < 0 &&
        fd_lock_wait(fd, control_answers(rundir) ? RUNDIR_ANSWERING_S : RUNDIR_WAIT_S) < 0)
        return error_set(err, -EEXIST, "already-running",
                         "another leat-cardd serves '%.200s'; stop it, or choose another --run-dir",
                         rundir->path);
    rundir->lock_fd = take_fd(&fd);
    return 0;
}

static int socket_bind(const struct rundir *rundir, const char *name, mode_t mode, int *ret_fd,
                       struct error *err)
{
    struct sockaddr_un address;
    int r = address_of(rundir, name, &address, err);
    if (r < 0)
        return r;
    AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_errno(err, -errno, "bad-run-dir", "cannot make a socket");
    (void)unlink(address.sun_path); /* of a dead instance: we hold the lock */
    mode_t before = umask(0777 & ~mode);
    r = bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
    (void)umask(before);
    /* Who connects while the devices are still being listed waits for the answer. */
    if (r == 0 && listen(fd, SOMAXCONN) < 0)
        r = -errno;
    if (r < 0)
        return error_errno(err, r, "bad-run-dir", "cannot listen on '%s'", address.sun_path);
    *ret_fd = take_fd(&fd);
    return 0;
}

int rundir_open(const char *path, struct rundir *ret_rundir, struct error *err)
{
    struct rundir rundir = {.lock_fd = -1, .control_fd = -1, .session_fd = -1};
    char folder[PATH_MAX];
    int r = path_run_dir(path, rundir.path, err);
    if (r == 0)
        r = path_join(rundir.path, RUNDIR_SESSION_DIR, folder, err);
    if (r == 0)
        r = dir_make(folder, 0755, err);
    if (r == 0)
        r = owner_check(rundir.path, err);
    if (r == 0)
        r = lock_take(&rundir, err);
    if (r == 0)
        r = socket_bind(&rundir, RUNDIR_CONTROL, 0600, &rundir.control_fd, err);
    if (r == 0)
        r = socket_bind(&rundir, RUNDIR_SESSION, 0666, &rundir.session_fd, err);
    if (r < 0) {
        rundir_close(&rundir);
        return r;
    }
    *ret_rundir = rundir;
    return 0;
}

void rundir_close(struct rundir *rundir)
{
    char path[PATH_MAX];
    if (rundir->lock_fd < 0)
        return;
    if (path_join(rundir->path, RUNDIR_CONTROL, path, NULL) == 0)
        (void)unlink(path); /* may not be there yet */
    if (path_join(rundir->path, RUNDIR_SESSION, path, NULL) == 0)
        (void)unlink(path);
    cleanup_fd(&rundir->control_fd);
    cleanup_fd(&rundir->session_fd);
    cleanup_fd(&rundir->lock_fd);
    rundir->lock_fd = rundir->control_fd = rundir->session_fd = -1;
}
