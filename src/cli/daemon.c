/* The leatd of this machine as a process: see daemon.h. */
#include "cli/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/path.h"
#include "cli/verb.h"
#include "leat/client.h"

#define READY_TIMEOUT_MS 30000 /* opening devices and reconciling many jobs takes a while */
#define STOP_TIMEOUT_MS 30000
#define LOG_QUOTE_BYTES (64u << 10)
#define OPTIONS_MAX 32

extern char **environ;

static int socket_address(const char *path, struct sockaddr_un *ret_address, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path))
        return error_set(err, -ENAMETOOLONG, "bad-path",
                         "'%s' is too long for a socket (%zu characters at most)", path,
                         sizeof(address.sun_path) - 1);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    *ret_address = address;
    return 0;
}

int daemon_pid(struct cli *cli, pid_t *ret_pid, struct error *err)
{
    int r = cli_connect(cli, err);
    if (r < 0)
        return r;
    const char *path = leat_client_socket(cli->client);
    if (!path)
        return error_set(err, -EINVAL, "not-local", "%s is not on this machine",
                         leat_client_place(cli->client));
    struct sockaddr_un address;
    r = socket_address(path, &address, err);
    if (r < 0)
        return r;
    AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_errno(err, -errno, "no-socket", "making a socket");
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return error_set(err, -ECONNREFUSED, "leatd-unreachable", "no leatd answers at %s (%s)",
                         path, strerror(errno));
    struct ucred peer;
    socklen_t length = sizeof(peer);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
        return error_errno(err, -errno, "no-peer", "asking who listens on %s", path);
    *ret_pid = peer.pid;
    return 0;
}

/* argv for leatd, found beside this program. The strings are borrowed. */
struct command {
    char path[PATH_MAX];
    char *argv[OPTIONS_MAX + 2];
};

static int command_make(char *const *options, struct command *command, struct error *err)
{
    static const char *const places[] = {"../leatd/leatd",        "../sbin/leatd",   "leatd",
                                         "/usr/local/sbin/leatd", "/usr/sbin/leatd", NULL};
    int r = path_find_beside("leatd", places, command->path, err);
    size_t count = 0;
    command->argv[count++] = command->path;
    for (; *options && count <= OPTIONS_MAX; options++)
        command->argv[count++] = *options;
    command->argv[count] = NULL;
    return r;
}

int daemon_exec(char *const *options, struct error *err)
{
    struct command command;
    int r = command_make(options, &command, err);
    if (r < 0)
        return r;
    (void)execv(command.path, command.argv);
    return error_errno(err, -errno, "no-leatd", "starting %s", command.path);
}

/* A datagram socket that the child tells "READY=1", as services tell systemd. */
static int notify_open(char ret_name[sizeof(((struct sockaddr_un *)NULL)->sun_path)],
                       struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    AUTO_FD int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t length = sizeof(sa_family_t); /* the kernel picks a free abstract name */
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) < 0)
        return error_errno(err, -errno, "no-socket", "making the readiness socket");
    length = sizeof(address);
    if (getsockname(fd, (struct sockaddr *)&address, &length) < 0)
        return error_errno(err, -errno, "no-socket", "naming the readiness socket");
    size_t bytes = length - offsetof(struct sockaddr_un, sun_path);
    memcpy(ret_name, address.sun_path, bytes);
    ret_name[bytes] = '\0';
    ret_name[0] = '@'; /* how NOTIFY_SOCKET writes an abstract name */
    return take_fd(&fd);
}

static int command_spawn(const struct command *command, const char *log_path, pid_t *ret_pid,
                         struct error *err)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none;
    (void)sigemptyset(&none);
    int r = -posix_spawn_file_actions_init(&files);
    if (r < 0)
        return error_errno(err, r, "no-leatd", "preparing %s", command->path);
    r = -posix_spawnattr_init(&attributes);
    if (r == 0)
        r = -posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (r == 0)
        r = -posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, log_path,
                                              O_WRONLY | O_CREAT | O_APPEND, 0640);
    if (r == 0)
        r = -posix_spawn_file_actions_adddup2(&files, STDOUT_FILENO, STDERR_FILENO);
    if (r == 0)
        r = -posix_spawnattr_setsigmask(&attributes, &none);
    if (r == 0)
        r = -posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK);
    if (r == 0)
        r = -posix_spawn(ret_pid, command->path, &files, &attributes, command->argv, environ);
    (void)posix_spawnattr_destroy(&attributes); /* they hold nothing that can fail to go */
    (void)posix_spawn_file_actions_destroy(&files);
    return r < 0 ? error_errno(err, r, "no-leatd", "starting %s with its log in %s", command->path,
                               log_path)
                 : 0;
}

/* The last line of what the log got since it had `start` bytes. */
static void log_last_line(const char *log_path, off_t start, struct buf *ret_line)
{
    AUTO_FD int fd = open(log_path, O_RDONLY | O_CLOEXEC);
    AUTO_FREE char *text = calloc(1, LOG_QUOTE_BYTES + 1);
    off_t end = fd >= 0 ? lseek(fd, 0, SEEK_END) : 0;
    off_t from = end - start > LOG_QUOTE_BYTES ? end - LOG_QUOTE_BYTES : start;
    ssize_t length = text && end > from ? pread(fd, text, LOG_QUOTE_BYTES, from) : 0;
    while (length > 0 && text[length - 1] == '\n')
        text[--length] = '\0';
    if (length <= 0)
        return;
    const char *line = strrchr(text, '\n');
    (void)buf_puts(ret_line, line ? line + 1 : text);
}

static int daemon_left_early(pid_t pid, const char *log_path, off_t log_start, struct error *err)
{
    AUTO_BUF struct buf line = BUF_INIT;
    int status = 0;
    (void)waitpid(pid, &status, 0); /* its pidfd said that it has ended */
    log_last_line(log_path, log_start, &line);
    return error_set(err, -ECHILD, "leatd-failed", "leatd left with %s %d: %s",
                     WIFSIGNALED(status) ? "signal" : "status",
                     WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
                     line.data ? line.data : "it wrote nothing");
}

/* 1: ready; 0: it said something else. */
static int notify_read(int notify_fd)
{
    char text[512];
    ssize_t length = recv(notify_fd, text, sizeof(text) - 1, 0);
    text[length > 0 ? length : 0] = '\0';
    return strstr(text, "READY=1") != NULL;
}

static int daemon_await(pid_t pid, int notify_fd, const char *log_path, off_t log_start,
                        struct error *err)
{
    AUTO_FD int pidfd = pidfd_open(pid, 0);
    if (pidfd < 0)
        return error_errno(err, -errno, "no-leatd", "watching leatd (pid %d)", (int)pid);
    struct pollfd fds[] = {{.fd = notify_fd, .events = POLLIN}, {.fd = pidfd, .events = POLLIN}};
    uint64_t deadline_ns = clock_monotonic_ns() + READY_TIMEOUT_MS * NS_PER_MS;
    for (;;) {
        uint64_t now_ns = clock_monotonic_ns();
        int left_ms = now_ns < deadline_ns ? (int)((deadline_ns - now_ns) / NS_PER_MS) + 1 : 0;
        int r = poll(fds, 2, left_ms);
        if (r < 0 && errno != EINTR)
            return error_errno(err, -errno, "no-leatd", "waiting for leatd");
        if (r == 0)
            return error_set(err, -ETIMEDOUT, "leatd-slow",
                             "leatd (pid %d) is not ready after %d s; its log is %s", (int)pid,
                             READY_TIMEOUT_MS / 1000, log_path);
        if (fds[0].revents && notify_read(notify_fd))
            return 0;
        if (fds[1].revents)
            return daemon_left_early(pid, log_path, log_start, err);
    }
}

int daemon_start(char *const *options, const char *log_path, struct error *err)
{
    char notify_name[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
    struct command command;
    pid_t pid = -1;
    int r = command_make(options, &command, err);
    if (r < 0)
        return r;
    AUTO_FD int notify_fd = notify_open(notify_name, err);
    if (notify_fd < 0)
        return notify_fd;
    AUTO_FD int log_fd = open(log_path, O_RDONLY | O_CLOEXEC);
    off_t log_start = log_fd >= 0 ? lseek(log_fd, 0, SEEK_END) : 0;
    if (setenv("NOTIFY_SOCKET", notify_name, 1) < 0)
        return error_set(err, -ENOMEM, "out-of-memory", "starting leatd");
    r = command_spawn(&command, log_path, &pid, err);
    (void)unsetenv("NOTIFY_SOCKET"); /* a valid name: cannot fail */
    return r < 0 ? r : daemon_await(pid, notify_fd, log_path, log_start, err);
}

int daemon_stop(pid_t pid, struct error *err)
{
    AUTO_FD int pidfd = pidfd_open(pid, 0);
    if (pidfd < 0 && errno == ESRCH)
        return 0;
    if (pidfd < 0 || pidfd_send_signal(pidfd, SIGTERM, NULL, 0) < 0)
        return error_errno(err, -errno, "cannot-stop", "asking leatd (pid %d) to end", (int)pid);
    struct pollfd ended = {.fd = pidfd, .events = POLLIN};
    int r;
    do
        r = poll(&ended, 1, STOP_TIMEOUT_MS);
    while (r < 0 && errno == EINTR);
    if (r > 0)
        return 0;
    return error_set(err, -ETIMEDOUT, "leatd-slow", "leatd (pid %d) has not ended after %d s",
                     (int)pid, STOP_TIMEOUT_MS / 1000);
}
