/* Commands beside the program of a task, by the runtime's exec. One that takes too long is killed:
 * the runtime says in a file which process of the host it is. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/units.h"
#include "engine/local.h"

#define KILL_AGAIN_MS 20

struct exec {
    struct list link;
    struct local_engine *local;
    char id[ENGINE_ID_MAX], cid[CID_MAX];
    char root[PATH_MAX], log[PATH_MAX], pid[PATH_MAX], container_pid[PATH_MAX];
    struct run_timer *limit;
    bool killed;
    engine_executed done; /* NULL: told already */
    void *context;
};

static void exec_free(struct exec *exec)
{
    run_timer_cancel(exec->limit);
    list_remove(&exec->link);
    (void)unlink(exec->log); /* these may never have been made */
    (void)unlink(exec->pid);
    free(exec);
}

void local_execs_free(struct local_engine *local)
{
    LIST_EACH_SAFE (link, after, &local->execs) {
        struct exec *exec = LIST_ENTRY(link, struct exec, link);
        exec->limit = NULL; /* closed with the runner */
        exec_free(exec);
    }
}

static void exec_tell(struct exec *exec, int status, const char *why)
{
    const struct engine_exit exit = {
        .status = status < 0 || exec->killed ? -1 : status,
        .signal = exec->killed ? SIGKILL
                  : status < 0 ? -status
                               : 0,
        .ended_us = clock_realtime_us(),
    };
    engine_executed done = exec->done;
    exec->done = NULL;
    if (done)
        done(exec->context, exec->id, &exit, why);
}

static uint64_t pid_read(const char *path)
{
    AUTO_BUF struct buf text = BUF_INIT;
    uint64_t pid = 0;
    if (file_read(AT_FDCWD, path, 32, &text, NULL) < 0 || !text.data)
        return 0;
    text.data[strcspn(text.data, "\n")] = '\0';
    return u64_parse(text.data, &pid, NULL) < 0 ? 0 : pid;
}

/* Which pid namespace it is in; 0: there is no such process. */
static ino_t namespace_of(uint64_t pid)
{
    char path[48];
    struct stat there;
    (void)snprintf(path, sizeof(path), "/proc/%llu/ns/pid", (unsigned long long)pid);
    return stat(path, &there) == 0 ? there.st_ino : 0;
}

/* The number in the file may be somebody else's by now: it is held first, and then looked at.
 * False: the runtime has not started it yet. */
static bool exec_kill(const struct exec *exec)
{
    uint64_t pid = pid_read(exec->pid), container = pid_read(exec->container_pid);
    AUTO_FD int fd = pid ? (int)syscall(SYS_pidfd_open, (pid_t)pid, 0) : -1;
    ino_t inside = container ? namespace_of(container) : 0;
    if (fd >= 0 && inside && namespace_of(pid) == inside)
        (void)syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0); /* or it has just ended */
    return pid != 0;
}

/* Told at once, for the runtime may take its time, even for the start of what is to be killed. */
static void on_limit(void *context)
{
    struct exec *exec = context;
    exec->limit = NULL;
    exec->killed = true;
    exec_tell(exec, 0, "");
    if (!exec_kill(exec))
        (void)run_after(&exec->local->runner, KILL_AGAIN_MS, on_limit, exec, &exec->limit, NULL);
}

static void on_ended(void *context, int status)
{
    struct exec *exec = context;
    struct stat log;
    char why[256] = "";
    if (stat(exec->log, &log) == 0 && log.st_size > 0)
        local_tail(exec->log, why, sizeof(why)); /* the runtime's own words */
    exec_tell(exec, status, why);
    exec_free(exec);
}

/* runc and crun have these options in common. */
static int exec_spawn(struct exec *exec, const char *const *argv, struct error *err)
{
    const char *const before[] = {
        exec->local->commander, "--root",  exec->root, "--log", exec->log, "exec",
        "--pid-file",           exec->pid, exec->cid};
    size_t first = sizeof(before) / sizeof(before[0]), count = 0;
    while (argv[count])
        count++;
    AUTO_FREE const char **words = calloc(first + count + 1, sizeof(*words));
    if (!words)
        return error_set(err, -ENOMEM, "no-memory", "no memory for a command");
    memcpy(words, before, sizeof(before));
    memcpy(words + first, argv, count * sizeof(*words));
    const struct run_spec spec = {
        .file = words[0], .argv = words, .output_fd = -1, .pass = {-1, -1}};
    return run_start(&exec->local->runner, &spec, on_ended, exec, err);
}

static int exec_begin(struct exec *exec, const struct local_task *task, const char *const *argv,
                      uint64_t limit_ms, struct error *err)
{
    struct local_engine *local = task->engine;
    memcpy(exec->id, task->id, sizeof(exec->id));
    memcpy(exec->cid, task->cid, sizeof(exec->cid));
    int result = local_path(exec->root, err, "%s/runtime", local->run_dir);
    if (!result)
        result = local_path(exec->log, err, "%s/exec.log", task->bundle);
    if (!result)
        result = local_path(exec->pid, err, "%s/exec.pid", task->bundle);
    if (!result)
        result = local_path(exec->container_pid, err, "%s/pid", task->bundle);
    if (result)
        return result;
    (void)unlink(exec->log); /* of an engine before this one */
    (void)unlink(exec->pid);
    result = run_after(&local->runner, limit_ms, on_limit, exec, &exec->limit, err);
    return result ? result : exec_spawn(exec, argv, err);
}

int local_exec(struct engine *engine, const char *id, const char *const *argv, uint64_t limit_ms,
               engine_executed done, void *context, struct error *err)
{
    struct local_engine *local = local_of(engine);
    const struct local_task *task = local_find(local, id);
    if (!task)
        return error_set(err, -ENOENT, "unknown-task", "there is no task '%s'", id);
    if (task->state != LOCAL_RUNNING)
        return error_set(err, -ESRCH, "task-not-running", "the task '%s' does not run", id);
    struct exec *exec = calloc(1, sizeof(*exec));
    if (!exec)
        return error_set(err, -ENOMEM, "no-memory", "no memory for a command of '%s'", id);
    *exec = (struct exec){.local = local, .done = done, .context = context};
    list_append(&local->execs, &exec->link);
    int result = exec_begin(exec, task, argv, limit_ms, err);
    if (result)
        exec_free(exec);
    return result;
}
