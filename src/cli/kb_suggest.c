/* leat kb similar, suggest: tasks that are like one, and models that suit it. */
#include <errno.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/units.h"
#include "cli/ask.h"
#include "cli/kb.h"
#include "cli/verb.h"
#include "cli/verbs.h"
#include "cli/view.h"

static const struct view_column similar_columns[] = {
    {"LIKE", "name", VIEW_TEXT},
    {"TASK", "task", VIEW_TEXT},
    {"SIMILARITY", "similarity", VIEW_REAL},
    {0},
};

static const struct view_column model_columns[] = {
    {"MODEL", "name", VIEW_TEXT},
    {"SCORE", "score", VIEW_REAL},
    {"RESULTS", "values", VIEW_COUNT},
    {"NEEDS", "needs_bytes", VIEW_BYTES_KNOWN},
    {"AS", "needs_basis", VIEW_TEXT},
    {"LICENCE", "attributes.license", VIEW_TEXT},
    {0},
};

static const struct option_spec task_options[] = {
    {"task", 't', "KIND", "what kind of task it is, for example image-classification"},
    {"attribute", 'a', "NAME=VALUE", "what is known of it, for example dataset=imagenet-1k"},
    {0},
};

static const struct option_spec suggest_options[] = {
    {"task", 't', "KIND", "what kind of task it is, for example image-classification"},
    {"attribute", 'a', "NAME=VALUE", "what is known of it, for example dataset=imagenet-1k"},
    {"where", 'w', "CONDITION", "of the models, as of leat kb search; repeatable"},
    {"licence", 0, "NAME", "the same as --where license=NAME"},
    {"own", 'o', NULL, "only registered models (leat model)"},
    {"limit", 'n', "N", "at most so many (20)"},
    {0},
};

static json_t *task_body(const struct args *args, struct error *err)
{
    AUTO_JSON json_t *attributes = json_object();
    AUTO_JSON json_t *body = json_pack("{s:O}", "attributes", attributes);
    if (!body || !kb_put_text(body, "name", args->operands[0]) ||
        !kb_put_text(body, "task", args_text(args, "task"))) {
        (void)error_set(err, -EINVAL, "bad-name", "what was given is not UTF-8 text");
        return NULL;
    }
    if (!args->operands[0] && !args_text(args, "task") && !args_has(args, "attribute")) {
        (void)error_set(err, -EINVAL, "usage", "name a task, or describe one with --task and -a");
        return NULL;
    }
    return kb_attributes(args, attributes, err) < 0 ? NULL : json_incref(body);
}

static void similar_print(const json_t *answer)
{
    AUTO_BUF struct buf out = BUF_INIT;
    const json_t *similar = json_object_get(answer, "similar"),
                 *missing = json_object_get(answer, "missing");
    if (json_array_size(similar))
        view_list(&out, similar, similar_columns);
    else
        cli_say("no task that is known is like it");
    if (json_array_size(missing)) {
        (void)buf_puts(&out, "Tell these with -a for a better answer: ");
        view_value(&out, missing, VIEW_WORDS);
        (void)buf_puts(&out, "\n");
    }
    view_flush(&out);
}

static int similar(struct cli *cli, const struct args *args, struct error *err)
{
    AUTO_JSON json_t *answer = NULL;
    AUTO_JSON json_t *body = task_body(args, err);
    if (!body)
        return err->errnum;
    int r = kb_post(cli, "similar", body, &answer, err);
    if (r == 0 && cli->json)
        ask_print(answer);
    else if (r == 0)
        similar_print(answer);
    return r;
}

static json_t *suggest_body(const struct args *args, struct error *err)
{
    AUTO_JSON json_t *body = task_body(args, err);
    const char *count = args_text(args, "limit");
    uint64_t limit = 0;
    if (!body || kb_put_fits(body, args, err) < 0 || (count && u64_parse(count, &limit, err) < 0))
        return NULL;
    bool good = !count || json_object_set_new(body, "limit", json_integer((json_int_t)limit)) == 0;
    good = good && kb_put_texts(body, "where", args, "where", "") == 0 &&
           kb_put_texts(body, "where", args, "licence", "license=") == 0;
    if (good && args_has(args, "own")) {
        json_t *where = json_object_get(body, "where");
        json_t *own = json_string("registered=true");
        good = where ? json_array_append_new(where, own) == 0
                     : json_object_set_new(body, "where", json_pack("[o]", own)) == 0;
    }
    if (!good)
        (void)error_set(err, -EINVAL, "bad-name", "what was given is not UTF-8 text");
    return good ? json_incref(body) : NULL;
}

static void suggest_print(const json_t *answer)
{
    AUTO_BUF struct buf out = BUF_INIT;
    char memory[UNITS_TEXT_MAX];
    const json_t *models = json_object_get(answer, "models");
    const char *device = view_text(answer, "device", NULL);
    (void)buf_printf(&out, "For %s in %s%s%s:\n",
                     view_text(answer, "task", "a task of no known kind"),
                     bytes_text(view_number(answer, "memory_bytes"), memory),
                     device ? " that are free on " : "", device ? device : "");
    if (json_array_size(models))
        view_list(&out, models, model_columns);
    view_flush(&out);
    if (!json_array_size(models))
        cli_say(
            "no model that is known does that and fits; `leat kb search -k model` shows them all");
    similar_print(answer);
}

static int suggest(struct cli *cli, const struct args *args, struct error *err)
{
    AUTO_JSON json_t *answer = NULL;
    AUTO_JSON json_t *body = suggest_body(args, err);
    if (!body)
        return err->errnum;
    int r = kb_post(cli, "suggest", body, &answer, err);
    if (r == 0 && cli->json)
        ask_print(answer);
    else if (r == 0)
        suggest_print(answer);
    return r;
}

const struct verb verb_kb_similar = {
    .group = "kb",
    .name = "similar",
    .operands = "[TASK]",
    .operands_max = 1,
    .summary = "Show tasks that are like one, and what should be known of it",
    .details = "TASK may be new: describe it with --task and -a.",
    .example = "leat kb similar -t image-classification -a classes=10 -a samples=60000",
    .options = task_options,
    .run = similar,
};

const struct verb verb_kb_suggest = {
    .group = "kb",
    .name = "suggest",
    .operands = "[TASK]",
    .operands_max = 1,
    .summary = "Show which models suit a task and fit into the memory that is free",
    .details =
        "Without --fits, that is the memory of the device of this centre with the most of it.",
    .example = "leat kb suggest -t image-classification -a dataset=imagenet-1k --own --batch 8",
    .options = suggest_options,
    .more_options = kb_fits_options,
    .run = suggest,
};
