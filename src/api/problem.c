/* Failures as HTTP: see problem.h. */
#include "api/problem.h"

#include <errno.h>

#include "base/error.h"
#include "base/json.h"

static const struct {
    int errnum;
    unsigned status;
} statuses[] = {
    {EINVAL, 400},     {ERANGE, 400}, {ENAMETOOLONG, 400}, {ELOOP, 400},     {EACCES, 403},
    {EPERM, 403},      {ENOENT, 404}, {ENOTDIR, 404},      {EBUSY, 409},     {EEXIST, 409},
    {EALREADY, 409},   {EFBIG, 413},  {E2BIG, 413},        {ENOSPC, 422},    {EDQUOT, 422},
    {EOPNOTSUPP, 501}, {ENOSYS, 501}, {EAGAIN, 503},       {EIO, 503},       {ECANCELED, 503},
    {ENOMEM, 503},     {EPIPE, 503},  {ECONNREFUSED, 503}, {ETIMEDOUT, 504},
};

static const struct {
    unsigned status;
    const char *title;
} titles[] = {
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {409, "Conflict"},
    {413, "Content Too Large"},
    {415, "Unsupported Media Type"},
    {422, "Unprocessable Content"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
};

unsigned problem_status(int errnum)
{
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        if (statuses[i].errnum == -errnum)
            return statuses[i].status;
    }
    return 500;
}

const char *problem_title(unsigned status)
{
    for (size_t i = 0; i < sizeof(titles) / sizeof(titles[0]); i++) {
        if (titles[i].status == status)
            return titles[i].title;
    }
    return "Error";
}

char *problem_text(unsigned status, const struct error *err)
{
    char type[32 + ERROR_CODE_MAX];
    (void)snprintf(type, sizeof(type), "urn:leat:problem:%s", err->code); /* fits by its room */
    AUTO_JSON json_t *problem =
        json_pack("{s:s, s:s, s:i, s:o, s:s}", "type", type, "title", problem_title(status),
                  "status", (int)status, "detail",
                  json_stringn_nocheck(err->text, strlen(err->text)), "code", err->code);
    return problem ? json_text(problem) : NULL;
}
