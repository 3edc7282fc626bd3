/* Questions to leatd: see ask.h. */
#include "cli/ask.h"

#include <errno.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "cli/verb.h"
#include "leat/client.h"

#define ANSWER_LIMIT_BYTES (64u << 20) /* as libleat's own */

int ask_failed(struct error *err, const struct leat_error *reason)
{
    return error_set(err, reason->errnum, reason->code, "%s", reason->text);
}

int ask(struct cli *cli, const struct leat_request *request, json_t **ret_answer, struct error *err)
{
    int r = cli_connect(cli, err);
    if (r < 0)
        return r;
    struct leat_reply reply = {0};
    struct leat_error reason = {0};
    r = leat_client_request(cli->client, request, &reply, &reason);
    cli->answered |= r == 0 || reason.status || r == -ECONNRESET;
    if (r < 0)
        return ask_failed(err, &reason);
    json_t *answer =
        reply.length ? json_parse(reply.text, reply.length, ANSWER_LIMIT_BYTES, err) : json_null();
    leat_reply_finish(&reply);
    if (!answer)
        return error_context(err, "the answer to %s %s", request->method, request->path);
    *ret_answer = answer;
    return 0;
}

int ask_get(struct cli *cli, json_t **ret_answer, struct error *err, const char *path, ...)
{
    AUTO_BUF struct buf text = BUF_INIT;
    va_list args;
    va_start(args, path);
    int r = buf_vprintf(&text, path, args);
    va_end(args);
    if (r < 0)
        return error_set(err, r, "out-of-memory", "making a path");
    struct leat_request request = {.method = "GET", .path = text.data};
    return ask(cli, &request, ret_answer, err);
}

int ask_path(const char *kind, const char *id, const char *rest, char **ret_path, struct error *err)
{
    AUTO_FREE char *escaped = leat_escape(id);
    AUTO_BUF struct buf path = BUF_INIT;
    if (!escaped ||
        buf_printf(&path, "/v1/%s/%s%s%s", kind, escaped, rest ? "/" : "", rest ? rest : "") < 0)
        return error_set(err, -ENOMEM, "out-of-memory", "making a path");
    *ret_path = buf_take(&path);
    return 0;
}

int ask_about(struct cli *cli, const char *kind, const char *id, const char *rest,
              json_t **ret_answer, struct error *err)
{
    AUTO_FREE char *path = NULL;
    int r = ask_path(kind, id, rest, &path, err);
    return r < 0 ? r : ask_get(cli, ret_answer, err, "%s", path);
}

void ask_print(const json_t *answer)
{
    AUTO_FREE char *text = json_text(answer);
    (void)puts(text ? text : "null"); /* main looks at the state of standard output */
}
