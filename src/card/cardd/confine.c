/* Control groups around the executors of a card: see confine.h. */
#include "card/cardd/confine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/list.h"
#include "card/cardd/cgroup.h"
#include "card/cardd/protocol.h"

#define PROC_TEXT_MAX_BYTES (1u << 20)
#define WEIGHT_OF_THREAD 1024 /* version 1: as much as a group by default */
#define RETRY_MS 20           /* a killed process leaves its group within a few ms */
#define CARD_PREFIX "card-"
#define DAEMON_GROUP "daemon" /* version 2: where leat-cardd itself goes */
#define GROUP_NAME_MAX (CARD_NAME_MAX + sizeof(CARD_PREFIX))

struct tree {
    struct cgroup_hierarchy at;
    int own_fd;      /* the folder that leat-cardd was started in */
    int instance_fd; /* ours below it; locked (flock) as long as this instance lives */
};

/* A card's groups that the kernel still holds. */
struct leftover {
    struct list link;
    uint64_t give_up_ns;
    char name[GROUP_NAME_MAX];
};

struct confine {
    struct tree trees[CGROUP_HIERARCHIES_MAX];
    unsigned count;
    char instance[64]; /* the name of our folder */
    struct list leaving;
    uv_timer_t retry;
    void (*closed)(void *arg);
    void *closed_arg;
};

static void group_name(const char *card, char ret_name[GROUP_NAME_MAX])
{
    (void)snprintf(ret_name, GROUP_NAME_MAX, CARD_PREFIX "%s", card);
}

/* Remove the groups inside `dir_fd`, which has no deeper ones. What is busy stays. */
static void groups_remove_inside(int dir_fd)
{
    int copy = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = copy >= 0 ? fdopendir(copy) : NULL;
    if (!folder) {
        cleanup_fd(&copy);
        return;
    }
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
            (void)unlinkat(dir_fd, entry->d_name, AT_REMOVEDIR); /* busy: the next start retries */
    }
    (void)closedir(folder);
}

/* Groups of instances that are dead: nobody holds their lock. */
static void dead_remove(int own_fd)
{
    int copy = openat(own_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = copy >= 0 ? fdopendir(copy) : NULL;
    if (!folder) {
        cleanup_fd(&copy);
        return;
    }
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (strncmp(entry->d_name, CGROUP_PREFIX, sizeof(CGROUP_PREFIX) - 1) != 0)
            continue;
        AUTO_FD int dead =
            openat(own_fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (dead < 0 || flock(dead, LOCK_EX | LOCK_NB) < 0)
            continue;
        groups_remove_inside(dead);
        (void)unlinkat(own_fd, entry->d_name, AT_REMOVEDIR); /* busy: the next start retries */
    }
    (void)closedir(folder);
}

/* Make our folder and lock it. Another instance that starts may remove it before the lock is there;
 * then the second try is in peace. */
static int instance_make(struct tree *tree, const char *name)
{
    for (int tries = 0; tries < 3; tries++) {
        struct stat by_fd, by_name;
        if (mkdirat(tree->own_fd, name, 0755) < 0 && errno != EEXIST)
            return -errno;
        AUTO_FD int fd = openat(tree->own_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
            continue;
        if (fstat(fd, &by_fd) == 0 && fstatat(tree->own_fd, name, &by_name, 0) == 0 &&
            by_fd.st_ino == by_name.st_ino) {
            tree->instance_fd = take_fd(&fd);
            return 0;
        }
    }
    return -EBUSY;
}

/* Version 2 gives controllers only to children of groups that hold no process: leat-cardd steps
 * down into a group of its own. Works where it was alone in its group, as in a unit with
 * Delegate=yes. */
static int controllers_enable(const struct tree *tree)
{
    static const char wanted[] = "+memory +cpu";
    if (tree->at.version == 1)
        return 0;
    if (mkdirat(tree->instance_fd, DAEMON_GROUP, 0755) < 0)
        return -errno;
    int r = cgroup_enter(tree->instance_fd, DAEMON_GROUP);
    if (r == 0)
        r = cgroup_put(tree->own_fd, NULL, "cgroup.subtree_control", wanted);
    if (r == 0)
        r = cgroup_put(tree->instance_fd, NULL, "cgroup.subtree_control", wanted);
    return r;
}

/* The way back of controllers_enable; what fails is found by the next start. */
static void controllers_disable(const struct tree *tree)
{
    static const char unwanted[] = "-memory -cpu";
    if (tree->at.version == 1)
        return;
    (void)cgroup_put(tree->instance_fd, NULL, "cgroup.subtree_control", unwanted);
    (void)cgroup_put(tree->own_fd, NULL, "cgroup.subtree_control", unwanted);
    (void)cgroup_enter(tree->own_fd, NULL);
    (void)unlinkat(tree->instance_fd, DAEMON_GROUP, AT_REMOVEDIR);
}

static void tree_finish(struct tree *tree, const char *instance)
{
    if (tree->instance_fd >= 0) {
        controllers_disable(tree);
        groups_remove_inside(tree->instance_fd); /* of cards whose leat-cardd was killed */
        (void)unlinkat(tree->own_fd, instance, AT_REMOVEDIR); /* busy: the next start retries */
    }
    cleanup_fd(&tree->instance_fd);
    cleanup_fd(&tree->own_fd);
}

/* In version 1 our group may stand beside single threads, each of which weighs as much as a group;
 * give ours the weight of a thread per CPU, or its executors starve on a busy machine. */
static void instance_weigh(const struct tree *tree)
{
    if (!tree->at.weight_file)
        return;
    char text[24];
    (void)snprintf(text, sizeof(text), "%d", WEIGHT_OF_THREAD * get_nprocs());
    (void)cgroup_put(tree->instance_fd, NULL, tree->at.weight_file, text); /* the default works */
}

static int tree_init(struct tree *tree, const struct cgroup_hierarchy *at, const char *instance)
{
    tree->at = *at;
    tree->instance_fd = -1;
    tree->own_fd = open(at->own, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (tree->own_fd < 0)
        return -errno;
    dead_remove(tree->own_fd);
    int r = instance_make(tree, instance);
    if (r < 0)
        return r;
    instance_weigh(tree);
    return controllers_enable(tree);
}

static int trees_init(struct confine *confine, struct error *err)
{
    AUTO_BUF struct buf groups = BUF_INIT, mounts = BUF_INIT;
    struct cgroup_hierarchy found[CGROUP_HIERARCHIES_MAX];
    int r = file_read(AT_FDCWD, "/proc/self/cgroup", PROC_TEXT_MAX_BYTES, &groups, err);
    if (r == 0)
        r = file_read(AT_FDCWD, "/proc/self/mountinfo", PROC_TEXT_MAX_BYTES, &mounts, err);
    if (r < 0)
        return r;
    unsigned count = groups.data && mounts.data ? cgroup_find(groups.data, mounts.data, found) : 0;
    if (count == 0)
        return error_set(err, -ENOENT, "no-cgroup", "no control group hierarchy limits memory");
    for (unsigned i = 0; r == 0 && i < count; i++) {
        confine->count++;
        r = tree_init(&confine->trees[i], &found[i], confine->instance);
        if (r < 0)
            error_errno(err, r, "no-cgroup", "cannot make control groups in '%s'", found[i].own);
    }
    return r;
}

static void trees_finish(struct confine *confine)
{
    for (unsigned i = 0; i < confine->count; i++)
        tree_finish(&confine->trees[i], confine->instance);
    confine->count = 0;
}

struct confine *confine_create(const char *instance, struct error *err)
{
    struct confine *confine = calloc(1, sizeof(*confine));
    if (!confine) {
        error_set(err, -ENOMEM, "out-of-memory", "making control groups");
        return NULL;
    }
    list_init(&confine->leaving);
    (void)snprintf(confine->instance, sizeof(confine->instance), CGROUP_PREFIX "%s", instance);
    if (trees_init(confine, err) < 0)
        trees_finish(confine);
    return confine;
}

void confine_destroy(struct confine *confine)
{
    if (!confine)
        return;
    trees_finish(confine);
    free(confine);
}

int confine_start(struct confine *confine, uv_loop_t *loop)
{
    confine->retry.data = confine;
    return uv_timer_init(loop, &confine->retry);
}

int confine_active(const struct confine *confine)
{
    return confine->count > 0;
}

static uint64_t memory_of(const struct confine_limits *limits)
{
    unsigned sessions = limits->sessions_most;
    if (sessions > CONFINE_SESSIONS_MAX)
        sessions = CONFINE_SESSIONS_MAX;
    unsigned more = sessions > 1 ? sessions - 1 : 0;
    return limits->quota_bytes + CONFINE_ALLOWANCE_BYTES + more * CONFINE_SESSION_BYTES;
}

static int limits_put(const struct tree *tree, const char *group,
                      const struct confine_limits *limits, struct error *err)
{
    char text[24];
    if (!tree->at.memory_file)
        return 0;
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)memory_of(limits));
    int r = cgroup_put(tree->instance_fd, group, tree->at.memory_file, text);
    if (r < 0)
        return error_errno(err, r, "confine-failed", "cannot set %s of group '%s' to %s",
                           tree->at.memory_file, group, text);
    return 0;
}

static int group_remove(const struct confine *confine, const char *group)
{
    int left = 0;
    for (unsigned i = 0; i < confine->count; i++) {
        int instance_fd = confine->trees[i].instance_fd;
        if (unlinkat(instance_fd, group, AT_REMOVEDIR) == 0 || errno == ENOENT)
            continue;
        cgroup_kill(instance_fd, group);
        left = -EBUSY;
    }
    return left;
}

/* A card of the same name has left its groups behind: they are taken over, what is in them was
 * killed. */
static void leaving_forget(struct confine *confine, const char *group)
{
    LIST_EACH_SAFE (link, after, &confine->leaving) {
        struct leftover *left = LIST_ENTRY(link, struct leftover, link);
        if (strcmp(left->name, group) != 0)
            continue;
        list_remove(link);
        free(left);
    }
}

int confine_update(struct confine *confine, const char *card, const struct confine_limits *limits,
                   struct error *err)
{
    char group[GROUP_NAME_MAX];
    group_name(card, group);
    int r = 0;
    for (unsigned i = 0; r == 0 && i < confine->count; i++)
        r = limits_put(&confine->trees[i], group, limits, err);
    return r;
}

int confine_add(struct confine *confine, const char *card, const struct confine_limits *limits,
                struct error *err)
{
    char group[GROUP_NAME_MAX];
    group_name(card, group);
    leaving_forget(confine, group);
    int r = 0;
    for (unsigned i = 0; r == 0 && i < confine->count; i++) {
        if (mkdirat(confine->trees[i].instance_fd, group, 0755) < 0 && errno != EEXIST)
            r = error_errno(err, -errno, "confine-failed", "cannot make control group '%s'", group);
    }
    if (r == 0)
        r = confine_update(confine, card, limits, err);
    if (r < 0)
        (void)group_remove(confine, group); /* nobody has entered it */
    return r;
}

int confine_enter(const struct confine *confine, const char *card)
{
    char group[GROUP_NAME_MAX];
    group_name(card, group);
    int r = 0;
    for (unsigned i = 0; r == 0 && i < confine->count; i++)
        r = cgroup_enter(confine->trees[i].instance_fd, group);
    return r;
}

uint64_t confine_kills(const struct confine *confine, const char *card)
{
    char group[GROUP_NAME_MAX];
    group_name(card, group);
    uint64_t kills = 0;
    for (unsigned i = 0; i < confine->count; i++)
        kills +=
            cgroup_kills(confine->trees[i].instance_fd, group, confine->trees[i].at.kills_file);
    return kills;
}

static void retry_closed(uv_handle_t *handle)
{
    struct confine *confine = handle->data;
    confine->closed(confine->closed_arg);
}

static void close_when_empty(struct confine *confine)
{
    if (confine->closed && list_empty(&confine->leaving))
        uv_close((uv_handle_t *)&confine->retry, retry_closed);
}

static void leaving_retry(uv_timer_t *timer)
{
    struct confine *confine = timer->data;
    uint64_t now_ns = clock_monotonic_ns();
    LIST_EACH_SAFE (link, after, &confine->leaving) {
        struct leftover *left = LIST_ENTRY(link, struct leftover, link);
        if (group_remove(confine, left->name) < 0 && now_ns < left->give_up_ns)
            continue;
        list_remove(link);
        free(left);
    }
    if (list_empty(&confine->leaving))
        (void)uv_timer_stop(timer); /* cannot fail */
    close_when_empty(confine);
}

void confine_remove(struct confine *confine, const char *card)
{
    char group[GROUP_NAME_MAX];
    group_name(card, group);
    if (group_remove(confine, group) == 0)
        return;
    struct leftover *left = calloc(1, sizeof(*left));
    if (!left)
        return; /* the next start removes it */
    (void)snprintf(left->name, sizeof(left->name), "%s", group);
    left->give_up_ns = clock_monotonic_ns() + CONFINE_LEAVE_MS * NS_PER_MS;
    list_append(&confine->leaving, &left->link);
    (void)uv_timer_start(&confine->retry, leaving_retry, RETRY_MS, RETRY_MS); /* cannot fail */
}

void confine_close(struct confine *confine, void (*closed)(void *arg), void *arg)
{
    confine->closed = closed;
    confine->closed_arg = arg;
    close_when_empty(confine);
}
