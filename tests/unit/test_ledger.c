/* The ledger: arithmetic, refusals, and several processes that reserve, release and are killed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "card/ledger/ledger.h"

#define QUOTA_BYTES 1000u
#define WORKERS 6
#define OPERATIONS 100000u

static void *shared(uint64_t bytes)
{
    void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(pages, MAP_FAILED);
    return pages;
}

static struct ledger_card *make_card(void)
{
    struct ledger_card *card = shared(sizeof(*card));
    card->quota_bytes = QUOTA_BYTES;
    return card;
}

static void test_reserve_and_release(void **state)
{
    struct ledger_card *card = make_card();
    assert_int_equal(ledger_reserve(card, 0, 600), 0);
    assert_int_equal(ledger_reserve(card, 1, 401), -ENOSPC);
    assert_int_equal(ledger_reserve(card, 1, 400), 0);
    assert_int_equal(ledger_reserve(card, 2, 1), -ENOSPC);
    assert_int_equal(ledger_used(card), QUOTA_BYTES);
    assert_int_equal(card->refusals, 2);
    ledger_release(card, 0, 600);
    assert_int_equal(ledger_used(card), 400);
    assert_int_equal(card->slots[0].freed_total_bytes, 600);
    assert_int_equal(card->peak_bytes, QUOTA_BYTES);
    assert_int_equal(card->slots[1].pending_bytes, 0);
    ledger_forgo(card, 1, 7);
    assert_int_equal(card->slots[1].freed_total_bytes, 7);
    assert_int_equal(ledger_used(card), 400);
    (void)munmap(card, sizeof(*card));
}

/* Sums end at the last slot that was ever in use. */
static void test_open_slots(void **state)
{
    struct ledger_card *card = make_card();
    ledger_open_slot(card, 2);
    assert_int_equal(ledger_reserve(card, 2, 600), 0);
    ledger_open_slot(card, 0);
    assert_int_equal(card->slots_end, 3);
    assert_int_equal(ledger_reserve(card, 0, 401), -ENOSPC);
    ledger_open_slot(card, LEDGER_SLOTS - 1);
    assert_int_equal(ledger_reserve(card, LEDGER_SLOTS - 1, 400), 0);
    assert_int_equal(ledger_reserve(card, 0, 1), -ENOSPC);
    assert_int_equal(ledger_used(card), QUOTA_BYTES);
    (void)munmap(card, sizeof(*card));
}

static void test_away_stays_reserved(void **state)
{
    struct ledger_card card = {.quota_bytes = 100};
    card.slots[0].state = card.slots[1].state = 1;
    assert_int_equal(ledger_reserve(&card, 0, 80), 0);
    ledger_put_away(&card, 0, 80);
    assert_int_equal(ledger_used(&card), 0);
    assert_int_equal(ledger_away(&card), 80);
    assert_int_equal(ledger_reserve(&card, 1, 30), -ENOSPC);
    ledger_bring_back(&card, 0, 80);
    assert_int_equal(ledger_used(&card), 80);
    ledger_put_away(&card, 0, 80);
    ledger_drop_away(&card, 0, 80);
    assert_int_equal(ledger_away(&card), 0);
    assert_int_equal(card.slots[0].freed_total_bytes, 80);
    assert_int_equal(ledger_reserve(&card, 1, 100), 0);
}

static void test_absurd_amounts(void **state)
{
    struct ledger_card *card = make_card();
    assert_int_equal(ledger_reserve(card, 0, UINT64_MAX), -ENOSPC);
    card->quota_bytes = UINT64_MAX - 1;
    assert_int_equal(ledger_reserve(card, 0, UINT64_MAX - 1), 0);
    assert_int_equal(ledger_reserve(card, 1, UINT64_MAX - 1), -ENOSPC);
    (void)munmap(card, sizeof(*card));
}

static void test_resize(void **state)
{
    struct ledger_card *card = make_card();
    struct ledger_claims *claims = shared(sizeof(*claims));
    uint64_t held = 0;
    card->slots[0].state = card->slots[1].state = 1;
    assert_int_equal(ledger_claim(card, claims, 1, 300), 0); /* promised, not yet sent */
    assert_int_equal(ledger_reserve(card, 0, 400), 0);
    assert_int_equal(ledger_resize(card, claims, 699, &held), -EBUSY);
    assert_int_equal(held, 700);
    assert_int_equal(card->quota_bytes, QUOTA_BYTES);
    assert_int_equal(ledger_resize(card, claims, 700, &held), 0);
    assert_int_equal(ledger_claim(card, claims, 1, 1), -ENOSPC);
    ledger_note_refusal(card, claims, 5000);
    ledger_note_refusal(card, claims, 1);
    assert_int_equal(claims->refusals, 2);
    assert_int_equal(claims->wanted_bytes, 5700); /* 700 are held */
    assert_int_equal(ledger_reserve(card, 1, 301), -ENOSPC);
    assert_int_equal(ledger_reserve(card, 1, 300), 0);
    assert_int_equal(ledger_resize(card, claims, 2000, &held), 0);
    assert_int_equal(ledger_reserve(card, 0, 1300), 0);
    ledger_put_away(card, 0, 1700);
    assert_int_equal(ledger_resize(card, claims, 1999, &held), -EBUSY);
    (void)munmap(card, sizeof(*card));
    (void)munmap(claims, sizeof(*claims));
}

/* What a killed session announced is in the way until leat-cardd clears its slot, and not
 * longer. */
static void test_killed_in_between(void **state)
{
    struct ledger_card *card = make_card();
    card->slots[5].pending_bytes = 900;
    assert_int_equal(ledger_reserve(card, 0, 200), -ENOSPC);
    card->slots[5] = (struct ledger_slot){0};
    assert_int_equal(ledger_reserve(card, 0, 200), 0);
    (void)munmap(card, sizeof(*card));
}

static struct ledger_slot *stuck; /* a session that has no processor while others have theirs */

/* In libc's place: the time in which a reservation sleeps is no test's, and the stuck one goes on
 * in it. */
int nanosleep(const struct timespec *request, struct timespec *left)
{
    if (stuck)
        stuck->pending_bytes = 0;
    return 0;
}

/* Bytes on their way within a slot may count twice for as long as their session is held up: what
 * fits is granted all the same. */
static void test_held_up_in_between(void **state)
{
    struct ledger_card *card = make_card();
    card->slots[5].used_bytes = card->slots[5].pending_bytes = 600;
    assert_int_equal(ledger_reserve(card, 0, 401), -ENOSPC);
    stuck = &card->slots[5];
    assert_int_equal(ledger_reserve(card, 0, 400), 0);
    stuck = NULL;
    (void)munmap(card, sizeof(*card));
}

struct stress {
    struct ledger_card *card;
    uint64_t *operations;
};

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static _Noreturn void work(const struct stress *stress, unsigned slot, uint32_t seed)
{
    uint64_t held[8] = {0};
    for (;;) {
        unsigned i = next_random(&seed) % 8;
        if (held[i]) {
            ledger_release(stress->card, slot, held[i]);
            held[i] = 0;
        } else {
            uint64_t bytes = 1 + next_random(&seed) % 300;
            if (ledger_reserve(stress->card, slot, bytes) == 0)
                held[i] = bytes;
        }
        __atomic_add_fetch(stress->operations, 1, __ATOMIC_RELAXED);
    }
}

static pid_t start_worker(const struct stress *stress, unsigned slot, uint32_t seed)
{
    stress->card->slots[slot].state = 1;
    pid_t pid = fork();
    if (pid == 0)
        work(stress, slot, seed);
    return pid;
}

struct sight {
    uint64_t used[WORKERS], freed[WORKERS];
};

static struct sight look(const struct ledger_card *card)
{
    struct sight sight;
    for (unsigned i = 0; i < WORKERS; i++) {
        sight.used[i] = __atomic_load_n(&card->slots[i].used_bytes, __ATOMIC_SEQ_CST);
        sight.freed[i] = __atomic_load_n(&card->slots[i].freed_total_bytes, __ATOMIC_SEQ_CST);
    }
    return sight;
}

/* The sum of one instant: two equal looks in a row. 1 when there was such an instant. */
static int observe(const struct ledger_card *card, uint64_t *ret_used)
{
    struct sight before = look(card), after = look(card);
    if (memcmp(&before, &after, sizeof(before)) != 0)
        return 0;
    *ret_used = 0;
    for (unsigned i = 0; i < WORKERS; i++)
        *ret_used += before.used[i];
    return 1;
}

static void end_worker(const struct stress *stress, pid_t pid, unsigned slot)
{
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    memset(&stress->card->slots[slot], 0, sizeof(stress->card->slots[slot]));
}

static void test_never_over(void **state)
{
    struct stress stress = {make_card(), shared(sizeof(uint64_t))};
    pid_t pids[WORKERS];
    uint32_t seed = 42;
    uint64_t instants = 0, kills = 0, used;
    for (unsigned i = 0; i < WORKERS; i++)
        pids[i] = start_worker(&stress, i, next_random(&seed));
    while (__atomic_load_n(stress.operations, __ATOMIC_RELAXED) < OPERATIONS || kills < 50) {
        for (unsigned i = 0; i < 2000; i++) {
            if (!observe(stress.card, &used))
                continue;
            instants++;
            assert_true(used <= QUOTA_BYTES);
        }
        unsigned victim = next_random(&seed) % WORKERS;
        end_worker(&stress, pids[victim], victim);
        kills++;
        pids[victim] = start_worker(&stress, victim, next_random(&seed));
    }
    for (unsigned i = 0; i < WORKERS; i++)
        end_worker(&stress, pids[i], i);
    assert_int_equal(ledger_used(stress.card), 0);
    assert_true(stress.card->peak_bytes <= QUOTA_BYTES);
    assert_true(stress.card->peak_bytes > QUOTA_BYTES / 2);
    assert_true(instants > 1000);
    print_message("%llu instants, %llu kills, %llu operations, peak %llu of %u\n",
                  (unsigned long long)instants, (unsigned long long)kills,
                  (unsigned long long)*stress.operations,
                  (unsigned long long)stress.card->peak_bytes, QUOTA_BYTES);
    (void)munmap(stress.card, sizeof(*stress.card));
    (void)munmap(stress.operations, sizeof(uint64_t));
}

/* The quota goes up and down under sessions that reserve: what is held never passes the last one
 * that was granted, and a session that holds nothing never stands in its way. */
static void test_never_over_a_changing_quota(void **state)
{
    struct stress stress = {make_card(), shared(sizeof(uint64_t))};
    struct ledger_claims *claims = shared(sizeof(*claims));
    pid_t pids[WORKERS];
    uint32_t seed = 43;
    uint64_t lowered = 0, refused = 0, quota = QUOTA_BYTES, held, used;
    for (unsigned i = 0; i < WORKERS; i++)
        pids[i] = start_worker(&stress, i, next_random(&seed));
    while (lowered < 300 || refused < 300) {
        uint64_t asked = 100 + next_random(&seed) % 1000;
        if (ledger_resize(stress.card, claims, asked, &held) == 0) {
            lowered += asked < quota;
            quota = asked;
        } else {
            assert_true(held > asked);
            refused++;
        }
        assert_int_equal(stress.card->quota_bytes, quota);
        for (unsigned i = 0; i < 20; i++) {
            if (observe(stress.card, &used))
                assert_true(used <= quota);
        }
    }
    for (unsigned i = 0; i < WORKERS; i++)
        end_worker(&stress, pids[i], i);
    assert_int_equal(ledger_resize(stress.card, claims, 1, &held), 0);
    (void)munmap(stress.card, sizeof(*stress.card));
    (void)munmap(stress.operations, sizeof(uint64_t));
    (void)munmap(claims, sizeof(*claims));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reserve_and_release),         cmocka_unit_test(test_open_slots),
        cmocka_unit_test(test_away_stays_reserved),         cmocka_unit_test(test_absurd_amounts),
        cmocka_unit_test(test_killed_in_between),           cmocka_unit_test(test_resize),
        cmocka_unit_test(test_held_up_in_between),          cmocka_unit_test(test_never_over),
        cmocka_unit_test(test_never_over_a_changing_quota),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
