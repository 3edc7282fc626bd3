/* leat logs: what a job has written. */
#include "base/error.h"
#include "base/units.h"
#include "cli/follow.h"
#include "cli/verb.h"
#include "cli/verbs.h"

static const struct option_spec logs_options[] = {
    {"follow", 'f', NULL, "go on until the job has ended"},
    {"offset", 'o', "BYTES", "leave out so much of the beginning"},
    {0},
};

static int logs_main(struct cli *cli, const struct args *args, struct error *err)
{
    AUTO_JSON json_t *job = NULL;
    const char *offset_text = args_text(args, "offset"), *id = args->operands[0];
    uint64_t offset = 0;
    int r = offset_text ? bytes_parse(offset_text, &offset, err) : 0;
    if (r < 0)
        return error_context(err, "--offset");
    if (args_has(args, "follow"))
        return follow_job(cli, id, offset, FOLLOW_WATCH, &job, err);
    return follow_once(cli, id, offset, err);
}

const struct verb verb_logs = {
    .name = "logs",
    .operands = "JOB",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Print what a job has written",
    .details = "With --json each line is an object {\"job\", \"line\"}.",
    .example = "leat logs -f 12",
    .options = logs_options,
    .run = logs_main,
};
