/* Listen on some sockets and give every caller a process of its own. */
#ifndef LEAT_CARD_RELAY_HUB_H
#define LEAT_CARD_RELAY_HUB_H

#include <stddef.h>
#include <stdint.h>

struct error;

#define HUB_CALLERS_MAX 512 /* at once */

struct hub_listener {
    int fd;
    /* Serves a caller in a process that ends with it; the result goes to the log. */
    int (*serve)(int fd, const void *arg, struct error *err);
    const void *arg;
};

/* A listening Unix socket at `path`. 0 or a negative errno with err set. */
int hub_listen(const char *path, unsigned mode, int *ret_fd, struct error *err);
/* Serve until SIGTERM, SIGINT or SIGHUP, which end the callers' processes as well, or until there
 * was no caller for `linger_ms` (0: for ever). */
int hub_run(const struct hub_listener *listeners, size_t count, uint64_t linger_ms,
            struct error *err);

#endif
