/* The process of an executor: forked by the keeper without exec, with everything left behind that
 * is not its card's. It serves nobody until executor_serve hands it a client. */
#ifndef LEAT_CARDD_PROCESS_H
#define LEAT_CARDD_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct card;
struct keeper;

enum process_kind {
    PROCESS_FOR_CLIENT = 1, /* a client is there already */
    PROCESS_SPARE = 2       /* it starts the driver before there is one */
};

struct process {
    pid_t pid; /* 0: none, or asked for and not forked yet: then it has a control_fd */
    int pidfd, control_fd;
};
#define PROCESS_NONE ((struct process){0, -1, -1})

/* Ask the keeper for an executor of the card, and of what else the session in `slot` has, if it is
 * for a client: process_arrive has something to say when the control_fd is readable. 0, or a
 * negative errno. */
int process_ask(const struct card *card, enum process_kind kind, unsigned slot,
                struct process *ret_process);
/* The executor that was asked for: 1 when it runs, 0 when it is not forked yet, unless `wait` is
 * set, or a negative errno: there is none. */
int process_arrive(struct process *process, bool wait);
/* Let go of its descriptors. */
void process_close(struct process *process);
/* Kill and reap it, or the one that was asked for; for one that nobody watches yet. */
void process_discard(struct keeper *keeper, struct process *process);

/* In a child: close every descriptor above 2 but those in `keep`, which is sorted in place. */
void process_close_others(int *keep, size_t count);

#endif
