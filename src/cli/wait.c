/* leat wait: until jobs have ended. */
#include <errno.h>

#include "base/error.h"
#include "base/units.h"
#include "cli/ask.h"
#include "cli/job.h"
#include "cli/verb.h"
#include "cli/verbs.h"

static const struct option_spec wait_options[] = {
    {"timeout", 't', "TIME", "give up after this: 30s (for each job)"},
    {0},
};

static int wait_one(struct cli *cli, const char *id, uint64_t timeout_ms, struct error *err)
{
    AUTO_JSON json_t *job = NULL;
    int r = job_wait(cli, id, timeout_ms, &job, err);
    if (r < 0)
        return r;
    if (!job_has_ended(job))
        return error_set(err, -ETIMEDOUT, "wait-timeout", "job %s has not ended in time", id);
    if (cli->json)
        ask_print(job);
    job_say_end(job);
    return job_exit(job);
}

static int wait_main(struct cli *cli, const struct args *args, struct error *err)
{
    const char *text = args_text(args, "timeout");
    uint64_t timeout_ms = 0;
    int r = text ? duration_parse(text, &timeout_ms, err) : 0, first = 0;
    if (r < 0)
        return error_context(err, "--timeout");
    for (char **id = args->operands; *id; id++) {
        r = wait_one(cli, *id, timeout_ms, err);
        if (r < 0)
            return r;
        first = first ? first : r;
    }
    return first;
}

const struct verb verb_wait = {
    .name = "wait",
    .operands = "JOB...",
    .operands_min = 1,
    .operands_max = -1,
    .summary = "Wait until jobs have ended",
    .details =
        "The exit status is that of the first job that did not succeed, as `leat run` gives it.",
    .example = "leat wait --timeout 10m 12 13",
    .options = wait_options,
    .flags = VERB_RUNS_JOB,
    .run = wait_main,
};
