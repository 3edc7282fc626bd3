/* leat rm: forget ended jobs. */
#include <errno.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "cli/ask.h"
#include "cli/job.h"
#include "cli/verb.h"
#include "cli/verbs.h"
#include "leat/client.h"

static const struct option_spec rm_options[] = {
    {"force", 'f', NULL, "kill it first when it is alive"},
    {0},
};

static int job_kill(struct cli *cli, const char *id, struct error *err)
{
    AUTO_FREE char *path = NULL;
    AUTO_JSON json_t *stopping = NULL, *ended = NULL;
    int r = ask_path("jobs", id, "stop", &path, err);
    if (r < 0)
        return r;
    struct leat_request request = {.method = "POST", .path = path, .body = "{\"grace\":0}"};
    r = ask(cli, &request, &stopping, err);
    return r < 0 ? r : job_wait(cli, id, 0, &ended, err);
}

static int job_remove(struct cli *cli, const char *id, struct error *err)
{
    AUTO_FREE char *path = NULL;
    AUTO_JSON json_t *nothing = NULL;
    int r = ask_path("jobs", id, NULL, &path, err);
    if (r < 0)
        return r;
    struct leat_request request = {.method = "DELETE", .path = path};
    return ask(cli, &request, &nothing, err);
}

static int rm_main(struct cli *cli, const struct args *args, struct error *err)
{
    int r = 0;
    for (char **id = args->operands; *id && r == 0; id++) {
        r = job_remove(cli, *id, err);
        if (r == -EBUSY && args_has(args, "force")) {
            r = job_kill(cli, *id, err);
            if (r == 0)
                r = job_remove(cli, *id, err);
        }
    }
    return r;
}

const struct verb verb_rm = {
    .name = "rm",
    .operands = "JOB...",
    .operands_min = 1,
    .operands_max = -1,
    .summary = "Forget ended jobs, their logs and their work folders",
    .example = "leat rm 12 13",
    .options = rm_options,
    .run = rm_main,
};
