/* Images: the engine's, handed through, with events when they change. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "core/core_impl.h"
#include "core/images.h"

static const char *const state_names[] = {
    [ENGINE_IMAGE_INVALID] = "invalid", [ENGINE_IMAGE_BUILT_IN] = "built-in",
    [ENGINE_IMAGE_ABSENT] = "absent",   [ENGINE_IMAGE_BUILDING] = "building",
    [ENGINE_IMAGE_READY] = "ready",     [ENGINE_IMAGE_FAILED] = "failed",
};

static json_t *image_encode(const struct engine_image *image)
{
    char time[TIME_TEXT_MAX];
    return json_pack(
        "{s:s, s:s, s:I, s:o, s:s}", "name", image->name, "state", state_names[image->state],
        "size_bytes", (json_int_t)image->size_bytes, "created",
        image->created_us ? json_string(time_text(image->created_us, time)) : json_null(), "text",
        image->text);
}

bool images_ready(void *context, const char *image)
{
    struct core *core = context;
    struct engine_image found;
    return engine_image_find(core->engine, image, &found, NULL) == 0 &&
           (found.state == ENGINE_IMAGE_READY || found.state == ENGINE_IMAGE_BUILT_IN);
}

void images_on_change(void *context, const struct engine_image *image)
{
    struct core *core = context;
    if (core->stopping || image->state == ENGINE_IMAGE_BUILDING)
        return; /* progress is shown, not journalled */
    char kind[32];
    (void)snprintf(kind, sizeof(kind), "image.%s", state_names[image->state]);
    struct store_event event = commit_event(core, kind, 0);
    AUTO_JSON json_t *data = image_encode(image);
    event.data = data;
    commit_note(core, &event);
    log_event(LOG_INFO, kind, "image=\"%s\" text=\"%s\"", image->name, image->text);
    place_soon(core); /* jobs may have waited for it */
}

static json_t *list_encode(struct core *core)
{
    struct engine_image image;
    AUTO_JSON json_t *images = json_array();
    for (size_t i = 0; images && engine_image_at(core->engine, i, &image) == 0; i++) {
        if (json_array_append_new(images, image_encode(&image)) < 0)
            return NULL;
    }
    return images ? json_pack("{s:O}", "images", images) : NULL;
}

static void reply_image(struct core *core, const char *name, core_reply_fn *reply, void *arg)
{
    struct engine_image image;
    struct error err;
    if (engine_image_find(core->engine, name, &image, &err) < 0)
        reply(arg, NULL, &err);
    else
        core_reply_value(reply, arg, image_encode(&image));
}

void core_images(struct core *core, const char *name, core_reply_fn *reply, void *arg)
{
    if (name)
        reply_image(core, name, reply, arg);
    else
        core_reply_value(reply, arg, list_encode(core));
}

void core_image_build(struct core *core, const char *name, core_reply_fn *reply, void *arg)
{
    struct error err;
    if (engine_image_build(core->engine, name, &err) < 0)
        reply(arg, NULL, &err);
    else
        reply_image(core, name, reply, arg);
}

struct import_request {
    char *name, *source;
};

static const struct json_field import_fields[] = {
    {"name", JSON_KIND_TEXT, offsetof(struct import_request, name), JSON_REQUIRED},
    {"source", JSON_KIND_TEXT, offsetof(struct import_request, source), JSON_REQUIRED},
    {NULL, JSON_KIND_INVALID, 0, JSON_OPTIONAL},
};

void core_image_import(struct core *core, const json_t *request, core_reply_fn *reply, void *arg)
{
    struct import_request import = {NULL, NULL};
    struct error err;
    int r = json_decode(request, import_fields, &import, &err);
    if (r == 0)
        r = engine_image_import(core->engine, import.name, import.source, &err);
    if (r < 0)
        reply(arg, NULL, &err);
    else
        reply_image(core, import.name, reply, arg);
    free(import.name);
    free(import.source);
}

void core_image_remove(struct core *core, const char *name, core_reply_fn *reply, void *arg)
{
    struct error err;
    if (engine_image_remove(core->engine, name, &err) < 0)
        reply(arg, NULL, &err);
    else
        reply(arg, NULL, NULL);
}
