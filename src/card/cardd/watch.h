/* Call back when a descriptor becomes readable: libuv's poll handle with its memory in its own
 * hands. */
#ifndef LEAT_CARDD_WATCH_H
#define LEAT_CARDD_WATCH_H

#include <uv.h>

struct watch;

/* `fd` stays the caller's and must be open until watch_stop. NULL: out of memory, or nothing that
 * can be waited for. */
struct watch *watch_start(uv_loop_t *loop, int fd, void (*readable)(void *arg), void *arg);
/* From any callback, its own too; the callback does not run again. NULL is fine. */
void watch_stop(struct watch *watch);

#endif
