/* Bytes between two hosts: see conn.h. */
#include "card/relay/conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "card/relay/frame.h"
#include "card/relay/line.h"

#define GATHER_BYTES 16384        /* one TLS record */
#define SOCKET_BYTES (256u << 10) /* one system call: many TLS records */
#define DIGEST_BYTES 32
/* The fastest cipher first: it bounds how much one core sends. */
#define PRIORITY \
    "SECURE128:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305"

struct conn {
    int fd;
    int is_open;          /* 0 while TLS begins: then nothing waits in `out` */
    gnutls_session_t tls; /* NULL: in the clear */
    gnutls_certificate_credentials_t trust;
    size_t gathered, out_length; /* of the sender, as the line */
    struct line line;
    size_t in_first, in_end; /* of the reader: what came and was not taken */
    uint8_t gather[GATHER_BYTES];
    uint8_t out[SOCKET_BYTES]; /* as it goes to the socket */
    uint8_t in[SOCKET_BYTES];  /* as it came from there */
};

struct conn_server {
    gnutls_certificate_credentials_t credentials;
};

DEFINE_CLEANUP(conn, struct conn, conn_close)

static int tls_refuse(int code, const char *what, struct error *err)
{
    return error_set(err, -EPROTO, "tls-failed", "%s: %s", what, gnutls_strerror(code));
}

/* ---- addresses ---- */

struct endpoint {
    char host[256], port[16];
};

static int endpoint_read(const char *address, struct endpoint *ret, struct error *err)
{
    const char *host = address, *end = address + strlen(address), *colon = strrchr(address, ':');
    const char *port = RELAY_PORT;
    if (*address == '[') {
        host++;
        end = strchr(address, ']');
        colon = end && end[1] == ':' ? end + 1 : NULL;
    } else if (colon) {
        end = colon;
    }
    if (colon)
        port = colon + 1;
    if (!end || end == host || (size_t)(end - host) >= sizeof(ret->host) ||
        strlen(port) >= sizeof(ret->port) || !*port)
        return error_set(err, -EINVAL, "bad-address", "'%.200s' is not HOST or HOST:PORT", address);
    (void)snprintf(ret->host, sizeof(ret->host), "%.*s", (int)(end - host), host);
    (void)snprintf(ret->port, sizeof(ret->port), "%s", port);
    return 0;
}

static int is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)address;
        return ntohl(in->sin_addr.s_addr) >> 24 == 127;
    }
    const struct sockaddr_in6 *in6 = (const void *)address;
    return address->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
}

static int resolve(const char *address, int flags, struct addrinfo **ret_list, struct error *err)
{
    struct endpoint endpoint;
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags};
    int r = endpoint_read(address, &endpoint, err);
    if (r < 0)
        return r;
    int code = getaddrinfo(endpoint.host, endpoint.port, &hints, ret_list);
    if (code != 0)
        return error_set(err, -EHOSTUNREACH, "unknown-host", "'%.200s': %s", address,
                         gai_strerror(code));
    return 0;
}

/* A dead peer ends every send and every read within the time a silent one has. */
static int socket_prepare(int fd)
{
    const int on = 1, silence_ms = CONN_SILENCE_MS, idle_s = CONN_SILENCE_MS / 2000, every_s = 1;
    const struct timeval limit = {.tv_sec = CONN_SILENCE_MS / 1000};
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silence_ms, sizeof(silence_ms)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s)) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every_s, sizeof(every_s)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0)
        return -errno;
    return 0;
}

static int dial_one(const struct addrinfo *at)
{
    const struct timeval limit = {.tv_sec = CONN_SILENCE_MS / 1000};
    AUTO_FD int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* The send limit bounds the connecting; sends are bounded by TCP_USER_TIMEOUT. */
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0 ||
        connect(fd, at->ai_addr, at->ai_addrlen) < 0)
        return errno == EINPROGRESS ? -ETIMEDOUT : -errno;
    const struct timeval none = {0};
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof(none));
    int r = socket_prepare(fd);
    return r < 0 ? r : take_fd(&fd);
}

int conn_listen(const char *address, int is_secure, int *ret_fd, struct error *err)
{
    struct addrinfo *list;
    const int on = 1;
    int r = resolve(address, AI_PASSIVE, &list, err);
    if (r < 0)
        return r;
    int is_near = is_loopback(list->ai_addr);
    AUTO_FD int fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        bind(fd, list->ai_addr, list->ai_addrlen) < 0 || listen(fd, SOMAXCONN) < 0)
        r = error_errno(err, -errno, "listen-failed", "cannot listen on '%.200s'", address);
    freeaddrinfo(list);
    if (r == 0 && !is_secure && !is_near)
        r = error_set(err, -EPERM, "tls-needed",
                      "'%.200s' can be reached from outside: give --tls-cert and --tls-key",
                      address);
    if (r == 0)
        *ret_fd = take_fd(&fd);
    return r;
}

/* ---- the socket ---- */

static int send_all(int fd, struct iovec *parts, size_t count)
{
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    while (message.msg_iovlen) {
        ssize_t n = sendmsg(fd, &message, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            return -errno;
        size_t sent = n > 0 ? (size_t)n : 0;
        while (message.msg_iovlen && sent >= message.msg_iov->iov_len) {
            sent -= message.msg_iov->iov_len;
            message.msg_iov++;
            message.msg_iovlen--;
        }
        if (message.msg_iovlen) {
            message.msg_iov->iov_base = (uint8_t *)message.msg_iov->iov_base + sent;
            message.msg_iov->iov_len -= sent;
        }
    }
    return 0;
}

static int out_flush(struct conn *conn)
{
    struct iovec part = {conn->out, conn->out_length};
    conn->out_length = 0;
    return part.iov_len ? send_all(conn->fd, &part, 1) : 0;
}

/* What does not fit goes out at once, behind what waits, and is not copied. */
static int out_put(struct conn *conn, const void *data, size_t length)
{
    struct iovec parts[] = {{conn->out, conn->out_length},
                            {(void *)(uintptr_t)data, length}}; /* only read from */
    if (length > sizeof(conn->out) - conn->out_length) {
        conn->out_length = 0;
        return send_all(conn->fd, parts, 2);
    }
    memcpy(conn->out + conn->out_length, data, length);
    conn->out_length += length;
    return 0;
}

static ssize_t receive(const struct conn *conn, void *data, size_t length, int flags)
{
    ssize_t n;
    do
        n = recv(conn->fd, data, length, flags);
    while (n < 0 && errno == EINTR);
    return n;
}

/* What is there, as recv. Much that is asked for at once goes where it belongs. */
static ssize_t in_take(struct conn *conn, void *data, size_t length)
{
    if (conn->in_first == conn->in_end) {
        if (length >= sizeof(conn->in))
            return receive(conn, data, length, 0);
        ssize_t n = receive(conn, conn->in, sizeof(conn->in), 0);
        if (n <= 0)
            return n;
        conn->in_first = 0;
        conn->in_end = (size_t)n;
    }
    size_t there = conn->in_end - conn->in_first, taken = length < there ? length : there;
    memcpy(data, conn->in + conn->in_first, taken);
    conn->in_first += taken;
    return (ssize_t)taken;
}

static ssize_t tls_push(gnutls_transport_ptr_t arg, const void *data, size_t length)
{
    struct conn *conn = arg;
    int r = out_put(conn, data, length);
    if (r == 0 && !conn->is_open)
        r = out_flush(conn);
    if (r == 0)
        return (ssize_t)length;
    gnutls_transport_set_errno(conn->tls, -r);
    return -1;
}

static ssize_t tls_pull(gnutls_transport_ptr_t arg, void *data, size_t length)
{
    struct conn *conn = arg;
    ssize_t n = in_take(conn, data, length);
    if (n < 0)
        gnutls_transport_set_errno(conn->tls, errno);
    return n;
}

static int tls_pull_wait(gnutls_transport_ptr_t arg, unsigned timeout_ms)
{
    const struct conn *conn = arg;
    struct pollfd end = {.fd = conn->fd, .events = POLLIN};
    return conn->in_first < conn->in_end ? 1 : poll(&end, 1, (int)timeout_ms);
}

/* ---- TLS ---- */

static int fingerprint_of(gnutls_x509_crt_t cert, char ret_text[FINGERPRINT_TEXT_MAX])
{
    uint8_t digest[DIGEST_BYTES];
    size_t length = sizeof(digest);
    int code = gnutls_x509_crt_get_fingerprint(cert, GNUTLS_DIG_SHA256, digest, &length);
    for (size_t i = 0; code == 0 && i < sizeof(digest); i++)
        (void)snprintf(ret_text + 2 * i, 3, "%02x", digest[i]);
    return code;
}

/* The fingerprint of one certificate as the peer or a file has it. */
static int fingerprint_read(const gnutls_datum_t *data, gnutls_x509_crt_fmt_t format,
                            char ret_text[FINGERPRINT_TEXT_MAX])
{
    gnutls_x509_crt_t cert;
    int code = gnutls_x509_crt_init(&cert);
    if (code < 0)
        return code;
    code = gnutls_x509_crt_import(cert, data, format);
    if (code == 0)
        code = fingerprint_of(cert, ret_text);
    gnutls_x509_crt_deinit(cert);
    return code;
}

struct conn_server *conn_server_load(const char *cert_file, const char *key_file,
                                     char ret_fingerprint[FINGERPRINT_TEXT_MAX], struct error *err)
{
    struct conn_server *server = calloc(1, sizeof(*server));
    gnutls_datum_t text = {0};
    if (!server) {
        error_set(err, -ENOMEM, "out-of-memory", "reading '%.200s'", cert_file);
        return NULL;
    }
    int code = gnutls_certificate_allocate_credentials(&server->credentials);
    if (code == 0)
        code = gnutls_certificate_set_x509_key_file(server->credentials, cert_file, key_file,
                                                    GNUTLS_X509_FMT_PEM);
    if (code >= 0)
        code = gnutls_load_file(cert_file, &text);
    if (code == 0)
        code = fingerprint_read(&text, GNUTLS_X509_FMT_PEM, ret_fingerprint);
    gnutls_free(text.data);
    if (code == 0)
        return server;
    (void)tls_refuse(code, "cannot use certificate and key", err);
    gnutls_certificate_free_credentials(server->credentials); /* NULL is fine */
    free(server);
    return NULL;
}

static int tls_begin(struct conn *conn, unsigned flags,
                     gnutls_certificate_credentials_t credentials, struct error *err)
{
    int code = gnutls_init(&conn->tls, flags);
    if (code == 0)
        code = gnutls_priority_set_direct(conn->tls, PRIORITY, NULL);
    if (code == 0)
        code = gnutls_credentials_set(conn->tls, GNUTLS_CRD_CERTIFICATE, credentials);
    if (code != 0)
        return tls_refuse(code, "cannot prepare TLS", err);
    gnutls_transport_set_ptr(conn->tls, conn);
    gnutls_transport_set_push_function(conn->tls, tls_push);
    gnutls_transport_set_pull_function(conn->tls, tls_pull);
    gnutls_transport_set_pull_timeout_function(conn->tls, tls_pull_wait);
    gnutls_handshake_set_timeout(conn->tls, CONN_SILENCE_MS);
    do
        code = gnutls_handshake(conn->tls);
    while (code < 0 && !gnutls_error_is_fatal(code));
    conn->is_open = code == 0;
    return code < 0 ? tls_refuse(code, "no TLS with the other host", err) : 0;
}

static int peer_check(struct conn *conn, const char *fingerprint, struct error *err)
{
    char found[FINGERPRINT_TEXT_MAX] = "";
    unsigned count = 0;
    const gnutls_datum_t *list = gnutls_certificate_get_peers(conn->tls, &count);
    if (!list || count == 0 || fingerprint_read(list, GNUTLS_X509_FMT_DER, found) != 0 ||
        strcasecmp(found, fingerprint) != 0)
        return error_set(err, -EACCES, "wrong-host",
                         "the host's certificate has the fingerprint sha256:%s, not sha256:%.64s",
                         found, fingerprint);
    return 0;
}

/* ---- connections ---- */

static struct conn *conn_create(int fd)
{
    struct conn *conn = calloc(1, sizeof(*conn));
    if (!conn)
        (void)close(fd);
    else
        conn->fd = fd;
    return conn;
}

struct conn *conn_over(int fd)
{
    return conn_create(fd);
}

int conn_dial(const char *address, const char *fingerprint, struct conn **ret_conn,
              struct error *err)
{
    struct addrinfo *list;
    int fd = -EHOSTUNREACH, is_near = 0;
    int r = resolve(address, 0, &list, err);
    if (r < 0)
        return r;
    for (const struct addrinfo *at = list; at && fd < 0; at = at->ai_next) {
        is_near = is_loopback(at->ai_addr);
        if (fingerprint || is_near)
            fd = dial_one(at);
    }
    freeaddrinfo(list);
    if (fd < 0 && !fingerprint && !is_near)
        return error_set(err, -EPERM, "tls-needed",
                         "the fingerprint of the certificate of '%.200s' is needed", address);
    if (fd < 0)
        return error_errno(err, -EHOSTUNREACH, "host-unreachable", "cannot reach '%.200s' (%s)",
                           address, strerror(-fd));
    CLEANUP(cleanup_conn) struct conn *conn = conn_create(fd);
    if (!conn)
        return error_set(err, -ENOMEM, "out-of-memory", "calling '%.200s'", address);
    if (fingerprint) {
        if (gnutls_certificate_allocate_credentials(&conn->trust) != 0)
            return error_set(err, -ENOMEM, "out-of-memory", "calling '%.200s'", address);
        r = tls_begin(conn, GNUTLS_CLIENT, conn->trust, err);
        if (r == 0)
            r = peer_check(conn, fingerprint, err);
    }
    if (r == 0)
        *ret_conn = TAKE(conn);
    return r;
}

int conn_accept(int fd, struct conn_server *server, struct conn **ret_conn, struct error *err)
{
    CLEANUP(cleanup_conn) struct conn *conn = conn_create(fd);
    if (!conn)
        return error_set(err, -ENOMEM, "out-of-memory", "serving a caller");
    int r = socket_prepare(fd);
    if (r < 0)
        return error_errno(err, r, "connection-failed", "cannot prepare the connection");
    if (server)
        r = tls_begin(conn, GNUTLS_SERVER, server->credentials, err);
    if (r == 0)
        *ret_conn = TAKE(conn);
    return r;
}

void conn_close(struct conn *conn)
{
    if (!conn)
        return;
    if (conn->tls) {
        if (gnutls_bye(conn->tls, GNUTLS_SHUT_WR) == 0)
            (void)out_flush(conn); /* the peer may have gone */
        gnutls_deinit(conn->tls);
    }
    if (conn->trust)
        gnutls_certificate_free_credentials(conn->trust);
    (void)close(conn->fd);
    free(conn);
}

void conn_shut(struct conn *conn)
{
    (void)shutdown(conn->fd, SHUT_RDWR); /* fails only when it is broken already */
}

size_t conn_gathered(const struct conn *conn)
{
    return conn->gathered + conn->out_length;
}

static int seal(struct conn *conn, const uint8_t *data, size_t length)
{
    if (!conn->tls)
        return out_put(conn, data, length);
    while (length) {
        ssize_t n = gnutls_record_send(conn->tls, data, length);
        if (n < 0 && !gnutls_error_is_fatal((int)n))
            continue;
        if (n <= 0)
            return -EPIPE;
        data += n;
        length -= (size_t)n;
    }
    return 0;
}

static int seal_gathered(struct conn *conn)
{
    size_t length = conn->gathered;
    conn->gathered = 0;
    return seal(conn, conn->gather, length);
}

int conn_flush(struct conn *conn)
{
    int r = seal_gathered(conn);
    return r == 0 ? out_flush(conn) : r;
}

int conn_put(struct conn *conn, const void *data, size_t length)
{
    if (length == 0)
        return 0; /* of no memory, perhaps */
    if (conn->gathered + length > sizeof(conn->gather)) {
        int r = seal_gathered(conn);
        if (r < 0)
            return r;
    }
    if (length > sizeof(conn->gather))
        return seal(conn, data, length);
    memcpy(conn->gather + conn->gathered, data, length);
    conn->gathered += length;
    return 0;
}

uint64_t conn_look(struct conn *conn)
{
    line_look(&conn->line, conn->fd);
    return conn->line.bytes_per_s;
}

uint64_t conn_round_trip_us(const struct conn *conn)
{
    return line_round_trip_us(conn->fd);
}

static int has_input(const struct conn *conn)
{
    return conn->in_first < conn->in_end ||
           (conn->tls && gnutls_record_check_pending(conn->tls) > 0);
}

int conn_wait(struct conn *conn, int also_fd, int timeout_ms, int *ret_also)
{
    if (has_input(conn))
        return 1;
    struct pollfd ends[] = {{.fd = conn->fd, .events = POLLIN},
                            {.fd = also_fd, .events = POLLIN | POLLRDHUP}};
    if (poll(ends, 2, timeout_ms) <= 0)
        return 0;
    if (ends[1].revents)
        *ret_also = 1;
    return ends[0].revents != 0;
}

int conn_read_some(struct conn *conn, void *data, size_t length)
{
    for (;;) {
        ssize_t n =
            conn->tls ? gnutls_record_recv(conn->tls, data, length) : in_take(conn, data, length);
        if (n >= 0)
            return (int)n;
        if (conn->tls && n == GNUTLS_E_AGAIN)
            return -ETIMEDOUT; /* SO_RCVTIMEO */
        if (!conn->tls)
            return errno == EAGAIN ? -ETIMEDOUT : -errno;
        if (gnutls_error_is_fatal((int)n))
            return -ECONNRESET;
    }
}

int conn_read(struct conn *conn, void *data, size_t length)
{
    uint8_t *at = data;
    while (length) {
        int n = conn_read_some(conn, at, length > INT32_MAX ? INT32_MAX : length);
        if (n <= 0)
            return n < 0 ? n : -ECONNRESET;
        at += n;
        length -= (size_t)n;
    }
    return 0;
}
