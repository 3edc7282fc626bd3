/* leat explain: why a job is where it is, as sentences. */
#include <ctype.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "cli/ask.h"
#include "cli/verb.h"
#include "cli/verbs.h"
#include "cli/view.h"

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

/* "Held by: job 3 of a: share 50 %, memory 2 GiB." for each holder. */
static void put_holders(struct buf *out, const json_t *holders)
{
    size_t i;
    json_t *holder;
    json_array_foreach (holders, i, holder) {
        (void)buf_printf(out, "Held by: job %s of %s (%s): share ", view_text(holder, "job", "?"),
                         view_text(holder, "tenant", "?"), view_text(holder, "state", "?"));
        view_value(out, json_object_get(holder, "share_permille"), VIEW_SHARE);
        (void)buf_puts(out, ", memory ");
        view_value(out, json_object_get(holder, "memory_bytes"), VIEW_BYTES);
        const char *ends = view_text(holder, "ends_estimate", NULL);
        (void)buf_printf(out, "%s%s.\n", ends ? ", expected to end at " : "", ends ? ends : "");
    }
}

static void put_candidates(struct buf *out, const json_t *candidates)
{
    static const struct view_column columns[] = {{"DEVICE", "device", VIEW_TEXT},
                                                 {"SCORE", "score", VIEW_COUNT},
                                                 {"CODE", "code", VIEW_TEXT},
                                                 {0}};
    if (json_array_size(candidates))
        view_list(out, candidates, columns);
}

static void put_placement(struct buf *out, const json_t *placement)
{
    if (!json_is_object(placement))
        return;
    (void)buf_printf(out, "Placed by the rule %s (%s), from these:\n",
                     view_text(placement, "rule", "?"), view_text(placement, "step", "?"));
    put_candidates(out, json_object_get(placement, "candidates"));
}

/* "Told of it at 10:00 by signal USR1; its pre-stop command succeeded." */
static void put_notice(struct buf *out, const json_t *notice)
{
    const char *due = view_text(notice, "due", NULL), *told = view_text(notice, "told", NULL);
    const char *sent = view_text(notice, "signal", NULL);
    const char *outcome = view_text(notice, "pre_stop", NULL);
    if (due)
        (void)buf_printf(out, "Its card is taken at %s.\n", due);
    if (told)
        (void)buf_printf(out, "Its program was told at %s%s%s%s%s.\n", told,
                         sent ? ", by the signal " : "", sent ? sent : "",
                         outcome ? "; its command: " : "", outcome ? outcome : "");
    put_sentence(out, "Its state was last saved at ", json_object_get(notice, "checkpointed"));
}

static int explain_main(struct cli *cli, const struct args *args, struct error *err)
{
    AUTO_JSON json_t *answer = NULL;
    int r = ask_about(cli, "jobs", args->operands[0], "explain", &answer, err);
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
    if (json_is_true(json_object_get(answer, "burst")))
        (void)buf_puts(&out, "Beside its share, which its place goes by, it may use what others "
                             "leave of the device.\n");
    put_amounts(&out, "Available", json_object_get(answer, "available"));
    put_sentence(&out, "What would change it: ", json_object_get(answer, "unblocks"));
    put_holders(&out, json_object_get(answer, "holders"));
    const char *behind = view_text(answer, "behind", NULL);
    if (behind)
        (void)buf_printf(&out, "It stands behind job %s.\n", behind);
    put_notice(&out, json_object_get(answer, "notice"));
    put_sentence(&out, "Expected to start by: ", json_object_get(answer, "start_estimate"));
    put_candidates(&out, json_object_get(answer, "candidates"));
    put_placement(&out, json_object_get(answer, "placement"));
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
