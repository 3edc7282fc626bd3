/* leat run: hand a job in, show its log, leave with its status. leat submit: only hand it in. */
#include <errno.h>
#include <stdio.h>

#include "base/error.h"
#include "base/units.h"
#include "cli/ask.h"
#include "cli/follow.h"
#include "cli/job.h"
#include "cli/request.h"
#include "cli/verb.h"
#include "cli/verbs.h"
#include "cli/view.h"
#include "model/job.h"

static const struct option_spec run_options[] = {
    {"detach", 'd', NULL, "print the job's number and return at once"},
    {"quiet", 'q', NULL, "say nothing but what the job says"},
    {0},
};

static void job_say_begin(const json_t *job)
{
    char memory[UNITS_TEXT_MAX], share[UNITS_TEXT_MAX], id[JOB_ID_TEXT_MAX];
    view_id(job, "id", id, sizeof(id));
    cli_say("job %s: %s/%s in image %s, card of %s and %s%s", id, view_text(job, "library", "-"),
            view_text(job, "type", "-"), view_text(job, "image", "-"),
            bytes_text(view_number(job, "memory_bytes"), memory),
            share_text((uint32_t)view_number(job, "share_permille"), share),
            json_is_true(view_member(job, "burst")) ? " or what others leave" : "");
}

static int run_follow(struct cli *cli, const struct args *args, const json_t *job,
                      struct error *err)
{
    char id[JOB_ID_TEXT_MAX];
    AUTO_JSON json_t *ended = NULL;
    view_id(job, "id", id, sizeof(id));
    if (!args_has(args, "quiet"))
        job_say_begin(job);
    int r = follow_job(cli, id, 0, FOLLOW_OWN, &ended, err);
    if (r < 0)
        return r;
    if (cli->json)
        ask_print(ended);
    if (!args_has(args, "quiet"))
        job_say_end(ended);
    return job_exit(ended);
}

static int submit(struct cli *cli, const struct args *args, json_t **ret_job, struct error *err)
{
    AUTO_JSON json_t *request = NULL;
    int r = request_make(args, &request, err);
    if (r < 0)
        return r;
    return args_has(args, "dry-run") ? request_describe(cli, request, err)
                                     : request_submit(cli, request, ret_job, err);
}

static int submit_print(const struct cli *cli, const json_t *job)
{
    char id[JOB_ID_TEXT_MAX];
    view_id(job, "id", id, sizeof(id));
    if (cli->json)
        ask_print(job);
    else
        (void)puts(id); /* main looks at the state of standard output */
    return 0;
}

static int submit_main(struct cli *cli, const struct args *args, struct error *err)
{
    AUTO_JSON json_t *job = NULL;
    int r = submit(cli, args, &job, err);
    return r < 0 || !job ? r : submit_print(cli, job);
}

static int run_main(struct cli *cli, const struct args *args, struct error *err)
{
    AUTO_JSON json_t *job = NULL;
    int r = submit(cli, args, &job, err);
    if (r == 0 && job)
        r = args_has(args, "detach") ? submit_print(cli, job) : run_follow(cli, args, job, err);
    return r;
}

const struct verb verb_run = {
    .name = "run",
    .operands = REQUEST_OPERANDS,
    .operands_min = 1,
    .operands_max = -1,
    .summary = "Run a program on a card and show what it says",
    .details =
        "PROGRAM is a file of this host; its folder is seen read-only at /src. A COMMAND after\n"
        "-- is one of the image. The exit status is the job's; 128 + N after signal N; 125 when\n"
        "Leat itself failed. An interrupt asks the job to stop, a second one kills it.",
    .example = "leat run --memory 1GiB --share 50% ./train.py --epochs 3",
    .options = request_options,
    .more_options = run_options,
    .flags = VERB_PASSES_ON | VERB_RUNS_JOB,
    .run = run_main,
};

const struct verb verb_submit = {
    .name = "submit",
    .operands = REQUEST_OPERANDS,
    .operands_min = 1,
    .operands_max = -1,
    .summary = "Hand a job in and print its number",
    .details =
        "PROGRAM is a file of this host; its folder is seen read-only at /src. A COMMAND after\n"
        "-- is one of the image.",
    .example = "leat submit --library pyopencl --type batch ./work.py",
    .options = request_options,
    .flags = VERB_PASSES_ON,
    .run = submit_main,
};
