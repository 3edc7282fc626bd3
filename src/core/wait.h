/* Who waits for a job to end, or to be cleared away. */
#ifndef LEAT_CORE_WAIT_H
#define LEAT_CORE_WAIT_H

#include <stdint.h>
#include <uv.h>

#include "core/core.h"

struct live_job;

void wait_job_ended(struct core *core, struct live_job *live);
/* Remove the ended job when it is cleared away. */
void wait_and_remove(struct core *core, uint64_t job, core_reply_fn *reply, void *arg);
void wait_job_forgotten(struct core *core, uint64_t job);
void wait_on_timer(uv_timer_t *timer);
void wait_cancel_all(struct core *core);

#endif
