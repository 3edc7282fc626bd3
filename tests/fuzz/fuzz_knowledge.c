/* What people hand to the knowledge base: a first letter says whether the rest is a model card (c),
 * an MLflow run (m), a log (l) or a question (q). Entries that were read are taken by the model,
 * and reading what is written of them gives them again. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "knowledge/exchange.h"
#include "knowledge/learn.h"
#include "model/knowledge_query.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

typedef int read_fn(const char *text, size_t length, const char *name, struct exchange *exchange,
                    struct error *err);
typedef char *write_fn(const json_t *entries, struct error *err);

static void refusal_check(const struct error *err)
{
    if (err->errnum >= 0 || !err->code[0] || !err->text[0])
        abort(); /* a refusal without a reason */
}

static void entries_check(const json_t *entries)
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

static void exchange_try(const char *text, size_t length, read_fn *read, write_fn *write)
{
    struct error err = {0};
    struct exchange first, second;
    if (exchange_init(&first) < 0 || exchange_init(&second) < 0)
        abort();
    if (read(text, length, NULL, &first, &err) < 0) {
        refusal_check(&err);
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
}

static void question_try(const char *text)
{
    struct knowledge_query query;
    struct error err = {0};
    knowledge_query_init(&query);
    if (knowledge_query_text(&query, text, &err) < 0)
        refusal_check(&err);
    for (size_t i = 0; i < query.word_count; i++) {
        if (strpbrk(query.words[i], "\"'*:^()-+ ;"))
            abort(); /* syntax of the index */
    }
    knowledge_query_finish(&query);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    char *text = length ? strndup((const char *)data + 1, length - 1) : NULL;
    if (!text)
        return 0;
    if (*data == 'c')
        exchange_try(text, strlen(text), card_read, card_write);
    else if (*data == 'm')
        exchange_try(text, strlen(text), mlflow_read, mlflow_write);
    else if (*data == 'l')
        json_decref(learn_metrics(text, strlen(text)));
    else
        question_try(text);
    free(text);
    return 0;
}
