/* The leat-cardd of a run folder: see card_daemon.h. */
#include "cli/card_daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/path.h"
#include "leat/card.h"

#define READY_FD 3 /* in leat-cardd */
#define READY_TEXT_MAX 512

static int connect_once(const char *run_dir, struct leat_card_control **ret_control,
                        struct error *err)
{
    struct leat_error why = {0};
    int r = leat_card_control_connect(run_dir, ret_control, &why);
    return r < 0 ? error_set(err, r, why.code, "%s", why.text) : 0;
}

/* True for what a connection meets when leat-cardd is not there, or is just leaving. */
static int nobody_there(int errnum)
{
    return errnum == -ENOENT || errnum == -ECONNREFUSED || errnum == -ECONNRESET ||
           errnum == -EPIPE;
}

struct command {
    char program[PATH_MAX], log[PATH_MAX], linger[16], ready[16];
    const char *argv[10];
};

static int command_make(const char *run_dir, struct command *command, struct error *err)
{
    static const char *const places[] = {"../card/cardd/leat-cardd", "leat-cardd",
                                         "../sbin/leat-cardd", NULL};
    int r = path_find_beside("leat-cardd", places, command->program, err);
    if (r == 0)
        r = path_join(run_dir, "cardd.log", command->log, err);
    if (r < 0)
        return r;
    (void)snprintf(command->linger, sizeof(command->linger), "%d", CARD_DAEMON_LINGER_MS);
    (void)snprintf(command->ready, sizeof(command->ready), "%d", READY_FD);
    const char *argv[] = {command->program, "--run-dir", run_dir,      "--linger",
                          command->linger,  "--log",     command->log, "--ready-fd",
                          command->ready,   NULL};
    memcpy(command->argv, argv, sizeof(argv));
    return 0;
}

/* The child: a session of its own that holds nothing of ours. */
static _Noreturn void daemon_become(const struct command *command, int ready_fd)
{
    int null = open("/dev/null", O_RDWR);
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL); /* fails only on wrong arguments */
    if (null < 0 || setsid() < 0 || chdir("/") < 0 || dup2(null, STDIN_FILENO) < 0 ||
        dup2(null, STDOUT_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0)
        _exit(EXIT_FAILURE);
    /* dup2 to itself would leave the descriptor close-on-exec. */
    if (ready_fd == READY_FD ? fcntl(ready_fd, F_SETFD, 0) < 0 : dup2(ready_fd, READY_FD) < 0)
        _exit(EXIT_FAILURE);
    (void)close_range(READY_FD + 1, ~0u, 0); /* fails only on wrong arguments */
    (void)execv(command->program, (char *const *)(uintptr_t)command->argv);
    _exit(EXIT_FAILURE);
}

/* leat-cardd sends an empty line when it serves, or a line that says why it cannot. */
static int ready_wait(int fd, const struct command *command, struct error *err)
{
    char text[READY_TEXT_MAX];
    size_t length = 0;
    while (length < sizeof(text) - 1 && !memchr(text, '\n', length)) {
        ssize_t n = read(fd, text + length, sizeof(text) - 1 - length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        length += (size_t)n;
    }
    text[length] = '\0';
    if (length == 1 && text[0] == '\n')
        return 0;
    text[strcspn(text, "\n")] = '\0';
    return error_set(err, -EIO, "cardd-failed", "cannot start leat-cardd: %.300s",
                     text[0] ? text : command->log);
}

static int daemon_start(const char *run_dir, struct error *err)
{
    struct command command;
    int ends[2];
    int r = command_make(run_dir, &command, err);
    if (r < 0)
        return r;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_errno(err, -errno, "cardd-failed", "cannot make a pipe");
    AUTO_FD int ready = ends[0];
    pid_t child = fork();
    if (child == 0)
        daemon_become(&command, ends[1]);
    (void)close(ends[1]);
    if (child < 0)
        return error_errno(err, -errno, "cardd-failed", "cannot fork");
    r = ready_wait(ready, &command, err);
    if (r < 0)
        (void)waitpid(child, NULL, 0); /* it has closed the pipe and is leaving */
    return r;
}

int card_daemon_connect(const char *run_dir, struct leat_card_control **ret_control,
                        struct error *err)
{
    char lock_path[PATH_MAX];
    int r = connect_once(run_dir, ret_control, err);
    if (!nobody_there(r))
        return r;
    r = dir_make(run_dir, 0755, err);
    if (r == 0)
        r = path_join(run_dir, "cardd.start", lock_path, err);
    if (r < 0)
        return r;
    AUTO_FD int lock = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0 || flock(lock, LOCK_EX) < 0)
        return error_errno(err, -errno, "cardd-failed", "cannot lock '%s'", lock_path);
    r = connect_once(run_dir, ret_control, err); /* somebody may have been faster */
    if (!nobody_there(r))
        return r;
    r = daemon_start(run_dir, err);
    return r == 0 ? connect_once(run_dir, ret_control, err) : r;
}
