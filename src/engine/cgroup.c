/* Finding and ending cgroups: see cgroup.h. */
#include "engine/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/units.h"
#include "engine/proc.h"

#define PROC_TEXT_LIMIT (1u << 20)
#define DEPTH_MAX 16 /* of cgroups that a container made below its own */

/* One line of /proc/self/cgroup, "ID:controllers:path", against one of mountinfo. */
struct hierarchy {
    const char *controllers; /* "" for cgroup v2 */
    const char *own;         /* path of the daemon's cgroup in it */
};

static bool has_option(const char *options, const char *wanted)
{
    size_t length = strlen(wanted);
    for (const char *at = options; (at = strstr(at, wanted)); at += length)
        if ((at == options || at[-1] == ',') && (at[length] == ',' || at[length] == '\0'))
            return true;
    return false;
}

/* "cpu,cpuacct" is mounted with both names among its super options; "name=systemd" likewise. */
static bool mounted_as(const struct hierarchy *hierarchy, const char *type, const char *options)
{
    if (!*hierarchy->controllers)
        return strcmp(type, "cgroup2") == 0;
    if (strcmp(type, "cgroup") != 0)
        return false;
    char first[64];
    (void)snprintf(first, sizeof(first), "%.*s", (int)strcspn(hierarchy->controllers, ","),
                   hierarchy->controllers);
    return has_option(options, first);
}

/* Find the mount point of `hierarchy` in the text of /proc/self/mountinfo. */
static bool find_mount(const char *mounts, const struct hierarchy *hierarchy,
                       char ret_point[PATH_MAX], char ret_root[PATH_MAX])
{
    for (const char *line = mounts; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        char text[2 * PATH_MAX], root[PATH_MAX], point[PATH_MAX], type[64], options[512];
        (void)snprintf(text, sizeof(text), "%.*s", (int)strcspn(line, "\n"), line);
        const char *tail = strstr(text, " - ");
        if (!tail || sscanf(text, "%*s %*s %*s %4095s %4095s", root, point) != 2 ||
            sscanf(tail, " - %63s %*s %511s", type, options) != 2)
            continue;
        if (mounted_as(hierarchy, type, options)) {
            memcpy(ret_point, point, sizeof(point));
            memcpy(ret_root, root, sizeof(root));
            return true;
        }
    }
    return false;
}

/* The daemon's cgroup seen from the mount point: the mount may show a part of the hierarchy. */
static const char *own_inside(const char *own, const char *root)
{
    size_t length = strcmp(root, "/") == 0 ? 0 : strlen(root);
    return strncmp(own, root, length) == 0 ? own + length : "";
}

int cgroup_each(const char *path, void (*visit)(void *context, const char *folder), void *context,
                struct error *err)
{
    AUTO_BUF struct buf own = BUF_INIT, mounts = BUF_INIT;
    int result = file_read(AT_FDCWD, "/proc/self/cgroup", PROC_TEXT_LIMIT, &own, err);
    if (!result)
        result = file_read(AT_FDCWD, "/proc/self/mountinfo", PROC_TEXT_LIMIT, &mounts, err);
    if (result)
        return result;
    for (char *line = own.data, *next; line && *line; line = next) {
        char point[PATH_MAX], root[PATH_MAX];
        char *end = strchrnul(line, '\n');
        next = *end ? end + 1 : end;
        *end = '\0';
        char *controllers = strchr(line, ':'),
             *cgroup = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!cgroup)
            continue;
        *cgroup++ = '\0';
        struct hierarchy hierarchy = {controllers + 1, cgroup};
        if (!find_mount(mounts.data, &hierarchy, point, root))
            continue;
        AUTO_BUF struct buf below = BUF_INIT, top = BUF_INIT;
        if (buf_printf(&below, "%s%s/%s", point, own_inside(cgroup, root), path) ||
            buf_printf(&top, "%s/%s", point, path))
            return error_set(err, -ENOMEM, "no-memory", "no memory to find cgroups");
        visit(context, below.data);
        if (strcmp(own_inside(cgroup, root), "/") != 0)
            visit(context, top.data);
    }
    return 0;
}

/* -- removal -- */

static void end_processes(int dir_fd)
{
    AUTO_BUF struct buf pids = BUF_INIT;
    if (file_read(dir_fd, "cgroup.procs", PROC_TEXT_LIMIT, &pids, NULL) || !pids.data)
        return;
    for (char *line = pids.data; *line;) {
        char *end = strchrnul(line, '\n');
        uint64_t pid;
        bool last = *end == '\0';
        *end = '\0';
        if (u64_parse(line, &pid, NULL) == 0 && pid > 1)
            (void)proc_kill((pid_t)pid); /* the rmdir tells whether it worked */
        line = last ? end : end + 1;
    }
}

static int remove_tree(const char *folder, unsigned depth)
{
    AUTO_FD int dir_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return errno == ENOENT ? 0 : -errno;
    if (depth == 0)
        return -ELOOP;
    DIR *dir = fdopendir(dup(dir_fd));
    if (!dir)
        return -errno;
    for (struct dirent *entry; (entry = readdir(dir));) {
        char below[PATH_MAX];
        if (entry->d_type != DT_DIR || entry->d_name[0] == '.' ||
            snprintf(below, sizeof(below), "%s/%s", folder, entry->d_name) >= (int)sizeof(below))
            continue;
        (void)remove_tree(below, depth - 1); /* the rmdir tells whether it worked */
    }
    (void)closedir(dir); /* read only */
    end_processes(dir_fd);
    return rmdir(folder) == 0 || errno == ENOENT ? 0 : -errno;
}

static void visit_remove(void *context, const char *folder)
{
    int *result = context;
    int one = remove_tree(folder, DEPTH_MAX);
    *result = one ? one : *result;
}

int cgroup_remove(const char *path, struct error *err)
{
    int removed = 0;
    int result = cgroup_each(path, visit_remove, &removed, err);
    if (!result && removed)
        return error_errno(err, removed, "cgroup-busy", "cannot remove the cgroup '%s'", path);
    return result;
}

static void visit_prune(void *context, const char *folder)
{
    (void)rmdir(folder); /* refused while something is in it, as it should be */
}

void cgroup_prune(const char *path)
{
    (void)cgroup_each(path, visit_prune, NULL, NULL); /* an empty cgroup does no harm */
}

static void visit_swap(void *context, const char *folder)
{
    char file[PATH_MAX];
    struct stat info;
    static const char *const names[] = {"memory.memsw.limit_in_bytes", "memory.swap.max"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (snprintf(file, sizeof(file), "%s%s", folder, names[i]) < (int)sizeof(file) &&
            stat(file, &info) == 0)
            *(bool *)context = true;
}

bool cgroup_limits_swap(void)
{
    bool found = false;
    return cgroup_each("", visit_swap, &found, NULL) == 0 && found;
}
