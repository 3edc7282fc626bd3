/* Following a job's log to its end, whatever happens to leatd or to the user's patience. */
#ifndef LEAT_CLI_FOLLOW_H
#define LEAT_CLI_FOLLOW_H

#include <stdint.h>

#include "base/json.h"

struct cli;
struct error;

enum follow_mode {
    FOLLOW_INVALID,
    FOLLOW_WATCH, /* an interrupt (SIGINT) leaves; the job goes on */
    FOLLOW_OWN,   /* the first interrupt asks the job to stop, the second kills it, the third
                   * leaves */
};

/* Copy the log from `offset` to standard output until the job has ended; with cli->json one JSON
 * object a line. A lost connection is made again and the log goes on where it was. `ret_job` is a
 * new reference. -ECANCELED: left early. */
int follow_job(struct cli *cli, const char *id, uint64_t offset, enum follow_mode mode,
               json_t **ret_job, struct error *err);
/* Only what is in the log now. */
int follow_once(struct cli *cli, const char *id, uint64_t offset, struct error *err);

#endif
