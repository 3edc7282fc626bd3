/* The verbs of every engine: checks what all implementations would check alike and hands on. */
#include "engine/engine_impl.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"

static bool name_char_ok(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

/* Ids and names become file names and parts of cgroup paths: nothing in them may need quoting. */
static int check_name(const char *what, const char *name, size_t limit, struct error *err)
{
    size_t length = name ? strlen(name) : 0;
    if (length == 0 || length >= limit)
        return error_set(err, -EINVAL, "bad-name", "the %s must have 1 to %zu characters", what,
                         limit - 1);
    if (name[0] == '.' || name[0] == '-')
        return error_set(err, -EINVAL, "bad-name", "the %s '%s' must not begin with '%c'", what,
                         name, name[0]);
    for (const char *c = name; *c; c++)
        if (!name_char_ok(*c))
            return error_set(err, -EINVAL, "bad-name",
                             "the %s '%s' may have only a-z, 0-9, '.', '-' and '_'", what, name);
    return 0;
}

static int check_path(const char *what, const char *path, struct error *err)
{
    if (path && path[0] != '/')
        return error_set(err, -EINVAL, "bad-path", "the %s '%s' must be an absolute path", what,
                         path);
    return 0;
}

static int check_spec(const struct engine_task_spec *spec, struct error *err)
{
    int result = check_name("task id", spec->id, ENGINE_ID_MAX, err);
    if (!result)
        result = check_name("image name", spec->image, ENGINE_NAME_MAX, err);
    if (!result)
        result = check_path("program folder", spec->src_dir, err);
    if (!result)
        result = check_path("work folder", spec->work_dir, err);
    if (!result)
        result = check_path("card's socket folder", spec->card_socket_dir, err);
    if (!result)
        result = check_path("card's library", spec->card_library, err);
    if (result)
        return result;
    if (!spec->argv || !spec->argv[0])
        return error_set(err, -EINVAL, "no-command", "the task '%s' has no command", spec->id);
    if (!spec->card_socket_dir != !spec->card_library)
        return error_set(err, -EINVAL, "half-a-card",
                         "a card needs both its socket folder and its library");
    if (spec->mounts_count > ENGINE_MOUNTS_MAX)
        return error_set(err, -E2BIG, "too-many-mounts", "%zu mounts asked, %d are allowed",
                         spec->mounts_count, ENGINE_MOUNTS_MAX);
    if (spec->network == ENGINE_NETWORK_INVALID || spec->network > ENGINE_NETWORK_OUTBOUND)
        return error_set(err, -EINVAL, "bad-network", "the network must be none, host or outbound");
    return 0;
}

static int not_supported(const struct engine *engine, const char *verb, struct error *err)
{
    return error_set(err, -EOPNOTSUPP, "not-supported", "the %s engine cannot %s",
                     engine->verbs->name, verb);
}

int engine_create(enum engine_kind kind, struct uv_loop_s *loop, const struct engine_config *config,
                  const struct engine_callbacks *callbacks, struct engine **ret_engine,
                  struct error *err)
{
    static int (*const creators[])(struct uv_loop_s *, const struct engine_config *,
                                   struct engine **, struct error *) = {
        [ENGINE_KIND_FAKE] = engine_fake_create,
        [ENGINE_KIND_LOCAL] = engine_local_create,
    };
    struct engine *engine;
    if (kind <= ENGINE_KIND_INVALID || (size_t)kind >= sizeof(creators) / sizeof(creators[0]))
        return error_set(err, -EINVAL, "bad-engine", "there is no engine of kind %d", (int)kind);
    int result = creators[kind](loop, config, &engine, err);
    if (result)
        return result;
    if (callbacks)
        engine->callbacks = *callbacks;
    *ret_engine = engine;
    return 0;
}

void engine_destroy(struct engine *engine)
{
    if (engine)
        engine->verbs->destroy(engine);
}

int engine_start(struct engine *engine, const struct engine_task_spec *spec, engine_done done,
                 void *context, struct error *err)
{
    int result = check_spec(spec, err);
    return result ? result : engine->verbs->start(engine, spec, done, context, err);
}

int engine_stop(struct engine *engine, const char *id, uint64_t grace_ms, struct error *err)
{
    int result = check_name("task id", id, ENGINE_ID_MAX, err);
    return result ? result : engine->verbs->stop(engine, id, grace_ms, err);
}

int engine_kill(struct engine *engine, const char *id, struct error *err)
{
    int result = check_name("task id", id, ENGINE_ID_MAX, err);
    return result ? result : engine->verbs->kill(engine, id, err);
}

int engine_signal(struct engine *engine, const char *id, int number, struct error *err)
{
    int result = check_name("task id", id, ENGINE_ID_MAX, err);
    return result ? result : engine->verbs->send_signal(engine, id, number, err);
}

int engine_exec(struct engine *engine, const char *id, const char *const *argv, uint64_t limit_ms,
                engine_executed done, void *context, struct error *err)
{
    int result = check_name("task id", id, ENGINE_ID_MAX, err);
    return result ? result : engine->verbs->exec(engine, id, argv, limit_ms, done, context, err);
}

int engine_remove(struct engine *engine, const char *id, engine_done done, void *context,
                  struct error *err)
{
    int result = check_name("task id", id, ENGINE_ID_MAX, err);
    return result ? result : engine->verbs->remove(engine, id, done, context, err);
}

int engine_list(struct engine *engine, engine_listed listed, void *context, struct error *err)
{
    return engine->verbs->list(engine, listed, context, err);
}

struct json_t *engine_report(struct engine *engine)
{
    return engine->verbs->report(engine);
}

int engine_log_open(struct engine *engine, const char *id, uint64_t offset_bytes,
                    void (*more)(void *context), void *context, struct engine_log **ret_log,
                    struct error *err)
{
    int result = check_name("task id", id, ENGINE_ID_MAX, err);
    return result ? result
                  : engine->verbs->log_open(engine, id, offset_bytes, more, context, ret_log, err);
}

int engine_log_read(struct engine_log *log, void *data, size_t room, size_t *ret_length,
                    uint64_t *ret_offset, struct error *err)
{
    return log->verbs->log_read(log, data, room, ret_length, ret_offset, err);
}

void engine_log_close(struct engine_log *log)
{
    if (log)
        log->verbs->log_close(log);
}

int engine_log_tail(struct engine *engine, const char *id, struct buf *ret_text, struct error *err)
{
    int result = check_name("task id", id, ENGINE_ID_MAX, err);
    return result ? result : engine->verbs->log_tail(engine, id, ret_text, err);
}

int engine_image_at(struct engine *engine, size_t index, struct engine_image *ret_image)
{
    return engine->verbs->image_at(engine, index, ret_image);
}

int engine_image_find(struct engine *engine, const char *name, struct engine_image *ret_image,
                      struct error *err)
{
    struct engine_image image;
    for (size_t i = 0; engine->verbs->image_at(engine, i, &image) == 0; i++) {
        if (strcmp(image.name, name) == 0) {
            *ret_image = image;
            return 0;
        }
    }
    return error_set(err, -ENOENT, "unknown-image",
                     "there is no image '%s'; `leat image list` shows those that exist", name);
}

int engine_image_build(struct engine *engine, const char *name, struct error *err)
{
    if (!engine->verbs->image_build)
        return not_supported(engine, "build images", err);
    int result = check_name("image name", name, ENGINE_NAME_MAX, err);
    return result ? result : engine->verbs->image_build(engine, name, err);
}

int engine_image_import(struct engine *engine, const char *name, const char *source,
                        struct error *err)
{
    if (!engine->verbs->image_import)
        return not_supported(engine, "import images", err);
    int result = check_name("image name", name, ENGINE_NAME_MAX, err);
    if (!result)
        result = check_path("source", source, err);
    return result ? result : engine->verbs->image_import(engine, name, source, err);
}

int engine_image_remove(struct engine *engine, const char *name, struct error *err)
{
    if (!engine->verbs->image_remove)
        return not_supported(engine, "remove images", err);
    int result = check_name("image name", name, ENGINE_NAME_MAX, err);
    return result ? result : engine->verbs->image_remove(engine, name, err);
}
