/* What a suspended session is, but for what its memory objects hold: objects with all that they are
 * made from, events, and how far its client's records were carried out. With that and the contents
 * another process can go on in its place. Consumer's thread, the session suspended. */
#ifndef LEAT_CARD_EXECUTOR_STATE_H
#define LEAT_CARD_EXECUTOR_STATE_H

#include <stddef.h>

#include "base/buf.h"

struct error;
struct session;

/* Why the state of a session is not all that it is, in words; NULL: it is. */
const char *state_obstacle(const struct session *session);
/* Append it to `state`: 0, -ENOMEM, or -EOPNOTSUPP for a session of which it is not all. */
int state_write(const struct session *session, struct buf *state);
/* Make a session of it that has taken no record yet: its objects are away, contents of memory that
 * is not shared with the client are zero. One of another host shares none, and begins with a client
 * that has posted nothing; what is in its memory must fit the card here (-ENOSPC). -ESTALE when
 * records were carried out since; -EPROTO: it is not one. The session is of no use then. */
int state_read(struct session *session, const void *data, size_t length, struct error *err);

#endif
