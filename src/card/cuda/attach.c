/* The session hand-shake with leat-cardd: see attach.h. */
#include "card/cuda/attach.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "card/cuda/alone.h"
#include "card/ledger/ledger.h"
#include "card/meter/meter.h"
#include "card/wire/wire.h"

#define WELCOME_TIMEOUT_S 60
#define PAGES 3 /* descriptors of the welcome: ledger, turn of the device, eventfd */

static int dial(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval timeout = {.tv_sec = WELCOME_TIMEOUT_S};
    size_t length = strlen(path);
    if (length >= sizeof(address.sun_path))
        return -1;
    memcpy(address.sun_path, path, length);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) == 0 &&
        connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

static int say_hello(int fd, const char *token)
{
    struct wire_hello hello = {.magic = WIRE_MAGIC,
                               .version = WIRE_VERSION,
                               .pid = (uint32_t)getpid(),
                               .flags = WIRE_HELLO_LOCAL};
    size_t length = strlen(token);
    if (length >= sizeof(hello.token))
        return -1;
    memcpy(hello.token, token, length);
    return send(fd, &hello, sizeof(hello), MSG_NOSIGNAL) == (ssize_t)sizeof(hello) ? 0 : -1;
}

/* The welcome is small and sent at once: it comes in one piece. */
static int hear_welcome(int fd, struct wire_welcome *ret_welcome, int fds[PAGES])
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(PAGES * sizeof(int))] = {0};
    struct iovec part = {ret_welcome, sizeof(*ret_welcome)};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    ssize_t got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | MSG_WAITALL);
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (got != (ssize_t)sizeof(*ret_welcome) || ret_welcome->status != 0 || !header ||
        header->cmsg_len != CMSG_LEN(PAGES * sizeof(int)) || ret_welcome->slot >= LEDGER_SLOTS)
        return -1;
    memcpy(fds, CMSG_DATA(header), PAGES * sizeof(int));
    return 0;
}

static void *map_page(int fd, size_t bytes)
{
    void *page = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd);
    return page == MAP_FAILED ? NULL : page;
}

/* Take a slot of the card. leat-cardd watches the process itself, so the socket is not kept. */
static enum card_state attach(const char *path, const char *token, struct attachment *ret)
{
    struct wire_welcome welcome = {0};
    int fds[PAGES];
    int fd = dial(path);
    if (fd < 0)
        return CARD_FAILED;
    int heard = say_hello(fd, token) == 0 && hear_welcome(fd, &welcome, fds) == 0;
    (void)close(fd);
    if (!heard)
        return CARD_FAILED;
    struct ledger_card *ledger = map_page(fds[0], sizeof(*ledger));
    struct meter_device *device = map_page(fds[1], sizeof(*device));
    if (!ledger || !device)
        return CARD_FAILED;
    *ret = (struct attachment){ledger, device, fds[2], welcome.slot, 0};
    return CARD_READY;
}

enum card_state card_attach(struct attachment *ret)
{
    const char *path = getenv("LEAT_CARD_SOCKET"), *token = getenv("LEAT_CARD_TOKEN");
    return path && token ? attach(path, token, ret) : alone_attach(ret);
}
