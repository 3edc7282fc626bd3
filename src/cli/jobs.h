/* Lists of jobs, page by page. */
#ifndef LEAT_CLI_JOBS_H
#define LEAT_CLI_JOBS_H

#include <stdint.h>

#include "base/json.h"

struct cli;
struct error;

#define JOBS_ALIVE "queued,starting,running,idle,stopping"

/* {"jobs":[...],"next_cursor":...} with at most `limit` of the newest jobs in `states` (NULL: all),
 * joined from as many pages as that takes. A new reference. */
int jobs_list(struct cli *cli, const char *states, uint64_t limit, json_t **ret_jobs,
              struct error *err);

#endif
