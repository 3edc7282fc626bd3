/* Listening sockets: see listen.h. */
#include "api/listen.h"

#include <errno.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/units.h"

#define LISTEN_BACKLOG 512
#define SOCKET_FLAGS (SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK)

static int socket_is_served(const struct sockaddr_un *address)
{
    AUTO_FD int fd = socket(AF_UNIX, SOCKET_FLAGS, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN)
        return 1;
    return errno == ECONNREFUSED || errno == ENOENT ? 0 : -errno;
}

int listen_unix(const char *path, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path))
        return error_set(err, -ENAMETOOLONG, "bad-path",
                         "the socket path '%s' is longer than %zu characters; choose a shorter "
                         "--run-dir",
                         path, sizeof(address.sun_path) - 1);
    memcpy(address.sun_path, path, strlen(path) + 1);
    int served = socket_is_served(&address);
    if (served < 0)
        return error_errno(err, served, "cannot-listen", "cannot look at '%s'", path);
    if (served)
        return error_set(err, -EADDRINUSE, "cannot-listen", "another server answers on '%s'", path);
    (void)unlink(path); /* bind tells when it could not go */
    AUTO_FD int fd = socket(AF_UNIX, SOCKET_FLAGS, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        chmod(path, 0660) < 0 || listen(fd, LISTEN_BACKLOG) < 0)
        return error_errno(err, -errno, "cannot-listen", "cannot listen on '%s'", path);
    return take_fd(&fd);
}

/* Split "HOST:PORT" or "[HOST]:PORT"; 0 or -EINVAL. */
static int address_split(const char *where, char host[NI_MAXHOST], char port[NI_MAXSERV])
{
    const char *colon = strrchr(where, ':');
    if (!colon || !colon[1])
        return -EINVAL;
    size_t length = (size_t)(colon - where);
    if (length >= 2 && where[0] == '[' && colon[-1] == ']') {
        where++;
        length -= 2;
    } else if (memchr(where, ':', length)) {
        return -EINVAL;
    }
    uint64_t number;
    if (length == 0 || length >= NI_MAXHOST || u64_parse(colon + 1, &number, NULL) < 0 ||
        number < 1 || number > UINT16_MAX)
        return -EINVAL;
    memcpy(host, where, length);
    host[length] = '\0';
    (void)snprintf(port, NI_MAXSERV, "%u", (unsigned)number); /* getaddrinfo would wrap it around */
    return 0;
}

static int listen_address(const struct addrinfo *address)
{
    AUTO_FD int fd = socket(address->ai_family, SOCKET_FLAGS, 0);
    int on = 1;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        bind(fd, address->ai_addr, address->ai_addrlen) < 0 || listen(fd, LISTEN_BACKLOG) < 0)
        return -errno;
    return take_fd(&fd);
}

int listen_tcp(const char *where, struct error *err)
{
    char host[NI_MAXHOST], port[NI_MAXSERV];
    if (address_split(where, host, port) < 0)
        return error_set(err, -EINVAL, "bad-address",
                         "'%s' is not an address; write for example 127.0.0.1:7777 or [::1]:7777",
                         where);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found;
    int failed = getaddrinfo(host, port, &hints, &found);
    if (failed)
        return error_set(err, -EADDRNOTAVAIL, "cannot-listen", "cannot find '%s': %s", where,
                         gai_strerror(failed));
    int fd = -EADDRNOTAVAIL;
    for (struct addrinfo *address = found; address && fd < 0; address = address->ai_next)
        fd = listen_address(address);
    freeaddrinfo(found);
    return fd < 0 ? error_errno(err, fd, "cannot-listen", "cannot listen on '%s'", where) : fd;
}
