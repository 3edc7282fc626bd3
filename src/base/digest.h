/* A digest of 128 bits (FNV-1a): tells contents apart, protects nothing. */
#ifndef LEAT_BASE_DIGEST_H
#define LEAT_BASE_DIGEST_H

#include <stddef.h>

#define DIGEST_TEXT_MAX 33 /* with the end */

struct digest {
    unsigned __int128 state;
};

void digest_init(struct digest *digest);
void digest_add(struct digest *digest, const void *data, size_t length);
/* In hexadecimal; gives `text`. */
const char *digest_text(const struct digest *digest, char text[DIGEST_TEXT_MAX]);

#endif
