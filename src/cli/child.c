/* A program in the foreground: see child.h. */
#include "cli/child.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"

#define STATUS_NOT_EXECUTABLE 126
#define STATUS_NOT_FOUND 127
#define STATUS_SIGNALLED 128

static const int passed_on[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};

static void signals_of_interest(sigset_t *ret_set)
{
    (void)sigemptyset(ret_set); /* fails only on wrong arguments, as do the others */
    (void)sigaddset(ret_set, SIGCHLD);
    for (size_t i = 0; i < sizeof(passed_on) / sizeof(passed_on[0]); i++)
        (void)sigaddset(ret_set, passed_on[i]);
}

static _Noreturn void program_become(char *const *argv, const struct child_variable *variables,
                                     const sigset_t *mask, pid_t parent)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM); /* cannot fail for a valid signal */
    if (getppid() != parent)
        _exit(STATUS_SIGNALLED + SIGTERM); /* it died before the line above */
    for (; variables->name; variables++) {
        int r = variables->value ? setenv(variables->name, variables->value, 1)
                                 : unsetenv(variables->name);
        if (r < 0)
            _exit(STATUS_NOT_EXECUTABLE);
    }
    (void)sigprocmask(SIG_SETMASK, mask, NULL);
    (void)execvp(argv[0], argv);
    int errnum = errno;
    (void)fprintf(stderr, "leat: cannot run '%s': %s\n", argv[0], strerror(errnum));
    _exit(errnum == ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE);
}

static int program_wait(pid_t program, const sigset_t *set)
{
    for (;;) {
        siginfo_t info;
        int number = sigwaitinfo(set, &info), status;
        /* A key on the terminal has reached the program already: it is in our process group. */
        if (number > 0 && number != SIGCHLD && info.si_code != SI_KERNEL)
            (void)kill(program, number); /* our child, not yet waited for */
        if (waitpid(program, &status, WNOHANG) != program)
            continue;
        return WIFSIGNALED(status) ? STATUS_SIGNALLED + WTERMSIG(status) : WEXITSTATUS(status);
    }
}

int child_run(char *const *argv, const struct child_variable *variables, struct error *err)
{
    sigset_t set, before;
    signals_of_interest(&set);
    if (sigprocmask(SIG_BLOCK, &set, &before) < 0)
        return error_errno(err, -errno, "run-failed", "cannot block signals");
    pid_t self = getpid(), program = fork();
    if (program == 0)
        program_become(argv, variables, &before, self);
    int status = program < 0 ? -errno : program_wait(program, &set);
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    return status < 0 ? error_errno(err, status, "run-failed", "cannot fork") : status;
}
