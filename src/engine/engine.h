/* "Run this task there": one interface in front of every place that can run a container. A task is
 * one container; its id is text made of [a-z0-9.-], unique in the centre. The engine keeps what it
 * makes under STATE/jobs/ID/ and owns all of that folder but `work` and the logs, which stay.
 *
 * Thread rule: one thread, that of the loop passed at creation, makes every call and gets every
 * callback. No call blocks the loop; no callback runs before the call that asks for it ends. */
#ifndef LEAT_ENGINE_ENGINE_H
#define LEAT_ENGINE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct engine;
struct engine_fake_world;
struct engine_log;
struct error;
struct json_t;
struct uv_loop_s;

#define ENGINE_ID_MAX 48                   /* bytes of a task id, with the NUL */
#define ENGINE_NAME_MAX 64                 /* bytes of an image name, with the NUL */
#define ENGINE_MOUNTS_MAX 64               /* extra mounts of one task */
#define ENGINE_LOG_LIMIT_BYTES (16u << 20) /* default of spec.log_limit_bytes */

enum engine_kind { ENGINE_KIND_INVALID, ENGINE_KIND_FAKE, ENGINE_KIND_LOCAL };

/* How a task ended. */
struct engine_exit {
    int status;        /* exit status 0..255, or -1 when a signal or the engine ended it */
    int signal;        /* the signal that ended it, or 0 */
    bool oom;          /* the kernel killed a process of it for passing ram_bytes */
    uint64_t ended_us; /* time of day, microseconds since 1970 */
};

enum engine_task_state {
    ENGINE_TASK_INVALID,
    ENGINE_TASK_RUNNING,
    ENGINE_TASK_ENDED,
    ENGINE_TASK_BROKEN /* left by a start that never finished: good for engine_remove only */
};

struct engine_task {
    char id[ENGINE_ID_MAX];
    enum engine_task_state state;
    struct engine_exit exit; /* meaningful when ENDED */
};

enum engine_image_state {
    ENGINE_IMAGE_INVALID,
    ENGINE_IMAGE_BUILT_IN,
    ENGINE_IMAGE_ABSENT, /* there is a recipe, and nothing built from it */
    ENGINE_IMAGE_BUILDING,
    ENGINE_IMAGE_READY,
    ENGINE_IMAGE_FAILED
};

struct engine_image {
    char name[ENGINE_NAME_MAX];
    enum engine_image_state state;
    uint64_t size_bytes; /* of the unpacked root */
    uint64_t created_us; /* time of day; 0 unless READY */
    char text[256];      /* what it is, how far the build has come, or why it failed */
};

/* All members may be NULL. */
struct engine_callbacks {
    void *context; /* first argument of each */
    /* Looking at the host is over: engine_report is complete. Tasks may be started before; they
     * wait for this. */
    void (*on_ready)(void *context);
    /* A task that this engine started, or that engine_list has listed, has ended. Once a task. */
    void (*on_exit)(void *context, const char *id, const struct engine_exit *exit);
    /* An image changed its state or its build came further. */
    void (*on_image)(void *context, const struct engine_image *image);
};

/* All texts are copied. */
struct engine_config {
    const char *run_dir, *state_dir;
    const char *data_dir;           /* recipes: DATA/images/NAME.yaml; may be NULL */
    struct engine_fake_world *fake; /* one that outlives the engine (fake.h), or NULL */
};

enum engine_network {
    ENGINE_NETWORK_INVALID,
    ENGINE_NETWORK_NONE,    /* loopback only */
    ENGINE_NETWORK_HOST,    /* the host's own */
    ENGINE_NETWORK_OUTBOUND /* connections out, none in */
};

enum engine_mount_flags {
    ENGINE_MOUNT_READ_ONLY = 0,
    ENGINE_MOUNT_WRITABLE = 1,
    ENGINE_MOUNT_DEVICE = 2 /* a device node, at its own place below /dev, which may be used */
};

struct engine_mount {
    const char *host;   /* absolute path; a file or a folder that exists */
    const char *inside; /* absolute path in the container; under /run, /mnt, /work, /tmp */
    enum engine_mount_flags flags;
};

/* What to run. Borrowed for the duration of the call. */
struct engine_task_spec {
    const char *id;
    const char *image;       /* "host" or a READY image */
    const char *const *argv; /* NULL-ended; argv[0] is looked up in the PATH of env */
    const char *const *env;  /* NULL-ended NAME=VALUE; PATH, HOME and TMPDIR get defaults */
    const char *cwd;         /* inside; NULL: /work */
    const char *hostname;    /* NULL: "leat-ID" */
    const char *src_dir;     /* host folder, seen read-only at /src; NULL: none */
    /* Host folder at /work, writable; the container's root is then mapped to that folder's owner.
     * NULL: the private folder STATE/jobs/ID/work, owned by an unprivileged id of the centre. */
    const char *work_dir;
    const struct engine_mount *mounts;
    size_t mounts_count;
    const char *card_socket_dir; /* host folder, seen read-only at /run/leat; NULL: no card */
    const char *card_library;    /* libleat-opencl.so on the host; set together with the folder */
    enum engine_network network;
    uint32_t cpus_milli;      /* 1500 = one and a half CPUs; 0: no limit */
    uint64_t ram_bytes;       /* 0: no limit */
    uint32_t pids_max;        /* 0: 4096 */
    uint64_t tmp_bytes;       /* size limit of the private /tmp; 0: 1 GiB */
    uint64_t log_limit_bytes; /* older output is dropped beyond this; 0: ENGINE_LOG_LIMIT_BYTES */
};

/* `err` is NULL when it went well. Borrowed for the duration of the callback. */
typedef void (*engine_done)(void *context, const char *id, const struct error *err);
typedef void (*engine_listed)(void *context, const struct engine_task *tasks, size_t count,
                              const struct error *err);

/* Create; begins to look at the host at once. Folders are made when absent. */
int engine_create(enum engine_kind kind, struct uv_loop_s *loop, const struct engine_config *config,
                  const struct engine_callbacks *callbacks, struct engine **ret_engine,
                  struct error *err);
/* Lets go of the tasks without ending them. No callback comes after it. The engine's handles on
 * the loop close in its next turns: run the loop until it is empty before closing it. */
void engine_destroy(struct engine *engine);

/* Start a task; `done` says that its program runs, or why it does not (nothing is left then). A
 * spec that cannot work is refused at once with a negative errno and `done` is not called. */
int engine_start(struct engine *engine, const struct engine_task_spec *spec, engine_done done,
                 void *context, struct error *err);
/* SIGTERM, then SIGKILL to all of it after `grace_ms`. The end comes by on_exit. -ENOENT: none. */
int engine_stop(struct engine *engine, const char *id, uint64_t grace_ms, struct error *err);
int engine_kill(struct engine *engine, const char *id, struct error *err);
/* A signal for the first process of a running task. -ENOENT: unknown; -ESRCH: not running. */
int engine_signal(struct engine *engine, const char *id, int number, struct error *err);
/* How a command of engine_exec ended: by SIGKILL when it took too long. `why` says what kept it
 * from being run, else it is "". Both are borrowed for the duration of the callback. */
typedef void (*engine_executed)(void *context, const char *id, const struct engine_exit *exit,
                                const char *why);
/* Run one more command in the container of a running task, with its environment and rights, for at
 * most `limit_ms`. What it prints is lost. `done` may come after the task has ended. -ENOENT,
 * -ESRCH as above. */
int engine_exec(struct engine *engine, const char *id, const char *const *argv, uint64_t limit_ms,
                engine_executed done, void *context, struct error *err);
/* Kill it when it still runs and remove all of it but `work` and the logs. An unknown or half-made
 * task is fine: when `done` reports success nothing of that id is left. `done` may be NULL. */
int engine_remove(struct engine *engine, const char *id, engine_done done, void *context,
                  struct error *err);
/* All tasks of this centre that exist on the host, also those that an earlier engine started. Those
 * that run are watched from here on: their end comes by on_exit. */
int engine_list(struct engine *engine, engine_listed listed, void *context, struct error *err);

/* What this engine found on the host, for `leat version` and health: an object with "engine",
 * "ready", "runtime", "why", "tried", "network", "limits" and "notes". New reference; NULL: out of
 * memory. */
struct json_t *engine_report(struct engine *engine);

/* -- output of tasks; works for ended and removed tasks as long as their folder is there -- */

/* Standard output and error in the order they came, as bytes numbered from 0. Reading starts at
 * `offset_bytes`, or at the oldest byte still kept. `more` (may be NULL) is called after a read
 * gave 0 bytes and there is more now; not after engine_log_close. Close before engine_destroy. */
int engine_log_open(struct engine *engine, const char *id, uint64_t offset_bytes,
                    void (*more)(void *context), void *context, struct engine_log **ret_log,
                    struct error *err);
/* Copies up to `room` bytes to `data`, their number to *ret_length and the number of the first of
 * them to *ret_offset. 0 bytes: all that has come so far is read. */
int engine_log_read(struct engine_log *log, void *data, size_t room, size_t *ret_length,
                    uint64_t *ret_offset, struct error *err);
void engine_log_close(struct engine_log *log);
#define ENGINE_TAIL_BYTES (64u << 10)
/* The last lines of a task's output, from at most the last ENGINE_TAIL_BYTES of its file. */
int engine_log_tail(struct engine *engine, const char *id, struct buf *ret_text, struct error *err);

/* -- images -- */

/* The n-th image in the order of names, recipes and "host" included; -ENOENT past the last. */
int engine_image_at(struct engine *engine, size_t index, struct engine_image *ret_image);
int engine_image_find(struct engine *engine, const char *name, struct engine_image *ret_image,
                      struct error *err);
/* These begin the work, or refuse; on_image tells how it goes on. Whole images appear at once or
 * not at all, whatever is killed when. */
int engine_image_build(struct engine *engine, const char *name, struct error *err);
/* `source`: absolute path of an OCI layout folder, a docker archive, a tar of a root, or a folder
 * that is a root. */
int engine_image_import(struct engine *engine, const char *name, const char *source,
                        struct error *err);
/* Tasks that still use it keep its files until they are removed. */
int engine_image_remove(struct engine *engine, const char *name, struct error *err);

#endif
