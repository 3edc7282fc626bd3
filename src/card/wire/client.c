/* Connecting to leat-cardd and mapping a session: see client.h. */
#include "card/wire/client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define WELCOME_TIMEOUT_S 60 /* a cold driver takes seconds to start, on a busy machine many */
#define SPIN_FIRST_NS 20000u
#define PAGES_OF_CARD 2
#define PASSED_FDS (1 + PAGES_OF_CARD * WIRE_CARDS_MAX) /* at most */
#define CONNECT_TRIES 5

static int refuse(char text[WIRE_TEXT_MAX], int errnum, const char *what)
{
    (void)snprintf(text, WIRE_TEXT_MAX, "%s: %s", what, strerror(-errnum));
    return errnum;
}

static int dial(const char *path, int *ret_fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    if (length >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, length);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    struct timeval timeout = {.tv_sec = WELCOME_TIMEOUT_S};
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0 ||
        connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        int errnum = -errno;
        (void)close(fd);
        return errnum;
    }
    *ret_fd = fd;
    return 0;
}

/* Who comes, and with what. */
struct visit {
    const char *tokens;
    enum wire_hello_flags flags;
    const uint8_t *session; /* of one that moved, as what follows; else NULL */
    int checkpoint_fd;
};

/* Copy the tokens, of which the first is the session's own: 0, or -EINVAL when one is too long, or
 * they are too many. */
static int put_tokens(struct wire_hello *hello, const char *tokens)
{
    char *place = hello->token;
    for (;;) {
        const size_t length = strcspn(tokens, "+");
        if (length >= WIRE_TOKEN_MAX)
            return -EINVAL;
        memcpy(place, tokens, length);
        tokens += length;
        if (!*tokens++)
            return 0;
        if (hello->further_count == WIRE_FURTHER_MAX)
            return -EINVAL;
        place = hello->further[hello->further_count++];
    }
}

static int send_hello(int fd, const struct visit *visit)
{
    struct wire_hello hello = {.magic = WIRE_MAGIC,
                               .version = WIRE_VERSION,
                               .pid = (uint32_t)getpid(),
                               .flags = visit->flags};
    struct iovec part = {&hello, sizeof(hello)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
    if (put_tokens(&hello, visit->tokens) < 0)
        return -EINVAL;
    if (visit->session) {
        memcpy(hello.session, visit->session, sizeof(hello.session));
        message.msg_control = control;
        message.msg_controllen = sizeof(control);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        *header = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(header), &visit->checkpoint_fd, sizeof(int));
    }
    ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL);
    if (sent < 0)
        return -errno;
    return sent == (ssize_t)sizeof(hello) ? 0 : -EPIPE;
}

/* The descriptors ride on the first byte of the welcome; the rest may come in pieces. */
static int receive_welcome(int fd, struct wire_welcome *ret_welcome, int fds[PASSED_FDS])
{
    union {
        struct cmsghdr align;
        char data[CMSG_SPACE(PASSED_FDS * sizeof(int))];
    } control;
    size_t got = 0;
    while (got < sizeof(*ret_welcome)) {
        struct iovec piece = {(char *)ret_welcome + got, sizeof(*ret_welcome) - got};
        struct msghdr message = {.msg_iov = &piece,
                                 .msg_iovlen = 1,
                                 .msg_control = control.data,
                                 .msg_controllen = CMSG_LEN(PASSED_FDS * sizeof(int))};
        ssize_t length = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
        if (length < 0 && errno == EINTR)
            continue;
        if (length <= 0)
            return length < 0 ? -errno : -ECONNRESET;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        if (header && header->cmsg_type == SCM_RIGHTS && fds[0] < 0)
            memcpy(fds, CMSG_DATA(header), header->cmsg_len - CMSG_LEN(0));
        got += (size_t)length;
    }
    ret_welcome->text[sizeof(ret_welcome->text) - 1] = '\0';
    return 0;
}

static int map_session(struct wire_client *client, int fd, const struct wire_welcome *welcome)
{
    struct wire_session expected;
    uint64_t need = wire_session_layout(&expected);
    if (welcome->session_bytes < need)
        return -EPROTO;
    void *memory = mmap(NULL, welcome->session_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return -errno;
    client->session = memory;
    client->session_bytes = welcome->session_bytes;
    return 0;
}

static void close_all(int *fds, int count)
{
    for (int i = 0; i < count; i++)
        if (fds[i] >= 0)
            (void)close(fds[i]);
}

static unsigned further_of(const struct visit *visit)
{
    unsigned count = 0;
    for (const char *at = visit->tokens; (at = strchr(at, '+')) != NULL; at++)
        count++;
    return count;
}

/* What the welcome has brought. Without a session the socket has done its work. */
static int begin(struct wire_client *client, const struct wire_welcome *welcome,
                 enum wire_hello_flags flags, unsigned further, const int fds[PASSED_FDS])
{
    if (welcome->magic != WIRE_MAGIC || welcome->version != WIRE_VERSION ||
        fds[PAGES_OF_CARD * (further + 1)] < 0)
        return -EPROTO;
    if (welcome->session_bytes == 0)
        return flags == WIRE_HELLO_CUDA ? 0 : -EPROTO;
    return map_session(client, fds[0], welcome);
}

static void keep_session(struct wire_client *client, int socket_fd,
                         const struct wire_welcome *welcome, unsigned further,
                         const int fds[PASSED_FDS], struct wire_pages *ret_pages)
{
    (void)close(fds[0]); /* it is mapped */
    *ret_pages = (struct wire_pages){fds[1], fds[2], -1, -1, .further_count = further};
    for (unsigned i = 0; i < further; i++) {
        const int *pages = &fds[1 + PAGES_OF_CARD * (i + 1)];
        ret_pages->further[i] =
            (struct wire_further){pages[0], pages[1], welcome->further_slots[i]};
    }
    client->socket_fd = socket_fd;
    client->sequence = 0;
    client->dead = 0;
    client->poison = getenv("LEAT_CARD_POISON") != NULL;
    client->lanes_taken = 0;
    client->spin_ns = SPIN_FIRST_NS;
    wire_load_init(&client->load);
}

static int connect_once(struct wire_client *client, const char *path, const struct visit *visit,
                        struct wire_pages *ret_pages, char ret_text[WIRE_TEXT_MAX])
{
    struct wire_welcome welcome = {0};
    const unsigned further = further_of(visit);
    int fds[PASSED_FDS];
    int fd = -1;
    memset(fds, -1, sizeof(fds));
    int result = dial(path, &fd);
    if (result < 0)
        return refuse(ret_text, result, path);
    result = send_hello(fd, visit);
    if (result == 0)
        result = receive_welcome(fd, &welcome, fds);
    if (result == 0 && welcome.status < 0) {
        (void)snprintf(ret_text, WIRE_TEXT_MAX, "%s", welcome.text);
        result = welcome.status;
    } else {
        if (result == 0)
            result = begin(client, &welcome, visit->flags, further, fds);
        if (result < 0)
            (void)refuse(ret_text, result, "the card gave no session");
    }
    if (result < 0) {
        close_all(fds, PASSED_FDS);
        (void)close(fd);
        return result;
    }
    client->slot = welcome.slot;
    if (client->session) {
        keep_session(client, fd, &welcome, further, fds, ret_pages);
        return 0;
    }
    (void)close(fd);
    *ret_pages = (struct wire_pages){
        .ledger_fd = fds[0], .claims_fd = -1, .turn_fd = fds[1], .notify_fd = fds[2]};
    return 0;
}

/* A leat-cardd that is killed before it has answered is followed by another at once. */
static int connect_as(struct wire_client *client, const char *path, const struct visit *visit,
                      struct wire_pages *ret_pages, char ret_text[WIRE_TEXT_MAX])
{
    int result, tries = CONNECT_TRIES;
    do
        result = connect_once(client, path, visit, ret_pages, ret_text);
    while ((result == -ECONNRESET || result == -EPIPE) && --tries > 0);
    return result;
}

int wire_connect(struct wire_client *client, const char *path, const char *token,
                 enum wire_hello_flags flags, struct wire_pages *ret_pages,
                 char ret_text[WIRE_TEXT_MAX])
{
    const struct visit visit = {.tokens = token, .flags = flags, .checkpoint_fd = -1};
    return connect_as(client, path, &visit, ret_pages, ret_text);
}

int wire_connect_moved(struct wire_client *client, const char *path, const char *token,
                       const uint8_t session[WIRE_SESSION_ID_BYTES], int checkpoint_fd,
                       struct wire_pages *ret_pages, char ret_text[WIRE_TEXT_MAX])
{
    const struct visit visit = {token, WIRE_HELLO_MOVED, session, checkpoint_fd};
    return connect_as(client, path, &visit, ret_pages, ret_text);
}

void wire_last_words(const struct wire_client *client, char ret_text[WIRE_TEXT_MAX])
{
    struct wire_welcome last = {0};
    ssize_t got = recv(client->socket_fd, &last, sizeof(last), MSG_DONTWAIT);
    last.text[sizeof(last.text) - 1] = '\0';
    (void)snprintf(ret_text, WIRE_TEXT_MAX, "%s", got == (ssize_t)sizeof(last) ? last.text : "");
}

void wire_disconnect(struct wire_client *client)
{
    if (!client->session)
        return;
    (void)munmap(client->session, client->session_bytes);
    (void)close(client->socket_fd);
    *client = (struct wire_client){.socket_fd = -1};
}

int wire_check_alive(struct wire_client *client)
{
    if (!wire_alive(client))
        return 0;
    /* The socket is silent while the session lives: whatever can be read is its end. */
    struct pollfd end = {.fd = client->socket_fd, .events = POLLIN};
    if (poll(&end, 1, 0) != 0 ||
        __atomic_load_n(&client->session->executor_ended, __ATOMIC_ACQUIRE) != 0) {
        if (end.revents == 0 && client->session->executor_ended == 0)
            return 1; /* poll was interrupted; the next check will tell */
        __atomic_store_n(&client->dead, 1, __ATOMIC_RELEASE);
        return 0;
    }
    return 1;
}
