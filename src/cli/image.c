/* leat image: the root file systems that jobs run in. */
#include <errno.h>
#include <limits.h>
#include <stdbool.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "cli/ask.h"
#include "cli/resource.h"
#include "cli/stream.h"
#include "cli/verb.h"
#include "cli/verbs.h"
#include "cli/view.h"
#include "leat/client.h"

static const struct option_spec detach_options[] = {
    {"detach", 'd', NULL, "return at once; `leat image show` tells how far it is"},
    {0},
};

static const struct view_column image_columns[] = {
    {"IMAGE", "name", VIEW_TEXT},
    {"STATE", "state", VIEW_STATE},
    {"SIZE", "size_bytes", VIEW_BYTES_KNOWN},
    {"CREATED", "created", VIEW_AGO},
    {"ABOUT", "text", VIEW_TEXT},
    {0},
};

static const struct view_column image_fields[] = {
    {"Image", "name", VIEW_TEXT},
    {"State", "state", VIEW_STATE},
    {"Size", "size_bytes", VIEW_BYTES_KNOWN},
    {"Created", "created", VIEW_AGO},
    {"About", "text", VIEW_TEXT},
    {"Recipe", "recipe", VIEW_TEXT},
    {"Packages", "packages", VIEW_WORDS},
    {0},
};

static const struct resource image_resource = {
    .kind = "images",
    .none = "there are no images",
    .columns = image_columns,
    .fields = image_fields,
};

static int image_list(struct cli *cli, const struct args *args, struct error *err)
{
    (void)args; /* has nothing of its own */
    return resource_list(cli, &image_resource, err);
}

static int image_show(struct cli *cli, const struct args *args, struct error *err)
{
    return resource_show(cli, &image_resource, args->operands[0], err);
}

/* Enough once something happened to an image. */
static int image_event(void *context, const json_t *event)
{
    (void)context;
    return strncmp(view_text(event, "kind", ""), "image.", strlen("image.")) == 0;
}

/* Until it is no longer being made; `since` is an event number from before that began. */
static int image_wait(struct cli *cli, const char *name, uint64_t since, struct error *err)
{
    for (;;) {
        AUTO_JSON json_t *image = NULL;
        int r = stream_events(cli, &since, image_event, NULL, err);
        if (r == 0)
            r = ask_about(cli, "images", name, NULL, &image, err);
        if (r < 0)
            return r;
        const char *state = view_text(image, "state", "");
        if (strcmp(state, "building") == 0)
            continue;
        if (strcmp(state, "ready") != 0)
            return error_set(err, -EIO, "image-failed", "image '%s' is %s: %s", name, state,
                             view_text(image, "text", "no reason is known"));
        if (cli->json)
            ask_print(image);
        else
            cli_say("image '%s' is ready", name);
        return 0;
    }
}

/* The number of the newest event. */
static int events_last(struct cli *cli, uint64_t *ret_last, struct error *err)
{
    uint64_t last = 0;
    for (;;) {
        AUTO_JSON json_t *page = NULL;
        int r = ask_get(cli, &page, err, "/v1/events?since=%ju&limit=500", (uintmax_t)last);
        if (r < 0)
            return r;
        const json_t *list = json_object_get(page, "events");
        size_t count = json_array_size(list);
        if (!count)
            break;
        last = view_number(json_array_get(list, count - 1), "seq");
    }
    *ret_last = last;
    return 0;
}

/* Begin to make an image, and wait for it unless --detach is there. */
static int image_begin(struct cli *cli, const struct args *args, const struct leat_request *request,
                       struct error *err)
{
    uint64_t since = 0;
    AUTO_JSON json_t *image = NULL;
    bool detach = args_has(args, "detach");
    int r = detach ? 0 : events_last(cli, &since, err);
    if (r == 0)
        r = ask(cli, request, &image, err);
    if (r < 0)
        return r;
    if (!detach) {
        cli_say("making image '%s'; this takes minutes", args->operands[0]);
        return image_wait(cli, args->operands[0], since, err);
    }
    if (cli->json)
        ask_print(image);
    return 0;
}

static int image_build(struct cli *cli, const struct args *args, struct error *err)
{
    AUTO_FREE char *path = NULL;
    int r = ask_path("images", args->operands[0], "build", &path, err);
    if (r < 0)
        return r;
    struct leat_request request = {.method = "POST", .path = path};
    return image_begin(cli, args, &request, err);
}

static int image_import(struct cli *cli, const struct args *args, struct error *err)
{
    char source[PATH_MAX];
    if (!realpath(args->operands[1], source))
        return error_errno(err, -errno, "bad-path", "'%s'", args->operands[1]);
    AUTO_JSON json_t *body = json_pack("{s:s, s:s}", "name", args->operands[0], "source", source);
    AUTO_FREE char *text = body ? json_text(body) : NULL;
    if (!text)
        return error_set(err, -EINVAL, "bad-field", "the name or the path is not UTF-8 text");
    struct leat_request request = {.method = "POST", .path = "/v1/images", .body = text};
    return image_begin(cli, args, &request, err);
}

static int image_rm(struct cli *cli, const struct args *args, struct error *err)
{
    AUTO_FREE char *path = NULL;
    AUTO_JSON json_t *nothing = NULL;
    int r = ask_path("images", args->operands[0], NULL, &path, err);
    if (r < 0)
        return r;
    struct leat_request request = {.method = "DELETE", .path = path};
    return ask(cli, &request, &nothing, err);
}

const struct verb verb_image_list = {
    .group = "image",
    .name = "list",
    .summary = "List the images that are there or can be built",
    .example = "leat image list",
    .run = image_list,
};

const struct verb verb_image_show = {
    .group = "image",
    .name = "show",
    .operands = "IMAGE",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Show all about one image",
    .example = "leat image show pyopencl",
    .run = image_show,
};

const struct verb verb_image_build = {
    .group = "image",
    .name = "build",
    .operands = "IMAGE",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Build an image from its recipe",
    .example = "leat image build pyopencl",
    .options = detach_options,
    .run = image_build,
};

const struct verb verb_image_import = {
    .group = "image",
    .name = "import",
    .operands = "IMAGE SOURCE",
    .operands_min = 2,
    .operands_max = 2,
    .summary = "Make an image of what is there already",
    .details = "SOURCE is an OCI layout, a docker archive, a tar file or a folder.",
    .example = "leat image import mine ./rootfs.tar",
    .options = detach_options,
    .run = image_import,
};

const struct verb verb_image_rm = {
    .group = "image",
    .name = "rm",
    .operands = "IMAGE",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Remove an image",
    .example = "leat image rm mine",
    .run = image_rm,
};
