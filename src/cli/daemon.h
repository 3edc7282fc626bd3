/* The leatd of this machine as a process: start it, know its pid, end it. */
#ifndef LEAT_CLI_DAEMON_H
#define LEAT_CLI_DAEMON_H

#include <sys/types.h>

struct cli;
struct error;

/* The process that listens on the client's socket. -EINVAL: the client speaks TCP;
 * -ECONNREFUSED: nothing listens. */
int daemon_pid(struct cli *cli, pid_t *ret_pid, struct error *err);
/* Start leatd with `options` (NULL-ended, argv[1] on) in a session of its own, its output going to
 * `log_path`, and wait until it says that it is ready. */
int daemon_start(char *const *options, const char *log_path, struct error *err);
/* Become leatd; returns only on failure. */
int daemon_exec(char *const *options, struct error *err);
/* Ask the process to end and wait until it has. */
int daemon_stop(pid_t pid, struct error *err);

#endif
