/* Where the house keeps its things: options over environment over the rule, always absolute. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/path.h"

static void set(const char *name, const char *value)
{
    if (value)
        assert_int_equal(setenv(name, value, 1), 0);
    else
        assert_int_equal(unsetenv(name), 0);
}

static void test_run_dir(void **state)
{
    char path[PATH_MAX], here[PATH_MAX], expected[2 * PATH_MAX];
    assert_non_null(getcwd(here, sizeof(here)));
    set("LEAT_RUN_DIR", "/from/environment");
    assert_int_equal(path_run_dir("/from/option", path, NULL), 0);
    assert_string_equal(path, "/from/option");
    assert_int_equal(path_run_dir("relative", path, NULL), 0);
    (void)snprintf(expected, sizeof(expected), "%s/relative", here);
    assert_string_equal(path, expected);
    assert_int_equal(path_run_dir(NULL, path, NULL), 0);
    assert_string_equal(path, "/from/environment");
    set("LEAT_RUN_DIR", "");
    set("XDG_RUNTIME_DIR", "/run/user/7");
    assert_int_equal(path_run_dir(NULL, path, NULL), 0);
    assert_string_equal(path, geteuid() ? "/run/user/7/leat" : "/run/leat");
}

static void test_state_dir(void **state)
{
    char path[PATH_MAX];
    set("LEAT_STATE_DIR", "/from/environment");
    assert_int_equal(path_state_dir("/from/option", path, NULL), 0);
    assert_string_equal(path, "/from/option");
    assert_int_equal(path_state_dir(NULL, path, NULL), 0);
    assert_string_equal(path, "/from/environment");
    set("LEAT_STATE_DIR", NULL);
    set("XDG_STATE_HOME", NULL);
    set("HOME", "/home/somebody");
    assert_int_equal(path_state_dir(NULL, path, NULL), 0);
    assert_string_equal(path, geteuid() ? "/home/somebody/.local/state/leat" : "/var/lib/leat");
}

static void test_cache_dir(void **state)
{
    char path[PATH_MAX];
    set("LEAT_CACHE_DIR", "/from/environment");
    assert_int_equal(path_cache_dir(path, NULL), 0);
    assert_string_equal(path, "/from/environment");
    set("LEAT_CACHE_DIR", NULL);
    set("XDG_CACHE_HOME", NULL);
    set("HOME", "/home/somebody");
    assert_int_equal(path_cache_dir(path, NULL), 0);
    assert_string_equal(path, geteuid() ? "/home/somebody/.cache/leat" : "/var/cache/leat");
}

static void test_join(void **state)
{
    char path[PATH_MAX] = "kept", name[PATH_MAX];
    struct error err = {0};
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_int_equal(path_join("/a", name, path, &err), -ENAMETOOLONG);
    assert_string_equal(path, "kept");
    assert_int_equal(path_join("/a", "b", path, &err), 0);
    assert_string_equal(path, "/a/b");
    assert_int_equal(path_join(path, "c", path, &err), 0); /* in place */
    assert_string_equal(path, "/a/b/c");
    assert_int_equal(path_run_dir(name, path, &err), -ENAMETOOLONG);
}

static void test_find_beside(void **state)
{
    static const char *const none[] = {"absent-here", "/absent/there", NULL};
    static const char *const some[] = {"absent-here", "../unit/test_path", "/etc", NULL};
    static const char *const last[] = {"absent-here", "/etc", NULL};
    char path[PATH_MAX] = "kept", self[PATH_MAX];
    struct error err = {0};
    assert_int_equal(path_find_beside("the thing", none, path, &err), -ENOENT);
    assert_string_equal(path, "kept");
    assert_non_null(strstr(err.text, "the thing"));
    assert_int_equal(path_find_beside("the thing", some, path, &err), 0);
    assert_non_null(realpath("/proc/self/exe", self));
    assert_string_equal(path, self);
    assert_int_equal(path_find_beside("the thing", last, path, &err), 0);
    assert_string_equal(path, "/etc");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run_dir),     cmocka_unit_test(test_state_dir),
        cmocka_unit_test(test_cache_dir),   cmocka_unit_test(test_join),
        cmocka_unit_test(test_find_beside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
