/* Things the API lists and shows: see resource.h. */
#include "cli/resource.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "cli/ask.h"
#include "cli/verb.h"
#include "cli/view.h"

int resource_list(struct cli *cli, const struct resource *resource, struct error *err)
{
    AUTO_JSON json_t *answer = NULL;
    int r = ask_get(cli, &answer, err, "/v1/%s", resource->kind);
    if (r < 0)
        return r;
    if (cli->json) {
        ask_print(answer);
        return 0;
    }
    const json_t *rows = json_object_get(answer, resource->kind);
    if (json_array_size(rows) == 0) {
        cli_say("%s", resource->none);
        return 0;
    }
    AUTO_BUF struct buf out = BUF_INIT;
    view_list(&out, rows, resource->columns);
    view_flush(&out);
    return 0;
}

int resource_show(struct cli *cli, const struct resource *resource, const char *id,
                  struct error *err)
{
    AUTO_JSON json_t *answer = NULL;
    int r = ask_about(cli, resource->kind, id, NULL, &answer, err);
    if (r < 0)
        return r;
    if (cli->json) {
        ask_print(answer);
        return 0;
    }
    AUTO_BUF struct buf out = BUF_INIT;
    view_record(&out, answer, resource->fields);
    view_flush(&out);
    return 0;
}
