/* Failure reasons: see error.h. */
#include "base/error.h"

#include <assert.h>

__attribute__((format(printf, 4, 0))) static int
error_fill(struct error *err, int errnum, const char *code, const char *format, va_list args)
{
    assert(errnum < 0);
    if (!err)
        return errnum;
    err->errnum = errnum;
    (void)snprintf(err->code, sizeof(err->code), "%s", code); /* a long slug may be cut */
    (void)vsnprintf(err->text, sizeof(err->text), format, args);
    return errnum;
}

int error_set(struct error *err, int errnum, const char *code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int r = error_fill(err, errnum, code, format, args);
    va_end(args);
    return r;
}

int error_errno(struct error *err, int errnum, const char *code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int r = error_fill(err, errnum, code, format, args);
    va_end(args);
    if (err) {
        size_t used = strlen(err->text);
        (void)snprintf(err->text + used, sizeof(err->text) - used, ": %s", strerror(-errnum));
    }
    return r;
}

int error_context(struct error *err, const char *format, ...)
{
    if (!err)
        return -1;
    char old[ERROR_TEXT_MAX];
    (void)snprintf(old, sizeof(old), "%s", err->text);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(err->text, sizeof(err->text), format, args);
    va_end(args);
    size_t used = strlen(err->text);
    (void)snprintf(err->text + used, sizeof(err->text) - used, ": %s", old);
    return err->errnum;
}

int error_copy(struct error *to, const struct error *from)
{
    if (to)
        *to = *from;
    return from->errnum;
}
