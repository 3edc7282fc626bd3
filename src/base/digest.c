/* FNV-1a over 128 bits: see digest.h. Constants: RFC 9923. */
#include "base/digest.h"

#include <stdio.h>

#define WORDS(high, low) ((unsigned __int128)(high) << 64 | (low))

void digest_init(struct digest *digest)
{
    digest->state = WORDS(0x6c62272e07bb0142, 0x62b821756295c58d);
}

void digest_add(struct digest *digest, const void *data, size_t length)
{
    const unsigned __int128 prime = WORDS(1 << 24, 0x13b);
    const unsigned char *bytes = data;
    for (size_t i = 0; i < length; i++)
        digest->state = (digest->state ^ bytes[i]) * prime;
}

const char *digest_text(const struct digest *digest, char text[DIGEST_TEXT_MAX])
{
    (void)snprintf(text, DIGEST_TEXT_MAX, "%016llx%016llx",
                   (unsigned long long)(digest->state >> 64), (unsigned long long)digest->state);
    return text;
}
