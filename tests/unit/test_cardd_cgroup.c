/* Finding this process's control groups in the kernel's texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "card/cardd/cgroup.h"

#define V1_MOUNTS \
    "25 1 0:23 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n" \
    "26 25 0:24 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup " \
    "rw,cpu,cpuacct\n" \
    "27 25 0:25 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n" \
    "28 25 0:26 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
#define V2_MOUNT "30 1 0:26 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n"
#define V2_PART "30 1 0:26 /docker/1 /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw\n"

static const struct {
    const char *groups, *mounts;
    unsigned count;
    int version;
    const char *memory, *cpu;
} cases[] = {
    {"4:memory:/a/b\n1:cpu,cpuacct:/\n0::/\n", V1_MOUNTS, 2, 1, "/sys/fs/cgroup/memory/a/b",
     "/sys/fs/cgroup/cpu,cpuacct"},
    {"4:memory:/\n0::/\n", V1_MOUNTS, 1, 1, "/sys/fs/cgroup/memory", NULL},
    {"0::/system.slice/leat.service\n", V2_MOUNT, 1, 2, "/sys/fs/cgroup/system.slice/leat.service",
     NULL},
    {"0::/\n", V2_MOUNT, 1, 2, "/sys/fs/cgroup", NULL},
    {"0::/docker/1/x\n", V2_PART, 1, 2, "/sys/fs/cgroup/x", NULL},
    {"0::/docker/1\n", V2_PART, 1, 2, "/sys/fs/cgroup", NULL},
    {"0::/docker/12\n", V2_PART, 0, 0, NULL, NULL}, /* beside the mounted part */
    {"4:memory:/a\n", V2_MOUNT, 0, 0, NULL, NULL},
    {"", "", 0, 0, NULL, NULL},
    {"garbage\n:::\n", "garbage\n - \n", 0, 0, NULL, NULL},
};

static void groups_are_found(void **state)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cgroup_hierarchy found[CGROUP_HIERARCHIES_MAX];
        assert_int_equal(cgroup_find(cases[i].groups, cases[i].mounts, found), cases[i].count);
        if (cases[i].memory) {
            assert_string_equal(found[0].own, cases[i].memory);
            assert_int_equal(found[0].version, cases[i].version);
        }
        if (cases[i].cpu)
            assert_string_equal(found[1].own, cases[i].cpu);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(groups_are_found)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
