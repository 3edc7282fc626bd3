/* leat stop: ask jobs to end. */
#include <errno.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "cli/ask.h"
#include "cli/verb.h"
#include "cli/verbs.h"
#include "leat/client.h"

static const struct option_spec stop_options[] = {
    {"grace", 'g', "TIME", "between asking and killing: 10s; 0 kills at once"},
    {0},
};

static int stop_one(struct cli *cli, const char *id, const char *body, struct error *err)
{
    AUTO_FREE char *path = NULL;
    AUTO_JSON json_t *job = NULL;
    int r = ask_path("jobs", id, "stop", &path, err);
    if (r < 0)
        return r;
    struct leat_request request = {.method = "POST", .path = path, .body = body};
    r = ask(cli, &request, &job, err);
    if (r == 0 && cli->json)
        ask_print(job);
    return r;
}

static int stop_main(struct cli *cli, const struct args *args, struct error *err)
{
    const char *grace = args_text(args, "grace");
    AUTO_JSON json_t *options = grace ? json_pack("{s:s}", "grace", grace) : NULL;
    AUTO_FREE char *body = options ? json_text(options) : NULL;
    if (grace && !body)
        return error_set(err, -EINVAL, "bad-field", "--grace '%s' is no time", grace);
    int r = 0;
    for (char **id = args->operands; *id && r == 0; id++)
        r = stop_one(cli, *id, body, err);
    return r;
}

const struct verb verb_stop = {
    .name = "stop",
    .operands = "JOB...",
    .operands_min = 1,
    .operands_max = -1,
    .summary = "Ask jobs to end, and kill them when they do not",
    .details = "Returns at once; `leat wait` waits for the end.",
    .example = "leat stop --grace 5s 12",
    .options = stop_options,
    .run = stop_main,
};
