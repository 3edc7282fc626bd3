/* Reading recipes: see recipe.h. */
#include "engine/recipe.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "base/yaml.h"

static const struct json_field fields[] = {
    {"description", JSON_KIND_TEXT, offsetof(struct recipe, description), JSON_OPTIONAL},
    {"suite", JSON_KIND_TEXT, offsetof(struct recipe, suite), JSON_OPTIONAL},
    {"variant", JSON_KIND_TEXT, offsetof(struct recipe, variant), JSON_OPTIONAL},
    {"packages", JSON_KIND_TEXTS, offsetof(struct recipe, packages), JSON_OPTIONAL},
    {"post", JSON_KIND_TEXTS, offsetof(struct recipe, post), JSON_OPTIONAL},
    {0},
};

static const char *const variants[] = {"essential", "apt", "minbase", "required", NULL};

/* Debian's own rule for names, and versions after '='; nothing that a tool could take for an
 * option. */
static int check_word(const char *what, const char *word, struct error *err)
{
    if (!*word || strchr("-+.=", *word) ||
        strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.:=~_") !=
            strlen(word))
        return error_set(err, -EINVAL, "bad-recipe", "'%.80s' is no name of a %s", word, what);
    return 0;
}

static int check_count(const char *what, char **texts, size_t limit, struct error *err)
{
    size_t count = 0;
    while (texts && texts[count])
        count++;
    if (count > limit)
        return error_set(err, -E2BIG, "bad-recipe", "%zu %s, %zu are allowed", count, what, limit);
    return 0;
}

static int check(const struct recipe *recipe, struct error *err)
{
    int result = check_count("packages", recipe->packages, RECIPE_PACKAGES_MAX, err);
    if (!result)
        result = check_count("post commands", recipe->post, RECIPE_POST_MAX, err);
    if (!result && recipe->suite)
        result = check_word("suite", recipe->suite, err);
    for (char **package = recipe->packages; !result && package && *package; package++)
        result = check_word("package", *package, err);
    if (result || !recipe->variant)
        return result;
    for (const char *const *variant = variants; *variant; variant++)
        if (strcmp(*variant, recipe->variant) == 0)
            return 0;
    return error_set(err, -EINVAL, "bad-recipe",
                     "the variant '%.80s' is none of essential, apt, minbase, required",
                     recipe->variant);
}

int recipe_parse(const char *text, size_t length, struct recipe *ret_recipe, struct error *err)
{
    struct recipe recipe = {0};
    AUTO_JSON json_t *object = yaml_parse(text, length, RECIPE_LIMIT_BYTES, err);
    if (!object)
        return -EINVAL;
    int result = json_decode(object, fields, &recipe, err);
    if (!result)
        result = check(&recipe, err);
    if (result)
        recipe_finish(&recipe);
    else
        *ret_recipe = recipe;
    return result;
}

void recipe_finish(struct recipe *recipe)
{
    free(recipe->description);
    free(recipe->suite);
    free(recipe->variant);
    texts_free(recipe->packages);
    texts_free(recipe->post);
    *recipe = (struct recipe){0};
}
