/* Growable bytes: see buf.h. */
#include "base/buf.h"

#include <errno.h>

void buf_finish(struct buf *buf)
{
    free(buf->data);
    *buf = (struct buf)BUF_INIT;
}

void buf_clear(struct buf *buf)
{
    buf->length = 0;
    if (buf->data)
        buf->data[0] = '\0';
}

int buf_reserve(struct buf *buf, size_t more)
{
    size_t need;
    if (buf->failed)
        return buf->failed;
    if (__builtin_add_overflow(buf->length, more, &need) || __builtin_add_overflow(need, 1, &need))
        return buf->failed = -ENOMEM;
    if (need <= buf->room)
        return 0;
    size_t room = buf->room ? buf->room : 64;
    while (room < need) {
        if (__builtin_mul_overflow(room, 2, &room))
            return buf->failed = -ENOMEM;
    }
    char *data = realloc(buf->data, room);
    if (!data)
        return buf->failed = -ENOMEM;
    buf->data = data;
    buf->room = room;
    buf->data[buf->length] = '\0';
    return 0;
}

int buf_append(struct buf *buf, const void *data, size_t length)
{
    int r = buf_reserve(buf, length);
    if (r < 0)
        return r;
    if (length)
        memcpy(buf->data + buf->length, data, length);
    buf->length += length;
    buf->data[buf->length] = '\0';
    return 0;
}

int buf_puts(struct buf *buf, const char *text)
{
    return buf_append(buf, text, strlen(text));
}

int buf_vprintf(struct buf *buf, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (length < 0)
        return buf->failed = -EINVAL;
    int r = buf_reserve(buf, (size_t)length);
    if (r < 0)
        return r;
    (void)vsnprintf(buf->data + buf->length, (size_t)length + 1, format, args); /* measured above */
    buf->length += (size_t)length;
    return 0;
}

int buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int r = buf_vprintf(buf, format, args);
    va_end(args);
    return r;
}

void buf_drop_front(struct buf *buf, size_t length)
{
    if (length >= buf->length) {
        buf_clear(buf);
        return;
    }
    memmove(buf->data, buf->data + length, buf->length - length + 1);
    buf->length -= length;
}

char *buf_take(struct buf *buf)
{
    if (buf_reserve(buf, 0) < 0) {
        buf_finish(buf);
        return NULL;
    }
    char *data = buf->data;
    *buf = (struct buf)BUF_INIT;
    return data;
}
