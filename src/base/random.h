/* Unpredictable identifiers from the kernel. */
#ifndef LEAT_BASE_RANDOM_H
#define LEAT_BASE_RANDOM_H

#include <stddef.h>

#define TOKEN_TEXT_MAX 65 /* 32 random bytes in hex and a NUL */

int random_bytes(void *ret_data, size_t length); /* 0 or -errno */
int random_token(char ret_text[TOKEN_TEXT_MAX]); /* 0 or -errno */
/* Compare secrets in time that does not depend on where they differ. 1 when equal. */
int token_equal(const char *a, const char *b);

#endif
