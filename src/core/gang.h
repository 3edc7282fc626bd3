/* Gangs whose members could not all start. Loop thread only. */
#ifndef LEAT_CORE_GANG_H
#define LEAT_CORE_GANG_H

struct core;
struct live_job;

/* A member goes back to the queue: those that were placed with it are taken back, too, so that all
 * start together again. When some have ended already, it starts alone. */
void gang_back(struct core *core, struct live_job *live);
/* A member can never start: nor shall those run that were placed with it. */
void gang_break(struct core *core, const struct live_job *live);

#endif
