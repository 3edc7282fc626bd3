/* Short slices are asked for, nothing else of a thread's scheduling changes, and what is started
 * afterwards has them, too. Kernels before 6.12 have none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/sched/types.h>

#include "base/slice.h"

static void get(struct sched_attr *ret_attr)
{
    assert_int_equal(syscall(SYS_sched_getattr, 0, ret_attr, sizeof(*ret_attr), 0), 0);
}

static void test_shorter_and_inherited(void **state)
{
    struct sched_attr before = {0}, after = {0}, started = {0};
    int status;
    get(&before);
    slice_shorten();
    get(&after);
    pid_t child = fork();
    if (child == 0) {
        get(&started);
        _exit(started.sched_runtime == after.sched_runtime ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    if (before.sched_runtime)
        assert_in_range(after.sched_runtime, 1, before.sched_runtime);
    assert_int_equal(after.sched_policy, before.sched_policy);
    assert_int_equal(after.sched_nice, before.sched_nice);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_shorter_and_inherited)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
