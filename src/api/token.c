/* The secret of TCP clients: see token.h. */
#include "api/token.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/fd.h"

#define TOKEN_TEXT_MIN 16 /* characters of a token somebody wrote by hand */

static int token_make(const char *path, char ret_token[TOKEN_TEXT_MAX], struct error *err)
{
    char token[TOKEN_TEXT_MAX];
    int r = random_token(token);
    if (r < 0)
        return error_errno(err, r, "no-token", "cannot make a token");
    r = file_write_atomic(AT_FDCWD, path, token, strlen(token), 0600, err);
    if (r == 0)
        memcpy(ret_token, token, sizeof(token));
    return r;
}

int token_load(const char *path, char ret_token[TOKEN_TEXT_MAX], struct error *err)
{
    AUTO_BUF struct buf text = BUF_INIT;
    int r = file_read(AT_FDCWD, path, TOKEN_TEXT_MAX, &text, err);
    if (r == -ENOENT)
        return token_make(path, ret_token, err);
    if (r < 0)
        return r;
    size_t length = strcspn(text.data, "\r\n");
    if (length < TOKEN_TEXT_MIN || length >= TOKEN_TEXT_MAX)
        return error_set(err, -EINVAL, "bad-token", "'%s' must hold %d to %d characters", path,
                         TOKEN_TEXT_MIN, TOKEN_TEXT_MAX - 1);
    memcpy(ret_token, text.data, length);
    ret_token[length] = '\0';
    return 0;
}
