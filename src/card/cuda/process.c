/* The cards of the process: see process.h. */
#include "card/cuda/process.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "card/cuda/alone.h"
#include "card/cuda/launch.h"
#include "card/cuda/pool.h"
#include "card/ledger/ledger.h"
#include "card/meter/meter.h"
#include "cuda_api.h"

struct own_card {
    pthread_mutex_t reserve; /* one reservation at a time */
    enum card_state state;
    struct card_view view;
    struct meter_device *device; /* of a card that no daemon looks after; else NULL */
};

static struct {
    pthread_mutex_t lock; /* guards the rest while attaching */
    struct own_card of[CARD_DEVICES_MAX];
    int adopted; /* the first is that of all devices */
    int devices; /* of the process; 0: not known yet */
    int named;   /* > 0: the environment names cards, and no remote one; 0: not known yet */
    const struct ledger_card *ledger; /* of a remote card, like what follows */
    struct wire_client client;
    void (*call_off)(void *arg);
    void *call_off_arg;
} cards = {.lock = PTHREAD_MUTEX_INITIALIZER,
           .of = {[0 ... CARD_DEVICES_MAX - 1] = {.reserve = PTHREAD_MUTEX_INITIALIZER}}};

static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

/* The child has no slots: its parent's must not be touched. The pages stay mapped, unused. */
static void begin_anew(void)
{
    (void)pthread_mutex_init(&cards.lock, NULL);
    blocks_clear();
    pools_clear();
    launch_clear();
    wire_disconnect(&cards.client);
    if (cards.ledger)
        (void)munmap((void *)(uintptr_t)cards.ledger, sizeof(*cards.ledger));
    cards.ledger = NULL;
    cards.adopted = 0;
    for (unsigned i = 0; i < CARD_DEVICES_MAX; i++)
        cards.of[i] = (struct own_card){.reserve = PTHREAD_MUTEX_INITIALIZER};
}

static void watch_forks(void)
{
    (void)pthread_atfork(NULL, NULL,
                         begin_anew); /* without memory a child counts with its parent */
}

static enum card_state attach(unsigned device, struct own_card *card)
{
    struct attachment a;
    enum card_state state = card_attach(device, &a);
    if (state == CARD_REMOTE && device > 0) { /* its executor has one device */
        wire_disconnect(&a.client);
        return CARD_FAILED;
    }
    if (state == CARD_REMOTE) {
        cards.client = a.client;
        cards.ledger = a.ledger;
    }
    if (state != CARD_READY)
        return state;
    uint32_t owner = __atomic_load_n(&a.ledger->slots[a.slot].pid, __ATOMIC_SEQ_CST);
    struct meter *meter = meter_create(a.ledger, a.device, owner, a.slot, a.notify_fd);
    if (!meter)
        return CARD_FAILED;
    __atomic_store_n(&a.ledger->slots[a.slot].own_pid, (uint32_t)getpid(), __ATOMIC_SEQ_CST);
    card->device = a.alone ? a.device : NULL;
    card->view = (struct card_view){a.ledger, meter, a.slot};
    return CARD_READY;
}

static enum card_state find_card(unsigned device, struct own_card *card)
{
    enum card_state state = __atomic_load_n(&card->state, __ATOMIC_ACQUIRE);
    if (state == CARD_UNKNOWN) {
        int saved = errno;
        (void)pthread_once(&fork_once, watch_forks); /* cannot fail */
        (void)pthread_mutex_lock(&cards.lock);
        if (card->state == CARD_UNKNOWN)
            __atomic_store_n(&card->state, attach(device, card), __ATOMIC_RELEASE);
        state = card->state;
        (void)pthread_mutex_unlock(&cards.lock);
        errno = saved;
    }
    return state;
}

/* Its card, or NULL: `ret_state` says why. A device of a number beyond the table has none. */
static struct own_card *card_of(CUdevice device, enum card_state *ret_state)
{
    *ret_state = CARD_NONE;
    if (device < 0)
        return NULL;
    unsigned at = cards.adopted ? 0 : (unsigned)device;
    struct own_card *card = at < CARD_DEVICES_MAX ? &cards.of[at] : NULL;
    struct attachment none;
    *ret_state = card ? find_card(at, card) : card_attach(at, &none);
    if (*ret_state == CARD_REMOTE)
        *ret_state = CARD_NONE;
    return *ret_state == CARD_READY ? card : NULL;
}

CUdevice process_device(void)
{
    CUdevice device;
    int count = __atomic_load_n(&cards.devices, __ATOMIC_RELAXED);
    if (!count && driver_cuDeviceGetCount(&count) == CUDA_SUCCESS)
        __atomic_store_n(&cards.devices, count, __ATOMIC_RELAXED);
    if (count == 1 || cards.adopted)
        return 0;
    return driver_cuCtxGetDevice(&device) == CUDA_SUCCESS ? device : -1;
}

enum card_state process_card(CUdevice device, struct card_view *ret_view)
{
    enum card_state state;
    const struct own_card *card = card_of(device, &state);
    if (card)
        *ret_view = card->view;
    return state;
}

int process_has_cards(void)
{
    int named = __atomic_load_n(&cards.named, __ATOMIC_RELAXED);
    if (!named) {
        named = card_is_named() && find_card(0, &cards.of[0]) != CARD_REMOTE ? 1 : -1;
        __atomic_store_n(&cards.named, named, __ATOMIC_RELAXED);
    }
    return cards.adopted || named > 0;
}

struct wire_client *process_remote(const struct ledger_card **ret_ledger)
{
    if (find_card(0, &cards.of[0]) != CARD_REMOTE)
        return NULL;
    *ret_ledger = cards.ledger;
    return &cards.client;
}

void process_adopt(const struct card_view *view, void (*call_off)(void *arg), void *arg)
{
    cards.of[0].view = *view;
    cards.call_off = call_off;
    cards.call_off_arg = arg;
    cards.adopted = 1;
    __atomic_store_n(&cards.of[0].state, CARD_READY, __ATOMIC_RELEASE);
}

void process_called_off(void)
{
    if (cards.call_off)
        cards.call_off(cards.call_off_arg);
}

int process_reserve(struct charge charge)
{
    enum card_state state;
    struct own_card *card = card_of(charge.device, &state);
    if (!card)
        return state == CARD_FAILED ? -EIO : 0;
    struct ledger_card *ledger = card->view.ledger;
    (void)pthread_mutex_lock(&card->reserve);
    int r = ledger_reserve(ledger, card->view.slot, charge.bytes);
    if (r == -ENOSPC && card->device) {
        alone_reap(ledger, card->device);
        r = ledger_reserve(ledger, card->view.slot, charge.bytes);
    }
    (void)pthread_mutex_unlock(&card->reserve);
    return r;
}

void process_release(struct charge charge)
{
    enum card_state state;
    const struct own_card *card = charge.bytes ? card_of(charge.device, &state) : NULL;
    if (card)
        ledger_release(card->view.ledger, card->view.slot, charge.bytes);
}
