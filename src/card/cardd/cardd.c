/* leat-cardd as a whole: see cardd.h. */
#include "card/cardd/cardd.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "base/path.h"
#include "base/random.h"
#include "base/units.h"
#include "card/cardd/card.h"
#include "card/cardd/confine.h"
#include "card/cardd/control.h"
#include "card/cardd/gate.h"
#include "card/cardd/keeper.h"
#include "card/cardd/phase.h"
#include "card/cardd/probe.h"
#include "card/cardd/session.h"
#include "card/cardd/spare.h"
#include "card/cardd/start.h"
#include "card/cardd/watch.h"
#include "card/meter/meter.h"
#include "card/wire/wire.h"

static const int ending_signals[] = {SIGTERM, SIGINT, SIGHUP};

struct card *cardd_card_find(struct cardd *cardd, const char *name, struct error *err)
{
    LIST_EACH (link, &cardd->cards) {
        struct card *card = LIST_ENTRY(link, struct card, link);
        if (strcmp(card->name, name) == 0)
            return card;
    }
    error_set(err, -ENOENT, "unknown-card", "there is no card '%.64s'", name);
    return NULL;
}

struct card *cardd_card_numbered(struct cardd *cardd, unsigned number)
{
    LIST_EACH (link, &cardd->cards) {
        struct card *card = LIST_ENTRY(link, struct card, link);
        if (card->number == number)
            return card;
    }
    return NULL;
}

struct card *cardd_card_by_token(struct cardd *cardd, const char *token)
{
    struct card *found = NULL;
    LIST_EACH (link, &cardd->cards) {
        struct card *card = LIST_ENTRY(link, struct card, link);
        if (token_equal(card->token, token))
            found = card;
    }
    return found;
}

/* An executor has asked for share. The flag is looked at again, as the share may have come
 * meanwhile. */
static void card_notified(void *arg)
{
    struct card *card = arg;
    eventfd_t count;
    (void)eventfd_read(card->notify_fd, &count); /* only clears it */
    if (!card_wants_share(card) || card->want_announced)
        return;
    card->want_announced = true;
    control_event(card->cardd->control, "card.wants_share", json_pack("{ss}", "card", card->name));
}

static int name_and_token_check(struct cardd *cardd, const struct control_request *request,
                                struct error *err)
{
    if (cardd_card_find(cardd, request->card, NULL))
        return error_set(err, -EEXIST, "card-exists", "there is a card '%s' already",
                         request->card);
    if (request->token && cardd_card_by_token(cardd, request->token))
        return error_set(err, -EEXIST, "token-in-use", "another card has this token");
    if (cardd->card_count >= CARDD_CARDS_MAX)
        return error_set(err, -EUSERS, "too-many-cards", "there are %u cards, which is the limit",
                         cardd->card_count);
    return 0;
}

/* What the executors in the card's group may hold for other cards of their sessions. */
static uint64_t further_bytes(const struct card *card)
{
    uint64_t bytes = 0;
    for (unsigned slot = 0; slot < LEDGER_SLOTS; slot++) {
        const struct session *session = card->sessions[slot];
        for (unsigned i = 1; session && session->card == card && i < session->seat_count; i++)
            bytes += session->seats[i].card->quota_bytes;
    }
    return bytes;
}

static struct confine_limits card_limits(const struct card *card)
{
    const uint64_t bytes = card->quota_bytes + further_bytes(card);
    return (struct confine_limits){.quota_bytes = card->needs_copy_room ? 2 * bytes : bytes,
                                   .sessions_most = card->sessions_most};
}

static void unconfined(const struct card *card, const struct error *error)
{
    log_event(LOG_WARN, "card.unconfined", "card=%s text=\"%s\"", card->name, error->text);
}

/* Without its control group a card works, only less guarded. */
static void card_confine(struct cardd *cardd, struct card *card)
{
    struct error error;
    struct confine_limits limits = card_limits(card);
    if (!confine_active(cardd->confine) || strcmp(card->device->kind, "cpu") != 0)
        return;
    if (confine_add(cardd->confine, card->name, &limits, &error) < 0)
        unconfined(card, &error);
    else
        card->confined = true;
}

void cardd_confine_again(struct cardd *cardd, const struct card *card)
{
    struct error error;
    struct confine_limits limits = card_limits(card);
    if (card->confined && confine_update(cardd->confine, card->name, &limits, &error) < 0)
        unconfined(card, &error);
}

int cardd_card_enlist(struct cardd *cardd, struct card *card)
{
    card->notified = watch_start(&cardd->loop, card->notify_fd, card_notified, card);
    if (!card->notified)
        return -ENOMEM;
    card_confine(cardd, card);
    list_append(&cardd->cards, &card->link);
    cardd->card_count++;
    return 0;
}

/* The folder of a tenant: whoever is named in the request, else the user who asks. A tenant's name
 * has no control character, so one can stand for the '/'. */
static void tenant_folder(const char *tenant, uid_t uid, char folder[CARD_TENANT_MAX + 16])
{
    if (tenant)
        (void)snprintf(folder, CARD_TENANT_MAX + 16, "tenant-%s", tenant);
    else
        (void)snprintf(folder, CARD_TENANT_MAX + 16, "user-%u", (unsigned)uid);
    for (char *slash = folder; (slash = strchr(slash, '/'));)
        *slash = '\001';
}

int cardd_card_create(struct cardd *cardd, const struct control_request *request,
                      const struct cardd_caller *caller, struct card **ret_card, struct error *err)
{
    char tenant[CARD_TENANT_MAX + 16];
    int r = name_and_token_check(cardd, request, err);
    if (r < 0)
        return r;
    struct device *device = devices_find(&cardd->devices, request->device, err);
    if (!device)
        return -ENODEV;
    r = device_grant(device, request->memory_bytes, request->share_permille, err);
    if (r < 0)
        return r;
    struct card *card = NULL;
    tenant_folder(request->tenant, caller->uid, tenant);
    const struct card_wish wish = {.remote = request->remote,
                                   .name = request->card,
                                   .token = request->token,
                                   .cache_root = cardd->cache_dir,
                                   .tenant = tenant,
                                   .quota_bytes = request->memory_bytes,
                                   .share_permille = request->share_permille,
                                   .priority = request->priority,
                                   .burst = request->burst};
    r = card_create(cardd, &wish, device, &card, err);
    if (r == 0 && request->bound) {
        card->bound_to = caller->connection;
        card->book->connection_busy = 1; /* with this request */
        keeper_hold(cardd->keeper, card->number, KEPT_CONNECTION, caller->fd);
    }
    if (r == 0) {
        card_save(card);
        r = cardd_card_enlist(cardd, card);
        if (r < 0)
            (void)error_set(err, r, "out-of-memory", "making card '%s'", request->card);
    }
    if (r < 0) {
        card_destroy(card);
        device_take_back(device, request->memory_bytes, request->share_permille);
        return r;
    }
    spares_want(card);
    cardd_touch(cardd);
    log_event(LOG_INFO, "card.created", "card=%s device=%s memory_bytes=%llu share_permille=%u",
              card->name, device->id, (unsigned long long)card->quota_bytes, card->share_permille);
    *ret_card = card;
    return 0;
}

int cardd_card_set_share(struct card *card, uint32_t share_permille, struct error *err)
{
    if (card->phase != CARD_ACTIVE)
        return error_set(err, -EBUSY, "card-suspended",
                         "card '%s' is not on its device; resume it first", card->name);
    const struct device_part from = {card->quota_bytes, card->share_permille},
                             to = {card->quota_bytes, share_permille};
    int r = device_regrant(card->device, &from, &to, err);
    if (r < 0)
        return r;
    card_set_share(card, share_permille);
    card_save(card);
    log_event(LOG_INFO, "card.share_set", "card=%s share_permille=%u", card->name, share_permille);
    return 0;
}

static int held_too_much(const struct card *card, uint64_t asked_bytes, uint64_t held_bytes,
                         struct error *err)
{
    char asked[UNITS_TEXT_MAX], held[UNITS_TEXT_MAX];
    return error_set(err, -EBUSY, "memory-in-use",
                     "asked for %s; the programs of card '%s' hold %s; let them free some, or have "
                     "the card suspended",
                     bytes_text(asked_bytes, asked), card->name, bytes_text(held_bytes, held));
}

/* A share that is released, or a card that is away, stays so: what it comes back to changes. */
int cardd_card_resize(struct cardd *cardd, struct card *card, const struct control_request *request,
                      struct error *err)
{
    const uint64_t before = card->quota_bytes;
    uint64_t memory = request->memory_bytes ? request->memory_bytes : before, held = 0;
    uint32_t share = request->share_permille ? request->share_permille : card->share_asked_permille;
    const struct device_part from = {card->quota_bytes, card->share_permille},
                             to = {memory, card->share_permille ? share : 0};
    if (card->phase != CARD_ACTIVE && card->phase != CARD_SUSPENDED)
        return error_set(err, -EBUSY, "card-busy", "card '%s' is on its way", card->name);
    int r = card->granted ? device_regrant(card->device, &from, &to, err) : 0;
    if (r < 0)
        return r;
    card->quota_bytes = memory > before ? memory : before; /* never less than the ledger grants */
    card_save(card);
    if (ledger_resize(card->ledger, card->claims, memory, &held) < 0) {
        card->quota_bytes = before;
        card_save(card);
        if (card->granted) /* there was room for it a moment ago */
            (void)device_regrant(card->device, &to, &from, NULL);
        return held_too_much(card, memory, held, err);
    }
    card->quota_bytes = memory;
    card->share_asked_permille = share;
    card->share_kept_permille = card->share_kept_permille ? share : 0;
    if (to.share_permille != from.share_permille)
        card_set_share(card, share);
    card_save(card);
    cardd_confine_again(cardd, card);
    log_event(LOG_INFO, "card.resized", "card=%s memory_bytes=%llu share_permille=%u", card->name,
              (unsigned long long)memory, share);
    return 0;
}

static void stop_when_empty(struct cardd *cardd);

/* The last executor of a card that is being removed has ended. */
static void card_gone(struct cardd *cardd, struct card *card)
{
    if (card->remove_connection && cardd->control)
        control_answer(cardd->control, card->remove_connection, card->remove_request,
                       card_json(card));
    if (card->confined)
        confine_remove(cardd->confine, card->name);
    if (card->granted)
        device_take_back(card->device, card->quota_bytes, card->share_permille);
    log_event(LOG_INFO, "card.removed", "card=%s", card->name);
    list_remove(&card->link);
    card_destroy(card);
    cardd_touch(cardd);
    stop_when_empty(cardd);
}

void cardd_card_remove(struct cardd *cardd, struct card *card, uint64_t connection,
                       uint64_t request)
{
    card->leaving = true;
    card_save(card);
    card->remove_connection = connection;
    card->remove_request = request;
    list_remove(&card->link);
    list_append(&cardd->leaving, &card->link);
    cardd->card_count--;
    watch_stop(card->notified);
    card->notified = NULL;
    phase_abandon(cardd, card);
    spares_drop(card);
    for (unsigned slot = 0; slot < LEDGER_SLOTS; slot++) {
        if (card->sessions[slot])
            session_kill(card->sessions[slot]);
    }
    if (card->session_count == 0)
        card_gone(cardd, card);
}

void cardd_connection_closed(struct cardd *cardd, uint64_t connection)
{
    LIST_EACH_SAFE (link, after, &cardd->cards) {
        struct card *card = LIST_ENTRY(link, struct card, link);
        if (card->bound_to == connection)
            cardd_card_remove(cardd, card, 0, 0);
    }
    cardd_touch(cardd);
}

void cardd_connection_busy(struct cardd *cardd, uint64_t connection, bool busy)
{
    LIST_EACH (link, &cardd->cards) {
        struct card *card = LIST_ENTRY(link, struct card, link);
        if (card->bound_to == connection)
            card->book->connection_busy = busy;
    }
}

/* ---- sessions ---- */

void cardd_session_started(struct cardd *cardd, const struct session *session,
                           const struct seat *seat)
{
    struct card *card = seat->card;
    const unsigned most = card->sessions_most;
    if (card->session_count > most)
        card->sessions_most = card->session_count;
    if (card->sessions_most != most || session->seat_count > 1)
        cardd_confine_again(cardd, card);
    log_event(LOG_INFO, "session.started", "card=%s pid=%d executor=%d slot=%u", card->name,
              (int)session->client_pid, (int)session->process.pid, seat->slot);
    control_event(cardd->control, "card.session_started",
                  json_pack("{ss si}", "card", card->name, "pid", (int)session->client_pid));
}

/* As a shell counts: the exit status, or 128 and the signal. */
static int status_of(int wait_status)
{
    return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

/* True when the kernel has killed an executor of the card for want of memory since the last
 * look. */
static bool out_of_memory(struct cardd *cardd, struct card *card)
{
    uint64_t kills = card->confined ? confine_kills(cardd->confine, card->name) : 0;
    bool more = kills > card->kills_seen;
    card->kills_seen = kills;
    if (more)
        card_save(card);
    return more;
}

static void ended_on(struct cardd *cardd, const struct session *session, struct card *card,
                     int wait_status)
{
    int status = status_of(wait_status);
    bool oom = !card->leaving && out_of_memory(cardd, card);
    log_event(status == 0 || card->leaving ? LOG_INFO : LOG_WARN, "session.ended",
              "card=%s pid=%d executor=%d status=%d%s", card->name, (int)session->client_pid,
              (int)session->process.pid, status, oom ? " code=out-of-memory" : "");
    if (cardd->control)
        control_event(cardd->control, "card.session_ended",
                      json_pack("{ss si si sb}", "card", card->name, "pid",
                                (int)session->client_pid, "status", status, "oom", oom));
    if (card->leaving && card->session_count == 0) {
        card_gone(cardd, card);
        return;
    }
    if (card->leaving)
        return;
    phase_advance(cardd, card);
    if (card->session_count == 0)
        spares_want(card); /* for the next program */
}

void cardd_session_ended(struct cardd *cardd, struct session *session, int wait_status)
{
    for (unsigned i = 0; i < session->seat_count; i++)
        ended_on(cardd, session, session->seats[i].card, wait_status);
}

/* When it was killed for want of memory, no session is to be told so. */
void cardd_spare_ended(struct card *card)
{
    (void)out_of_memory(card->cardd, card);
}

/* ---- life ---- */

static void linger_over(uv_timer_t *timer);

void cardd_touch(struct cardd *cardd)
{
    if (!cardd->linger_ms || cardd->stopping)
        return;
    if (list_empty(&cardd->cards) && list_empty(&cardd->leaving) &&
        control_connections(cardd->control) == 0)
        (void)uv_timer_start(&cardd->linger, linger_over, cardd->linger_ms, 0); /* cannot fail */
    else
        (void)uv_timer_stop(&cardd->linger);
}

static void confine_closed(void *arg)
{
    struct cardd *cardd = arg;
    starter_close(cardd->starter);
    spares_close(cardd->spares);
    uv_close((uv_handle_t *)&cardd->linger, NULL);
    for (size_t i = 0; i < sizeof(ending_signals) / sizeof(ending_signals[0]); i++)
        uv_close((uv_handle_t *)&cardd->signals[i], NULL);
}

static void stop_when_empty(struct cardd *cardd)
{
    if (!cardd->stopping || cardd->closing || !list_empty(&cardd->cards) ||
        !list_empty(&cardd->leaving))
        return;
    cardd->closing = true;
    confine_close(cardd->confine, confine_closed, cardd);
}

/* Listen no more, end all sessions; the loop ends when the last has gone. */
static void cardd_stop(struct cardd *cardd)
{
    if (cardd->stopping)
        return;
    cardd->stopping = true;
    keeper_leave(cardd->keeper);
    gate_close(cardd->gate);
    control_close(cardd->control);
    cardd->gate = NULL;
    cardd->control = NULL;
    audit_stop(cardd->audit);
    LIST_EACH_SAFE (link, after, &cardd->cards)
        cardd_card_remove(cardd, LIST_ENTRY(link, struct card, link), 0, 0);
    stop_when_empty(cardd);
}

static void linger_over(uv_timer_t *timer)
{
    log_event(LOG_INFO, "cardd.leaving", "reason=unused");
    cardd_stop(timer->data);
}

static void signal_arrived(uv_signal_t *signal, int number)
{
    log_event(LOG_INFO, "cardd.leaving", "reason=signal signal=%d", number);
    cardd_stop(signal->data);
}

/* A session takes one descriptor, a card three. */
static void descriptors_raise(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* the old limit does for a few hundred sessions */
}

/* Where compiled code is kept; a machine that cannot keep it for long keeps it in the run
 * folder. */
static int cache_open(struct cardd *cardd, struct error *err)
{
    struct error why = {0};
    int r = path_cache_dir(cardd->cache_dir, &why);
    if (r == 0)
        r = dir_make(cardd->cache_dir, 0700, &why);
    if (r == 0 && access(cardd->cache_dir, W_OK | X_OK) == 0)
        return 0;
    log_event(LOG_WARN, "cardd.cache_unusable", "text=\"%s\"", r < 0 ? why.text : "not writable");
    r = path_join(cardd->rundir.path, "cache", cardd->cache_dir, err);
    return r == 0 ? dir_make(cardd->cache_dir, 0700, err) : r;
}

static void devices_find_all(struct cardd *cardd)
{
    struct error error;
    if (devices_probe(&cardd->devices, &error) < 0)
        log_event(LOG_ERROR, "devices.failed", "text=\"%s\"", error.text);
    for (unsigned i = 0; i < cardd->devices.count; i++) {
        const struct device *device = &cardd->devices.items[i];
        log_event(LOG_INFO, "device.found", "device=%s name=\"%s\" memory_bytes=%llu", device->id,
                  device->name, (unsigned long long)device->memory_bytes);
    }
}

static int handles_open(struct cardd *cardd, struct error *err)
{
    int r = confine_start(cardd->confine, &cardd->loop);
    if (r < 0)
        return error_errno(err, r, "start-failed", "cannot prepare the control groups");
    cardd->starter = starter_open(&cardd->loop);
    cardd->spares = spares_open(cardd);
    if (!cardd->starter || !cardd->spares)
        return error_set(err, -ENOMEM, "start-failed", "cannot prepare to start executors");
    r = uv_timer_init(&cardd->loop, &cardd->linger);
    cardd->linger.data = cardd;
    for (size_t i = 0; i < sizeof(ending_signals) / sizeof(ending_signals[0]); i++) {
        cardd->signals[i].data = cardd;
        if (r == 0)
            r = uv_signal_init(&cardd->loop, &cardd->signals[i]);
        if (r == 0)
            r = uv_signal_start(&cardd->signals[i], signal_arrived, ending_signals[i]);
    }
    return r < 0 ? error_errno(err, r, "start-failed", "cannot prepare the event loop") : 0;
}

static int sockets_open(struct cardd *cardd, struct error *err)
{
    int control_fd = cardd->rundir.control_fd, session_fd = cardd->rundir.session_fd;
    cardd->rundir.control_fd = cardd->rundir.session_fd = -1;
    cardd->control = control_open(cardd, control_fd);
    cardd->gate = gate_open(cardd, session_fd);
    if (!cardd->control || !cardd->gate)
        return error_set(err, -ENOMEM, "start-failed", "cannot serve the sockets");
    return 0;
}

static void ready_tell(struct cardd *cardd)
{
    keeper_ready(cardd->keeper);
    if (cardd->ready_fd <= 0)
        return;
    (void)fd_write_all(cardd->ready_fd, "\n", 1); /* nobody may listen any more */
    (void)close(cardd->ready_fd);
}

static int serve(struct cardd *cardd, struct error *err)
{
    int r = uv_loop_init(&cardd->loop);
    if (r < 0)
        return error_errno(err, r, "start-failed", "cannot make the event loop");
    r = handles_open(cardd, err);
    if (r < 0)
        return r; /* the process ends */
    r = sockets_open(cardd, err);
    if (r == 0 && cardd->audit && audit_start(cardd->audit) < 0)
        r = error_set(err, -ENOMEM, "start-failed", "cannot start the auditor");
    if (r < 0)
        cardd_stop(cardd);
    else
        cardd_adopt(cardd);
    cardd_touch(cardd);
    log_event(LOG_INFO, "cardd.ready", "run_dir=\"%s\" instance=%s pid=%d", cardd->rundir.path,
              cardd->instance, (int)getpid());
    if (r == 0)
        ready_tell(cardd);
    (void)uv_run(&cardd->loop, UV_RUN_DEFAULT); /* nothing is left when it returns */
    if (uv_loop_close(&cardd->loop) < 0)
        log_event(LOG_WARN, "cardd.leaving", "reason=\"handles left open\"");
    return r;
}

/* leat-cardd, forked by the keeper: its exit status. */
static int daemon_serve(void *arg)
{
    struct cardd *cardd = arg;
    struct error error = {0};
    cardd->audit = audit_open(cardd, &cardd->audit_options, &error);
    if (!cardd->audit && error.errnum)
        log_event(LOG_WARN, "audit.failed", "text=\"%s\"", error.text);
    int r = serve(cardd, &error);
    audit_close(cardd->audit);
    if (r == 0)
        return EXIT_SUCCESS;
    if (cardd->ready_fd > 0)
        (void)dprintf(cardd->ready_fd, "%s\n", error.text); /* nobody may listen */
    log_event(LOG_ERROR, "cardd.failed", "code=%s text=\"%s\"", error.code, error.text);
    return EXIT_FAILURE;
}

/* What outlives a leat-cardd that is killed. */
static int house_open(struct cardd *cardd, struct error *err)
{
    struct error reason = {0};
    int r = cache_open(cardd, err);
    if (r < 0)
        return r;
    descriptors_raise();
    devices_find_all(cardd);
    r = books_open(&cardd->books);
    if (r < 0)
        return error_errno(err, r, "start-failed", "no memory for the books");
    cardd->confine = confine_create(cardd->instance, &reason);
    if (!cardd->confine)
        return error_copy(err, &reason);
    if (!confine_active(cardd->confine))
        log_event(LOG_WARN, "cardd.unconfined", "text=\"%s\"", reason.text);
    const struct keeper_house house = {.rundir = &cardd->rundir,
                                       .devices = &cardd->devices,
                                       .confine = cardd->confine,
                                       .books = &cardd->books,
                                       .relay = cardd->relay,
                                       .ready_fd = &cardd->ready_fd};
    cardd->keeper = keeper_open(&house);
    return cardd->keeper ? 0 : error_set(err, -ENOMEM, "out-of-memory", "making the keeper");
}

int cardd_run(const struct cardd_options *options, int *ret_status, struct error *err)
{
    struct cardd cardd = {.relay = options->relay,
                          .suspended_most_bytes = options->suspended_most_bytes,
                          .linger_ms = options->linger_ms,
                          .audit_options = options->audit,
                          .ready_fd = options->ready_fd};
    char token[TOKEN_TEXT_MAX];
    list_init(&cardd.cards);
    list_init(&cardd.leaving);
    list_init(&cardd.sessions);
    int r = random_token(token);
    if (r < 0)
        return error_errno(err, r, "start-failed", "no random bytes");
    (void)snprintf(cardd.instance, sizeof(cardd.instance), "%.16s", token);
    r = rundir_open(options->run_dir, &cardd.rundir, err);
    if (r < 0)
        return r;
    r = house_open(&cardd, err);
    if (r == 0)
        *ret_status = keeper_run(cardd.keeper, daemon_serve, &cardd);
    keeper_close(cardd.keeper);
    confine_destroy(cardd.confine);
    books_close(&cardd.books);
    devices_finish(&cardd.devices);
    rundir_close(&cardd.rundir);
    return r;
}
