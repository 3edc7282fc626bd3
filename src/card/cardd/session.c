/* One client process of a card: see session.h. */
#include "card/cardd/session.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "card/cardd/card.h"
#include "card/cardd/cardd.h"
#include "card/cardd/confine.h"
#include "card/cardd/watch.h"
#include "card/executor/executor.h"
#include "card/meter/meter.h"

#define STAT_TEXT_MAX_BYTES 4096
#define STAT_START_TIME 22 /* field of /proc/PID/stat */

/* A memory of fixed size for client and executor; `ret_page` is what we read of it. */
static int memory_create(const struct wire_session **ret_page, int *ret_fd)
{
    struct wire_session layout;
    uint64_t bytes = wire_session_layout(&layout);
    AUTO_FD int fd = memfd_create("leat-session", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || fchmod(fd, 0600) < 0 || ftruncate(fd, (off_t)bytes) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
        return -errno;
    void *page = mmap(NULL, sizeof(layout), PROT_READ, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        return -errno;
    *ret_page = page;
    *ret_fd = take_fd(&fd);
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
    int keep[] = {params->socket_fd, params->session_fd, params->ledger_fd,
                  params->claims_fd, params->notify_fd,  params->control_fd};
    close_others(keep, sizeof(keep) / sizeof(keep[0]));
    executor_main(params);
}

/* When the process started, in clock ticks since boot; with the pid it names a process for ever. 0
 * when it cannot be read. */
static uint64_t start_time_of(pid_t pid)
{
    char path[64];
    AUTO_BUF struct buf text = BUF_INIT;
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if (file_read(AT_FDCWD, path, STAT_TEXT_MAX_BYTES, &text, NULL) < 0 || !text.data)
        return 0;
    /* The command's name, field 2, is in brackets and may hold anything. */
    const char *field = strrchr(text.data, ')');
    for (int i = 2; field && i < STAT_START_TIME; i++)
        field = strchr(field + 1, ' ');
    return field ? strtoull(field + 1, NULL, 10) : 0;
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
    session->ordered = true;
    /* Fails only when the executor has gone: its end answers for it. */
    (void)send(session->control_fd, order, sizeof(*order), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void session_reap(void *arg)
{
    struct session *session = arg;
    struct card *card = session->card;
    int status = 0;
    pid_t got = waitpid(session->pid, &status, WNOHANG);
    if (got == 0 || (got < 0 && errno == EINTR))
        return;
    meter_reap(card->device->turn, (uint32_t)session->pid);
    card_slot_reap(card, session->slot, session->memory);
    card->sessions[session->slot] = NULL;
    card->session_count--;
    list_remove(&session->link);
    cardd_session_ended(session->cardd, session, status);
    session_free(session);
}

static int executor_fork(struct cardd *cardd, struct session *session, int session_fd,
                         int socket_fd)
{
    struct card *card = session->card;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    session->control_fd = pair[0];
    AUTO_FD int executors_fd = pair[1];
    const struct executor_params params = {
        .control_fd = executors_fd,
        .suspended = card_is_away(card),
        .socket_fd = socket_fd,
        .session_fd = session_fd,
        .ledger_fd = card->ledger_fd,
        .claims_fd = card->claims_fd,
        .notify_fd = card->notify_fd,
        .ledger = card->ledger,
        .device = card->device->turn,
        .slot = session->slot,
        .platform_index = card->device->platform_index,
        .device_index = card->device->device_index,
        .quota_bytes = card->quota_bytes,
        .card_name = card->name,
        .cache_dir = card->cache_dir,
    };
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
        return -ENOMEM;
    }
    return 0;
}

int session_start(struct cardd *cardd, struct card *card, int socket_fd, struct error *err)
{
    int slot = card_free_slot(card);
    if (slot < 0)
        return error_set(err, -EUSERS, "too-many-sessions",
                         "card '%s' has %d processes already, which is the limit", card->name,
                         LEDGER_SLOTS);
    struct session *session = calloc(1, sizeof(*session));
    if (!session)
        return error_set(err, -ENOMEM, "out-of-memory", "starting a session of '%s'", card->name);
    list_init(&session->link);
    session->cardd = cardd;
    session->card = card;
    session->slot = (unsigned)slot;
    session->pidfd = session->control_fd = -1;
    session->client_pid = peer_pid(socket_fd);
    AUTO_FD int session_fd = -1;
    int r = memory_create(&session->memory, &session_fd);
    struct ledger_slot *ledger = &card->ledger->slots[slot];
    if (r == 0) {
        __atomic_store_n(&ledger->state, 1, __ATOMIC_SEQ_CST);
        r = executor_fork(cardd, session, session_fd, socket_fd);
    }
    if (r < 0) {
        __atomic_store_n(&ledger->state, 0, __ATOMIC_SEQ_CST);
        session_free(session);
        return error_errno(err, r, "session-failed", "cannot start an executor for card '%s'",
                           card->name);
    }
    __atomic_store_n(&ledger->pid, (uint32_t)session->pid, __ATOMIC_SEQ_CST);
    __atomic_store_n(&ledger->start_time, start_time_of(session->pid), __ATOMIC_SEQ_CST);
    card->sessions[slot] = session;
    card->session_count++;
    card->sessions_total++;
    list_append(&cardd->sessions, &session->link);
    cardd_session_started(cardd, session);
    return 0;
}

void session_kill(struct session *session)
{
    (void)kill(session->pid, SIGKILL); /* our child, not yet waited for */
}
