/* Contents of a suspended session that host memory is not to hold: in a file without a name, in the
 * tenant's folder of kept builds, where an executor may write. Consumer's thread. */
#ifndef LEAT_CARD_EXECUTOR_SPILL_H
#define LEAT_CARD_EXECUTOR_SPILL_H

#include <stdint.h>

struct object;
struct session;

/* A suspension begins, in which `most_bytes` may stay in memory. */
void spill_begin(struct session *session, uint64_t most_bytes);
/* Move what the object holds to the file when there is too much in memory. Where there is no file
 * to be had, it stays. */
void spill_out(struct session *session, struct object *object);
/* Have what the object holds in memory again. 0, -ENOMEM, or -EIO: the file has other bytes now. */
int spill_in(struct session *session, struct object *object);
/* Everything is back on the device. */
void spill_end(struct session *session);

#endif
