/* What exists on this host, from the files, cgroups and runtime records of this centre: how a
 * restarted daemon finds its tasks again. The looking is done in the pool. */
#include <dirent.h>
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
#include "base/units.h"
#include "engine/cgroup.h"
#include "engine/local.h"
#include "engine/proc.h"

#define SMALL_FILE_BYTES 4096
#define SIGNAL_BASE 128 /* conmon writes 128 + N when signal N ended the program */
#define SIGNAL_LAST 64

struct scan {
    char prefix[16];
    char *jobs, *runtime; /* STATE/jobs and the runtime's own records */
    struct engine_task *tasks;
    size_t count, room;
    int failed;
    engine_listed listed;
    void *context;
};

static void scan_free(void *input)
{
    struct scan *scan = input;
    free(scan->jobs);
    free(scan->runtime);
    free(scan->tasks);
    free(scan);
}

static int read_number(const char *folder, const char *name, uint64_t *ret_value,
                       uint64_t *ret_mtime_us)
{
    char path[PATH_MAX];
    struct stat info;
    AUTO_BUF struct buf text = BUF_INIT;
    if (local_path(path, NULL, "%s/%s", folder, name) || stat(path, &info) ||
        file_read(AT_FDCWD, path, SMALL_FILE_BYTES, &text, NULL) || !text.length)
        return -ENOENT;
    text.data[strcspn(text.data, "\n")] = '\0';
    if (ret_mtime_us)
        *ret_mtime_us =
            (uint64_t)info.st_mtim.tv_sec * 1000000 + (uint64_t)info.st_mtim.tv_nsec / 1000;
    return u64_parse(text.data, ret_value, NULL);
}

static bool has_file(const char *folder, const char *name)
{
    char path[PATH_MAX];
    return local_path(path, NULL, "%s/%s", folder, name) == 0 && access(path, F_OK) == 0;
}

bool local_read_exit(const char *bundle, struct engine_exit *ret_exit)
{
    struct engine_exit exit = {.status = -1};
    uint64_t status;
    if (read_number(bundle, "exit", &status, &exit.ended_us))
        return false;
    exit.oom = has_file(bundle, "oom");
    if (status > SIGNAL_BASE && status <= SIGNAL_BASE + SIGNAL_LAST)
        exit.signal = (int)status - SIGNAL_BASE;
    else
        exit.status = (int)status;
    *ret_exit = exit;
    return true;
}

pid_t local_conmon_pid(const char *bundle, const char *cid)
{
    uint64_t pid;
    if (read_number(bundle, "conmon.pid", &pid, NULL) || !proc_has_word((pid_t)pid, cid))
        return 0;
    return (pid_t)pid;
}

/* -- in the pool -- */

static struct engine_task *scan_add(struct scan *scan, const char *id)
{
    for (size_t i = 0; i < scan->count; i++)
        if (strcmp(scan->tasks[i].id, id) == 0)
            return NULL; /* known from a better source */
    if (strlen(id) >= ENGINE_ID_MAX || id[0] == '.')
        return NULL; /* not of our making, or the engine's own */
    if (scan->count == scan->room) {
        size_t room = scan->room ? 2 * scan->room : 16;
        struct engine_task *tasks = realloc(scan->tasks, room * sizeof(*tasks));
        if (!tasks) {
            scan->failed = -ENOMEM;
            return NULL;
        }
        scan->tasks = tasks;
        scan->room = room;
    }
    struct engine_task *task = &scan->tasks[scan->count++];
    *task = (struct engine_task){.state = ENGINE_TASK_BROKEN, .exit.status = -1};
    (void)snprintf(task->id, sizeof(task->id), "%s", id);
    return task;
}

static void scan_bundle(struct scan *scan, const char *id)
{
    char bundle[PATH_MAX], cid[CID_MAX];
    struct stat info;
    if (local_path(bundle, NULL, "%s/%s/bundle", scan->jobs, id) || stat(bundle, &info))
        return; /* a removed task: its work and log only */
    struct engine_task *task = scan_add(scan, id);
    if (!task || !has_file(bundle, "started"))
        return;
    (void)snprintf(cid, sizeof(cid), "%s-%s", scan->prefix, id);
    if (local_read_exit(bundle, &task->exit)) {
        task->state = ENGINE_TASK_ENDED;
    } else if (local_conmon_pid(bundle, cid)) {
        task->state = ENGINE_TASK_RUNNING;
    } else { /* conmon is gone; without a status, unless it wrote it just now */
        task->state = ENGINE_TASK_ENDED;
        (void)local_read_exit(bundle, &task->exit);
    }
}

static void each_entry(const char *folder, void (*visit)(struct scan *scan, const char *name),
                       struct scan *scan)
{
    DIR *dir = opendir(folder);
    if (!dir)
        return; /* nothing was ever started */
    for (struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_name[0] != '.')
            visit(scan, entry->d_name);
    (void)closedir(dir); /* read only */
}

/* A record of the runtime, "leat-HASH-ID", whose bundle is gone. */
static void scan_record(struct scan *scan, const char *name)
{
    size_t length = strlen(scan->prefix);
    if (strncmp(name, scan->prefix, length) == 0 && name[length] == '-')
        (void)scan_add(scan, name + length + 1);
}

static void scan_cgroup(struct scan *scan, const char *name)
{
    /* cgroup v1 has files "tasks" and "notify_on_release"; all others have a dot in their name. An
     * id with a dot is still found by its bundle or its record. */
    if (!strchr(name, '.') && strcmp(name, "tasks") && strcmp(name, "notify_on_release"))
        (void)scan_add(scan, name);
}

static void scan_hierarchy(void *context, const char *folder)
{
    each_entry(folder, scan_cgroup, context);
}

static void scan_work(void *input)
{
    struct scan *scan = input;
    each_entry(scan->jobs, scan_bundle, scan);
    each_entry(scan->runtime, scan_record, scan);
    (void)cgroup_each(scan->prefix, scan_hierarchy, scan,
                      NULL); /* a host without cgroups is fine */
}

/* -- on the loop -- */

/* What this engine is starting or removing right now reports by its own callback. */
static bool settled(struct local_engine *local, const char *id)
{
    const struct local_task *task = local_find(local, id);
    return !task || task->state >= LOCAL_RUNNING;
}

static void scan_done(void *context, void *input)
{
    struct local_engine *local = context;
    struct scan *scan = input;
    struct error err = {0};
    size_t kept = 0;
    if (scan->failed) {
        (void)error_set(&err, scan->failed, "no-memory", "no memory for the list of tasks");
        scan->listed(scan->context, NULL, 0, &err);
        return;
    }
    for (size_t i = 0; i < scan->count; i++) {
        struct engine_task task = scan->tasks[i];
        if (!settled(local, task.id))
            continue;
        const struct local_task *known = local_find(local, task.id);
        if (known && known->state == LOCAL_ENDED) {
            task.state = ENGINE_TASK_ENDED;
            task.exit = known->exit;
        } else if (task.state == ENGINE_TASK_RUNNING && local_adopt(local, task.id, &err)) {
            scan->listed(scan->context, NULL, 0, &err);
            return;
        }
        scan->tasks[kept++] = task;
    }
    scan->listed(scan->context, scan->tasks, kept, NULL);
}

int local_list(struct engine *engine, engine_listed listed, void *context, struct error *err)
{
    struct local_engine *local = local_of(engine);
    struct scan *scan = calloc(1, sizeof(*scan));
    if (!scan)
        return error_set(err, -ENOMEM, "no-memory", "no memory for the list of tasks");
    char jobs[PATH_MAX], runtime[PATH_MAX];
    int result = local_path(jobs, err, "%s/jobs", local->state_dir);
    if (!result)
        result = local_path(runtime, err, "%s/runtime", local->run_dir);
    memcpy(scan->prefix, local->prefix, sizeof(scan->prefix));
    scan->jobs = result ? NULL : strdup(jobs);
    scan->runtime = result ? NULL : strdup(runtime);
    scan->listed = listed;
    scan->context = context;
    if (!scan->jobs || !scan->runtime) {
        scan_free(scan);
        return result ? result : error_set(err, -ENOMEM, "no-memory", "no memory for the list");
    }
    return run_in_pool(&local->runner, scan_work, scan_done, local, scan, scan_free, err);
}
