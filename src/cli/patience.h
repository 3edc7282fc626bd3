/* Waiting for a leatd that went away to come back: jobs outlive it, so following one does too. */
#ifndef LEAT_CLI_PATIENCE_H
#define LEAT_CLI_PATIENCE_H

#include <stdint.h>

#include "base/json.h"

struct cli;
struct error;
struct leat_request;

/* Start with {0}; again {0} once leatd has answered. */
struct patience {
    uint64_t deadline_ns, last_ns; /* of giving up; of the last failure */
    int delay_ms;
};

/* After a failure `err`: 0 when it is time to try again. What is no lost connection, or lasts
 * longer than a minute, comes back as it is; -ECANCELED when cli->interrupt_fd became readable. */
int patience_wait(struct patience *patience, struct cli *cli, struct error *err);
/* As ask, trying again while that makes sense. The request must be safe to repeat. */
int patience_ask(struct cli *cli, const struct leat_request *request, json_t **ret_answer,
                 struct error *err);

#endif
