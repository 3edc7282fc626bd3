/* libmicrohttpd on the loop: its epoll descriptor is polled, its timeout drives a timer. */
#include "api/server.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <unistd.h>
#include <uv.h>

#include "api/api_impl.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"

#define CLOSING_TURNS 3 /* wake, queue and send the answers that were given just before */

struct server {
    struct MHD_Daemon *daemon;
    uv_poll_t poll;
    uv_timer_t timer;
    int listen_fd; /* ours again after server_quiesce; -1 before */
    unsigned handles;
    void (*closed)(void *arg);
    void *arg;
};

static void on_timer(uv_timer_t *timer);

static void server_run(struct server *server)
{
    uint32_t before = server_connections(server);
    (void)MHD_run(server->daemon); /* its errors concern single connections */
    MHD_UNSIGNED_LONG_LONG wait_ms;
    /* A full house stops listening, and begins again only in the run after room was made. */
    if (before >= API_CONNECTIONS_MAX && server_connections(server) < before)
        server_wake(server);
    else if (MHD_get_timeout(server->daemon, &wait_ms) == MHD_YES)
        (void)uv_timer_start(&server->timer, on_timer, wait_ms, 0);
    else
        (void)uv_timer_stop(&server->timer);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    server_run(poll->data);
}

static void on_timer(uv_timer_t *timer)
{
    server_run(timer->data);
}

static void __attribute__((format(printf, 2, 0)))
on_log(void *arg, const char *format, va_list args)
{
    char text[256];
    (void)vsnprintf(text, sizeof(text), format, args); /* a long message may be cut */
    log_event(LOG_DEBUG, "http.message", "text=\"%s\"", text);
}

static struct MHD_Daemon *daemon_start(const struct server_options *options)
{
    return MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_TURBO | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL,
        options->access, options->arg, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
        MHD_OPTION_LISTEN_SOCKET, options->listen_fd, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)API_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)API_HEADER_MAX_BYTES, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)API_IDLE_CONNECTION_S, MHD_OPTION_NOTIFY_COMPLETED, options->completed,
        options->arg, MHD_OPTION_END);
}

static int server_watch(struct server *server, struct uv_loop_s *loop)
{
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (!info)
        return -EIO;
    int r = uv_poll_init(loop, &server->poll, info->epoll_fd);
    if (r < 0)
        return r;
    (void)uv_timer_init(loop, &server->timer); /* cannot fail */
    server->handles = 2;
    server->poll.data = server->timer.data = server;
    return uv_poll_start(&server->poll, UV_READABLE, on_poll);
}

int server_create(const struct server_options *options, struct server **ret_server,
                  struct error *err)
{
    struct server *server = calloc(1, sizeof(*server));
    if (!server) {
        (void)close(options->listen_fd);
        return error_set(err, -ENOMEM, "out-of-memory", "starting the HTTP server");
    }
    server->listen_fd = -1;
    server->daemon = daemon_start(options);
    if (!server->daemon) {
        (void)close(options->listen_fd);
        free(server);
        return error_set(err, -EIO, "http-failed", "libmicrohttpd does not start");
    }
    int r = server_watch(server, options->loop);
    if (r < 0) {
        server_close(server, NULL, NULL);
        return error_set(err, r, "http-failed", "cannot watch the HTTP server: %s", uv_strerror(r));
    }
    *ret_server = server;
    return 0;
}

void server_wake(struct server *server)
{
    (void)uv_timer_start(&server->timer, on_timer, 0, 0);
}

void server_quiesce(struct server *server)
{
    if (server->listen_fd < 0)
        server->listen_fd = MHD_quiesce_daemon(server->daemon);
}

static void server_free(struct server *server)
{
    void (*closed)(void *arg) = server->closed;
    void *arg = server->arg;
    free(server);
    if (closed)
        closed(arg);
}

static void on_closed(uv_handle_t *handle)
{
    struct server *server = handle->data;
    if (--server->handles == 0)
        server_free(server);
}

void server_close(struct server *server, void (*closed)(void *arg), void *arg)
{
    server->closed = closed;
    server->arg = arg;
    if (server->handles == 2)
        (void)uv_poll_stop(&server->poll);
    for (int turn = 0; turn < CLOSING_TURNS; turn++)
        (void)MHD_run(server->daemon);
    MHD_stop_daemon(server->daemon);
    if (server->listen_fd >= 0)
        (void)close(server->listen_fd);
    if (server->handles == 0) {
        server_free(server);
        return;
    }
    uv_close((uv_handle_t *)&server->poll, on_closed);
    uv_close((uv_handle_t *)&server->timer, on_closed);
}

uint32_t server_connections(const struct server *server)
{
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
    return info ? info->num_connections : 0;
}
