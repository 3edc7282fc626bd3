/* An answer without a known end: bytes are pulled when the connection can take them, so a slow
 * reader holds no memory beyond its own block. */
#ifndef LEAT_API_STREAM_H
#define LEAT_API_STREAM_H

#include <stddef.h>
#include <sys/types.h>

struct error;
struct request;
struct stream;

#define STREAM_BLOCK_BYTES 16384

/* What sends. All run on the loop. */
struct stream_source {
    const char *content_type;
    /* Bytes put into `data`; 0: the end; -EAGAIN: nothing now, stream_wake will be called. */
    ssize_t (*pull)(void *source, void *data, size_t room);
    /* Optional: called every few seconds while nothing is sent. */
    void (*tick)(void *source);
    void (*close)(void *source); /* the stream is over; `source` is the callee's to free */
};

/* Answer `request` with what `source` gives. Takes `source`; on failure it is closed and the
 * request answered with a problem. */
void stream_start(struct request *request, const struct stream_source *kind, void *source,
                  struct stream **ret_stream);
void stream_wake(struct stream *stream); /* there is something to pull */
void stream_end(struct stream *stream);  /* finish with what was sent */
void stream_tick(struct stream *stream);

#endif
