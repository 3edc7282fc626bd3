/* leat model: models that leatd knows, so that jobs can name them. The files are read here. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/yaml.h"
#include "cli/ask.h"
#include "cli/resource.h"
#include "cli/size.h"
#include "cli/verb.h"
#include "cli/verbs.h"
#include "cli/view.h"
#include "estimate/memory.h"
#include "leat/client.h"

#define CARD_LIMIT_BYTES (1u << 20) /* of a model card, text and all */
#define CARD_FENCE "---"

static const struct view_column model_columns[] = {
    {"MODEL", "name", VIEW_TEXT},
    {"PARAMETERS", "params", VIEW_COUNT},
    {"TRAINED", "trainable_params", VIEW_COUNT},
    {"FORMAT", "dtype", VIEW_TEXT},
    {"NEEDS", "safe_bytes", VIEW_BYTES},
    {"LICENCE", "licence", VIEW_TEXT},
    {"REGISTERED", "registered", VIEW_AGO},
    {0},
};

static const struct view_column model_fields[] = {
    {"Model", "name", VIEW_TEXT},
    {"Files", "path", VIEW_TEXT},
    {"Licence", "licence", VIEW_TEXT},
    {"Parameters", "params", VIEW_COUNT},
    {"Trained", "trainable_params", VIEW_COUNT},
    {"Format", "dtype", VIEW_TEXT},
    {"Task", "run.task", VIEW_TEXT},
    {"Method", "run.method", VIEW_TEXT},
    {"Blocks", "run.layers", VIEW_COUNT},
    {"Width", "run.hidden", VIEW_COUNT},
    {"Vocabulary", "run.vocab", VIEW_COUNT},
    {"Batch", "run.batch", VIEW_COUNT},
    {"Needs of a card", "point_bytes", VIEW_BYTES},
    {"Safe reservation", "safe_bytes", VIEW_BYTES},
    {"Registered", "registered", VIEW_AGO},
    {0},
};

static const struct resource model_resource = {
    .kind = "models",
    .none = "no model is registered; `leat model register` does it",
    .columns = model_columns,
    .fields = model_fields,
};

static const struct option_spec register_options[] = {
    {"licence", 0, "NAME", "instead of what the model card says"},
    {0},
};

static int model_list(struct cli *cli, const struct args *args, struct error *err)
{
    (void)args; /* has nothing of its own */
    return resource_list(cli, &model_resource, err);
}

static int model_show(struct cli *cli, const struct args *args, struct error *err)
{
    return resource_show(cli, &model_resource, args->operands[0], err);
}

/* The metadata in front of a model card: YAML between two lines of dashes. NULL: there is none that
 * can be read, which is no failure. */
static json_t *card_read(const char *folder)
{
    char path[PATH_MAX];
    AUTO_BUF struct buf text = BUF_INIT;
    if (path_join(folder, "README.md", path, NULL) < 0 ||
        file_read(AT_FDCWD, path, CARD_LIMIT_BYTES, &text, NULL) < 0 || !text.data ||
        strncmp(text.data, CARD_FENCE "\n", strlen(CARD_FENCE) + 1) != 0)
        return NULL;
    const char *begin = text.data + strlen(CARD_FENCE) + 1;
    const char *end = strstr(begin, "\n" CARD_FENCE);
    json_t *card =
        end ? yaml_parse(begin, (size_t)(end - begin) + 1, CARD_LIMIT_BYTES, NULL) : NULL;
    if (card && !json_is_object(card)) {
        json_decref(card);
        return NULL;
    }
    return card;
}

/* {"path","run"}, and what the model card says. */
static json_t *body_make(const struct args *args, const char *path,
                         const struct memory_request *request)
{
    AUTO_JSON json_t *run = memory_request_encode(request);
    AUTO_JSON json_t *card = card_read(path);
    AUTO_JSON json_t *body = run ? json_pack("{s:s, s:O}", "path", path, "run", run) : NULL;
    const char *licence = args_text(args, "licence");
    if (!licence)
        licence = json_string_value(json_object_get(card, "license"));
    if (!body || (licence && json_object_set_new(body, "licence", json_string(licence)) < 0) ||
        (card && json_object_set(body, "card", card) < 0))
        return NULL;
    return json_incref(body);
}

static int model_send(struct cli *cli, const char *name, const char *method, const char *body,
                      struct error *err)
{
    AUTO_FREE char *path = NULL;
    AUTO_JSON json_t *answer = NULL;
    int r = ask_path("models", name, NULL, &path, err);
    if (r < 0)
        return r;
    struct leat_request request = {.method = method, .path = path, .body = body};
    r = ask(cli, &request, &answer, err);
    if (r < 0 || json_is_null(answer))
        return r;
    if (cli->json) {
        ask_print(answer);
        return 0;
    }
    AUTO_BUF struct buf out = BUF_INIT;
    view_record(&out, answer, model_fields);
    view_flush(&out);
    return 0;
}

static int model_register(struct cli *cli, const struct args *args, struct error *err)
{
    char path[PATH_MAX];
    struct memory_request request;
    if (!realpath(args->operands[1], path))
        return error_errno(err, -errno, "bad-path", "'%s'", args->operands[1]);
    memory_request_init(&request);
    int r = size_request(args, path, &request, err);
    AUTO_JSON json_t *body = r == 0 ? body_make(args, path, &request) : NULL;
    memory_request_finish(&request);
    AUTO_FREE char *text = body ? json_text(body) : NULL;
    if (r == 0 && !text)
        r = error_set(err, -ENOMEM, "out-of-memory", "making a request");
    return r < 0 ? r : model_send(cli, args->operands[0], "PUT", text, err);
}

static int model_remove(struct cli *cli, const struct args *args, struct error *err)
{
    return model_send(cli, args->operands[0], "DELETE", NULL, err);
}

const struct verb verb_model_list = {
    .group = "model",
    .name = "list",
    .summary = "List the registered models with what a run of them needs",
    .example = "leat model list",
    .run = model_list,
};

const struct verb verb_model_show = {
    .group = "model",
    .name = "show",
    .operands = "NAME",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Show all about one model",
    .example = "leat model show llama",
    .run = model_show,
};

const struct verb verb_model_register = {
    .group = "model",
    .name = "register",
    .operands = "NAME MODEL",
    .operands_min = 2,
    .operands_max = 2,
    .summary = "Make a model known by a name, or change it",
    .details =
        "MODEL is what leat estimate takes; only headers are read. The settings are those of its "
        "usual run: leat run --model NAME sizes the card by them.",
    .example = "leat model register llama ./llama-2-7b --method lora --batch 4 --seq 2048",
    .options = size_options,
    .more_options = register_options,
    .run = model_register,
};

const struct verb verb_model_rm = {
    .group = "model",
    .name = "rm",
    .operands = "NAME",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Forget a model; its files stay",
    .example = "leat model rm llama",
    .run = model_remove,
};
