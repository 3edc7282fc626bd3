/* The control socket: connections, their lines, and the table of operations. */
#ifndef LEAT_CARDD_CONTROL_H
#define LEAT_CARDD_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

struct cardd;
struct control;
struct error;
struct json_t;

#define CONTROL_CONNECTIONS_MAX 64
#define CONTROL_UNSENT_MAX_BYTES (4u << 20) /* a reader that lags further behind is dropped */

/* Serve the listening socket `fd`, which is taken over. NULL: out of memory. */
struct control *control_open(struct cardd *cardd, int fd);
/* Ends all connections; frees itself on the loop. NULL is fine. */
void control_close(struct control *control);
/* Go on with a connection of a leat-cardd that was killed, which it had as `number`; `fd` is taken
 * over. -ENOMEM: it is closed. */
int control_adopt(struct control *control, uint64_t number, int fd);
bool control_has(const struct control *control, uint64_t number);
unsigned control_connections(const struct control *control);

/* Answer a request that was left open. `result` is taken over. A connection that has gone is
 * fine. */
void control_answer(struct control *control, uint64_t connection, uint64_t request,
                    struct json_t *result);
/* As control_answer, with a refusal. */
void control_refuse(struct control *control, uint64_t connection, uint64_t request,
                    const struct error *error);
/* Tell all subscribers. `members` is taken over. */
void control_event(struct control *control, const char *event, struct json_t *members);

#endif
