/* Jobs that are stopped and started again later, because their cards cannot leave their devices:
 * those of them that allow it (`requeue`). They are asked to end within the notice, killed at its
 * end, and queued again. Loop thread only. */
#ifndef LEAT_CORE_EVICT_H
#define LEAT_CORE_EVICT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/idle.h"

struct core;
struct live_job;

/* Its card cannot leave its device: what it holds there stays while it runs. */
bool evict_stays(const struct live_job *live);
/* It is stopped to give way, and started again. Members of a gang are not: the others wait for
 * them. */
bool evict_applies(const struct live_job *live);
/* Ask it to end, and queue it again when it has. */
void evict_take(struct core *core, struct live_job *live, enum idle_why why);
/* Between asking it to end and killing it: its own grace, within half a notice. */
uint64_t evict_grace_ms(const struct core *core, const struct live_job *live);

#endif
