/* leat ps: the jobs, newest first. */
#include <errno.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/units.h"
#include "cli/ask.h"
#include "cli/jobs.h"
#include "cli/verb.h"
#include "cli/verbs.h"
#include "cli/view.h"

#define LIMIT_DEFAULT 100

static const struct option_spec ps_options[] = {
    {"all", 'a', NULL, "ended jobs too"},
    {"state", 's', "STATES", "only these: queued,starting,running,idle,..."},
    {"limit", 'n', "COUNT", "at most so many (100)"},
    {0},
};

static const struct view_column ps_columns[] = {
    {"JOB", "id", VIEW_TEXT},
    {"NAME", "name", VIEW_TEXT},
    {"STATE", "state", VIEW_STATE},
    {"LIBRARY", "library", VIEW_TEXT},
    {"TYPE", "type", VIEW_TEXT},
    {"DEVICE", "device", VIEW_TEXT},
    {"MEMORY", "memory_bytes", VIEW_BYTES},
    {"SHARE", "share_permille", VIEW_SHARE},
    {"BURST", "burst", VIEW_TEXT},
    {"EXIT", "exit_status", VIEW_TEXT},
    {"CREATED", "created", VIEW_AGO},
    {0},
};

static int ps_main(struct cli *cli, const struct args *args, struct error *err)
{
    AUTO_JSON json_t *jobs = NULL;
    const char *states = args_text(args, "state"), *limit_text = args_text(args, "limit");
    uint64_t limit = LIMIT_DEFAULT;
    int r = limit_text ? u64_parse(limit_text, &limit, err) : 0;
    if (r < 0)
        return error_context(err, "--limit");
    if (!states && !args_has(args, "all"))
        states = JOBS_ALIVE;
    r = jobs_list(cli, states, limit, &jobs, err);
    if (r < 0)
        return r;
    if (cli->json) {
        ask_print(jobs);
        return 0;
    }
    if (json_array_size(json_object_get(jobs, "jobs")) == 0) {
        cli_say("%s", args_has(args, "all") ? "there are no jobs"
                                            : "no job is alive; --all shows those that ended");
        return 0;
    }
    AUTO_BUF struct buf out = BUF_INIT;
    view_list(&out, json_object_get(jobs, "jobs"), ps_columns);
    view_flush(&out);
    return 0;
}

const struct verb verb_ps = {
    .name = "ps",
    .summary = "List the jobs that are alive, newest first",
    .example = "leat ps --all --limit 20",
    .options = ps_options,
    .run = ps_main,
};
