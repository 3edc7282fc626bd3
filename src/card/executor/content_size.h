/* cl_pocl_content_size: how much of a buffer is of use, which another buffer says. What a client
 * asked for is part of the object, and the driver is told again when the card comes back. When
 * either of the two goes, the driver unties them by itself. */
#ifndef LEAT_CARD_EXECUTOR_CONTENT_SIZE_H
#define LEAT_CARD_EXECUTOR_CONTENT_SIZE_H

struct object;
struct session;

/* Tell the driver of all buffers that have come back. */
void content_sizes_tie(struct session *session);
/* At an object's end. */
void content_size_untie(struct session *session, struct object *object);

#endif
