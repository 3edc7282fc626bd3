/* The recipe of an image, DATA/images/NAME.yaml: which Debian packages make its root. Pure. */
#ifndef LEAT_ENGINE_RECIPE_H
#define LEAT_ENGINE_RECIPE_H

#include <stddef.h>

struct error;

#define RECIPE_LIMIT_BYTES (64u << 10)
#define RECIPE_PACKAGES_MAX 256
#define RECIPE_POST_MAX 32

struct recipe {
    char *description; /* one line; NULL: none */
    char *suite;       /* of Debian; NULL: the host's */
    char *variant;     /* of mmdebstrap; NULL: essential */
    char **packages;   /* NULL-ended; NULL: none but the variant's */
    char **post;       /* shell commands run in the new root; NULL: none */
};

/* Refuses unknown members, names of packages, suites and variants that are none, and too many of
 * them. On success the caller finishes the recipe. */
int recipe_parse(const char *text, size_t length, struct recipe *ret_recipe, struct error *err);
void recipe_finish(struct recipe *recipe);

#endif
