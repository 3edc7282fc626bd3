/* All device state of a session leaves the device and comes back. Consumer's thread, with no
 * command in the driver. */
#ifndef LEAT_CARD_EXECUTOR_SUSPEND_H
#define LEAT_CARD_EXECUTOR_SUSPEND_H

#include <stdint.h>

struct error;
struct session;

/* Copy contents to host memory and release every object of the driver. On failure (-ENOMEM: no host
 * memory) everything is on the device again. */
int session_suspend(struct session *session, struct error *err);
/* Make everything again on session->device. On failure (-ENOSPC: the device has no room) nothing is
 * on the device, and it can be tried again. */
int session_resume(struct session *session, struct error *err);
/* Contents in host memory. */
uint64_t session_away_bytes(const struct session *session);

#endif
