/* Callers and their processes: see hub.h. */
#include "card/relay/hub.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"

#define LISTENERS_MAX 4

int hub_listen(const char *path, unsigned mode, int *ret_fd, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (snprintf(address.sun_path, sizeof(address.sun_path), "%s", path) >=
        (int)sizeof(address.sun_path))
        return error_set(err, -ENAMETOOLONG, "bad-run-dir", "'%.200s' is too long for a socket",
                         path);
    AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        chmod(path, mode) < 0 || listen(fd, SOMAXCONN) < 0)
        return error_errno(err, -errno, "listen-failed", "cannot listen on '%.200s'", path);
    *ret_fd = take_fd(&fd);
    return 0;
}

static _Noreturn void become(const struct hub_listener *listener, int fd, pid_t parent)
{
    struct error err = {0};
    sigset_t none;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* cannot fail for a valid signal */
    if (getppid() != parent)
        _exit(EXIT_FAILURE);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL); /* fails only on wrong arguments */
    int r = listener->serve(fd, listener->arg, &err);
    if (r < 0)
        log_event(LOG_WARN, "caller.ended", "code=%s text=\"%s\"", err.code, err.text);
    _exit(r < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
}

static void reap(unsigned *callers)
{
    while (waitpid(-1, NULL, WNOHANG) > 0)
        (*callers)--;
}

static void admit(const struct hub_listener *listeners, size_t count, size_t index, int signal_fd,
                  unsigned *callers)
{
    CLEANUP(fd_drop) int fd = accept4(listeners[index].fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    reap(callers);
    if (*callers >= HUB_CALLERS_MAX) {
        log_event(LOG_WARN, "caller.refused", "code=too-many-callers");
        return;
    }
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        for (size_t i = 0; i < count; i++)
            (void)close(listeners[i].fd);
        (void)close(signal_fd);
        become(&listeners[index], take_fd(&fd), parent);
    }
    if (child > 0)
        ++*callers;
}

/* 1 when it is time to go. */
static int signal_take(int signal_fd, unsigned *callers)
{
    struct signalfd_siginfo info;
    if (read(signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return 0;
    if (info.ssi_signo != SIGCHLD)
        return 1;
    reap(callers);
    return 0;
}

int hub_run(const struct hub_listener *listeners, size_t count, uint64_t linger_ms,
            struct error *err)
{
    struct pollfd ends[LISTENERS_MAX + 1];
    unsigned callers = 0;
    sigset_t watched;
    (void)sigemptyset(&watched); /* fails only on wrong arguments, as the others */
    (void)sigaddset(&watched, SIGTERM);
    (void)sigaddset(&watched, SIGINT);
    (void)sigaddset(&watched, SIGHUP);
    (void)sigaddset(&watched, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &watched, NULL);
    AUTO_FD int signal_fd = signalfd(-1, &watched, SFD_CLOEXEC);
    if (signal_fd < 0 || count > LISTENERS_MAX)
        return error_errno(err, -errno, "start-failed", "cannot watch signals");
    ends[count] = (struct pollfd){.fd = signal_fd, .events = POLLIN};
    for (size_t i = 0; i < count; i++)
        ends[i] = (struct pollfd){.fd = listeners[i].fd, .events = POLLIN};
    for (;;) {
        const int limit_ms = linger_ms && callers == 0 ? (int)linger_ms : -1;
        int ready = poll(ends, count + 1, limit_ms);
        if (ready == 0)
            return 0;
        if (ready < 0)
            continue;
        if (ends[count].revents && signal_take(signal_fd, &callers))
            return 0;
        for (size_t i = 0; i < count; i++)
            if (ends[i].revents)
                admit(listeners, count, i, signal_fd, &callers);
    }
}
