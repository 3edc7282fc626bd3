/* The host's side of being a daemon: see host.h. */
#include "leatd/host.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/units.h"

#define DEAD_WAIT_S 10 /* for what a killed leatd had just started */

static bool is_dead(const char *pid)
{
    uint64_t number = 0;
    return u64_parse(pid, &number, NULL) == 0 && number && number <= INT32_MAX &&
           kill((pid_t)number, 0) < 0 && errno == ESRCH;
}

int host_lock(const char *folder, const char *name, struct error *err)
{
    char path[PATH_MAX], pid[32] = "";
    if (dir_make(folder, 0711, err) < 0 || path_join(folder, name, path, err) < 0)
        return err->errnum;
    AUTO_FD int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return error_errno(err, -errno, "cannot-lock", "cannot open '%s'", path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK)
            return error_errno(err, -errno, "cannot-lock", "cannot lock '%s'", path);
        ssize_t n = read(fd, pid, sizeof(pid) - 1);
        pid[n > 0 ? strcspn(pid, "\n") : 0] = '\0';
        /* Of one that was killed, a child may hold the lock until it has become another program. */
        if (!is_dead(pid) || fd_lock_wait(fd, DEAD_WAIT_S) < 0)
            return error_set(err, -EBUSY, "already-running", "leatd (pid %s) already uses '%s'",
                             pid[0] ? pid : "?", folder);
    }
    int length = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)length, 0) != length)
        return error_errno(err, -errno, "cannot-lock", "cannot write '%s'", path);
    return take_fd(&fd);
}

void host_manager_take(char ret_manager[HOST_MANAGER_MAX])
{
    const char *path = getenv("NOTIFY_SOCKET");
    size_t length = path ? strlen(path) : 0;
    bool usable = length >= 2 && length < HOST_MANAGER_MAX && strchr("/@", path[0]);
    (void)snprintf(ret_manager, HOST_MANAGER_MAX, "%s", usable ? path : "");
    (void)unsetenv("NOTIFY_SOCKET"); /* a valid name: cannot fail */
}

void host_notify(const char *manager, const char *state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(manager);
    if (length == 0)
        return;
    memcpy(address.sun_path, manager, length);
    if (manager[0] == '@')
        address.sun_path[0] = '\0'; /* the abstract name space */
    AUTO_FD int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address,
                     (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
                                 length)); /* a manager that is gone does not stop us */
}
