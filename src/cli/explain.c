/* leat explain: why a job is where it is, as sentences. */
#include <ctype.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "cli/ask.h"
#include "cli/verb.h"
#include "cli/verbs.h"
#include "cli/view.h"
#include "leat/client.h"

/* "memory_bytes" is "memory": the unit shows in the value. */
static void put_name(struct buf *out, const char *name)
{
    size_t length = strlen(name);
    const char *unit = strrchr(name, '_');
    if (unit && view_kind_of(name) != VIEW_WORDS)
        length = (size_t)(unit - name);
    for (size_t i = 0; i < length; i++)
        (void)buf_append(out, name[i] == '_' ? " " : &name[i], 1);
}

/* "Asked: memory 2 GiB, share 50 %." */
static void put_amounts(struct buf *out, const char *title, json_t *amounts)
{
    const char *name, *separator = "";
    json_t *value;
    if (!json_is_object(amounts) || json_object_size(amounts) == 0)
        return;
    (void)buf_printf(out, "%s: ", title);
    json_object_foreach (amounts, name, value) {
        (void)buf_puts(out, separator);
        put_name(out, name);
        (void)buf_puts(out, " ");
        view_value(out, value, view_kind_of(name));
        separator = ", ";
    }
    (void)buf_puts(out, ".\n");
}

static void put_sentence(struct buf *out, const char *title, const json_t *text)
{
    if (!text || json_is_null(text) || (json_is_string(text) && !json_string_length(text)))
        return;
    size_t start = out->length;
    (void)buf_puts(out, title);
    view_value(out, text, VIEW_TEXT);
    char last = out->length > start ? out->data[out->length - 1] : '.';
    (void)buf_puts(out, ispunct((unsigned char)last) ? "\n" : ".\n");
}

static int explain_main(struct cli *cli, const struct args *args, struct error *err)
{
    AUTO_FREE char *path = NULL;
    AUTO_JSON json_t *answer = NULL;
    int r = ask_path("jobs", args->operands[0], "explain", &path, err);
    if (r < 0)
        return r;
    struct leat_request request = {.method = "GET", .path = path};
    r = ask(cli, &request, &answer, err);
    if (r < 0)
        return r;
    if (cli->json) {
        ask_print(answer);
        return 0;
    }
    AUTO_BUF struct buf out = BUF_INIT;
    (void)buf_printf(&out, "Job %s is %s: ", args->operands[0], view_text(answer, "state", "?"));
    put_sentence(&out, "", json_object_get(answer, "text"));
    put_amounts(&out, "Asked", json_object_get(answer, "asked"));
    put_amounts(&out, "Available", json_object_get(answer, "available"));
    put_sentence(&out, "What would change it: ", json_object_get(answer, "unblocks"));
    view_flush(&out);
    return 0;
}

const struct verb verb_explain = {
    .name = "explain",
    .operands = "JOB",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Say why a job is where it is, or why it waits",
    .example = "leat explain 12",
    .run = explain_main,
};
