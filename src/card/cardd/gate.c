/* The session socket: see gate.h. */
#include "card/cardd/gate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/list.h"
#include "base/log.h"
#include "card/cardd/card.h"
#include "card/cardd/cardd.h"
#include "card/cardd/device.h"
#include "card/cardd/session.h"
#include "card/cardd/start.h"
#include "card/cardd/watch.h"
#include "card/wire/wire.h"

#define ADMITTED_AT_ONCE 32 /* clients, before the loop looks for other events */
#define REFUSALS_LOGGED 10  /* a second: whoever keeps calling does not fill the disk */

/* A client that has connected and not yet said all of its hello. */
struct guest {
    struct list link; /* in the order of arrival */
    struct gate *gate;
    int fd;
    struct watch *watch;
    uint64_t deadline_ns;
    size_t got_bytes;
    struct wire_hello hello;
    int passed_fd; /* that came with it, or -1 */
};

struct gate {
    struct cardd *cardd;
    int fd;
    int spare_fd; /* given up for a moment when descriptors run out */
    struct watch *watch;
    uv_timer_t timer; /* deadline of the oldest guest */
    struct list guests;
    unsigned guest_count;
    uint64_t refusals_since_ns; /* of those logged in this second */
    unsigned refusals_logged;
    uint64_t refusals_untold; /* before the next that is logged */
};

static void guest_drop(struct guest *guest)
{
    watch_stop(guest->watch);
    fd_drop(&guest->fd);
    fd_drop(&guest->passed_fd);
    list_remove(&guest->link);
    guest->gate->guest_count--;
    explicit_bzero(&guest->hello, sizeof(guest->hello));
    free(guest);
}

static struct guest *guest_oldest(const struct gate *gate)
{
    return list_empty(&gate->guests) ? NULL : LIST_ENTRY(gate->guests.next, struct guest, link);
}

static void guests_expire(uv_timer_t *timer)
{
    struct gate *gate = timer->data;
    uint64_t now_ns = clock_monotonic_ns();
    struct guest *oldest;
    while ((oldest = guest_oldest(gate)) && oldest->deadline_ns <= now_ns)
        guest_drop(oldest);
    if (oldest)
        (void)uv_timer_start(timer, guests_expire, /* cannot fail */
                             (oldest->deadline_ns - now_ns) / NS_PER_MS + 1, 0);
}

static void refusal_log(struct gate *gate, const char *code, const char *text)
{
    const uint64_t now_ns = clock_monotonic_ns();
    if (now_ns - gate->refusals_since_ns >= NS_PER_S) {
        gate->refusals_since_ns = now_ns;
        gate->refusals_logged = 0;
    }
    if (gate->refusals_logged == REFUSALS_LOGGED) {
        gate->refusals_untold++;
        return;
    }
    gate->refusals_logged++;
    log_event(LOG_INFO, "session.refused", "code=%s text=\"%s\" untold=%llu", code, text,
              (unsigned long long)gate->refusals_untold);
    gate->refusals_untold = 0;
}

/* The answer fits into a fresh socket's buffer; a client that has gone does not want it. */
static void guest_refuse(const struct guest *guest, const struct error *error)
{
    struct wire_welcome welcome = {
        .magic = WIRE_MAGIC, .version = WIRE_VERSION, .status = error->errnum};
    (void)snprintf(welcome.text, sizeof(welcome.text), "%.255s", error->text);
    (void)send(guest->fd, &welcome, sizeof(welcome), MSG_NOSIGNAL | MSG_DONTWAIT);
    refusal_log(guest->gate, error->code, error->text);
}

static struct card *card_find(const struct guest *guest, char token[WIRE_TOKEN_MAX],
                              struct error *err)
{
    token[WIRE_TOKEN_MAX - 1] = '\0';
    struct card *card = cardd_card_by_token(guest->gate->cardd, token);
    if (!card)
        (void)error_set(err, -EACCES, "bad-token",
                        "no card has this token; it may have been removed");
    return card;
}

/* One process can have both: their devices differ only in what is told of each, they are on this
 * host, and so are their contents. */
static int check_together(const struct card *first, const struct card *card, struct error *err)
{
    if (first->device->cuda)
        return error_set(err, -EOPNOTSUPP, "wrong-interface",
                         "card '%s' is for CUDA programs, which have one session a card",
                         first->name);
    if (strcmp(first->cache_dir, card->cache_dir) != 0)
        return error_set(err, -EACCES, "other-tenant", "cards '%s' and '%s' are not of one tenant",
                         first->name, card->name);
    if (card_is_elsewhere(first) || card_is_elsewhere(card))
        return error_set(err, -EREMOTE, "card-moved",
                         "card '%s' or '%s' is on another host, or on its way there", first->name,
                         card->name);
    int r = device_stands_in(card->device, first->device, err);
    return r < 0 ? r : device_stands_in(first->device, card->device, err);
}

/* The further cards that the guest asks for. */
static int further_find(struct guest *guest, struct session_cards *cards, struct error *err)
{
    struct wire_hello *hello = &guest->hello;
    if (hello->further_count > WIRE_FURTHER_MAX)
        return error_set(err, -EPROTO, "bad-hello", "a platform has %d cards at most",
                         WIRE_CARDS_MAX);
    for (unsigned i = 0; i < hello->further_count; i++) {
        struct card *card = card_find(guest, hello->further[i], err);
        int r = card ? check_together(cards->cards[0], card, err) : err->errnum;
        if (r < 0)
            return r;
        for (unsigned j = 0; j < cards->count; j++)
            if (cards->cards[j]->device == card->device)
                return error_set(err, -EEXIST, "same-device",
                                 "cards '%s' and '%s' are both of %s, which a platform has once",
                                 cards->cards[j]->name, card->name, card->device->id);
        cards->cards[cards->count++] = card;
    }
    return 0;
}

static int guest_serve(struct guest *guest, struct error *err)
{
    struct wire_hello *hello = &guest->hello;
    struct cardd *cardd = guest->gate->cardd;
    if (hello->magic != WIRE_MAGIC || hello->version != WIRE_VERSION)
        return error_set(err, -EPROTO, "bad-version",
                         "the card client speaks version %u, leat-cardd version %d; update the "
                         "older one",
                         hello->version, WIRE_VERSION);
    struct card *card = card_find(guest, hello->token, err);
    if (!card)
        return err->errnum;
    bool cuda = hello->flags == WIRE_HELLO_CUDA;
    if (cuda != card->device->cuda)
        return error_set(err, -EOPNOTSUPP, "wrong-interface", "card '%s' is for %s programs",
                         card->name, cuda ? "OpenCL" : "CUDA");
    struct session_cards cards = {{card}, 1};
    if (further_find(guest, &cards, err) < 0)
        return err->errnum;
    if (card_is_local(card))
        return session_attach(cardd, card, guest->fd, err);
    const struct session_origin origin = {hello->session, guest->passed_fd};
    if (hello->flags != WIRE_HELLO_MOVED)
        return session_start(cardd, &cards, guest->fd, NULL, err);
    if (guest->passed_fd < 0 || card->phase != CARD_ACTIVE || cards.count > 1)
        return error_set(err, -EBUSY, "card-busy", "card '%s' cannot take a session now",
                         card->name);
    return session_start(cardd, &cards, guest->fd, &origin, err);
}

/* Take in what the client has said by now. 1: its whole hello is there, 0: more is to come, -1: it
 * has gone. */
static int guest_hear(struct guest *guest)
{
    char *next = (char *)&guest->hello + guest->got_bytes;
    struct iovec part = {next, sizeof(guest->hello) - guest->got_bytes};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = CMSG_LEN(sizeof(int))};
    fd_hurry_begin(); /* descriptors beyond the first are dropped there */
    ssize_t n = recvmsg(guest->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    fd_hurry_end();
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0)
        return -1;
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_type == SCM_RIGHTS) { /* one, for there is room for one */
        fd_drop(&guest->passed_fd);
        memcpy(&guest->passed_fd, CMSG_DATA(header), sizeof(int));
    }
    guest->got_bytes += (size_t)n;
    /* The hello of another version may be shorter. */
    return guest->got_bytes == sizeof(guest->hello) ||
           (guest->got_bytes >= offsetof(struct wire_hello, pid) &&
            guest->hello.version != WIRE_VERSION);
}

static void guest_finish(struct guest *guest, int heard)
{
    struct error error;
    watch_stop(guest->watch); /* before the fork: the executor inherits no registration */
    guest->watch = NULL;
    if (heard > 0 && guest_serve(guest, &error) < 0)
        guest_refuse(guest, &error);
    guest_drop(guest);
}

static void guest_readable(void *arg)
{
    struct guest *guest = arg;
    starter_hold(guest->gate->cardd->starter);
    int heard = guest_hear(guest);
    if (heard != 0)
        guest_finish(guest, heard);
}

/* Its hello may take until the deadline. */
static void guest_await(struct guest *guest)
{
    struct gate *gate = guest->gate;
    guest->watch = watch_start(&gate->cardd->loop, guest->fd, guest_readable, guest);
    if (!guest->watch) {
        guest_drop(guest);
        return;
    }
    if (gate->guest_count > GATE_WAITING_MAX)
        guest_drop(guest_oldest(gate));
    if (gate->guest_count == 1)
        (void)uv_timer_start(&gate->timer, guests_expire, GATE_HELLO_MS, 0); /* cannot fail */
}

/* Most clients have said hello before they are let in. */
static void guest_admit(struct gate *gate, int fd)
{
    struct guest *guest = calloc(1, sizeof(*guest));
    if (!guest) {
        (void)close(fd);
        return;
    }
    guest->gate = gate;
    guest->fd = fd;
    guest->passed_fd = -1;
    guest->deadline_ns = clock_monotonic_ns() + GATE_HELLO_MS * NS_PER_MS;
    list_append(&gate->guests, &guest->link);
    gate->guest_count++;
    int heard = guest_hear(guest);
    if (heard != 0)
        guest_finish(guest, heard);
    else
        guest_await(guest);
}

static int accept_one(const struct gate *gate)
{
    return accept4(gate->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

/* Out of descriptors: turn the caller away, or it would keep the loop awake for ever. */
static void turn_away(struct gate *gate)
{
    cleanup_fd(&gate->spare_fd);
    int fd = accept_one(gate);
    fd_drop(&fd);
    gate->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    refusal_log(gate, "out-of-descriptors", "leat-cardd has too many open");
}

static void gate_readable(void *arg)
{
    struct gate *gate = arg;
    starter_hold(gate->cardd->starter);
    for (int i = 0; i < ADMITTED_AT_ONCE; i++) {
        int fd = accept_one(gate);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE))
            turn_away(gate);
        if (fd < 0)
            return;
        guest_admit(gate, fd);
    }
}

static void gate_freed(uv_handle_t *handle)
{
    free(handle->data);
}

struct gate *gate_open(struct cardd *cardd, int fd)
{
    struct gate *gate = calloc(1, sizeof(*gate));
    if (!gate || uv_timer_init(&cardd->loop, &gate->timer) < 0) {
        free(gate);
        (void)close(fd);
        return NULL;
    }
    gate->timer.data = gate;
    gate->cardd = cardd;
    gate->fd = fd;
    gate->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    list_init(&gate->guests);
    gate->watch = watch_start(&cardd->loop, fd, gate_readable, gate);
    if (!gate->watch) {
        gate_close(gate);
        return NULL;
    }
    return gate;
}

void gate_close(struct gate *gate)
{
    if (!gate)
        return;
    struct guest *guest;
    while ((guest = guest_oldest(gate)))
        guest_drop(guest);
    watch_stop(gate->watch);
    cleanup_fd(&gate->fd);
    cleanup_fd(&gate->spare_fd);
    uv_close((uv_handle_t *)&gate->timer, gate_freed);
}
