/* The interface as a whole: opening the doors, the sweep, closing down. */
#include "api/api.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "api/api_impl.h"
#include "api/listen.h"
#include "api/request.h"
#include "api/server.h"
#include "api/token.h"
#include "base/cleanup.h"
#include "base/error.h"

static int door_open(struct api *api, unsigned which, int listen_fd, struct uv_loop_s *loop,
                     struct error *err)
{
    struct door *door = &api->doors[which];
    if (listen_fd < 0)
        return listen_fd; /* err is set */
    door->api = api;
    return server_create(&(struct server_options){.loop = loop,
                                                  .listen_fd = listen_fd,
                                                  .access = request_access,
                                                  .completed = request_completed,
                                                  .arg = door},
                         &door->server, err);
}

static int doors_open(struct api *api, const struct api_options *options, struct error *err)
{
    int r = door_open(api, DOOR_UNIX, listen_unix(options->socket_path, err), options->loop, err);
    if (r < 0 || !options->listen)
        return r;
    char token[TOKEN_TEXT_MAX];
    r = token_load(options->token_path, token, err);
    if (r < 0)
        return r;
    api->doors[DOOR_TCP].token = strdup(token);
    if (!api->doors[DOOR_TCP].token)
        return error_set(err, -ENOMEM, "out-of-memory", "opening the doors");
    return door_open(api, DOOR_TCP, listen_tcp(options->listen, err), options->loop, err);
}

static void on_sweep(uv_timer_t *timer)
{
    request_sweep(timer->data);
}

static void abandon(void *api)
{
    api_destroy(api);
}

int api_create(const struct api_options *options, struct api **ret_api, struct error *err)
{
    struct api *api = calloc(1, sizeof(*api));
    char *path = strdup(options->socket_path);
    if (!api || !path) {
        free(api);
        free(path);
        return error_set(err, -ENOMEM, "out-of-memory", "starting the interface");
    }
    api->core = options->core;
    api->socket_path = path;
    list_init(&api->requests);
    (void)uv_timer_init(options->loop, &api->sweep); /* cannot fail */
    api->sweep.data = api;
    int r = doors_open(api, options, err);
    if (r < 0) {
        api_stop(api, abandon, api);
        return r;
    }
    (void)uv_timer_start(&api->sweep, on_sweep, API_SWEEP_MS, API_SWEEP_MS);
    *ret_api = api;
    return 0;
}

void api_drain(struct api *api)
{
    api->draining = true;
    for (size_t i = 0; i < DOOR_COUNT; i++) {
        if (api->doors[i].server)
            server_quiesce(api->doors[i].server);
    }
    request_drain(api);
}

static void closed_one(void *arg)
{
    struct api *api = arg;
    if (--api->closing == 0)
        api->stopped(api->stopped_arg);
}

static void on_sweep_closed(uv_handle_t *handle)
{
    closed_one(handle->data);
}

void api_stop(struct api *api, void (*stopped)(void *arg), void *arg)
{
    api->stopped = stopped;
    api->stopped_arg = arg;
    api->closing = 1;
    for (size_t i = 0; i < DOOR_COUNT; i++) {
        struct server *server = api->doors[i].server;
        if (!server)
            continue;
        api->closing++;
        server_close(server, closed_one, api);
        api->doors[i].server = NULL;
        if (i == DOOR_UNIX)
            (void)unlink(api->socket_path); /* a socket that went by itself is fine */
    }
    uv_close((uv_handle_t *)&api->sweep, on_sweep_closed);
}

void api_destroy(struct api *api)
{
    if (!api)
        return;
    for (size_t i = 0; i < DOOR_COUNT; i++)
        free(api->doors[i].token);
    free(api->socket_path);
    free(api);
}
