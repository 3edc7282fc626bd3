/* Streamed answers: see stream.h. */
#include "api/stream.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "api/api_impl.h"
#include "api/request.h"
#include "base/error.h"

struct stream {
    struct request *request; /* a reference */
    const struct stream_source *kind;
    void *source;
    bool woken; /* since the last pull */
    bool ended;
};

static ssize_t stream_read(void *arg, uint64_t position, char *data, size_t room)
{
    struct stream *stream = arg;
    for (;;) {
        if (stream->ended)
            return MHD_CONTENT_READER_END_OF_STREAM;
        stream->woken = false;
        ssize_t n = stream->kind->pull(stream->source, data, room);
        if (n > 0)
            return n;
        if (n == 0)
            return MHD_CONTENT_READER_END_OF_STREAM;
        if (n != -EAGAIN)
            return MHD_CONTENT_READER_END_WITH_ERROR;
        if (!stream->woken && !stream->ended)
            break;
    }
    request_suspend(stream->request);
    return 0;
}

static void stream_finish(void *arg)
{
    struct stream *stream = arg;
    request_api(stream->request)->streams--;
    stream->kind->close(stream->source);
    request_stream_over(stream->request);
    free(stream);
}

void stream_start(struct request *request, const struct stream_source *kind, void *source,
                  struct stream **ret_stream)
{
    struct api *api = request_api(request);
    struct stream *stream = api->streams < API_STREAMS_MAX ? calloc(1, sizeof(*stream)) : NULL;
    if (!stream) {
        struct error err;
        error_set(&err, -EAGAIN, "too-many-streams",
                  "%u streams are open, the limit is %d; end one and try again", api->streams,
                  API_STREAMS_MAX);
        kind->close(source);
        request_answer_problem(request, &err);
        return;
    }
    api->streams++;
    *stream = (struct stream){.request = request_await(request), .kind = kind, .source = source};
    *ret_stream = stream;
    request_answer_stream(request, kind->content_type, stream_read, stream_finish, stream);
}

void stream_wake(struct stream *stream)
{
    stream->woken = true;
    request_resume(stream->request);
}

void stream_end(struct stream *stream)
{
    stream->ended = true;
    request_resume(stream->request);
}

void stream_tick(struct stream *stream)
{
    if (stream->kind->tick)
        stream->kind->tick(stream->source);
}
