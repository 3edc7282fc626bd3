/* The failures of libleat: see problem.h. */
#include "client/problem.h"

#include <errno.h>
#include <stdio.h>

#include "base/error.h"
#include "base/json.h"
#include "leat/error.h"

#define QUOTE_MAX 200 /* of an answer that is no problem document: the first line or so */

int problem_set(struct leat_error *to, int errnum, const char *code, const char *format, ...)
{
    if (!to)
        return errnum;
    to->errnum = errnum;
    to->status = 0;
    (void)snprintf(to->code, sizeof(to->code), "%s", code);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(to->text, sizeof(to->text), format, args); /* cut at the limit on purpose */
    va_end(args);
    return errnum;
}

int problem_from_error(struct leat_error *to, const struct error *from)
{
    return problem_set(to, from->errnum, from->code, "%s", from->text);
}

static int status_errno(int status)
{
    static const struct {
        int status, errnum;
    } table[] = {
        {400, -EINVAL},     {401, -EACCES},     {403, -EACCES}, {404, -ENOENT},
        {405, -EOPNOTSUPP}, {409, -EBUSY},      {413, -E2BIG},  {422, -EINVAL},
        {429, -EAGAIN},     {501, -EOPNOTSUPP}, {503, -EAGAIN}, {504, -ETIMEDOUT},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        if (table[i].status == status)
            return table[i].errnum;
    }
    return status < 500 ? -EINVAL : -EIO;
}

static const char *member_text(const json_t *object, const char *name, const char *otherwise)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text && *text ? text : otherwise;
}

int problem_from_answer(struct leat_error *to, int status, const char *text, size_t length)
{
    int errnum = status_errno(status);
    AUTO_JSON json_t *problem = json_parse(text, length, JSON_TEXT_LIMIT_BYTES, NULL);
    char code[LEAT_CODE_MAX];
    (void)snprintf(code, sizeof(code), "http-%d", status);
    if (json_is_object(problem))
        (void)problem_set(to, errnum, member_text(problem, "code", code), "%s",
                          member_text(problem, "detail", member_text(problem, "title", code)));
    else
        (void)problem_set(to, errnum, code, "the server answered with status %d: %.*s", status,
                          (int)(length < QUOTE_MAX ? length : QUOTE_MAX), text);
    if (to)
        to->status = status;
    return errnum;
}
