/* The cgroups of containers, both layouts: where they are, and their end. The runtime makes them
 * and sets the limits; this is for what a killed runtime leaves behind. All calls may block and
 * touch no state: fit for the pool. */
#ifndef LEAT_ENGINE_CGROUP_H
#define LEAT_ENGINE_CGROUP_H

#include <stdbool.h>
#include <stddef.h>

struct error;

/* Call `visit` with every folder that the cgroup `path` ("leat-HASH/ID") can have: in each mounted
 * hierarchy, below the daemon's own cgroup and at the top. */
int cgroup_each(const char *path, void (*visit)(void *context, const char *folder), void *context,
                struct error *err);
/* Kill what is in the cgroup and the cgroups below it and remove them. Missing: fine. -EBUSY when
 * something in it does not die. */
int cgroup_remove(const char *path, struct error *err);
/* Remove the cgroup if nothing is in or below it. */
void cgroup_prune(const char *path);
/* Whether the memory controller can limit swap too. */
bool cgroup_limits_swap(void);

#endif
