/* The hash map against a plain array as its model, and the walk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/map.h"

#define KEYS 500

static void test_put_get_replace_remove(void **state)
{
    struct map *map = map_create();
    int one = 1, two = 2;
    void *old = &two;
    assert_null(map_get(map, "a"));
    assert_int_equal(map_put(map, "a", &one, &old), 0);
    assert_null(old);
    assert_int_equal(map_put(map, "a", &two, &old), 0);
    assert_ptr_equal(old, &one);
    assert_int_equal(map_count(map), 1);
    assert_ptr_equal(map_get(map, "a"), &two);
    assert_ptr_equal(map_remove(map, "a"), &two);
    assert_null(map_remove(map, "a"));
    assert_int_equal(map_count(map), 0);
    map_destroy(map);
    map_destroy(NULL);
}

/* A fixed sequence of 20,000 random puts and removals leaves map and model alike. */
static void test_against_model(void **state)
{
    static int values[KEYS];
    int *model[KEYS] = {0};
    struct map *map = map_create();
    uint32_t seed = 7;
    size_t count = 0;
    for (int step = 0; step < 20000; step++) {
        seed = seed * 1664525u + 1013904223u;
        unsigned k = (seed >> 8) % KEYS;
        char key[16];
        (void)snprintf(key, sizeof(key), "key-%u", k);
        if (seed >> 31) {
            count += model[k] == NULL;
            model[k] = &values[k];
            assert_int_equal(map_put(map, key, &values[k], NULL), 0);
        } else {
            assert_ptr_equal(map_remove(map, key), model[k]);
            count -= model[k] != NULL;
            model[k] = NULL;
        }
        assert_int_equal(map_count(map), count);
    }
    for (unsigned k = 0; k < KEYS; k++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "key-%u", k);
        assert_ptr_equal(map_get(map, key), model[k]);
    }
    map_destroy(map);
}

static void test_walk_sees_each_once(void **state)
{
    struct map *map = map_create();
    static char seen[KEYS];
    for (unsigned k = 0; k < KEYS; k++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "%u", k);
        assert_int_equal(map_put(map, key, &seen[k], NULL), 0);
    }
    size_t cursor = 0;
    const char *key;
    char *mark;
    while ((mark = map_next(map, &cursor, &key))) {
        char expected[16];
        (void)snprintf(expected, sizeof(expected), "%td", mark - seen);
        assert_string_equal(key, expected);
        (*mark)++;
    }
    for (unsigned k = 0; k < KEYS; k++)
        assert_int_equal(seen[k], 1);
    map_destroy(map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put_get_replace_remove),
        cmocka_unit_test(test_against_model),
        cmocka_unit_test(test_walk_sees_each_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
