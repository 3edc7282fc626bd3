/* The secret that TCP clients show. */
#ifndef LEAT_API_TOKEN_H
#define LEAT_API_TOKEN_H

#include "base/random.h"

struct error;

/* The first line of the file `path`, which is made (0600, random) when it is not there. */
int token_load(const char *path, char ret_token[TOKEN_TEXT_MAX], struct error *err);

#endif
