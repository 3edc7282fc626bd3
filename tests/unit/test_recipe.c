/* Recipes of images: what is accepted and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "engine/recipe.h"

static int parse(const char *text, struct recipe *recipe, struct error *err)
{
    return recipe_parse(text, strlen(text), recipe, err);
}

static void whole_recipe(void **state)
{
    struct recipe recipe = {0};
    assert_int_equal(parse("description: a thing\nsuite: bookworm\nvariant: apt\n"
                           "packages: [python3, 'libstdc++6', foo=1.2-3]\npost:\n  - echo hi\n",
                           &recipe, NULL),
                     0);
    assert_string_equal(recipe.description, "a thing");
    assert_string_equal(recipe.packages[1], "libstdc++6");
    assert_null(recipe.packages[3]);
    assert_string_equal(recipe.post[0], "echo hi");
    recipe_finish(&recipe);
    assert_null(recipe.packages);
}

static void refusals(void **state)
{
    static const char *const bad[] = {
        "",
        "[1, 2]",
        "packages: python3",
        "packages: ['--option']",
        "packages: ['a b']",
        "packages: ['a,b']",
        "packages: ['']",
        "suite: '-x'",
        "variant: everything",
        "unknown: 1",
        "packages: [a",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct recipe recipe = {0};
        struct error err = {0};
        if (parse(bad[i], &recipe, &err) == 0)
            fail_msg("accepted: %s", bad[i]);
        assert_true(err.text[0]);
        assert_null(recipe.packages);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(whole_recipe), cmocka_unit_test(refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
