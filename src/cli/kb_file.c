/* leat kb import, export: knowledge from and to files. The formats of others are read here and
 * never reach leatd. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "cli/ask.h"
#include "cli/kb.h"
#include "cli/verb.h"
#include "cli/verbs.h"
#include "cli/view.h"
#include "knowledge/exchange.h"

typedef int read_fn(const char *text, size_t length, const char *name, struct exchange *exchange,
                    struct error *err);
typedef char *write_fn(const json_t *entries, struct error *err);

/* Leat's own format: a list of entries as they are posted. */
static int entries_read(const char *text, size_t length, const char *name,
                        struct exchange *exchange, struct error *err)
{
    json_t *list = json_parse(text, length, EXCHANGE_LIMIT_BYTES, err);
    if (!list)
        return err->errnum;
    json_decref(exchange->entries);
    exchange->entries = list;
    if (name || !json_is_array(list))
        return error_set(err, -EINVAL, "usage", "a list of entries is wanted, without --name");
    return 0;
}

/* What the API adds to an entry is left out. */
static char *entries_write(const json_t *entries, struct error *err)
{
    static const char *const members[] = {"kind", "name",   "task",      "model",
                                          "text", "source", "attributes"};
    AUTO_JSON json_t *list = json_array();
    bool good = list;
    for (size_t i = 0; good && i < json_array_size(entries); i++) {
        json_t *body = json_object();
        good = json_array_append_new(list, body) == 0;
        for (size_t m = 0; good && m < sizeof(members) / sizeof(members[0]); m++) {
            json_t *value = json_object_get(json_array_get(entries, i), members[m]);
            good = json_is_null(value) || json_object_set(body, members[m], value) == 0;
        }
    }
    char *text = good ? json_text(list) : NULL;
    if (!text)
        (void)error_set(err, -ENOMEM, "out-of-memory", "writing entries");
    return text;
}

static const struct format {
    const char *name;
    char first; /* of a file of it; 0: any other */
    read_fn *read;
    write_fn *write;
} formats[] = {
    {"mlflow", '{', mlflow_read, mlflow_write},
    {"leat", '[', entries_read, entries_write},
    {"card", 0, card_read, card_write},
    {0},
};

static const struct format *format_find(const char *name, struct error *err)
{
    for (const struct format *format = formats; format->name; format++) {
        if (strcmp(format->name, name) == 0)
            return format;
    }
    (void)error_set(err, -EINVAL, "usage", "'%.32s' is no format: card, mlflow or leat", name);
    return NULL;
}

static const struct format *format_guess(const struct buf *text)
{
    const char *first = text->data ? text->data + strspn(text->data, " \t\r\n") : "";
    const struct format *format = formats;
    while (format->first && format->first != *first)
        format++;
    return format;
}

static int entries_post(struct cli *cli, const struct exchange *exchange, struct error *err)
{
    size_t i;
    json_t *entry, *name;
    json_array_foreach (exchange->entries, i, entry) {
        AUTO_JSON json_t *answer = NULL;
        int r = kb_post(cli, NULL, entry, &answer, err);
        if (r < 0)
            return error_context(err, "entry %zu", i + 1);
        if (cli->json)
            ask_print(answer);
        else
            (void)printf("%s %s\n", view_text(answer, "kind", ""), view_text(answer, "name", ""));
    }
    json_array_foreach (exchange->left_out, i, name)
        cli_say("left out: %s", json_string_value(name));
    return 0;
}

static const struct option_spec import_options[] = {
    {"name", 0, "NAME", "of the model or the run, instead of the one in the file"},
    {"format", 0, "FORMAT", "card, mlflow or leat; guessed when not named"},
    {0},
};

static int import(struct cli *cli, const struct args *args, struct error *err)
{
    AUTO_BUF struct buf text = BUF_INIT;
    struct exchange exchange;
    const char *named = args_text(args, "format"), *path = args->operands[0];
    const struct format *format = named ? format_find(named, err) : NULL;
    if (named && !format)
        return err->errnum;
    int r = file_read(AT_FDCWD, path, EXCHANGE_LIMIT_BYTES, &text, err);
    if (r < 0)
        return r;
    if (!format)
        format = format_guess(&text);
    if (exchange_init(&exchange) < 0)
        r = error_set(err, -ENOMEM, "out-of-memory", "reading '%s'", path);
    else
        r = format->read(text.data ? text.data : "", text.length, args_text(args, "name"),
                         &exchange, err);
    if (r < 0)
        r = error_context(err, "%s", path);
    else
        r = entries_post(cli, &exchange, err);
    exchange_finish(&exchange);
    return r;
}

static const struct option_spec export_options[] = {
    {"format", 0, "FORMAT", "card (default), mlflow or leat"},
    {0},
};

/* What is called NAME and, of a model, what is known about it. */
static int export(struct cli *cli, const struct args *args, struct error *err)
{
    const char *named = args_text(args, "format");
    const struct format *format = format_find(named ? named : "card", err);
    AUTO_JSON json_t *entries = NULL;
    AUTO_JSON json_t *answer = NULL;
    AUTO_JSON json_t *about = json_pack("{s:s, s:i}", "model", args->operands[0], "limit", 100);
    if (!format)
        return err->errnum;
    int r = kb_named(cli, args, &entries, err);
    if (r == 0)
        r = about ? kb_post(cli, "search", about, &answer, err)
                  : error_set(err, -EINVAL, "bad-name", "the name is not UTF-8 text");
    if (r < 0)
        return r;
    json_t *more = json_object_get(answer, "entries");
    for (size_t i = json_array_size(more); i > 0; i--) { /* the oldest first, as it was written */
        if (json_array_append(entries, json_array_get(more, i - 1)) < 0)
            return error_set(err, -ENOMEM, "out-of-memory", "exporting");
    }
    AUTO_FREE char *text = format->write(entries, err);
    if (!text)
        return err->errnum;
    (void)fputs(text, stdout); /* main looks at the state of standard output */
    if (text[0] && text[strlen(text) - 1] != '\n')
        (void)puts("");
    return 0;
}

const struct verb verb_kb_import = {
    .group = "kb",
    .name = "import",
    .operands = "FILE",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Read a model card, an MLflow run or a list of entries",
    .details =
        "A model card is Markdown with YAML in front, or that YAML alone. What has no place in "
        "an entry is left out and named.",
    .example = "leat kb import ./resnet50/README.md --name resnet50",
    .options = import_options,
    .run = import,
};

const struct verb verb_kb_export = {
    .group = "kb",
    .name = "export",
    .operands = "NAME",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Write a model and its metrics as a model card, or a run as MLflow does",
    .example = "leat kb export resnet50 > README.md",
    .options = export_options,
    .run = export,
};
