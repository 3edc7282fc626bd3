/* The two ends of a card of another host. The near relay stands on the program's host where
 * leat-cardd and the executor would: it gives out sessions in shared memory and forwards what the
 * program posts. The far relay stands on the device's host where the program would: it is an
 * ordinary client of leat-cardd. Neither knows anything about OpenCL.
 *
 * All of these serve one connection in a process of their own and return when it is over: 0, or a
 * negative errno with err set. They take over the descriptors they are given. */
#ifndef LEAT_CARD_RELAY_H
#define LEAT_CARD_RELAY_H

#include <stdint.h>

#include "card/relay/conn.h"
#include "card/wire/wire.h"

struct executor_relay;
struct relay_hello;
struct wire_hello;

/* First on a connection to `depart.sock` of the near relay's run folder, behind which the session's
 * checkpoint follows: it goes to a card of the other host. */
struct relay_departure {
    uint32_t magic, version;
    char card_token[WIRE_TOKEN_MAX]; /* there */
    uint8_t session[WIRE_SESSION_ID_BYTES];
};

/* Which host, and with what right. */
struct relay_host {
    const char *address;     /* HOST or HOST:PORT */
    const char *fingerprint; /* of its certificate, in hex; NULL: in the clear, on loopback */
    const char *token;
};

/* Call the host for a session of the program that said `program`, or, NULL, for the card control.
 * On refusal err has the host's words. */
int relay_call(const struct relay_host *host, const struct wire_hello *program,
               struct conn **ret_conn, unsigned *ret_slot, struct error *err);

/* The program's host: a program on `fd` asks for a session, or somebody for the card control. */
int near_session(int fd, const struct relay_host *host, struct error *err);
int near_control(int fd, const struct relay_host *host, struct error *err);
/* leat-cardd, and then an executor, on `fd` bring a session that is to go on there. */
int near_depart(int fd, const struct relay_host *host, struct error *err);
/* What such an executor does. */
extern const struct executor_relay near_departing;
/* Read the other host's answer to a hello. */
int relay_verdict_read(struct conn *conn, unsigned *ret_slot, struct error *err);

/* The device's host: a caller whose token has been checked. `run_dir` is leat-cardd's. */
int far_session(struct conn *conn, const struct relay_hello *hello, const char *run_dir,
                struct error *err);
int far_control(struct conn *conn, const char *run_dir, struct error *err);

/* Carry bytes both ways until one side ends. */
int splice_run(struct conn *conn, int fd, struct error *err);

#endif
