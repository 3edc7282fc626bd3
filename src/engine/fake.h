/* The fake engine: tasks that exist in memory only and do what a test tells them. The world holds
 * the tasks and may outlive engines, so that a test can restart the daemon on top of it. */
#ifndef LEAT_ENGINE_FAKE_H
#define LEAT_ENGINE_FAKE_H

#include "engine/engine.h"

struct engine_fake_world;

struct engine_fake_world *engine_fake_world_create(void);        /* NULL: out of memory */
void engine_fake_world_destroy(struct engine_fake_world *world); /* after its engines */

/* The next `count` starts end with this error (errnum negative). */
void engine_fake_fail_starts(struct engine_fake_world *world, unsigned count, int errnum,
                             const char *code);
/* Tasks ignore SIGTERM: engine_stop ends them only after the grace. */
void engine_fake_ignore_term(struct engine_fake_world *world, bool ignore);
/* Commands in tasks end at once with this status (0 at first), or at -1 not before their limit. */
void engine_fake_exec(struct engine_fake_world *world, int status);
/* The last signal that a task was sent; 0: none. */
int engine_fake_signal(const struct engine_fake_world *world, const char *id);
/* End a running task, as its program would. With no engine attached it just is ended, as when it
 * ends while the daemon is away. -ENOENT: unknown; -ESRCH: not running. */
int engine_fake_exit(struct engine_fake_world *world, const char *id, int status);
int engine_fake_oom(struct engine_fake_world *world, const char *id);
/* A start that was cut off: the task is there and ENGINE_TASK_BROKEN. */
int engine_fake_break(struct engine_fake_world *world, const char *id);
int engine_fake_write(struct engine_fake_world *world, const char *id, const char *text);
size_t engine_fake_count(const struct engine_fake_world *world); /* tasks not removed */

#endif
