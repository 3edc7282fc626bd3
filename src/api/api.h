/* The REST interface of leatd: HTTP on a Unix socket always, on TCP with a token when asked. It
 * decodes, authorises and encodes; what a request does is core's business.
 *
 * Everything runs on the loop given at api_create; no call is thread-safe, none blocks. */
#ifndef LEAT_API_API_H
#define LEAT_API_API_H

#include <stdio.h>

struct api;
struct core;
struct error;
struct uv_loop_s;

struct api_options {
    struct uv_loop_s *loop;  /* borrowed until api_destroy */
    struct core *core;       /* borrowed until api_destroy */
    const char *socket_path; /* of the Unix socket; one left by a dead leatd is replaced */
    const char *listen;      /* "HOST:PORT" or "[HOST]:PORT"; NULL: no TCP */
    const char *token_path;  /* file of the token of TCP clients, made when missing; for `listen` */
};

/* Binds and serves. All strings are copied. After a failure the loop has to run once more, to let
 * go of what was opened. */
int api_create(const struct api_options *options, struct api **ret_api, struct error *err);
/* Take no more connections and end the streams. Requests that wait for core are still answered. */
void api_drain(struct api *api);
/* Close every connection, remove the socket, close all handles; `stopped` comes on the loop when
 * api_destroy may follow. Core must have given its open replies (core_stop) by then. */
void api_stop(struct api *api, void (*stopped)(void *arg), void *arg);
void api_destroy(struct api *api); /* accepts NULL */

/* One line a route: method, path pattern, query parameters; separated by tabs. */
void api_print_routes(FILE *out);

#endif
