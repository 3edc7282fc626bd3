/* What an away session's buffers and images hold, into a checkpoint and out of one. Consumer's
 * thread, while the session is suspended. */
#ifndef LEAT_CARD_EXECUTOR_SAVE_H
#define LEAT_CARD_EXECUTOR_SAVE_H

#include <stdint.h>

#include "card/executor/checkpoint.h"

struct error;
struct session;

/* Append all contents, and what another executor needs to go on with them (state.h). `ret_parts`:
 * how many parts that were. */
int session_save(struct session *session, int fd, uint64_t *ret_parts, struct error *err);
/* A checkpoint of this session alone, whole, to who reads it at `fd`. */
int session_send(struct session *session, int fd, struct error *err);
/* Replace the contents of what is in the checkpoint and still there; the rest stays as it is. On
 * failure nothing has changed. `ret_parts`: how many parts were of use. */
int session_load(struct session *session, int fd, uint64_t *ret_parts, struct error *err);
/* Make a session of its own client, which has taken no record, what the checkpoint has of it. On
 * failure it is of no use. */
int session_rebuild(struct session *session, int fd, struct error *err);
/* The same while the checkpoint comes; none of it is kept but what the session needs. */
int session_rebuild_from(struct session *session, checkpoint_pull *pull, void *arg,
                         struct error *err);

#endif
