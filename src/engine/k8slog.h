/* The log format of conmon ("k8s-file"): "TIME STREAM F text" for a whole line, "TIME STREAM P
 * text" for a piece of one. Decoding gives back the bytes that the program wrote. Pure. */
#ifndef LEAT_ENGINE_K8SLOG_H
#define LEAT_ENGINE_K8SLOG_H

#include <stddef.h>

struct buf;

/* Where the decoder is inside a line; {0} at the beginning of a file. */
struct k8slog {
    unsigned spaces;   /* seen in the head of this line, at most 3 */
    size_t head_bytes; /* of this line */
    char tag;          /* 'F', 'P' or anything that a broken file holds */
    int broken;        /* this line has no proper head: it is skipped */
};

#define K8SLOG_HEAD_MAX 64 /* "2006-01-02T15:04:05.999999999+00:00 stdout F " is 45 */

/* Decode the next piece of a file, cut anywhere. Appends to `out` at most `length` bytes; a failed
 * growth is remembered there. */
void k8slog_decode(struct k8slog *decoder, const char *data, size_t length, struct buf *out);

#endif
