/* What strangers may send to the interface: a path in the first line, a body after it. A body that
 * is taken as a job request comes out of the encoder as a request that is taken again. */
#include <stddef.h>
#include <stdint.h>

#include "api/route.h"
#include "base/error.h"
#include "base/json.h"
#include "model/job.h"

#define BODY_MAX (1u << 20)
#define PATH_MAX_BYTES 512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

static void try_path(const char *text, size_t length)
{
    static const char *const methods[] = {"GET", "POST", "DELETE", "HEAD", "BREW"};
    char path[PATH_MAX_BYTES + 1];
    struct route_match match;
    if (length > PATH_MAX_BYTES)
        length = PATH_MAX_BYTES;
    memcpy(path, text, length);
    path[length] = '\0';
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        route_find(methods[i], path, &match);
        if (match.route && (strchr(match.params[0], '/') || strchr(match.params[1], '/')))
            abort(); /* a parameter that leads elsewhere */
        if (match.route)
            (void)route_takes(match.route, path);
    }
}

static void check_encoding(const struct job_request *request)
{
    struct error err = {0};
    struct job_request again;
    AUTO_JSON json_t *encoded = job_request_encode(request);
    job_request_init(&again);
    if (!encoded || job_request_decode(encoded, &again, &err) < 0) {
        (void)fprintf(stderr, "%s: %s\n", err.code, err.text);
        abort();
    }
    job_request_finish(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    const char *text = (const char *)data;
    const char *end = length ? memchr(text, '\n', length) : NULL;
    size_t path_length = end ? (size_t)(end - text) : 0;
    try_path(text, path_length);
    if (end) {
        text += path_length + 1;
        length -= path_length + 1;
    }
    struct error err = {0};
    AUTO_JSON json_t *body = json_parse(text, length, BODY_MAX, &err);
    struct job_request request;
    job_request_init(&request);
    if (body && job_request_decode(body, &request, &err) == 0)
        check_encoding(&request);
    else if (err.errnum >= 0 || !err.code[0] || !err.text[0])
        abort(); /* a refusal without a reason */
    job_request_finish(&request);
    return 0;
}
