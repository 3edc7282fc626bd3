/* Attaching to leat-cardd: see process.h. */
#include "card/cuda/process.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "card/cuda/blocks.h"
#include "card/cuda/launch.h"
#include "card/cuda/pool.h"
#include "card/ledger/ledger.h"
#include "card/meter/meter.h"
#include "card/wire/wire.h"

#define WELCOME_TIMEOUT_S 60
#define PAGES 3 /* descriptors of the welcome: ledger, turn of the device, eventfd */

static struct {
    pthread_mutex_t lock;    /* guards the rest while attaching */
    pthread_mutex_t reserve; /* one reservation at a time */
    enum card_state state;
    struct card_view view;
} card = {.lock = PTHREAD_MUTEX_INITIALIZER, .reserve = PTHREAD_MUTEX_INITIALIZER};

static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

/* The child has no slot: its parent's must not be touched. The pages stay mapped, unused. */
static void begin_anew(void)
{
    (void)pthread_mutex_init(&card.lock, NULL);
    (void)pthread_mutex_init(&card.reserve, NULL);
    blocks_clear();
    pools_clear();
    launch_clear();
    card.view = (struct card_view){0};
    card.state = CARD_UNKNOWN;
}

static void watch_forks(void)
{
    (void)pthread_atfork(NULL, NULL,
                         begin_anew); /* without memory a child counts with its parent */
}

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
static int attach(const char *path, const char *token, struct card_view *ret_view)
{
    struct wire_welcome welcome = {0};
    int fds[PAGES];
    int fd = dial(path);
    if (fd < 0)
        return -1;
    int heard = say_hello(fd, token) == 0 && hear_welcome(fd, &welcome, fds) == 0;
    (void)close(fd);
    if (!heard)
        return -1;
    struct ledger_card *ledger = map_page(fds[0], sizeof(struct ledger_card));
    struct meter_device *device = map_page(fds[1], sizeof(struct meter_device));
    if (!ledger || !device)
        return -1;
    uint32_t owner = __atomic_load_n(&ledger->slots[welcome.slot].pid, __ATOMIC_SEQ_CST);
    struct meter *meter = meter_create(ledger, device, owner, welcome.slot, fds[2]);
    if (!meter)
        return -1;
    *ret_view = (struct card_view){ledger, meter, welcome.slot};
    return 0;
}

enum card_state process_card(struct card_view *ret_view)
{
    enum card_state state = __atomic_load_n(&card.state, __ATOMIC_ACQUIRE);
    if (state == CARD_UNKNOWN) {
        const char *path = getenv("LEAT_CARD_SOCKET"), *token = getenv("LEAT_CARD_TOKEN");
        int saved = errno;
        (void)pthread_once(&fork_once, watch_forks); /* cannot fail */
        (void)pthread_mutex_lock(&card.lock);
        if (card.state == CARD_UNKNOWN) {
            state = CARD_NONE;
            if (path && token)
                state = attach(path, token, &card.view) == 0 ? CARD_READY : CARD_FAILED;
            __atomic_store_n(&card.state, state, __ATOMIC_RELEASE);
        }
        state = card.state;
        (void)pthread_mutex_unlock(&card.lock);
        errno = saved;
    }
    if (state == CARD_READY)
        *ret_view = card.view;
    return state;
}

int process_reserve(uint64_t bytes)
{
    struct card_view view;
    enum card_state state = process_card(&view);
    if (state != CARD_READY)
        return state == CARD_FAILED ? -EIO : 0;
    (void)pthread_mutex_lock(&card.reserve);
    int r = ledger_reserve(view.ledger, view.slot, bytes);
    (void)pthread_mutex_unlock(&card.reserve);
    return r;
}

void process_release(uint64_t bytes)
{
    struct card_view view;
    if (bytes && process_card(&view) == CARD_READY)
        ledger_release(view.ledger, view.slot, bytes);
}
