/* Jobs that give way to one of higher priority: who is given notice, who is suspended, and who has
 * to let whom go first. Who gives way is decided by sched/preempt.h, within what the tenants' book
 * allows. What is kept is durable: with each job that gives way, for whom and when. Loop thread
 * only. */
#ifndef LEAT_CORE_PREEMPT_H
#define LEAT_CORE_PREEMPT_H

#include <stdbool.h>
#include <stdint.h>

struct core;
struct core_options;
struct json_t;
struct live_job;
struct sched_finding;

struct preemption {
    bool on;
    uint64_t minimum_us, notice_us; /* see core_options */
};

void preempt_init(struct core *core, const struct core_options *options);
void preempt_poll(
    struct core *core); /* call, take what is due, withdraw what is no longer needed */
/* Must it let the job go first for which it gave way? */
bool preempt_defers(const struct core *core, const struct live_job *live);
/* Others have been told to give way to it: its finding says so. */
void preempt_find(const struct live_job *live, struct sched_finding *finding);
/* Its card cannot leave its device. */
void preempt_stays(struct core *core, struct live_job *live);
/* It goes on, or has ended. */
void preempt_over(struct live_job *live);
/* When the last of those who give way to it does; 0: nobody. */
uint64_t preempt_due_for(const struct core *core, const struct live_job *live);
/* Add to the list of loans what is on notice, or taken, by priority. */
void preempt_list(const struct core *core, struct json_t *loans);

#endif
