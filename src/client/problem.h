/* The failures of libleat: a problem document (RFC 9457), a broken connection, a refusal of Leat's
 * own, all in one struct leat_error. */
#ifndef LEAT_CLIENT_PROBLEM_H
#define LEAT_CLIENT_PROBLEM_H

#include <stddef.h>

struct error;
struct leat_error;

/* Each fills `to` (may be NULL) and returns the negative errno. */
int problem_set(struct leat_error *to, int errnum, const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
int problem_from_error(struct leat_error *to, const struct error *from);
/* `text` is the body of an answer with `status` >= 400; what is no problem document is quoted. */
int problem_from_answer(struct leat_error *to, int status, const char *text, size_t length);

#endif
