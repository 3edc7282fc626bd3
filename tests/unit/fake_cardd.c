/* The control protocol of leat-cardd over a pretended device: see fake_cardd.h. */
#include "fake_cardd.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/list.h"

struct peer {
    struct list link;
    uv_pipe_t pipe;
    struct fake_cardd *fake;
    struct buf input;
    char chunk[4096];
    bool subscribed;
};

struct fake_cardd {
    uv_pipe_t server;
    struct list peers;
    json_t *cards;
    uint64_t memory_bytes;
    unsigned refuse_creates;
    int refuse_errnum;
    const char *refuse_code;
    const char *refused_op, *refused_card; /* NULL: none; any */
    unsigned devices;
    char instance[32];
};

struct sending {
    uv_write_t write;
    char *text;
};

static void on_sent(uv_write_t *write, int status)
{
    (void)status;
    struct sending *sending = (struct sending *)(void *)write;
    free(sending->text);
    free(sending);
}

static void send_message(struct peer *peer, json_t *message)
{
    struct sending *sending = calloc(1, sizeof(*sending));
    struct buf text = BUF_INIT;
    AUTO_FREE char *body = json_text(message);
    assert(sending && body);
    json_decref(message);
    (void)buf_printf(&text, "%s\n", body);
    size_t length = text.length;
    sending->text = buf_take(&text);
    uv_buf_t piece = uv_buf_init(sending->text, (unsigned)length);
    if (uv_write(&sending->write, (uv_stream_t *)&peer->pipe, &piece, 1, on_sent) < 0)
        on_sent(&sending->write, 0);
}

json_t *fake_cardd_card(struct fake_cardd *fake, const char *card)
{
    return card ? json_object_get(fake->cards, card) : NULL;
}

void fake_cardd_set_memory(struct fake_cardd *fake, uint64_t memory_bytes)
{
    fake->memory_bytes = memory_bytes;
}

void fake_cardd_set_devices(struct fake_cardd *fake, unsigned count)
{
    fake->devices = count;
}

size_t fake_cardd_count(const struct fake_cardd *fake)
{
    return json_object_size(fake->cards);
}

int64_t fake_cardd_figure(struct fake_cardd *fake, const char *card, const char *member)
{
    json_t *object = fake_cardd_card(fake, card);
    return object ? json_integer_value(json_object_get(object, member)) : -1;
}

void fake_cardd_set(struct fake_cardd *fake, const char *card, const char *member, int64_t value)
{
    json_t *object = fake_cardd_card(fake, card);
    assert(object);
    (void)json_object_set_new(object, member, json_integer(value));
}

void fake_cardd_add(struct fake_cardd *fake, const char *card, uint64_t memory_bytes,
                    uint32_t share_permille)
{
    json_t *object = json_pack("{s:s, s:s, s:I, s:i, s:i}", "card", card, "device", "cpu-0",
                               "memory_quota_bytes", (json_int_t)memory_bytes, "share_permille",
                               (int)share_permille, "share_asked_permille", (int)share_permille);
    (void)json_object_set_new(fake->cards, card, object);
}

void fake_cardd_want(struct fake_cardd *fake, const char *card)
{
    (void)json_object_set_new(fake_cardd_card(fake, card), "share_wanted", json_true());
    LIST_EACH (link, &fake->peers) {
        struct peer *peer = LIST_ENTRY(link, struct peer, link);
        if (peer->subscribed)
            send_message(peer, json_pack("{s:s, s:s}", "event", "card.wants_share", "card", card));
    }
}

void fake_cardd_refuse_creates(struct fake_cardd *fake, unsigned count, int errnum,
                               const char *code)
{
    fake->refuse_creates = count;
    fake->refuse_errnum = errnum;
    fake->refuse_code = code;
}

void fake_cardd_refuse(struct fake_cardd *fake, const char *op, const char *card)
{
    fake->refused_op = op;
    fake->refused_card = card;
}

static json_t *failure(int errnum, const char *code)
{
    return json_pack("{s:{s:i, s:s, s:s}}", "error", "errno", errnum, "code", code, "text",
                     "told to refuse");
}

static json_t *answer_create(struct fake_cardd *fake, const json_t *request)
{
    const char *card = json_string_value(json_object_get(request, "card"));
    if (fake->refuse_creates > 0) {
        fake->refuse_creates--;
        return failure(fake->refuse_errnum, fake->refuse_code);
    }
    if (fake_cardd_card(fake, card))
        return failure(-EEXIST, "card-exists");
    fake_cardd_add(fake, card,
                   (uint64_t)json_integer_value(json_object_get(request, "memory_bytes")),
                   (uint32_t)json_integer_value(json_object_get(request, "share_permille")));
    json_t *object = fake_cardd_card(fake, card);
    (void)json_object_set(object, "token", json_object_get(request, "token"));
    (void)json_object_set(object, "burst", json_object_get(request, "burst"));
    (void)json_object_set(object, "device", json_object_get(request, "device"));
    return json_pack("{s:{s:s}}", "result", "card", card);
}

static json_t *list_of_cards(struct fake_cardd *fake)
{
    json_t *cards = json_array(), *object;
    const char *name;
    json_object_foreach (fake->cards, name, object)
        (void)json_array_append_new(cards, json_deep_copy(object));
    return cards;
}

static json_t *answer_card(struct fake_cardd *fake, const char *op, const json_t *request)
{
    const char *card = json_string_value(json_object_get(request, "card"));
    json_t *object = fake_cardd_card(fake, card);
    if (!object)
        return failure(-ENOENT, "unknown-card");
    if (fake->refused_op && strcmp(op, fake->refused_op) == 0 &&
        (!fake->refused_card || strcmp(card, fake->refused_card) == 0))
        return failure(-EIO, "refused");
    if (strcmp(op, "card.suspend") == 0) {
        (void)json_object_set_new(object, "state", json_string("suspended"));
        (void)json_object_set_new(object, "share_permille", json_integer(0));
    } else if (strcmp(op, "card.resume") == 0) {
        (void)json_object_set_new(object, "state", json_string("active"));
        (void)json_object_set(object, "device", json_object_get(request, "device"));
    }
    json_t *answer = json_pack("{s:o}", "result", json_deep_copy(object));
    if (strcmp(op, "card.remove") == 0) {
        (void)json_object_del(fake->cards, card);
    } else if (strcmp(op, "card.set_share") == 0 || strcmp(op, "card.resume") == 0) {
        (void)json_object_set(object, "share_permille", json_object_get(request, "share_permille"));
        (void)json_object_set_new(object, "share_wanted", json_false());
    }
    return answer;
}

static json_t *list_of_devices(const struct fake_cardd *fake)
{
    json_t *devices = json_array();
    char id[16];
    for (unsigned i = 0; i < fake->devices; i++) {
        (void)snprintf(id, sizeof(id), "cpu-%u", i);
        (void)json_array_append_new(
            devices, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:I}", "id", id, "name", "pretended",
                               "platform", "fake", "driver", "1", "vendor", "fake", "kind", "cpu",
                               "memory_bytes", (json_int_t)fake->memory_bytes));
    }
    return devices;
}

static json_t *answer_make(struct peer *peer, const char *op, const json_t *request)
{
    struct fake_cardd *fake = peer->fake;
    if (strcmp(op, "hello") == 0)
        return json_pack("{s:{s:s, s:i, s:s}}", "result", "version", "fake", "pid", 1, "instance",
                         fake->instance);
    if (strcmp(op, "device.list") == 0)
        return json_pack("{s:{s:o}}", "result", "devices", list_of_devices(fake));
    if (strcmp(op, "card.list") == 0)
        return json_pack("{s:{s:o}}", "result", "cards", list_of_cards(fake));
    if (strcmp(op, "subscribe") == 0) {
        peer->subscribed = true;
        return json_pack("{s:{}}", "result");
    }
    if (strcmp(op, "card.create") == 0)
        return answer_create(fake, request);
    return answer_card(fake, op, request);
}

static void line_take(struct peer *peer, const char *line, size_t length)
{
    AUTO_JSON json_t *request = json_parse(line, length, 1u << 20, NULL);
    assert(request);
    json_t *answer = answer_make(peer, json_string_value(json_object_get(request, "op")), request);
    (void)json_object_set(answer, "id", json_object_get(request, "id"));
    send_message(peer, answer);
}

static void on_peer_closed(uv_handle_t *handle)
{
    struct peer *peer = handle->data;
    buf_finish(&peer->input);
    free(peer);
}

static void peer_close(struct peer *peer)
{
    list_remove(&peer->link);
    uv_close((uv_handle_t *)&peer->pipe, on_peer_closed);
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    (void)suggested;
    struct peer *peer = handle->data;
    *ret_buf = uv_buf_init(peer->chunk, sizeof(peer->chunk));
}

static void on_read(uv_stream_t *stream, ssize_t length, const uv_buf_t *chunk)
{
    struct peer *peer = stream->data;
    if (length < 0) {
        peer_close(peer);
        return;
    }
    (void)buf_append(&peer->input, chunk->base, (size_t)length);
    for (char *end;
         peer->input.length && (end = memchr(peer->input.data, '\n', peer->input.length));) {
        size_t line = (size_t)(end - peer->input.data);
        line_take(peer, peer->input.data, line);
        buf_drop_front(&peer->input, line + 1);
    }
}

static void on_connection(uv_stream_t *server, int status)
{
    struct fake_cardd *fake = server->data;
    struct peer *peer = calloc(1, sizeof(*peer));
    assert(status == 0 && peer);
    peer->fake = fake;
    (void)uv_pipe_init(server->loop, &peer->pipe, 0);
    peer->pipe.data = peer;
    list_append(&fake->peers, &peer->link);
    if (uv_accept(server, (uv_stream_t *)&peer->pipe) < 0)
        peer_close(peer);
    else
        (void)uv_read_start((uv_stream_t *)&peer->pipe, on_room, on_read);
}

struct fake_cardd *fake_cardd_create(uv_loop_t *loop, const char *run_dir)
{
    static unsigned instances;
    char path[256];
    struct fake_cardd *fake = calloc(1, sizeof(*fake));
    assert(fake);
    list_init(&fake->peers);
    fake->cards = json_object();
    fake->memory_bytes = 8ull << 30;
    fake->devices = 1;
    (void)snprintf(fake->instance, sizeof(fake->instance), "fake-%u", ++instances);
    (void)snprintf(path, sizeof(path), "%s/cardd.sock", run_dir);
    (void)unlink(path);
    (void)uv_pipe_init(loop, &fake->server, 0);
    fake->server.data = fake;
    int r = uv_pipe_bind(&fake->server, path);
    if (r == 0)
        r = uv_listen((uv_stream_t *)&fake->server, 8, on_connection);
    assert(r == 0);
    return fake;
}

static void on_server_closed(uv_handle_t *handle)
{
    struct fake_cardd *fake = handle->data;
    json_decref(fake->cards);
    free(fake);
}

void fake_cardd_destroy(struct fake_cardd *fake)
{
    LIST_EACH_SAFE (link, after, &fake->peers)
        peer_close(LIST_ENTRY(link, struct peer, link));
    uv_close((uv_handle_t *)&fake->server, on_server_closed);
}
