/* The estimator as a filter: a request as JSON on every line of standard input, an estimate on
 * every line of standard output. For bench_estimate.py. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "estimate/memory.h"
#include "estimate/profile.h"

static int answer(const char *line, const struct profiles *profiles, struct error *err)
{
    struct memory_request request;
    struct memory_estimate estimate;
    memory_request_init(&request);
    AUTO_JSON json_t *object = json_parse(line, strlen(line), JSON_TEXT_LIMIT_BYTES, err);
    int r = object ? memory_request_decode(object, &request, err) : err->errnum;
    if (r == 0)
        r = memory_estimate(&request, profiles, &estimate, err);
    AUTO_JSON json_t *result = r == 0 ? memory_estimate_encode(&estimate) : NULL;
    char *text = result ? json_text(result) : NULL;
    if (text)
        (void)puts(text);
    free(text);
    memory_request_finish(&request);
    return r;
}

int main(int argc, char **argv)
{
    struct error err = {0};
    struct buf text = BUF_INIT;
    char line[8192];
    if (argc != 2 || file_read(AT_FDCWD, argv[1], 1 << 20, &text, &err) < 0)
        return fprintf(stderr, "usage: %s PROFILES.yaml < requests\n%s\n", argv[0], err.text), 2;
    struct profiles *profiles = profiles_parse(text.data, text.length, &err);
    buf_finish(&text);
    int r = profiles ? 0 : -1;
    while (r == 0 && fgets(line, sizeof(line), stdin))
        r = answer(line, profiles, &err);
    if (r < 0)
        (void)fprintf(stderr, "%s\n", err.text);
    profiles_destroy(profiles);
    return r < 0;
}
