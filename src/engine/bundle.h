/* What the OCI runtime is told: the config.json of one container, from the task's spec and from
 * what the host was found to allow. Decides what a container sees and may do; touches no file. */
#ifndef LEAT_ENGINE_BUNDLE_H
#define LEAT_ENGINE_BUNDLE_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "engine/engine.h"

#define BUNDLE_INIT_NAME "init"
#define BUNDLE_INIT "/dev/" BUNDLE_INIT_NAME /* where a container has the host's static init */

enum cgroup_place {
    CGROUP_NONE, /* limits cannot be set on this host */
    CGROUP_OWN,  /* below the daemon's own cgroup, in every hierarchy */
    CGROUP_TOP   /* at the top: cgroup v2, where the daemon's own may hold processes */
};

enum net_helper { NET_HELPER_NONE, NET_HELPER_SLIRP, NET_HELPER_PASTA };

/* What the host allows; filled by the probe, constant from then on. */
struct host_facts {
    char runtime[PATH_MAX]; /* path; "" when none works */
    char conmon[PATH_MAX];
    char init[PATH_MAX]; /* a static init (tini); "": the program itself is process 1 */
    char net_helper_path[PATH_MAX];
    enum net_helper net_helper;
    enum cgroup_place cgroups;
    bool user_namespace;
    bool swap_limit;          /* memory.memsw or v2 */
    bool privileged;          /* the daemon is root */
    uid_t uid_base;           /* first of the ids that containers get */
    uint32_t ids_count;       /* 1 when only the daemon's own id is to be had */
    const char *architecture; /* libseccomp's name of this machine's; NULL: no profile */
};

/* One container, every choice made. All borrowed. */
struct bundle {
    const struct engine_task_spec *spec;
    const struct host_facts *facts;
    const char *dir;       /* the bundle: STATE/jobs/ID/bundle */
    const char *work_dir;  /* host folder for /work */
    const char *cgroup;    /* cgroup of the container, relative: "leat-HASH/ID" */
    const char *root;      /* unpacked root of the image; the skeleton when host_view */
    const char *host_over; /* folder with usr/ and etc/ holding extra mount points; for host_view */
    const char *vendors_dir; /* folder with only leat.icd */
    bool host_view;          /* the image is "host" */
    uid_t owner_uid;         /* host ids of the container's root */
    gid_t owner_gid;
};

struct json_t;

/* The whole config. New reference; NULL: out of memory or text that is not UTF-8, with err set. */
struct json_t *bundle_config(const struct bundle *bundle, struct error *err);

/* /etc/hosts and /etc/resolv.conf of the container, for files in the bundle folder. The first lists
 * `hostname`; the second hands the host's `search` lines on and asks the helper's own resolver. */
int bundle_hosts(const char *hostname, char *ret_text, size_t room);
int bundle_resolv(const char *host_resolv, char *ret_text, size_t room);

/* Top folders of the host that the image "host" shows, apart from /usr and /etc. NULL-ended. */
extern const char *const bundle_host_folders[];

#endif
