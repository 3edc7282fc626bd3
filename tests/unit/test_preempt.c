/* Who gives way to whom: cases by hand, and random steps of a small centre that keep what is
 * promised. LEAT_LONG=1 is the long form, a million steps. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sched/choose.h"
#include "sched/preempt.h"

#define GIB (1ull << 30)
#define DEVICES 3

struct site {
    struct sched_node node;
    struct sched_device devices[DEVICES];
    struct sched_state state;
};

static void site_make(struct site *site)
{
    static const char *const ids[DEVICES] = {"a", "b", "c"};
    *site = (struct site){
        .node = {"n", 64000, 64000, 64 * GIB, 64 * GIB},
    };
    for (size_t i = 0; i < DEVICES; i++)
        site->devices[i] = (struct sched_device){.id = ids[i],
                                                 .vendor = "v",
                                                 .kind = "gpu",
                                                 .memory_bytes = 8 * GIB,
                                                 .memory_free_bytes = 8 * GIB,
                                                 .share_permille = 1000,
                                                 .share_free_permille = 1000};
    site->state = (struct sched_state){
        .nodes = &site->node, .node_count = 1, .devices = site->devices, .device_count = DEVICES};
}

static void hold(struct site *site, const struct preempt_victim *victim)
{
    site->devices[victim->device].memory_free_bytes -= victim->memory_bytes;
    site->devices[victim->device].share_free_permille -= victim->share_permille;
}

/* -- by hand -- */

struct example {
    const char *what;
    struct sched_job job;
    struct preempt_victim victims[5]; /* up to job 0 */
    int count;
    uint64_t jobs[3];
};

#define ASKS(prio, share, gib) \
    { \
        .id = 9, .priority = prio, .share_permille = share, .memory_bytes = (gib)*GIB, \
        .length_us = SCHED_FAR \
    }
#define HAS(id, on, prio, share, gib, idles, loses, began) \
    { \
        id, on, (gib)*GIB, share, prio, idles, loses, began, false \
    }
#define STOPS(id, on, prio, share, gib) \
    { \
        id, on, (gib)*GIB, share, prio, false, 0, 0, true \
    }

static const struct example examples[] = {
    {"nobody of equal priority gives way",
     ASKS(500, 600, 1),
     {HAS(1, 0, 500, 900, 1, 0, 0, 0), HAS(2, 1, 500, 900, 1, 0, 0, 0),
      HAS(3, 2, 500, 900, 1, 0, 0, 0)},
     -ENOSPC,
     {0}},
    {"nobody gives way where there is room",
     ASKS(900, 600, 1),
     {HAS(1, 0, 100, 900, 1, 0, 0, 0), HAS(2, 1, 100, 900, 1, 0, 0, 0)},
     0,
     {0}},
    {"the least important first",
     ASKS(900, 600, 1),
     {HAS(1, 0, 300, 900, 1, 0, 0, 0), HAS(2, 1, 100, 900, 1, 0, 9, 0),
      HAS(3, 2, 200, 900, 1, 0, 0, 0)},
     1,
     {2}},
    {"of equals the one that loses least",
     ASKS(900, 600, 1),
     {HAS(1, 0, 100, 900, 1, 0, 30, 0), HAS(2, 1, 100, 900, 1, 0, 10, 0),
      HAS(3, 2, 100, 900, 1, 0, 20, 0)},
     1,
     {2}},
    {"of those that lose as much the newest",
     ASKS(900, 300, 1),
     {HAS(1, 0, 100, 500, 1, 0, 5, 10), HAS(2, 0, 100, 500, 1, 0, 5, 20),
      HAS(3, 1, 800, 1000, 1, 0, 0, 0), HAS(4, 2, 800, 1000, 1, 0, 0, 0)},
     1,
     {2}},
    {"an idle one for its memory before all others",
     ASKS(900, 100, 6),
     {HAS(1, 0, 100, 500, 8, 0, 0, 0), HAS(2, 1, 800, 0, 7, 1, 90, 0),
      HAS(3, 2, 100, 500, 8, 0, 0, 0)},
     1,
     {2}},
    {"a cheap one that a dearer one makes needless stays",
     ASKS(900, 700, 1),
     {HAS(1, 0, 100, 200, 1, 0, 0, 0), HAS(2, 0, 200, 800, 1, 0, 0, 0),
      HAS(3, 1, 900, 1000, 1, 0, 0, 0), HAS(4, 2, 900, 1000, 1, 0, 0, 0)},
     1,
     {2}},
    {"several small ones for a large one",
     ASKS(900, 1000, 1),
     {HAS(1, 0, 100, 500, 1, 0, 0, 0), HAS(2, 0, 100, 500, 1, 0, 0, 9),
      HAS(3, 1, 900, 1000, 1, 0, 0, 0), HAS(4, 2, 900, 1000, 1, 0, 0, 0)},
     2,
     {2, 1}},
    {"cards are suspended before jobs are stopped",
     ASKS(900, 300, 1),
     {STOPS(1, 0, 100, 500, 1), HAS(2, 0, 400, 500, 1, 0, 9, 0), STOPS(3, 1, 100, 1000, 1),
      HAS(4, 2, 900, 1000, 1, 0, 0, 0)},
     1,
     {2}},
    {"who asks for more than there is gets nothing",
     ASKS(900, 500, 9),
     {HAS(1, 0, 100, 900, 1, 0, 0, 0)},
     -ENOSPC,
     {0}},
};

static void examples_hold(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        const struct example *example = &examples[i];
        struct site site;
        size_t count = 0, chosen[PREEMPT_VICTIMS_MAX], device;
        site_make(&site);
        for (; count < 5 && example->victims[count].job; count++)
            hold(&site, &example->victims[count]);
        const struct preempt preempt = {.state = &site.state,
                                        .job = &example->job,
                                        .victims = example->victims,
                                        .count = count};
        int found = preempt_plan(&preempt, chosen, &device);
        if (found != example->count)
            fail_msg("%s: %d", example->what, found);
        for (int k = 0; k < found; k++)
            assert_int_equal(example->victims[chosen[k]].job, example->jobs[k]);
    }
}

/* Three devices: the members take what costs least for all of them, or nothing. */
static void a_gang_gets_all_its_places_or_none(void **state)
{
    static const struct preempt_victim victims[] = {
        HAS(1, 0, 100, 700, 1, 0, 0, 0), HAS(2, 1, 200, 600, 1, 0, 0, 0),
        HAS(3, 1, 100, 100, 1, 0, 0, 0), HAS(4, 2, 900, 1000, 1, 0, 0, 0)};
    struct sched_job jobs[] = {ASKS(500, 400, 1), ASKS(500, 900, 1), ASKS(500, 400, 1)};
    size_t chosen[PREEMPT_GANG_VICTIMS_MAX], devices[3];
    struct site site;
    (void)state;
    site_make(&site);
    for (size_t i = 0; i < 4; i++)
        hold(&site, &victims[i]);
    struct preempt preempt = {
        .state = &site.state, .job = jobs, .victims = victims, .count = 4, .rule = choose_rules};
    assert_int_equal(preempt_plan_gang(&preempt, 3, chosen, devices), 2);
    assert_int_equal(victims[chosen[0]].job + victims[chosen[1]].job, 3); /* 2 makes 3 needless */
    assert_int_equal(devices[1], 0);
    assert_int_equal(devices[0], 1);
    assert_int_equal(devices[2], 1);
    jobs[2].share_permille = 700; /* there is no room for that beside the others */
    assert_int_equal(preempt_plan_gang(&preempt, 3, chosen, devices), -ENOSPC);
    assert_int_equal(preempt_plan_gang(&preempt, 2, chosen, devices), 2);
}

static void a_notice_follows_the_minimum(void **state)
{
    (void)state;
    assert_int_equal(preempt_due_us(100, 60, 30, 110), 190);
    assert_int_equal(preempt_due_us(100, 60, 30, 500), 530);
}

/* -- random steps -- */

#define ALIVE_MAX 14
#define MINIMUM_US 50
#define NOTICE_US 20
#define TICK_US 8

enum phase { NONE, WAITS, RUNS, AWAY };

struct subject {
    enum phase phase;
    struct sched_job job;
    size_t device;
    uint64_t since_us, due_us, told_us;
    uint64_t gives_way_to;
    uint32_t gang; /* starts together with those of its number; 0: alone */
};

#define GANG_MAX 3

struct world {
    struct subject subjects[ALIVE_MAX];
    uint64_t now_us, next_id, random, interruptions;
};

static uint32_t dice(struct world *world, uint32_t sides)
{
    world->random = world->random * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(world->random >> 33) % sides;
}

static struct subject *subject_find(struct world *world, uint64_t id)
{
    for (size_t i = 0; i < ALIVE_MAX; i++) {
        if (world->subjects[i].phase != NONE && world->subjects[i].job.id == id)
            return &world->subjects[i];
    }
    return NULL;
}

static struct preempt_victim holding(const struct subject *subject)
{
    return (struct preempt_victim){.job = subject->job.id,
                                   .device = subject->device,
                                   .memory_bytes = subject->job.memory_bytes,
                                   .share_permille = subject->job.share_permille,
                                   .priority = subject->job.priority,
                                   .since_us = subject->since_us};
}

static void world_draw(const struct world *world, struct site *site)
{
    site_make(site);
    for (size_t i = 0; i < ALIVE_MAX; i++) {
        if (world->subjects[i].phase != RUNS)
            continue;
        const struct preempt_victim victim = holding(&world->subjects[i]);
        hold(site, &victim);
    }
}

/* The one for which it gave way still waits. */
static bool is_behind(struct world *world, const struct subject *subject)
{
    const struct subject *asker = subject_find(world, subject->gives_way_to);
    return asker && asker->phase == WAITS && asker->job.priority > subject->job.priority;
}

static void world_run(struct world *world, struct subject *subject, size_t device)
{
    subject->phase = RUNS;
    subject->device = device;
    subject->since_us = world->now_us;
    subject->gives_way_to = subject->due_us = 0;
}

/* Those that gave way go on where there is room, before anybody new of their priority. */
static void world_wake(struct world *world)
{
    for (size_t i = 0; i < ALIVE_MAX; i++) {
        struct subject *subject = &world->subjects[i];
        struct site site;
        if (subject->phase != AWAY || is_behind(world, subject))
            continue;
        world_draw(world, &site);
        const struct sched_device *device = &site.devices[subject->device];
        if (device->share_free_permille >= subject->job.share_permille &&
            device->memory_free_bytes >= subject->job.memory_bytes)
            world_run(world, subject, subject->device);
    }
}

static void world_decide(struct world *world)
{
    struct sched_job jobs[ALIVE_MAX];
    struct sched_decision decisions[ALIVE_MAX];
    struct site site;
    world_draw(world, &site);
    site.state.jobs = jobs;
    for (size_t i = 0; i < ALIVE_MAX; i++) {
        if (world->subjects[i].phase != WAITS)
            continue;
        jobs[site.state.job_count] = world->subjects[i].job;
        jobs[site.state.job_count++].gang = world->subjects[i].gang;
    }
    assert_true(sched_decide(choose_rules, &site.state, world->now_us, decisions) >= 0);
    for (size_t i = 0; i < site.state.job_count; i++) {
        if (decisions[i].placed)
            world_run(world, subject_find(world, decisions[i].job), decisions[i].device);
    }
}

static bool has_called(const struct world *world, const struct subject *asker)
{
    bool called = false;
    for (size_t i = 0; i < ALIVE_MAX; i++)
        called = called || (world->subjects[i].phase == RUNS &&
                            world->subjects[i].gives_way_to == asker->job.id);
    return called;
}

/* Is there room for all members where the plan puts them, when these but one give way? */
static bool has_room(const struct preempt *preempt, size_t members, const size_t *devices,
                     const size_t *chosen, int count, int without)
{
    bool enough = true;
    for (size_t d = 0; d < DEVICES; d++) {
        uint64_t memory_bytes = preempt->state->devices[d].memory_free_bytes, wanted_bytes = 0;
        uint32_t share_permille = preempt->state->devices[d].share_free_permille, wanted = 0;
        for (int i = 0; i < count; i++) {
            const struct preempt_victim *victim = &preempt->victims[chosen[i]];
            bool goes = i != without && victim->device == d;
            memory_bytes += goes ? victim->memory_bytes : 0;
            share_permille += goes ? victim->share_permille : 0;
        }
        for (size_t i = 0; i < members; i++) {
            wanted_bytes += devices[i] == d ? preempt->job[i].memory_bytes : 0;
            wanted += devices[i] == d ? preempt->job[i].share_permille : 0;
        }
        enough = enough && wanted_bytes <= memory_bytes && wanted <= share_permille;
    }
    return enough;
}

/* Exactly those it takes, all of lower priority, for all members. */
static void plan_check(const struct preempt *preempt, size_t members, const size_t *devices,
                       const size_t *chosen, int count)
{
    for (int i = 0; i < count; i++)
        assert_true(preempt->victims[chosen[i]].priority < preempt->job->priority);
    for (int without = -1; without < count; without++)
        assert_int_equal(has_room(preempt, members, devices, chosen, count, without), without < 0);
}

/* All of one gang have the same priority. */
static size_t members_of(const struct world *world, const struct subject *asker,
                         struct sched_job *ret_jobs)
{
    size_t count = 0;
    ret_jobs[count++] = asker->job;
    for (size_t i = 0; asker->gang && i < ALIVE_MAX; i++) {
        const struct subject *mate = &world->subjects[i];
        if (mate != asker && mate->phase == WAITS && mate->gang == asker->gang)
            ret_jobs[count++] = mate->job;
    }
    return count;
}

static int world_plan(struct world *world, const struct subject *asker, uint64_t *ret_jobs,
                      struct site *site)
{
    struct preempt_victim victims[ALIVE_MAX];
    struct sched_job jobs[GANG_MAX];
    size_t chosen[PREEMPT_GANG_VICTIMS_MAX], devices[GANG_MAX];
    size_t members = members_of(world, asker, jobs);
    struct preempt preempt = {.state = &site->state,
                              .job = jobs,
                              .victims = victims,
                              .rule = choose_rules,
                              .now_us = world->now_us};
    world_draw(world, site);
    for (size_t i = 0; i < ALIVE_MAX; i++) {
        if (world->subjects[i].phase == RUNS && !world->subjects[i].due_us)
            victims[preempt.count++] = holding(&world->subjects[i]);
    }
    int count = members > 1 ? preempt_plan_gang(&preempt, members, chosen, devices)
                            : preempt_plan(&preempt, chosen, devices);
    if (count >= 0)
        plan_check(&preempt, members, devices, chosen, count);
    for (int i = 0; i < count; i++)
        ret_jobs[i] = victims[chosen[i]].job;
    return count;
}

static struct subject *first_waiter(struct world *world)
{
    struct subject *first = NULL;
    for (size_t i = 0; i < ALIVE_MAX; i++) {
        struct subject *subject = &world->subjects[i];
        if (subject->phase == WAITS &&
            (!first || subject->job.priority > first->job.priority ||
             (subject->job.priority == first->job.priority && subject->job.id < first->job.id)))
            first = subject;
    }
    return first;
}

static void world_call(struct world *world)
{
    uint64_t jobs[PREEMPT_VICTIMS_MAX];
    struct site site;
    const struct subject *asker = first_waiter(world);
    if (!asker || has_called(world, asker))
        return;
    int count = world_plan(world, asker, jobs, &site);
    uint64_t due_us = 0; /* all at once */
    for (int i = 0; i < count; i++) {
        uint64_t its_us = preempt_due_us(subject_find(world, jobs[i])->since_us, MINIMUM_US,
                                         NOTICE_US, world->now_us);
        due_us = its_us > due_us ? its_us : due_us;
    }
    for (int i = 0; i < count; i++) {
        struct subject *subject = subject_find(world, jobs[i]);
        subject->gives_way_to = asker->job.id;
        subject->told_us = world->now_us;
        subject->due_us = due_us;
    }
}

static void world_take(struct world *world)
{
    for (size_t i = 0; i < ALIVE_MAX; i++) {
        struct subject *subject = &world->subjects[i];
        if (subject->phase != RUNS || !subject->due_us)
            continue;
        if (!is_behind(world, subject)) {
            subject->gives_way_to = subject->due_us = 0;
        } else if (world->now_us >= subject->due_us) {
            assert_true(world->now_us >= subject->since_us + MINIMUM_US);
            assert_true(world->now_us >= subject->told_us + NOTICE_US);
            subject->phase = AWAY;
            subject->due_us = 0;
            world->interruptions++;
        }
    }
}

static void world_settle(struct world *world)
{
    world->now_us += dice(world, TICK_US);
    world_take(world);
    world_wake(world);
    world_decide(world);
    world_call(world);
}

/* Nothing comes and nothing ends: interruptions end too, and the first that still waits has nobody
 * below it in its way. */
static void world_rest(struct world *world)
{
    uint64_t before = world->interruptions, jobs[PREEMPT_VICTIMS_MAX];
    struct site site;
    for (unsigned i = 0; i < 200; i++)
        world_settle(world);
    assert_true(world->interruptions - before <= 2 * ALIVE_MAX);
    const struct subject *asker = first_waiter(world);
    assert_true(!asker || world_plan(world, asker, jobs, &site) < 0);
}

/* Nothing comes, but what runs ends: everybody has run then. */
static void world_drain(struct world *world)
{
    for (unsigned round = 0; round < 4 * ALIVE_MAX; round++) {
        for (size_t i = 0; i < ALIVE_MAX; i++) {
            if (world->subjects[i].phase == RUNS)
                world->subjects[i].phase = NONE;
        }
        world_settle(world);
    }
    for (size_t i = 0; i < ALIVE_MAX; i++)
        assert_int_equal(world->subjects[i].phase == WAITS || world->subjects[i].phase == AWAY, 0);
}

static void world_submit(struct world *world, struct subject *subject, uint32_t priority,
                         uint32_t gang)
{
    static const uint32_t shares[] = {100, 250, 300, 500, 700, 1000};
    *subject = (struct subject){
        .phase = WAITS,
        .gang = gang,
        .job = {.id = world->next_id++,
                .priority = priority,
                .share_permille = shares[dice(world, 6)],
                .memory_bytes = (1 + dice(world, 7)) * GIB,
                .waiting_since_us = world->now_us,
                .length_us = SCHED_FAR},
    };
}

/* One job, or up to three that start together; any three find room in an empty centre. */
static void world_arrive(struct world *world, struct subject *subject)
{
    uint32_t priority = 100 * dice(world, 5), mates = dice(world, 4) ? 0 : 1 + dice(world, 2);
    uint32_t gang = mates ? (uint32_t)world->next_id : 0;
    world_submit(world, subject, priority, gang);
    for (size_t i = 0; mates && i < ALIVE_MAX; i++) {
        if (world->subjects[i].phase != NONE)
            continue;
        world_submit(world, &world->subjects[i], priority, gang);
        mates--;
    }
}

static void random_steps_keep_the_promises(void **state)
{
    const char *form = getenv("LEAT_LONG");
    unsigned steps = form && strcmp(form, "1") == 0 ? 1000000 : 20000;
    struct world world = {.next_id = 1, .random = 7, .now_us = 1};
    (void)state;
    for (unsigned step = 1; step <= steps; step++) {
        struct subject *subject = &world.subjects[dice(&world, ALIVE_MAX)];
        if (subject->phase == NONE)
            world_arrive(&world, subject);
        else if (dice(&world, 6) == 0)
            *subject = (struct subject){.phase = NONE};
        world_settle(&world);
        if (step % 1000 == 0)
            world_rest(&world);
        if (step % 5000 == 0)
            world_drain(&world);
    }
    print_message("%llu interruptions of %llu jobs\n", (unsigned long long)world.interruptions,
                  (unsigned long long)world.next_id);
    assert_true(world.interruptions > steps / 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples_hold),
        cmocka_unit_test(a_gang_gets_all_its_places_or_none),
        cmocka_unit_test(a_notice_follows_the_minimum),
        cmocka_unit_test(random_steps_keep_the_promises),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
