/* The fake engine. Everything that a real engine would report later is queued on one timer, so that
 * callbacks come from the loop and never from inside a call. */
#include "engine/fake.h"

#include <errno.h>
#include <string.h>
#include <uv.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/list.h"
#include "engine/engine_impl.h"

struct fake_task {
    struct list link;
    struct engine_task shown;
    bool removed; /* kept for its output only */
    int signal;   /* the last that it was sent */
    struct buf output;
};

struct fake_image {
    struct list link;
    struct engine_image shown;
};

struct fake_engine;

struct engine_fake_world {
    struct list tasks, images;
    struct fake_engine *engine; /* the one attached, or NULL */
    unsigned fail_starts;
    int fail_errnum;
    char fail_code[ERROR_CODE_MAX];
    bool ignore_term;
    int exec_status; /* -1: commands go on until their limit */
};

enum event_kind {
    EVENT_INVALID,
    EVENT_READY,
    EVENT_DONE,
    EVENT_EXIT,
    EVENT_KILL,
    EVENT_LIST,
    EVENT_EXEC,
    EVENT_IMAGE
};

struct event {
    struct list link;
    enum event_kind kind;
    uint64_t due_ms;
    char id[ENGINE_NAME_MAX];
    engine_done done;
    engine_listed listed;
    engine_executed executed;
    struct engine_exit exit;
    void *context;
    struct error err;
};

struct fake_engine {
    struct engine base;
    struct engine_fake_world *world;
    bool owns_world;
    uv_timer_t timer;
    struct list events, logs;
};

struct fake_log {
    struct engine_log base;
    struct list link;
    struct fake_engine *engine;
    struct fake_task *task;
    uint64_t offset;
    bool waiting;
    void (*more)(void *context);
    void *context;
};

/* -- the world -- */

static int world_add_image(struct engine_fake_world *world, const char *name,
                           enum engine_image_state state)
{
    struct fake_image *image = calloc(1, sizeof(*image));
    if (!image)
        return -ENOMEM;
    (void)snprintf(image->shown.name, sizeof(image->shown.name), "%s", name);
    image->shown.state = state;
    list_append(&world->images, &image->link);
    return 0;
}

static struct fake_image *world_image(struct engine_fake_world *world, const char *name)
{
    LIST_EACH (link, &world->images) {
        struct fake_image *image = LIST_ENTRY(link, struct fake_image, link);
        if (strcmp(image->shown.name, name) == 0)
            return image;
    }
    return NULL;
}

struct engine_fake_world *engine_fake_world_create(void)
{
    struct engine_fake_world *world = calloc(1, sizeof(*world));
    if (!world)
        return NULL;
    list_init(&world->tasks);
    list_init(&world->images);
    if (world_add_image(world, "base", ENGINE_IMAGE_ABSENT) ||
        world_add_image(world, "host", ENGINE_IMAGE_BUILT_IN)) {
        engine_fake_world_destroy(world);
        return NULL;
    }
    return world;
}

void engine_fake_world_destroy(struct engine_fake_world *world)
{
    if (!world)
        return;
    LIST_EACH_SAFE (link, after, &world->tasks) {
        struct fake_task *task = LIST_ENTRY(link, struct fake_task, link);
        buf_finish(&task->output);
        free(task);
    }
    LIST_EACH_SAFE (link, after, &world->images)
        free(LIST_ENTRY(link, struct fake_image, link));
    free(world);
}

void engine_fake_fail_starts(struct engine_fake_world *world, unsigned count, int errnum,
                             const char *code)
{
    world->fail_starts = count;
    world->fail_errnum = errnum;
    (void)snprintf(world->fail_code, sizeof(world->fail_code), "%s", code);
}

void engine_fake_ignore_term(struct engine_fake_world *world, bool ignore)
{
    world->ignore_term = ignore;
}

void engine_fake_exec(struct engine_fake_world *world, int status)
{
    world->exec_status = status;
}

static struct fake_task *world_task(const struct engine_fake_world *world, const char *id)
{
    LIST_EACH (link, &world->tasks) {
        struct fake_task *task = LIST_ENTRY(link, struct fake_task, link);
        if (strcmp(task->shown.id, id) == 0)
            return task;
    }
    return NULL;
}

static struct fake_task *world_live_task(const struct engine_fake_world *world, const char *id)
{
    struct fake_task *task = world_task(world, id);
    return task && !task->removed ? task : NULL;
}

int engine_fake_signal(const struct engine_fake_world *world, const char *id)
{
    const struct fake_task *task = world_live_task(world, id);
    return task ? task->signal : 0;
}

size_t engine_fake_count(const struct engine_fake_world *world)
{
    size_t count = 0;
    LIST_EACH (link, &world->tasks)
        count += !LIST_ENTRY(link, struct fake_task, link)->removed;
    return count;
}

/* -- events of an engine -- */

static void on_timer(uv_timer_t *timer);

static void arm(struct fake_engine *fake)
{
    uint64_t now = uv_now(fake->timer.loop), due = UINT64_MAX;
    LIST_EACH (link, &fake->events) {
        const struct event *event = LIST_ENTRY(link, struct event, link);
        due = event->due_ms < due ? event->due_ms : due;
    }
    LIST_EACH (link, &fake->logs) {
        const struct fake_log *log = LIST_ENTRY(link, struct fake_log, link);
        if (log->waiting && log->offset < log->task->output.length)
            due = now;
    }
    if (due == UINT64_MAX)
        (void)uv_timer_stop(&fake->timer); /* cannot fail */
    else
        (void)uv_timer_start(&fake->timer, on_timer, due > now ? due - now : 0, 0); /* never NULL */
}

static struct event *queue(struct fake_engine *fake, enum event_kind kind, const char *id,
                           uint64_t after_ms)
{
    struct event *event = calloc(1, sizeof(*event));
    if (!event)
        return NULL;
    event->kind = kind;
    event->due_ms = uv_now(fake->timer.loop) + after_ms;
    (void)snprintf(event->id, sizeof(event->id), "%s", id);
    list_append(&fake->events, &event->link);
    arm(fake);
    return event;
}

static int world_end(struct engine_fake_world *world, struct fake_task *task, int status,
                     int number, bool oom)
{
    if (task->shown.state != ENGINE_TASK_RUNNING)
        return -ESRCH;
    task->shown.state = ENGINE_TASK_ENDED;
    task->shown.exit = (struct engine_exit){status, number, oom, clock_realtime_us()};
    if (world->engine && !queue(world->engine, EVENT_EXIT, task->shown.id, 0))
        return -ENOMEM;
    return 0;
}

static void deliver_list(struct fake_engine *fake, const struct event *event)
{
    size_t room = engine_fake_count(fake->world), count = 0;
    AUTO_FREE struct engine_task *tasks = calloc(room + 1, sizeof(*tasks));
    struct error err;
    if (!tasks) {
        (void)error_set(&err, -ENOMEM, "no-memory", "no memory for the list of tasks");
        event->listed(event->context, NULL, 0, &err);
        return;
    }
    LIST_EACH (link, &fake->world->tasks) {
        const struct fake_task *task = LIST_ENTRY(link, struct fake_task, link);
        if (!task->removed)
            tasks[count++] = task->shown;
    }
    event->listed(event->context, tasks, count, NULL);
}

static void deliver_image(struct fake_engine *fake, const struct event *event)
{
    const struct engine_callbacks *callbacks = &fake->base.callbacks;
    struct fake_image *image = world_image(fake->world, event->id);
    if (!image)
        return;
    if (image->shown.state == ENGINE_IMAGE_BUILDING) {
        image->shown.state = ENGINE_IMAGE_READY;
        image->shown.created_us = clock_realtime_us();
    }
    if (callbacks->on_image)
        callbacks->on_image(callbacks->context, &image->shown);
}

static void deliver(struct fake_engine *fake, const struct event *event)
{
    const struct engine_callbacks *callbacks = &fake->base.callbacks;
    struct fake_task *task = world_task(fake->world, event->id);
    switch (event->kind) {
    case EVENT_READY:
        if (callbacks->on_ready)
            callbacks->on_ready(callbacks->context);
        break;
    case EVENT_DONE:
        event->done(event->context, event->id, event->err.errnum ? &event->err : NULL);
        break;
    case EVENT_EXIT:
        if (callbacks->on_exit && task && !task->removed)
            callbacks->on_exit(callbacks->context, event->id, &task->shown.exit);
        break;
    case EVENT_KILL:
        if (task && !task->removed)
            (void)world_end(fake->world, task, -1, SIGKILL, false); /* may have ended by itself */
        break;
    case EVENT_LIST:
        deliver_list(fake, event);
        break;
    case EVENT_EXEC:
        event->executed(event->context, event->id, &event->exit, "");
        break;
    case EVENT_IMAGE:
        deliver_image(fake, event);
        break;
    case EVENT_INVALID:
        break;
    }
}

static struct event *next_due(struct fake_engine *fake)
{
    LIST_EACH (link, &fake->events) {
        struct event *event = LIST_ENTRY(link, struct event, link);
        if (event->due_ms <= uv_now(fake->timer.loop))
            return event;
    }
    return NULL;
}

static struct fake_log *next_waiting(struct fake_engine *fake)
{
    LIST_EACH (link, &fake->logs) {
        struct fake_log *log = LIST_ENTRY(link, struct fake_log, link);
        if (log->waiting && log->offset < log->task->output.length)
            return log;
    }
    return NULL;
}

/* One delivery a turn: the callback may destroy the engine. */
static void on_timer(uv_timer_t *timer)
{
    struct fake_engine *fake = timer->data;
    AUTO_FREE struct event *event = next_due(fake);
    struct fake_log *log = event ? NULL : next_waiting(fake);
    if (event)
        list_remove(&event->link);
    if (log)
        log->waiting = false;
    arm(fake);
    if (event)
        deliver(fake, event);
    else if (log)
        log->more(log->context);
}

/* -- verbs -- */

static struct fake_engine *fake_of(struct engine *engine)
{
    return (struct fake_engine *)(void *)engine;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void fake_destroy(struct engine *engine)
{
    struct fake_engine *fake = fake_of(engine);
    LIST_EACH_SAFE (link, after, &fake->events)
        free(LIST_ENTRY(link, struct event, link));
    fake->world->engine = NULL;
    if (fake->owns_world)
        engine_fake_world_destroy(fake->world);
    uv_close((uv_handle_t *)&fake->timer, on_closed);
}

static int queue_done(struct fake_engine *fake, const char *id, engine_done done, void *context,
                      const struct error *failure, struct error *err)
{
    struct event *event = done ? queue(fake, EVENT_DONE, id, 0) : NULL;
    if (done && !event)
        return error_set(err, -ENOMEM, "no-memory", "no memory for task '%s'", id);
    if (event) {
        event->done = done;
        event->context = context;
        if (failure)
            event->err = *failure;
    }
    return 0;
}

static struct fake_task *add_task(struct engine_fake_world *world, const char *id,
                                  enum engine_task_state state)
{
    struct fake_task *task = world_task(world, id);
    if (!task) {
        task = calloc(1, sizeof(*task));
        if (!task)
            return NULL;
        (void)snprintf(task->shown.id, sizeof(task->shown.id), "%s", id);
        list_append(&world->tasks, &task->link);
    }
    buf_clear(&task->output);
    task->removed = false;
    task->shown.state = state;
    return task;
}

static int fake_start(struct engine *engine, const struct engine_task_spec *spec, engine_done done,
                      void *context, struct error *err)
{
    struct fake_engine *fake = fake_of(engine);
    struct engine_fake_world *world = fake->world;
    struct error failure = {0};
    const struct fake_image *image = world_image(world, spec->image);
    if (!image || image->shown.state == ENGINE_IMAGE_ABSENT)
        return error_set(err, -ENOENT, "unknown-image", "there is no image '%s'", spec->image);
    if (world_live_task(world, spec->id))
        return error_set(err, -EEXIST, "task-exists", "the task '%s' exists", spec->id);
    if (world->fail_starts > 0) {
        world->fail_starts--;
        (void)error_set(&failure, world->fail_errnum, world->fail_code, "told to fail");
    } else if (!add_task(world, spec->id, ENGINE_TASK_RUNNING)) {
        return error_set(err, -ENOMEM, "no-memory", "no memory for task '%s'", spec->id);
    }
    return queue_done(fake, spec->id, done, context, &failure, err);
}

static int fake_stop(struct engine *engine, const char *id, uint64_t grace_ms, struct error *err)
{
    struct fake_engine *fake = fake_of(engine);
    struct fake_task *task = world_live_task(fake->world, id);
    if (!task)
        return error_set(err, -ENOENT, "unknown-task", "there is no task '%s'", id);
    if (task->shown.state != ENGINE_TASK_RUNNING)
        return 0;
    if (!fake->world->ignore_term)
        return world_end(fake->world, task, -1, SIGTERM, false);
    if (!queue(fake, EVENT_KILL, id, grace_ms))
        return error_set(err, -ENOMEM, "no-memory", "no memory to stop task '%s'", id);
    return 0;
}

static int fake_kill(struct engine *engine, const char *id, struct error *err)
{
    struct fake_engine *fake = fake_of(engine);
    struct fake_task *task = world_live_task(fake->world, id);
    if (!task)
        return error_set(err, -ENOENT, "unknown-task", "there is no task '%s'", id);
    if (task->shown.state != ENGINE_TASK_RUNNING)
        return 0;
    return world_end(fake->world, task, -1, SIGKILL, false);
}

static int fake_running(const struct engine_fake_world *world, const char *id,
                        struct fake_task **ret_task, struct error *err)
{
    *ret_task = world_live_task(world, id);
    if (!*ret_task)
        return error_set(err, -ENOENT, "unknown-task", "there is no task '%s'", id);
    if ((*ret_task)->shown.state != ENGINE_TASK_RUNNING)
        return error_set(err, -ESRCH, "task-not-running", "the task '%s' does not run", id);
    return 0;
}

static int fake_signal(struct engine *engine, const char *id, int number, struct error *err)
{
    struct fake_task *task;
    int result = fake_running(fake_of(engine)->world, id, &task, err);
    if (result == 0)
        task->signal = number;
    return result;
}

static int fake_exec(struct engine *engine, const char *id, const char *const *argv,
                     uint64_t limit_ms, engine_executed done, void *context, struct error *err)
{
    struct fake_engine *fake = fake_of(engine);
    struct fake_task *task;
    int status = fake->world->exec_status, result = fake_running(fake->world, id, &task, err);
    (void)argv; /* there is nothing that it could be run in */
    struct event *event = result ? NULL : queue(fake, EVENT_EXEC, id, status < 0 ? limit_ms : 0);
    if (result)
        return result;
    if (!event)
        return error_set(err, -ENOMEM, "no-memory", "no memory for a command of '%s'", id);
    event->executed = done;
    event->context = context;
    event->exit = (struct engine_exit){status, status < 0 ? SIGKILL : 0, false, 0};
    return 0;
}

static int fake_remove(struct engine *engine, const char *id, engine_done done, void *context,
                       struct error *err)
{
    struct fake_engine *fake = fake_of(engine);
    struct fake_task *task = world_task(fake->world, id);
    if (task)
        task->removed = true;
    return queue_done(fake, id, done, context, NULL, err);
}

static int fake_list(struct engine *engine, engine_listed listed, void *context, struct error *err)
{
    struct event *event = queue(fake_of(engine), EVENT_LIST, "", 0);
    if (!event)
        return error_set(err, -ENOMEM, "no-memory", "no memory for the list of tasks");
    event->listed = listed;
    event->context = context;
    return 0;
}

static json_t *fake_report(struct engine *engine)
{
    return json_pack("{s:s, s:b, s:s, s:s, s:[], s:{s:b, s:b, s:b}, s:{}, s:[]}", "engine", "fake",
                     "ready", 1, "runtime", "none", "why", "tasks exist in memory only", "tried",
                     "network", "none", 1, "host", 1, "outbound", 1, "limits", "notes");
}

static int fake_log_open(struct engine *engine, const char *id, uint64_t offset_bytes,
                         void (*more)(void *context), void *context, struct engine_log **ret_log,
                         struct error *err)
{
    struct fake_engine *fake = fake_of(engine);
    struct fake_task *task = world_task(fake->world, id);
    if (!task)
        return error_set(err, -ENOENT, "no-log", "there is no log of task '%s'", id);
    struct fake_log *log = calloc(1, sizeof(*log));
    if (!log)
        return error_set(err, -ENOMEM, "no-memory", "no memory to read the log of '%s'", id);
    *log = (struct fake_log){{engine->verbs}, {0}, fake, task, offset_bytes, false, more, context};
    list_append(&fake->logs, &log->link);
    *ret_log = &log->base;
    return 0;
}

static int fake_log_read(struct engine_log *base, void *data, size_t room, size_t *ret_length,
                         uint64_t *ret_offset, struct error *err)
{
    struct fake_log *log = (struct fake_log *)(void *)base;
    const struct buf *output = &log->task->output;
    size_t length = log->offset < output->length ? output->length - log->offset : 0;
    if (length > room)
        length = room;
    if (length > 0)
        memcpy(data, output->data + log->offset, length);
    *ret_length = length;
    *ret_offset = log->offset;
    log->offset += length;
    log->waiting = length == 0 && room > 0 && log->more;
    return 0;
}

static int fake_log_tail(struct engine *engine, const char *id, struct buf *ret_text,
                         struct error *err)
{
    const struct fake_task *task = world_task(fake_of(engine)->world, id);
    if (!task)
        return error_set(err, -ENOENT, "no-log", "there is no log of task '%s'", id);
    size_t length = task->output.length;
    size_t skipped = length > ENGINE_TAIL_BYTES ? length - ENGINE_TAIL_BYTES : 0;
    return length ? buf_append(ret_text, task->output.data + skipped, length - skipped) : 0;
}

static void fake_log_close(struct engine_log *base)
{
    struct fake_log *log = (struct fake_log *)(void *)base;
    list_remove(&log->link);
    arm(log->engine);
    free(log);
}

static int fake_image_at(struct engine *engine, size_t index, struct engine_image *ret_image)
{
    LIST_EACH (link, &fake_of(engine)->world->images) {
        if (index-- == 0) {
            *ret_image = LIST_ENTRY(link, struct fake_image, link)->shown;
            return 0;
        }
    }
    return -ENOENT;
}

static int fake_image_build(struct engine *engine, const char *name, struct error *err)
{
    struct fake_engine *fake = fake_of(engine);
    struct fake_image *image = world_image(fake->world, name);
    if (!image || image->shown.state == ENGINE_IMAGE_BUILT_IN)
        return error_set(err, -ENOENT, "no-recipe", "there is no recipe for image '%s'", name);
    image->shown.state = ENGINE_IMAGE_BUILDING;
    if (!queue(fake, EVENT_IMAGE, name, 0))
        return error_set(err, -ENOMEM, "no-memory", "no memory to build '%s'", name);
    return 0;
}

static int fake_image_import(struct engine *engine, const char *name, const char *source,
                             struct error *err)
{
    struct fake_engine *fake = fake_of(engine);
    if (!world_image(fake->world, name) &&
        world_add_image(fake->world, name, ENGINE_IMAGE_BUILDING))
        return error_set(err, -ENOMEM, "no-memory", "no memory to import '%s'", name);
    return fake_image_build(engine, name, err);
}

static int fake_image_remove(struct engine *engine, const char *name, struct error *err)
{
    struct fake_engine *fake = fake_of(engine);
    struct fake_image *image = world_image(fake->world, name);
    if (!image)
        return error_set(err, -ENOENT, "unknown-image", "there is no image '%s'", name);
    if (image->shown.state == ENGINE_IMAGE_BUILT_IN)
        return error_set(err, -EPERM, "built-in-image", "the image '%s' is built in", name);
    image->shown.state = ENGINE_IMAGE_ABSENT;
    return queue(fake, EVENT_IMAGE, name, 0) ? 0 : -ENOMEM;
}

static const struct engine_verbs fake_verbs = {
    .name = "fake",
    .destroy = fake_destroy,
    .start = fake_start,
    .stop = fake_stop,
    .kill = fake_kill,
    .send_signal = fake_signal,
    .exec = fake_exec,
    .remove = fake_remove,
    .list = fake_list,
    .report = fake_report,
    .log_open = fake_log_open,
    .log_read = fake_log_read,
    .log_close = fake_log_close,
    .log_tail = fake_log_tail,
    .image_at = fake_image_at,
    .image_build = fake_image_build,
    .image_import = fake_image_import,
    .image_remove = fake_image_remove,
};

int engine_fake_create(struct uv_loop_s *loop, const struct engine_config *config,
                       struct engine **ret_engine, struct error *err)
{
    struct fake_engine *fake = calloc(1, sizeof(*fake));
    struct engine_fake_world *world = config->fake ? config->fake : engine_fake_world_create();
    if (!fake || !world) {
        free(fake);
        if (world != config->fake)
            engine_fake_world_destroy(world);
        return error_set(err, -ENOMEM, "no-memory", "no memory for the fake engine");
    }
    fake->base.verbs = &fake_verbs;
    fake->world = world;
    fake->owns_world = world != config->fake;
    world->engine = fake;
    list_init(&fake->events);
    list_init(&fake->logs);
    (void)uv_timer_init(loop, &fake->timer); /* cannot fail */
    fake->timer.data = fake;
    if (!queue(fake, EVENT_READY, "", 0)) {
        fake_destroy(&fake->base);
        return error_set(err, -ENOMEM, "no-memory", "no memory for the fake engine");
    }
    *ret_engine = &fake->base;
    return 0;
}

/* -- what tests tell the tasks -- */

int engine_fake_exit(struct engine_fake_world *world, const char *id, int status)
{
    struct fake_task *task = world_live_task(world, id);
    return task ? world_end(world, task, status, 0, false) : -ENOENT;
}

int engine_fake_oom(struct engine_fake_world *world, const char *id)
{
    struct fake_task *task = world_live_task(world, id);
    return task ? world_end(world, task, -1, SIGKILL, true) : -ENOENT;
}

int engine_fake_break(struct engine_fake_world *world, const char *id)
{
    return add_task(world, id, ENGINE_TASK_BROKEN) ? 0 : -ENOMEM;
}

int engine_fake_write(struct engine_fake_world *world, const char *id, const char *text)
{
    struct fake_task *task = world_task(world, id);
    if (!task)
        return -ENOENT;
    if (buf_puts(&task->output, text))
        return -ENOMEM;
    if (world->engine)
        arm(world->engine);
    return 0;
}
