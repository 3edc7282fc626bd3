/* Questions to the knowledge base: see knowledge_query.h. */
#include "model/knowledge_query.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/units.h"

#define LIMIT_DEFAULT 20
#define TEXT_LIMIT_BYTES (4u << 10)

void knowledge_query_init(struct knowledge_query *query)
{
    *query = (struct knowledge_query){.limit = LIMIT_DEFAULT};
}

void knowledge_query_finish(struct knowledge_query *query)
{
    free(query->name);
    free(query->task);
    free(query->model);
    free(query->filters);
    json_decref(query->settings);
    knowledge_query_init(query);
}

/* -- conditions -- */

static int filter_refuse(const char *text, struct error *err)
{
    return error_set(err, -EINVAL, "bad-condition",
                     "'%.80s' is no condition: write NAME=VALUE, NAME=LOW..HIGH, or NAME with <, "
                     "<=, > or >= and a number such as 0.5, 7e9 or 8GiB",
                     text);
}

/* "0.5", "7e9", "8GiB", "7G". */
static bool number_parse(const char *text, double *ret_value)
{
    char *end;
    uint64_t bytes;
    if (isdigit((unsigned char)*text) || *text == '-' || *text == '.') {
        double value = strtod(text, &end);
        if (!*end && isfinite(value)) {
            *ret_value = value;
            return true;
        }
    }
    if (bytes_parse(text, &bytes, NULL) < 0)
        return false;
    *ret_value = (double)bytes;
    return true;
}

static void copy_lower(char *to, const char *from, size_t length)
{
    for (size_t i = 0; i < length; i++)
        to[i] = (char)tolower((unsigned char)from[i]);
    to[length] = '\0';
}

/* LOW..HIGH, NUMBER or TEXT after "=". */
static bool filter_equal(struct knowledge_filter *filter, const char *value)
{
    const char *dots = strstr(value, "..");
    char low[32];
    if (dots && (size_t)(dots - value) < sizeof(low)) {
        memcpy(low, value, (size_t)(dots - value));
        low[dots - value] = '\0';
        if (number_parse(low, &filter->low) && number_parse(dots + 2, &filter->high))
            return true;
    }
    if (number_parse(value, &filter->low)) {
        filter->high = filter->low;
        return true;
    }
    filter->is_text = true;
    if (!*value || strlen(value) > KNOWLEDGE_VALUE_MAX)
        return false;
    copy_lower(filter->text, value, strlen(value));
    return true;
}

int knowledge_filter_parse(const char *text, struct knowledge_filter *ret_filter, struct error *err)
{
    struct knowledge_filter filter = {.low = -INFINITY, .high = INFINITY};
    size_t name = strcspn(text, "<>=");
    const char *op = text + name;
    bool closed = op[0] && op[1] == '=' && op[0] != '=';
    const char *value = op + 1 + closed;
    double number;
    bool good = name > 0 && name <= KNOWLEDGE_ATTRIBUTE_MAX && *op;
    if (!good)
        return filter_refuse(text, err);
    copy_lower(filter.name, text, name);
    if (*op == '=')
        good = filter_equal(&filter, value);
    else if ((good = number_parse(value, &number))) {
        if (*op == '<')
            filter.high = closed ? number : nextafter(number, -INFINITY);
        else
            filter.low = closed ? number : nextafter(number, INFINITY);
    }
    if (!good)
        return filter_refuse(text, err);
    *ret_filter = filter;
    return 0;
}

static int filter_add(struct knowledge_query *query, const char *text, struct error *err)
{
    if (!query->filters)
        query->filters = calloc(KNOWLEDGE_FILTERS_MAX, sizeof(*query->filters));
    if (!query->filters)
        return error_set(err, -ENOMEM, "out-of-memory", "reading a question");
    if (query->filter_count == KNOWLEDGE_FILTERS_MAX)
        return error_set(err, -EINVAL, "bad-condition", "a question has at most %d conditions",
                         KNOWLEDGE_FILTERS_MAX);
    int r = knowledge_filter_parse(text, &query->filters[query->filter_count], err);
    query->filter_count += r == 0;
    return r;
}

/* -- the text of a question -- */

/* Letters and digits make words; whatever else stands between them never reaches the index. */
static void words_add(struct knowledge_query *query, const char *text)
{
    for (const char *c = text; *c && query->word_count < KNOWLEDGE_WORDS_MAX;) {
        char *word = query->words[query->word_count];
        size_t length = 0;
        for (; isalnum((unsigned char)*c) || (unsigned char)*c >= 0x80; c++) {
            if (length < KNOWLEDGE_WORD_MAX)
                word[length++] = (char)tolower((unsigned char)*c);
        }
        word[length] = '\0';
        query->word_count += length > 0;
        c += *c != '\0';
    }
}

/* "<8GiB" from the tokens "<", "8", "GiB" however they are spaced. Returns what follows. */
static const char *fits_take(const char *token, uint64_t *ret_bytes)
{
    const char *c = token + strspn(token, "<= ");
    char amount[UNITS_TEXT_MAX];
    for (unsigned parts = 2; parts > 0; parts--) {
        const char *from = c;
        size_t length = 0;
        for (unsigned i = 0; i < parts; i++, from += strspn(from, " ")) {
            for (; *from && *from != ' ' && length + 1 < sizeof(amount); from++)
                amount[length++] = *from;
        }
        amount[length] = '\0';
        if (bytes_parse(amount, ret_bytes, NULL) == 0 && *ret_bytes)
            return from;
    }
    return NULL;
}

int knowledge_query_text(struct knowledge_query *query, const char *text, struct error *err)
{
    if (strlen(text) > TEXT_LIMIT_BYTES)
        return error_set(err, -EINVAL, "bad-field", "'text' has at most %u bytes",
                         TEXT_LIMIT_BYTES);
    for (const char *c = text + strspn(text, " "); *c; c += strspn(c, " ")) {
        size_t length = strcspn(c, " ");
        AUTO_FREE char *token = strndup(c, length);
        if (!token)
            return error_set(err, -ENOMEM, "out-of-memory", "reading a question");
        if (*token == '<') {
            c = fits_take(c, &query->fits_bytes);
            if (!c)
                return filter_refuse(token, err);
            continue;
        }
        c += length;
        if (!token[strcspn(token, "<>=")])
            words_add(query, token);
        else if (filter_add(query, token, err) < 0)
            return -EINVAL;
    }
    return 0;
}

/* -- the body of a request -- */

struct body {
    char *text, *name, *task, *model, *sort;
    char **kinds, **where;
    json_t *fits;
    uint32_t limit;
};

#define FIELD(member, kind) \
    { \
#member, kind, offsetof(struct body, member), JSON_OPTIONAL \
    }
static const struct json_field body_fields[] = {
    FIELD(text, JSON_KIND_TEXT),   FIELD(name, JSON_KIND_TEXT),
    FIELD(task, JSON_KIND_TEXT),   FIELD(model, JSON_KIND_TEXT),
    FIELD(sort, JSON_KIND_TEXT),   FIELD(kinds, JSON_KIND_TEXTS),
    FIELD(where, JSON_KIND_TEXTS), FIELD(fits, JSON_KIND_VALUE),
    FIELD(limit, JSON_KIND_U32),   {0},
};

static void body_finish(struct body *body)
{
    free(body->text);
    free(body->name);
    free(body->task);
    free(body->model);
    free(body->sort);
    texts_free(body->kinds);
    texts_free(body->where);
    json_decref(body->fits);
}

static int kinds_take(struct knowledge_query *query, char *const *kinds, struct error *err)
{
    for (; kinds && *kinds; kinds++) {
        enum knowledge_kind kind = knowledge_kind_parse(*kinds);
        if (kind == KNOWLEDGE_INVALID)
            return error_set(err, -EINVAL, "bad-kind",
                             "'%.32s' is no kind of entry: task, model, data, metric, "
                             "hyperparameter or relation",
                             *kinds);
        query->kinds |= 1u << kind;
    }
    return 0;
}

/* {"memory":"8GiB", and the settings of a run}; the memory may stand in the text instead. */
static int fits_read(struct knowledge_query *query, json_t *fits, struct error *err)
{
    struct {
        uint64_t memory;
    } wanted = {query->fits_bytes};
    static const struct json_field fields[] = {{"memory", JSON_KIND_BYTES, 0, JSON_OPTIONAL}, {0}};
    AUTO_JSON json_t *memory = json_pack("{s:O*}", "memory", json_object_get(fits, "memory"));
    if (!json_is_object(fits) || !memory)
        return error_set(err, -EINVAL, "bad-field", "'fits' must be an object");
    int r = json_decode(memory, fields, &wanted, err);
    if (r < 0)
        return r;
    query->fits_bytes = wanted.memory;
    query->settings = json_copy(fits);
    if (!query->settings)
        return error_set(err, -ENOMEM, "out-of-memory", "reading a question");
    (void)json_object_del(query->settings, "memory"); /* it may not be there */
    return 0;
}

static int body_apply(struct body *body, struct knowledge_query *query, struct error *err)
{
    int r = body->text ? knowledge_query_text(query, body->text, err) : 0;
    if (r == 0)
        r = kinds_take(query, body->kinds, err);
    for (char **where = body->where; r == 0 && where && *where; where++)
        r = filter_add(query, *where, err);
    if (r == 0 && body->fits)
        r = fits_read(query, body->fits, err);
    if (r < 0)
        return r;
    if (body->limit < 1 || body->limit > KNOWLEDGE_ANSWER_MAX)
        return error_set(err, -EINVAL, "bad-parameter", "'limit' must lie between 1 and %d",
                         KNOWLEDGE_ANSWER_MAX);
    if (body->sort) {
        query->descending = body->sort[0] == '-';
        const char *name = body->sort + query->descending;
        if (!*name || strlen(name) > KNOWLEDGE_ATTRIBUTE_MAX)
            return error_set(err, -EINVAL, "bad-field", "'sort' must name an attribute");
        copy_lower(query->sort, name, strlen(name));
    }
    query->limit = body->limit;
    query->name = TAKE(body->name);
    query->task = TAKE(body->task);
    query->model = TAKE(body->model);
    return 0;
}

int knowledge_query_decode(const json_t *object, struct knowledge_query *query, struct error *err)
{
    struct body body = {.limit = query->limit};
    int r = json_decode(object, body_fields, &body, err);
    if (r == 0)
        r = body_apply(&body, query, err);
    body_finish(&body);
    return r;
}

/* -- judging entries -- */

/* The index knows words by their stems; the beginning of a word stands for its stem here. */
#define STEM_MIN 4
#define ENDING_MAX 3

static bool holds_word(const char *text, const char *word)
{
    size_t length = strlen(word);
    size_t stem = length >= STEM_MIN + ENDING_MAX ? length - ENDING_MAX
                  : length > STEM_MIN             ? STEM_MIN
                                                  : length;
    for (const char *c = text; c && *c; c++) {
        bool begins = c == text || !isalnum((unsigned char)c[-1]);
        if (begins && strncasecmp(c, word, stem) == 0)
            return true;
    }
    return false;
}

static bool attributes_hold(const json_t *attributes, const char *word)
{
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)attributes, name, value) {
        if (json_is_string(value) && holds_word(json_string_value(value), word))
            return true;
        for (size_t i = 0; i < json_array_size(value); i++) {
            if (holds_word(json_string_value(json_array_get(value, i)), word))
                return true;
        }
    }
    return false;
}

double knowledge_query_score(const struct knowledge_query *query, const struct knowledge *entry)
{
    double score = entry->source && strcmp(entry->source, "job") == 0 ? 0.5 : 0;
    for (size_t i = 0; i < query->word_count; i++) {
        const char *word = query->words[i];
        score += holds_word(entry->name, word) ? 3 : 0;
        score += holds_word(entry->task, word) || holds_word(entry->model, word) ||
                 holds_word(entry->text, word) || attributes_hold(entry->attributes, word);
    }
    return score;
}
