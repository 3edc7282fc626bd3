/* The other host's card: see elsewhere.h. */
#include "card/cardd/elsewhere.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/random.h"
#include "card/cardd/card.h"
#include "card/cardd/cardd.h"
#include "card/cardd/keeper.h"
#include "card/cardd/phase.h"
#include "card/cardd/session.h"
#include "card/cardd/watch.h"
#include "card/relay/frame.h"
#include "card/relay/relay.h"

#define ANSWER_MAX_BYTES 4096

struct elsewhere {
    struct card *card;
    struct book_elsewhere place;
    int fd;
    struct watch *watch;
    int answered;
    struct buf input; /* up to the answer's end */
};

DEFINE_CLEANUP(elsewhere, struct elsewhere, elsewhere_close)

/* Without waiting for one that does not take its callers, which shows as EAGAIN. */
static int dial(const char *dir, const char *name, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int length = snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", dir, name);
    if (fd < 0 || length >= (int)sizeof(address.sun_path) ||
        connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return error_set(err, -EHOSTUNREACH, "no-relay", "no leat-relay serves '%.100s'", dir);
    return take_fd(&fd);
}

/* The first error that it tells, or that it says nothing any more. */
static int answer_read(struct elsewhere *elsewhere, struct error *err)
{
    struct buf *input = &elsewhere->input;
    size_t length = input->length;
    AUTO_JSON json_t *answer = json_parse(input->data, length, ANSWER_MAX_BYTES, err);
    if (!answer)
        return -EPROTO;
    const json_t *why = json_object_get(answer, "error");
    const char *code = json_string_value(json_object_get(why, "code"));
    const char *text = json_string_value(json_object_get(why, "text"));
    if (!why)
        return 0;
    return error_set(err, -EBUSY, code ? code : "bad-answer", "%s: %s", elsewhere->place.host,
                     text ? text : "it refuses the card");
}

static int lost(const struct elsewhere *elsewhere, struct error *err)
{
    return error_set(err, -EHOSTUNREACH, "host-lost", "the connection to %s broke",
                     elsewhere->place.host);
}

/* What comes after the answer is the end. */
static void readable(void *arg)
{
    struct elsewhere *elsewhere = arg;
    struct error err = {0};
    char piece[512];
    ssize_t got = recv(elsewhere->fd, piece, sizeof(piece), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got > 0 && elsewhere->answered)
        return;
    if (got > 0 && elsewhere->input.length < ANSWER_MAX_BYTES &&
        buf_append(&elsewhere->input, piece, (size_t)got) == 0) {
        if (!memchr(piece, '\n', (size_t)got))
            return;
        (void)answer_read(elsewhere, &err); /* it is in err */
        elsewhere->answered = 1;
    } else {
        (void)lost(elsewhere, &err);
        watch_stop(elsewhere->watch); /* its end would be told again and again */
        elsewhere->watch = NULL;
    }
    phase_elsewhere_answered(elsewhere->card, &err);
}

static int request_send(const struct elsewhere *elsewhere, const char *device, struct error *err)
{
    const struct card *card = elsewhere->card;
    char name[CARD_NAME_MAX];
    (void)snprintf(name, sizeof(name), "%.40s.%.8s", card->name, elsewhere->place.token);
    json_t *request = json_pack("{si ss ss ss ss sI sI sb sb si}", "id", 1, "op", "card.create",
                                "card", name, "device", device, "token", elsewhere->place.token,
                                "memory_bytes", (json_int_t)card->quota_bytes, "share_permille",
                                (json_int_t)card->share_asked_permille, "bound", 1, "burst",
                                card->ledger->burst != 0, "priority", (int)card->ledger->priority);
    AUTO_BUF struct buf line = BUF_INIT;
    AUTO_FREE char *text = request ? json_text(request) : NULL;
    json_decref(request);
    if (!text || buf_printf(&line, "%s\n", text) < 0)
        return error_set(err, -ENOMEM, "out-of-memory", "asking %s", elsewhere->place.host);
    int r = fd_write_all(elsewhere->fd, line.data, line.length);
    explicit_bzero(line.data, line.length);
    return r < 0 ? lost(elsewhere, err) : 0;
}

static int watch(struct elsewhere *elsewhere)
{
    elsewhere->watch =
        watch_start(&elsewhere->card->cardd->loop, elsewhere->fd, readable, elsewhere);
    return elsewhere->watch ? 0 : -ENOMEM;
}

struct elsewhere *elsewhere_ask(struct card *card, const char *dir, const char *host,
                                const char *device, struct error *err)
{
    CLEANUP(cleanup_elsewhere) struct elsewhere *elsewhere = calloc(1, sizeof(*elsewhere));
    if (!elsewhere) {
        (void)error_set(err, -ENOMEM, "out-of-memory", "moving card '%s'", card->name);
        return NULL;
    }
    struct book_elsewhere *place = &elsewhere->place;
    elsewhere->card = card;
    elsewhere->fd = -1;
    if (dir[0] != '/' ||
        snprintf(place->dir, sizeof(place->dir), "%s", dir) >= (int)sizeof(place->dir) ||
        snprintf(place->host, sizeof(place->host), "%s", host) >= (int)sizeof(place->host)) {
        (void)error_set(err, -EINVAL, "bad-path", "'relay' is no absolute path, or it is too long");
        return NULL;
    }
    elsewhere->fd = dial(dir, "cardd.sock", err);
    if (elsewhere->fd < 0 || random_token(place->token) < 0 ||
        request_send(elsewhere, device, err) < 0)
        return NULL;
    if (watch(elsewhere) < 0) {
        (void)error_set(err, -ENOMEM, "out-of-memory", "moving card '%s'", card->name);
        return NULL;
    }
    return TAKE(elsewhere);
}

struct elsewhere *elsewhere_adopt(struct card *card, const struct book_elsewhere *place)
{
    CLEANUP(cleanup_elsewhere) struct elsewhere *elsewhere = calloc(1, sizeof(*elsewhere));
    if (!elsewhere)
        return NULL;
    elsewhere->card = card;
    elsewhere->place = *place;
    elsewhere->answered = 1;
    elsewhere->fd = keeper_kept(card->cardd->keeper, card->number, KEPT_ELSEWHERE);
    return elsewhere->fd < 0 || watch(elsewhere) < 0 ? NULL : TAKE(elsewhere);
}

void elsewhere_let_go(const struct card *card)
{
    AUTO_FD int fd = keeper_kept(card->cardd->keeper, card->number, KEPT_ELSEWHERE);
    if (fd >= 0)
        keeper_hold(card->cardd->keeper, card->number, KEPT_ELSEWHERE, -1);
}

void elsewhere_close(struct elsewhere *elsewhere)
{
    if (!elsewhere)
        return;
    watch_stop(elsewhere->watch);
    cleanup_fd(&elsewhere->fd);
    buf_finish(&elsewhere->input);
    explicit_bzero(elsewhere->place.token, sizeof(elsewhere->place.token));
    free(elsewhere);
}

void elsewhere_keep(const struct elsewhere *elsewhere)
{
    const struct card *card = elsewhere->card;
    keeper_hold(card->cardd->keeper, card->number, KEPT_ELSEWHERE, elsewhere->fd);
}

bool elsewhere_is_lost(const struct elsewhere *elsewhere)
{
    return elsewhere->watch == NULL;
}

const struct book_elsewhere *elsewhere_place(const struct elsewhere *elsewhere)
{
    return &elsewhere->place;
}

int elsewhere_call(const struct elsewhere *elsewhere, const struct session *session,
                   struct error *err)
{
    struct relay_departure departure = {.magic = RELAY_MAGIC, .version = RELAY_VERSION};
    AUTO_FD int fd = dial(elsewhere->place.dir, "depart.sock", err);
    if (fd < 0)
        return fd;
    memcpy(departure.card_token, elsewhere->place.token, sizeof(departure.card_token));
    memcpy(departure.session, session->id, sizeof(departure.session));
    int r = fd_write_all(fd, (const char *)&departure, sizeof(departure)); /* it has room */
    explicit_bzero(&departure, sizeof(departure));
    if (r == 0 && fcntl(fd, F_SETFL, 0) < 0) /* the executor waits */
        r = -errno;
    return r < 0 ? lost(elsewhere, err) : take_fd(&fd);
}
