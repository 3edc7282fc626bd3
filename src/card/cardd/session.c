/* One client process of a card: see session.h. */
#include "card/cardd/session.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "card/cardd/card.h"
#include "card/cardd/cardd.h"
#include "card/cardd/confine.h"
#include "card/cardd/device.h"
#include "card/cardd/start.h"
#include "card/cardd/watch.h"
#include "card/executor/executor.h"
#include "card/meter/meter.h"

#define WELCOME_FDS 3

/* Room for the buffers of a card on the host's own memory. Twice the quota, so that there is a run
 * long enough for a buffer that fits the quota; pages come into being as they are used. */
static uint64_t arena_bytes(const struct card *card)
{
    const uint64_t page = 4096, most = 1ull << 40;
    if (!card->device->shares_memory || card->quota_bytes > most)
        return 0;
    return (2 * card->quota_bytes + page - 1) & ~(page - 1);
}

static int put_at(int fd, const void *data, size_t bytes, uint64_t offset)
{
    ssize_t put = pwrite(fd, data, bytes, (off_t)offset);
    if (put < 0)
        return -errno;
    return put == (ssize_t)bytes ? 0 : -ENOMEM; /* a memory file takes all that there is room for */
}

/* Lay out a session's memory and write what the client is told of the device. */
static int memory_fill(const struct session *session, int fd)
{
    const struct card *card = session->card;
    const struct device *device = card->device;
    struct wire_session layout = {0};
    (void)wire_session_layout(&layout);
    layout.arena_bytes = session->arena_bytes;
    layout.snapshot_length = device->snapshot_bytes;
    int r = put_at(fd, &layout, sizeof(layout), 0);
    if (r < 0 || device->snapshot_bytes == 0) /* a CUDA program asks its executor */
        return r;
    AUTO_FREE uint8_t *snapshot = malloc(device->snapshot_bytes);
    if (!snapshot)
        return -ENOMEM;
    memcpy(snapshot, device->snapshot, device->snapshot_bytes);
    executor_fit_snapshot(snapshot, device->snapshot_bytes, card->quota_bytes);
    return put_at(fd, snapshot, device->snapshot_bytes, layout.snapshot_offset);
}

/* A memory of fixed size for client and executor; `session->memory` is what we read of it. */
static int memory_create(struct session *session)
{
    struct wire_session layout;
    session->arena_bytes = arena_bytes(session->card);
    uint64_t bytes = wire_session_layout(&layout) + session->arena_bytes;
    AUTO_FD int fd = memfd_create("leat-session", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || fchmod(fd, 0600) < 0 || ftruncate(fd, (off_t)bytes) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
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

static int compare_fds(const void *a, const void *b)
{
    int left = *(const int *)a, right = *(const int *)b;
    return (left > right) - (left < right);
}

/* Close every descriptor above 2 but those in `keep`, which is sorted in place. */
static void close_others(int *keep, size_t count)
{
    unsigned first = STDERR_FILENO + 1;
    qsort(keep, count, sizeof(*keep), compare_fds);
    for (size_t i = 0; i < count; i++) {
        if ((unsigned)keep[i] > first)
            (void)close_range(first, (unsigned)keep[i] - 1, 0);
        first = (unsigned)keep[i] + 1;
    }
    (void)close_range(first, ~0u, 0); /* fails only on wrong arguments */
}

/* Signals as a fresh process has them; libuv's handlers would write to a pipe of the parent. */
static void signals_reset(void)
{
    static const int handled[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGCHLD};
    struct sigaction plain = {.sa_handler = SIG_DFL};
    sigset_t none;
    for (size_t i = 0; i < sizeof(handled) / sizeof(handled[0]); i++)
        (void)sigaction(handled[i], &plain, NULL); /* fails only on wrong arguments */
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The child: give up everything that is not this session's, then serve. */
static _Noreturn void executor_run(struct cardd *cardd, struct card *card, pid_t parent,
                                   const struct executor_params *params)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (getppid() != parent)
        _exit(EXIT_FAILURE); /* leat-cardd ended before the death signal was set */
    signals_reset();
    int r = card->confined ? confine_enter(cardd->confine, card->name) : 0;
    if (r < 0)
        log_event(LOG_WARN, "executor.unconfined", "card=%s errno=%d", card->name, r);
    cardd_forget_others(cardd, card);
    int keep[] = {params->socket_fd, params->session_fd, params->notify_fd, params->control_fd};
    close_others(keep, sizeof(keep) / sizeof(keep[0]));
    executor_main(params);
}

static pid_t peer_pid(int socket_fd)
{
    struct ucred peer;
    socklen_t length = sizeof(peer);
    return getsockopt(socket_fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 ? peer.pid : 0;
}

static void session_free(struct session *session)
{
    watch_stop(session->ended);
    watch_stop(session->notices);
    cleanup_fd(&session->control_fd);
    if (session->memory)
        (void)munmap((void *)(uintptr_t)session->memory, sizeof(*session->memory));
    cleanup_fd(&session->pidfd);
    cleanup_fd(&session->session_fd);
    cleanup_fd(&session->socket_fd);
    list_remove(&session->starting);
    list_remove(&session->link);
    free(session);
}

static void notice_arrived(void *arg)
{
    struct session *session = arg;
    struct executor_notice notice;
    ssize_t got = recv(session->control_fd, &notice, sizeof(notice), MSG_DONTWAIT);
    if (got == (ssize_t)sizeof(notice) && session->ordered) {
        session->ordered = false;
        notice.text[sizeof(notice.text) - 1] = '\0';
        cardd_session_answered(session->cardd, session, &notice);
    } else if (got == 0) {
        watch_stop(session->notices); /* the end of the process comes next */
        session->notices = NULL;
    }
}

void session_order(struct session *session, const struct executor_order *order)
{
    struct iovec part = {(void *)(uintptr_t)order, sizeof(*order)};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (order->file_fd >= 0) {
        message.msg_control = control;
        message.msg_controllen = sizeof(control);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        *header = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(header), &order->file_fd, sizeof(int));
    }
    if (session->pid == 0 && session_launch(session) < 0)
        return;
    session->ordered = true;
    /* Fails only when the executor has gone: its end answers for it. */
    (void)sendmsg(session->control_fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Its slot is free for others. */
static void session_delist(struct session *session)
{
    struct card *card = session->card;
    card_slot_reap(card, session->slot, session->memory);
    card->sessions[session->slot] = NULL;
    card->session_count--;
    list_remove(&session->link);
}

static void session_reap(void *arg)
{
    struct session *session = arg;
    int status = 0;
    pid_t got = waitpid(session->pid, &status, WNOHANG);
    if (got == 0 || (got < 0 && errno == EINTR))
        return;
    meter_reap(session->card->device->turn, (uint32_t)session->pid);
    session_delist(session);
    cardd_session_ended(session->cardd, session, status);
    session_free(session);
}

static int executor_fork(struct session *session)
{
    struct card *card = session->card;
    struct cardd *cardd = session->cardd;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    session->control_fd = pair[0];
    AUTO_FD int executors_fd = pair[1];
    struct executor_params params = {
        .control_fd = executors_fd,
        .suspended = card_is_away(card),
        .socket_fd = session->socket_fd,
        .session_fd = session->session_fd,
        .notify_fd = card->notify_fd,
        .arena_bytes = session->arena_bytes,
        .ledger = card->ledger,
        .trace = card->trace,
        .device = card->device->turn,
        .slot = session->slot,
        .platform_index = card->device->platform_index,
        .device_index = card->device->device_index,
        .card_name = card->name,
        .cache_dir = card->cache_dir,
    };
    int r = random_bytes(params.id, sizeof(params.id));
    if (r < 0)
        return r;
    pid_t parent = getpid(), child = fork();
    if (child == 0)
        executor_run(cardd, card, parent, &params);
    if (child < 0)
        return -errno;
    session->pid = child;
    session->pidfd = (int)syscall(SYS_pidfd_open, child, 0);
    if (session->pidfd >= 0)
        session->ended = watch_start(&cardd->loop, session->pidfd, session_reap, session);
    session->notices = watch_start(&cardd->loop, session->control_fd, notice_arrived, session);
    if (!session->ended || !session->notices) {
        (void)kill(child, SIGKILL); /* our child, not yet waited for */
        (void)waitpid(child, NULL, 0);
        session->pid = 0;
        return -ENOMEM;
    }
    return 0;
}

/* A session in a free slot of the card, not running yet. NULL with err set. */
static struct session *session_create(struct cardd *cardd, struct card *card, int socket_fd,
                                      struct error *err)
{
    int slot = card_free_slot(card);
    if (slot < 0) {
        error_set(err, -EUSERS, "too-many-sessions",
                  "card '%s' has %d processes already, which is the limit", card->name,
                  LEDGER_SLOTS);
        return NULL;
    }
    struct session *session = calloc(1, sizeof(*session));
    if (!session) {
        error_set(err, -ENOMEM, "out-of-memory", "starting a session of '%s'", card->name);
        return NULL;
    }
    list_init(&session->link);
    list_init(&session->starting);
    session->session_fd = session->socket_fd = -1;
    session->cardd = cardd;
    session->card = card;
    session->slot = (unsigned)slot;
    session->pidfd = session->control_fd = -1;
    session->client_pid = peer_pid(socket_fd);
    ledger_open_slot(card->ledger, session->slot);
    return session;
}

static int session_fail(struct session *session, int errnum, struct error *err)
{
    const struct card *card = session->card;
    __atomic_store_n(&card->ledger->slots[session->slot].state, 0, __ATOMIC_SEQ_CST);
    session_free(session);
    return error_errno(err, errnum, "session-failed", "cannot start a session of card '%s'",
                       card->name);
}

static void session_enlist(struct session *session)
{
    struct card *card = session->card;
    card->sessions[session->slot] = session;
    card->session_count++;
    card->sessions_total++;
    list_append(&session->cardd->sessions, &session->link);
}

/* Its process runs. */
static void session_announce(struct session *session)
{
    struct ledger_slot *ledger = &session->card->ledger->slots[session->slot];
    __atomic_store_n(&ledger->pid, (uint32_t)session->pid, __ATOMIC_SEQ_CST);
    cardd_session_started(session->cardd, session);
}

/* The answer to a client fits into its fresh socket's buffer; a client that has gone is seen by its
 * executor, or by its pidfd. */
static void welcome(const struct session *session, int socket_fd, const int fds[WELCOME_FDS],
                    uint64_t session_bytes)
{
    const size_t bytes = WELCOME_FDS * sizeof(fds[0]);
    struct wire_welcome welcome = {.magic = WIRE_MAGIC,
                                   .version = WIRE_VERSION,
                                   .slot = session->slot,
                                   .session_bytes = session_bytes};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(WELCOME_FDS * sizeof(int))] = {0};
    struct iovec part = {&welcome, sizeof(welcome)};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    *header = (struct cmsghdr){CMSG_LEN(bytes), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(header), fds, bytes);
    (void)sendmsg(socket_fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

int session_launch(struct session *session)
{
    struct error err;
    list_remove(&session->starting);
    int r = executor_fork(session);
    cleanup_fd(&session->session_fd);
    cleanup_fd(&session->socket_fd);
    session->session_fd = session->socket_fd = -1;
    if (r == 0) {
        session_announce(session);
        return 0;
    }
    error_errno(&err, r, "session-failed", "cannot start a session of card '%s'",
                session->card->name);
    log_event(LOG_ERROR, "session.failed", "card=%s text=\"%s\"", session->card->name, err.text);
    session_delist(session);
    session_free(session);
    return r;
}

int session_start(struct cardd *cardd, struct card *card, int socket_fd, struct error *err)
{
    struct wire_session layout;
    if (!card->device->snapshot && !card->device->cuda)
        return error_set(err, -ENODEV, "no-snapshot", "device %s cannot be described in %u bytes",
                         card->device->id, WIRE_SNAPSHOT_BYTES);
    struct session *session = session_create(cardd, card, socket_fd, err);
    if (!session)
        return err->errnum;
    int r = memory_create(session);
    if (r == 0)
        session->socket_fd = fcntl(socket_fd, F_DUPFD_CLOEXEC, 0);
    if (r == 0 && session->socket_fd < 0)
        r = -errno;
    if (r < 0)
        return session_fail(session, r, err);
    const int fds[WELCOME_FDS] = {session->session_fd, card->ledger_fd, card->claims_fd};
    welcome(session, socket_fd, fds, wire_session_layout(&layout) + session->arena_bytes);
    session_enlist(session);
    starter_add(cardd->starter, session);
    return 0;
}

int session_attach(struct cardd *cardd, struct card *card, int socket_fd, struct error *err)
{
    struct session *session = session_create(cardd, card, socket_fd, err);
    if (!session)
        return err->errnum;
    session->pid = session->client_pid;
    if (session->pid <= 0)
        return session_fail(session, -ESRCH, err);
    session->pidfd = (int)syscall(SYS_pidfd_open, session->pid, 0);
    if (session->pidfd >= 0)
        session->ended = watch_start(&cardd->loop, session->pidfd, session_reap, session);
    if (!session->ended)
        return session_fail(session, session->pidfd < 0 ? -ESRCH : -ENOMEM, err);
    session_enlist(session);
    session_announce(session);
    const int fds[WELCOME_FDS] = {card->ledger_fd, card->device->turn_fd, card->notify_fd};
    welcome(session, socket_fd, fds, 0);
    return 0;
}

void session_kill(struct session *session)
{
    if (session->pid == 0) {
        session_delist(session);
        session_free(session);
        return;
    }
    /* By the descriptor: a local client is no child of ours, and its number may be reused. */
    (void)syscall(SYS_pidfd_send_signal, session->pidfd, SIGKILL, NULL, 0);
}
