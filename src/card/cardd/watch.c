/* Readable descriptors: see watch.h. */
#include "card/cardd/watch.h"

struct watch {
    uv_poll_t poll;
    void (*readable)(void *arg);
    void *arg;
};

static void watch_closed(uv_handle_t *handle)
{
    free(handle->data);
}

/* An error of the descriptor counts as readable: the reader sees it when it reads. */
static void watch_ready(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = poll->data;
    watch->readable(watch->arg);
}

struct watch *watch_start(uv_loop_t *loop, int fd, void (*readable)(void *arg), void *arg)
{
    struct watch *watch = calloc(1, sizeof(*watch));
    if (!watch)
        return NULL;
    watch->readable = readable;
    watch->arg = arg;
    watch->poll.data = watch;
    if (uv_poll_init(loop, &watch->poll, fd) < 0) {
        free(watch);
        return NULL;
    }
    if (uv_poll_start(&watch->poll, UV_READABLE, watch_ready) < 0) {
        watch_stop(watch);
        return NULL;
    }
    return watch;
}

void watch_stop(struct watch *watch)
{
    if (watch)
        uv_close((uv_handle_t *)&watch->poll, watch_closed);
}
