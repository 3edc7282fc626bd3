/* The client's side of a session for tests: see executor_rig.h. */
#include "executor_rig.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "card/executor/executor.h"
#include "card/ledger/futex.h"

static void *shared_pages(uint64_t bytes)
{
    void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return pages == MAP_FAILED ? NULL : pages;
}

struct rig_card rig_card(uint64_t quota_bytes, uint32_t share_permille)
{
    struct rig_card card = {shared_pages(sizeof(struct ledger_card)),
                            shared_pages(sizeof(struct meter_device))};
    card.ledger->magic = LEDGER_MAGIC;
    card.ledger->quota_bytes = quota_bytes;
    card.ledger->share_permille = share_permille;
    return card;
}

static _Noreturn void run_executor(const struct rig_card *cards, unsigned count, int control_fd,
                                   pid_t parent)
{
    struct executor_params params = {
        .control_fd = control_fd,
        .card_count = count,
        .card_name = "test",
        .cache_dir = "/tmp/leat-test-cache",
        .parent_pid = parent,
    };
    for (unsigned i = 0; i < count; i++)
        params.cards[i] = (struct executor_card){.ledger = cards[i].ledger,
                                                 .device = cards[i].device,
                                                 .notify_fd = -1,
                                                 .device_index = i};
    executor_main(&params);
}

int rig_open(struct rig *rig, struct rig_card card, unsigned slot)
{
    return rig_open_cards(rig, &card, 1, slot);
}

int rig_open_cards(struct rig *rig, const struct rig_card *cards, unsigned count, unsigned slot)
{
    int sockets[2], controls[2];
    *rig = (struct rig){.ledger = cards->ledger, .device = cards->device};
    rig->session_bytes = wire_session_layout(&rig->layout) + RIG_ARENA_BYTES;
    int session_fd = memfd_create("session", MFD_CLOEXEC);
    if (session_fd < 0 || ftruncate(session_fd, (off_t)rig->session_bytes) < 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, controls) < 0)
        return -errno;
    rig->session =
        mmap(NULL, rig->session_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, session_fd, 0);
    *rig->session = rig->layout;
    rig->session->arena_bytes = RIG_ARENA_BYTES;
    pid_t parent = getpid();
    rig->pid = fork();
    if (rig->pid == 0) {
        (void)close(controls[0]);
        run_executor(cards, count, controls[1], parent);
    }
    struct executor_client client = {.slot = slot,
                                     .arena_bytes = RIG_ARENA_BYTES,
                                     .socket_fd = sockets[1],
                                     .session_fd = session_fd};
    for (unsigned i = 1; i < count; i++)
        client.further_slots[i - 1] = slot + i;
    int r = executor_serve(controls[0], &client);
    (void)close(controls[0]);
    (void)close(controls[1]);
    (void)close(sockets[1]);
    (void)close(session_fd);
    rig->socket_fd = sockets[0];
    return r;
}

int rig_wait_end(struct rig *rig)
{
    int status = -1;
    while (waitpid(rig->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    (void)munmap(rig->session, rig->session_bytes);
    (void)close(rig->socket_fd);
    return status;
}

int rig_close(struct rig *rig)
{
    (void)shutdown(rig->socket_fd, SHUT_RDWR);
    return rig_wait_end(rig);
}

static void *at(struct rig *rig, uint64_t offset)
{
    return (uint8_t *)rig->session + offset;
}

uint8_t *rig_arena(struct rig *rig)
{
    return at(rig, rig->layout.arena_offset);
}

uint32_t *rig_range(struct rig *rig, unsigned range)
{
    return (uint32_t *)at(rig, rig->layout.ranges_offset) + range;
}

uint8_t *rig_slab(struct rig *rig)
{
    return at(rig, rig->layout.slab_offset);
}

struct wire_queue_state *rig_queue(struct rig *rig, unsigned slot)
{
    return (struct wire_queue_state *)at(rig, rig->layout.queues_offset) + slot;
}

struct wire_event_state *rig_event(struct rig *rig, unsigned slot)
{
    return (struct wire_event_state *)at(rig, rig->layout.events_offset) + slot;
}

static struct wire_lane *first_lane(struct rig *rig)
{
    return at(rig, rig->layout.lanes_offset);
}

void rig_post_raw(struct rig *rig, const void *bytes, uint64_t length)
{
    uint8_t *ring = at(rig, rig->layout.rings_offset);
    memcpy(ring + rig->tail % WIRE_LANE_BYTES, bytes, length);
    rig->tail += length;
    __atomic_store_n(&first_lane(rig)->tail, rig->tail, __ATOMIC_SEQ_CST);
    if (__atomic_exchange_n(&rig->session->asleep, 0, __ATOMIC_SEQ_CST))
        futex_wake(&rig->session->asleep, 1);
}

static void wait_for_room(struct rig *rig, uint64_t length)
{
    const uint64_t *head = &first_lane(rig)->head;
    while (rig->tail + length - __atomic_load_n(head, __ATOMIC_ACQUIRE) > WIRE_LANE_BYTES)
        sched_yield();
}

uint32_t rig_post(struct rig *rig, unsigned opcode, const void *record, uint64_t bytes)
{
    _Alignas(16) uint8_t copy[WIRE_RECORD_MAX] = {0};
    uint64_t length = (bytes + WIRE_RECORD_ALIGN - 1) & ~(uint64_t)(WIRE_RECORD_ALIGN - 1);
    uint64_t to_end = WIRE_LANE_BYTES - rig->tail % WIRE_LANE_BYTES;
    if (length > to_end) {
        const struct wire_header skip = {.length = (uint32_t)to_end};
        wait_for_room(rig, to_end);
        memcpy((uint8_t *)at(rig, rig->layout.rings_offset) + rig->tail % WIRE_LANE_BYTES, &skip,
               sizeof(skip));
        rig->tail += to_end; /* published with the record */
    }
    wait_for_room(rig, length);
    const struct wire_header header = {
        .sequence = rig->sequence, .opcode = (uint16_t)opcode, .length = (uint32_t)length};
    memcpy(copy, record, bytes);
    memcpy(copy, &header, sizeof(header));
    rig_post_raw(rig, copy, length);
    return rig->sequence++;
}

int rig_call(struct rig *rig, unsigned opcode, const void *record, uint64_t bytes)
{
    struct wire_lane *lane = first_lane(rig);
    uint32_t expected = rig_post(rig, opcode, record, bytes) + 1, seen;
    while ((seen = __atomic_load_n(&lane->reply_sequence, __ATOMIC_ACQUIRE)) != expected)
        futex_sleep(&lane->reply_sequence, seen, 1000000000u);
    return lane->reply_status;
}

static void sleep_for_change(struct rig *rig, uint32_t seen)
{
    __atomic_add_fetch(&rig->session->waiters, 1, __ATOMIC_SEQ_CST);
    futex_sleep(&rig->session->completion, seen, 1000000000u);
    __atomic_sub_fetch(&rig->session->waiters, 1, __ATOMIC_SEQ_CST);
}

void rig_wait_completed(struct rig *rig, unsigned queue_slot, uint64_t count)
{
    for (;;) {
        uint32_t seen = __atomic_load_n(&rig->session->completion, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&rig_queue(rig, queue_slot)->completed, __ATOMIC_ACQUIRE) >= count)
            return;
        sleep_for_change(rig, seen);
    }
}

int32_t rig_event_status(struct rig *rig, unsigned slot)
{
    return __atomic_load_n(&rig_event(rig, slot)->status, __ATOMIC_ACQUIRE);
}

void rig_wait_event(struct rig *rig, unsigned slot)
{
    for (;;) {
        uint32_t seen = __atomic_load_n(&rig->session->completion, __ATOMIC_SEQ_CST);
        if (rig_event_status(rig, slot) <= 0)
            return;
        sleep_for_change(rig, seen);
    }
}
