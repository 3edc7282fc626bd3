/* What people ask the knowledge base, and what programs tell it: a first letter says whether the
 * rest is a log (l) or a question (q). */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "knowledge/learn.h"
#include "model/knowledge_query.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

static void question_try(const char *text)
{
    struct knowledge_query query;
    struct error err = {0};
    knowledge_query_init(&query);
    if (knowledge_query_text(&query, text, &err) < 0 &&
        (err.errnum >= 0 || !err.code[0] || !err.text[0]))
        abort(); /* a refusal without a reason */
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
    if (*data == 'l')
        json_decref(learn_metrics(text, strlen(text)));
    else
        question_try(text);
    free(text);
    return 0;
}
