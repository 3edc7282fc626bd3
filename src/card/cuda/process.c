/* The one card of the process: see process.h. */
#include "card/cuda/process.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "card/cuda/alone.h"
#include "card/cuda/blocks.h"
#include "card/cuda/launch.h"
#include "card/cuda/pool.h"
#include "card/ledger/ledger.h"
#include "card/meter/meter.h"

static struct {
    pthread_mutex_t lock;    /* guards the rest while attaching */
    pthread_mutex_t reserve; /* one reservation at a time */
    enum card_state state;
    struct card_view view;
    const struct ledger_card *ledger; /* of a remote card, like what follows */
    struct wire_client client;
    void (*call_off)(void *arg);
    void *call_off_arg;
    struct meter_device *device; /* of a card that no daemon looks after; else NULL */
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
    wire_disconnect(&card.client);
    if (card.ledger)
        (void)munmap((void *)(uintptr_t)card.ledger, sizeof(*card.ledger));
    card.ledger = NULL;
    card.view = (struct card_view){0};
    card.state = CARD_UNKNOWN;
}

static void watch_forks(void)
{
    (void)pthread_atfork(NULL, NULL,
                         begin_anew); /* without memory a child counts with its parent */
}

static enum card_state attach(struct card_view *ret_view)
{
    struct attachment a;
    enum card_state state = card_attach(&a);
    if (state == CARD_REMOTE) {
        card.client = a.client;
        card.ledger = a.ledger;
    }
    if (state != CARD_READY)
        return state;
    uint32_t owner = __atomic_load_n(&a.ledger->slots[a.slot].pid, __ATOMIC_SEQ_CST);
    struct meter *meter = meter_create(a.ledger, a.device, owner, a.slot, a.notify_fd);
    if (!meter)
        return CARD_FAILED;
    __atomic_store_n(&a.ledger->slots[a.slot].own_pid, (uint32_t)getpid(), __ATOMIC_SEQ_CST);
    card.device = a.alone ? a.device : NULL;
    *ret_view = (struct card_view){a.ledger, meter, a.slot};
    return CARD_READY;
}

static enum card_state find_card(void)
{
    enum card_state state = __atomic_load_n(&card.state, __ATOMIC_ACQUIRE);
    if (state == CARD_UNKNOWN) {
        int saved = errno;
        (void)pthread_once(&fork_once, watch_forks); /* cannot fail */
        (void)pthread_mutex_lock(&card.lock);
        if (card.state == CARD_UNKNOWN) {
            state = attach(&card.view);
            __atomic_store_n(&card.state, state, __ATOMIC_RELEASE);
        }
        state = card.state;
        (void)pthread_mutex_unlock(&card.lock);
        errno = saved;
    }
    return state;
}

enum card_state process_card(struct card_view *ret_view)
{
    enum card_state state = find_card();
    if (state == CARD_READY)
        *ret_view = card.view;
    return state == CARD_REMOTE ? CARD_NONE : state;
}

struct wire_client *process_remote(const struct ledger_card **ret_ledger)
{
    if (find_card() != CARD_REMOTE)
        return NULL;
    *ret_ledger = card.ledger;
    return &card.client;
}

void process_adopt(const struct card_view *view, void (*call_off)(void *arg), void *arg)
{
    card.view = *view;
    card.call_off = call_off;
    card.call_off_arg = arg;
    __atomic_store_n(&card.state, CARD_READY, __ATOMIC_RELEASE);
}

void process_called_off(void)
{
    if (card.call_off)
        card.call_off(card.call_off_arg);
}

int process_reserve(uint64_t bytes)
{
    struct card_view view;
    enum card_state state = process_card(&view);
    if (state != CARD_READY)
        return state == CARD_FAILED ? -EIO : 0;
    (void)pthread_mutex_lock(&card.reserve);
    int r = ledger_reserve(view.ledger, view.slot, bytes);
    if (r == -ENOSPC && card.device) {
        alone_reap(view.ledger, card.device);
        r = ledger_reserve(view.ledger, view.slot, bytes);
    }
    (void)pthread_mutex_unlock(&card.reserve);
    return r;
}

void process_release(uint64_t bytes)
{
    struct card_view view;
    if (bytes && process_card(&view) == CARD_READY)
        ledger_release(view.ledger, view.slot, bytes);
}
