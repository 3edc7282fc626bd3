/* One HTTP listener on a uv loop: runs libmicrohttpd without threads of its own. */
#ifndef LEAT_API_SERVER_H
#define LEAT_API_SERVER_H

#include <microhttpd.h>
#include <stdint.h>

struct error;
struct server;
struct uv_loop_s;

struct server_options {
    struct uv_loop_s *loop;
    int listen_fd; /* taken, also on failure */
    MHD_AccessHandlerCallback access;
    MHD_RequestCompletedCallback completed;
    void *arg; /* of both */
};

int server_create(const struct server_options *options, struct server **ret_server,
                  struct error *err);
/* A connection was resumed: look at it in the loop's next turn (with a loop from outside MHD has no
 * way to wake itself). */
void server_wake(struct server *server);
void server_quiesce(struct server *server); /* take no more connections */
/* Close every connection; `closed` comes on the loop, after which the server is gone. */
void server_close(struct server *server, void (*closed)(void *arg), void *arg);
uint32_t server_connections(const struct server *server);

#endif
