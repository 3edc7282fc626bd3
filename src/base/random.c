/* Identifiers from the kernel: see random.h. */
#include "base/random.h"

#include <errno.h>
#include <sys/random.h>

int random_bytes(void *ret_data, size_t length)
{
    unsigned char *next = ret_data;
    while (length) {
        ssize_t n = getrandom(next, length, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        next += n;
        length -= (size_t)n;
    }
    return 0;
}

int random_token(char ret_text[TOKEN_TEXT_MAX])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char raw[32];
    int r = random_bytes(raw, sizeof(raw));
    if (r < 0)
        return r;
    for (size_t i = 0; i < sizeof(raw); i++) {
        ret_text[2 * i] = digits[raw[i] >> 4];
        ret_text[2 * i + 1] = digits[raw[i] & 15];
    }
    ret_text[64] = '\0';
    return 0;
}

int token_equal(const char *a, const char *b)
{
    size_t length = strlen(a);
    unsigned char differ = strlen(b) != length;
    for (size_t i = 0; i < length && b[i]; i++)
        differ |= (unsigned char)(a[i] ^ b[i]);
    return differ == 0;
}
