/* One connection between two relays: TCP, with TLS unless both ends are on one host. Bytes are
 * gathered and sent together; a silent peer is a dead one.
 *
 * One thread reads, and any one thread at a time (the caller's lock) puts and flushes. Errors are
 * negative errnos and final. */
#ifndef LEAT_CARD_RELAY_CONN_H
#define LEAT_CARD_RELAY_CONN_H

#include <stddef.h>
#include <stdint.h>

struct error;

#define CONN_PING_MS 2000       /* say something at least that often */
#define CONN_SILENCE_MS 10000   /* a peer that said nothing for so long is gone */
#define FINGERPRINT_TEXT_MAX 72 /* "sha256:" is not part of it: 64 hex digits and a NUL */

struct conn;
struct conn_server; /* certificate and key */

/* Read a certificate chain and its key, both PEM. NULL with err set. Never freed: it lives as long
 * as the process. `ret_fingerprint` gets the SHA-256 of the certificate in hex. */
struct conn_server *conn_server_load(const char *cert_file, const char *key_file,
                                     char ret_fingerprint[FINGERPRINT_TEXT_MAX], struct error *err);

/* Call "HOST:PORT" ("[HOST]:PORT" for IPv6; without a port the default). The peer's certificate
 * must have this fingerprint; without one only a host of this machine's loopback is called, in the
 * clear. */
int conn_dial(const char *address, const char *fingerprint, struct conn **ret_conn,
              struct error *err);
/* Serve the caller on `fd` (taken over); server NULL: in the clear. */
int conn_accept(int fd, struct conn_server *server, struct conn **ret_conn, struct error *err);
/* The end of a local connection, `fd` (taken over), which somebody else carries on. NULL: out of
 * memory. */
struct conn *conn_over(int fd);
/* Listening sockets' address: as conn_dial. In the clear only on loopback. */
int conn_listen(const char *address, int is_secure, int *ret_fd, struct error *err);
void conn_close(struct conn *conn); /* NULL is fine */
/* From any thread: who reads finds the end. */
void conn_shut(struct conn *conn);

/* Bytes put and not yet flushed. */
size_t conn_gathered(const struct conn *conn);

/* Bytes wait for others, but not beyond 256 KiB. */
int conn_put(struct conn *conn, const void *data, size_t length);
int conn_flush(struct conn *conn);
/* What the line was seen to carry, bytes per second; 0 as long as that is not known. A system call.
 * Of who puts. */
uint64_t conn_look(struct conn *conn);
/* The line's shortest round trip so far; 0 when it is no line of TCP. A system call. */
uint64_t conn_round_trip_us(const struct conn *conn);
/* 1 when a read would find something, 0 when not within `timeout_ms` or when `also_fd` (-1: none)
 * became readable, which sets *ret_also. */
int conn_wait(struct conn *conn, int also_fd, int timeout_ms, int *ret_also);
/* Exactly `length` bytes; -ETIMEDOUT when the peer is silent too long, -ECONNRESET at its end. */
int conn_read(struct conn *conn, void *data, size_t length);
/* What is there, at most `length`; 0 at the end. */
int conn_read_some(struct conn *conn, void *data, size_t length);

#endif
