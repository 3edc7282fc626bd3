/* The OCI config of a container, from its spec and what the host allows. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/json.h"
#include "engine/bundle.h"

static const char *const argv[] = {"/bin/prog", "arg", NULL};
static const char *const env[] = {"HOME=/src", "X=1", NULL};

static struct host_facts facts(void)
{
    return (struct host_facts){.cgroups = CGROUP_OWN,
                               .user_namespace = true,
                               .privileged = true,
                               .swap_limit = true,
                               .uid_base = 100000,
                               .ids_count = 65536,
                               .architecture = "SCMP_ARCH_X86_64"};
}

static struct engine_task_spec spec(void)
{
    return (struct engine_task_spec){.id = "7",
                                     .image = "host",
                                     .argv = argv,
                                     .env = env,
                                     .network = ENGINE_NETWORK_NONE,
                                     .cpus_milli = 1500,
                                     .ram_bytes = 64 << 20};
}

static json_t *config(const struct engine_task_spec *task, const struct host_facts *host,
                      uid_t owner)
{
    struct bundle bundle = {.spec = task,
                            .facts = host,
                            .dir = "/state/jobs/7/bundle",
                            .work_dir = "/state/jobs/7/work",
                            .cgroup = "leat-x/7",
                            .root = "/state/root",
                            .host_over = "/state/over",
                            .vendors_dir = "/run/vendors",
                            .host_view = true,
                            .owner_uid = owner,
                            .owner_gid = owner};
    return bundle_config(&bundle, NULL);
}

/* The value at a path of member names and array indices, "linux/resources/pids/limit". */
static json_t *at(json_t *value, const char *path)
{
    char part[64];
    while (*path && value) {
        size_t length = strcspn(path, "/");
        snprintf(part, sizeof(part), "%.*s", (int)length, path);
        value = json_is_array(value) ? json_array_get(value, (size_t)(part[0] - '0'))
                                     : json_object_get(value, part);
        path += length + (path[length] == '/');
    }
    return value;
}

static const char *text_at(json_t *value, const char *path)
{
    const char *text = json_string_value(at(value, path));
    return text ? text : "(none)";
}

static json_t *mount_at(json_t *config_value, const char *inside)
{
    size_t index;
    json_t *mount;
    json_array_foreach (at(config_value, "mounts"), index, mount)
        if (strcmp(text_at(mount, "destination"), inside) == 0)
            return mount;
    return NULL;
}

static int has_option(json_t *mount, const char *option)
{
    size_t index;
    json_t *one;
    json_array_foreach (at(mount, "options"), index, one)
        if (strcmp(json_string_value(one), option) == 0)
            return 1;
    return 0;
}

static int has_namespace(json_t *config_value, const char *type)
{
    size_t index;
    json_t *one;
    json_array_foreach (at(config_value, "linux/namespaces"), index, one)
        if (strcmp(text_at(one, "type"), type) == 0)
            return 1;
    return 0;
}

static void whole_config(void **state)
{
    struct engine_task_spec task = spec();
    struct host_facts host = facts();
    AUTO_JSON json_t *c = config(&task, &host, 100000);
    assert_non_null(c);
    assert_string_equal(text_at(c, "process/args/0"), "/bin/prog");
    assert_string_equal(text_at(c, "hostname"), "leat-7");
    assert_true(json_is_true(at(c, "root/readonly")));
    assert_true(json_is_true(at(c, "process/noNewPrivileges")));
    assert_int_equal(json_array_size(at(c, "process/capabilities/bounding")), 0);
    assert_int_equal(json_integer_value(at(c, "linux/resources/cpu/quota")), 150000);
    assert_int_equal(json_integer_value(at(c, "linux/resources/memory/swap")), 64 << 20);
    assert_int_equal(json_integer_value(at(c, "linux/resources/pids/limit")), 4096);
    assert_string_equal(text_at(c, "linux/cgroupsPath"), "leat-x/7");
    assert_int_equal(json_integer_value(at(c, "linux/uidMappings/0/size")), 65536);
    assert_true(has_namespace(c, "user") && has_namespace(c, "network") &&
                has_namespace(c, "cgroup"));
    assert_true(has_option(mount_at(c, "/usr"), "ro"));
    assert_true(has_option(mount_at(c, "/work"), "rw"));
    assert_null(mount_at(c, "/run/leat"));
    assert_null(mount_at(c, "/src"));
    assert_string_equal(text_at(c, "linux/seccomp/defaultAction"), "SCMP_ACT_ERRNO");
}

static void env_of_the_task_wins(void **state)
{
    struct engine_task_spec task = spec();
    struct host_facts host = facts();
    AUTO_JSON json_t *c = config(&task, &host, 100000);
    size_t index, homes = 0;
    json_t *pair;
    json_array_foreach (at(c, "process/env"), index, pair)
        homes += strncmp(json_string_value(pair), "HOME=", 5) == 0;
    assert_int_equal(homes, 1);
    assert_string_equal(text_at(c, "process/env/2"), "HOME=/src");
}

static void card_brings_its_files(void **state)
{
    struct engine_task_spec task = spec();
    struct host_facts host = facts();
    task.card_socket_dir = "/run/card";
    task.card_library = "/usr/lib/x.so";
    AUTO_JSON json_t *c = config(&task, &host, 100000);
    assert_string_equal(text_at(mount_at(c, "/run/leat"), "source"), "/run/card");
    assert_string_equal(text_at(mount_at(c, "/usr/lib/leat/libleat-opencl.so"), "source"),
                        "/usr/lib/x.so");
    assert_string_equal(text_at(mount_at(c, "/etc/OpenCL/vendors"), "source"), "/run/vendors");
    assert_true(has_option(mount_at(c, "/run/leat"), "ro"));
}

static void shown_devices_may_be_used(void **state)
{
    const struct engine_mount node = {"/dev/null", "/dev/null", ENGINE_MOUNT_DEVICE};
    struct engine_task_spec task = spec();
    struct host_facts host = facts();
    task.mounts = &node;
    task.mounts_count = 1;
    AUTO_JSON json_t *c = config(&task, &host, 100000);
    json_t *rules = at(c, "linux/resources/devices");
    assert_int_equal(json_array_size(rules), 2);
    assert_true(json_is_false(at(rules, "0/allow")));
    assert_int_equal(json_integer_value(at(rules, "1/major")), 1); /* as the kernel counts it */
    assert_int_equal(json_integer_value(at(rules, "1/minor")), 3);
    assert_string_equal(text_at(rules, "1/access"), "rw");
    assert_false(has_option(mount_at(c, "/dev/null"), "nodev"));
    assert_true(has_option(mount_at(c, "/dev/null"), "bind"));
}

static void owner_becomes_root(void **state)
{
    struct engine_task_spec task = spec();
    struct host_facts host = facts();
    AUTO_JSON json_t *c = config(&task, &host, 1000);
    assert_int_equal(json_integer_value(at(c, "linux/uidMappings/0/hostID")), 1000);
    assert_int_equal(json_integer_value(at(c, "linux/uidMappings/0/size")), 1);
    assert_int_equal(json_integer_value(at(c, "linux/uidMappings/1/hostID")), 100001);
}

static void a_poor_host_gets_less(void **state)
{
    struct engine_task_spec task = spec();
    struct host_facts host = facts();
    host.user_namespace = false;
    host.cgroups = CGROUP_NONE;
    host.architecture = NULL;
    task.network = ENGINE_NETWORK_HOST;
    AUTO_JSON json_t *c = config(&task, &host, 100000);
    assert_int_equal(json_integer_value(at(c, "process/user/uid")), 100000);
    assert_false(has_namespace(c, "user") || has_namespace(c, "network") ||
                 has_namespace(c, "cgroup"));
    assert_null(at(c, "linux/resources"));
    assert_null(at(c, "linux/seccomp"));
    assert_string_equal(text_at(mount_at(c, "/etc/hosts"), "source"), "/etc/hosts");
}

static void init_comes_first(void **state)
{
    struct engine_task_spec task = spec();
    struct host_facts host = facts();
    snprintf(host.init, sizeof(host.init), "/usr/bin/tini-static");
    AUTO_JSON json_t *c = config(&task, &host, 100000);
    assert_string_equal(text_at(c, "process/args/0"), "/dev/init");
    assert_string_equal(text_at(c, "process/args/3"), "/bin/prog");
    assert_string_equal(text_at(mount_at(c, "/dev/init"), "source"), "/usr/bin/tini-static");
}

static void text_that_is_not_utf8_is_refused(void **state)
{
    const char *const broken[] = {"/bin/prog", "\xff\xfe", NULL};
    struct engine_task_spec task = spec();
    struct host_facts host = facts();
    task.argv = broken;
    assert_null(config(&task, &host, 100000));
}

static void resolver_is_the_helpers(void **state)
{
    char text[256];
    assert_int_equal(
        bundle_resolv("nameserver 127.0.0.53\nsearch a.example b.example\n", text, sizeof(text)),
        0);
    assert_string_equal(text, "nameserver 10.0.2.3\nsearch a.example b.example\n");
    assert_int_equal(bundle_resolv(NULL, text, 4), -EMSGSIZE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_config),
        cmocka_unit_test(env_of_the_task_wins),
        cmocka_unit_test(card_brings_its_files),
        cmocka_unit_test(shown_devices_may_be_used),
        cmocka_unit_test(owner_becomes_root),
        cmocka_unit_test(a_poor_host_gets_less),
        cmocka_unit_test(init_comes_first),
        cmocka_unit_test(text_that_is_not_utf8_is_refused),
        cmocka_unit_test(resolver_is_the_helpers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
