/* The local engine: containers of this host through an OCI runtime and conmon, both run as
 * processes. Here are its creation, its report and what its other files share. */
#include "engine/local.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "engine/cgroup.h"
#include "engine/image.h"

#define LIBRARY_LINE "/usr/lib/leat/libleat-opencl.so\n"

/* -- shared -- */

int local_path(char ret_path[PATH_MAX], struct error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int length = vsnprintf(ret_path, PATH_MAX, format, args);
    va_end(args);
    if (length < 0 || length >= PATH_MAX)
        return error_set(err, -ENAMETOOLONG, "path-too-long", "a path of the engine is too long");
    return 0;
}

void local_cid(const struct local_engine *local, const char *id, char ret_cid[CID_MAX])
{
    (void)snprintf(ret_cid, CID_MAX, "%s-%s", local->prefix, id); /* CID_MAX holds both */
}

int local_write(const char *folder, const char *name, const char *text, mode_t mode,
                struct error *err)
{
    char path[PATH_MAX];
    int result = local_path(path, err, "%s/%s", folder, name);
    if (result)
        return result;
    AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    result = fd < 0 ? -errno : fd_write_all(fd, text, strlen(text));
    return result ? error_errno(err, result, "cannot-write", "cannot write '%s'", path) : 0;
}

void local_tail(const char *path, char *ret_text, size_t room)
{
    ret_text[0] = '\0';
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    off_t end = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
    off_t from = end > (off_t)room - 1 ? end - (off_t)room + 1 : 0;
    ssize_t length = end > 0 ? pread(fd, ret_text, room - 1, from) : 0;
    while (length > 0 && (ret_text[length - 1] == '\n' || ret_text[length - 1] == ' '))
        length--;
    ret_text[length > 0 ? length : 0] = '\0';
}

int local_runtime_at(struct local_engine *local, const char *runtime, const char *bundle,
                     const char *const *args, run_done done, void *context, struct error *err)
{
    char root[PATH_MAX], log[PATH_MAX];
    const char *argv[10] = {runtime, "--root", root};
    size_t count = 3;
    while (*args && count < sizeof(argv) / sizeof(argv[0]) - 1)
        argv[count++] = *args++;
    int result = local_path(root, err, "%s/runtime", local->run_dir);
    if (!result && bundle)
        result = local_path(log, err, "%s/runtime.log", bundle);
    if (result)
        return result;
    AUTO_FD int fd = bundle ? open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    struct run_spec spec = {.file = runtime, .argv = argv, .output_fd = fd, .pass = {-1, -1}};
    return run_start(&local->runner, &spec, done, context, err);
}

int local_runtime(struct local_engine *local, const char *bundle, const char *const *args,
                  run_done done, void *context, struct error *err)
{
    if (!local->commander[0])
        return error_set(err, -ENOSYS, "no-runtime", "there is no container runtime");
    return local_runtime_at(local, local->commander, bundle, args, done, context, err);
}

int local_command_by(struct local_engine *local, const char *runtime, struct error *err)
{
    (void)snprintf(local->commander, sizeof(local->commander), "%s", runtime); /* both PATH_MAX */
    return local_write(local->run_dir, "runtime.path", runtime, 0600, err);
}

static void find_commander(struct local_engine *local)
{
    char path[PATH_MAX];
    AUTO_BUF struct buf text = BUF_INIT;
    /* Absent at the first start, and after the host did start. */
    if (local_path(path, NULL, "%s/runtime.path", local->run_dir) == 0 &&
        file_read(AT_FDCWD, path, PATH_MAX - 1, &text, NULL) == 0 && text.data)
        (void)snprintf(local->commander, sizeof(local->commander), "%s", text.data);
}

/* -- report -- */

static json_t *network_report(const struct local_engine *local)
{
    bool outbound = local->facts.net_helper != NET_HELPER_NONE;
    return json_pack("{s:b, s:b, s:b, s:s}", "none", 1, "host", 1, "outbound", outbound, "helper",
                     outbound ? local->facts.net_helper_path : "");
}

static json_t *limits_report(const struct local_engine *local)
{
    static const char *const places[] = {
        [CGROUP_NONE] = "none: this host lets the daemon make no cgroups",
        [CGROUP_OWN] = "in cgroups below the daemon's own",
        [CGROUP_TOP] = "in cgroups at the top of the hierarchy",
    };
    const struct host_facts *facts = &local->facts;
    return json_pack("{s:s, s:b, s:b, s:b, s:b}", "cgroups", places[facts->cgroups], "swap",
                     facts->swap_limit, "user_namespace", facts->user_namespace, "seccomp",
                     facts->architecture != NULL, "init", facts->init[0] != '\0');
}

static json_t *local_report(struct engine *engine)
{
    struct local_engine *local = local_of(engine);
    return json_pack("{s:s, s:b, s:s, s:s, s:s, s:O, s:o, s:o, s:O}", "engine", "local", "ready",
                     local->ready && local->facts.runtime[0], "runtime", local->facts.runtime,
                     "version", local->version, "why", local->why, "tried", local->tried, "network",
                     network_report(local), "limits", limits_report(local), "notes", local->notes);
}

/* -- images -- */

static int local_image_at(struct engine *engine, size_t index, struct engine_image *ret_image)
{
    return images_at(local_of(engine)->images, index, ret_image);
}

static int local_image_build(struct engine *engine, const char *name, struct error *err)
{
    return images_build(local_of(engine)->images, name, err);
}

static int local_image_import(struct engine *engine, const char *name, const char *source,
                              struct error *err)
{
    return images_import(local_of(engine)->images, name, source, err);
}

static int local_image_remove(struct engine *engine, const char *name, struct error *err)
{
    return images_remove(local_of(engine)->images, name, err);
}

static void on_image(void *context, const struct engine_image *image)
{
    const struct engine_callbacks *callbacks = &((struct local_engine *)context)->base.callbacks;
    if (callbacks->on_image)
        callbacks->on_image(callbacks->context, image);
}

/* -- creation -- */

static void local_free(void *context)
{
    struct local_engine *local = context;
    LIST_EACH_SAFE (link, after, &local->tasks)
        local_task_free(LIST_ENTRY(link, struct local_task, link));
    local_removals_free(local);
    local_execs_free(local);
    local_probe_free(local->probe);
    local_log_watch_destroy(local->log_watch);
    images_destroy(local->images);
    json_decref(local->tried);
    json_decref(local->notes);
    free(local->run_dir);
    free(local->state_dir);
    free(local->data_dir);
    free(local);
}

static void local_destroy(struct engine *engine)
{
    struct local_engine *local = local_of(engine);
    cgroup_prune(local->prefix);
    runner_close(&local->runner);
}

static const struct engine_verbs local_verbs = {
    .name = "local",
    .destroy = local_destroy,
    .start = local_start,
    .stop = local_stop,
    .kill = local_kill,
    .send_signal = local_signal,
    .exec = local_exec,
    .remove = local_remove,
    .list = local_list,
    .report = local_report,
    .log_open = local_log_open,
    .log_read = local_log_read,
    .log_close = local_log_close,
    .log_tail = local_log_tail,
    .image_at = local_image_at,
    .image_build = local_image_build,
    .image_import = local_image_import,
    .image_remove = local_image_remove,
};

/* FNV-1a: two centres of one host have different state folders and so different names. */
static uint32_t hash_of(const char *text)
{
    uint32_t hash = 2166136261u;
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 16777619u;
    return hash;
}

static char *real_folder(const char *path, struct error *err)
{
    if (dir_make(path, 0711, err))
        return NULL;
    char *real = realpath(path, NULL);
    if (!real)
        (void)error_errno(err, -errno, "cannot-read", "cannot find '%s'", path);
    return real;
}

static int make_run_folders(struct local_engine *local, struct error *err)
{
    static const struct {
        const char *name;
        mode_t mode;
    } folders[] = {{"runtime", 0711}, {"attach", 0700}, {"vendors", 0755}};
    char path[PATH_MAX];
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        int result = local_path(path, err, "%s/%s", local->run_dir, folders[i].name);
        if (!result)
            result = dir_make(path, folders[i].mode, err);
        if (result)
            return result;
    }
    return local_write(path, "leat.icd", LIBRARY_LINE, 0644, err); /* the last one is vendors */
}

static void on_probed(struct local_engine *local)
{
    const struct engine_callbacks *callbacks = &local->base.callbacks;
    local_probe_free(local->probe);
    local->probe = NULL;
    local->ready = true;
    local_start_waiting(local);
    if (callbacks->on_ready)
        callbacks->on_ready(callbacks->context);
}

static int local_init(struct local_engine *local, const struct engine_config *config,
                      struct error *err)
{
    local->run_dir = real_folder(config->run_dir, err);
    local->state_dir = local->run_dir ? real_folder(config->state_dir, err) : NULL;
    if (!local->state_dir)
        return err->errnum;
    local->data_dir = config->data_dir ? strdup(config->data_dir) : NULL;
    local->tried = json_array();
    local->notes = json_array();
    if ((config->data_dir && !local->data_dir) || !local->tried || !local->notes)
        return error_set(err, -ENOMEM, "no-memory", "no memory for the local engine");
    (void)snprintf(local->prefix, sizeof(local->prefix), "leat-%08x", hash_of(local->state_dir));
    find_commander(local);
    int result = make_run_folders(local, err);
    if (!result)
        result = images_create(local->state_dir, local->data_dir, &local->runner, &local->facts,
                               on_image, local, &local->images, err);
    if (!result)
        result = local_log_watch_create(local, err);
    return result ? result : local_probe(local, on_probed, err);
}

int engine_local_create(struct uv_loop_s *loop, const struct engine_config *config,
                        struct engine **ret_engine, struct error *err)
{
    struct local_engine *local = calloc(1, sizeof(*local));
    struct error own;
    if (!local)
        return error_set(err, -ENOMEM, "no-memory", "no memory for the local engine");
    local->base.verbs = &local_verbs;
    list_init(&local->tasks);
    list_init(&local->removals);
    list_init(&local->execs);
    runner_init(&local->runner, loop, local_free, local);
    int result = local_init(local, config, err ? err : &own);
    if (result) {
        runner_close(&local->runner);
        return result;
    }
    *ret_engine = &local->base;
    return 0;
}
