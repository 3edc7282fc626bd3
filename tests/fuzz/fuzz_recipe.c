/* Any bytes as the recipe of an image. */
#include <stdint.h>

#include "engine/recipe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct recipe recipe;
    if (recipe_parse((const char *)data, size, &recipe, NULL) == 0)
        recipe_finish(&recipe);
    return 0;
}
