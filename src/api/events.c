/* The journal of events, a page at a time or as server-sent events. A stream that has sent all
 * there is takes the next event as core tells it; one that is behind reads pages. So it misses
 * nothing, repeats nothing, and a slow reader holds no more than a page. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/api_impl.h"
#include "api/handlers.h"
#include "api/request.h"
#include "api/stream.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"
#include "base/units.h"
#include "core/core.h"

#define EVENTS_PAGE 100
#define FEED_OUT_MAX_BYTES (64u << 10) /* beyond it what core tells is left to be read later */

struct event_feed {
    struct core *core;
    struct core_subscription *subscription;
    struct stream *stream; /* NULL until the stream stands */
    struct buf out;        /* formatted and not sent yet */
    uint64_t last;         /* the newest event in `out` or sent */
    uint64_t newest;       /* the newest event heard of */
    bool more;             /* the journal may hold events after `last` */
    bool reading;          /* a page is on its way */
    bool failed;           /* the journal cannot be read */
    bool closed;           /* the stream is over; a page on its way frees the feed */
    unsigned silent_ticks;
};

static void feed_free(struct event_feed *feed)
{
    core_events_unsubscribe(feed->subscription);
    buf_finish(&feed->out);
    free(feed);
}

static void feed_wake(struct event_feed *feed)
{
    if (feed->stream)
        stream_wake(feed->stream);
}

static void feed_put(struct event_feed *feed, const json_t *event)
{
    char *data = json_text(event);
    const char *kind = json_string_value(json_object_get(event, "kind"));
    feed->last = (uint64_t)json_integer_value(json_object_get(event, "seq"));
    (void)buf_printf(&feed->out, "id: %llu\nevent: %s\ndata: %s\n\n",
                     (unsigned long long)feed->last, kind ? kind : "event", data ? data : "null");
    free(data);
}

static void feed_page(void *arg, struct json_t *result, const struct error *err)
{
    struct event_feed *feed = arg;
    feed->reading = false;
    if (feed->closed) {
        json_decref(result);
        feed_free(feed);
        return;
    }
    const json_t *events = json_object_get(result, "events");
    for (size_t i = 0; i < json_array_size(events); i++)
        feed_put(feed, json_array_get(events, i));
    feed->more = json_array_size(events) == EVENTS_PAGE || feed->newest > feed->last;
    feed->failed = err || feed->out.failed;
    json_decref(result);
    if (feed->out.length || feed->more || feed->failed)
        feed_wake(feed);
}

static ssize_t feed_pull(void *arg, void *data, size_t room)
{
    struct event_feed *feed = arg;
    if (!feed->out.length && feed->more && !feed->reading && !feed->failed) {
        feed->more = false;
        feed->reading = true;
        core_events_read(feed->core, feed->last, EVENTS_PAGE, feed_page, feed);
    }
    if (feed->failed)
        return 0;
    if (!feed->out.length)
        return -EAGAIN;
    size_t n = feed->out.length < room ? feed->out.length : room;
    memcpy(data, feed->out.data, n);
    buf_drop_front(&feed->out, n);
    feed->silent_ticks = 0;
    return (ssize_t)n;
}

static void feed_hear(void *arg, uint64_t seq, const struct json_t *event)
{
    struct event_feed *feed = arg;
    if (seq > feed->newest)
        feed->newest = seq;
    if (feed->reading || feed->newest <= feed->last)
        return; /* the page on its way decides */
    if (!feed->more && seq == feed->last + 1 && feed->out.length < FEED_OUT_MAX_BYTES)
        feed_put(feed, event);
    else
        feed->more = true;
    feed_wake(feed);
}

/* A comment now and then keeps proxies from closing a silent stream. */
static void feed_tick(void *arg)
{
    struct event_feed *feed = arg;
    if (++feed->silent_ticks < API_KEEPALIVE_SWEEPS || feed->out.length)
        return;
    (void)buf_puts(&feed->out, ": nothing new\n\n");
    feed_wake(feed);
}

static void feed_close(void *arg)
{
    struct event_feed *feed = arg;
    feed->closed = true;
    feed->stream = NULL;
    core_events_unsubscribe(feed->subscription);
    feed->subscription = NULL;
    if (!feed->reading)
        feed_free(feed);
}

static void events_stream(struct request *request, uint64_t since)
{
    static const struct stream_source source = {.content_type = "text/event-stream",
                                                .pull = feed_pull,
                                                .tick = feed_tick,
                                                .close = feed_close};
    struct event_feed *feed = calloc(1, sizeof(*feed));
    if (feed)
        feed->subscription = core_events_subscribe(request_core(request), feed_hear, feed);
    if (!feed || !feed->subscription) {
        struct error err;
        free(feed);
        error_set(&err, -ENOMEM, "out-of-memory", "opening the event stream");
        request_answer_problem(request, &err);
        return;
    }
    feed->core = request_core(request);
    feed->last = since;
    feed->more = true;
    stream_start(request, &source, feed, &feed->stream);
}

void handle_events(struct request *request)
{
    struct error err;
    uint64_t since = 0;
    uint32_t limit = 0;
    const char *accept = request_header(request, "Accept");
    const char *resume = request_header(request, "Last-Event-ID");
    bool stream = accept && strstr(accept, "text/event-stream");
    int r = request_query_u64(request, "since", &since, &err);
    if (r == 0)
        r = request_query_limit(request, &limit, &err);
    if (r == 0 && stream && resume && u64_parse(resume, &since, NULL) < 0)
        r = error_set(&err, -EINVAL, "bad-parameter",
                      "Last-Event-ID must be the number of an event; given: '%.64s'", resume);
    if (r < 0)
        request_answer_problem(request, &err);
    else if (stream)
        events_stream(request, since);
    else
        core_events_read(request_core(request), since, limit, request_reply,
                         request_await(request));
}
