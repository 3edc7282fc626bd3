/* A job's log as a stream of bytes. */
#include <errno.h>
#include <stdlib.h>

#include "api/handlers.h"
#include "api/request.h"
#include "api/stream.h"
#include "base/error.h"
#include "core/core.h"

struct log_feed {
    struct core_log *log;
    struct stream *stream; /* NULL until the stream stands */
    bool follow;           /* until the job has ended; else until what is there was sent */
};

static void log_ready(void *arg)
{
    struct log_feed *feed = arg;
    if (feed->stream)
        stream_wake(feed->stream);
}

static ssize_t log_pull(void *arg, void *data, size_t room)
{
    struct log_feed *feed = arg;
    ssize_t n = core_log_read(feed->log, data, room);
    return n == -EAGAIN && !feed->follow ? 0 : n;
}

static void log_close(void *arg)
{
    struct log_feed *feed = arg;
    core_log_close(feed->log);
    free(feed);
}

void handle_job_logs(struct request *request)
{
    static const struct stream_source source = {
        .content_type = "text/plain; charset=utf-8", .pull = log_pull, .close = log_close};
    struct error err = {0};
    uint64_t offset = 0;
    bool follow = false;
    if (request_query_bool(request, "follow", &follow, &err) < 0 ||
        request_query_u64(request, "offset", &offset, &err) < 0) {
        request_answer_problem(request, &err);
        return;
    }
    struct log_feed *feed = calloc(1, sizeof(*feed));
    int r = feed ? core_log_open(request_core(request), request_param(request, 0), offset,
                                 log_ready, feed, &feed->log, &err)
                 : error_set(&err, -ENOMEM, "out-of-memory", "opening the log");
    if (r < 0) {
        free(feed);
        request_answer_problem(request, &err);
        return;
    }
    feed->follow = follow;
    stream_start(request, &source, feed, &feed->stream);
}
