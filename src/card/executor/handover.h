/* How an executor gets its client: one message on its control descriptor, sent by executor_serve.
 */
#ifndef LEAT_CARD_EXECUTOR_HANDOVER_H
#define LEAT_CARD_EXECUTOR_HANDOVER_H

#include "card/executor/executor.h"

/* Wait for the client. 0, or a negative errno when none will come; the descriptors are owned by the
 * caller then. */
int handover_receive(int control_fd, struct executor_client *ret_client);

#endif
