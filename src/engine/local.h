/* Inside of the local engine: shared by its own files and nobody else. */
#ifndef LEAT_ENGINE_LOCAL_H
#define LEAT_ENGINE_LOCAL_H

#include <limits.h>

#include "base/list.h"
#include "engine/bundle.h"
#include "engine/engine_impl.h"
#include "engine/run.h"

struct images;
struct json_t;
struct log_watch;

#define CID_MAX 80 /* "leat-HASH-ID" */

struct local_engine {
    struct engine base;
    struct runner runner;
    char *run_dir, *state_dir, *data_dir; /* data_dir may be NULL */
    char prefix[16];                      /* "leat-HASH": this centre among those of the host */
    struct host_facts facts;
    char version[64];         /* of the runtime, as it says itself */
    char commander[PATH_MAX]; /* the runtime that made the tasks there are: until the probe is over,
                                 that of the engine before this one */
    bool ready;
    struct json_t *tried, *notes; /* of the probe, for the report */
    char why[256];
    struct list tasks; /* struct local_task */
    struct list removals, execs;
    struct images *images;
    struct log_watch *log_watch;
    struct probe *probe; /* while it runs */
};

static inline struct local_engine *local_of(struct engine *engine)
{
    return (struct local_engine *)(void *)engine;
}

enum local_state {
    LOCAL_WAITING,  /* for the probe */
    LOCAL_CREATING, /* conmon and the runtime's create */
    LOCAL_LINKING,  /* the network helper */
    LOCAL_STARTING, /* the runtime's start */
    LOCAL_RUNNING,
    LOCAL_ENDED
};

struct local_task {
    struct list link;
    struct local_engine *engine;
    enum local_state state;
    char id[ENGINE_ID_MAX];
    char cid[CID_MAX];
    char dir[PATH_MAX];     /* STATE/jobs/ID */
    char bundle[PATH_MAX];  /* STATE/jobs/ID/bundle */
    struct task_spec *spec; /* while LOCAL_WAITING */
    enum engine_network network;
    int alive_fd;     /* read end of a pipe that conmon holds: the helper ends with it */
    long long pid;    /* of the container's first process */
    engine_done done; /* until the start is over */
    void *context;
    bool doomed;             /* asked to end while it was starting */
    struct run_watch *start; /* of the pipe that the container waits at */
    struct run_watch *watch; /* of conmon */
    struct run_timer *grace;
    struct run_timer *unheard; /* asked to end before it could hear that, */
    unsigned looks;            /* so often */
    struct run_timer *late;    /* an end found while the watch was being set up */
    struct engine_exit exit;
};

/* snprintf into a path; -ENAMETOOLONG with err set. */
int local_path(char ret_path[PATH_MAX], struct error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void local_cid(const struct local_engine *local, const char *id, char ret_cid[CID_MAX]);
int local_write(const char *folder, const char *name, const char *text, mode_t mode,
                struct error *err);
/* The end of a program's output file, for an error message. */
void local_tail(const char *path, char *ret_text, size_t room);
/* `runtime` with a verb and its arguments, output to BUNDLE/runtime.log (NULL: nowhere). */
int local_runtime_at(struct local_engine *local, const char *runtime, const char *bundle,
                     const char *const *args, run_done done, void *context, struct error *err);
/* The same with the runtime of the tasks that exist. */
int local_runtime(struct local_engine *local, const char *bundle, const char *const *args,
                  run_done done, void *context, struct error *err);
/* The probe found a runtime: remember it for this engine and those after it. */
int local_command_by(struct local_engine *local, const char *runtime, struct error *err);

/* local_probe.c: finds out what the host allows, by running containers, then calls `done`. */
struct probe;
int local_probe(struct local_engine *local, void (*done)(struct local_engine *local),
                struct error *err);
void local_probe_free(struct probe *probe); /* NULL is fine */
/* The engine's own containers. No id of a user's begins with a dot: nobody else sees or removes
 * them. */
#define LOCAL_PROBE_ID ".probe"
#define LOCAL_TRIAL_ID ".trial"

/* local_prepare.c */
struct task_spec *task_spec_copy(const struct engine_task_spec *spec); /* NULL: out of memory */
void task_spec_free(struct task_spec *copy);
const struct engine_task_spec *task_spec_of(const struct task_spec *copy);
/* Make the task's folders and write its bundle. Refuses what cannot work. */
int local_prepare(struct local_engine *local, const struct local_task *task,
                  const struct engine_task_spec *spec, struct error *err);

/* local_task.c */
int local_start(struct engine *engine, const struct engine_task_spec *spec, engine_done done,
                void *context, struct error *err);
int local_stop(struct engine *engine, const char *id, uint64_t grace_ms, struct error *err);
int local_kill(struct engine *engine, const char *id, struct error *err);
int local_signal(struct engine *engine, const char *id, int number, struct error *err);
/* As local_start, without waiting for the probe. */
int local_start_now(struct local_engine *local, const struct engine_task_spec *spec,
                    engine_done done, void *context, struct error *err);
void local_start_waiting(struct local_engine *local);
struct local_task *local_find(const struct local_engine *local, const char *id);
void local_task_free(struct local_task *task); /* out of the list; NULL is fine */
/* A task found running: watch it. */
int local_adopt(struct local_engine *local, const char *id, struct error *err);

/* local_exec.c */
int local_exec(struct engine *engine, const char *id, const char *const *argv, uint64_t limit_ms,
               engine_executed done, void *context, struct error *err);
void local_execs_free(struct local_engine *local);

/* local_remove.c */
int local_remove(struct engine *engine, const char *id, engine_done done, void *context,
                 struct error *err);
void local_removals_free(struct local_engine *local);

/* local_list.c */
int local_list(struct engine *engine, engine_listed listed, void *context, struct error *err);
/* How the task of this bundle ended, from the files that conmon left; false: it did not. */
bool local_read_exit(const char *bundle, struct engine_exit *ret_exit);
/* The pid of conmon if it lives and watches this container, else 0. */
pid_t local_conmon_pid(const char *bundle, const char *cid);

/* local_log.c */
int local_log_watch_create(struct local_engine *local, struct error *err);
void local_log_watch_destroy(struct log_watch *watch);
/* Keep an old part of the log when conmon begins a new one. */
void local_log_follow(struct local_engine *local, const char *job_dir);
void local_log_unfollow(struct local_engine *local, const char *job_dir);
int local_log_open(struct engine *engine, const char *id, uint64_t offset_bytes,
                   void (*more)(void *context), void *context, struct engine_log **ret_log,
                   struct error *err);
int local_log_read(struct engine_log *log, void *data, size_t room, size_t *ret_length,
                   uint64_t *ret_offset, struct error *err);
void local_log_close(struct engine_log *log);
int local_log_tail(struct engine *engine, const char *id, struct buf *ret_text, struct error *err);

#endif
