/* The control socket: see control.h. */
#include "card/cardd/control.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"
#include "base/list.h"
#include "base/log.h"
#include "card/cardd/card.h"
#include "card/cardd/cardd.h"
#include "card/cardd/device.h"
#include "card/cardd/phase.h"
#include "card/cardd/protocol.h"
#include "card/cardd/tracing.h"

/* Room for what is read at once, so that a usual request is never moved. */
#define INPUT_ROOM_BYTES 4096

struct control {
    uv_pipe_t listener;
    struct cardd *cardd;
    struct list connections;
    unsigned count;
    uint64_t last_number;
    char scratch[16384]; /* what libuv reads into; copied at once */
};

struct connection {
    uv_pipe_t pipe;
    struct list link;
    struct cardd *cardd;
    struct control *control; /* gone before the connection is freed when both are closed */
    uint64_t number;         /* never used twice */
    struct buf input;
    unsigned unanswered; /* requests */
    bool subscribed;
    bool bound; /* cards go with it */
    bool closing;
};

/* One line on its way out. */
struct outgoing {
    uv_write_t write;
    bool is_answer;
    char *text;
};

/* What it has sent and was not answered would be lost with this process. */
static void connection_note(const struct connection *connection)
{
    if (connection->bound && !connection->closing)
        cardd_connection_busy(connection->cardd, connection->number,
                              connection->unanswered > 0 || connection->input.length > 0);
}

static void connection_freed(uv_handle_t *handle)
{
    struct connection *connection = handle->data;
    cardd_connection_closed(connection->cardd, connection->number);
    buf_finish(&connection->input);
    free(connection);
}

/* What hangs on the connection is undone on the loop, so that a list of connections that is being
 * walked only ever loses the one that was closed. */

static void connection_close(struct connection *connection)
{
    if (connection->closing)
        return;
    connection->closing = true;
    list_remove(&connection->link);
    connection->control->count--;
    uv_close((uv_handle_t *)&connection->pipe, connection_freed);
}

static void outgoing_sent(uv_write_t *write, int status)
{
    struct outgoing *outgoing = write->data;
    struct connection *connection = write->handle->data;
    connection->unanswered -= outgoing->is_answer;
    connection_note(connection);
    free(outgoing->text);
    free(outgoing);
}

/* Send a line, which is taken over. NULL (out of memory) ends the connection: an answer that does
 * not come would leave the other side waiting. */
static void connection_send(struct connection *connection, char *line, bool is_answer)
{
    struct outgoing *outgoing = line ? calloc(1, sizeof(*outgoing)) : NULL;
    uv_stream_t *stream = (uv_stream_t *)&connection->pipe;
    if (!outgoing || uv_stream_get_write_queue_size(stream) > CONTROL_UNSENT_MAX_BYTES) {
        free(outgoing);
        free(line);
        connection_close(connection);
        return;
    }
    outgoing->text = line;
    outgoing->is_answer = is_answer;
    outgoing->write.data = outgoing;
    uv_buf_t data = uv_buf_init(line, (unsigned)strlen(line));
    if (uv_write(&outgoing->write, stream, &data, 1, outgoing_sent) < 0) {
        free(line);
        free(outgoing);
        connection_close(connection);
    }
}

static struct connection *connection_find(const struct control *control, uint64_t number)
{
    LIST_EACH (link, &control->connections) {
        struct connection *connection = LIST_ENTRY(link, struct connection, link);
        if (connection->number == number)
            return connection;
    }
    return NULL;
}

void control_answer(struct control *control, uint64_t connection, uint64_t request,
                    struct json_t *result)
{
    struct connection *to = connection_find(control, connection);
    if (to)
        connection_send(to, control_result_line(request, result), true);
    else
        json_decref(result);
}

void control_refuse(struct control *control, uint64_t connection, uint64_t request,
                    const struct error *error)
{
    struct connection *to = connection_find(control, connection);
    if (to)
        connection_send(to, control_error_line(request, error), true);
}

void control_event(struct control *control, const char *event, struct json_t *members)
{
    char *line = control_event_line(event, members);
    LIST_EACH_SAFE (link, after, &control->connections) {
        struct connection *connection = LIST_ENTRY(link, struct connection, link);
        if (line && connection->subscribed)
            connection_send(connection, strdup(line), false);
    }
    free(line);
}

/* Operations: each gives its result, or NULL with err set. An operation that answers later gives
 * NULL and leaves err alone. */
typedef json_t *operate(struct connection *connection, const struct control_request *request,
                        struct error *err);

static json_t *op_hello(struct connection *connection, const struct control_request *request,
                        struct error *err)
{
    return json_pack("{ss si ss}", "version", LEAT_VERSION, "pid", (int)getpid(), "instance",
                     connection->cardd->instance);
}

static json_t *op_device_list(struct connection *connection, const struct control_request *request,
                              struct error *err)
{
    json_t *list = devices_json(&connection->cardd->devices);
    return list ? json_pack("{so}", "devices", list) : NULL;
}

/* The user at the other end; ours when the kernel does not say, for others cannot connect. */
static uid_t peer_uid(const struct connection *connection)
{
    struct ucred peer;
    socklen_t length = sizeof(peer);
    int fd;
    if (uv_fileno((const uv_handle_t *)&connection->pipe, &fd) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
        return geteuid();
    return peer.uid;
}

static json_t *op_card_create(struct connection *connection, const struct control_request *request,
                              struct error *err)
{
    struct card *card;
    struct cardd_caller caller = {.connection = connection->number, .uid = peer_uid(connection)};
    (void)uv_fileno((const uv_handle_t *)&connection->pipe, &caller.fd); /* it is open */
    if (cardd_card_create(connection->cardd, request, &caller, &card, err) < 0)
        return NULL;
    connection->bound |= request->bound;
    return json_pack("{ss ss ss ss*}", "card", card->name, "device", card->device->id, "token",
                     card->token, "uuid", card->device->uuid);
}

static json_t *op_card_remove(struct connection *connection, const struct control_request *request,
                              struct error *err)
{
    struct cardd *cardd = connection->cardd;
    struct card *card = cardd_card_find(cardd, request->card, err);
    if (card)
        cardd_card_remove(cardd, card, connection->number, request->id);
    return NULL;
}

static json_t *op_card_set_share(struct connection *connection,
                                 const struct control_request *request, struct error *err)
{
    struct cardd *cardd = connection->cardd;
    struct card *card = cardd_card_find(cardd, request->card, err);
    if (!card || cardd_card_set_share(card, request->share_permille, err) < 0)
        return NULL;
    return card_json(card);
}

static json_t *op_card_list(struct connection *connection, const struct control_request *request,
                            struct error *err)
{
    json_t *cards = json_array();
    LIST_EACH (link, &connection->cardd->cards) {
        json_t *card = card_json(LIST_ENTRY(link, struct card, link));
        if (!cards || !card || json_array_append_new(cards, card) < 0) {
            json_decref(cards);
            return NULL;
        }
    }
    return json_pack("{so}", "cards", cards);
}

static json_t *op_card_show(struct connection *connection, const struct control_request *request,
                            struct error *err)
{
    struct card *card = cardd_card_find(connection->cardd, request->card, err);
    return card ? card_json(card) : NULL;
}

/* The answer comes when the executors have done it; a refusal comes at once. */
static json_t *op_card_suspend(struct connection *connection, const struct control_request *request,
                               struct error *err)
{
    struct card *card = cardd_card_find(connection->cardd, request->card, err);
    const struct phase_caller caller = {connection->number, request->id};
    if (card)
        (void)phase_suspend(card, &caller, err); /* a refusal is in err */
    return NULL;
}

static json_t *op_card_resume(struct connection *connection, const struct control_request *request,
                              struct error *err)
{
    struct card *card = cardd_card_find(connection->cardd, request->card, err);
    const struct phase_caller caller = {connection->number, request->id};
    if (card)
        (void)phase_resume(card, request->device, request->share_permille, &caller, err); /* so */
    return NULL;
}

static json_t *op_card_move(struct connection *connection, const struct control_request *request,
                            struct error *err)
{
    struct card *card = cardd_card_find(connection->cardd, request->card, err);
    const struct phase_caller caller = {connection->number, request->id};
    if (card && request->relay)
        (void)phase_depart(card, request, &caller, err); /* so */
    else if (card)
        (void)phase_move(card, request->device, &caller, err); /* a refusal is in err */
    return NULL;
}

/* Answers at once, or when the card is suspended instead. */
static json_t *op_card_resize(struct connection *connection, const struct control_request *request,
                              struct error *err)
{
    struct cardd *cardd = connection->cardd;
    struct card *card = cardd_card_find(cardd, request->card, err);
    const struct phase_caller caller = {connection->number, request->id};
    int r = card ? cardd_card_resize(cardd, card, request, err) : -ENOENT;
    if (r < 0 && request->suspend && strcmp(err->code, "memory-in-use") == 0) {
        *err = (struct error){0};
        (void)phase_suspend(card, &caller, err); /* a refusal is in err */
        return NULL;
    }
    json_t *result = r == 0 ? card_json(card) : NULL;
    if (r == 0 && !result)
        (void)error_set(err, -ENOMEM, "out-of-memory", "resizing card '%s'", card->name);
    return result;
}

static json_t *op_card_save(struct connection *connection, const struct control_request *request,
                            struct error *err)
{
    struct card *card = cardd_card_find(connection->cardd, request->card, err);
    const struct phase_caller caller = {connection->number, request->id};
    if (card)
        (void)phase_save(card, request->file, &caller, err); /* a refusal is in err */
    return NULL;
}

static json_t *op_card_load(struct connection *connection, const struct control_request *request,
                            struct error *err)
{
    struct card *card = cardd_card_find(connection->cardd, request->card, err);
    const struct phase_caller caller = {connection->number, request->id};
    if (card)
        (void)phase_load(card, request->file, &caller, err); /* a refusal is in err */
    return NULL;
}

static json_t *op_card_trace(struct connection *connection, const struct control_request *request,
                             struct error *err)
{
    struct card *card = cardd_card_find(connection->cardd, request->card, err);
    if (!card || (request->on && tracing_start(card, err) < 0))
        return NULL;
    return request->on ? json_pack("{sb}", "tracing", 1) : tracing_stop(card, err);
}

static json_t *op_subscribe(struct connection *connection, const struct control_request *request,
                            struct error *err)
{
    connection->subscribed = true;
    return json_object();
}

static operate *const operations[CONTROL_OPS] = {
    [CONTROL_HELLO] = op_hello,
    [CONTROL_DEVICE_LIST] = op_device_list,
    [CONTROL_CARD_CREATE] = op_card_create,
    [CONTROL_CARD_REMOVE] = op_card_remove,
    [CONTROL_CARD_SET_SHARE] = op_card_set_share,
    [CONTROL_CARD_LIST] = op_card_list,
    [CONTROL_CARD_SHOW] = op_card_show,
    [CONTROL_CARD_SUSPEND] = op_card_suspend,
    [CONTROL_CARD_RESUME] = op_card_resume,
    [CONTROL_CARD_MOVE] = op_card_move,
    [CONTROL_CARD_RESIZE] = op_card_resize,
    [CONTROL_CARD_TRACE] = op_card_trace,
    [CONTROL_CARD_SAVE] = op_card_save,
    [CONTROL_CARD_LOAD] = op_card_load,
    [CONTROL_SUBSCRIBE] = op_subscribe,
};

static bool answers_later(enum control_op op)
{
    static const bool later[CONTROL_OPS] = {
        [CONTROL_CARD_REMOVE] = true, [CONTROL_CARD_SUSPEND] = true, [CONTROL_CARD_RESUME] = true,
        [CONTROL_CARD_MOVE] = true,   [CONTROL_CARD_RESIZE] = true,  [CONTROL_CARD_SAVE] = true,
        [CONTROL_CARD_LOAD] = true,
    };
    return later[op];
}

static void line_serve(struct connection *connection, const char *line, size_t length)
{
    struct control_request request;
    struct error error = {0};
    connection->unanswered++;
    if (control_request_decode(line, length, &request, &error) < 0) {
        connection_send(connection, control_error_line(request.id, &error), true);
        return;
    }
    json_t *result = operations[request.op](connection, &request, &error);
    if (result) {
        connection_send(connection, control_result_line(request.id, result), true);
    } else if (error.errnum < 0) {
        log_event(LOG_INFO, "request.refused", "code=%s text=\"%s\"", error.code, error.text);
        connection_send(connection, control_error_line(request.id, &error), true);
    } else if (!answers_later(request.op)) {
        connection_send(connection, NULL, true);
    }
    control_request_finish(&request);
}

static void lines_serve(struct connection *connection)
{
    struct buf *input = &connection->input;
    size_t done = 0;
    connection_note(connection);
    for (char *end; !connection->closing && done < input->length &&
                    (end = memchr(input->data + done, '\n', input->length - done));) {
        size_t length = (size_t)(end - (input->data + done));
        line_serve(connection, input->data + done, length);
        done += length + 1;
    }
    buf_drop_front(input, done);
    connection_note(connection);
    if (connection->closing || input->length <= CONTROL_LINE_MAX_BYTES)
        return;
    struct error error;
    error_set(&error, -EFBIG, "line-too-long", "a request has at most %u bytes",
              CONTROL_LINE_MAX_BYTES);
    connection_send(connection, control_error_line(0, &error), false);
    connection_close(connection);
}

static void read_room(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_room)
{
    struct connection *connection = handle->data;
    *ret_room = uv_buf_init(connection->control->scratch, sizeof(connection->control->scratch));
}

static void read_done(uv_stream_t *stream, ssize_t got, const uv_buf_t *data)
{
    struct connection *connection = stream->data;
    if (got == 0)
        return;
    int r = got < 0 ? -EPIPE : buf_reserve(&connection->input, INPUT_ROOM_BYTES);
    if (r == 0)
        r = buf_append(&connection->input, data->base, (size_t)got);
    if (r < 0) {
        connection_close(connection);
        return;
    }
    lines_serve(connection);
}

/* NULL: out of memory. */
static struct connection *connection_make(struct control *control, uint64_t number)
{
    struct connection *connection = calloc(1, sizeof(*connection));
    if (!connection)
        return NULL;
    connection->control = control;
    connection->cardd = control->cardd;
    connection->number = number;
    connection->pipe.data = connection;
    if (uv_pipe_init(&control->cardd->loop, &connection->pipe, 0) < 0) {
        free(connection);
        return NULL;
    }
    list_append(&control->connections, &connection->link);
    control->count++;
    return connection;
}

/* A connection over the limit is accepted and closed, or it would wait for ever. */
static void connection_arrived(uv_stream_t *listener, int status)
{
    struct control *control = listener->data;
    struct connection *connection =
        status < 0 ? NULL : connection_make(control, ++control->last_number);
    if (!connection)
        return;
    if (uv_accept(listener, (uv_stream_t *)&connection->pipe) < 0 ||
        control->count > CONTROL_CONNECTIONS_MAX ||
        uv_read_start((uv_stream_t *)&connection->pipe, read_room, read_done) < 0)
        connection_close(connection);
    cardd_touch(control->cardd);
}

int control_adopt(struct control *control, uint64_t number, int fd)
{
    struct connection *connection = connection_make(control, number);
    if (number > control->last_number)
        control->last_number = number;
    int r = connection ? uv_pipe_open(&connection->pipe, fd) : -ENOMEM;
    if (r < 0)
        (void)close(fd);
    if (r == 0)
        r = uv_read_start((uv_stream_t *)&connection->pipe, read_room, read_done);
    if (r < 0 && connection)
        connection_close(connection);
    else if (connection)
        connection->bound = true;
    return r;
}

static void control_freed(uv_handle_t *handle)
{
    free(handle->data);
}

struct control *control_open(struct cardd *cardd, int fd)
{
    struct control *control = calloc(1, sizeof(*control));
    if (!control || uv_pipe_init(&cardd->loop, &control->listener, 0) < 0) {
        free(control);
        (void)close(fd);
        return NULL;
    }
    control->cardd = cardd;
    control->listener.data = control;
    list_init(&control->connections);
    if (uv_pipe_open(&control->listener, fd) < 0) {
        (void)close(fd);
        control_close(control);
        return NULL;
    }
    if (uv_listen((uv_stream_t *)&control->listener, CONTROL_CONNECTIONS_MAX, connection_arrived) <
        0) {
        control_close(control);
        return NULL;
    }
    return control;
}

void control_close(struct control *control)
{
    if (!control)
        return;
    LIST_EACH_SAFE (link, after, &control->connections)
        connection_close(LIST_ENTRY(link, struct connection, link));
    uv_close((uv_handle_t *)&control->listener, control_freed);
}

bool control_has(const struct control *control, uint64_t number)
{
    return connection_find(control, number) != NULL;
}

unsigned control_connections(const struct control *control)
{
    return control->count;
}
