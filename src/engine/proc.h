/* Processes of the host by what their command line says. Calls may block: fit for the pool. */
#ifndef LEAT_ENGINE_PROC_H
#define LEAT_ENGINE_PROC_H

#include <stdbool.h>
#include <sys/types.h>

/* Whether process `pid` has `word` as an argument or as the last word of one. */
bool proc_has_word(pid_t pid, const char *word);
/* Kill every process whose program (its comm) is in the NULL-ended `programs` and that has `word`,
 * and wait for its end. Returns 0, or -EBUSY when one of them stays. */
int proc_kill_all(const char *const *programs, const char *word);
/* SIGKILL and wait, on a pidfd; a process that is not there is fine. */
int proc_kill(pid_t pid);

#endif
