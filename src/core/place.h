/* The queue, the places of its jobs and the words for both: place.c and explain.c as the other
 * files of core use them. Loop thread only. */
#ifndef LEAT_CORE_PLACE_H
#define LEAT_CORE_PLACE_H

#include <uv.h>

#include "sched/sched.h"

struct core;
struct job;
struct json_t;
struct live_job;

void queue_insert(struct core *core, struct live_job *live);
void queue_remove(struct core *core, struct live_job *live);
/* Where the job's card is; NULL: nowhere any more. 0 or -ENOMEM. */
int place_set(struct core *core, struct live_job *live, const char *device);
void place_soon(struct core *core);
void place_on_timer(uv_timer_t *timer);
/* The state without `except` (may be NULL); arrays are freed by place_state_finish. */
int place_state_make(const struct core *core, const struct live_job *except, size_t job_room,
                     struct sched_state *ret_state);
/* The first of the queue that could start at all become the state's jobs; it has room for
 * CORE_PLACE_WINDOW. */
void place_collect(struct core *core, struct sched_state *state);
void place_state_finish(struct sched_state *state);
struct sched_job place_job(const struct job *job);
uint64_t place_length_us(const struct job *job); /* expected; SCHED_FAR: not known */
int place_node_read(struct core *core);

/* -- explain.c -- */
/* Bring the reason of a waiting job up to date with what was found; before it is shown. */
void explain_tell(const struct core *core, struct live_job *live);
const char *explain_unblocks(const struct core *core, const struct live_job *live);
/* Keep with a job that is being placed why it goes where it goes; `state` has it placed. */
void explain_placed(const struct core *core, struct live_job *live, struct sched_state *state,
                    const struct sched_decision *decision);
/* The answer of core_job_explain; NULL: out of memory. */
struct json_t *explain_encode(struct core *core, struct live_job *live);

#endif
