/* leat estimate: how much device memory a model needs. Reads the model here and counts here; leatd
 * is only asked which devices there are. */
#include <errno.h>
#include <fcntl.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/units.h"
#include "cli/ask.h"
#include "cli/estimate_svg.h"
#include "cli/size.h"
#include "cli/verb.h"
#include "cli/verbs.h"
#include "cli/view.h"
#include "estimate/advice.h"
#include "estimate/memory.h"
#include "estimate/profile.h"

#define SVG_MODE 0644

static const struct option_spec estimate_options[] = {
    {"svg", 0, "FILE", "also draw the breakdown"},
    {0},
};

static const struct view_column alternative_columns[] = {
    {"CHEAPER", "change", VIEW_TEXT},
    {"NEEDS", "point_bytes", VIEW_BYTES},
    {"SAFE", "safe_bytes", VIEW_BYTES},
    {0},
};

static const struct view_column card_columns[] = {
    {"DEVICE", "device", VIEW_TEXT},
    {"MEMORY", "memory_bytes", VIEW_BYTES},
    {"CARDS", "cards", VIEW_COUNT},
    {"EACH", "card_bytes", VIEW_BYTES_KNOWN},
    {0},
};

/* The devices of this centre; NULL when no leatd answers, which is no failure here. */
static json_t *devices_list(struct cli *cli)
{
    json_t *answer = NULL;
    if (ask_get(cli, &answer, NULL, "/v1/devices") < 0)
        return NULL;
    json_t *devices = json_incref(json_object_get(answer, "devices"));
    json_decref(answer);
    return devices;
}

static void terms_print(struct buf *out, const json_t *answer)
{
    const char *name;
    json_t *value;
    json_object_foreach (json_object_get(answer, "terms"), name, value) {
        char amount[UNITS_TEXT_MAX];
        (void)buf_printf(out, "  %-12s %12s\n", name,
                         bytes_text((uint64_t)json_integer_value(value), amount));
    }
}

static void answer_print(const json_t *answer)
{
    char point[UNITS_TEXT_MAX], safe[UNITS_TEXT_MAX];
    AUTO_BUF struct buf out = BUF_INIT;
    size_t i;
    json_t *text;
    (void)buf_printf(&out, "Needs %s per device, at the peak of %s; reserve %s to be safe.\n",
                     bytes_text(view_number(answer, "point_bytes"), point),
                     view_text(answer, "phase", ""),
                     bytes_text(view_number(answer, "safe_bytes"), safe));
    (void)buf_puts(&out, "Parameters: ");
    view_value(&out, json_object_get(answer, "params"), VIEW_COUNT);
    (void)buf_puts(&out, ", trained: ");
    view_value(&out, json_object_get(answer, "trainable_params"), VIEW_COUNT);
    (void)buf_printf(&out, "; profile %s\n", view_text(answer, "profile", ""));
    terms_print(&out, answer);
    json_array_foreach (json_object_get(answer, "assumptions"), i, text)
        (void)buf_printf(&out, "Assumed: %s\n", json_string_value(text));
    const json_t *alternatives = json_object_get(answer, "alternatives");
    const json_t *cards = json_object_get(answer, "cards");
    if (json_array_size(alternatives)) {
        (void)buf_puts(&out, "\n");
        view_list(&out, alternatives, alternative_columns);
    }
    if (json_array_size(cards)) {
        (void)buf_puts(&out, "\n");
        view_list(&out, cards, card_columns);
    }
    view_flush(&out);
}

static int svg_write(const struct args *args, const json_t *answer, struct error *err)
{
    AUTO_BUF struct buf out = BUF_INIT;
    const char *path = args_text(args, "svg");
    if (!path)
        return 0;
    estimate_svg(&out, answer, args->operands[0]);
    if (out.failed)
        return error_set(err, -ENOMEM, "out-of-memory", "drawing");
    return file_write_atomic(AT_FDCWD, path, out.data, out.length, SVG_MODE, err);
}

static int request_advise(struct cli *cli, const struct args *args,
                          const struct memory_request *request, struct error *err)
{
    struct profiles *profiles = NULL;
    int r = size_profiles_load(&profiles, err);
    if (r < 0)
        return r;
    AUTO_JSON json_t *devices = devices_list(cli);
    AUTO_JSON json_t *answer = memory_advise(request, profiles, devices, err);
    profiles_destroy(profiles);
    if (!answer)
        return err->errnum;
    r = svg_write(args, answer, err);
    if (r == 0 && cli->json)
        ask_print(answer);
    else if (r == 0)
        answer_print(answer);
    return r;
}

static int estimate(struct cli *cli, const struct args *args, struct error *err)
{
    struct memory_request request;
    memory_request_init(&request);
    int r = size_request(args, args->operands[0], &request, err);
    if (r == 0)
        r = request_advise(cli, args, &request, err);
    memory_request_finish(&request);
    return r;
}

const struct verb verb_estimate = {
    .name = "estimate",
    .operands = "MODEL",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Say how much device memory a model needs",
    .details =
        "MODEL is a folder with config.json and weights, one .safetensors, .gguf, .onnx or PyTorch "
        "file, or a description in .yaml. Only headers are read. Without leatd no cards are "
        "suggested.",
    .example = "leat estimate ./llama-2-7b --method lora --rank 16 --batch 4 --seq 2048",
    .options = size_options,
    .more_options = estimate_options,
    .run = estimate,
};
