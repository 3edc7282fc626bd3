/* A growable run of bytes, always followed by a NUL. A failed growth is remembered: append freely,
 * check once. */
#ifndef LEAT_BASE_BUF_H
#define LEAT_BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>

struct buf {
    char *data;    /* NULL until the first append; owned */
    size_t length; /* bytes, without the NUL */
    size_t room;   /* bytes allocated */
    int failed;    /* -ENOMEM once a growth failed; later appends do nothing */
};

#define BUF_INIT \
    { \
        0 \
    }

void buf_finish(struct buf *buf); /* frees the memory; the buf can be used again */
void buf_clear(struct buf *buf);  /* length 0, memory kept */
int buf_reserve(struct buf *buf, size_t more);
int buf_append(struct buf *buf, const void *data, size_t length);
int buf_puts(struct buf *buf, const char *text);
int buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
int buf_vprintf(struct buf *buf, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
void buf_drop_front(struct buf *buf, size_t length);
/* The text, owned by the caller; NULL when a growth failed. The buf is empty afterwards. */
char *buf_take(struct buf *buf);

#define AUTO_BUF __attribute__((cleanup(buf_finish)))

#endif
