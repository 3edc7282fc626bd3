/* A connection between two relays, over loopback: what is put arrives, in order and whole, whatever
 * its pieces and however much of it there is, in the clear and with TLS. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <gnutls/x509.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "card/relay/conn.h"

#define BYTES_MOST ((1u << 20) + 7)

/* Below, at and above what is gathered, what a TLS record holds and what goes to the socket at
 * once. */
static const size_t pieces[] = {
    1, 16383, 16384, 16385, 5, (256u << 10) - 1, 256u << 10, 3, BYTES_MOST, (300u << 10) + 1, 9};
#define PIECES (sizeof(pieces) / sizeof(pieces[0]))

struct rig {
    char folder[32], cert[64], key[64], fingerprint[FINGERPRINT_TEXT_MAX];
    struct conn_server *server;
    int listen_fd;
    char address[32];
};

static void file_put(const char *path, const gnutls_datum_t *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text->data, 1, text->size, file), text->size);
    assert_int_equal(fclose(file), 0);
}

static void make_certificate(const struct rig *rig)
{
    gnutls_x509_privkey_t key;
    gnutls_x509_crt_t cert;
    gnutls_datum_t text;
    assert_int_equal(gnutls_x509_privkey_init(&key), 0);
    assert_int_equal(gnutls_x509_privkey_generate(
                         key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
                     0);
    assert_int_equal(gnutls_x509_crt_init(&cert), 0);
    assert_int_equal(gnutls_x509_crt_set_version(cert, 3), 0);
    assert_int_equal(gnutls_x509_crt_set_serial(cert, "\1", 1), 0);
    assert_int_equal(gnutls_x509_crt_set_dn(cert, "CN=relay", NULL), 0);
    assert_int_equal(gnutls_x509_crt_set_activation_time(cert, time(NULL)), 0);
    assert_int_equal(gnutls_x509_crt_set_expiration_time(cert, time(NULL) + 3600), 0);
    assert_int_equal(gnutls_x509_crt_set_key(cert, key), 0);
    assert_int_equal(gnutls_x509_crt_sign(cert, cert, key), 0);
    assert_int_equal(gnutls_x509_crt_export2(cert, GNUTLS_X509_FMT_PEM, &text), 0);
    file_put(rig->cert, &text);
    gnutls_free(text.data);
    assert_int_equal(gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &text), 0);
    file_put(rig->key, &text);
    gnutls_free(text.data);
    gnutls_x509_crt_deinit(cert);
    gnutls_x509_privkey_deinit(key);
}

static int set_up(void **state)
{
    static struct rig rig;
    struct sockaddr_in address;
    socklen_t length = sizeof(address);
    rig = (struct rig){.folder = "/tmp/leat-conn-XXXXXX"};
    assert_non_null(mkdtemp(rig.folder));
    (void)snprintf(rig.cert, sizeof(rig.cert), "%s/cert", rig.folder);
    (void)snprintf(rig.key, sizeof(rig.key), "%s/key", rig.folder);
    make_certificate(&rig);
    assert_int_equal(conn_listen("127.0.0.1:0", 0, &rig.listen_fd, NULL), 0);
    assert_int_equal(getsockname(rig.listen_fd, (struct sockaddr *)&address, &length), 0);
    (void)snprintf(rig.address, sizeof(rig.address), "127.0.0.1:%u", ntohs(address.sin_port));
    *state = &rig;
    return 0;
}

static int tear_down(void **state)
{
    const struct rig *rig = *state;
    (void)close(rig->listen_fd);
    (void)unlink(rig->cert);
    (void)unlink(rig->key);
    return rmdir(rig->folder);
}

static uint8_t *make_bytes(void)
{
    uint8_t *bytes = malloc(BYTES_MOST);
    assert_non_null(bytes);
    for (size_t i = 0; i < BYTES_MOST; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 251);
    return bytes;
}

/* All pieces in one go, then a flush. In a thread of its own: no assertions there. */
static int put_pieces(struct conn *conn, const uint8_t *bytes)
{
    for (size_t i = 0; i < PIECES; i++)
        if (conn_put(conn, bytes, pieces[i]) < 0)
            return -1;
    return conn_gathered(conn) > 0 && conn_flush(conn) == 0 && conn_gathered(conn) == 0 ? 0 : -1;
}

static void read_pieces(struct conn *conn, const uint8_t *bytes)
{
    uint8_t *found = malloc(BYTES_MOST);
    assert_non_null(found);
    for (size_t i = 0; i < PIECES; i++) {
        assert_int_equal(conn_read(conn, found, pieces[i]), 0);
        assert_memory_equal(found, bytes, pieces[i]);
    }
    free(found);
}

/* The other end: sends back what it is sent, while it is still being sent more. */
static void *echo(void *arg)
{
    const struct rig *rig = arg;
    struct conn *conn;
    uint8_t *piece = malloc(BYTES_MOST);
    int n, fd = accept(rig->listen_fd, NULL, NULL);
    if (!piece || conn_accept(fd, rig->server, &conn, NULL) < 0)
        abort();
    while ((n = conn_read_some(conn, piece, 50000)) > 0)
        if (conn_put(conn, piece, (size_t)n) < 0 ||
            (conn_wait(conn, -1, 0, NULL) == 0 && conn_flush(conn) < 0))
            abort();
    free(piece);
    conn_close(conn);
    return NULL;
}

struct sender {
    struct conn *conn;
    const uint8_t *bytes;
    int result;
};

static void *send_all_pieces(void *arg)
{
    struct sender *sender = arg;
    sender->result = put_pieces(sender->conn, sender->bytes);
    if (sender->result == 0)
        sender->result = put_pieces(sender->conn, sender->bytes);
    return NULL;
}

/* One thread sends while another receives, as the relays do. */
static void echo_pieces(struct rig *rig)
{
    pthread_t other, sending;
    struct sender sender = {.bytes = make_bytes()};
    const char *fingerprint = rig->server ? rig->fingerprint : NULL;
    assert_int_equal(pthread_create(&other, NULL, echo, rig), 0);
    assert_int_equal(conn_dial(rig->address, fingerprint, &sender.conn, NULL), 0);
    assert_int_equal(pthread_create(&sending, NULL, send_all_pieces, &sender), 0);
    read_pieces(sender.conn, sender.bytes);
    read_pieces(sender.conn, sender.bytes);
    assert_int_equal(pthread_join(sending, NULL), 0);
    assert_int_equal(sender.result, 0);
    conn_close(sender.conn);
    assert_int_equal(pthread_join(other, NULL), 0);
    free((void *)(uintptr_t)sender.bytes); /* ours */
}

static void test_plain(void **state)
{
    echo_pieces(*state);
}

static void test_tls(void **state)
{
    static struct conn_server *server; /* lives as long as the process */
    struct rig *rig = *state;
    struct error err = {0};
    rig->server = server = conn_server_load(rig->cert, rig->key, rig->fingerprint, &err);
    assert_string_equal(err.text, "");
    assert_non_null(server);
    echo_pieces(rig);
}

/* Nothing, then something, then the end. */
static void test_wait(void **state)
{
    int ends[2], also = 0;
    char byte;
    struct conn *conn;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    struct rig *rig = *state;
    pthread_t other;
    assert_int_equal(pthread_create(&other, NULL, echo, rig), 0);
    assert_int_equal(conn_dial(rig->address, NULL, &conn, NULL), 0);
    assert_int_equal(conn_wait(conn, ends[0], 0, &also), 0);
    assert_int_equal(also, 0);
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_int_equal(conn_wait(conn, ends[0], 0, &also), 0);
    assert_int_equal(also, 1);
    assert_int_equal(conn_put(conn, "yz", 2), 0);
    assert_int_equal(conn_flush(conn), 0);
    assert_int_equal(conn_read(conn, &byte, 1), 0);
    assert_int_equal(byte, 'y');
    assert_int_equal(conn_wait(conn, -1, -1, NULL), 1); /* came with the first, or comes */
    assert_int_equal(conn_read(conn, &byte, 1), 0);
    assert_int_equal(byte, 'z');
    conn_close(conn);
    assert_int_equal(pthread_join(other, NULL), 0);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_plain, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_tls, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wait, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
