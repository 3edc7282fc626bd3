/* leat version: of this command and of the leatd it speaks to. */
#include <errno.h>
#include <stdio.h>

#include "base/error.h"
#include "cli/ask.h"
#include "cli/verb.h"
#include "cli/verbs.h"
#include "cli/view.h"
#include "leat/client.h"

static const struct view_column version_fields[] = {
    {"leatd", "version", VIEW_TEXT},
    {"API", "api", VIEW_TEXT},
    {0},
};

/* What the engine found on its host, and why it runs containers the way it does. */
static const struct view_column engine_fields[] = {
    {"Engine", "engine", VIEW_TEXT},
    {"Runtime", "version", VIEW_TEXT},
    {"  because", "why", VIEW_TEXT},
    {0},
};

static void view_engine(struct buf *out, const json_t *engine)
{
    size_t index;
    const json_t *note;
    view_record(out, engine, engine_fields);
    json_array_foreach (json_object_get(engine, "notes"), index, note)
        (void)buf_printf(out, "Note: %s\n", json_string_value(note)); /* view_flush tells */
}

static int version_main(struct cli *cli, const struct args *args, struct error *err)
{
    (void)args; /* has nothing of its own */
    AUTO_JSON json_t *answer = NULL;
    int r = ask_get(cli, &answer, err, "/v1/version");
    if (r < 0 && r != -ECONNREFUSED)
        return r;
    if (cli->json) {
        AUTO_JSON json_t *both = json_pack("{s:s, s:O?}", "leat", LEAT_VERSION, "leatd", answer);
        ask_print(both);
        return 0;
    }
    (void)printf("leat %s\n", LEAT_VERSION);
    if (!answer) {
        (void)printf("no leatd answers at %s\n", leat_client_place(cli->client));
        return 0;
    }
    AUTO_BUF struct buf out = BUF_INIT;
    view_record(&out, answer, version_fields);
    if (json_is_object(json_object_get(answer, "engine")))
        view_engine(&out, json_object_get(answer, "engine"));
    view_flush(&out);
    return 0;
}

const struct verb verb_version = {
    .name = "version",
    .summary = "Print the versions of leat and of leatd",
    .example = "leat version",
    .run = version_main,
};
