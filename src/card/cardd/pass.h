/* Messages with descriptors, over local sockets. */
#ifndef LEAT_CARDD_PASS_H
#define LEAT_CARDD_PASS_H

#include <stddef.h>

#define PASS_MAX 20 /* descriptors of one message */

/* Send `bytes` of `data` with `count` descriptors, which stay the caller's. `flags`: of sendmsg.
 * 0, or a negative errno. */
int pass_send(int socket_fd, const void *data, size_t bytes, const int *fds, unsigned count,
              int flags);
/* Receive one message of exactly `bytes`, and all its descriptors, close-on-exec; what is not there
 * is -1. 0; -EPIPE when nobody is at the other end any more, -EPROTO for a message of another size,
 * or another negative errno. */
int pass_receive(int socket_fd, void *data, size_t bytes, int ret_fds[PASS_MAX], int flags);

#endif
