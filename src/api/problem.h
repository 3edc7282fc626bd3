/* Failures as HTTP: the one table from errno to status, and application/problem+json (RFC 9457). */
#ifndef LEAT_API_PROBLEM_H
#define LEAT_API_PROBLEM_H

struct error;

unsigned problem_status(int errnum); /* of a negative errno; 500 for what is not in the table */
const char *problem_title(unsigned status);
/* The body, owned by the caller; NULL: out of memory. */
char *problem_text(unsigned status, const struct error *err);

#endif
