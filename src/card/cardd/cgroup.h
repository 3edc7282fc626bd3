/* Where the control groups of this process are, by version and controller. */
#ifndef LEAT_CARDD_CGROUP_H
#define LEAT_CARDD_CGROUP_H

#include <limits.h>
#include <stdint.h>

struct error;

#define CGROUP_PREFIX "leat-cardd-"
#define CGROUP_HIERARCHIES_MAX 2

/* One mounted hierarchy that serves one or both of our controllers. */
struct cgroup_hierarchy {
    char own[PATH_MAX]; /* the folder of this process's group */
    int version;
    const char *memory_file; /* takes a group's limit; NULL: not this hierarchy */
    const char *kills_file;  /* has a line "oom_kill N"; NULL: not this hierarchy */
    const char *weight_file; /* takes a group's weight, 1024 by default; NULL: not to be set */
};

/* Find the hierarchies from the text of /proc/self/cgroup and /proc/self/mountinfo. Pure. Returns
 * their number, 0 when there are none that limit memory. */
unsigned cgroup_find(const char *groups, const char *mounts,
                     struct cgroup_hierarchy ret_found[CGROUP_HIERARCHIES_MAX]);

/* Write a file of the group `dir_fd`/`name` (name "" or NULL: dir_fd itself). 0 or -errno. */
int cgroup_put(int dir_fd, const char *name, const char *file, const char *text);
/* How many processes of the group the kernel has killed for want of memory; 0 when it does not
 * tell. */
uint64_t cgroup_kills(int dir_fd, const char *name, const char *kills_file);
/* Move this process in. Safe after fork. */
int cgroup_enter(int dir_fd, const char *name);
/* Kill every process in the group. */
void cgroup_kill(int dir_fd, const char *name);

#endif
