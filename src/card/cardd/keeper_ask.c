/* leat-cardd's side of the keeper: see keeper.h. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "card/cardd/keeper_impl.h"
#include "card/cardd/pass.h"

int keeper_kept(const struct keeper *keeper, unsigned card, enum kept which)
{
    return keeper->cards[card] ? keeper->cards[card]->of_card[which] : -1;
}

int keeper_kept_of_session(const struct keeper *keeper, unsigned card, unsigned slot,
                           enum kept_of_session which)
{
    return keeper->cards[card] ? keeper->cards[card]->of_session[slot][which] : -1;
}

pid_t keeper_child(const struct keeper *keeper, unsigned index)
{
    return index < keeper->child_count ? keeper->children[index] : 0;
}

bool keeper_has(const struct keeper *keeper, pid_t pid)
{
    pid_t child;
    for (unsigned i = 0; (child = keeper_child(keeper, i)); i++) {
        if (child == pid)
            return true;
    }
    return false;
}

static void say(struct keeper *keeper, const struct keeper_request *request, int fd)
{
    (void)pass_send(keeper->fd, request, sizeof(*request), &fd, fd >= 0, 0);
}

static struct keeper_reply ask(struct keeper *keeper, const struct keeper_request *request,
                               int ret_fds[PASS_MAX])
{
    struct keeper_reply reply;
    say(keeper, request, -1);
    int r = pass_receive(keeper->fd, &reply, sizeof(reply), ret_fds, 0);
    return r < 0 ? (struct keeper_reply){.value = r} : reply;
}

void keeper_ready(struct keeper *keeper)
{
    const struct keeper_request request = {.verb = KEEPER_READY};
    say(keeper, &request, -1);
}

void keeper_leave(struct keeper *keeper)
{
    const struct keeper_request request = {.verb = KEEPER_LEAVE};
    say(keeper, &request, -1);
}

int keeper_make_pages(struct keeper *keeper, unsigned card, int ret_fds[PAGES])
{
    const struct keeper_request request = {.verb = KEEPER_PAGES, .card = card};
    int fds[PASS_MAX], r = ask(keeper, &request, fds).value;
    if (r == 0)
        r = pages_map(keeper->house.books, card, fds);
    for (unsigned i = 0; i < PAGES; i++) {
        if (r < 0)
            cleanup_fd(&fds[i]);
        ret_fds[i] = r == 0 ? fds[i] : -1;
    }
    return r;
}

void keeper_drop_card(struct keeper *keeper, unsigned card)
{
    const struct keeper_request request = {.verb = KEEPER_DROP_CARD, .card = card};
    say(keeper, &request, -1);
    pages_drop(keeper->house.books, card);
}

void keeper_hold(struct keeper *keeper, unsigned card, enum kept which, int fd)
{
    const struct keeper_request request = {.verb = KEEPER_HOLD, .card = card, .which = which};
    say(keeper, &request, fd);
}

void keeper_hold_of_session(struct keeper *keeper, unsigned card, unsigned slot,
                            enum kept_of_session which, const int *fds, unsigned count)
{
    const struct keeper_request request = {
        .verb = KEEPER_HOLD_OF_SESSION, .card = card, .slot = slot, .which = which};
    (void)pass_send(keeper->fd, &request, sizeof(request), fds, count, 0);
}

void keeper_drop_session(struct keeper *keeper, unsigned card, unsigned slot)
{
    const struct keeper_request request = {.verb = KEEPER_DROP_SESSION, .card = card, .slot = slot};
    say(keeper, &request, -1);
}

void keeper_fork(struct keeper *keeper, unsigned card, unsigned slot, bool is_spare,
                 int executors_fd)
{
    const struct keeper_request request = {
        .verb = KEEPER_FORK, .card = card, .slot = slot, .value = is_spare};
    say(keeper, &request, executors_fd);
}

pid_t keeper_forked(int control_fd, bool wait)
{
    struct pollfd answer = {.fd = control_fd, .events = POLLIN};
    struct keeper_reply reply;
    int fds[PASS_MAX];
    while (wait && poll(&answer, 1, -1) < 0 && errno == EINTR) /* the loop made it non-blocking */
        continue;
    int r = pass_receive(control_fd, &reply, sizeof(reply), fds, MSG_DONTWAIT);
    return r == -EAGAIN ? 0 : r < 0 ? r : reply.value;
}

int keeper_reap(struct keeper *keeper, pid_t pid, int *ret_status)
{
    const struct keeper_request request = {.verb = KEEPER_REAP, .value = pid};
    int fds[PASS_MAX];
    struct keeper_reply reply = ask(keeper, &request, fds);
    *ret_status = reply.value == 1 ? reply.status : 0;
    return reply.value != 0; /* what is no child of the keeper's has been reaped before */
}
