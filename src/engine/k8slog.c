/* Decoding conmon's log lines: see k8slog.h. */
#include "engine/k8slog.h"

#include <string.h>

#include "base/buf.h"

/* Consume bytes of a line's head. Returns how many. */
static size_t take_head(struct k8slog *decoder, const char *data, size_t length)
{
    size_t used = 0;
    while (used < length && decoder->spaces < 3 && !decoder->broken && data[used] != '\n') {
        char c = data[used++];
        if (c == ' ')
            decoder->spaces++;
        else if (decoder->spaces == 2)
            decoder->tag = c;
        if (++decoder->head_bytes > K8SLOG_HEAD_MAX)
            decoder->broken = 1;
    }
    return used;
}

void k8slog_decode(struct k8slog *decoder, const char *data, size_t length, struct buf *out)
{
    while (length > 0) {
        size_t used = take_head(decoder, data, length);
        data += used;
        length -= used;
        if (length == 0)
            break;
        const char *end = memchr(data, '\n', length);
        size_t text = end ? (size_t)(end - data) : length;
        int whole = decoder->spaces == 3 && !decoder->broken;
        if (whole)
            (void)buf_append(out, data, text); /* a failure is remembered in out */
        if (end) {
            if (whole && decoder->tag == 'F')
                (void)buf_append(out, "\n", 1); /* likewise */
            *decoder = (struct k8slog){0};
            text++;
        }
        data += text;
        length -= text;
    }
}
