/* For implementers of an engine: the table of verbs and the base that every engine embeds first.
 * engine.c checks ids and the optional entries, so that no implementation has to. */
#ifndef LEAT_ENGINE_ENGINE_IMPL_H
#define LEAT_ENGINE_ENGINE_IMPL_H

#include "engine/engine.h"

/* Entries marked optional may be NULL: the verb is then refused with "not-supported". */
struct engine_verbs {
    const char *name;
    void (*destroy)(struct engine *engine);
    int (*start)(struct engine *engine, const struct engine_task_spec *spec, engine_done done,
                 void *context, struct error *err);
    int (*stop)(struct engine *engine, const char *id, uint64_t grace_ms, struct error *err);
    int (*kill)(struct engine *engine, const char *id, struct error *err);
    int (*send_signal)(struct engine *engine, const char *id, int number, struct error *err);
    int (*exec)(struct engine *engine, const char *id, const char *const *argv, uint64_t limit_ms,
                engine_executed done, void *context, struct error *err);
    int (*remove)(struct engine *engine, const char *id, engine_done done, void *context,
                  struct error *err);
    int (*list)(struct engine *engine, engine_listed listed, void *context, struct error *err);
    struct json_t *(*report)(struct engine *engine);
    int (*log_open)(struct engine *engine, const char *id, uint64_t offset_bytes,
                    void (*more)(void *context), void *context, struct engine_log **ret_log,
                    struct error *err);
    int (*log_read)(struct engine_log *log, void *data, size_t room, size_t *ret_length,
                    uint64_t *ret_offset, struct error *err);
    void (*log_close)(struct engine_log *log);
    int (*log_tail)(struct engine *engine, const char *id, struct buf *ret_text, struct error *err);
    int (*image_at)(struct engine *engine, size_t index, struct engine_image *ret_image);
    int (*image_build)(struct engine *engine, const char *name, struct error *err); /* optional */
    int (*image_import)(struct engine *engine, const char *name, const char *source,
                        struct error *err);                                          /* optional */
    int (*image_remove)(struct engine *engine, const char *name, struct error *err); /* optional */
};

/* First member of every engine. */
struct engine {
    const struct engine_verbs *verbs;
    struct engine_callbacks callbacks;
};

/* First member of every log reader. */
struct engine_log {
    const struct engine_verbs *verbs;
};

int engine_fake_create(struct uv_loop_s *loop, const struct engine_config *config,
                       struct engine **ret_engine, struct error *err);
int engine_local_create(struct uv_loop_s *loop, const struct engine_config *config,
                        struct engine **ret_engine, struct error *err);

#endif
