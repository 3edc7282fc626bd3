/* Any bytes as a log file, cut in two: never more text than file, and the cut changes nothing. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "engine/k8slog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    size_t cut = size ? data[0] % size : 0;
    struct k8slog whole = {0}, parts = {0};
    struct buf one = BUF_INIT, two = BUF_INIT;
    k8slog_decode(&whole, text, size, &one);
    k8slog_decode(&parts, text, cut, &two);
    k8slog_decode(&parts, text + cut, size - cut, &two);
    if (one.length > size || one.length != two.length ||
        (one.length && memcmp(one.data, two.data, one.length) != 0))
        abort();
    buf_finish(&one);
    buf_finish(&two);
    return 0;
}
