/* The process that outlives leat-cardd: see keeper.h. Its side of the requests; leat-cardd's is in
 * keeper_ask.c. */
#include "card/cardd/keeper.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "card/cardd/confine.h"
#include "card/cardd/device.h"
#include "card/cardd/keeper_impl.h"
#include "card/cardd/pass.h"
#include "card/cardd/rundir.h"
#include "card/executor/executor.h"
#include "card/meter/meter.h"

#define UNREADY_MAX 5 /* starts in a row that come to nothing */

static void kept_drop_session(struct kept_card *kept, unsigned slot)
{
    for (unsigned i = 0; i < KEPT_OF_SESSION; i++) {
        fd_drop(&kept->of_session[slot][i]);
        kept->of_session[slot][i] = -1;
    }
}

static void kept_drop(struct keeper *keeper, unsigned card)
{
    struct kept_card *kept = keeper->cards[card];
    if (!kept)
        return;
    for (unsigned i = 0; i < KEPT_OF_CARD; i++)
        cleanup_fd(&kept->of_card[i]);
    for (unsigned slot = 0; slot < LEDGER_SLOTS; slot++)
        kept_drop_session(kept, slot);
    pages_drop(keeper->house.books, card);
    free(kept);
    keeper->cards[card] = NULL;
}

struct keeper *keeper_open(const struct keeper_house *house)
{
    struct keeper *keeper = calloc(1, sizeof(*keeper));
    if (!keeper)
        return NULL;
    keeper->house = *house;
    keeper->fd = -1;
    return keeper;
}

void keeper_close(struct keeper *keeper)
{
    if (!keeper)
        return;
    for (unsigned card = 0; card < BOOKS_CARDS; card++)
        kept_drop(keeper, card);
    cleanup_fd(&keeper->fd);
    free(keeper->children);
    free(keeper);
}

/* ---- executors ---- */

static void devices_forget_others(const struct devices *devices, const struct device *own)
{
    for (unsigned i = 0; i < devices->count; i++) {
        const struct device *device = &devices->items[i];
        if (device_stands_in(device, own, NULL) < 0)           /* else the card may move there */
            (void)munmap(device->turn, sizeof(*device->turn)); /* only fails on a wrong address */
    }
}

static struct executor_card card_params(const struct keeper *keeper, unsigned card)
{
    const struct books *books = keeper->house.books;
    const struct device *device =
        &keeper->house.devices->items[book_read(&books->cards[card])->device];
    return (struct executor_card){
        .ledger = &books->pages[card].ledger,
        .trace = &books->pages[card].trace,
        .device = device->turn,
        .notify_fd = keeper->cards[card]->of_card[KEPT_NOTIFY],
        .platform_index = device->platform_index,
        .device_index = device->device_index,
    };
}

/* The child: give up everything that is not its cards', then serve. */
static _Noreturn void executor_run(const struct keeper *keeper, const struct book_seat *cards,
                                   unsigned count, const struct keeper_request *request,
                                   int control_fd, pid_t parent)
{
    const struct books *books = keeper->house.books;
    const unsigned card = request->card;
    const struct book_state *state = book_read(&books->cards[card]);
    const struct device *device = &keeper->house.devices->items[state->device];
    char name[CARD_NAME_MAX], cache_dir[PATH_MAX];
    memcpy(name, state->name, sizeof(name));
    memcpy(cache_dir, state->cache_dir, sizeof(cache_dir));
    int r = confine_enter(keeper->house.confine, name);
    if (r < 0 && r != -ENOENT)
        log_event(LOG_WARN, "executor.unconfined", "card=%s errno=%d", name, r);
    struct executor_params params = {
        .control_fd = control_fd,
        .is_spare = request->value,
        .claims = &books->pages[card].claims,
        .relay = keeper->house.relay,
        .card_count = count,
        .card_name = name,
        .uuid = device->uuid,
        .cuda = device->cuda,
        .cache_dir = cache_dir,
        .parent_pid = parent,
    };
    for (unsigned i = 0; i < count; i++)
        params.cards[i] = card_params(keeper, cards[i].card);
    devices_forget_others(keeper->house.devices, device);
    books_forget_others(books, cards, count);
    executor_main(&params);
}

/* The cards that an executor is for, the asked one first; 0: one is not there. */
static unsigned cards_list(const struct keeper *keeper, const struct keeper_request *request,
                           struct book_seat cards[WIRE_CARDS_MAX])
{
    const struct book_card *book = &keeper->house.books->cards[request->card];
    const struct book_session *session = &book->sessions[request->slot];
    unsigned count = 1;
    cards[0].card = request->card;
    for (; !request->value && count < session->seat_count && count < WIRE_CARDS_MAX; count++)
        cards[count] = session->seats[count];
    for (unsigned i = 0; i < count; i++)
        if (!keeper->cards[cards[i].card] || !book_read(&keeper->house.books->cards[cards[i].card]))
            return 0;
    return count;
}

static int child_note(struct keeper *keeper, pid_t pid)
{
    if (keeper->child_count == keeper->child_room) {
        unsigned room = keeper->child_room ? 2 * keeper->child_room : 64;
        pid_t *children = realloc(keeper->children, room * sizeof(*children));
        if (!children)
            return -ENOMEM;
        keeper->children = children;
        keeper->child_room = room;
    }
    keeper->children[keeper->child_count++] = pid;
    return 0;
}

/* The pid, or a negative errno. */
static pid_t executor_fork(struct keeper *keeper, const struct keeper_request *request, int fd)
{
    pid_t parent = getpid();
    struct book_seat cards[WIRE_CARDS_MAX];
    unsigned count = cards_list(keeper, request, cards);
    if (count == 0)
        return -ENOENT;
    if (child_note(keeper, 0) < 0)
        return -ENOMEM;
    pid_t child = fork();
    if (child == 0)
        executor_run(keeper, cards, count, request, fd, parent);
    if (child < 0) {
        keeper->child_count--;
        return -errno;
    }
    keeper->children[keeper->child_count - 1] = child;
    return child;
}

static void serve_fork(struct keeper *keeper, const struct keeper_request *request, int fd)
{
    const struct keeper_reply reply = {.value = executor_fork(keeper, request, fd)};
    (void)pass_send(fd, &reply, sizeof(reply), NULL, 0, MSG_DONTWAIT); /* the first: it has room */
}

static int serve_reap(struct keeper *keeper, pid_t pid, int *ret_status)
{
    unsigned index = 0;
    while (index < keeper->child_count && keeper->children[index] != pid)
        index++;
    if (index == keeper->child_count)
        return -ECHILD;
    pid_t got;
    do
        got = waitpid(pid, ret_status, WNOHANG);
    while (got < 0 && errno == EINTR);
    if (got == pid)
        keeper->children[index] = keeper->children[--keeper->child_count];
    return got == pid;
}

static void children_end(struct keeper *keeper)
{
    for (unsigned i = 0; i < keeper->child_count; i++)
        (void)kill(keeper->children[i], SIGKILL); /* our child, not yet waited for */
    for (unsigned i = 0; i < keeper->child_count; i++) {
        while (waitpid(keeper->children[i], NULL, 0) < 0 && errno == EINTR)
            continue;
    }
    keeper->child_count = 0;
}

/* ---- requests ---- */

static struct kept_card *kept_make(struct keeper *keeper, unsigned card)
{
    struct kept_card *kept = calloc(1, sizeof(*kept));
    if (kept)
        memset(kept, -1, sizeof(*kept)); /* all -1 */
    kept_drop(keeper, card);
    keeper->cards[card] = kept;
    return kept;
}

static int serve_pages(struct keeper *keeper, unsigned card)
{
    struct kept_card *kept = kept_make(keeper, card);
    return kept ? pages_make(keeper->house.books, card, kept->of_card) : -ENOMEM;
}

/* In place of what is there. */
static void serve_hold(int *places, unsigned which, unsigned count, int fds[PASS_MAX])
{
    for (unsigned i = 0; i < PASS_MAX && which + i < count && (i == 0 || fds[i] >= 0); i++) {
        fd_drop(&places[which + i]);
        places[which + i] = take_fd(&fds[i]);
    }
}

/* What leat-cardd hands over, or wants no more. */
static void serve_kept(struct keeper *keeper, const struct keeper_request *request,
                       int fds[PASS_MAX])
{
    struct kept_card *kept = keeper->cards[request->card];
    if (!kept)
        return;
    if (request->verb == KEEPER_HOLD)
        serve_hold(kept->of_card, request->which, KEPT_OF_CARD, fds);
    else if (request->verb == KEEPER_HOLD_OF_SESSION)
        serve_hold(kept->of_session[request->slot], request->which, KEPT_OF_SESSION, fds);
    else if (request->verb == KEEPER_DROP_SESSION)
        kept_drop_session(kept, request->slot);
    else
        kept_drop(keeper, request->card);
}

static void listeners_close(struct rundir *rundir)
{
    cleanup_fd(&rundir->control_fd);
    cleanup_fd(&rundir->session_fd);
    rundir->control_fd = rundir->session_fd = -1;
}

static void ready_close(int *fd)
{
    if (*fd > 0)
        (void)close(*fd);
    *fd = 0;
}

/* Of a leat-cardd that is dead nothing is forked any more. */
static void serve_request(struct keeper *keeper, const struct keeper_request *request,
                          int fds[PASS_MAX], bool alive)
{
    struct keeper_reply reply = {0};
    const int *pages = NULL;
    switch (request->verb) {
    case KEEPER_READY:
        keeper->unready = 0;
        ready_close(keeper->house.ready_fd);
        return;
    case KEEPER_LEAVE:
        keeper->leaving = true;
        listeners_close(keeper->house.rundir);
        return;
    case KEEPER_HOLD:
    case KEEPER_HOLD_OF_SESSION:
    case KEEPER_DROP_SESSION:
    case KEEPER_DROP_CARD:
        serve_kept(keeper, request, fds);
        return;
    case KEEPER_FORK:
        if (alive)
            serve_fork(keeper, request, fds[0]);
        return;
    case KEEPER_PAGES:
        reply.value = serve_pages(keeper, request->card);
        pages = reply.value == 0 ? keeper->cards[request->card]->of_card : NULL;
        break;
    case KEEPER_REAP:
        reply.value = serve_reap(keeper, request->value, &reply.status);
        break;
    }
    if (alive) /* its end is seen by its pidfd */
        (void)pass_send(keeper->fd, &reply, sizeof(reply), pages, pages ? PAGES : 0, 0);
}

/* All that has come. */
static void serve_requests(struct keeper *keeper, bool alive)
{
    struct keeper_request request;
    int fds[PASS_MAX];
    while (pass_receive(keeper->fd, &request, sizeof(request), fds, MSG_DONTWAIT) == 0) {
        serve_request(keeper, &request, fds, alive);
        for (unsigned i = 0; i < PASS_MAX; i++)
            cleanup_fd(&fds[i]); /* what was not taken */
    }
}

/* ---- leat-cardd ---- */

/* What was handed over for a card or session that never came to be, or has gone. */
static void sweep(struct keeper *keeper)
{
    for (unsigned card = 0; card < BOOKS_CARDS; card++) {
        const struct book_card *book = &keeper->house.books->cards[card];
        if (keeper->cards[card] && !book_read(book))
            kept_drop(keeper, card);
        for (unsigned slot = 0; keeper->cards[card] && slot < LEDGER_SLOTS; slot++) {
            if (book->sessions[slot].step == BOOK_FREE)
                kept_drop_session(keeper->cards[card], slot);
        }
    }
}

static _Noreturn void daemon_become(struct keeper *keeper, int fd, pid_t parent,
                                    int (*serve)(void *arg), void *arg)
{
    sigset_t none;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(EXIT_FAILURE);
    (void)prctl(PR_SET_NAME, "leat-cardd");
    cleanup_fd(&keeper->fd);
    cleanup_fd(&keeper->signal_fd);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL); /* fails only on wrong arguments */
    keeper->fd = fd;
    exit(serve(arg));
}

static int daemon_fork(struct keeper *keeper, int (*serve)(void *arg), void *arg)
{
    int pair[2];
    pid_t parent = getpid();
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    cleanup_fd(&keeper->fd);
    keeper->fd = pair[0];
    keeper->unready++;
    keeper->daemon = fork();
    if (keeper->daemon == 0)
        daemon_become(keeper, pair[1], parent, serve, arg);
    (void)close(pair[1]);
    if (keeper->daemon < 0)
        return -errno;
    keeper->daemon_fd = (int)syscall(SYS_pidfd_open, keeper->daemon, 0);
    return keeper->daemon_fd < 0 ? -errno : 0;
}

static void signal_pass_on(const struct keeper *keeper)
{
    struct signalfd_siginfo signal;
    if (read(keeper->signal_fd, &signal, sizeof(signal)) == (ssize_t)sizeof(signal))
        (void)kill(keeper->daemon, (int)signal.ssi_signo); /* our child, not yet waited for */
}

/* Serve leat-cardd until it has ended: its wait status. */
static int daemon_attend(struct keeper *keeper)
{
    struct pollfd events[] = {
        {.fd = keeper->fd, .events = POLLIN},
        {.fd = keeper->daemon_fd, .events = POLLIN},
        {.fd = keeper->signal_fd, .events = POLLIN},
    };
    int status = 0;
    do {
        if (poll(events, sizeof(events) / sizeof(events[0]), -1) < 0)
            continue; /* interrupted */
        if (events[2].revents)
            signal_pass_on(keeper);
        if (events[0].revents & POLLIN)
            serve_requests(keeper, true);
        else if (events[0].revents)
            events[0].fd = -1; /* the other end has been closed */
    } while (!events[1].revents);
    while (waitpid(keeper->daemon, &status, 0) < 0 && errno == EINTR)
        continue;
    cleanup_fd(&keeper->daemon_fd);
    serve_requests(keeper, false);
    return status;
}

static int signals_catch(void)
{
    sigset_t passed_on;
    (void)sigemptyset(&passed_on);
    (void)sigaddset(&passed_on, SIGTERM);
    (void)sigaddset(&passed_on, SIGINT);
    (void)sigaddset(&passed_on, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &passed_on, NULL); /* fails only on wrong arguments */
    return signalfd(-1, &passed_on, SFD_CLOEXEC);
}

int keeper_run(struct keeper *keeper, int (*serve)(void *arg), void *arg)
{
    (void)prctl(PR_SET_NAME, "leat-keeper");
    keeper->signal_fd = signals_catch();
    int status = 0, r = keeper->signal_fd < 0 ? -errno : 0;
    while (r == 0) {
        r = daemon_fork(keeper, serve, arg);
        if (r < 0)
            break;
        status = daemon_attend(keeper);
        if (!WIFSIGNALED(status) || keeper->leaving || keeper->unready >= UNREADY_MAX)
            break;
        log_event(LOG_WARN, "cardd.killed", "pid=%d signal=%d", (int)keeper->daemon,
                  WTERMSIG(status));
        sweep(keeper);
    }
    if (r < 0)
        log_event(LOG_ERROR, "cardd.failed", "text=\"cannot fork\" errno=%d", r);
    children_end(keeper);
    cleanup_fd(&keeper->signal_fd);
    return r < 0 || WIFSIGNALED(status) ? EXIT_FAILURE : WEXITSTATUS(status);
}
