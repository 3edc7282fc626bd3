/* What the targets of the formats of others share: entries that were read are taken by the model,
 * and reading what is written of them gives entries again. */
#ifndef LEAT_TESTS_FUZZ_EXCHANGE_ROUND_H
#define LEAT_TESTS_FUZZ_EXCHANGE_ROUND_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "knowledge/exchange.h"
#include "model/knowledge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

typedef int read_fn(const char *text, size_t length, const char *name, struct exchange *exchange,
                    struct error *err);
typedef char *write_fn(const json_t *entries, struct error *err);

static inline void entries_check(const json_t *entries)
{
    for (size_t i = 0; i < json_array_size(entries); i++) {
        struct knowledge entry;
        struct error err = {0};
        knowledge_init(&entry);
        if (knowledge_decode(json_array_get(entries, i), &entry, &err) < 0 &&
            strcmp(err.code, "bad-name") != 0) {
            (void)fprintf(stderr, "%s\n", err.text);
            abort();
        }
        knowledge_finish(&entry);
    }
}

static inline int exchange_round(const char *text, size_t length, read_fn *read, write_fn *write)
{
    struct error err = {0};
    struct exchange first, second;
    if (exchange_init(&first) < 0 || exchange_init(&second) < 0)
        abort();
    if (read(text, length, NULL, &first, &err) < 0) {
        if (err.errnum >= 0 || !err.code[0] || !err.text[0])
            abort(); /* a refusal without a reason */
    } else {
        entries_check(first.entries);
        char *written = write(first.entries, &err);
        if (!written || read(written, strlen(written), NULL, &second, &err) < 0) {
            (void)fprintf(stderr, "%s\n%s\n", written ? written : "", err.text);
            abort();
        }
        free(written);
    }
    exchange_finish(&first);
    exchange_finish(&second);
    return 0;
}

#endif
