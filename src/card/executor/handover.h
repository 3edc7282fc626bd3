/* How an executor gets its client: a message on its control descriptor, sent by executor_serve. */
#ifndef LEAT_CARD_EXECUTOR_HANDOVER_H
#define LEAT_CARD_EXECUTOR_HANDOVER_H

#include <stddef.h>
#include <sys/types.h>

#include "card/executor/executor.h"

#define HANDOVER_FDS 2 /* of one message, at most */

/* Wait for the client. 0, or a negative errno when none will come; the descriptors are owned by the
 * caller then. */
int handover_receive(int control_fd, struct executor_client *ret_client);
/* Read one message of at most `bytes` with its descriptors, -1 where there is none, which become
 * the caller's: its length, 0 when nobody is at the other end any more, or a negative errno. */
ssize_t handover_read(int control_fd, void *data, size_t bytes, int ret_fds[HANDOVER_FDS],
                      int flags);

#endif
