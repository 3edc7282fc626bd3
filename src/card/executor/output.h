/* What kernels print, and the driver with them: caught in a file of this session, so that sessions
 * never mix, and handed to the client in pieces when it asks. Consumer's thread. */
#ifndef LEAT_CARD_EXECUTOR_OUTPUT_H
#define LEAT_CARD_EXECUTOR_OUTPUT_H

#include <stddef.h>
#include <stdint.h>

struct buf;
struct error;
struct session;

/* Standard output of this process goes to a file in memory from now on. Before the driver is
 * loaded. 0 or a negative errno. */
int output_capture(struct error *err);
/* Bytes that the client has not asked for. */
uint64_t output_left(const struct session *session);
/* Append so many of them to `state`, and have in another process what was appended. */
void output_save(const struct session *session, uint64_t bytes, struct buf *state);
int output_load(const struct session *session, const void *data, size_t bytes);
/* They are another process's now. */
void output_forget(struct session *session);

#endif
