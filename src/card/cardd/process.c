/* Forking executors: see process.h. */
#include "card/cardd/process.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "card/cardd/card.h"
#include "card/cardd/cardd.h"
#include "card/cardd/confine.h"
#include "card/cardd/device.h"
#include "card/executor/executor.h"

static int compare_fds(const void *a, const void *b)
{
    int left = *(const int *)a, right = *(const int *)b;
    return (left > right) - (left < right);
}

/* Close every descriptor above 2 but those in `keep`, which is sorted in place. */
static void close_others(int *keep, size_t count)
{
    unsigned first = STDERR_FILENO + 1;
    qsort(keep, count, sizeof(*keep), compare_fds);
    for (size_t i = 0; i < count; i++) {
        if ((unsigned)keep[i] > first)
            (void)close_range(first, (unsigned)keep[i] - 1, 0);
        first = (unsigned)keep[i] + 1;
    }
    (void)close_range(first, ~0u, 0); /* fails only on wrong arguments */
}

/* Signals as a fresh process has them; libuv's handlers would write to a pipe of the parent. */
static void signals_reset(void)
{
    static const int handled[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGCHLD};
    struct sigaction plain = {.sa_handler = SIG_DFL};
    sigset_t none;
    for (size_t i = 0; i < sizeof(handled) / sizeof(handled[0]); i++)
        (void)sigaction(handled[i], &plain, NULL); /* fails only on wrong arguments */
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The child: give up everything that is not this card's, then serve. */
static _Noreturn void executor_run(struct cardd *cardd, struct card *card, pid_t parent,
                                   const struct executor_params *params)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (getppid() != parent)
        _exit(EXIT_FAILURE); /* leat-cardd ended before the death signal was set */
    signals_reset();
    int r = card->confined ? confine_enter(cardd->confine, card->name) : 0;
    if (r < 0)
        log_event(LOG_WARN, "executor.unconfined", "card=%s errno=%d", card->name, r);
    cardd_forget_others(cardd, card);
    int keep[] = {params->notify_fd, params->control_fd};
    close_others(keep, sizeof(keep) / sizeof(keep[0]));
    executor_main(params);
}

int process_fork(struct cardd *cardd, struct card *card, enum process_kind kind,
                 struct process *ret_process)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    AUTO_FD int ours = pair[0];
    AUTO_FD int executors = pair[1];
    const struct executor_params params = {
        .control_fd = executors,
        .is_spare = kind == PROCESS_SPARE,
        .notify_fd = card->notify_fd,
        .ledger = card->ledger,
        .trace = card->trace,
        .device = card->device->turn,
        .platform_index = card->device->platform_index,
        .device_index = card->device->device_index,
        .card_name = card->name,
        .uuid = card->device->uuid,
        .cuda = card->device->cuda,
        .cache_dir = card->cache_dir,
    };
    pid_t parent = getpid(), child = fork();
    if (child == 0)
        executor_run(cardd, card, parent, &params);
    if (child < 0)
        return -errno;
    struct process process = {
        .pid = child, .pidfd = (int)syscall(SYS_pidfd_open, child, 0), .control_fd = -1};
    if (process.pidfd < 0) {
        int r = -errno;
        process_discard(&process);
        return r;
    }
    process.control_fd = take_fd(&ours);
    *ret_process = process;
    return 0;
}

void process_discard(struct process *process)
{
    (void)kill(process->pid, SIGKILL); /* our child, not yet waited for */
    while (waitpid(process->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    cleanup_fd(&process->pidfd);
    cleanup_fd(&process->control_fd);
    *process = (struct process){0, -1, -1};
}
