/* leat events: what happened, and with -f what happens. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/units.h"
#include "cli/ask.h"
#include "cli/stream.h"
#include "cli/verb.h"
#include "cli/verbs.h"
#include "cli/view.h"

static const struct option_spec events_options[] = {
    {"follow", 'f', NULL, "go on with what happens from now on"},
    {"since", 's', "NUMBER", "only events after this number"},
    {"job", 0, "JOB", "only events of this job"},
    {0},
};

struct events {
    const struct cli *cli;
    const char *job; /* NULL: of all */
};

/* "2026-01-31T09:15:00.123Z  41  job.state  job 12  queued -> starting  {...}" */
static void event_put(struct buf *out, const json_t *event)
{
    char id[32];
    view_id(event, "job", id, sizeof(id));
    (void)buf_printf(out, "%s  %5" PRIu64 "  %s", view_text(event, "time", "-"),
                     view_number(event, "seq"), view_text(event, "kind", "-"));
    if (*id)
        (void)buf_printf(out, "  job %s", id);
    if (view_text(event, "to", NULL))
        (void)buf_printf(out, "  %s -> %s", view_text(event, "from", "new"),
                         view_text(event, "to", ""));
    const json_t *data = view_member(event, "data");
    if (json_object_size(data) > 0) {
        AUTO_FREE char *text = json_text(data);
        (void)buf_printf(out, "  %s", text ? text : "");
    }
    (void)buf_puts(out, "\n");
}

static int event_take(void *context, const json_t *event)
{
    const struct events *events = context;
    char id[32];
    view_id(event, "job", id, sizeof(id));
    if (events->job && strcmp(events->job, id) != 0)
        return 0;
    if (events->cli->json) {
        ask_print(event);
    } else {
        AUTO_BUF struct buf out = BUF_INIT;
        event_put(&out, event);
        view_flush(&out);
    }
    return fflush(stdout) == 0 ? 0 : -EIO;
}

/* All there are, page by page. */
static int events_print(struct cli *cli, struct events *events, uint64_t *since, struct error *err)
{
    for (;;) {
        AUTO_JSON json_t *page = NULL;
        size_t i;
        json_t *event;
        int r = ask_get(cli, &page, err, "/v1/events?since=%" PRIu64 "&limit=500", *since);
        if (r < 0)
            return r;
        const json_t *list = json_object_get(page, "events");
        json_array_foreach (list, i, event) {
            r = event_take(events, event);
            if (r < 0)
                return error_errno(err, r, "cannot-write", "standard output");
            *since = view_number(event, "seq");
        }
        if (json_array_size(list) == 0)
            return 0;
    }
}

static int events_main(struct cli *cli, const struct args *args, struct error *err)
{
    struct events events = {.cli = cli, .job = args_text(args, "job")};
    const char *text = args_text(args, "since");
    uint64_t since = 0;
    int r = text ? u64_parse(text, &since, err) : 0;
    if (r < 0)
        return error_context(err, "--since");
    r = events_print(cli, &events, &since, err);
    if (r == 0 && args_has(args, "follow"))
        r = stream_events(cli, &since, event_take, &events, err);
    return r;
}

const struct verb verb_events = {
    .name = "events",
    .summary = "Print what happened to jobs, cards and images",
    .details = "With --json each event is one line.",
    .example = "leat events --follow --job 12",
    .options = events_options,
    .run = events_main,
};
