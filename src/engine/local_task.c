/* The life of a container: create (conmon and the runtime), network, start, run, end. Each step is
 * a process or a pipe on the loop; whatever fails, removal cleans up and `done` says why. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "engine/local.h"

#define CONMON_LOG "conmon.log"
#define NETWORK_LOG "network.log"
#define PROC_FILE_BYTES 65536
#define LOOK_MS 10
#define LOOKS_MAX 100

struct local_task *local_find(const struct local_engine *local, const char *id)
{
    LIST_EACH (link, &local->tasks) {
        struct local_task *task = LIST_ENTRY(link, struct local_task, link);
        if (strcmp(task->id, id) == 0)
            return task;
    }
    return NULL;
}

static void stop_forget(struct local_task *task)
{
    run_timer_cancel(task->grace);
    run_timer_cancel(task->unheard);
    task->grace = task->unheard = NULL;
}

void local_task_free(struct local_task *task)
{
    if (!task)
        return;
    list_remove(&task->link);
    local_log_unfollow(task->engine, task->dir);
    run_watch_cancel(task->watch);
    run_watch_cancel(task->start);
    stop_forget(task);
    run_timer_cancel(task->late);
    if (task->alive_fd >= 0)
        (void)close(task->alive_fd); /* nothing to do about a failure */
    task_spec_free(task->spec);
    free(task);
}

static struct local_task *task_create(struct local_engine *local, const char *id, struct error *err)
{
    struct local_task *task = calloc(1, sizeof(*task));
    if (!task) {
        (void)error_set(err, -ENOMEM, "no-memory", "no memory for task '%s'", id);
        return NULL;
    }
    task->engine = local;
    task->alive_fd = -1;
    list_init(&task->link);
    (void)snprintf(task->id, sizeof(task->id), "%s", id);
    local_cid(local, id, task->cid);
    if (local_path(task->dir, err, "%s/jobs/%s", local->state_dir, id) ||
        local_path(task->bundle, err, "%s/jobs/%s/bundle", local->state_dir, id)) {
        free(task);
        return NULL;
    }
    list_append(&local->tasks, &task->link);
    return task;
}

/* -- failure -- */

struct failure {
    engine_done done;
    void *context;
    struct error err;
};

static void on_cleaned(void *context, const char *id, const struct error *err)
{
    AUTO_FREE struct failure *failure = context;
    if (failure->done)
        failure->done(failure->context, id, &failure->err);
}

/* The start is over and did not work: remove what there is, then say so. */
static void task_fail(struct local_task *task, const struct error *err)
{
    struct engine *engine = &task->engine->base;
    struct failure *failure = calloc(1, sizeof(*failure));
    char id[ENGINE_ID_MAX];
    memcpy(id, task->id, sizeof(id));
    task->state = LOCAL_ENDED;
    if (failure) {
        *failure = (struct failure){task->done, task->context, *err};
        if (local_remove(engine, id, on_cleaned, failure, NULL) == 0)
            return;
        free(failure);
    }
    if (task->done)
        task->done(task->context, id, err); /* without memory the next list finds it broken */
}

/* True when the start must not go on. */
static bool task_doomed(struct local_task *task)
{
    struct error err = {0};
    if (!task->doomed)
        return false;
    (void)error_set(&err, -ECANCELED, "task-stopped", "the task '%s' was stopped while it started",
                    task->id);
    task_fail(task, &err);
    return true;
}

static void fail_with_log(struct local_task *task, const char *code, const char *what,
                          const char *log)
{
    struct error err = {0};
    char path[PATH_MAX], tail[384] = "";
    if (local_path(path, NULL, "%s/%s", task->bundle, log) == 0)
        local_tail(path, tail, sizeof(tail));
    (void)error_set(&err, -EIO, code, "%s: %s", what, tail[0] ? tail : "it gave no reason");
    task_fail(task, &err);
}

/* -- the end -- */

static void on_signalled(void *context, int status)
{
    /* It may have ended by itself meanwhile: the watch tells. */
}

static void task_ended(struct local_task *task, const struct engine_exit *exit)
{
    const struct engine_callbacks *callbacks = &task->engine->base.callbacks;
    task->state = LOCAL_ENDED;
    task->exit = *exit;
    stop_forget(task);
    if (callbacks->on_exit && strcmp(task->id, LOCAL_PROBE_ID) != 0)
        callbacks->on_exit(callbacks->context, task->id, exit);
}

/* conmon was killed: without it nobody holds the output and the exit status, so the container goes
 * too, and how it ended stays unknown. */
static void on_conmon_gone(void *context)
{
    struct local_task *task = context;
    struct engine_exit exit;
    task->watch = NULL;
    if (!local_read_exit(task->bundle, &exit)) {
        const char *const args[] = {"kill", task->cid, "KILL", NULL};
        /* engine_remove kills again should this fail */
        (void)local_runtime(task->engine, NULL, args, on_signalled, NULL, NULL);
        exit = (struct engine_exit){.status = -1, .ended_us = clock_realtime_us()};
    }
    task_ended(task, &exit);
}

static int watch_conmon(struct local_task *task, struct error *err)
{
    pid_t pid = local_conmon_pid(task->bundle, task->cid);
    int fd = pid ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    if (fd < 0)
        return -ESRCH;
    local_log_follow(task->engine, task->dir);
    return run_watch(&task->engine->runner, fd, on_conmon_gone, task, &task->watch, err);
}

/* It ran and is over before the watch stood: tell on a later turn, as always. */
static void on_late_end(void *context)
{
    struct local_task *task = context;
    task->late = NULL;
    on_conmon_gone(task);
}

static int task_watch(struct local_task *task, struct error *err)
{
    task->state = LOCAL_RUNNING;
    int result = watch_conmon(task, err);
    if (result == -ESRCH)
        result = run_after(&task->engine->runner, 0, on_late_end, task, &task->late, err);
    return result;
}

int local_adopt(struct local_engine *local, const char *id, struct error *err)
{
    if (local_find(local, id))
        return 0;
    struct local_task *task = task_create(local, id, err);
    if (!task)
        return -ENOMEM;
    int result = task_watch(task, err);
    if (result)
        local_task_free(task);
    return result;
}

/* -- start: the last step -- */

static void on_started(void *context, int status)
{
    struct local_task *task = context;
    struct error err = {0};
    task->start = NULL;
    if (status) {
        fail_with_log(task, "start-failed", "the runtime could not start the program",
                      "runtime.log");
        return;
    }
    if (task_doomed(task))
        return;
    /* From here on an engine that comes after this one adopts the task instead of removing it. */
    if (local_write(task->bundle, "started", "", 0600, &err) || task_watch(task, &err)) {
        task_fail(task, &err);
        return;
    }
    engine_done done = task->done;
    task->done = NULL;
    if (done)
        done(task->context, task->id, NULL);
}

static int start_path(const struct local_task *task, char path[PATH_MAX])
{
    return local_path(path, NULL, "%s/runtime/%s/exec.fifo", task->engine->run_dir, task->cid);
}

static void start_by_runtime(struct local_task *task)
{
    const char *const args[] = {"start", task->cid, NULL};
    struct error err = {0};
    if (local_runtime(task->engine, task->bundle, args, on_started, task, &err))
        task_fail(task, &err);
}

/* The created container wrote to its pipe and goes on to its program; without the pipe the runtime
 * takes it for running. */
static void on_fifo(void *context)
{
    struct local_task *task = context;
    char path[PATH_MAX];
    task->start = NULL;
    if (start_path(task, path) == 0 && unlink(path) == 0)
        on_started(task, 0);
    else
        start_by_runtime(task);
}

/* runc and crun let the container's first process wait until somebody reads from a pipe with a
 * name; their `start` is a process of 12 ms that does just that. Where there is no such pipe it is
 * run. */
static void task_run(struct local_task *task)
{
    char path[PATH_MAX];
    task->state = LOCAL_STARTING;
    int fd = start_path(task, path) ? -1 : open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || run_watch(&task->engine->runner, fd, on_fifo, task, &task->start, NULL))
        start_by_runtime(task);
}

/* -- start: the network -- */

static void on_linked(void *context, const char *line)
{
    struct local_task *task = context;
    if (task_doomed(task))
        return;
    if (line[0] != '1')
        fail_with_log(task, "network-failed", "the network helper did not come up", NETWORK_LOG);
    else
        task_run(task);
}

static void on_helper_gone(void *context, int status)
{
}

static int open_log(const struct local_task *task, const char *name, struct error *err)
{
    char path[PATH_MAX];
    int result = local_path(path, err, "%s/%s", task->bundle, name);
    if (result)
        return result;
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    return fd >= 0 ? fd : error_errno(err, -errno, "cannot-write", "cannot open '%s'", path);
}

/* slirp4netns in its own sandbox; it says "1" on the ready pipe and ends when the pipe that conmon
 * holds the other end of is closed. The id of the container in its name lets removal find it. */
static int spawn_helper(struct local_task *task, struct error *err)
{
    char name[CID_MAX + 16], pid[24], userns[48];
    int ready[2];
    AUTO_FD int log = open_log(task, NETWORK_LOG, err);
    if (log < 0)
        return log;
    if (pipe2(ready, O_CLOEXEC))
        return error_errno(err, -errno, "no-pipe", "cannot make a pipe");
    (void)snprintf(name, sizeof(name), "slirp4netns %s", task->cid);
    (void)snprintf(pid, sizeof(pid), "%lld", task->pid);
    (void)snprintf(userns, sizeof(userns), "--userns-path=/proc/%lld/ns/user", task->pid);
    const char *argv[] = {name,
                          "-c",
                          "--mtu=65520",
                          "--disable-host-loopback",
                          "--enable-sandbox",
                          "--enable-seccomp",
                          "-r",
                          "3",
                          "-e",
                          "4",
                          pid,
                          "tap0",
                          NULL,
                          NULL};
    if (task->engine->facts.user_namespace) {
        memmove(argv + 11, argv + 10, 2 * sizeof(argv[0]));
        argv[10] = userns;
    }
    struct run_spec spec = {.file = task->engine->facts.net_helper_path,
                            .argv = argv,
                            .output_fd = log,
                            .pass = {ready[1], task->alive_fd}};
    int result = run_start(&task->engine->runner, &spec, on_helper_gone, NULL, err);
    (void)close(ready[1]);
    if (result)
        (void)close(ready[0]);
    else
        result = run_read_line(&task->engine->runner, ready[0], on_linked, task, err);
    return result;
}

static void task_link(struct local_task *task)
{
    struct error err = {0};
    if (task->network != ENGINE_NETWORK_OUTBOUND) {
        task_run(task);
        return;
    }
    task->state = LOCAL_LINKING;
    int result = spawn_helper(task, &err);
    (void)close(task->alive_fd); /* the helper has it now */
    task->alive_fd = -1;
    if (result)
        task_fail(task, &err);
}

/* -- start: conmon and create -- */

/* conmon's answer: {"pid": N}, or {"pid": -1, "message": "what the runtime said"}. */
static void on_created(void *context, const char *line)
{
    struct local_task *task = context;
    struct error err = {0};
    AUTO_JSON json_t *answer = json_parse(line, strlen(line), JSON_TEXT_LIMIT_BYTES, NULL);
    const char *message = json_string_value(json_object_get(answer, "message"));
    json_t *pid = json_object_get(answer, "pid");
    task->pid = json_integer_value(json_is_integer(pid) ? pid : json_object_get(answer, "data"));
    if (task_doomed(task))
        return;
    if (task->pid > 0) {
        task_link(task);
    } else if (message) {
        (void)error_set(&err, -EIO, "create-failed", "the runtime could not make the container: %s",
                        message);
        task_fail(task, &err);
    } else {
        fail_with_log(task, "create-failed", "conmon could not make the container", CONMON_LOG);
    }
}

static void on_conmon_forked(void *context, int status)
{
    /* the pipe tells */
}

struct conmon_paths {
    char pid[PATH_MAX], conmon_pid[PATH_MAX], root[PATH_MAX], sockets[PATH_MAX];
    char log[PATH_MAX + 16], log_bytes[24];
};

static int conmon_paths(const struct local_task *task, uint64_t log_limit_bytes,
                        struct conmon_paths *ret, struct error *err)
{
    const struct local_engine *local = task->engine;
    int result = local_path(ret->pid, err, "%s/pid", task->bundle);
    if (!result)
        result = local_path(ret->conmon_pid, err, "%s/conmon.pid", task->bundle);
    if (!result)
        result = local_path(ret->root, err, "%s/runtime", local->run_dir);
    if (!result)
        result = local_path(ret->sockets, err, "%s/attach", local->run_dir);
    (void)snprintf(ret->log, sizeof(ret->log), "k8s-file:%s/log", task->dir); /* dir is shorter */
    (void)snprintf(ret->log_bytes, sizeof(ret->log_bytes), "%llu",
                   (unsigned long long)log_limit_bytes);
    return result;
}

static int spawn_conmon(struct local_task *task, uint64_t log_limit_bytes, int sync_fd,
                        int alive_fd, struct error *err)
{
    const struct host_facts *facts = &task->engine->facts;
    struct conmon_paths paths;
    int result = conmon_paths(task, log_limit_bytes, &paths, err);
    AUTO_FD int log = result ? -1 : open_log(task, CONMON_LOG, err);
    if (log < 0)
        return result ? result : log;
    const char *const argv[] = {"conmon",
                                "-c",
                                task->cid,
                                "-u",
                                task->cid,
                                "-n",
                                task->cid,
                                "-r",
                                facts->runtime,
                                "--runtime-arg",
                                "--root",
                                "--runtime-arg",
                                paths.root,
                                "-b",
                                task->bundle,
                                "-p",
                                paths.pid,
                                "-P",
                                paths.conmon_pid,
                                "--persist-dir",
                                task->bundle,
                                "--socket-dir-path",
                                paths.sockets,
                                "-l",
                                paths.log,
                                "--log-size-max",
                                paths.log_bytes,
                                "--no-sync-log",
                                "--no-new-keyring",
                                "--log-level",
                                "error",
                                NULL};
    struct run_spec spec = {.file = facts->conmon,
                            .argv = argv,
                            .env = "_OCI_SYNCPIPE=3",
                            .cwd = task->bundle, /* it writes a file there when memory runs out */
                            .output_fd = log,
                            .pass = {sync_fd, alive_fd}};
    return run_start(&task->engine->runner, &spec, on_conmon_forked, NULL, err);
}

static int task_create_container(struct local_task *task, uint64_t log_limit_bytes,
                                 struct error *err)
{
    int sync[2] = {-1, -1}, alive[2] = {-1, -1};
    if (pipe2(sync, O_CLOEXEC))
        return error_errno(err, -errno, "no-pipe", "cannot make a pipe");
    if (task->network == ENGINE_NETWORK_OUTBOUND && pipe2(alive, O_CLOEXEC)) {
        (void)close(sync[0]);
        (void)close(sync[1]);
        return error_errno(err, -errno, "no-pipe", "cannot make a pipe");
    }
    task->alive_fd = alive[0];
    int result = spawn_conmon(task, log_limit_bytes, sync[1], alive[1], err);
    (void)close(sync[1]);
    if (alive[1] >= 0)
        (void)close(alive[1]);
    if (result)
        (void)close(sync[0]);
    else
        result = run_read_line(&task->engine->runner, sync[0], on_created, task, err);
    return result;
}

/* The part of a start that needs to know the host. On failure nothing has been said yet. */
static int task_begin(struct local_task *task, const struct engine_task_spec *spec,
                      struct error *err)
{
    struct local_engine *local = task->engine;
    task->network = spec->network;
    task->state = LOCAL_CREATING;
    if (!local->facts.runtime[0])
        return error_set(err, -ENOSYS, "no-runtime", "no container can run on this host: %s",
                         local->why);
    int result = local_prepare(local, task, spec, err);
    if (result)
        return result;
    return task_create_container(
        task, spec->log_limit_bytes ? spec->log_limit_bytes : ENGINE_LOG_LIMIT_BYTES, err);
}

/* A fresh task object for a start; the id must be unknown in memory and on disk. */
static int task_admit(struct local_engine *local, const struct engine_task_spec *spec,
                      engine_done done, void *context, struct local_task **ret_task,
                      struct error *err)
{
    bool exists = local_find(local, spec->id) != NULL;
    struct local_task *task = exists ? NULL : task_create(local, spec->id, err);
    if (!exists && !task)
        return -ENOMEM;
    if (exists || access(task->bundle, F_OK) == 0) {
        local_task_free(task);
        return error_set(err, -EEXIST, "task-exists", "the task '%s' exists", spec->id);
    }
    task->done = done;
    task->context = context;
    *ret_task = task;
    return 0;
}

int local_start_now(struct local_engine *local, const struct engine_task_spec *spec,
                    engine_done done, void *context, struct error *err)
{
    struct local_task *task;
    int result = task_admit(local, spec, done, context, &task, err);
    if (result)
        return result;
    result = task_begin(task, spec, err);
    if (result) {
        (void)dir_remove_tree(AT_FDCWD, task->bundle, NULL); /* what stays is listed as broken */
        local_task_free(task);
    }
    return result;
}

int local_start(struct engine *engine, const struct engine_task_spec *spec, engine_done done,
                void *context, struct error *err)
{
    struct local_engine *local = local_of(engine);
    struct local_task *task;
    if (local->ready)
        return local_start_now(local, spec, done, context, err);
    int result = task_admit(local, spec, done, context, &task, err);
    if (result)
        return result;
    task->spec = task_spec_copy(spec);
    if (task->spec)
        return 0;
    local_task_free(task);
    return error_set(err, -ENOMEM, "no-memory", "no memory for task '%s'", spec->id);
}

void local_start_waiting(struct local_engine *local)
{
    LIST_EACH_SAFE (link, after, &local->tasks) {
        struct local_task *task = LIST_ENTRY(link, struct local_task, link);
        struct error err = {0};
        if (task->state != LOCAL_WAITING || task_doomed(task))
            continue;
        if (task_begin(task, task_spec_of(task->spec), &err))
            task_fail(task, &err);
    }
}

/* -- stop -- */

static int task_signal(struct local_task *task, const char *name, struct error *err)
{
    const char *const args[] = {"kill", task->cid, name, NULL};
    return local_runtime(task->engine, NULL, args, on_signalled, NULL, err);
}

static bool is_init(long long pid)
{
    char path[48];
    AUTO_BUF struct buf name = BUF_INIT;
    (void)snprintf(path, sizeof(path), "/proc/%lld/comm", pid);
    return file_read(AT_FDCWD, path, PROC_FILE_BYTES, &name, NULL) == 0 && name.data &&
           strcmp(name.data, BUNDLE_INIT_NAME "\n") == 0;
}

/* 0: none. */
static long long first_child(long long pid)
{
    char path[64];
    AUTO_BUF struct buf list = BUF_INIT;
    (void)snprintf(path, sizeof(path), "/proc/%lld/task/%lld/children", pid, pid);
    return file_read(AT_FDCWD, path, PROC_FILE_BYTES, &list, NULL) == 0 && list.data
               ? strtoll(list.data, NULL, 10)
               : 0;
}

/* The init passes signals on once it has made its child the program. What comes before that is
 * lost: to the first process of a pid namespace comes only what it handles. */
static bool is_listening(const struct local_task *task)
{
    if (!task->engine->facts.init[0] || task->pid <= 0)
        return true;
    long long child = is_init(task->pid) ? first_child(task->pid) : 0;
    return child && !is_init(child);
}

static int ask_to_end(struct local_task *task, struct error *err);

static void on_unheard(void *context)
{
    struct local_task *task = context;
    task->unheard = NULL;
    (void)ask_to_end(task, NULL); /* else the grace's end is its end */
}

static int ask_to_end(struct local_task *task, struct error *err)
{
    if (is_listening(task) || task->looks == LOOKS_MAX)
        return task_signal(task, "TERM", err);
    task->looks++;
    return run_after(&task->engine->runner, LOOK_MS, on_unheard, task, &task->unheard, err);
}

static void on_grace_over(void *context)
{
    struct local_task *task = context;
    task->grace = NULL;
    (void)task_signal(task, "KILL", NULL); /* core's own deadline or engine_remove tries again */
}

static struct local_task *running(struct local_engine *local, const char *id, int *ret_result,
                                  struct error *err)
{
    struct local_task *task = local_find(local, id);
    *ret_result = 0;
    if (!task)
        *ret_result = error_set(err, -ENOENT, "unknown-task", "there is no task '%s'", id);
    else if (task->state < LOCAL_RUNNING)
        task->doomed = true;
    return task && task->state == LOCAL_RUNNING ? task : NULL;
}

int local_stop(struct engine *engine, const char *id, uint64_t grace_ms, struct error *err)
{
    int result;
    struct local_task *task = running(local_of(engine), id, &result, err);
    if (!task)
        return result;
    stop_forget(task);
    task->looks = 0;
    result = run_after(&task->engine->runner, grace_ms, on_grace_over, task, &task->grace, err);
    return result ? result : ask_to_end(task, err);
}

int local_kill(struct engine *engine, const char *id, struct error *err)
{
    int result;
    struct local_task *task = running(local_of(engine), id, &result, err);
    return task ? task_signal(task, "KILL", err) : result;
}

int local_signal(struct engine *engine, const char *id, int number, struct error *err)
{
    char text[16];
    struct local_task *task = local_find(local_of(engine), id);
    if (!task)
        return error_set(err, -ENOENT, "unknown-task", "there is no task '%s'", id);
    if (task->state != LOCAL_RUNNING)
        return error_set(err, -ESRCH, "task-not-running", "the task '%s' does not run", id);
    (void)snprintf(text, sizeof(text), "%d", number);
    return task_signal(task, text, err);
}
