/* A job is told before its card is taken: its program by a signal, and by a command of the user's
 * in its container. Whoever says that its state is saved is not waited for any longer, and has lost
 * nothing up to then. Loop thread only. */
#ifndef LEAT_CORE_NOTICE_H
#define LEAT_CORE_NOTICE_H

#include <stdbool.h>
#include <stdint.h>

struct core;
struct json_t;
struct job;
struct live_job;

void notice_poll(struct core *core); /* tell those whose notice has begun */
/* A new notice: what was told of an earlier one does not count. */
void notice_begin(struct live_job *live);
/* May what is due at `due_us` be taken now? One that is stopped has its grace before that. */
bool notice_is_over(const struct core *core, const struct live_job *live, uint64_t due_us,
                    uint64_t now_us);
/* {"due","told","signal","pre_stop","checkpointed"}; JSON null: its card is not called. NULL: out
 * of memory. */
struct json_t *notice_encode(const struct job *job);

#endif
