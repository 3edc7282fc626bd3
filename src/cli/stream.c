/* The event stream of leatd: see stream.h. */
#include "cli/stream.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "cli/ask.h"
#include "cli/patience.h"
#include "cli/verb.h"
#include "cli/view.h"
#include "leat/client.h"

#define FIELD "data:"
#define STREAM_LINE_MAX_BYTES (1u << 20) /* an event is far smaller */

struct stream {
    uint64_t *since;
    stream_take_fn *take;
    void *context;
    struct buf rest; /* bytes without their line's end yet */
    struct patience patience;
    bool enough;
};

/* An event is one line of data; its id and kind are in there too. */
static int stream_line(struct stream *stream, const char *line, size_t length)
{
    size_t skip = strlen(FIELD);
    if (length < skip || strncmp(line, FIELD, skip) != 0)
        return 0;
    AUTO_JSON json_t *event = json_parse(line + skip, length - skip, STREAM_LINE_MAX_BYTES, NULL);
    uint64_t seq = view_number(event, "seq");
    if (!event)
        return -EPROTO;
    if (seq && seq <= *stream->since)
        return 0; /* came twice, around a lost connection */
    int r = stream->take(stream->context, event);
    if (seq)
        *stream->since = seq;
    stream->enough = r > 0;
    return r > 0 ? -ECANCELED : r;
}

static int stream_take(const char *data, size_t length, void *context)
{
    struct stream *stream = context;
    stream->patience = (struct patience){0};
    if (stream->rest.length + length > STREAM_LINE_MAX_BYTES)
        return -EPROTO;
    int r = buf_append(&stream->rest, data, length);
    size_t done = 0;
    while (r == 0) {
        const char *line = stream->rest.data + done;
        const char *end = memchr(line, '\n', stream->rest.length - done);
        if (!end)
            break;
        r = stream_line(stream, line, (size_t)(end - line));
        done += (size_t)(end - line) + 1;
    }
    if (r == 0)
        buf_drop_front(&stream->rest, done);
    return r;
}

static int stream_once(struct stream *stream, struct cli *cli, struct error *err)
{
    char path[64], resume[32];
    int r = cli_connect(cli, err);
    if (r < 0)
        return r;
    (void)snprintf(path, sizeof(path), "/v1/events?since=%" PRIu64, *stream->since);
    (void)snprintf(resume, sizeof(resume), "%" PRIu64, *stream->since);
    struct leat_request request = {
        .method = "GET", .path = path, .accept = "text/event-stream", .resume = resume};
    struct leat_error reason = {0};
    buf_clear(&stream->rest);
    r = leat_client_stream(cli->client, &request, stream_take, stream, &reason);
    cli->answered |= r == 0 || reason.status || r == -ECONNRESET;
    if (stream->enough)
        return 0;
    if (r == 0) /* leatd says goodbye when it is stopped */
        return error_set(err, -ECONNRESET, "connection-lost", "leatd ended the event stream");
    return ask_failed(err, &reason);
}

int stream_events(struct cli *cli, uint64_t *since, stream_take_fn *take, void *context,
                  struct error *err)
{
    struct stream stream = {.since = since, .take = take, .context = context};
    int r;
    do {
        r = stream_once(&stream, cli, err);
        if (r < 0)
            r = patience_wait(&stream.patience, cli, err);
    } while (r == 0 && !stream.enough);
    buf_finish(&stream.rest);
    return r;
}
