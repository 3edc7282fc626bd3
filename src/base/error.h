/* The reason of a failure, for a human and for a program: a negative errno, a stable code that
 * reaches CLI, REST and log unchanged, and one sentence that says what was asked, what was there
 * and what to do. */
#ifndef LEAT_BASE_ERROR_H
#define LEAT_BASE_ERROR_H

#include <stdarg.h>

#define ERROR_CODE_MAX 48
#define ERROR_TEXT_MAX 512

struct error {
    int errnum;                /* negative errno; 0 when nothing is set */
    char code[ERROR_CODE_MAX]; /* stable slug, for example "quota-exceeds-device" */
    char text[ERROR_TEXT_MAX];
};

/* Fill `err` (may be NULL) and return `errnum`, so that a refusal is one line:
 * return error_set(err, -EINVAL, "bad-share", "..."). `errnum` must be negative. */
int error_set(struct error *err, int errnum, const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* As error_set, with ": " and the text of the errno at the end. Returns `errnum`. */
int error_errno(struct error *err, int errnum, const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Put "context: " in front of the text already in `err` (may be NULL). Returns
 * err->errnum, or -1 without an `err`: a caller that may have none returns its own. */
int error_context(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Copy `from` to `to` (may be NULL). Returns from->errnum. */
int error_copy(struct error *to, const struct error *from);

#endif
