/* The processes of executors, as leat-cardd sees them: see process.h. */
#include "card/cardd/process.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "card/cardd/card.h"
#include "card/cardd/cardd.h"
#include "card/cardd/keeper.h"

static int compare_fds(const void *a, const void *b)
{
    int left = *(const int *)a, right = *(const int *)b;
    return (left > right) - (left < right);
}

void process_close_others(int *keep, size_t count)
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

void process_close(struct process *process)
{
    cleanup_fd(&process->pidfd);
    fd_drop(&process->control_fd);
    *process = PROCESS_NONE;
}

int process_ask(const struct card *card, enum process_kind kind, unsigned slot,
                struct process *ret_process)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    keeper_fork(card->cardd->keeper, card->number, slot, kind == PROCESS_SPARE, pair[1]);
    (void)close(pair[1]);
    *ret_process = (struct process){0, -1, pair[0]};
    return 0;
}

int process_arrive(struct process *process, bool wait)
{
    pid_t pid = keeper_forked(process->control_fd, wait);
    if (pid <= 0)
        return pid;
    process->pid = pid;
    process->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    return 1;
}

void process_discard(struct keeper *keeper, struct process *process)
{
    int status;
    if (process->pid == 0 && process_arrive(process, true) <= 0) {
        process_close(process);
        return;
    }
    struct pollfd end = {.fd = process->pidfd, .events = POLLIN};
    (void)kill(process->pid, SIGKILL); /* the keeper's child, not yet reaped */
    while (!keeper_reap(keeper, process->pid, &status))
        (void)poll(&end, 1, 100); /* without a descriptor it looks again */
    process_close(process);
}
