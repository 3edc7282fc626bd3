/* Overwriting what may hold a token: see secret.h. */
#include "card/cardd/secret.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

void secret_wipe(void *block)
{
    if (block)
        explicit_bzero(block, malloc_usable_size(block));
}

void secret_free(void *block)
{
    secret_wipe(block);
    free(block);
}

void secret_json(void)
{
    json_set_alloc_funcs(malloc, secret_free);
}
