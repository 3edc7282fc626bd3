/* The one message that brings a client and its descriptors: see handover.h. */
#include "card/executor/handover.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

int executor_serve(int control_fd, const struct executor_client *client)
{
    const int fds[HANDOVER_FDS] = {client->socket_fd, client->session_fd};
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

ssize_t handover_read(int control_fd, void *data, size_t bytes, int ret_fds[HANDOVER_FDS],
                      int flags)
{
    struct iovec part = {data, bytes};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(HANDOVER_FDS * sizeof(int))];
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = CMSG_LEN(HANDOVER_FDS * sizeof(int))};
    memset(ret_fds, -1, HANDOVER_FDS * sizeof(*ret_fds));
    ssize_t got = recvmsg(control_fd, &message, flags | MSG_CMSG_CLOEXEC);
    if (got < 0)
        return -errno;
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_type == SCM_RIGHTS)
        memcpy(ret_fds, CMSG_DATA(header), header->cmsg_len - CMSG_LEN(0));
    return got;
}

int handover_receive(int control_fd, struct executor_client *ret_client)
{
    int fds[HANDOVER_FDS];
    ssize_t got;
    do
        got = handover_read(control_fd, ret_client, sizeof(*ret_client), fds, 0);
    while (got == -EINTR);
    if (got < 0)
        return (int)got;
    if (got != (ssize_t)sizeof(*ret_client) || fds[1] < 0)
        return -EPIPE;
    ret_client->socket_fd = fds[0];
    ret_client->session_fd = fds[1];
    return 0;
}
