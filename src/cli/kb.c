/* leat kb add, show, search, rm: the knowledge base of a centre. */
#include "cli/kb.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/units.h"
#include "cli/ask.h"
#include "cli/size.h"
#include "cli/verb.h"
#include "cli/verbs.h"
#include "cli/view.h"
#include "leat/client.h"

#define VALUE_MAX_BYTES 1024

static const struct view_column found_columns[] = {
    {"KIND", "kind", VIEW_TEXT},
    {"NAME", "name", VIEW_TEXT},
    {"TASK", "task", VIEW_TEXT},
    {"NEEDS", "needs_bytes", VIEW_BYTES},
    {"PEAK HERE", "attributes.memory_peak_bytes", VIEW_BYTES},
    {"TIME HERE", "attributes.wall_ms", VIEW_MS},
    {"ACCURACY", "attributes.accuracy", VIEW_REAL},
    {"FROM", "source", VIEW_TEXT},
    {0},
};

static const struct view_column entry_fields[] = {
    {"Name", "name", VIEW_TEXT},      {"Kind", "kind", VIEW_TEXT},
    {"Task", "task", VIEW_TEXT},      {"Model", "model", VIEW_TEXT},
    {"Text", "text", VIEW_TEXT},      {"From", "source", VIEW_TEXT},
    {"Updated", "updated", VIEW_AGO}, {0},
};

static int no_memory(struct error *err)
{
    return error_set(err, -ENOMEM, "out-of-memory", "making a request");
}

int kb_post(struct cli *cli, const char *verb, const json_t *body, json_t **ret_answer,
            struct error *err)
{
    AUTO_FREE char *text = json_text(body);
    char path[64];
    if (!text)
        return no_memory(err);
    (void)snprintf(path, sizeof(path), "/v1/knowledge%s%s", verb ? "/" : "", verb ? verb : "");
    struct leat_request request = {.method = "POST", .path = path, .body = text};
    return ask(cli, &request, ret_answer, err);
}

bool kb_put_text(json_t *object, const char *member, const char *text)
{
    return !text || json_object_set_new(object, member, json_string(text)) == 0;
}

/* Operands as one text, owned by the caller; NULL: no memory. */
static char *kb_words(const struct args *args)
{
    AUTO_BUF struct buf words = BUF_INIT;
    for (char **word = args->operands; *word; word++)
        (void)buf_printf(&words, "%s%s", word == args->operands ? "" : " ", *word);
    return buf_take(&words);
}

int kb_named(struct cli *cli, const struct args *args, json_t **ret_entries, struct error *err)
{
    const char *kind = args_text(args, "kind");
    AUTO_JSON json_t *answer = NULL;
    AUTO_JSON json_t *body = json_pack("{s:s, s:i}", "name", args->operands[0], "limit", 100);
    if (!body || (kind && json_object_set_new(body, "kinds", json_pack("[s]", kind)) < 0))
        return error_set(err, -EINVAL, "bad-name", "the name is not UTF-8 text");
    int r = kb_post(cli, "search", body, &answer, err);
    if (r < 0)
        return r;
    json_t *entries = json_object_get(answer, "entries");
    if (json_array_size(entries) == 0)
        return error_set(err, -ENOENT, "unknown-entry",
                         "the knowledge base has no entry '%.64s'; `leat kb search` finds some",
                         args->operands[0]);
    *ret_entries = json_incref(entries);
    return 0;
}

/* -- add -- */

static const struct option_spec add_options[] = {
    {"task", 't', "NAME", "the task that it is about"},
    {"model", 'm', "NAME", "the model that it is about"},
    {"text", 0, "TEXT", "what is to be said about it"},
    {"attribute", 'a', "NAME=VALUE", "a number, 8GiB, true, false or a text; twice makes a list"},
    {0},
};

/* A reference to what is meant: 4, 0.5, 8GiB, true, mit. */
static json_t *value_make(const char *text)
{
    uint64_t bytes;
    json_t *value = isdigit((unsigned char)*text) || *text == '-' || *text == 't' || *text == 'f'
                        ? json_parse(text, strlen(text), VALUE_MAX_BYTES, NULL)
                        : NULL;
    if (value)
        return value;
    if (isdigit((unsigned char)*text) && bytes_parse(text, &bytes, NULL) == 0)
        return json_integer((json_int_t)bytes);
    return json_string(text);
}

static int attribute_put(json_t *attributes, const char *pair, struct error *err)
{
    size_t length = strcspn(pair, "=");
    AUTO_FREE char *name = strndup(pair, length);
    if (!name)
        return no_memory(err);
    if (!pair[length])
        return error_set(err, -EINVAL, "usage", "'%.64s' lacks its value: write NAME=VALUE", pair);
    json_t *before = json_object_get(attributes, name);
    json_t *value = value_make(pair + length + 1);
    if (json_is_string(before))
        value = json_pack("[O, o]", before, value);
    int r = json_is_array(before) ? json_array_append_new(before, value)
                                  : json_object_set_new(attributes, name, value);
    return r == 0 ? 0 : error_set(err, -EINVAL, "bad-field", "'%.64s' is not UTF-8 text", pair);
}

int kb_attributes(const struct args *args, json_t *attributes, struct error *err)
{
    size_t cursor = 0;
    int r = 0;
    for (const char *pair; r == 0 && (pair = args_next(args, "attribute", &cursor));)
        r = attribute_put(attributes, pair, err);
    return r;
}

static int add(struct cli *cli, const struct args *args, struct error *err)
{
    static const char *const texts[] = {"task", "model", "text"};
    AUTO_JSON json_t *answer = NULL;
    AUTO_JSON json_t *attributes = json_object();
    AUTO_JSON json_t *body = json_pack("{s:s, s:s, s:O}", "kind", args->operands[0], "name",
                                       args->operands[1], "attributes", attributes);
    bool good = body;
    for (size_t i = 0; good && i < sizeof(texts) / sizeof(texts[0]); i++)
        good = kb_put_text(body, texts[i], args_text(args, texts[i]));
    if (!good)
        return error_set(err, -EINVAL, "bad-name", "what was given is not UTF-8 text");
    int r = kb_attributes(args, attributes, err);
    if (r == 0)
        r = kb_post(cli, NULL, body, &answer, err);
    if (r == 0 && cli->json)
        ask_print(answer);
    return r;
}

/* -- search -- */

const struct option_spec kb_fits_options[] = {
    {"fits", 'f', "SIZE", "models that need no more memory on one device, for example 8GiB"},
    {"train", 0, NULL, "for training instead of inference"},
    {"batch", 0, "N", "samples at once of the run that has to fit (1)"},
    {"seq", 0, "N", "tokens of a sample"},
    {"model-setting", 0, "NAME=VALUE", "another setting of that run, see leat-estimate(1)"},
    {0},
};

static const struct option_spec search_options[] = {
    {"kind", 'k', "KIND", "task, model, data, metric, hyperparameter or relation; repeatable"},
    {"where", 'w', "CONDITION", "'params<=7e9', 'license=mit', 'year=2020..2023'; repeatable"},
    {"licence", 0, "NAME", "the same as --where license=NAME"},
    {"task", 't', "NAME", "about this task"},
    {"model", 'm', "NAME", "about this model"},
    {"sort", 's', "ATTRIBUTE", "smallest first; -ATTRIBUTE for the largest"},
    {"limit", 'n', "N", "at most so many (20)"},
    {0},
};

int kb_put_fits(json_t *body, const struct args *args, struct error *err)
{
    static const char *const numbers[][2] = {{"batch", "batch"}, {"seq", "sequence"}};
    const char *memory = args_text(args, "fits");
    AUTO_JSON json_t *fits =
        json_pack("{s:s}", "task", args_has(args, "train") ? "train" : "infer");
    int r = fits ? size_settings(args, fits, err) : no_memory(err);
    for (size_t i = 0; r == 0 && i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        const char *text = args_text(args, numbers[i][0]);
        uint64_t number;
        if (text && (r = u64_parse(text, &number, err)) == 0 &&
            json_object_set_new(fits, numbers[i][1], json_integer((json_int_t)number)) < 0)
            r = no_memory(err);
    }
    if (r == 0 && (!kb_put_text(fits, "memory", memory) || json_object_set(body, "fits", fits) < 0))
        r = no_memory(err);
    return r;
}

int kb_put_texts(json_t *body, const char *member, const struct args *args, const char *option,
                 const char *prefix)
{
    json_t *list = json_object_get(body, member);
    size_t cursor = 0;
    for (const char *text; (text = args_next(args, option, &cursor));) {
        if (!list) {
            list = json_array();
            if (json_object_set_new(body, member, list) < 0)
                return -ENOMEM;
        }
        if (json_array_append_new(list, json_sprintf("%s%s", prefix, text)) < 0)
            return -ENOMEM;
    }
    return 0;
}

static json_t *search_body(const struct args *args, struct error *err)
{
    AUTO_FREE char *words = kb_words(args);
    AUTO_JSON json_t *body = json_object();
    uint64_t limit = 0;
    const char *count = args_text(args, "limit");
    if (!words || !body || kb_put_texts(body, "kinds", args, "kind", "") < 0 ||
        kb_put_texts(body, "where", args, "where", "") < 0 ||
        kb_put_texts(body, "where", args, "licence", "license=") < 0 ||
        !kb_put_text(body, "text", words) || !kb_put_text(body, "task", args_text(args, "task")) ||
        !kb_put_text(body, "model", args_text(args, "model")) ||
        !kb_put_text(body, "sort", args_text(args, "sort"))) {
        (void)error_set(err, -EINVAL, "bad-name", "what was given is not UTF-8 text");
        return NULL;
    }
    if (count && u64_parse(count, &limit, err) < 0)
        return NULL;
    if (count && json_object_set_new(body, "limit", json_integer((json_int_t)limit)) < 0)
        return NULL;
    return kb_put_fits(body, args, err) < 0 ? NULL : json_incref(body);
}

static int search(struct cli *cli, const struct args *args, struct error *err)
{
    AUTO_JSON json_t *answer = NULL;
    AUTO_JSON json_t *body = search_body(args, err);
    if (!body)
        return err->errnum;
    int r = kb_post(cli, "search", body, &answer, err);
    if (r < 0)
        return r;
    const json_t *entries = json_object_get(answer, "entries");
    if (cli->json) {
        ask_print(answer);
        return 0;
    }
    if (json_array_size(entries) == 0) {
        cli_say("nothing of that is known");
        return 0;
    }
    if (strcmp(view_text(answer, "words", "all"), "any") == 0)
        cli_say("no entry holds all the words; these hold some");
    AUTO_BUF struct buf out = BUF_INIT;
    view_list(&out, entries, found_columns);
    view_flush(&out);
    if (json_is_true(json_object_get(answer, "more")))
        cli_say("there are more: --limit shows more of them, --where makes them fewer");
    return 0;
}

/* -- show and rm -- */

static const struct option_spec kind_options[] = {
    {"kind", 'k', "KIND", "only the entry of this kind"},
    {0},
};

static void entry_print(struct buf *out, const json_t *entry)
{
    const char *name;
    json_t *value;
    view_record(out, entry, entry_fields);
    json_object_foreach (json_object_get(entry, "attributes"), name, value) {
        enum view_kind kind = json_is_array(value) ? VIEW_WORDS : view_kind_of(name);
        (void)buf_printf(out, "  %s: ", name);
        view_value(out, value, json_is_string(value) ? VIEW_TEXT : kind);
        (void)buf_puts(out, "\n");
    }
}

static int show(struct cli *cli, const struct args *args, struct error *err)
{
    AUTO_JSON json_t *entries = NULL;
    int r = kb_named(cli, args, &entries, err);
    if (r < 0)
        return r;
    AUTO_BUF struct buf out = BUF_INIT;
    for (size_t i = 0; i < json_array_size(entries); i++) {
        if (cli->json)
            ask_print(json_array_get(entries, i));
        else
            entry_print(&out, json_array_get(entries, i));
    }
    view_flush(&out);
    return 0;
}

static int forget(struct cli *cli, const struct args *args, struct error *err)
{
    AUTO_JSON json_t *entries = NULL;
    AUTO_JSON json_t *answer = NULL;
    AUTO_FREE char *path = NULL;
    int r = kb_named(cli, args, &entries, err);
    if (r < 0)
        return r;
    if (json_array_size(entries) > 1)
        return error_set(err, -EINVAL, "usage", "there are %zu entries of that name; add --kind",
                         json_array_size(entries));
    r = ask_path("knowledge", view_text(json_array_get(entries, 0), "id", ""), NULL, &path, err);
    if (r < 0)
        return r;
    struct leat_request request = {.method = "DELETE", .path = path};
    return ask(cli, &request, &answer, err);
}

const struct verb verb_kb_add = {
    .group = "kb",
    .name = "add",
    .operands = "KIND NAME",
    .operands_min = 2,
    .operands_max = 2,
    .summary = "Write something into the knowledge base",
    .details =
        "KIND is task, model, data, metric, hyperparameter or relation. An entry of the same "
        "kind and name is replaced.",
    .example = "leat kb add model resnet50 --task image-classification -a params=25557032 -a "
               "license=bsd-3-clause",
    .options = add_options,
    .run = add,
};

const struct verb verb_kb_show = {
    .group = "kb",
    .name = "show",
    .operands = "NAME",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Show what is known under a name",
    .example = "leat kb show resnet50",
    .options = kind_options,
    .run = show,
};

const struct verb verb_kb_search = {
    .group = "kb",
    .name = "search",
    .operands = "[WORD...]",
    .operands_max = -1,
    .summary = "Find tasks, models and what was learned about them",
    .details =
        "Words may be mixed with conditions: license=mit, params<=7e9; \"< 8 GiB\" finds models "
        "that need no more. Quote what the shell would take for itself.",
    .example = "leat kb search 'image classification < 8 GiB' --batch 4",
    .options = search_options,
    .more_options = kb_fits_options,
    .run = search,
};

const struct verb verb_kb_rm = {
    .group = "kb",
    .name = "rm",
    .operands = "NAME",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Remove an entry from the knowledge base",
    .example = "leat kb rm resnet50 --kind model",
    .options = kind_options,
    .run = forget,
};
