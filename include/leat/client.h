/* libleat: ask a leatd, over its Unix socket or over TCP.
 *
 * Every call that can fail returns 0 or a negative errno and fills `err` (may be NULL). A client is
 * used by one thread at a time; make one per thread. Requests and answers are the JSON of
 * openapi.yaml, handed over as text, so that a program may use any JSON library. */
#ifndef LEAT_CLIENT_H
#define LEAT_CLIENT_H

#include <stddef.h>

#include "leat/error.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

typedef struct leat_client leat_client;

/* `host`: "http://centre:8311", "centre:8311", the path of a socket, or the folder that holds
 * leatd.sock. NULL: LEAT_HOST, else the run folder (LEAT_RUN_DIR, else /run/leat for root,
 * $XDG_RUNTIME_DIR/leat or /tmp/leat-UID for others). `token`: what a TCP listener asks for; NULL:
 * LEAT_TOKEN, else none. Does not connect. The client is the caller's, to be destroyed. */
int leat_client_create(const char *host, const char *token, leat_client **ret_client,
                       struct leat_error *err);
void leat_client_destroy(leat_client *client); /* NULL is fine */
/* Where it connects to, as a human would write it; lives as long as the client. */
const char *leat_client_place(const leat_client *client);
/* The socket's path, or NULL when the client speaks TCP; lives as long as the client. */
const char *leat_client_socket(const leat_client *client);
/* While `fd` is readable, every request ends at once with -ECANCELED ("interrupted"). The
 * descriptor stays the caller's and is not read. -1: nothing interrupts (the default). */
void leat_client_interrupt_on(leat_client *client, int fd);

struct leat_request {
    const char *method; /* "GET", "POST", "DELETE" */
    const char *path;   /* "/v1/jobs?limit=10"; escape what comes from users */
    const char *body;   /* JSON text, or NULL for none */
    const char *key;    /* Idempotency-Key, or NULL; with one, a repeated POST is safe */
    const char *accept; /* NULL: application/json */
    const char *resume; /* Last-Event-ID, or NULL */
    long timeout_ms;    /* for the whole exchange; 0: no limit */
};

struct leat_reply {
    int status;    /* 200..299 */
    char *text;    /* never NULL after success, ends in a NUL; owned by the reply */
    size_t length; /* bytes, without the NUL */
};

/* One question, one answer. An answer of 400 and above is a failure: its problem document is in
 * `err`. No leatd: -ECONNREFUSED, "leatd-unreachable"; gone before the end of its answer:
 * -ECONNRESET, "connection-lost". Answers over 64 MiB: -EFBIG. */
int leat_client_request(leat_client *client, const struct leat_request *request,
                        struct leat_reply *ret_reply, struct leat_error *err);
void leat_reply_finish(struct leat_reply *reply);

/* As leat_client_request, handing over the answer in pieces as they come. `take` returns 0 to go on
 * or a negative errno, which ends the exchange and is what the call returns. */
int leat_client_stream(leat_client *client, const struct leat_request *request,
                       int (*take)(const char *data, size_t length, void *context), void *context,
                       struct leat_error *err);

/* `text` with everything but A-Z a-z 0-9 - . _ ~ percent-encoded, for use in a path. The caller
 * frees it; NULL: out of memory. */
char *leat_escape(const char *text);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
