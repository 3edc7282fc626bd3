/* Child processes, worker jobs and pipes on the loop: see run.h. */
#include "engine/run.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "base/cleanup.h"
#include "base/error.h"

extern char **environ;

#define LINE_MAX_BYTES 4096

/* What every open thing begins with. A worker job has no handle to close. */
struct item {
    struct list link;
    struct runner *runner;
    uv_handle_t *handle;
    int fd; /* closed along with the handle; -1: none */
};

static void item_add(struct runner *runner, struct item *item, uv_handle_t *handle)
{
    item->runner = runner;
    item->handle = handle;
    item->fd = -1;
    if (handle)
        handle->data = item;
    list_append(&runner->items, &item->link);
}

static void item_remove(struct item *item)
{
    struct runner *runner = item->runner;
    list_remove(&item->link);
    free(item);
    if (runner->closed && list_empty(&runner->items))
        runner->gone(runner->context);
}

static void on_closed(uv_handle_t *handle)
{
    struct item *item = handle->data;
    if (item->fd >= 0)
        (void)close(item->fd); /* nothing to do about a failure */
    item_remove(item);
}

static void item_close(struct item *item)
{
    if (item->handle && !uv_is_closing(item->handle))
        uv_close(item->handle, on_closed);
}

void runner_init(struct runner *runner, struct uv_loop_s *loop, void (*gone)(void *context),
                 void *context)
{
    *runner = (struct runner){.loop = loop, .gone = gone, .context = context};
    list_init(&runner->items);
}

void runner_close(struct runner *runner)
{
    runner->closed = true;
    if (list_empty(&runner->items)) {
        runner->gone(runner->context);
        return;
    }
    LIST_EACH (link, &runner->items)
        item_close(LIST_ENTRY(link, struct item, link));
}

static int no_memory(struct error *err)
{
    return error_set(err, -ENOMEM, "no-memory", "no memory for a process of the engine");
}

/* -- processes -- */

struct child {
    struct item item;
    uv_process_t process;
    run_done done;
    void *context;
};

static void on_child_exit(uv_process_t *process, int64_t status, int number)
{
    struct child *child = (struct child *)process->data;
    run_done done = child->item.runner->closed ? NULL : child->done;
    void *context = child->context;
    item_close(&child->item);
    if (done)
        done(context, number ? -number : (int)status);
}

/* The environment with `pair` in front; the array is the caller's, its texts are borrowed. */
static char **env_with(const char *pair)
{
    size_t count = 0;
    while (environ[count])
        count++;
    char **env = calloc(count + 2, sizeof(*env));
    if (!env)
        return NULL;
    memcpy(env, &pair, sizeof(pair)); /* libuv's argument is not const and is not written */
    memcpy(env + 1, environ, count * sizeof(*env));
    return env;
}

int run_start(struct runner *runner, const struct run_spec *spec, run_done done, void *context,
              struct error *err)
{
    struct child *child = calloc(1, sizeof(*child));
    AUTO_FREE char **env = spec->env ? env_with(spec->env) : NULL;
    if (!child || (spec->env && !env)) {
        free(child);
        return no_memory(err);
    }
    uv_stdio_container_t stdio[3 + RUN_PASS_MAX] = {{.flags = UV_IGNORE}};
    int count = 3;
    const int out[] = {-1, spec->output_fd, spec->error_fd ? spec->error_fd : spec->output_fd};
    for (int fd = 1; fd <= 2; fd++) {
        stdio[fd].flags = out[fd] >= 0 ? UV_INHERIT_FD : UV_IGNORE;
        stdio[fd].data.fd = out[fd];
    }
    for (int i = 0; i < RUN_PASS_MAX && spec->pass[i] >= 0; i++, count++) {
        stdio[count].flags = UV_INHERIT_FD;
        stdio[count].data.fd = spec->pass[i];
    }
    uv_process_options_t options = {.file = spec->file,
                                    .env = env,
                                    .cwd = spec->cwd,
                                    .stdio = stdio,
                                    .stdio_count = count,
                                    .exit_cb = on_child_exit};
    memcpy(&options.args, &spec->argv, sizeof(options.args)); /* not written by libuv either */
    child->done = done;
    child->context = context;
    item_add(runner, &child->item, (uv_handle_t *)&child->process);
    int result = uv_spawn(runner->loop, &child->process, &options);
    if (result) {
        child->done = NULL;
        item_close(&child->item);
        return error_errno(err, result, "cannot-run", "cannot run '%s'", spec->file);
    }
    return 0;
}

/* -- one line from a pipe -- */

struct reader {
    struct item item;
    uv_pipe_t pipe;
    char text[LINE_MAX_BYTES];
    size_t length;
    void (*done)(void *context, const char *line);
    void *context;
};

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_room)
{
    struct reader *reader = handle->data;
    *ret_room = uv_buf_init(reader->text + reader->length,
                            (unsigned)(sizeof(reader->text) - 1 - reader->length));
}

static void on_bytes(uv_stream_t *stream, ssize_t length, const uv_buf_t *bytes)
{
    struct reader *reader = stream->data;
    if (length == 0)
        return;
    if (length > 0)
        reader->length += (size_t)length;
    reader->text[reader->length] = '\0';
    char *end = strchr(reader->text, '\n');
    if (!end && length > 0 && reader->length < sizeof(reader->text) - 1)
        return;
    if (end)
        *end = '\0';
    item_close(&reader->item); /* the memory stays until the next turn */
    reader->done(reader->context, reader->text);
}

int run_read_line(struct runner *runner, int fd, void (*done)(void *context, const char *line),
                  void *context, struct error *err)
{
    struct reader *reader = calloc(1, sizeof(*reader));
    if (!reader) {
        (void)close(fd); /* owned by this call */
        return no_memory(err);
    }
    reader->done = done;
    reader->context = context;
    (void)uv_pipe_init(runner->loop, &reader->pipe, 0); /* cannot fail */
    item_add(runner, &reader->item, (uv_handle_t *)&reader->pipe);
    int result = uv_pipe_open(&reader->pipe, fd);
    if (result)
        (void)close(fd); /* not taken over */
    else
        result = uv_read_start((uv_stream_t *)&reader->pipe, on_alloc, on_bytes);
    if (result) {
        item_close(&reader->item);
        return error_errno(err, result, "cannot-read", "cannot read a pipe");
    }
    return 0;
}

/* -- watches -- */

struct run_watch {
    struct item item;
    uv_poll_t poll;
    void (*readable)(void *context);
    void *context;
};

void run_watch_cancel(struct run_watch *watch)
{
    if (watch)
        item_close(&watch->item);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct run_watch *watch = poll->data;
    void (*readable)(void *) = watch->readable;
    void *context = watch->context;
    run_watch_cancel(watch);
    readable(context);
}

int run_watch(struct runner *runner, int fd, void (*readable)(void *context), void *context,
              struct run_watch **ret_watch, struct error *err)
{
    struct run_watch *watch = calloc(1, sizeof(*watch));
    int result = watch ? uv_poll_init(runner->loop, &watch->poll, fd) : -ENOMEM;
    if (result) {
        free(watch);
        (void)close(fd); /* owned by this call */
        return error_errno(err, result, "cannot-watch", "cannot watch a process");
    }
    watch->readable = readable;
    watch->context = context;
    item_add(runner, &watch->item, (uv_handle_t *)&watch->poll);
    watch->item.fd = fd;
    (void)uv_poll_start(&watch->poll, UV_READABLE,
                        on_readable); /* only fails on a closing handle */
    *ret_watch = watch;
    return 0;
}

/* -- timers -- */

struct run_timer {
    struct item item;
    uv_timer_t timer;
    void (*due)(void *context);
    void *context;
};

static void on_due(uv_timer_t *uv_timer)
{
    struct run_timer *timer = uv_timer->data;
    item_close(&timer->item);
    timer->due(timer->context);
}

int run_after(struct runner *runner, unsigned long long delay_ms, void (*due)(void *context),
              void *context, struct run_timer **ret_timer, struct error *err)
{
    struct run_timer *timer = calloc(1, sizeof(*timer));
    if (!timer)
        return no_memory(err);
    timer->due = due;
    timer->context = context;
    (void)uv_timer_init(runner->loop, &timer->timer); /* cannot fail */
    item_add(runner, &timer->item, (uv_handle_t *)&timer->timer);
    (void)uv_timer_start(&timer->timer, on_due, delay_ms, 0); /* only fails without a callback */
    *ret_timer = timer;
    return 0;
}

void run_timer_cancel(struct run_timer *timer)
{
    if (timer)
        item_close(&timer->item);
}

/* -- worker jobs -- */

struct pool_job {
    struct item item;
    uv_work_t request;
    void (*work)(void *input);
    void (*done)(void *context, void *input);
    void *context, *input;
    void (*free_input)(void *input);
};

static void in_pool(uv_work_t *request)
{
    struct pool_job *job = request->data;
    job->work(job->input);
}

static void after_pool(uv_work_t *request, int status)
{
    struct pool_job *job = request->data;
    void *input = job->input;
    void (*free_input)(void *) = job->free_input;
    if (!job->item.runner->closed)
        job->done(job->context, input);
    item_remove(&job->item);
    free_input(input);
}

int run_in_pool(struct runner *runner, void (*work)(void *input),
                void (*done)(void *context, void *input), void *context, void *input,
                void (*free_input)(void *input), struct error *err)
{
    struct pool_job *job = calloc(1, sizeof(*job));
    if (!job) {
        free_input(input);
        return no_memory(err);
    }
    job->work = work;
    job->done = done;
    job->context = context;
    job->input = input;
    job->free_input = free_input;
    job->request.data = job;
    item_add(runner, &job->item, NULL);
    int result = uv_queue_work(runner->loop, &job->request, in_pool, after_pool);
    if (result) {
        item_remove(&job->item);
        free_input(input);
        return error_errno(err, result, "cannot-run", "cannot queue work");
    }
    return 0;
}
