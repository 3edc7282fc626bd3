/* What the verbs know about a job from its JSON. */
#ifndef LEAT_CLI_JOB_H
#define LEAT_CLI_JOB_H

#include <stdbool.h>

#include "base/json.h"

struct cli;
struct error;

bool job_has_ended(const json_t *job);
/* What `run` and `wait` exit with: the job's own status, 128 + signal, or EXIT_LEAT when it never
 * got so far. */
int job_exit(const json_t *job);
/* Say on standard error how it ended, unless it succeeded. */
void job_say_end(const json_t *job);
/* Until it has ended, or to the end of `timeout_ms` (0: no limit). A new reference. */
int job_wait(struct cli *cli, const char *id, uint64_t timeout_ms, json_t **ret_job,
             struct error *err);

#endif
