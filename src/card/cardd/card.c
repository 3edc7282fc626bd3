/* One card: see card.h. */
#include "card/cardd/card.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/random.h"
#include "card/cardd/books.h"
#include "card/cardd/cardd.h"
#include "card/cardd/device.h"
#include "card/cardd/elsewhere.h"
#include "card/cardd/keeper.h"
#include "card/cardd/session.h"
#include "card/ledger/trace.h"
#include "card/meter/meter.h"

#define LEDGER_VERSION 1

DEFINE_CLEANUP(card, struct card, card_destroy)

static void pages_point(struct card *card)
{
    struct card_pages *pages = &card->cardd->books.pages[card->number];
    card->ledger = &pages->ledger;
    card->claims = &pages->claims;
    card->trace = &pages->trace;
}

/* No client writes the ledger, but of a local card's the programs write their slots themselves; and
 * none seals what others are to write. */
static int pages_seal(const struct card *card)
{
    const int ledger = card_is_local(card) ? F_SEAL_SEAL : F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
    if (fcntl(card->ledger_fd, F_ADD_SEALS, ledger) == 0 &&
        fcntl(card->claims_fd, F_ADD_SEALS, F_SEAL_SEAL) == 0)
        return 0;
    return -errno;
}

static int pages_create(struct card *card)
{
    int fds[PAGES];
    int r = keeper_make_pages(card->cardd->keeper, card->number, fds);
    if (r < 0)
        return r;
    card->ledger_fd = fds[PAGE_LEDGER];
    card->claims_fd = fds[PAGE_CLAIMS];
    (void)close(fds[PAGE_TRACE]);
    pages_point(card);
    r = pages_seal(card);
    if (r < 0)
        return r;
    card->notify_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (card->notify_fd < 0)
        return -errno;
    keeper_hold(card->cardd->keeper, card->number, KEPT_NOTIFY, card->notify_fd);
    return 0;
}

static int cache_make(const char *cache_root, const char *tenant, struct card *card,
                      struct error *err)
{
    char path[PATH_MAX];
    int r = path_join(cache_root, tenant, path, err);
    if (r == 0)
        r = dir_make(path, 0700, err);
    if (r < 0)
        return r;
    card->cache_dir = strdup(path);
    return card->cache_dir ? 0 : error_set(err, -ENOMEM, "out-of-memory", "naming '%s'", path);
}

bool card_is_local(const struct card *card)
{
    return card->device->cuda && !card->remote;
}

/* A free place in the books, or -1. */
static int number_find(const struct cardd *cardd)
{
    for (int number = 0; number < BOOKS_CARDS; number++) {
        if (!book_read(&cardd->books.cards[number]))
            return number;
    }
    return -1;
}

/* A card at place `number`, of nothing yet. NULL: out of memory. */
static struct card *card_alloc(struct cardd *cardd, unsigned number)
{
    struct card *card = calloc(1, sizeof(*card));
    if (!card)
        return NULL;
    list_init(&card->link);
    card->cardd = cardd;
    card->number = number;
    card->book = &cardd->books.cards[number];
    card->ledger_fd = card->claims_fd = card->notify_fd = card->file_fd = -1;
    return card;
}

/* Its token, its pages and its folder. */
static int card_furnish(struct card *card, const struct card_wish *wish, struct error *err)
{
    int r = 0;
    if (wish->token)
        (void)snprintf(card->token, sizeof(card->token), "%s", wish->token);
    else
        r = random_token(card->token);
    if (r == 0)
        r = pages_create(card);
    if (r < 0)
        return error_errno(err, r, "card-failed", "cannot make the pages of card '%s'", wish->name);
    return cache_make(wish->cache_root, wish->tenant, card, err);
}

_Static_assert(CARD_PRIORITY_MAX == METER_PRIORITY_MAX, "what may be asked for");

int card_create(struct cardd *cardd, const struct card_wish *wish, struct device *device,
                struct card **ret_card, struct error *err)
{
    int number = number_find(cardd);
    CLEANUP(cleanup_card)
    struct card *card = number < 0 ? NULL : card_alloc(cardd, (unsigned)number);
    if (!card)
        return error_set(err, -ENOMEM, "out-of-memory", "making card '%s'", wish->name);
    card->device = device;
    card->remote = wish->remote;
    (void)snprintf(card->name, sizeof(card->name), "%s", wish->name);
    int r = card_furnish(card, wish, err);
    if (r < 0)
        return r;
    card->granted = true;
    card->quota_bytes = wish->quota_bytes;
    card->share_asked_permille = card->share_permille = wish->share_permille;
    card->created_ns = clock_monotonic_ns();
    *card->ledger = (struct ledger_card){
        .magic = LEDGER_MAGIC,
        .version = LEDGER_VERSION,
        .quota_bytes = wish->quota_bytes,
        .share_permille = wish->share_permille,
        .burst = wish->burst,
        .priority = wish->priority,
        .last_use_ns = card->created_ns,
        .credit_time_ns = card->created_ns,
    };
    *ret_card = TAKE(card);
    return 0;
}

void card_destroy(struct card *card)
{
    if (!card)
        return;
    book_clear(card->book);
    keeper_drop_card(card->cardd->keeper, card->number);
    cleanup_fd(&card->ledger_fd);
    cleanup_fd(&card->claims_fd);
    cleanup_fd(&card->notify_fd);
    explicit_bzero(card->token, sizeof(card->token));
    free(card->cache_dir);
    free(card->file_path);
    free(card->saved_path);
    cleanup_fd(&card->file_fd);
    elsewhere_close(card->elsewhere);
    free(card);
}

/* ---- the books ---- */

/* What is the same in both. */
#define EACH_PLAIN_FIELD(copy) \
    copy(remote) copy(granted) copy(failing) copy(needs_copy_room) copy(leaving) copy(departing) \
        copy(phase) copy(quota_bytes) copy(created_ns) copy(share_asked_permille) \
            copy(share_permille) copy(share_kept_permille) copy(orders) copy(kills_seen) \
                copy(phase_since_ns) copy(suspend_ns) copy(resume_ns) copy(suspensions) \
                    copy(bound_to) copy(counted) copy(sessions_most) copy(ended_stats) \
                        copy(ended_commands) copy(ended_builds) copy(ended_build_hits)

static int device_number(const struct card *card, const struct device *device)
{
    return device ? (int)(device - card->cardd->devices.items) : -1;
}

void card_save(const struct card *card)
{
    struct book_state state = {.device = device_number(card, card->device),
                               .move_to = device_number(card, card->move_to)};
    memcpy(state.name, card->name, sizeof(state.name));
    memcpy(state.token, card->token, sizeof(state.token));
    if (card_is_there(card))
        state.elsewhere = *elsewhere_place(card->elsewhere);
    (void)snprintf(state.cache_dir, sizeof(state.cache_dir), "%s", card->cache_dir);
    (void)snprintf(state.file_path, sizeof(state.file_path), "%s",
                   card->file_path ? card->file_path : "");
    (void)snprintf(state.saved_path, sizeof(state.saved_path), "%s",
                   card->saved_path ? card->saved_path : "");
#define TO_BOOK(field) state.field = card->field;
    EACH_PLAIN_FIELD(TO_BOOK)
#undef TO_BOOK
    book_write(card->book, &state);
    explicit_bzero(state.token, sizeof(state.token));
}

static int fds_adopt(struct card *card)
{
    const struct keeper *keeper = card->cardd->keeper;
    card->ledger_fd = keeper_kept(keeper, card->number, KEPT_LEDGER);
    card->claims_fd = keeper_kept(keeper, card->number, KEPT_CLAIMS);
    card->notify_fd = keeper_kept(keeper, card->number, KEPT_NOTIFY);
    card->file_fd = keeper_kept(keeper, card->number, KEPT_FILE);
    return card->ledger_fd < 0 || card->claims_fd < 0 || card->notify_fd < 0 ? -EBADF : 0;
}

struct card *card_adopt(struct cardd *cardd, unsigned number, struct error *err)
{
    CLEANUP(cleanup_card) struct card *card = card_alloc(cardd, number);
    const struct book_state *state = book_read(&cardd->books.cards[number]);
    if (!card || !state || fds_adopt(card) < 0) {
        (void)error_set(err, -ENOMEM, "card-lost", "cannot take over card '%s'",
                        state ? state->name : "");
        return NULL;
    }
    memcpy(card->name, state->name, sizeof(card->name));
    memcpy(card->token, state->token, sizeof(card->token));
    card->cache_dir = strdup(state->cache_dir);
    card->file_path = *state->file_path ? strdup(state->file_path) : NULL;
    card->saved_path =
        *state->saved_path ? strdup(state->saved_path) : NULL; /* or is not rebuilt */
    card->device = &cardd->devices.items[state->device];
    card->move_to = state->move_to < 0 ? NULL : &cardd->devices.items[state->move_to];
#define FROM_BOOK(field) card->field = state->field;
    EACH_PLAIN_FIELD(FROM_BOOK)
#undef FROM_BOOK
    if (*state->elsewhere.dir)
        card->elsewhere = elsewhere_adopt(card, &state->elsewhere);
    else
        elsewhere_let_go(card);
    if ((*state->elsewhere.dir && !card->elsewhere) || !card->cache_dir ||
        (*state->file_path && !card->file_path)) {
        (void)error_set(err, -ENOMEM, "out-of-memory", "taking over card '%s'", state->name);
        return NULL;
    }
    pages_point(card);
    /* What one that was killed had not come to. A quota is in the books before it grows, and after
     * it has shrunk, so the books are never behind what programs were granted. */
    __atomic_store_n(&card->ledger->quota_bytes, card->quota_bytes, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&card->ledger->share_permille, __ATOMIC_SEQ_CST) != card->share_permille)
        card_set_share(card, card->share_permille);
    return TAKE(card);
}

void card_set_share(struct card *card, uint32_t share_permille)
{
    struct ledger_card *ledger = card->ledger;
    card->share_permille = share_permille;
    card->want_announced = false;
    /* In this order an executor that sees the old share and asks for more is not forgotten: it asks
     * after the flag was cleared, or finds the new share when it goes to sleep. */
    __atomic_store_n(&ledger->share_wanted, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&ledger->share_permille, share_permille, __ATOMIC_SEQ_CST);
    (void)syscall(SYS_futex, &ledger->share_permille, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

bool card_wants_share(const struct card *card)
{
    return card->share_permille == 0 &&
           __atomic_load_n(&card->ledger->share_wanted, __ATOMIC_SEQ_CST) != 0;
}

bool card_is_away(const struct card *card)
{
    return card->phase != CARD_ACTIVE && card->phase != CARD_RESUMING;
}

bool card_is_elsewhere(const struct card *card)
{
    return card->elsewhere || card->phase == CARD_MOVED;
}

bool card_is_there(const struct card *card)
{
    return card->phase == CARD_MOVED || card->phase == CARD_RETURNING;
}

unsigned card_orders_out(const struct card *card)
{
    unsigned out = 0;
    for (unsigned slot = 0; slot < LEDGER_SLOTS; slot++)
        out += card->sessions[slot] && card->sessions[slot]->order != 0;
    return out;
}

int card_free_slot(const struct card *card)
{
    for (int slot = 0; slot < LEDGER_SLOTS; slot++) {
        if (!card->sessions[slot])
            return slot;
    }
    return -1;
}

static void carried_add(struct wire_carried *sum, const struct wire_carried *part)
{
    sum->bytes += __atomic_load_n(&part->bytes, __ATOMIC_RELAXED);
    sum->line_bytes += __atomic_load_n(&part->line_bytes, __ATOMIC_RELAXED);
}

/* The figures lie in memory that the client may write: they are sums for people, nothing is decided
 * by them. */
static void stats_add(struct wire_stats *sum, const struct wire_stats *part)
{
    sum->calls_local += __atomic_load_n(&part->calls_local, __ATOMIC_RELAXED);
    sum->calls_posted += __atomic_load_n(&part->calls_posted, __ATOMIC_RELAXED);
    sum->calls_waited += __atomic_load_n(&part->calls_waited, __ATOMIC_RELAXED);
    sum->bytes_to_device += __atomic_load_n(&part->bytes_to_device, __ATOMIC_RELAXED);
    sum->bytes_from_device += __atomic_load_n(&part->bytes_from_device, __ATOMIC_RELAXED);
    sum->records += __atomic_load_n(&part->records, __ATOMIC_RELAXED);
    sum->wait_ns += __atomic_load_n(&part->wait_ns, __ATOMIC_RELAXED);
    carried_add(&sum->carried_to_device, &part->carried_to_device);
    carried_add(&sum->carried_from_device, &part->carried_from_device);
}

void card_slot_reap(struct card *card, unsigned slot, const struct wire_session *memory)
{
    struct ledger_slot *ledger = &card->ledger->slots[slot];
    if (memory)
        stats_add(&card->ended_stats, &memory->stats);
    card->ended_commands += __atomic_load_n(&ledger->commands, __ATOMIC_RELAXED);
    card->ended_builds += __atomic_load_n(&ledger->builds, __ATOMIC_RELAXED);
    card->ended_build_hits += __atomic_load_n(&ledger->build_hits, __ATOMIC_RELAXED);
    __atomic_store_n(&card->claims->slots[slot].claimed_total_bytes, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&ledger->pending_bytes, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&ledger->used_bytes, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&ledger->away_bytes, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&ledger->freed_total_bytes, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&ledger->device_time_ns, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&ledger->commands, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&ledger->commands_in_flight, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&ledger->builds, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&ledger->build_hits, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&ledger->pid, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&ledger->own_pid, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&ledger->begun, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&ledger->state, 0, __ATOMIC_SEQ_CST);
    book_count_ended(&card->counted, slot);
}

/* What the live sessions add to the figures of those that ended. */
struct live {
    struct wire_stats stats;
    uint64_t commands, in_flight, builds, build_hits;
};

static struct live live_sum(const struct card *card)
{
    struct live live = {.stats = card->ended_stats,
                        .commands = card->ended_commands,
                        .builds = card->ended_builds,
                        .build_hits = card->ended_build_hits};
    for (unsigned slot = 0; slot < LEDGER_SLOTS; slot++) {
        const struct ledger_slot *ledger = &card->ledger->slots[slot];
        if (!card->sessions[slot])
            continue;
        if (card->sessions[slot]->memory)
            stats_add(&live.stats, &card->sessions[slot]->memory->stats);
        live.commands += __atomic_load_n(&ledger->commands, __ATOMIC_RELAXED);
        live.in_flight += __atomic_load_n(&ledger->commands_in_flight, __ATOMIC_RELAXED);
        live.builds += __atomic_load_n(&ledger->builds, __ATOMIC_RELAXED);
        live.build_hits += __atomic_load_n(&ledger->build_hits, __ATOMIC_RELAXED);
    }
    return live;
}

/* 0 while a command runs or waits for share. */
static uint64_t idle_ms(const struct card *card, const struct live *live, uint64_t now_ns)
{
    uint64_t last_ns = __atomic_load_n(&card->ledger->last_use_ns, __ATOMIC_RELAXED);
    if (live->in_flight || card_wants_share(card) || last_ns >= now_ns)
        return 0;
    return (now_ns - last_ns) / NS_PER_MS;
}

static const char *const phase_names[] = {
    [CARD_ACTIVE] = "active",     [CARD_SUSPENDING] = "suspending", [CARD_SUSPENDED] = "suspended",
    [CARD_RESUMING] = "resuming", [CARD_SAVING] = "saving",         [CARD_LOADING] = "loading",
    [CARD_OFFERING] = "moving",   [CARD_MOVED] = "moved",           [CARD_RETURNING] = "returning",
};

struct json_t *card_json(const struct card *card)
{
    const struct ledger_card *ledger = card->ledger;
    struct live live = live_sum(card);
    uint64_t now_ns = clock_monotonic_ns();
    const struct {
        const char *name;
        uint64_t value;
    } figures[] = {
        {"memory_quota_bytes", card->quota_bytes},
        {"memory_used_bytes", ledger_used(ledger)},
        {"suspended_bytes", ledger_away(ledger)},
        {"suspensions", card->suspensions},
        {"suspend_ns", card->suspend_ns},
        {"resume_ns", card->resume_ns},
        {"memory_peak_bytes", __atomic_load_n(&ledger->peak_bytes, __ATOMIC_RELAXED)},
        {"share_permille", card->share_permille},
        {"share_asked_permille", card->share_asked_permille},
        {"burst", ledger->burst},
        {"priority", ledger->priority},
        {"device_time_ns", __atomic_load_n(&ledger->device_time_ns, __ATOMIC_RELAXED)},
        {"throttled_ns", __atomic_load_n(&ledger->throttled_ns, __ATOMIC_RELAXED)},
        {"idle_ms", idle_ms(card, &live, now_ns)},
        {"age_ms", (now_ns - card->created_ns) / NS_PER_MS},
        {"sessions", card->session_count},
        {"sessions_total", card->counted.total},
        {"commands", live.commands},
        {"refusals", __atomic_load_n(&ledger->refusals, __ATOMIC_RELAXED) +
                         __atomic_load_n(&card->claims->refusals, __ATOMIC_RELAXED)},
        {"memory_wanted_bytes", __atomic_load_n(&card->claims->wanted_bytes, __ATOMIC_RELAXED)},
        {"calls_local", live.stats.calls_local},
        {"calls_posted", live.stats.calls_posted},
        {"calls_waited", live.stats.calls_waited},
        {"records", live.stats.records},
        {"bytes_to_device", live.stats.bytes_to_device},
        {"bytes_from_device", live.stats.bytes_from_device},
        {"carried_to_device_bytes", live.stats.carried_to_device.bytes},
        {"carried_from_device_bytes", live.stats.carried_from_device.bytes},
        {"line_to_device_bytes", live.stats.carried_to_device.line_bytes},
        {"line_from_device_bytes", live.stats.carried_from_device.line_bytes},
        {"wait_ns", live.stats.wait_ns},
        {"queue_depth", live.in_flight},
        {"builds", live.builds},
        {"build_hits", live.build_hits},
    };
    int runtime_refused = (int)__atomic_load_n(&ledger->runtime_refused, __ATOMIC_RELAXED);
    json_t *object = json_pack("{ss ss ss ss sb sb sb}", "card", card->name, "device",
                               card->device->id, "state", phase_names[card->phase], "host",
                               card_is_there(card) ? elsewhere_place(card->elsewhere)->host : "",
                               "share_wanted", card_wants_share(card), "remote",
                               !card_is_local(card), "runtime_refused", runtime_refused == 1);
    for (size_t i = 0; object && i < sizeof(figures) / sizeof(figures[0]); i++) {
        /* JSON integers are signed; a client that lies in its figures must not make them
         * negative. */
        json_int_t value = (json_int_t)(figures[i].value & INT64_MAX);
        if (json_object_set_new(object, figures[i].name, json_integer(value)) < 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}
