/* leat template: the job descriptions that a library and a job type select. */
#include <errno.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/yaml.h"
#include "cli/ask.h"
#include "cli/resource.h"
#include "cli/verb.h"
#include "cli/verbs.h"
#include "cli/view.h"
#include "leat/client.h"

static const struct view_column template_columns[] = {
    {"LIBRARY", "library", VIEW_TEXT},
    {"TYPE", "type", VIEW_TEXT},
    {"IMAGE", "image", VIEW_TEXT},
    {"ABOUT", "text", VIEW_TEXT},
    {0},
};

static const struct resource template_resource = {
    .kind = "templates",
    .none = "there are no templates: does leatd's --data-dir hold templates/*.yaml?",
    .columns = template_columns,
};

static int template_list(struct cli *cli, const struct args *args, struct error *err)
{
    (void)args; /* has nothing of its own */
    return resource_list(cli, &template_resource, err);
}

/* "LIBRARY/TYPE" or two operands. */
static int template_path(const struct args *args, char **ret_path, struct error *err)
{
    const char *library = args->operands[0], *slash = strchr(library, '/');
    const char *type = args->operand_count == 2 ? args->operands[1] : slash ? slash + 1 : NULL;
    if (!type)
        return error_set(err, -EINVAL, "usage", "the job type is missing: LIBRARY/TYPE");
    size_t length =
        args->operand_count == 2 || !slash ? strlen(library) : (size_t)(slash - library);
    AUTO_FREE char *first = strndup(library, length);
    AUTO_FREE char *second = leat_escape(type);
    if (!first || !second)
        return error_set(err, -ENOMEM, "out-of-memory", "making a path");
    return ask_path("templates", first, second, ret_path, err);
}

static int template_show(struct cli *cli, const struct args *args, struct error *err)
{
    AUTO_JSON json_t *answer = NULL;
    AUTO_FREE char *path = NULL;
    int r = template_path(args, &path, err);
    if (r < 0)
        return r;
    r = ask_get(cli, &answer, err, "%s", path);
    if (r < 0)
        return r;
    if (cli->json) {
        ask_print(answer);
        return 0;
    }
    AUTO_BUF struct buf out = BUF_INIT;
    AUTO_FREE char *text = yaml_text(answer);
    (void)buf_puts(&out, view_text(answer, "yaml", text ? text : ""));
    view_flush(&out);
    return 0;
}

const struct verb verb_template_list = {
    .group = "template",
    .name = "list",
    .summary = "List the library and job types that have a template",
    .example = "leat template list",
    .run = template_list,
};

const struct verb verb_template_show = {
    .group = "template",
    .name = "show",
    .operands = "LIBRARY/TYPE",
    .operands_min = 1,
    .operands_max = 2,
    .summary = "Print one template as YAML",
    .example = "leat template show pyopencl/training",
    .run = template_show,
};
