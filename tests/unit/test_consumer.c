/* How the consumer of records sleeps and is woken: by a record, by a call, and by the expectation
 * of a record. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

#include "card/executor/consumer.h"

#define LONG_NS 3600000000000u /* a wake-up that is lost hangs the test */

struct rig {
    struct consumer consumer;
    struct wire_session layout, *session;
    uint64_t bytes;
};

static int open_rig(void **state)
{
    static struct rig rig;
    rig.bytes = wire_session_layout(&rig.layout);
    rig.session = mmap(NULL, rig.bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(rig.session != MAP_FAILED);
    consumer_init(&rig.consumer, rig.session, &rig.layout);
    rig.consumer.load.cpus = UINT32_MAX; /* a machine with room */
    *state = &rig;
    return 0;
}

static int close_rig(void **state)
{
    struct rig *rig = *state;
    return munmap(rig->session, rig->bytes);
}

static void *sleep_once(void *arg)
{
    struct rig *rig = arg;
    const struct wire_header *record;
    intptr_t taken = consumer_sleep(&rig->consumer, LONG_NS, &record, NULL);
    return (void *)taken;
}

static pthread_t sleeper(struct rig *rig)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, sleep_once, rig), 0);
    while (!__atomic_load_n(&rig->session->asleep, __ATOMIC_SEQ_CST))
        sched_yield();
    return thread;
}

static void assert_woken(pthread_t thread)
{
    void *taken;
    assert_int_equal(pthread_join(thread, &taken), 0);
    assert_null(taken); /* no record has come */
}

static void test_call_wakes(void **state)
{
    struct rig *rig = *state;
    pthread_t thread = sleeper(rig);
    consumer_call(&rig->consumer);
    assert_woken(thread);
}

static void test_expectation_wakes(void **state)
{
    struct rig *rig = *state;
    pthread_t thread = sleeper(rig);
    consumer_expect(&rig->consumer);
    assert_woken(thread);
}

static void test_no_cpu_to_spare(void **state)
{
    struct rig *rig = *state;
    pthread_t thread = sleeper(rig);
    rig->consumer.load.cpus = 0;
    consumer_expect(&rig->consumer);
    assert_int_equal(__atomic_load_n(&rig->session->asleep, __ATOMIC_SEQ_CST), 1);
    consumer_call(&rig->consumer);
    assert_woken(thread);
}

/* Of expectations that come to nothing only the first few wake, and then one in many. */
static void test_vain_expectations(void **state)
{
    struct rig *rig = *state;
    const struct wire_header *record;
    unsigned woke = 0;
    for (unsigned i = 0; i < 256; i++) {
        rig->consumer.load.crowded_ns = 0; /* a machine with room, whatever the last look met */
        rig->session->asleep = 1;
        consumer_expect(&rig->consumer);
        if (rig->session->asleep)
            continue;
        woke++;
        /* The look that follows finds nothing. */
        assert_int_equal(consumer_wait(&rig->consumer, 1, &record, NULL), 0);
    }
    assert_in_range(woke, 8, 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_call_wakes, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_expectation_wakes, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_no_cpu_to_spare, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_vain_expectations, open_rig, close_rig),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
