/* Where a leatd is to be found: see endpoint.h. */
#include "client/endpoint.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/path.h"

#define SOCKET_NAME "leatd.sock"
#define UNIX_PREFIX "unix:"
#define LOCAL_BASE "http://leatd" /* the name is never looked up: the socket decides */

static char *text_join(const char *front, const char *separator, const char *back)
{
    AUTO_BUF struct buf text = BUF_INIT;
    (void)buf_printf(&text, "%s%s%s", front, separator, back); /* a failure shows in buf_take */
    return buf_take(&text);
}

static bool path_is_folder(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* Takes over `socket`. */
static int endpoint_set_socket(struct endpoint *endpoint, char *socket)
{
    endpoint->socket = socket;
    endpoint->place = socket ? strdup(socket) : NULL;
    endpoint->base = strdup(LOCAL_BASE);
    return endpoint->place && endpoint->base ? 0 : -ENOMEM;
}

static int endpoint_set_url(struct endpoint *endpoint, const char *host, struct error *err)
{
    endpoint->base = strstr(host, "://") ? strdup(host) : text_join("http://", "", host);
    if (!endpoint->base)
        return -ENOMEM;
    size_t length = strlen(endpoint->base);
    while (length > 0 && endpoint->base[length - 1] == '/')
        endpoint->base[--length] = '\0';
    const char *authority = strstr(endpoint->base, "://");
    if (!authority || !authority[3] || authority[3] == '/')
        return error_set(err, -EINVAL, "bad-host", "'%s' names no host", host);
    endpoint->place = strdup(endpoint->base);
    return endpoint->place ? 0 : -ENOMEM;
}

static int endpoint_set(struct endpoint *endpoint, const char *host, struct error *err)
{
    if (!host || !*host)
        host = getenv("LEAT_HOST");
    if (!host || !*host) {
        char folder[PATH_MAX];
        int r = path_run_dir(NULL, folder, err);
        if (r < 0)
            return r;
        return endpoint_set_socket(endpoint, text_join(folder, "/", SOCKET_NAME));
    }
    if (strncmp(host, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0)
        return endpoint_set_socket(endpoint, strdup(host + strlen(UNIX_PREFIX)));
    if (!strchr(host, '/') || strstr(host, "://"))
        return endpoint_set_url(endpoint, host, err);
    if (path_is_folder(host))
        return endpoint_set_socket(endpoint, text_join(host, "/", SOCKET_NAME));
    return endpoint_set_socket(endpoint, strdup(host));
}

int endpoint_init(struct endpoint *ret_endpoint, const char *host, struct error *err)
{
    struct endpoint endpoint = {0};
    int r = endpoint_set(&endpoint, host, err);
    if (r == -ENOMEM)
        (void)error_set(err, r, "out-of-memory", "naming the place of leatd");
    if (r < 0) {
        endpoint_finish(&endpoint);
        return r;
    }
    *ret_endpoint = endpoint;
    return 0;
}

void endpoint_finish(struct endpoint *endpoint)
{
    free(endpoint->place);
    free(endpoint->socket);
    free(endpoint->base);
    memset(endpoint, 0, sizeof(*endpoint));
}
