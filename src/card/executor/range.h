/* A buffer's place in the session's arena: its bytes are the client's memory, too. */
#ifndef LEAT_CARD_EXECUTOR_RANGE_H
#define LEAT_CARD_EXECUTOR_RANGE_H

#include <stdint.h>

struct error;
struct object;
struct session;
struct wire_buffer_create;

struct range {
    uint8_t *host; /* NULL: the buffer is the driver's own memory */
    uint64_t bytes;
    uint32_t number; /* of its word in the session */
};

/* The place that the record names, if it names one. 0, or -EPROTO when it is not in the arena. */
int range_find(const struct session *session, const struct wire_buffer_create *record,
               struct range *ret_range, struct error *err);
/* Fill in the pages of a range for which there is quota. */
void range_populate(const struct range *range);
/* Before the objects are forgotten, which the client's arena still holds: note where they lie. What
 * came back finds its place there. 0 or -ENOMEM. */
int places_keep(struct session *session);
/* Where the object lay and is to lie again; NULL: nowhere. */
const struct range *place_of(const struct session *session, const struct object *object);
/* What lay there and did not come back is not there any more, and nothing is noted. */
void places_end(struct session *session);
/* Nobody uses the range any more: its memory goes, and the client may place something there. Any
 * thread; nothing to do for an empty range. */
void range_leave(struct session *session, const struct range *range);
/* Have the arena at `address`, too, where its client has it; or, for one of another host, whose
 * arena has `apart_bytes`, memory in its stead. What it had before for that goes. 0, -EEXIST:
 * something else is there; or another negative errno. */
int arena_place(struct session *session, uint64_t address, uint64_t apart_bytes);

#endif
