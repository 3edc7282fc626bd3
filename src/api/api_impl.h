/* What the files of this room share: the state of the interface and its limits. */
#ifndef LEAT_API_API_IMPL_H
#define LEAT_API_API_IMPL_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/list.h"

struct api;
struct core;
struct server;

#define API_BODY_MAX_BYTES (1u << 20)    /* a larger body: 413 */
#define API_DRAIN_MAX_BYTES (16u << 20)  /* of a refused body read, so that the answer is seen */
#define API_CONNECTIONS_MAX 512          /* a door; more wait in the listen queue */
#define API_HEADER_MAX_BYTES (32u << 10) /* request line, headers and answer headers */
#define API_STREAMS_MAX 256              /* log followers and event streams; more: 503 */
#define API_IDLE_CONNECTION_S 60         /* a silent connection is closed */
#define API_SWEEP_MS 5000                /* how soon a vanished client is noticed */
#define API_KEEPALIVE_SWEEPS 3           /* silent event streams get a comment every 15 s */
#define API_WAIT_DEFAULT_MS (30ull * 1000)
#define API_WAIT_MAX_MS (3600ull * 1000)
#define API_PAGE_MAX 500 /* jobs or events in one answer */
#define API_KEY_MAX 128  /* characters of an Idempotency-Key */

/* One way in: the Unix socket, or TCP with a token. */
struct door {
    struct api *api;
    struct server *server; /* NULL: closed */
    char *token;           /* owned; NULL: none is needed */
};

enum { DOOR_UNIX, DOOR_TCP, DOOR_COUNT };

struct api {
    struct core *core;
    struct door doors[DOOR_COUNT];
    char *socket_path;
    struct list requests; /* all that are alive, by request.link */
    uint32_t streams;
    uint64_t answers[6]; /* by hundreds of the status */
    bool draining;
    uv_timer_t sweep;
    unsigned closing; /* handles that are not closed yet */
    void (*stopped)(void *arg);
    void *stopped_arg;
};

#endif
