/* Output of tasks. conmon writes STATE/jobs/ID/log in its own format and, at the size limit, begins
 * a new file under the same name and lets the old one go. A second name for the current file
 * (log.held) keeps the old one reachable until we turn it into log.1; log.base says with which byte
 * of the program's output each file begins, so that offsets hold across rotations and restarts. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "engine/k8slog.h"
#include "engine/local.h"

#define CHUNK_BYTES 65536
#define BASE_LIMIT_BYTES 4096
#define EVENTS_BYTES 16384

/* -- the files of one log -- */

struct part {
    ino_t inode; /* 0: there is no such file */
    uint64_t base;
};

struct parts {
    struct part old, current;
};

static ino_t inode_of(int dir_fd, const char *name)
{
    struct stat info;
    return fstatat(dir_fd, name, &info, AT_SYMLINK_NOFOLLOW) ? 0 : info.st_ino;
}

/* "INODE BASE" a line. What is not listed begins at 0. */
static uint64_t base_of(const char *text, ino_t inode)
{
    for (const char *line = text; line && *line;) {
        uint64_t listed, base;
        if (sscanf(line, "%" SCNu64 " %" SCNu64, &listed, &base) == 2 && listed == inode)
            return base;
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    return 0;
}

static uint64_t decoded_bytes(int dir_fd, const char *name)
{
    AUTO_FD int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
    AUTO_FREE char *chunk = malloc(CHUNK_BYTES);
    AUTO_BUF struct buf text = BUF_INIT;
    struct k8slog decoder = {0};
    uint64_t bytes = 0;
    ssize_t n;
    while (fd >= 0 && chunk && (n = read(fd, chunk, CHUNK_BYTES)) > 0) {
        k8slog_decode(&decoder, chunk, (size_t)n, &text);
        bytes += text.length;
        buf_clear(&text);
    }
    return bytes;
}

/* Notice a rotation. Cut off anywhere, the next call carries on: log.base lists both files before
 * any name is changed. */
static int rotate(int dir_fd, const char *bases, ino_t held, ino_t current)
{
    char text[96];
    uint64_t base = base_of(bases, held);
    (void)snprintf(text, sizeof(text), "%ju %" PRIu64 "\n%ju %" PRIu64 "\n", (uintmax_t)held, base,
                   (uintmax_t)current, base + decoded_bytes(dir_fd, "log.held"));
    int result = file_write_atomic(dir_fd, "log.base", text, strlen(text), 0600, NULL);
    if (!result && renameat(dir_fd, "log.held", dir_fd, "log.1"))
        result = -errno;
    if (!result && linkat(dir_fd, "log", dir_fd, "log.held", 0))
        result = -errno;
    return result;
}

static int parts_find(int dir_fd, struct parts *ret, struct error *err)
{
    AUTO_BUF struct buf bases = BUF_INIT;
    ino_t held = inode_of(dir_fd, "log.held"), current = inode_of(dir_fd, "log");
    if (!current)
        return error_set(err, -ENOENT, "no-log", "there is no log");
    if (!held && linkat(dir_fd, "log", dir_fd, "log.held", 0))
        return error_errno(err, -errno, "cannot-write", "cannot keep the log");
    /* Absent before the first rotation. */
    (void)file_read(dir_fd, "log.base", BASE_LIMIT_BYTES, &bases, NULL);
    if (held && held != current) {
        int result = rotate(dir_fd, bases.data, held, current);
        if (result)
            return error_errno(err, result, "cannot-write", "cannot keep the old log");
        buf_finish(&bases);
        (void)file_read(dir_fd, "log.base", BASE_LIMIT_BYTES, &bases, NULL); /* just written */
    }
    ret->current = (struct part){current, base_of(bases.data, current)};
    ret->old.inode = inode_of(dir_fd, "log.1");
    ret->old.base = base_of(bases.data, ret->old.inode);
    return 0;
}

/* -- readers -- */

struct log_watch {
    struct local_engine *local;
    int fd;
    struct run_watch *readable;
    struct list logs;    /* struct local_log */
    struct list folders; /* struct folder */
};

struct folder {
    struct list link;
    int wd;
    char path[PATH_MAX];
};

struct local_log {
    struct engine_log base;
    struct list link;
    struct log_watch *watch;
    char dir[PATH_MAX];
    int fd; /* the file being read, or -1 */
    ino_t inode;
    struct k8slog decoder;
    struct buf text; /* decoded and not handed out yet */
    uint64_t next;   /* number of the first byte of text */
    uint64_t wanted; /* bytes before it are skipped */
    int wd;          /* armed: `more` is due; -1: not */
    void (*more)(void *context);
    void *context;
};

static struct local_log *log_of(struct engine_log *log)
{
    return (struct local_log *)(void *)log;
}

/* Open the part that holds the wanted byte, or the one after the part that was read to its end. */
static int open_part(struct local_log *log, int dir_fd, struct error *err)
{
    struct parts parts;
    int result = parts_find(dir_fd, &parts, err);
    if (result)
        return result;
    bool old = parts.old.inode && parts.old.inode != log->inode &&
               log->wanted < parts.current.base && log->inode != parts.current.inode;
    if (log->fd >= 0)
        (void)close(log->fd); /* read only */
    log->fd = openat(dir_fd, old ? "log.1" : "log", O_RDONLY | O_CLOEXEC);
    if (log->fd < 0)
        return error_errno(err, -errno, "cannot-read", "cannot open the log");
    log->inode = old ? parts.old.inode : parts.current.inode;
    log->next = old ? parts.old.base : parts.current.base;
    log->decoder = (struct k8slog){0};
    buf_clear(&log->text);
    return 0;
}

/* Drop what lies before the wanted byte. */
static void skip(struct local_log *log)
{
    uint64_t before = log->wanted > log->next ? log->wanted - log->next : 0;
    size_t drop = before < log->text.length ? (size_t)before : log->text.length;
    buf_drop_front(&log->text, drop);
    log->next += drop;
}

/* Decode until there is text, or nothing more for now. */
static int fill(struct local_log *log, struct error *err)
{
    AUTO_FD int dir_fd = open(log->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char chunk[CHUNK_BYTES];
    if (dir_fd < 0)
        return error_errno(err, -errno, "no-log", "there is no log in '%s'", log->dir);
    while (!log->text.length) {
        ssize_t n = log->fd >= 0 ? read(log->fd, chunk, sizeof(chunk)) : 0;
        if (n < 0)
            return error_errno(err, -errno, "cannot-read", "cannot read a log");
        if (n > 0) {
            k8slog_decode(&log->decoder, chunk, (size_t)n, &log->text);
            skip(log);
        } else if (log->fd >= 0 && log->inode == inode_of(dir_fd, "log")) {
            return 0;
        } else {
            int result = open_part(log, dir_fd, err);
            if (result)
                return result;
        }
    }
    return log->text.failed ? error_set(err, -ENOMEM, "no-memory", "no memory for a log") : 0;
}

int local_log_open(struct engine *engine, const char *id, uint64_t offset_bytes,
                   void (*more)(void *context), void *context, struct engine_log **ret_log,
                   struct error *err)
{
    struct local_engine *local = local_of(engine);
    AUTO_FREE struct local_log *log = calloc(1, sizeof(*log));
    if (!log)
        return error_set(err, -ENOMEM, "no-memory", "no memory to read the log of '%s'", id);
    int result = local_path(log->dir, err, "%s/jobs/%s", local->state_dir, id);
    if (result)
        return result;
    AUTO_FD int dir_fd = open(log->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0 || !inode_of(dir_fd, "log"))
        return error_set(err, -ENOENT, "no-log", "there is no log of task '%s'", id);
    log->base.verbs = engine->verbs;
    log->watch = local->log_watch;
    log->fd = log->wd = -1;
    log->wanted = offset_bytes;
    log->more = more;
    log->context = context;
    list_append(&log->watch->logs, &log->link);
    *ret_log = &TAKE(log)->base;
    return 0;
}

/* IN_ATTRIB: the file lost its name to a new one. The wait ends with the first event. */
static void arm(struct local_log *log)
{
    char path[48];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", log->fd);
    log->wd = inotify_add_watch(log->watch->fd, path, IN_MODIFY | IN_ATTRIB | IN_ONESHOT);
}

int local_log_read(struct engine_log *base, void *data, size_t room, size_t *ret_length,
                   uint64_t *ret_offset, struct error *err)
{
    struct local_log *log = log_of(base);
    int result = log->text.length ? 0 : fill(log, err);
    if (!result && !log->text.length && log->more) {
        arm(log);
        result = fill(log, err); /* what came before the watch stood */
        if (log->text.length)
            log->wd = -1; /* its event finds nobody waiting */
    }
    if (result)
        return result;
    size_t length = log->text.length < room ? log->text.length : room;
    if (length > 0)
        memcpy(data, log->text.data, length);
    *ret_length = length;
    *ret_offset = log->next;
    buf_drop_front(&log->text, length);
    log->next += length;
    log->wanted = log->next;
    return 0;
}

void local_log_close(struct engine_log *base)
{
    struct local_log *log = log_of(base);
    list_remove(&log->link);
    if (log->fd >= 0)
        (void)close(log->fd); /* read only */
    buf_finish(&log->text);
    free(log);
}

int local_log_tail(struct engine *engine, const char *id, struct buf *ret_text, struct error *err)
{
    char path[PATH_MAX];
    struct stat info;
    struct k8slog decoder = {0};
    int result = local_path(path, err, "%s/jobs/%s/log", local_of(engine)->state_dir, id);
    if (result)
        return result;
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    AUTO_FREE char *bytes = malloc(ENGINE_TAIL_BYTES);
    if (fd < 0 || fstat(fd, &info) < 0)
        return error_errno(err, -errno, "no-log", "there is no log of task '%s'", id);
    if (!bytes)
        return error_set(err, -ENOMEM, "no-memory", "no memory for a log");
    off_t from = info.st_size > ENGINE_TAIL_BYTES ? info.st_size - ENGINE_TAIL_BYTES : 0;
    ssize_t length = pread(fd, bytes, ENGINE_TAIL_BYTES, from);
    if (length < 0)
        return error_errno(err, -errno, "cannot-read", "cannot read a log");
    const char *line = from ? memchr(bytes, '\n', (size_t)length) : NULL;
    size_t skipped = line ? (size_t)(line + 1 - bytes) : 0; /* the rest of a line */
    k8slog_decode(&decoder, bytes + skipped, (size_t)length - skipped, ret_text);
    return ret_text->failed ? error_set(err, -ENOMEM, "no-memory", "no memory for a log") : 0;
}

/* -- the watch -- */

static void on_event(struct log_watch *watch, const struct inotify_event *event)
{
    LIST_EACH_SAFE (link, after, &watch->folders) {
        struct folder *folder = LIST_ENTRY(link, struct folder, link);
        if (folder->wd != event->wd)
            continue;
        AUTO_FD int dir_fd = open(folder->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct parts parts;
        if (dir_fd >= 0)
            (void)parts_find(dir_fd, &parts, NULL); /* the next reader tries again */
        if (event->mask & IN_IGNORED) {
            list_remove(&folder->link);
            free(folder);
        }
    }
}

/* One reader at a time: `more` may close any of them. */
static struct local_log *due(struct log_watch *watch, int wd)
{
    LIST_EACH (link, &watch->logs) {
        struct local_log *log = LIST_ENTRY(link, struct local_log, link);
        if (log->wd == wd)
            return log;
    }
    return NULL;
}

static void on_inotify(void *context);

static int watch_again(struct log_watch *watch)
{
    int fd = fcntl(watch->fd, F_DUPFD_CLOEXEC, 0); /* the run watch closes its own */
    return fd < 0 ? -errno
                  : run_watch(&watch->local->runner, fd, on_inotify, watch, &watch->readable, NULL);
}

static void on_inotify(void *context)
{
    struct log_watch *watch = context;
    struct local_log *log;
    _Alignas(struct inotify_event) char events[EVENTS_BYTES];
    ssize_t length = read(watch->fd, events, sizeof(events));
    watch->readable = NULL;
    (void)watch_again(watch); /* without memory followers see the rest at the task's end */
    for (ssize_t at = 0; at < length;) {
        const struct inotify_event *event = (const void *)(events + at);
        at += (ssize_t)(sizeof(*event) + event->len);
        on_event(watch, event);
        LIST_EACH (link, &watch->logs) {
            log = LIST_ENTRY(link, struct local_log, link);
            if (log->wd == event->wd)
                log->wd = -2; /* due */
        }
    }
    while ((log = due(watch, -2))) {
        log->wd = -1;
        log->more(log->context);
    }
}

int local_log_watch_create(struct local_engine *local, struct error *err)
{
    struct log_watch *watch = calloc(1, sizeof(*watch));
    if (!watch)
        return error_set(err, -ENOMEM, "no-memory", "no memory to watch logs");
    watch->local = local;
    list_init(&watch->logs);
    list_init(&watch->folders);
    watch->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    int result = watch->fd < 0 ? -errno : watch_again(watch);
    local->log_watch = watch;
    return result ? error_errno(err, result, "no-inotify", "cannot watch logs") : 0;
}

void local_log_watch_destroy(struct log_watch *watch)
{
    if (!watch)
        return;
    LIST_EACH_SAFE (link, after, &watch->folders)
        free(LIST_ENTRY(link, struct folder, link));
    if (watch->fd >= 0)
        (void)close(watch->fd); /* read only */
    free(watch);
}

void local_log_follow(struct local_engine *local, const char *job_dir)
{
    struct folder *folder = calloc(1, sizeof(*folder));
    if (!folder)
        return; /* then only readers notice a rotation */
    (void)snprintf(folder->path, sizeof(folder->path), "%s", job_dir);
    folder->wd = inotify_add_watch(local->log_watch->fd, job_dir, IN_MOVED_TO | IN_ONLYDIR);
    list_append(&local->log_watch->folders, &folder->link);
}

void local_log_unfollow(struct local_engine *local, const char *job_dir)
{
    LIST_EACH_SAFE (link, after, &local->log_watch->folders) {
        struct folder *folder = LIST_ENTRY(link, struct folder, link);
        if (strcmp(folder->path, job_dir) != 0)
            continue;
        (void)inotify_rm_watch(local->log_watch->fd, folder->wd); /* may be gone with its folder */
        list_remove(&folder->link);
        free(folder);
    }
}
