/* The connection to leat-cardd: newline-delimited JSON over its control socket, made again whenever
 * it breaks, and the daemon started when none answers. What the answers mean is for others to
 * say. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "core/core_impl.h"

#define RETRY_FIRST_MS 10
#define RETRY_MAX_MS 500
#define SPAWN_EVERY_MS 2000 /* at most one start of leat-cardd in this time */
#define LINE_LIMIT_BYTES (4u << 20)

struct ask {
    struct list link;
    uint64_t id, job;
    cards_reply_fn *reply;
};

struct cards {
    struct core *core;
    uv_pipe_t *pipe;       /* NULL between connections */
    uv_process_t *process; /* the leat-cardd that we started; NULL: none, or it has ended */
    uv_connect_t connect;
    uv_timer_t retry;
    bool connected, closing;
    uint64_t retry_ms, spawn_allowed_ms, next_id;
    struct list asks;
    struct buf input;
    char chunk[65536];
    char instance[128];
};

struct outgoing {
    uv_write_t write;
    char text[];
};

static void cards_connect(struct cards *cards);

/* -- starting the daemon -- */

static void on_process_closed(uv_handle_t *handle)
{
    free(handle);
}

static void on_process_exit(uv_process_t *process, int64_t status, int number)
{
    (void)status;
    (void)number; /* the socket tells us what we need to know */
    struct cards *cards = process->data;
    cards->process = NULL;
    uv_close((uv_handle_t *)process, on_process_closed);
}

/* Its own session, so that it and the cards survive us; its words go to a file beside the
 * socket. */
static int daemon_start(struct cards *cards)
{
    struct core *core = cards->core;
    char log[PATH_MAX];
    if (snprintf(log, sizeof(log), "%s/leat-cardd.log", core->run_dir) >= (int)sizeof(log))
        return -ENAMETOOLONG;
    AUTO_FD int log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0)
        return -errno;
    char run_dir_option[] = "--run-dir";
    char *args[] = {core->cardd_path, run_dir_option, core->run_dir, NULL};
    uv_stdio_container_t stdio[] = {
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data.fd = log_fd},
        {.flags = UV_INHERIT_FD, .data.fd = log_fd},
    };
    uv_process_options_t options = {
        .file = core->cardd_path,
        .args = args,
        .flags = UV_PROCESS_DETACHED,
        .stdio = stdio,
        .stdio_count = 3,
        .exit_cb = on_process_exit,
    };
    uv_process_t *process = calloc(1, sizeof(*process));
    if (!process)
        return -ENOMEM;
    process->data = cards;
    int r = uv_spawn(core->loop, process, &options);
    if (r < 0) {
        uv_close((uv_handle_t *)process, on_process_closed);
        return r;
    }
    uv_unref((uv_handle_t *)process);
    cards->process = process;
    return 0;
}

static void daemon_start_if_allowed(struct cards *cards)
{
    struct core *core = cards->core;
    if (!core->cardd_path[0] || cards->process || uv_now(core->loop) < cards->spawn_allowed_ms)
        return;
    cards->spawn_allowed_ms = uv_now(core->loop) + SPAWN_EVERY_MS;
    cards->retry_ms = RETRY_FIRST_MS;
    int r = daemon_start(cards);
    if (r < 0)
        log_event(LOG_ERROR, "cardd.start", "path=\"%s\" errno=%d", core->cardd_path, -r);
    else
        log_event(LOG_INFO, "cardd.start", "path=\"%s\"", core->cardd_path);
}

/* -- the connection -- */

static void on_retry(uv_timer_t *timer)
{
    cards_connect(timer->data);
}

static void on_pipe_closed(uv_handle_t *handle)
{
    struct cards *cards = handle->data;
    struct core *core = cards->core;
    free(handle);
    cards->pipe = NULL;
    core_handle_closed(core);
    if (cards->closing)
        return;
    (void)uv_timer_start(&cards->retry, on_retry, cards->retry_ms, 0); /* never NULL */
    cards->retry_ms = cards->retry_ms * 2 < RETRY_MAX_MS ? cards->retry_ms * 2 : RETRY_MAX_MS;
}

static void cards_break(struct cards *cards)
{
    struct error err;
    (void)error_set(&err, -ECONNRESET, "card-daemon-away",
                    "the connection to leat-cardd broke before it answered");
    if (!cards->pipe || uv_is_closing((uv_handle_t *)cards->pipe))
        return;
    if (cards->connected)
        log_event(LOG_WARN, "cardd.away", "instance=\"%s\"", cards->instance);
    cards->connected = cards->core->cards_known = false;
    buf_clear(&cards->input);
    uv_close((uv_handle_t *)cards->pipe, on_pipe_closed);
    while (!list_empty(&cards->asks)) {
        struct ask *ask = LIST_ENTRY(cards->asks.next, struct ask, link);
        list_remove(&ask->link);
        ask->reply(cards->core, ask->job, NULL, &err);
        free(ask);
    }
}

static void on_written(uv_write_t *write, int status)
{
    struct cards *cards = write->data;
    free(LIST_ENTRY(write, struct outgoing, write));
    if (status < 0 && status != UV_ECANCELED)
        cards_break(cards);
}

static int send_text(struct cards *cards, const char *text)
{
    size_t length = strlen(text);
    struct outgoing *outgoing = malloc(sizeof(*outgoing) + length + 1);
    if (!outgoing)
        return -ENOMEM;
    memcpy(outgoing->text, text, length);
    outgoing->text[length] = '\n';
    outgoing->write.data = cards;
    uv_buf_t piece = uv_buf_init(outgoing->text, (unsigned)length + 1);
    int r = uv_write(&outgoing->write, (uv_stream_t *)cards->pipe, &piece, 1, on_written);
    if (r < 0)
        free(outgoing);
    return r;
}

static int ask_send(struct cards *cards, const char *op, json_t *request, uint64_t id)
{
    if (json_object_set_new(request, "id", json_integer((json_int_t)id)) < 0 ||
        json_object_set_new(request, "op", json_string(op)) < 0)
        return -ENOMEM;
    AUTO_FREE char *text = json_text(request);
    return text ? send_text(cards, text) : -ENOMEM;
}

int cards_ask(struct core *core, const char *op, json_t *params, cards_reply_fn *reply,
              uint64_t job)
{
    struct cards *cards = core->cards;
    AUTO_JSON json_t *request = params ? params : json_object();
    if (!cards || !cards->connected)
        return -ENOTCONN;
    AUTO_FREE struct ask *ask = calloc(1, sizeof(*ask));
    if (!ask || !request)
        return -ENOMEM;
    *ask = (struct ask){.id = ++cards->next_id, .job = job, .reply = reply};
    int r = ask_send(cards, op, request, ask->id);
    if (r < 0)
        return r;
    list_append(&cards->asks, &ask->link);
    (void)TAKE(ask);
    return 0;
}

static struct ask *ask_find(struct cards *cards, uint64_t id)
{
    LIST_EACH (link, &cards->asks) {
        struct ask *ask = LIST_ENTRY(link, struct ask, link);
        if (ask->id == id)
            return ask;
    }
    return NULL;
}

static void failure_decode(const json_t *failure, struct error *ret_err)
{
    int errnum = (int)json_integer_value(json_object_get(failure, "errno"));
    const char *code = json_string_value(json_object_get(failure, "code"));
    const char *text = json_string_value(json_object_get(failure, "text"));
    (void)error_set(ret_err, errnum < 0 ? errnum : -EIO, code ? code : "card-daemon-error", "%s",
                    text ? text : "leat-cardd refused without a reason");
}

static void answer_take(struct cards *cards, const json_t *message)
{
    uint64_t id = (uint64_t)json_integer_value(json_object_get(message, "id"));
    const json_t *failure = json_object_get(message, "error");
    AUTO_FREE struct ask *ask = ask_find(cards, id);
    struct error err;
    if (!ask)
        return;
    list_remove(&ask->link);
    if (failure)
        failure_decode(failure, &err);
    ask->reply(cards->core, ask->job, failure ? NULL : json_object_get(message, "result"),
               failure ? &err : NULL);
}

static void event_take(struct cards *cards, const char *event, const json_t *message)
{
    const char *card = json_string_value(json_object_get(message, "card"));
    struct live_job *live = card ? core_find_text(cards->core, card) : NULL;
    if (live && strcmp(event, "card.wants_share") == 0)
        idle_wants_share(cards->core, live);
}

static void line_take(struct cards *cards, const char *line, size_t length)
{
    struct error err;
    AUTO_JSON json_t *message = json_parse(line, length, LINE_LIMIT_BYTES, &err);
    const char *event = json_string_value(json_object_get(message, "event"));
    if (!message) {
        log_event(LOG_ERROR, "cardd.message", "text=\"%s\"", err.text);
        cards_break(cards);
    } else if (event) {
        event_take(cards, event, message);
    } else {
        answer_take(cards, message);
    }
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    (void)suggested;
    struct cards *cards = handle->data;
    *ret_buf = uv_buf_init(cards->chunk, sizeof(cards->chunk));
}

static void on_read(uv_stream_t *stream, ssize_t length, const uv_buf_t *chunk)
{
    struct cards *cards = stream->data;
    if (length < 0 || (length > 0 && buf_append(&cards->input, chunk->base, (size_t)length) < 0) ||
        cards->input.length > LINE_LIMIT_BYTES) {
        cards_break(cards);
        return;
    }
    size_t begin = 0;
    while (cards->connected && begin < cards->input.length) {
        char *line = cards->input.data + begin;
        char *end = memchr(line, '\n', cards->input.length - begin);
        if (!end)
            break;
        begin = (size_t)(end - cards->input.data) + 1;
        line_take(cards, line, (size_t)(end - line));
    }
    if (cards->connected)
        buf_drop_front(&cards->input, begin);
}

static void on_hello(struct core *core, uint64_t job, json_t *result, const struct error *err)
{
    (void)job;
    const char *instance = json_string_value(json_object_get(result, "instance"));
    if (err)
        return;
    (void)snprintf(core->cards->instance, sizeof(core->cards->instance), "%s",
                   instance ? instance : "");
    core->counters.card_reconnects++;
    log_event(LOG_INFO, "cardd.connected", "instance=\"%s\"", core->cards->instance);
    reconcile_card_daemon(core);
}

static void on_connected(uv_connect_t *connect, int status)
{
    struct cards *cards = connect->data;
    struct core *core = cards->core;
    if (uv_is_closing((uv_handle_t *)cards->pipe))
        return;
    if (status < 0) {
        daemon_start_if_allowed(cards);
        cards_break(cards);
        return;
    }
    cards->connected = true;
    cards->retry_ms = RETRY_FIRST_MS;
    if (uv_read_start((uv_stream_t *)cards->pipe, on_room, on_read) < 0 ||
        cards_ask(core, "hello", NULL, on_hello, 0) < 0)
        cards_break(cards);
}

static void cards_connect(struct cards *cards)
{
    char path[PATH_MAX];
    if (cards->closing || cards->pipe)
        return;
    cards->pipe = calloc(1, sizeof(*cards->pipe));
    if (!cards->pipe ||
        snprintf(path, sizeof(path), "%s/cardd.sock", cards->core->run_dir) >= (int)sizeof(path)) {
        free(cards->pipe);
        cards->pipe = NULL;
        (void)uv_timer_start(&cards->retry, on_retry, RETRY_MAX_MS, 0); /* never NULL */
        return;
    }
    (void)uv_pipe_init(cards->core->loop, cards->pipe, 0); /* never fails */
    core_handle_open(cards->core);
    cards->pipe->data = cards;
    cards->connect.data = cards;
    uv_pipe_connect(&cards->connect, cards->pipe, path, on_connected);
}

int cards_open(struct core *core)
{
    struct cards *cards = calloc(1, sizeof(*cards));
    if (!cards)
        return -ENOMEM;
    core->cards = cards;
    cards->core = core;
    cards->retry_ms = RETRY_FIRST_MS;
    list_init(&cards->asks);
    (void)uv_timer_init(core->loop, &cards->retry); /* never fails */
    core_handle_open(core);
    cards->retry.data = cards;
    cards_connect(cards);
    return 0;
}

static void on_retry_closed(uv_handle_t *handle)
{
    struct cards *cards = handle->data;
    core_handle_closed(cards->core);
}

void cards_close(struct core *core)
{
    struct cards *cards = core->cards;
    if (!cards || cards->closing)
        return;
    cards->closing = true;
    uv_close((uv_handle_t *)&cards->retry, on_retry_closed);
    if (cards->process)
        uv_close((uv_handle_t *)cards->process, on_process_closed); /* it lives on */
    cards->process = NULL;
    cards_break(cards);
}

void cards_destroy(struct core *core)
{
    if (core->cards)
        buf_finish(&core->cards->input);
    free(core->cards);
    core->cards = NULL;
}

bool cards_connected(const struct core *core)
{
    return core->cards && core->cards->connected;
}

const char *cards_instance(const struct core *core)
{
    return core->cards ? core->cards->instance : "";
}
