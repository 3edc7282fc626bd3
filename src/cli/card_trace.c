/* leat card trace: the commands of a card for a while, for chrome://tracing and its like. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/units.h"
#include "cli/ask.h"
#include "cli/verb.h"
#include "cli/verbs.h"
#include "leat/card.h"
#include "leat/client.h"

#define FOR_DEFAULT_MS 1000u

DEFINE_CLEANUP(control, struct leat_card_control, leat_card_control_close)

static const struct option_spec trace_options[] = {
    {"for", 'f', "TIME", "how long to look: 1s"},
    {"output", 'o', "FILE", "write it there instead of to standard output"},
    {0},
};

static int by_leatd(struct cli *cli, const char *card, const char *body, json_t **ret_answer,
                    struct error *err)
{
    AUTO_FREE char *path = NULL;
    int r = ask_path("cards", card, "trace", &path, err);
    return r < 0 ? r
                 : ask(cli,
                       &(const struct leat_request){.method = "POST", .path = path, .body = body},
                       ret_answer, err);
}

/* An interrupt ends the look early, and with it nothing is lost. */
static void look(const struct cli *cli, uint64_t for_ms)
{
    struct pollfd interrupt = {.fd = cli->interrupt_fd, .events = POLLIN};
    (void)poll(&interrupt, 1, (int)for_ms);
}

static int trace_by_leatd(struct cli *cli, const char *card, uint64_t for_ms, char **ret_text,
                          struct error *err)
{
    AUTO_JSON json_t *began = NULL, *answer = NULL;
    int r = by_leatd(cli, card, "{\"on\":true}", &began, err);
    if (r == 0) {
        look(cli, for_ms);
        r = by_leatd(cli, card, "{\"on\":false}", &answer, err);
    }
    if (r < 0)
        return r;
    *ret_text = json_text(answer);
    return *ret_text ? 0 : error_set(err, -ENOMEM, "out-of-memory", "writing the trace");
}

static int trace_directly(const struct cli *cli, const char *card, uint64_t for_ms, char **ret_text,
                          struct error *err)
{
    CLEANUP(cleanup_control) struct leat_card_control *control = NULL;
    struct leat_error why = {0};
    int r = leat_card_control_connect(cli->run_dir, &control, &why);
    if (r == 0)
        r = leat_card_trace_start(control, card, &why);
    if (r == 0) {
        look(cli, for_ms);
        r = leat_card_trace_stop(control, card, ret_text, &why);
    }
    return r < 0 ? ask_failed(err, &why) : 0;
}

static int card_trace(struct cli *cli, const struct args *args, struct error *err)
{
    const char *text = args_text(args, "for"), *file = args_text(args, "output");
    const char *card = args->operands[0];
    uint64_t for_ms = FOR_DEFAULT_MS;
    AUTO_FREE char *trace = NULL;
    int r = text ? duration_parse(text, &for_ms, err) : 0;
    if (r < 0)
        return error_context(err, "--for");
    if (for_ms > INT_MAX)
        return error_set(err, -EINVAL, "bad-duration", "--for is too long");
    r = trace_by_leatd(cli, card, for_ms, &trace, err);
    if (r < 0 && !cli->answered && !cli->host)
        r = trace_directly(cli, card, for_ms, &trace, err);
    if (r < 0)
        return r;
    if (file)
        return file_write_atomic(AT_FDCWD, file, trace, strlen(trace), 0644, err);
    (void)puts(trace); /* main looks at the state of standard output */
    return 0;
}

const struct verb verb_card_trace = {
    .group = "card",
    .name = "trace",
    .operands = "CARD",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Write down a card's commands for a while, in Chrome's trace format",
    .details = "A job's card has the number of the job. At most the last 8192 commands are kept.",
    .example = "leat card trace --for 5s --output trace.json 12",
    .options = trace_options,
    .run = card_trace,
};
