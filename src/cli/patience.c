/* Waiting for a leatd that went away: see patience.h. */
#include "cli/patience.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>

#include "base/clock.h"
#include "base/error.h"
#include "cli/ask.h"
#include "cli/verb.h"

#define PATIENCE_NS (60 * NS_PER_S)
#define HELD_NS (10 * NS_PER_S) /* who held so long was a good connection: patience is new */
#define DELAY_FIRST_MS 20
#define DELAY_LAST_MS 1000

/* One that never answered is not there; one that did is being restarted. -EAGAIN is leatd's own
 * word (status 503) that it is not the time yet. */
static bool worth_waiting(const struct cli *cli, const struct error *err)
{
    return err->errnum == -EAGAIN ||
           (cli->answered && (err->errnum == -ECONNREFUSED || err->errnum == -ECONNRESET));
}

int patience_wait(struct patience *patience, struct cli *cli, struct error *err)
{
    if (!worth_waiting(cli, err))
        return err->errnum;
    uint64_t now_ns = clock_monotonic_ns();
    if (now_ns - patience->last_ns > HELD_NS)
        patience->deadline_ns = 0;
    patience->last_ns = now_ns;
    if (!patience->deadline_ns) {
        patience->deadline_ns = now_ns + PATIENCE_NS;
        patience->delay_ms = DELAY_FIRST_MS;
    } else if (patience->delay_ms >= DELAY_LAST_MS / 2 && patience->delay_ms < DELAY_LAST_MS) {
        cli_say("%s; waiting", err->text);
    }
    if (now_ns >= patience->deadline_ns)
        return err->errnum;
    struct pollfd interrupt = {.fd = cli->interrupt_fd, .events = POLLIN};
    if (poll(&interrupt, 1, patience->delay_ms) > 0)
        return error_set(err, -ECANCELED, "interrupted", "interrupted");
    patience->delay_ms *= 2;
    if (patience->delay_ms > DELAY_LAST_MS)
        patience->delay_ms = DELAY_LAST_MS;
    return 0;
}

int patience_ask(struct cli *cli, const struct leat_request *request, json_t **ret_answer,
                 struct error *err)
{
    struct patience patience = {0};
    int r;
    do {
        r = ask(cli, request, ret_answer, err);
        if (r == 0)
            return 0;
        r = patience_wait(&patience, cli, err);
    } while (r == 0);
    return r;
}
