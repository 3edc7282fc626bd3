/* The process of an executor: forked by the keeper without exec, with everything left behind that
 * is not its card's. It serves nobody until executor_serve hands it a client. */
#ifndef LEAT_CARDD_PROCESS_H
#define LEAT_CARDD_PROCESS_H

#include <stddef.h>
#include <sys/types.h>

struct card;
struct keeper;

enum process_kind {
    PROCESS_FOR_CLIENT = 1, /* a client is there already */
    PROCESS_SPARE = 2       /* it starts the driver before there is one */
};

struct process {
    pid_t pid; /* 0: none */
    int pidfd, control_fd;
};

/* 0, or a negative errno. */
int process_fork(const struct card *card, enum process_kind kind, struct process *ret_process);
/* Kill and reap it; for one that nobody watches yet. */
void process_discard(struct keeper *keeper, struct process *process);

/* In a child: close every descriptor above 2 but those in `keep`, which is sorted in place. */
void process_close_others(int *keep, size_t count);

#endif
