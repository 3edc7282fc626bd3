/* Messages with descriptors: see pass.h. */
#include "card/cardd/pass.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"

int pass_send(int socket_fd, const void *data, size_t bytes, const int *fds, unsigned count,
              int flags)
{
    struct iovec part = {(void *)(uintptr_t)data, bytes};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(PASS_MAX * sizeof(int))] = {0};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (count > 0) {
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        *header = (struct cmsghdr){CMSG_LEN(count * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(header), fds, count * sizeof(int));
    }
    ssize_t sent;
    do
        sent = sendmsg(socket_fd, &message, flags | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : 0;
}

int pass_receive(int socket_fd, void *data, size_t bytes, int ret_fds[PASS_MAX], int flags)
{
    struct iovec part = {data, bytes};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(PASS_MAX * sizeof(int))];
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = CMSG_LEN(PASS_MAX * sizeof(int))};
    ssize_t got;
    for (unsigned i = 0; i < PASS_MAX; i++)
        ret_fds[i] = -1;
    do
        got = recvmsg(socket_fd, &message, flags | MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got <= 0)
        return got < 0 ? -errno : -EPIPE;
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_type == SCM_RIGHTS)
        memcpy(ret_fds, CMSG_DATA(header), header->cmsg_len - CMSG_LEN(0));
    if (got == (ssize_t)bytes)
        return 0;
    for (unsigned i = 0; i < PASS_MAX; i++)
        cleanup_fd(&ret_fds[i]);
    return -EPROTO;
}
