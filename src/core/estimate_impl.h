/* The profiles of frameworks that core keeps for estimates of memory. */
#ifndef LEAT_CORE_ESTIMATE_IMPL_H
#define LEAT_CORE_ESTIMATE_IMPL_H

struct core;
struct error;

/* Read estimate/profiles.yaml of the data folder into core->profiles. */
int estimate_load(struct core *core, struct error *err);
void estimate_unload(struct core *core);

#endif
