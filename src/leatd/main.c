/* leatd: puts core and the REST interface on one loop and answers signals. SIGTERM and SIGINT leave
 * in order, with jobs, containers and cards running on; SIGHUP reads templates again. */
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "api/api.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/path.h"
#include "core/core.h"
#include "leatd/config.h"
#include "leatd/host.h"

static const int watched_signals[] = {SIGTERM, SIGINT, SIGHUP};

#define READY_PATIENCE_MS 5000
#define SIGNALS (sizeof(watched_signals) / sizeof(watched_signals[0]))

struct daemon {
    uv_loop_t loop;
    uv_signal_t signals[SIGNALS];
    struct core *core;
    struct api *api;     /* NULL when it could not start */
    uv_timer_t patience; /* for the cards to become known */
    const struct config *config;
    char manager[HOST_MANAGER_MAX];
    char socket_path[PATH_MAX];
    bool stopping;
};

static void on_api_stopped(void *arg)
{
    struct daemon *daemon = arg;
    for (size_t i = 0; i < SIGNALS; i++)
        uv_close((uv_handle_t *)&daemon->signals[i], NULL);
    core_destroy(daemon->core); /* here, because the engine's handles need the loop to close */
    daemon->core = NULL;
}

static void on_core_stopped(void *arg)
{
    struct daemon *daemon = arg;
    if (daemon->api)
        api_stop(daemon->api, on_api_stopped, daemon);
    else
        on_api_stopped(daemon);
}

static void daemon_stop(struct daemon *daemon)
{
    daemon->stopping = true;
    if (uv_is_active((uv_handle_t *)&daemon->patience))
        uv_close((uv_handle_t *)&daemon->patience, NULL);
    host_notify(daemon->manager, "STOPPING=1");
    if (daemon->api)
        api_drain(daemon->api);
    core_stop(daemon->core, on_core_stopped, daemon);
}

static void daemon_reload(struct daemon *daemon)
{
    struct error err = {.code = "done", .text = "templates are read again"};
    int r = daemon->stopping ? 0 : core_reload(daemon->core, &err);
    log_event(r < 0 ? LOG_ERROR : LOG_INFO, "leatd.reload", "code=%s text=\"%s\"", err.code,
              err.text);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct daemon *daemon = handle->data;
    if (number == SIGHUP) {
        daemon_reload(daemon);
    } else if (daemon->stopping) {
        _exit(128 + number); /* asked twice: what is durable is durable */
    } else {
        log_event(LOG_INFO, "leatd.stopping", "signal=%d", number);
        daemon_stop(daemon);
    }
}

static void signals_watch(struct daemon *daemon)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &ignore, NULL); /* cannot fail; writes report EPIPE instead */
    for (size_t i = 0; i < SIGNALS; i++) {
        uv_signal_t *handle = &daemon->signals[i];
        (void)uv_signal_init(&daemon->loop, handle); /* cannot fail on a fresh loop */
        handle->data = daemon;
        (void)uv_signal_start(handle, on_signal, watched_signals[i]);
    }
}

static int api_open(struct daemon *daemon, struct error *err)
{
    char token_path[PATH_MAX];
    if (path_join(daemon->config->state_dir, "token", token_path, err) < 0)
        return err->errnum;
    return api_create(&(struct api_options){.loop = &daemon->loop,
                                            .core = daemon->core,
                                            .socket_path = daemon->socket_path,
                                            .listen = daemon->config->listen,
                                            .token_path = token_path},
                      &daemon->api, err);
}

static void ready(void *arg)
{
    struct daemon *daemon = arg;
    const struct config *config = daemon->config;
    if (uv_is_closing((uv_handle_t *)&daemon->patience))
        return; /* said already, or on the way out */
    uv_close((uv_handle_t *)&daemon->patience, NULL);
    (void)printf("leatd %s ready on %s%s%s\n", LEAT_VERSION, daemon->socket_path,
                 config->listen ? " and " : "", config->listen ? config->listen : "");
    (void)fflush(stdout);
    host_notify(daemon->manager, "READY=1");
    log_event(LOG_INFO, "leatd.ready", "version=%s socket=\"%s\" state=\"%s\" data=\"%s\"",
              LEAT_VERSION, daemon->socket_path, config->state_dir, config->data_dir);
}

static void on_patience(uv_timer_t *timer)
{
    log_event(LOG_WARN, "leatd.impatient", "text=\"the cards of this machine are not known yet\"");
    ready(timer->data);
}

/* Whoever waits for us wants to list devices and place jobs, so the cards are waited for, but not
 * for ever. */
static void ready_when_known(struct daemon *daemon)
{
    (void)uv_timer_init(&daemon->loop, &daemon->patience); /* never fails */
    daemon->patience.data = daemon;
    (void)uv_timer_start(&daemon->patience, on_patience, READY_PATIENCE_MS, 0); /* nor does this */
    if (*daemon->config->cardd)
        core_on_known(daemon->core, ready, daemon);
    else
        ready(daemon);
}

/* Serve until a signal ends it. A start that fails leaves in the same order. */
static int daemon_run(struct daemon *daemon, const struct config *config, struct error *err)
{
    if (path_join(config->run_dir, "leatd.sock", daemon->socket_path, err) < 0)
        return err->errnum;
    int r = core_create(&(struct core_options){.loop = &daemon->loop,
                                               .run_dir = config->run_dir,
                                               .state_dir = config->state_dir,
                                               .data_dir = config->data_dir,
                                               .cardd_path = *config->cardd ? config->cardd : NULL,
                                               .engine_name = config->engine,
                                               .loan_minimum_ms = config->loan_minimum_ms,
                                               .loan_notice_ms = config->loan_notice_ms,
                                               .no_preemption = config->no_preemption,
                                               .moves_per_hour = (uint32_t)config->moves_per_hour},
                        &daemon->core, err);
    if (r < 0)
        return r;
    signals_watch(daemon);
    r = core_start(daemon->core, err);
    if (r == 0)
        r = api_open(daemon, err);
    if (r == 0)
        ready_when_known(daemon);
    else
        daemon_stop(daemon);
    (void)uv_run(&daemon->loop, UV_RUN_DEFAULT); /* ends when every handle is closed */
    return r;
}

static int serve(const struct config *config, struct error *err)
{
    struct daemon daemon = {.config = config};
    (void)umask(022);
    host_manager_take(daemon.manager);
    AUTO_FD int state_lock = host_lock(config->state_dir, "leatd.lock", err);
    if (state_lock < 0)
        return err->errnum;
    AUTO_FD int run_lock = host_lock(config->run_dir, "leatd.run.lock", err);
    if (run_lock < 0)
        return err->errnum;
    int r = uv_loop_init(&daemon.loop);
    if (r < 0)
        return error_set(err, r, "no-loop", "cannot make an event loop: %s", uv_strerror(r));
    r = daemon_run(&daemon, config, err);
    api_destroy(daemon.api);
    core_destroy(daemon.core);         /* of a start that failed */
    (void)uv_loop_close(&daemon.loop); /* handles left by a failed start end with the process */
    return r;
}

int main(int argc, char **argv)
{
    struct error err = {0};
    struct config config = {0};
    int r = config_read(argc, argv, &config, &err);
    if (r == 0 && config.action == CONFIG_SHOW_HELP)
        config_print_help();
    else if (r == 0 && config.action == CONFIG_SHOW_VERSION)
        (void)printf("leatd %s\n", LEAT_VERSION);
    else if (r == 0 && config.action == CONFIG_SHOW_ROUTES)
        api_print_routes(stdout);
    else if (r == 0)
        r = serve(&config, &err);
    config_finish(&config);
    if (r < 0)
        (void)fprintf(stderr, "leatd: %s\n", err.text);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
