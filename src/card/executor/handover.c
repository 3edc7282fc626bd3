/* The one message that brings a client and its descriptors: see handover.h. */
#include "card/executor/handover.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define FDS 2

int executor_serve(int control_fd, const struct executor_client *client)
{
    const int fds[FDS] = {client->socket_fd, client->session_fd};
    struct iovec part = {(void *)(uintptr_t)client, sizeof(*client)};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(fds))] = {0};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    *header = (struct cmsghdr){CMSG_LEN(sizeof(fds)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(header), fds, sizeof(fds));
    return sendmsg(control_fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

int handover_receive(int control_fd, struct executor_client *ret_client)
{
    int fds[FDS];
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(fds))];
    struct iovec part = {ret_client, sizeof(*ret_client)};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    ssize_t got;
    do
        got = recvmsg(control_fd, &message, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return -errno;
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (got != (ssize_t)sizeof(*ret_client) || !header || header->cmsg_type != SCM_RIGHTS ||
        header->cmsg_len != CMSG_LEN(sizeof(fds)))
        return -EPIPE;
    memcpy(fds, CMSG_DATA(header), sizeof(fds));
    ret_client->socket_fd = fds[0];
    ret_client->session_fd = fds[1];
    return 0;
}
