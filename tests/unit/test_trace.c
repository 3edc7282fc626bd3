/* The buffer of a trace: bounded, the newest stay, and nothing half-written is ever read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "card/ledger/trace.h"

#define WRITERS 3
#define READS 20000u

static struct trace *make(void)
{
    struct trace *trace =
        mmap(NULL, sizeof(*trace), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(trace, MAP_FAILED);
    return trace;
}

static void test_the_newest_stay(void **state)
{
    struct trace *trace = make();
    struct trace_entry entry = {.name = "add"};
    uint64_t first, last;
    trace_span(trace, &first, &last);
    assert_true(first > last);
    for (uint64_t i = 1; i <= TRACE_ENTRIES + 5; i++) {
        entry.start_ns = i;
        trace_write(trace, &entry);
    }
    trace_span(trace, &first, &last);
    assert_int_equal(first, 6);
    assert_int_equal(last, TRACE_ENTRIES + 5);
    assert_int_equal(trace_read(trace, 5, &entry), -ENOENT);
    for (uint64_t i = first; i <= last; i++) {
        assert_int_equal(trace_read(trace, i, &entry), 0);
        assert_int_equal(entry.start_ns, i);
        assert_string_equal(entry.name, "add");
    }
    memset(trace->entries[0].name, 'x', TRACE_NAME_MAX); /* by a program that means no good */
    assert_int_equal(trace_read(trace, TRACE_ENTRIES + 1, &entry), 0);
    assert_int_equal(strlen(entry.name), TRACE_NAME_MAX - 1);
    trace->written = UINT64_MAX;
    trace_span(trace, &first, &last);
    assert_true(last + 1 > last); /* who counts there comes to an end */
    assert_int_equal(last - first, TRACE_ENTRIES - 1);
    (void)munmap(trace, sizeof(*trace));
}

static _Noreturn void write_on(struct trace *trace, unsigned slot)
{
    struct trace_entry entry = {.slot = slot};
    for (uint64_t i = 1;; i++) {
        entry.queued_ns = entry.submit_ns = entry.start_ns = entry.end_ns = i;
        (void)memset(entry.name, 'a' + (int)(i % 26), 8);
        trace_write(trace, &entry);
    }
}

static void test_nothing_torn_is_read(void **state)
{
    struct trace *trace = make();
    pid_t writers[WRITERS];
    uint64_t first, last, whole = 0;
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = fork();
        if (writers[i] == 0)
            write_on(trace, i);
    }
    while (whole < READS) {
        struct trace_entry entry;
        trace_span(trace, &first, &last);
        if (last == 0 || trace_read(trace, last, &entry) < 0)
            continue;
        whole++;
        assert_int_equal(entry.queued_ns, entry.end_ns);
        assert_int_equal(entry.name[0], entry.name[7]);
        assert_int_equal(entry.name[0], 'a' + (int)(entry.end_ns % 26));
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        assert_int_equal(kill(writers[i], SIGKILL), 0);
        assert_int_equal(waitpid(writers[i], NULL, 0), writers[i]);
    }
    (void)munmap(trace, sizeof(*trace));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_newest_stay),
        cmocka_unit_test(test_nothing_torn_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
