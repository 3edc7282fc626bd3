/* Cards that leave their device and come back. Loop thread only. */
#ifndef LEAT_CORE_CARRY_H
#define LEAT_CORE_CARRY_H

struct core;
struct live_job;

/* Take the card of an idle job off its device. It comes back as one of core->waking. */
void carry_away(struct core *core, struct live_job *live);

#endif
