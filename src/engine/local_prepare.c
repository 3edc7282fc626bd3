/* Everything about a start that only touches files: the task's folders, its bundle, and the copy of
 * a spec that waits for the probe. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "engine/image.h"
#include "engine/local.h"

#define RESOLV_LIMIT_BYTES 65536

/* -- copies -- */

struct task_spec {
    struct engine_task_spec spec;
    char *texts[10];
    char **argv, **env;
    struct engine_mount *mounts;
    char **mount_texts;
};

void task_spec_free(struct task_spec *copy)
{
    if (!copy)
        return;
    for (size_t i = 0; i < sizeof(copy->texts) / sizeof(copy->texts[0]); i++)
        free(copy->texts[i]);
    texts_free(copy->argv);
    texts_free(copy->env);
    for (size_t i = 0; copy->mount_texts && i < 2 * copy->spec.mounts_count; i++)
        free(copy->mount_texts[i]);
    free(copy->mount_texts);
    free(copy->mounts);
    free(copy);
}

static bool copy_mounts(struct task_spec *copy)
{
    size_t count = copy->spec.mounts_count;
    const struct engine_mount *from = copy->spec.mounts;
    copy->mounts = calloc(count + 1, sizeof(*copy->mounts));
    copy->mount_texts = calloc(2 * count + 1, sizeof(*copy->mount_texts));
    if (!copy->mounts || !copy->mount_texts)
        return false;
    for (size_t i = 0; i < count; i++) {
        char *host = copy->mount_texts[2 * i] = strdup(from[i].host);
        char *inside = copy->mount_texts[2 * i + 1] = strdup(from[i].inside);
        if (!host || !inside)
            return false;
        copy->mounts[i] = (struct engine_mount){host, inside, from[i].flags};
    }
    copy->spec.mounts = copy->mounts;
    return true;
}

struct task_spec *task_spec_copy(const struct engine_task_spec *spec)
{
    struct task_spec *copy = calloc(1, sizeof(*copy));
    if (!copy)
        return NULL;
    copy->spec = *spec;
    const char **texts[] = {&copy->spec.id,           &copy->spec.image,
                            &copy->spec.cwd,          &copy->spec.hostname,
                            &copy->spec.src_dir,      &copy->spec.work_dir,
                            &copy->spec.card_library, &copy->spec.card_socket_dir};
    bool whole = copy_mounts(copy);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (*texts[i]) {
            copy->texts[i] = strdup(*texts[i]);
            whole = whole && copy->texts[i];
        }
        *texts[i] = copy->texts[i];
    }
    copy->argv = texts_copy(spec->argv);
    copy->env = spec->env ? texts_copy(spec->env) : NULL;
    copy->spec.argv = (const char *const *)copy->argv;
    copy->spec.env = (const char *const *)copy->env;
    if (whole && copy->argv && (copy->env || !spec->env))
        return copy;
    task_spec_free(copy);
    return NULL;
}

const struct engine_task_spec *task_spec_of(const struct task_spec *copy)
{
    return &copy->spec;
}

/* -- refusals -- */

static bool below(const char *path, const char *folder)
{
    size_t length = strlen(folder);
    return strncmp(path, folder, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

/* A folder that contains the centre's own files would show them, other tasks' work included. */
static int check_shown(const struct local_engine *local, const char *what, const char *path,
                       struct error *err)
{
    char real[PATH_MAX];
    if (!path)
        return 0;
    if (!realpath(path, real))
        return error_errno(err, -errno, "no-such-path", "the %s '%s' cannot be used", what, path);
    if (strcmp(real, "/") == 0 || below(local->state_dir, real) || below(local->run_dir, real))
        return error_set(err, -EPERM, "path-shows-state",
                         "the %s '%s' holds the state of this centre; name a folder of its own",
                         what, path);
    return 0;
}

/* The container's root is not the host's: a folder that is closed to others is closed to it. */
static int check_readable(const struct local_engine *local, const struct engine_task_spec *spec,
                          struct error *err)
{
    struct stat source, work;
    if (!spec->src_dir || !local->facts.privileged || stat(spec->src_dir, &source))
        return 0;
    if ((source.st_mode & (S_IROTH | S_IXOTH)) == (S_IROTH | S_IXOTH))
        return 0;
    if (spec->work_dir && stat(spec->work_dir, &work) == 0 && work.st_uid == source.st_uid)
        return 0;
    return error_set(err, -EACCES, "program-not-readable",
                     "the program's folder '%s' is closed to other users, and a container is one; "
                     "open it (chmod o+rx) or give the job a work folder of the same owner",
                     spec->src_dir);
}

static int check_mount(const struct local_engine *local, const struct engine_mount *mount,
                       struct error *err)
{
    static const char *const places[] = {"/mnt/", "/work/", "/tmp/", "/run/"};
    if (!mount->host || mount->host[0] != '/' || !mount->inside || strstr(mount->inside, "/../"))
        return error_set(err, -EINVAL, "bad-mount", "a mount needs two absolute paths");
    struct stat node;
    if (mount->flags & ENGINE_MOUNT_DEVICE)
        return strcmp(mount->host, mount->inside) == 0 && below(mount->host, "/dev") &&
                       stat(mount->host, &node) == 0 && S_ISCHR(node.st_mode)
                   ? 0
                   : error_set(err, -EINVAL, "bad-mount", "'%s' is no device node", mount->host);
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
        if (strncmp(mount->inside, places[i], strlen(places[i])) == 0)
            return check_shown(local, "mount", mount->host, err);
    return error_set(err, -EINVAL, "bad-mount",
                     "'%s' is no place for a mount: use one under /mnt, /work, /tmp or /run",
                     mount->inside);
}

static int check_task(const struct local_engine *local, const struct engine_task_spec *spec,
                      struct error *err)
{
    int result = check_shown(local, "program folder", spec->src_dir, err);
    if (!result)
        result = check_shown(local, "work folder", spec->work_dir, err);
    if (!result)
        result = check_readable(local, spec, err);
    for (size_t i = 0; !result && i < spec->mounts_count; i++)
        result = check_mount(local, &spec->mounts[i], err);
    if (!result && spec->network == ENGINE_NETWORK_OUTBOUND &&
        local->facts.net_helper == NET_HELPER_NONE)
        result =
            error_set(err, -ENOSYS, "no-outbound",
                      "this host offers no outbound network to containers (slirp4netns does not "
                      "work here); ask for network none or host");
    return result;
}

/* -- folders -- */

/* The container's ids must be able to pass through; names and contents stay closed. */
static int make_passage(const char *path, struct error *err)
{
    struct stat info;
    int result = dir_make(path, 0711, err);
    if (result)
        return result;
    if (stat(path, &info) ||
        ((info.st_mode & 0011) != 0011 && chmod(path, (info.st_mode & 07777) | 0011)))
        return error_errno(err, -errno, "cannot-write", "cannot open '%s' for passage", path);
    return 0;
}

static int make_folders(const struct local_engine *local, const struct local_task *task,
                        struct error *err)
{
    char path[PATH_MAX];
    int result = local_path(path, err, "%s/jobs", local->state_dir);
    if (!result)
        result = make_passage(local->state_dir, err);
    if (!result)
        result = make_passage(path, err);
    if (!result)
        result = make_passage(task->dir, err);
    if (result)
        return result;
    if (mkdir(task->bundle, 0711))
        return error_errno(err, -errno, errno == EEXIST ? "task-exists" : "cannot-write",
                           "cannot make '%s'", task->bundle);
    return 0;
}

/* The private work folder belongs to the container's root; another's folder lends it its owner. */
static int find_work(const struct local_engine *local, const struct local_task *task,
                     struct bundle *bundle, char path[PATH_MAX], struct error *err)
{
    struct stat info;
    bundle->owner_uid = local->facts.uid_base;
    bundle->owner_gid = local->facts.uid_base;
    if (!local->facts.privileged)
        bundle->owner_gid = getgid();
    if (bundle->spec->work_dir) {
        bundle->work_dir = bundle->spec->work_dir;
        if (stat(bundle->work_dir, &info))
            return error_errno(err, -errno, "no-such-path", "no work folder '%s'",
                               bundle->work_dir);
        if (local->facts.privileged) {
            bundle->owner_uid = info.st_uid;
            bundle->owner_gid = info.st_gid;
        }
        return 0;
    }
    int result = local_path(path, err, "%s/work", task->dir);
    if (result)
        return result;
    bundle->work_dir = path;
    if (mkdir(path, 0700) && errno != EEXIST)
        return error_errno(err, -errno, "cannot-write", "cannot make '%s'", path);
    if (local->facts.privileged && lchown(path, bundle->owner_uid, bundle->owner_gid))
        return error_errno(err, -errno, "cannot-write", "cannot give '%s' to the container", path);
    return 0;
}

/* -- files -- */

static int write_names(const struct bundle *bundle, struct error *err)
{
    AUTO_BUF struct buf host_resolv = BUF_INIT;
    char hosts[1024], resolv[4096], hostname[ENGINE_ID_MAX + 8];
    (void)snprintf(hostname, sizeof(hostname), "leat-%s", bundle->spec->id);
    const char *name = bundle->spec->hostname ? bundle->spec->hostname : hostname;
    /* Without a file of the host's there are no search lines to hand on. */
    (void)file_read(AT_FDCWD, "/etc/resolv.conf", RESOLV_LIMIT_BYTES, &host_resolv, NULL);
    if (bundle_hosts(name, hosts, sizeof(hosts)) ||
        bundle_resolv(host_resolv.data, resolv, sizeof(resolv)))
        return error_set(err, -EMSGSIZE, "name-too-long", "the host name '%s' is too long", name);
    int result = local_write(bundle->dir, "hosts", hosts, 0644, err);
    return result ? result : local_write(bundle->dir, "resolv.conf", resolv, 0644, err);
}

static int write_config(const struct bundle *bundle, const char *root_name, struct error *err)
{
    AUTO_JSON json_t *config = bundle_config(bundle, err);
    if (!config)
        return -EINVAL;
    AUTO_FREE char *text = json_text(config);
    if (!text)
        return error_set(err, -ENOMEM, "no-memory", "no memory for a container's config");
    int result = local_write(bundle->dir, "root", root_name, 0600, err);
    return result ? result : local_write(bundle->dir, "config.json", text, 0600, err);
}

/* A task that runs again under its id begins a new log. */
static int begin_log(const struct local_task *task, struct error *err)
{
    static const char *const names[] = {"log", "log.1", "log.held", "log.base"};
    AUTO_FD int dir_fd = open(task->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return error_errno(err, -errno, "cannot-read", "cannot open '%s'", task->dir);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        (void)unlinkat(dir_fd, names[i], 0); /* mostly not there */
    AUTO_FD int log = openat(dir_fd, "log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log < 0 || linkat(dir_fd, "log", dir_fd, "log.held", 0))
        return error_errno(err, -errno, "cannot-write", "cannot make the log of '%s'", task->id);
    return 0;
}

int local_prepare(struct local_engine *local, const struct local_task *task,
                  const struct engine_task_spec *spec, struct error *err)
{
    char root[PATH_MAX], work[PATH_MAX], cgroup[CID_MAX], vendors[PATH_MAX];
    char root_name[NAME_MAX];
    struct bundle bundle = {.spec = spec,
                            .facts = &local->facts,
                            .dir = task->bundle,
                            .cgroup = cgroup,
                            .root = root,
                            .host_over = images_host_over(local->images),
                            .vendors_dir = vendors,
                            .host_view = strcmp(spec->image, "host") == 0};
    (void)snprintf(cgroup, sizeof(cgroup), "%s/%s", local->prefix, task->id); /* as long as a cid */
    int result = check_task(local, spec, err);
    if (!result)
        result = images_root(local->images, spec->image, root, root_name, err);
    if (!result)
        result = local_path(vendors, err, "%s/vendors", local->run_dir);
    if (!result)
        result = make_folders(local, task, err);
    if (!result)
        result = find_work(local, task, &bundle, work, err);
    if (!result)
        result = begin_log(task, err);
    if (!result)
        result = write_names(&bundle, err);
    return result ? result : write_config(&bundle, root_name, err);
}
