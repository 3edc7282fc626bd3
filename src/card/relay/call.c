/* Reaching the other host, and the connections that only carry bytes. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/path.h"
#include "card/relay/frame.h"
#include "card/relay/relay.h"

#define PIECE_BYTES 16384

DEFINE_CLEANUP(conn, struct conn, conn_close)

int relay_verdict_read(struct conn *conn, unsigned *ret_slot, struct error *err)
{
    struct relay_verdict verdict;
    int r = conn_read(conn, &verdict, sizeof(verdict));
    if (r < 0)
        return error_errno(err, -EHOSTUNREACH, "host-unreachable", "the host did not answer");
    if (verdict.magic != RELAY_MAGIC || verdict.version != RELAY_VERSION)
        return error_set(err, -EPROTO, "bad-version",
                         "what answers there is no leat-relay of version %d", RELAY_VERSION);
    verdict.text[sizeof(verdict.text) - 1] = '\0';
    if (verdict.status < 0)
        return error_set(err, verdict.status, "host-refused", "%s", verdict.text);
    *ret_slot = verdict.slot;
    return 0;
}

/* Dial and say `hello`, which gets the host's token. */
static int call(const struct relay_host *host, struct relay_hello *hello, struct conn **ret_conn,
                struct error *err)
{
    CLEANUP(cleanup_conn) struct conn *conn = NULL;
    hello->magic = RELAY_MAGIC;
    hello->version = RELAY_VERSION;
    (void)snprintf(hello->token, sizeof(hello->token), "%s", host->token);
    int r = conn_dial(host->address, host->fingerprint, &conn, err);
    if (r == 0 && (conn_put(conn, hello, sizeof(*hello)) < 0 || conn_flush(conn) < 0))
        r = error_errno(err, -EHOSTUNREACH, "host-unreachable", "the host hung up");
    explicit_bzero(hello, sizeof(*hello));
    if (r == 0)
        *ret_conn = TAKE(conn);
    return r;
}

int relay_call(const struct relay_host *host, const struct wire_hello *program,
               struct conn **ret_conn, unsigned *ret_slot, struct error *err)
{
    CLEANUP(cleanup_conn) struct conn *conn = NULL;
    struct relay_hello hello = {.purpose = program ? RELAY_SESSION : RELAY_CONTROL,
                                .program = program ? program->flags : 0};
    if (program)
        (void)snprintf(hello.card_token, sizeof(hello.card_token), "%s", program->token);
    int r = call(host, &hello, &conn, err);
    if (r == 0)
        r = relay_verdict_read(conn, ret_slot, err);
    if (r == 0)
        *ret_conn = TAKE(conn);
    return r;
}

static int carry(struct conn *conn, int fd, int from_conn)
{
    char piece[PIECE_BYTES];
    ssize_t n =
        from_conn ? conn_read_some(conn, piece, sizeof(piece)) : recv(fd, piece, sizeof(piece), 0);
    if (n <= 0)
        return n < 0 && !from_conn && errno == EINTR ? 1 : 0;
    if (from_conn)
        return fd_write_all(fd, piece, (size_t)n) == 0;
    return conn_put(conn, piece, (size_t)n) == 0 && conn_flush(conn) == 0;
}

/* A control connection may be silent for hours: TCP itself looks whether the peer lives. */
int splice_run(struct conn *conn, int fd, struct error *err)
{
    int going = 1;
    while (going) {
        int is_local = 0;
        int is_far = conn_wait(conn, fd, -1, &is_local);
        if (is_local)
            going = carry(conn, fd, 0);
        if (going && is_far)
            going = carry(conn, fd, 1);
    }
    return 0;
}

/* A refusal in the words of the control protocol. */
static void control_refuse(int fd, const struct error *why)
{
    char line[1024], text[ERROR_TEXT_MAX];
    size_t length = 0;
    for (const char *at = why->text; *at && length < sizeof(text) - 1; at++)
        text[length++] = *at == '"' || *at == '\\' || (unsigned char)*at < ' ' ? '\'' : *at;
    text[length] = '\0';
    (void)snprintf(line, sizeof(line),
                   "{\"id\":null,\"error\":{\"errno\":%d,\"code\":\"%s\",\"text\":\"%s\"}}\n",
                   why->errnum, why->code, text);
    (void)send(fd, line, strlen(line), MSG_NOSIGNAL); /* the asker may have gone */
}

int near_control(int fd, const struct relay_host *host, struct error *err)
{
    CLEANUP(cleanup_conn) struct conn *conn = NULL;
    AUTO_FD int asker = fd;
    unsigned slot;
    int r = relay_call(host, NULL, &conn, &slot, err);
    if (r < 0)
        control_refuse(asker, err);
    return r < 0 ? r : splice_run(conn, asker, err);
}

/* In the words that the other host would have. */
static void departure_refuse(int fd, const struct error *why)
{
    struct relay_verdict verdict = {
        .magic = RELAY_MAGIC, .version = RELAY_VERSION, .status = why->errnum};
    (void)snprintf(verdict.text, sizeof(verdict.text), "%.255s", why->text);
    (void)send(fd, &verdict, sizeof(verdict), MSG_NOSIGNAL); /* the executor may have gone */
}

int near_depart(int fd, const struct relay_host *host, struct error *err)
{
    CLEANUP(cleanup_conn) struct conn *conn = NULL;
    AUTO_FD int executor = fd;
    struct relay_departure departure;
    struct relay_hello hello = {.purpose = RELAY_MOVED};
    if (recv(fd, &departure, sizeof(departure), MSG_WAITALL) != (ssize_t)sizeof(departure) ||
        departure.magic != RELAY_MAGIC || departure.version != RELAY_VERSION)
        return error_set(err, -EPROTO, "bad-hello", "the executor did not say what it wants");
    departure.card_token[WIRE_TOKEN_MAX - 1] = '\0';
    (void)snprintf(hello.card_token, sizeof(hello.card_token), "%s", departure.card_token);
    memcpy(hello.session, departure.session, sizeof(hello.session));
    int r = call(host, &hello, &conn, err);
    if (r < 0)
        departure_refuse(executor, err);
    return r < 0 ? r : splice_run(conn, executor, err);
}

int far_control(struct conn *conn, const char *run_dir, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct relay_verdict verdict = {.magic = RELAY_MAGIC, .version = RELAY_VERSION};
    AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int length = snprintf(address.sun_path, sizeof(address.sun_path), "%s/cardd.sock", run_dir);
    if (fd < 0 || length >= (int)sizeof(address.sun_path) ||
        connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        verdict.status = -EHOSTUNREACH;
        (void)snprintf(verdict.text, sizeof(verdict.text), "no leat-cardd serves that host");
    }
    int r = conn_put(conn, &verdict, sizeof(verdict));
    if (r == 0)
        r = conn_flush(conn);
    if (r < 0 || verdict.status < 0)
        return error_set(err, r < 0 ? r : verdict.status, "no-cardd", "%s", verdict.text);
    return splice_run(conn, fd, err);
}
