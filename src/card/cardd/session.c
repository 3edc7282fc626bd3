/* One client process of a card: see session.h. */
#include "card/cardd/session.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/random.h"
#include "card/cardd/books.h"
#include "card/cardd/card.h"
#include "card/cardd/cardd.h"
#include "card/cardd/device.h"
#include "card/cardd/keeper.h"
#include "card/cardd/pass.h"
#include "card/cardd/phase.h"
#include "card/cardd/process.h"
#include "card/cardd/spare.h"
#include "card/cardd/start.h"
#include "card/cardd/watch.h"
#include "card/executor/executor.h"
#include "card/meter/meter.h"

#define PAGES_OF_CARD 2 /* that its client is handed */
#define WELCOME_FDS 3
#define REPLACED_MAX 3 /* executors of a session: a driver may crash whenever it starts */

/* Room for the buffers of a card on the host's own memory. Twice the quota, so that there is a run
 * long enough for a buffer that fits the quota; pages come into being as they are used. */
static uint64_t arena_bytes(const struct session *session)
{
    const uint64_t page = 4096, most = 1ull << 40;
    const struct card *card = session->card;
    uint64_t quota_bytes = 0;
    for (unsigned i = 0; i < session->seat_count; i++)
        if (session->seats[i].card->quota_bytes > quota_bytes)
            quota_bytes = session->seats[i].card->quota_bytes;
    if (!card->device->shares_memory || quota_bytes > most || card->departing ||
        card_is_there(card))
        return 0;
    return (2 * quota_bytes + page - 1) & ~(page - 1);
}

static int put_at(int fd, const void *data, size_t bytes, uint64_t offset)
{
    ssize_t put = pwrite(fd, data, bytes, (off_t)offset);
    if (put < 0)
        return -errno;
    return put == (ssize_t)bytes ? 0 : -ENOMEM; /* a memory file takes all that there is room for */
}

/* Write what the client is told of a card's device. */
static int put_snapshot(const struct card *card, int fd, uint64_t offset)
{
    const struct device *device = card->device;
    if (device->snapshot_bytes == 0) /* a CUDA program asks its executor */
        return 0;
    AUTO_FREE uint8_t *snapshot = malloc(device->snapshot_bytes);
    if (!snapshot)
        return -ENOMEM;
    memcpy(snapshot, device->snapshot, device->snapshot_bytes);
    executor_fit_snapshot(snapshot, device->snapshot_bytes, card->quota_bytes);
    return put_at(fd, snapshot, device->snapshot_bytes, offset);
}

/* Lay out a session's memory and describe its devices. */
static int memory_fill(const struct session *session, int fd)
{
    struct wire_session layout = {0};
    (void)wire_session_layout(&layout);
    layout.arena_bytes = session->arena_bytes;
    layout.snapshot_length = session->card->device->snapshot_bytes;
    uint64_t offset = layout.snapshot_offset;
    int r = 0;
    for (unsigned i = 0; i < session->seat_count && r == 0; i++) {
        const uint64_t bytes = session->seats[i].card->device->snapshot_bytes;
        if (i > 0)
            layout.further_lengths[i - 1] = bytes;
        if (offset + bytes > layout.snapshot_offset + WIRE_SNAPSHOT_BYTES)
            return -E2BIG;
        r = put_snapshot(session->seats[i].card, fd, offset);
        offset += wire_pad8(bytes);
    }
    return r < 0 ? r : put_at(fd, &layout, sizeof(layout), 0);
}

/* A memory of fixed size for client and executor; `session->memory` is what we read of it. */
static int memory_create(struct session *session)
{
    struct wire_session layout;
    session->arena_bytes = session->moved ? 0 : arena_bytes(session);
    uint64_t bytes = wire_session_layout(&layout) + session->arena_bytes;
    AUTO_FD int fd = memfd_create("leat-session", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || fchmod(fd, 0600) < 0 || ftruncate(fd, (off_t)bytes) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return -errno;
    int r = memory_fill(session, fd);
    if (r < 0)
        return r;
    void *page = mmap(NULL, sizeof(layout), PROT_READ, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        return -errno;
    session->memory = page;
    session->session_fd = take_fd(&fd);
    return 0;
}

static pid_t peer_pid(int socket_fd)
{
    struct ucred peer;
    socklen_t length = sizeof(peer);
    return getsockopt(socket_fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 ? peer.pid : 0;
}

/* An executor, or one that has been asked for. */
static bool has_process(const struct session *session)
{
    return session->process.control_fd >= 0;
}

static void watches_stop(struct session *session)
{
    watch_stop(session->ended);
    watch_stop(session->notices);
    session->ended = session->notices = NULL;
}

/* The process has ended, or is another's from now on. */
static void process_leave(struct session *session)
{
    watches_stop(session);
    process_close(&session->process);
}

static void process_end(struct session *session)
{
    watches_stop(session);
    if (has_process(session))
        process_discard(session->cardd->keeper, &session->process);
}

static void session_free(struct session *session)
{
    process_leave(session);
    if (session->memory)
        (void)munmap((void *)(uintptr_t)session->memory, sizeof(*session->memory));
    cleanup_fd(&session->session_fd);
    fd_drop(&session->socket_fd);
    fd_drop(&session->moved_fd);
    starter_remove(session->cardd->starter, session);
    list_remove(&session->link);
    free(session);
}

static void notice_arrived(struct session *session)
{
    struct executor_notice notice;
    fd_hurry_begin(); /* an executor runs its tenant's code */
    ssize_t got = recv(session->process.control_fd, &notice, sizeof(notice), MSG_DONTWAIT);
    fd_hurry_end();
    if (got == (ssize_t)sizeof(notice) && session->order && notice.order == session->order) {
        session->order = 0;
        notice.code[sizeof(notice.code) - 1] = notice.text[sizeof(notice.text) - 1] = '\0';
        cardd_session_answered(session->cardd, session, &notice);
    } else if (got == 0) {
        watch_stop(session->notices); /* the end of the process comes next */
        session->notices = NULL;
    }
}

static void hold(const struct session *session, enum kept_of_session which, const int *fds,
                 unsigned count)
{
    keeper_hold_of_session(session->cardd->keeper, session->card->number, session->slot, which, fds,
                           count);
}

/* Nothing of it is left to the next leat-cardd. */
static void session_unbook(const struct session *session)
{
    for (unsigned i = 0; i < session->seat_count; i++) /* the first has what is said of all */
        book_step(session->seats[i].book, BOOK_FREE);
    keeper_drop_session(session->cardd->keeper, session->card->number, session->slot);
}

/* Its slots are free for others. */
static void session_delist(struct session *session)
{
    for (unsigned i = 0; i < session->seat_count; i++) {
        card_slot_reap(session->seats[i].card, session->seats[i].slot, session->memory);
        card_save(session->seats[i].card);
    }
    session_unbook(session);
    for (unsigned i = 0; i < session->seat_count; i++) {
        struct card *card = session->seats[i].card;
        card->sessions[session->seats[i].slot] = NULL;
        card->session_count--;
    }
    list_remove(&session->link);
}

/* The devices are free for who waits for them. */
static void turns_reap(const struct session *session)
{
    for (unsigned i = 0; i < session->seat_count; i++)
        meter_reap(session->seats[i].card->device->turn, (uint32_t)session->process.pid);
}

static void session_end(struct session *session, int status)
{
    turns_reap(session);
    session_delist(session);
    cardd_session_ended(session->cardd, session, status);
    session_free(session);
}

/* Another executor can take the place of one that was killed: before its first record it does so
 * from nothing, later from a checkpoint. What comes from another host comes once. */
static bool is_replaceable(const struct session *session, int status)
{
    const struct card *card = session->card;
    bool begun = __atomic_load_n(&card->ledger->slots[session->slot].begun, __ATOMIC_SEQ_CST);
    bool comes = session->moved && session->rebuilding;
    for (unsigned i = 0; i < session->seat_count; i++)
        if (session->seats[i].card->leaving)
            return false;
    return session->memory && WIFSIGNALED(status) && !comes && session->replaced < REPLACED_MAX &&
           (!begun || (phase_can_rebuild(card) && session->seat_count == 1));
}

static void executor_replace(struct session *session)
{
    const struct ledger_slot *ledger = &session->card->ledger->slots[session->slot];
    log_event(LOG_WARN, "executor.replaced", "card=%s executor=%d", session->card->name,
              (int)session->process.pid);
    turns_reap(session);
    process_leave(session);
    session->order = 0; /* it starts as its cards are */
    session->replaced++;
    session->rebuilding = __atomic_load_n(&ledger->begun, __ATOMIC_SEQ_CST) != 0;
    session->book->rebuilding = session->rebuilding;
    book_step(session->book, BOOK_WELCOMED);
    starter_add(session->cardd->starter, session);
    for (unsigned i = 0; i < session->seat_count; i++)
        phase_advance(session->cardd, session->seats[i].card);
}

void session_rebuilt(struct session *session, bool well, const char *reason)
{
    session->rebuilding = false;
    session->book->rebuilding = 0;
    fd_drop(&session->moved_fd);
    session->moved_fd = -1;
    if (well)
        return;
    if (session->moved) { /* its relay wants to know why */
        struct wire_welcome last = {.magic = WIRE_MAGIC, .version = WIRE_VERSION, .status = -EIO};
        (void)snprintf(last.text, sizeof(last.text), "%.255s", reason);
        (void)send(session->socket_fd, &last, sizeof(last), MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    session->replaced = REPLACED_MAX;
    session_kill(session);
}

/* The process has ended. A local client is no child: its status is not known. */
static void session_reap(void *arg)
{
    struct session *session = arg;
    int status = 0;
    if (session->memory && !keeper_reap(session->cardd->keeper, session->process.pid, &status))
        return;
    if (is_replaceable(session, status))
        executor_replace(session);
    else
        session_end(session, status);
}

bool session_is_away(const struct session *session, const struct card *but)
{
    for (unsigned i = 0; i < session->seat_count; i++)
        if (session->seats[i].card != but && card_is_away(session->seats[i].card))
            return true;
    return false;
}

/* One that is to be suspended for a departure first does what its client has posted. */
static bool starts_suspended(const struct session *session)
{
    const struct card *card = session->card;
    bool does_first = card->departing && card->phase == CARD_SUSPENDING && session->order;
    return session_is_away(session, NULL) && !does_first;
}

/* The executor is to have the client; one that has it already does not mind, of one that has ended
 * its end is seen. */
static void client_hand_over(struct session *session)
{
    struct executor_client client = {
        .arena_bytes = session->arena_bytes,
        .slot = session->slot,
        .suspended = session->rebuilding || starts_suspended(session),
        .rebuild = session->rebuilding,
        .moved = session->moved,
        .socket_fd = session->socket_fd,
        .session_fd = session->session_fd,
    };
    for (unsigned i = 1; i < session->seat_count; i++)
        client.further_slots[i - 1] = session->seats[i].slot;
    memcpy(client.id, session->id, sizeof(client.id));
    (void)executor_serve(session->process.control_fd, &client);
}

static void seat_add(struct session *session, struct card *card, unsigned slot)
{
    session->seats[session->seat_count++] = (struct seat){card, slot, &card->book->sessions[slot]};
}

/* NULL: out of memory. */
static struct session *session_alloc(struct cardd *cardd, struct card *card, unsigned slot)
{
    struct session *session = calloc(1, sizeof(*session));
    if (!session)
        return NULL;
    list_init(&session->link);
    list_init(&session->starting);
    session->session_fd = session->socket_fd = session->moved_fd = -1;
    session->cardd = cardd;
    session->card = card;
    session->slot = slot;
    session->book = &card->book->sessions[slot];
    session->process = PROCESS_NONE;
    seat_add(session, card, slot);
    return session;
}

/* A free slot of the card, or -1 with err set. */
static int slot_find(const struct card *card, struct error *err)
{
    int slot = card_free_slot(card);
    if (slot < 0)
        (void)error_set(err, -EUSERS, "too-many-sessions",
                        "card '%s' has %d processes already, which is the limit", card->name,
                        LEDGER_SLOTS);
    return slot;
}

/* A session in free slots of the cards, not running yet. NULL with err set. */
static struct session *session_create(struct cardd *cardd, const struct session_cards *cards,
                                      int socket_fd, struct error *err)
{
    int slots[WIRE_CARDS_MAX];
    for (unsigned i = 0; i < cards->count; i++) {
        slots[i] = slot_find(cards->cards[i], err);
        if (slots[i] < 0)
            return NULL;
    }
    struct session *session = session_alloc(cardd, cards->cards[0], (unsigned)slots[0]);
    if (!session) {
        error_set(err, -ENOMEM, "out-of-memory", "starting a session of '%s'",
                  cards->cards[0]->name);
        return NULL;
    }
    for (unsigned i = 1; i < cards->count; i++)
        seat_add(session, cards->cards[i], (unsigned)slots[i]);
    session->client_pid = peer_pid(socket_fd);
    for (unsigned i = 0; i < session->seat_count; i++)
        ledger_open_slot(session->seats[i].card->ledger, session->seats[i].slot);
    return session;
}

static int session_fail(struct session *session, int errnum, struct error *err)
{
    const char *name = session->card->name;
    for (unsigned i = 0; i < session->seat_count; i++) {
        struct ledger_card *ledger = session->seats[i].card->ledger;
        __atomic_store_n(&ledger->slots[session->seats[i].slot].state, 0, __ATOMIC_SEQ_CST);
    }
    session_unbook(session);
    session_free(session);
    return error_errno(err, errnum, "session-failed", "cannot start a session of card '%s'", name);
}

static void session_enlist(struct session *session)
{
    for (unsigned i = 0; i < session->seat_count; i++) {
        struct card *card = session->seats[i].card;
        card->sessions[session->seats[i].slot] = session;
        card->session_count++;
    }
    list_append(&session->cardd->sessions, &session->link);
}

/* Its process runs. */
static void session_announce(struct session *session)
{
    for (unsigned i = 0; i < session->seat_count; i++) {
        const struct seat *seat = &session->seats[i];
        struct ledger_slot *ledger = &seat->card->ledger->slots[seat->slot];
        uint32_t before =
            __atomic_exchange_n(&ledger->pid, (uint32_t)session->process.pid, __ATOMIC_SEQ_CST);
        if (before == 0)
            cardd_session_started(session->cardd, session, seat);
    }
}

_Static_assert(sizeof(struct wire_welcome) ==
                   offsetof(struct wire_welcome, zero) + sizeof(uint32_t),
               "padding would tell of our memory");

/* The answer to a client fits into its fresh socket's buffer; a client that has gone is seen by its
 * executor, or by its pidfd. */
static void welcome(const struct session *session, int socket_fd, const int first[WELCOME_FDS],
                    uint64_t session_bytes)
{
    struct wire_welcome welcome = {.magic = WIRE_MAGIC,
                                   .version = WIRE_VERSION,
                                   .slot = session->slot,
                                   .session_bytes = session_bytes};
    int fds[WELCOME_FDS + PAGES_OF_CARD * WIRE_FURTHER_MAX];
    unsigned count = WELCOME_FDS;
    memcpy(fds, first, WELCOME_FDS * sizeof(*fds));
    for (unsigned i = 1; i < session->seat_count; i++) {
        const struct seat *seat = &session->seats[i];
        welcome.further_slots[i - 1] = seat->slot;
        fds[count++] = seat->card->ledger_fd;
        fds[count++] = seat->card->claims_fd;
    }
    (void)pass_send(socket_fd, &welcome, sizeof(welcome), fds, count, MSG_DONTWAIT);
}

/* From here on the next leat-cardd would know of it. */
static void session_book(const struct session *session)
{
    for (unsigned i = 0; i < session->seat_count; i++) {
        const struct seat *seat = &session->seats[i];
        book_count_session(&seat->card->counted, seat->slot);
        card_save(seat->card);
        session->book->seats[i] = (struct book_seat){seat->card->number, seat->slot};
        if (i > 0)
            book_step(seat->book, BOOK_FURTHER);
    }
    session->book->seat_count = session->seat_count;
    session->book->pid = session->process.pid;
    session->book->client_pid = session->client_pid;
    session->book->arena_bytes = session->arena_bytes;
    session->book->rebuilding = session->rebuilding;
    memcpy(session->book->id, session->id, sizeof(session->id));
    book_step(session->book, BOOK_WELCOMING);
}

/* It has no executor and gets none. */
static int session_give_up(struct session *session, int errnum)
{
    struct error err;
    error_errno(&err, errnum, "session-failed", "cannot start a session of card '%s'",
                session->card->name);
    log_event(LOG_ERROR, "session.failed", "card=%s text=\"%s\"", session->card->name, err.text);
    process_end(session);
    session_delist(session);
    session_free(session);
    return errnum;
}

/* Its executor runs, and gets the client; one that has ended meanwhile is reaped and replaced. */
static int executor_engage(struct session *session)
{
    starter_remove(session->cardd->starter, session);
    hold(session, KEPT_PROCESS, &session->process.control_fd, 1);
    session->book->pid = session->process.pid;
    book_step(session->book, BOOK_FORKED);
    session->ended =
        watch_start(&session->cardd->loop, session->process.pidfd, session_reap, session);
    if (!session->ended)
        return session_give_up(session, -ENOMEM);
    client_hand_over(session);
    book_step(session->book, BOOK_SERVED);
    session_announce(session);
    if (session->card->counted.total > 1)
        spares_want(session->card); /* it is one of several: others may follow */
    if (session->rebuilding)
        phase_rebuild(session);
    else if (session->card->phase == CARD_MOVED)
        phase_offer(session);
    return 0;
}

static int executor_arrive(struct session *session, bool wait)
{
    int r = process_arrive(&session->process, wait);
    if (r > 0)
        return executor_engage(session);
    return r < 0 ? session_give_up(session, r) : 0;
}

/* The first that comes over the control descriptor of an executor is its fork. */
static void control_readable(void *arg)
{
    struct session *session = arg;
    if (session->process.pid)
        notice_arrived(session);
    else
        (void)executor_arrive(session, false);
}

static int control_watch(struct session *session)
{
    session->notices =
        watch_start(&session->cardd->loop, session->process.control_fd, control_readable, session);
    return session->notices ? 0 : -ENOMEM;
}

int session_launch(struct session *session)
{
    struct card *card = session->card;
    int r = 0;
    if (session->seat_count > 1 || !spares_take(card, &session->process))
        r = process_ask(card, PROCESS_FOR_CLIENT, session->slot, &session->process);
    if (r == 0)
        r = control_watch(session);
    if (r < 0)
        return session_give_up(session, r);
    return session->process.pid ? executor_engage(session) : 0;
}

void session_order(struct session *session, struct card *card, const struct executor_order *order)
{
    session->order = order->number;
    session->ordered_by = card;
    if (!has_process(session) && session_launch(session) < 0)
        return;
    if (session->process.pid == 0 && executor_arrive(session, true) < 0)
        return;
    /* Fails only when the executor has gone: its end answers for it. */
    (void)pass_send(session->process.control_fd, order, sizeof(*order), &order->file_fd,
                    order->file_fd >= 0, MSG_DONTWAIT);
}

/* Its executor is to make it from the checkpoint. */
static int origin_take(struct session *session, const struct session_origin *origin)
{
    memcpy(session->id, origin->id, sizeof(session->id));
    session->moved = session->rebuilding = true;
    session->card->needs_copy_room = true; /* each object is there twice for a moment */
    cardd_confine_again(session->cardd, session->card);
    session->moved_fd = fcntl(origin->checkpoint_fd, F_DUPFD_CLOEXEC, 0);
    return session->moved_fd < 0 ? -errno : 0;
}

int session_start(struct cardd *cardd, const struct session_cards *cards, int socket_fd,
                  const struct session_origin *origin, struct error *err)
{
    struct wire_session layout;
    const struct card *card = cards->cards[0];
    if (!card->device->snapshot && !card->device->cuda)
        return error_set(err, -ENODEV, "no-snapshot", "device %s cannot be described in %u bytes",
                         card->device->id, WIRE_SNAPSHOT_BYTES);
    struct session *session = session_create(cardd, cards, socket_fd, err);
    if (!session)
        return err->errnum;
    int r = origin ? origin_take(session, origin) : random_bytes(session->id, sizeof(session->id));
    if (r == 0)
        r = memory_create(session);
    if (r == 0)
        session->socket_fd = fcntl(socket_fd, F_DUPFD_CLOEXEC, 0);
    if (r == 0 && session->socket_fd < 0)
        r = -errno;
    if (r < 0)
        return session_fail(session, r, err);
    const int kept[] = {[KEPT_SESSION] = session->session_fd, [KEPT_SOCKET] = session->socket_fd};
    const int fds[WELCOME_FDS] = {session->session_fd, card->ledger_fd, card->claims_fd};
    session_book(session);
    hold(session, KEPT_SESSION, kept, sizeof(kept) / sizeof(kept[0]));
    welcome(session, socket_fd, fds, wire_session_layout(&layout) + session->arena_bytes);
    book_step(session->book, BOOK_WELCOMED);
    session_enlist(session);
    starter_add(cardd->starter, session);
    return 0;
}

int session_attach(struct cardd *cardd, struct card *card, int socket_fd, struct error *err)
{
    const struct session_cards cards = {{card}, 1};
    struct session *session = session_create(cardd, &cards, socket_fd, err);
    if (!session)
        return err->errnum;
    session->process.pid = session->client_pid;
    if (session->process.pid <= 0)
        return session_fail(session, -ESRCH, err);
    session->process.pidfd = (int)syscall(SYS_pidfd_open, session->process.pid, 0);
    if (session->process.pidfd >= 0)
        session->ended = watch_start(&cardd->loop, session->process.pidfd, session_reap, session);
    if (!session->ended)
        return session_fail(session, session->process.pidfd < 0 ? -ESRCH : -ENOMEM, err);
    session_book(session);
    hold(session, KEPT_PROCESS, &session->process.pidfd, 1);
    session_enlist(session);
    session_announce(session);
    const int fds[WELCOME_FDS] = {card->ledger_fd, card->device->turn_fd, card->notify_fd};
    welcome(session, socket_fd, fds, 0);
    book_step(session->book, BOOK_SERVED);
    return 0;
}

/* What the next steps of the session need, of what the keeper has of it. */
static int fds_adopt(struct session *session)
{
    const struct keeper *keeper = session->cardd->keeper;
    unsigned card = session->card->number, slot = session->slot;
    session->session_fd = keeper_kept_of_session(keeper, card, slot, KEPT_SESSION);
    session->socket_fd = keeper_kept_of_session(keeper, card, slot, KEPT_SOCKET);
    int process_fd = keeper_kept_of_session(keeper, card, slot, KEPT_PROCESS);
    if (session->session_fd < 0) { /* local */
        session->process.pidfd = process_fd;
        return process_fd < 0 ? -EBADF : 0;
    }
    void *page =
        mmap(NULL, sizeof(*session->memory), PROT_READ, MAP_SHARED, session->session_fd, 0);
    if (page == MAP_FAILED)
        return -errno;
    session->memory = page;
    if (session->book->step < BOOK_FORKED) {
        cleanup_fd(&process_fd); /* of one that was forked and never got the client */
        return session->socket_fd < 0 ? -EBADF : 0;
    }
    session->process.control_fd = process_fd;
    if (!keeper_has(keeper, session->process.pid))
        return -ESRCH; /* reaped, but its slot was not cleared */
    session->process.pidfd = (int)syscall(SYS_pidfd_open, session->process.pid, 0);
    return session->process.pidfd < 0 || process_fd < 0 ? -EBADF : 0;
}

/* Go on where the other was killed. */
static int session_continue(struct session *session)
{
    if (session->memory && session->book->step == BOOK_WELCOMED) {
        session->process = PROCESS_NONE;
        starter_add(session->cardd->starter, session);
        return 0;
    }
    session->ended =
        watch_start(&session->cardd->loop, session->process.pidfd, session_reap, session);
    if (!session->memory)
        return session->ended ? 0 : -ENOMEM;
    if (!session->ended || control_watch(session) < 0)
        return -ENOMEM;
    if (session->book->step == BOOK_FORKED)
        client_hand_over(session);
    book_step(session->book, BOOK_SERVED);
    return 0;
}

/* Its places in further cards: 0, or -ENOENT when one of these was not taken over. */
static int seats_adopt(struct session *session)
{
    const struct book_session *book = session->book;
    for (unsigned i = 1; i < book->seat_count && i < WIRE_CARDS_MAX; i++) {
        struct card *card = cardd_card_numbered(session->cardd, book->seats[i].card);
        if (!card)
            return -ENOENT;
        seat_add(session, card, book->seats[i].slot);
    }
    return 0;
}

/* A client that was not welcomed comes again. In the books that is so when the session goes. */
static void seats_uncount(const struct session *session)
{
    for (unsigned i = 0; i < session->seat_count; i++)
        book_uncount_session(&session->seats[i].card->counted, session->seats[i].slot);
}

void session_adopt(struct cardd *cardd, struct card *card, unsigned slot)
{
    struct book_session *book = &card->book->sessions[slot];
    struct session *session = session_alloc(cardd, card, slot);
    if (!session)
        return; /* its executor is killed as one that nobody knows */
    session->process.pid = book->pid;
    session->client_pid = book->client_pid;
    session->arena_bytes = book->arena_bytes;
    memcpy(session->id, book->id, sizeof(session->id));
    int r = seats_adopt(session);
    session_enlist(session);
    if (r == 0)
        r = fds_adopt(session);
    if (r == 0 && (book->step == BOOK_WELCOMING || book->rebuilding))
        r = -ECONNABORTED; /* whether the client was welcomed, or all is there, is not known */
    if (book->step == BOOK_WELCOMING)
        seats_uncount(session);
    if (r == 0)
        r = session_continue(session);
    if (r == 0)
        return;
    log_event(LOG_WARN, "session.ended", "card=%s pid=%d executor=%d code=not-adopted errno=%d",
              card->name, (int)session->client_pid, (int)session->process.pid, r);
    turns_reap(session);
    session_delist(session);
    session_free(session); /* its executor is killed as one that nobody knows */
}

void session_kill(struct session *session)
{
    if (session->process.pid == 0) {
        process_end(session);
        session_delist(session);
        session_free(session);
        return;
    }
    /* By the descriptor: a local client is no child of ours, and its number may be reused. */
    (void)syscall(SYS_pidfd_send_signal, session->process.pidfd, SIGKILL, NULL, 0);
}
