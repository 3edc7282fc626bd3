/* The book of tenants: cases by hand, and a million random steps that keep what is promised. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "sched/tenant.h"

#define SECOND 1000000ull

static const struct tenant_terms terms = {
    .minimum_us = 5 * SECOND,
    .notice_us = 2 * SECOND,
    .grace_us = 1 * SECOND,
    .half_life_us = 3600 * SECOND,
};

struct told {
    unsigned made, returned;
    uint64_t owed;
};

static void on_loan(void *arg, const struct tenant_loan *loan, enum tenant_loan_event event)
{
    struct told *told = arg;
    bool made = event == TENANT_LOAN_MADE;
    assert_true(loan->id > 0 && loan->milli > 0);
    *(made ? &told->made : &told->returned) += 1;
    told->owed += made ? loan->milli : (uint64_t)0 - loan->milli;
}

static void set(struct tenants *book, const char *name, const char *parent, uint32_t reserved,
                uint32_t limit)
{
    struct tenant tenant = {.reserved_milli = reserved, .limit_milli = limit, .weight = 100};
    struct error err = {0};
    (void)snprintf(tenant.name, sizeof(tenant.name), "%s", name);
    (void)snprintf(tenant.parent, sizeof(tenant.parent), "%s", parent);
    if (tenants_set(book, &tenant, &err) < 0)
        fail_msg("%s: %s", name, err.text);
}

static struct tenant_job job_of(uint64_t id, const char *tenant, uint32_t milli)
{
    return (struct tenant_job){.id = id, .tenant = tenant, .milli = milli};
}

static struct tenants *book_make(uint32_t capacity, struct told *told)
{
    struct tenants *book = tenants_create(&terms, on_loan, told);
    assert_non_null(book);
    tenants_capacity_set(book, capacity);
    return book;
}

static void charge(struct tenants *book, uint64_t id, const char *tenant, uint32_t milli,
                   uint64_t now_us)
{
    struct tenant_job job = job_of(id, tenant, milli);
    assert_int_equal(tenants_charge(book, &job, now_us), 0);
    assert_true(tenants_consistent(book));
}

static void borrows_and_gives_back(void **state)
{
    struct told told = {0};
    struct tenants *book = book_make(1000, &told);
    struct tenant_call calls[4];
    (void)state;
    set(book, "a", "", 500, 0);
    set(book, "b", "", 500, 0);
    charge(book, 1, "a", 1000, 10 * SECOND);
    assert_int_equal(told.owed, 500);
    struct tenant_job want = job_of(2, "b", 500);
    assert_int_equal(tenants_ask(book, &want), TENANT_CLAIMS);
    assert_int_equal(tenants_claim(book, &want), 0);
    assert_int_equal(tenants_plan(book, 2, TENANT_ANY_DEVICE, 0, 11 * SECOND, calls, 4), 1);
    assert_int_equal(calls[0].job, 1);
    assert_int_equal(calls[0].due_us, 17 * SECOND); /* the rest of its minimum, then the notice */
    tenants_call(book, &calls[0]);
    assert_int_equal(tenants_plan(book, 2, TENANT_ANY_DEVICE, 0, 12 * SECOND, calls, 4), 0);
    assert_true(tenants_called(book, 1));
    tenants_release(book, 1, 17 * SECOND);
    assert_int_equal(told.owed, 0);
    struct tenant_job again = job_of(1, "a", 1000);
    assert_int_equal(tenants_ask(book, &again), TENANT_SHORT);
    charge(book, 2, "b", 500, 17 * SECOND);
    assert_int_equal(tenants_debt(book), 0);
    tenants_release(book, 2, 20 * SECOND);
    charge(book, 1, "a", 1000, 20 * SECOND);
    tenants_destroy(book);
}

static void a_call_is_withdrawn_when_enough_comes_free(void **state)
{
    struct told told = {0};
    struct tenants *book = book_make(1000, &told);
    struct tenant_call calls[4];
    (void)state;
    set(book, "a", "", 500, 0);
    set(book, "b", "", 500, 0);
    charge(book, 1, "a", 500, 0);
    charge(book, 2, "a", 250, SECOND);
    charge(book, 3, "a", 250, 2 * SECOND);
    struct tenant_job want = job_of(4, "b", 250);
    assert_int_equal(tenants_claim(book, &want), 0);
    assert_int_equal(tenants_plan(book, 4, TENANT_ANY_DEVICE, 0, 3 * SECOND, calls, 4), 1);
    assert_int_equal(calls[0].job, 3); /* the newest */
    tenants_call(book, &calls[0]);
    tenants_release(book, 1, 4 * SECOND); /* pays 2's and 3's loans back */
    assert_int_equal(tenants_debt(book), 0);
    assert_false(tenants_called(book, 3));
    charge(book, 4, "b", 250, 4 * SECOND);
    tenants_destroy(book);
}

static void needless_victims_are_let_go(void **state)
{
    struct told told = {0};
    struct tenants *book = book_make(1000, &told);
    struct tenant_call calls[4];
    (void)state;
    set(book, "owner", "", 1000, 0);
    charge(book, 1, "", 200, 0);
    charge(book, 2, "", 800, 0);
    struct tenant_job idle = job_of(1, "", 200);
    idle.idle = true;
    tenants_note(book, &idle);
    struct tenant_job want = job_of(3, "owner", 700);
    assert_int_equal(tenants_claim(book, &want), 0);
    assert_int_equal(tenants_plan(book, 3, TENANT_ANY_DEVICE, 0, SECOND, calls, 4), 1);
    assert_int_equal(calls[0].job, 2); /* 1 is cheaper, but not enough and then not needed */
    tenants_destroy(book);
}

static void families_come_before_strangers(void **state)
{
    struct told told = {0};
    struct tenants *book = book_make(4000, &told);
    (void)state;
    set(book, "lab", "", 2000, 3000);
    set(book, "ann", "lab", 500, 0);
    set(book, "bob", "lab", 500, 0);
    set(book, "other", "", 2000, 0);
    charge(book, 1, "ann", 1500, 0); /* her own 500 and the lab's pool of 1000 */
    assert_int_equal(told.made, 0);
    charge(book, 2, "ann", 500, 0); /* bob's */
    assert_int_equal(told.made, 1);
    charge(book, 3, "ann", 1000, 0); /* of "other" */
    struct tenant_job more = job_of(4, "bob", 100);
    assert_int_equal(tenants_ask(book, &more), TENANT_LIMITED);
    struct tenant_job alien = job_of(5, "other", 2000);
    assert_int_equal(tenants_ask(book, &alien), TENANT_CLAIMS);
    assert_true(tenants_order(book, "ann", "other", 60 * SECOND) > 0);
    assert_int_equal(tenants_order(book, "ann", "lab", 60 * SECOND), 0);
    tenants_destroy(book);
}

static void what_cannot_be_is_refused(void **state)
{
    static const struct {
        const char *name, *parent, *code;
        uint32_t reserved, limit, weight;
    } cases[] = {
        {"", "", "bad-tenant", 0, 0, 100},
        {"a b", "", "bad-tenant", 0, 0, 100},
        {"x", "", "bad-tenant", 0, 0, 0},
        {"x", "", "bad-tenant", 500, 400, 100},
        {"x", "nobody", "unknown-parent", 0, 0, 100},
        {"a", "b", "tenant-circle", 0, 0, 100},
        {"a", "a", "tenant-circle", 0, 0, 100},
        {"x", "", "reservation-exceeds", 600, 0, 100},
        {"x", "b", "reservation-exceeds", 300, 0, 100},
        {"a", "", "reservation-exceeds", 100, 0, 100},
    };
    struct told told = {0};
    struct tenants *book = book_make(1000, &told);
    (void)state;
    set(book, "a", "", 500, 0);
    set(book, "b", "a", 200, 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct tenant tenant = {.reserved_milli = cases[i].reserved,
                                .limit_milli = cases[i].limit,
                                .weight = cases[i].weight};
        struct error err = {0};
        (void)snprintf(tenant.name, sizeof(tenant.name), "%s", cases[i].name);
        (void)snprintf(tenant.parent, sizeof(tenant.parent), "%s", cases[i].parent);
        assert_true(tenants_set(book, &tenant, &err) < 0);
        assert_string_equal(err.code, cases[i].code);
    }
    struct error err = {0};
    assert_true(tenants_remove(book, "a", &err) < 0);
    assert_string_equal(err.code, "tenant-in-use");
    assert_int_equal(tenants_remove(book, "b", &err), 0);
    assert_int_equal(tenants_remove(book, "a", &err), 0);
    assert_true(tenants_remove(book, "a", &err) < 0);
    tenants_destroy(book);
}

static void a_new_reservation_makes_loans_of_what_runs(void **state)
{
    struct told told = {0};
    struct tenants *book = book_make(1000, &told);
    (void)state;
    charge(book, 1, "stranger", 1000, 0);
    assert_int_equal(tenants_debt(book), 0);
    set(book, "a", "", 600, 0);
    assert_int_equal(tenants_debt(book), 600);
    assert_true(tenants_consistent(book));
    set(book, "stranger", "", 400, 0); /* now it has an account of its own */
    assert_int_equal(tenants_debt(book), 600);
    struct tenant_view view;
    tenants_view(book, 1, 0, &view);
    assert_int_equal(view.used_milli, 1000);
    assert_int_equal(view.borrowed_milli, 600);
    assert_true(tenants_consistent(book));
    tenants_destroy(book);
}

/* -- a million random steps -- */

#define STEPS 1000000
#define ALIVE_MAX 16
#define CAPACITY 4000
#define TICK_US (SECOND / 5) /* the clock's longest step */

static const char *const names[] = {"a", "b", "c", "b1", "b2", "unknown"};

struct subject {
    struct tenant_job job; /* id 0: none */
    bool runs, claims;
    uint64_t claimed_us, due_us;
};

struct world {
    struct tenants *book;
    struct told told;
    struct subject subjects[ALIVE_MAX];
    uint64_t now_us, next_id, random, stops, longest_claim_us;
};

static uint32_t dice(struct world *world, uint32_t sides)
{
    world->random = world->random * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(world->random >> 33) % sides;
}

static struct subject *subject_find(struct world *world, uint64_t id)
{
    for (size_t i = 0; i < ALIVE_MAX; i++) {
        if (world->subjects[i].job.id == id)
            return &world->subjects[i];
    }
    return NULL;
}

static void world_claim(struct world *world, struct subject *subject)
{
    struct tenant_call calls[ALIVE_MAX];
    if (!subject->claims) {
        assert_int_equal(tenants_claim(world->book, &subject->job), 0);
        subject->claims = true;
        subject->claimed_us = world->now_us;
    }
    size_t count = tenants_plan(world->book, subject->job.id, TENANT_ANY_DEVICE, 0, world->now_us,
                                calls, ALIVE_MAX);
    for (size_t i = 0; i < count; i++) {
        struct subject *victim = subject_find(world, calls[i].job);
        assert_true(victim->runs && victim != subject);
        victim->due_us = calls[i].due_us;
        tenants_call(world->book, &calls[i]);
    }
}

static void world_start(struct world *world, struct subject *subject)
{
    enum tenant_verdict verdict = tenants_ask(world->book, &subject->job);
    uint64_t debt = tenants_debt(world->book);
    if (verdict == TENANT_CLAIMS) {
        world_claim(world, subject);
    } else if (verdict == TENANT_OWN || verdict == TENANT_BORROWS) {
        assert_int_equal(tenants_charge(world->book, &subject->job, world->now_us), 0);
        /* Whoever came in through a claim borrows nothing. */
        assert_true(tenants_debt(world->book) == debt || !subject->claims);
        subject->runs = true;
        subject->claims = false;
    } else if (subject->claims) { /* a limit came in between */
        assert_int_equal(verdict, TENANT_LIMITED);
        tenants_release(world->book, subject->job.id, world->now_us);
        subject->claims = false;
    }
}

static void world_stop_due(struct world *world)
{
    for (size_t i = 0; i < ALIVE_MAX; i++) {
        struct subject *subject = &world->subjects[i];
        if (!subject->job.id || !subject->due_us || subject->due_us > world->now_us)
            continue;
        subject->due_us = 0;
        uint64_t debt = tenants_debt(world->book);
        if (!tenants_called(world->book, subject->job.id))
            continue;
        tenants_release(world->book, subject->job.id, world->now_us);
        assert_true(tenants_debt(world->book) < debt); /* each reclaim lowers what is owed */
        subject->runs = false;
        world->stops++;
    }
}

static void world_settle(struct world *world)
{
    world->now_us += dice(world, TICK_US);
    world_stop_due(world);
    size_t first = dice(world, ALIVE_MAX);
    for (int claims = 1; claims >= 0; claims--) {
        for (size_t i = 0; i < ALIVE_MAX; i++) {
            struct subject *subject = &world->subjects[(first + i) % ALIVE_MAX];
            if (subject->job.id && !subject->runs && subject->claims == claims)
                world_start(world, subject);
        }
    }
    for (size_t i = 0; i < ALIVE_MAX; i++) {
        const struct subject *subject = &world->subjects[i];
        if (!subject->job.id || !subject->claims)
            continue;
        uint64_t waited_us = world->now_us - subject->claimed_us;
        if (waited_us > world->longest_claim_us)
            world->longest_claim_us = waited_us;
    }
}

static void world_submit(struct world *world, struct subject *subject)
{
    static const uint32_t amounts[] = {100, 250, 300, 500, 1000, 2000};
    *subject = (struct subject){
        .job = job_of(world->next_id++, names[dice(world, 6)], amounts[dice(world, 6)]),
    };
    subject->job.lost_us = dice(world, 4) * SECOND;
    subject->job.idle = dice(world, 4) == 0;
}

static void world_end(struct world *world, struct subject *subject)
{
    tenants_release(world->book, subject->job.id, world->now_us);
    *subject = (struct subject){.job.id = 0};
}

/* Nothing comes and nothing ends: the stops come to an end, and nobody waits for his own. */
static void world_rest(struct world *world)
{
    uint64_t before = world->stops;
    uint64_t until_us = world->now_us + 3 * ALIVE_MAX * tenants_bound_us(world->book);
    while (world->now_us < until_us) {
        world->now_us += SECOND / 2;
        world_settle(world);
    }
    assert_true(world->stops - before <= 2 * ALIVE_MAX);
    for (size_t i = 0; i < ALIVE_MAX; i++)
        assert_false(world->subjects[i].job.id && world->subjects[i].claims);
}

/* Nothing comes, but what runs ends: everybody has run then. */
static void world_drain(struct world *world)
{
    for (unsigned round = 0; round < 4 * ALIVE_MAX; round++) {
        for (size_t i = 0; i < ALIVE_MAX; i++) {
            struct subject *subject = &world->subjects[i];
            bool too_big = strcmp(subject->job.tenant ? subject->job.tenant : "", "c") == 0 &&
                           subject->job.milli > 1500; /* above its limit for ever */
            if (subject->job.id && (subject->runs || too_big))
                world_end(world, subject);
        }
        world->now_us += tenants_bound_us(world->book);
        world_settle(world);
    }
    for (size_t i = 0; i < ALIVE_MAX; i++)
        assert_int_equal(world->subjects[i].job.id, 0);
    assert_int_equal(tenants_debt(world->book), 0);
    assert_int_equal(world->told.made > 0, 1);
    assert_int_equal(world->told.owed, 0);
    world->longest_claim_us = 0; /* the clock jumped */
}

static void a_million_steps_keep_the_promises(void **state)
{
    struct world world = {.next_id = 1, .random = 42, .now_us = SECOND};
    (void)state;
    world.book = book_make(CAPACITY, &world.told);
    set(world.book, "a", "", 1000, 0);
    set(world.book, "b", "", 1500, 3000);
    set(world.book, "c", "", 500, 1500);
    set(world.book, "b1", "b", 600, 0);
    set(world.book, "b2", "b", 500, 0);
    for (unsigned step = 1; step <= STEPS; step++) {
        struct subject *subject = &world.subjects[dice(&world, ALIVE_MAX)];
        if (!subject->job.id)
            world_submit(&world, subject);
        else if (dice(&world, 4) == 0)
            world_end(&world, subject);
        world_settle(&world);
        if (step % 1024 == 0)
            assert_true(tenants_consistent(world.book));
        assert_true(tenants_debt(world.book) == world.told.owed);
        assert_true(world.longest_claim_us <= tenants_bound_us(world.book) + TICK_US);
        if (step % 100000 == 0)
            world_rest(&world);
        if (step % 200000 == 0)
            world_drain(&world);
    }
    print_message("%llu stops, %u loans\n", (unsigned long long)world.stops, world.told.made);
    tenants_destroy(world.book);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(borrows_and_gives_back),
        cmocka_unit_test(a_call_is_withdrawn_when_enough_comes_free),
        cmocka_unit_test(needless_victims_are_let_go),
        cmocka_unit_test(families_come_before_strangers),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(a_new_reservation_makes_loans_of_what_runs),
        cmocka_unit_test(a_million_steps_keep_the_promises),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
