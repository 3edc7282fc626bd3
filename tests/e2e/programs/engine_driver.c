/* Drives an engine from a test: one JSON command a line on standard input, one JSON event a line on
 * standard output. Standard input's end destroys the engine, as the death of a daemon would.
 * usage: engine_driver RUN_DIR STATE_DIR DATA_DIR */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "engine/engine.h"

#define LINE_LIMIT 65536
#define MOUNTS_MAX 4

struct driver {
    uv_loop_t loop;
    uv_pipe_t input;
    struct buf line;
    struct engine *engine;
    struct follower *followers;
};

static void say(json_t *event)
{
    AUTO_FREE char *text = json_text(event);
    printf("%s\n", text ? text : "{}");
    (void)fflush(stdout); /* a closed reader ends us soon enough */
    json_decref(event);
}

static void say_error(const char *event, const char *id, const struct error *err)
{
    say(json_pack("{s:s, s:s, s:i, s:s, s:s}", "event", event, "id", id, "errno", err->errnum,
                  "code", err->code, "text", err->text));
}

static void on_ready(void *context)
{
    say(json_pack("{s:s}", "event", "ready"));
}

static json_t *exit_json(const struct engine_exit *exit)
{
    return json_pack("{s:i, s:i, s:b}", "status", exit->status, "signal", exit->signal, "oom",
                     exit->oom);
}

static void on_exit_of(void *context, const char *id, const struct engine_exit *exit)
{
    say(json_pack("{s:s, s:s, s:o}", "event", "exit", "id", id, "exit", exit_json(exit)));
}

static json_t *image_json(const struct engine_image *image)
{
    static const char *const states[] = {"invalid",  "built-in", "absent",
                                         "building", "ready",    "failed"};
    return json_pack("{s:s, s:s, s:I, s:s}", "name", image->name, "state", states[image->state],
                     "size_bytes", (json_int_t)image->size_bytes, "text", image->text);
}

static void on_image(void *context, const struct engine_image *image)
{
    say(json_pack("{s:s, s:o}", "event", "image", "image", image_json(image)));
}

static void on_done(void *context, const char *id, const struct error *err)
{
    if (err)
        say_error(context, id, err);
    else
        say(json_pack("{s:s, s:s, s:i}", "event", context, "id", id, "errno", 0));
}

static void on_listed(void *context, const struct engine_task *tasks, size_t count,
                      const struct error *err)
{
    static const char *const states[] = {"invalid", "running", "ended", "broken"};
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        (void)json_array_append_new(list, json_pack("{s:s, s:s, s:o}", "id", tasks[i].id, "state",
                                                    states[tasks[i].state], "exit",
                                                    exit_json(&tasks[i].exit)));
    say(json_pack("{s:s, s:o, s:s}", "event", "list", "tasks", list, "error",
                  err ? err->text : ""));
}

static const struct json_field spec_fields[] = {
    {"id", JSON_KIND_TEXT, offsetof(struct engine_task_spec, id), JSON_REQUIRED},
    {"image", JSON_KIND_TEXT, offsetof(struct engine_task_spec, image), JSON_REQUIRED},
    {"argv", JSON_KIND_TEXTS, offsetof(struct engine_task_spec, argv), JSON_REQUIRED},
    {"env", JSON_KIND_TEXTS, offsetof(struct engine_task_spec, env), JSON_OPTIONAL},
    {"cwd", JSON_KIND_TEXT, offsetof(struct engine_task_spec, cwd), JSON_OPTIONAL},
    {"hostname", JSON_KIND_TEXT, offsetof(struct engine_task_spec, hostname), JSON_OPTIONAL},
    {"src_dir", JSON_KIND_TEXT, offsetof(struct engine_task_spec, src_dir), JSON_OPTIONAL},
    {"work_dir", JSON_KIND_TEXT, offsetof(struct engine_task_spec, work_dir), JSON_OPTIONAL},
    {"card_socket_dir", JSON_KIND_TEXT, offsetof(struct engine_task_spec, card_socket_dir),
     JSON_OPTIONAL},
    {"card_library", JSON_KIND_TEXT, offsetof(struct engine_task_spec, card_library),
     JSON_OPTIONAL},
    {"cpus_milli", JSON_KIND_U32, offsetof(struct engine_task_spec, cpus_milli), JSON_OPTIONAL},
    {"pids_max", JSON_KIND_U32, offsetof(struct engine_task_spec, pids_max), JSON_OPTIONAL},
    {"ram_bytes", JSON_KIND_BYTES, offsetof(struct engine_task_spec, ram_bytes), JSON_OPTIONAL},
    {"tmp_bytes", JSON_KIND_BYTES, offsetof(struct engine_task_spec, tmp_bytes), JSON_OPTIONAL},
    {"log_limit_bytes", JSON_KIND_BYTES, offsetof(struct engine_task_spec, log_limit_bytes),
     JSON_OPTIONAL},
    {0},
};

static enum engine_network network_of(const char *text)
{
    if (text && strcmp(text, "host") == 0)
        return ENGINE_NETWORK_HOST;
    if (text && strcmp(text, "outbound") == 0)
        return ENGINE_NETWORK_OUTBOUND;
    return ENGINE_NETWORK_NONE;
}

static size_t read_mounts(json_t *command, struct engine_mount *mounts)
{
    json_t *list = json_object_get(command, "mounts");
    size_t count = json_array_size(list) < MOUNTS_MAX ? json_array_size(list) : MOUNTS_MAX;
    for (size_t i = 0; i < count; i++) {
        json_t *mount = json_array_get(list, i);
        mounts[i].host = json_string_value(json_object_get(mount, "host"));
        mounts[i].inside = json_string_value(json_object_get(mount, "inside"));
        mounts[i].flags = json_is_true(json_object_get(mount, "writable")) ? ENGINE_MOUNT_WRITABLE
                                                                           : ENGINE_MOUNT_READ_ONLY;
    }
    return count;
}

/* json_decode gave the spec copies of its own. */
static void free_spec(struct engine_task_spec *spec)
{
    for (const struct json_field *field = spec_fields; field->name; field++) {
        void *slot = (char *)spec + field->offset;
        if (field->kind == JSON_KIND_TEXT)
            cleanup_free(slot);
        else if (field->kind == JSON_KIND_TEXTS)
            texts_free(take_pointer(slot));
    }
}

static void do_start(struct driver *driver, json_t *command, const char *id)
{
    static const char event[] = "started";
    struct engine_mount mounts[MOUNTS_MAX];
    struct engine_task_spec spec = {0};
    struct error err = {0};
    spec.network = network_of(json_string_value(json_object_get(command, "network")));
    spec.mounts_count = read_mounts(command, mounts);
    spec.mounts = mounts;
    if (json_decode(json_object_get(command, "spec"), spec_fields, &spec, &err) ||
        engine_start(driver->engine, &spec, on_done, (void *)(uintptr_t)event, &err))
        say_error(event, spec.id ? spec.id : "", &err);
    free_spec(&spec);
}

static void do_log(struct driver *driver, json_t *command, const char *id)
{
    uint64_t offset = (uint64_t)json_integer_value(json_object_get(command, "offset")), first = 0;
    struct engine_log *log;
    struct error err = {0};
    AUTO_BUF struct buf text = BUF_INIT;
    char data[4096];
    size_t length = 0;
    int result = engine_log_open(driver->engine, id, offset, NULL, NULL, &log, &err);
    if (result) {
        say_error("log", id, &err);
        return;
    }
    do {
        uint64_t at;
        result = engine_log_read(log, data, sizeof(data), &length, &at, &err);
        if (!text.length)
            first = at;
        if (!result)
            (void)buf_append(&text, data, length); /* a test notices */
    } while (!result && length);
    engine_log_close(log);
    say(json_pack("{s:s, s:s, s:s%, s:I, s:i}", "event", "log", "id", id, "text",
                  text.data ? text.data : "", text.length, "offset", (json_int_t)first, "errno",
                  result));
}

struct follower {
    struct follower *next;
    struct engine_log *log;
    char id[ENGINE_ID_MAX];
};

static void on_more(void *context)
{
    struct follower *follower = context;
    char data[4096];
    size_t length = 0;
    uint64_t at;
    while (engine_log_read(follower->log, data, sizeof(data), &length, &at, NULL) == 0 && length)
        say(json_pack("{s:s, s:s, s:s%}", "event", "follow", "id", follower->id, "text", data,
                      length));
}

static void do_follow(struct driver *driver, json_t *command, const char *id)
{
    struct follower *follower = calloc(1, sizeof(*follower));
    struct error err = {0};
    if (!follower)
        return;
    (void)snprintf(follower->id, sizeof(follower->id), "%s", id);
    if (engine_log_open(driver->engine, id, 0, on_more, follower, &follower->log, &err)) {
        say_error("follow", id, &err);
        free(follower);
        return;
    }
    follower->next = driver->followers;
    driver->followers = follower;
    on_more(follower);
}

static void free_followers(struct driver *driver)
{
    while (driver->followers) {
        struct follower *follower = driver->followers;
        driver->followers = follower->next;
        engine_log_close(follower->log);
        free(follower);
    }
}

static void do_images(struct driver *driver, json_t *command, const char *id)
{
    json_t *list = json_array();
    struct engine_image image;
    for (size_t i = 0; engine_image_at(driver->engine, i, &image) == 0; i++)
        (void)json_array_append_new(list, image_json(&image));
    say(json_pack("{s:s, s:o}", "event", "images", "images", list));
}

static void do_report(struct driver *driver, json_t *command, const char *id)
{
    say(json_pack("{s:s, s:o}", "event", "report", "report", engine_report(driver->engine)));
}

static void do_list(struct driver *driver, json_t *command, const char *id)
{
    struct error err = {0};
    if (engine_list(driver->engine, on_listed, driver, &err))
        say_error("list", "", &err);
}

static void do_simple(struct driver *driver, json_t *command, const char *id)
{
    const char *verb = json_string_value(json_object_get(command, "do"));
    const char *source = json_string_value(json_object_get(command, "source"));
    static const char removed[] = "removed";
    struct engine *engine = driver->engine;
    struct error err = {0};
    int result = 0;
    if (strcmp(verb, "stop") == 0)
        result = engine_stop(
            engine, id, (uint64_t)json_integer_value(json_object_get(command, "grace_ms")), &err);
    else if (strcmp(verb, "kill") == 0)
        result = engine_kill(engine, id, &err);
    else if (strcmp(verb, "remove") == 0)
        result = engine_remove(engine, id, on_done, (void *)(uintptr_t)removed, &err);
    else if (strcmp(verb, "build") == 0)
        result = engine_image_build(engine, id, &err);
    else if (strcmp(verb, "import") == 0)
        result = engine_image_import(engine, id, source, &err);
    else if (strcmp(verb, "rmi") == 0)
        result = engine_image_remove(engine, id, &err);
    if (result)
        say_error(verb, id, &err);
    else
        say(json_pack("{s:s, s:s, s:i}", "event", "ok", "id", id, "errno", 0));
}

static const struct {
    const char *name;
    void (*run)(struct driver *driver, json_t *command, const char *id);
} commands[] = {
    {"start", do_start},   {"log", do_log},      {"follow", do_follow}, {"images", do_images},
    {"report", do_report}, {"list", do_list},    {"stop", do_simple},   {"kill", do_simple},
    {"remove", do_simple}, {"build", do_simple}, {"import", do_simple}, {"rmi", do_simple},
};

static void run_line(struct driver *driver, const char *line)
{
    struct error err = {0};
    AUTO_JSON json_t *command = json_parse(line, strlen(line), LINE_LIMIT, &err);
    const char *verb = json_string_value(json_object_get(command, "do"));
    const char *id = json_string_value(json_object_get(command, "id"));
    for (size_t i = 0; verb && i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(commands[i].name, verb) == 0) {
            commands[i].run(driver, command, id ? id : "");
            return;
        }
    }
    say_error("bad-command", line, &err);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_room)
{
    *ret_room = uv_buf_init(malloc(LINE_LIMIT), LINE_LIMIT);
}

static void on_input(uv_stream_t *stream, ssize_t length, const uv_buf_t *bytes)
{
    struct driver *driver = stream->data;
    AUTO_FREE char *memory = bytes->base;
    if (length < 0) {
        uv_close((uv_handle_t *)stream, NULL);
        free_followers(driver);
        engine_destroy(driver->engine);
        return;
    }
    (void)buf_append(&driver->line, memory, (size_t)length); /* checked by the next parse */
    for (char *end; driver->line.data && (end = strchr(driver->line.data, '\n'));) {
        *end = '\0';
        run_line(driver, driver->line.data);
        buf_drop_front(&driver->line, (size_t)(end - driver->line.data) + 1);
    }
}

int main(int argc, char **argv)
{
    struct driver driver = {0};
    struct error err = {0};
    if (argc != 4)
        return 2;
    struct engine_config config = {.run_dir = argv[1], .state_dir = argv[2], .data_dir = argv[3]};
    struct engine_callbacks callbacks = {&driver, on_ready, on_exit_of, on_image};
    uv_loop_init(&driver.loop);
    if (engine_create(ENGINE_KIND_LOCAL, &driver.loop, &config, &callbacks, &driver.engine, &err)) {
        say_error("create", "", &err);
        return 1;
    }
    uv_pipe_init(&driver.loop, &driver.input, 0);
    driver.input.data = &driver;
    if (uv_pipe_open(&driver.input, STDIN_FILENO) ||
        uv_read_start((uv_stream_t *)&driver.input, on_alloc, on_input))
        return 1;
    uv_run(&driver.loop, UV_RUN_DEFAULT);
    buf_finish(&driver.line);
    return uv_loop_close(&driver.loop) ? 3 : 0;
}
