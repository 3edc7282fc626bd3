/* The tenants' book as the files of core use it: what each job may have, and what is called in.
 * Loop thread only. */
#ifndef LEAT_CORE_QUOTA_H
#define LEAT_CORE_QUOTA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sched/sched.h"

struct core;
struct core_options;
struct error;
struct live_job;

int quota_create(struct core *core, const struct core_options *options); /* 0 or -ENOMEM */
int quota_load(struct core *core, struct error *err);
void quota_devices_changed(struct core *core);
/* The job's state changed: its tenant's account follows. */
void quota_follow(struct core *core, struct live_job *live);
void quota_take(struct core *core, struct live_job *live); /* it gets its share now */
void quota_drop(struct core *core, struct live_job *live);
/* May it (with the rest of its gang: `milli` in all) have its share? When it is entitled to what is
 * lent, that is called in. */
enum sched_permit quota_ask(struct core *core, struct live_job *live, uint64_t milli);
/* May a job that has its share have this much instead? 0, or -EBUSY: its tenant's limit or what
 * others claim are in the way. */
int quota_may_grow(const struct core *core, const struct live_job *live, uint32_t share_permille,
                   struct error *err);
/* May `live` (with the rest of its gang: `milli` in all) have its share once these jobs have given
 * up theirs? */
bool quota_permits_without(const struct core *core, const struct live_job *live, uint64_t milli,
                           const uint64_t *jobs, size_t count);
/* May it take the place of `victim`, which has a lower priority? */
bool quota_may_preempt(const struct core *core, const struct live_job *live,
                       const struct live_job *victim);
/* Must it let those go first who claim what they reserved? */
bool quota_defers(const struct core *core, const struct live_job *live);
void quota_poll(struct core *core); /* take back what is due */
/* Whose turn it is among jobs of one priority. False when there are no tenants. */
bool quota_turns(struct core *core, struct sched_state *state);

#endif
