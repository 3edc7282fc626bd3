/* Likeness of tasks and order of models: see rank.h. */
#include "knowledge/rank.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "model/knowledge.h"

#define ONE_SIDED 0.5 /* what an attribute weighs that only one of two tasks has */
#define KIND_WEIGHT 3 /* what the kind of task weighs among its attributes */
/* What a model's size weighs against a value that was measured for the task. */
#define SIZE_WEIGHT 0.25

/* -- likeness -- */

static double number_likeness(double left, double right)
{
    double a = log1p(fabs(left)), b = log1p(fabs(right)), most = a > b ? a : b;
    if ((left < 0) != (right < 0))
        return 0;
    return most > 0 ? 1 - fabs(a - b) / most : 1;
}

/* The next word of letters and digits; NULL at the end. */
static const char *word_next(const char **cursor, size_t *ret_length)
{
    const char *from = *cursor;
    while (*from && !isalnum((unsigned char)*from) && (unsigned char)*from < 0x80)
        from++;
    const char *to = from;
    while (isalnum((unsigned char)*to) || (unsigned char)*to >= 0x80)
        to++;
    *cursor = to;
    *ret_length = (size_t)(to - from);
    return to > from ? from : NULL;
}

static bool has_word(const char *text, const char *word, size_t length)
{
    const char *each;
    size_t width;
    while ((each = word_next(&text, &width))) {
        if (width == length && strncasecmp(each, word, length) == 0)
            return true;
    }
    return false;
}

/* Words of `left` and how many of them `right` has. */
static void words_count(const char *left, const char *right, size_t *words, size_t *shared)
{
    const char *word;
    size_t length;
    while ((word = word_next(&left, &length))) {
        ++*words;
        *shared += has_word(right, word, length);
    }
}

static double text_likeness(const char *left, const char *right)
{
    size_t words = 0, shared = 0;
    if (strcasecmp(left, right) == 0)
        return 1;
    words_count(left, right, &words, &shared);
    words_count(right, left, &words, &shared);
    return words ? (double)shared / (double)words : 0;
}

static bool list_holds(const json_t *list, const json_t *text)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (strcasecmp(json_string_value(json_array_get(list, i)), json_string_value(text)) == 0)
            return true;
    }
    return false;
}

/* Part of all texts of both lists that both have; a text alone is a list of one. */
static double list_likeness(const json_t *left, const json_t *right)
{
    size_t shared = 0, left_size = json_array_size(left), right_size = json_array_size(right);
    if (json_is_string(left))
        return right_size && list_holds(right, left) ? 1.0 / (double)right_size : 0;
    if (json_is_string(right))
        return list_likeness(right, left);
    for (size_t i = 0; i < left_size; i++)
        shared += list_holds(right, json_array_get(left, i));
    size_t all = left_size + right_size - shared;
    return all ? (double)shared / (double)all : 1;
}

static double likeness(const json_t *left, const json_t *right)
{
    if (json_is_number(left) && json_is_number(right))
        return number_likeness(json_number_value(left), json_number_value(right));
    if (json_is_string(left) && json_is_string(right))
        return text_likeness(json_string_value(left), json_string_value(right));
    if ((json_is_array(left) || json_is_string(left)) &&
        (json_is_array(right) || json_is_string(right)))
        return list_likeness(left, right);
    return json_equal((json_t *)(uintptr_t)left, (json_t *)(uintptr_t)right);
}

/* Adds the parts of Gower's coefficient of the attributes that `left` has. */
static void parts_add(const json_t *left, const json_t *right, double *alike, double *weight)
{
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)left, name, value) {
        const json_t *other = json_object_get(right, name);
        *alike += other ? likeness(value, other) : 0;
        *weight += other ? 1 : ONE_SIDED;
    }
}

static void one_sided_add(const json_t *left, const json_t *right, double *weight)
{
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)right, name, value) {
        if (!json_object_get(left, name))
            *weight += ONE_SIDED;
    }
}

double rank_similarity(const json_t *left, const json_t *right)
{
    double alike = 0, weight = 0;
    parts_add(left, right, &alike, &weight);
    one_sided_add(left, right, &weight);
    return weight > 0 ? alike / weight : 0;
}

static const char *kind_of(const struct knowledge *task)
{
    return task->task ? task->task : task->name;
}

double rank_task_similarity(const struct knowledge *left, const struct knowledge *right)
{
    double alike = 0, weight = KIND_WEIGHT;
    if (left->name && right->name && strcasecmp(left->name, right->name) == 0)
        return 1;
    if (kind_of(left) && kind_of(right))
        alike = KIND_WEIGHT * text_likeness(kind_of(left), kind_of(right));
    parts_add(left->attributes, right->attributes, &alike, &weight);
    one_sided_add(left->attributes, right->attributes, &weight);
    return alike / weight;
}

/* -- order of models -- */

int rank_smaller_is_better(const char *metric)
{
    static const char *const words[] = {"wer", "cer", "ter",    "loss",       "error",
                                        "mae", "mse", "rmse",   "perplexity", "ppl",
                                        "eer", "fid", "latency"};
    for (size_t i = 0; metric && i < sizeof(words) / sizeof(words[0]); i++) {
        if (has_word(metric, words[i], strlen(words[i])))
            return 1;
    }
    return 0;
}

/* The part of the other values of its data and metric that a value is no worse than. */
static double place_of(const struct rank_value *values, size_t count,
                       const struct rank_value *value)
{
    size_t others = 0, beaten = 0;
    for (size_t i = 0; i < count; i++) {
        if (values[i].model == value->model || strcasecmp(values[i].data, value->data) != 0 ||
            strcasecmp(values[i].metric, value->metric) != 0)
            continue;
        others++;
        beaten += value->smaller_is_better ? value->value <= values[i].value
                                           : value->value >= values[i].value;
    }
    return others ? (double)beaten / (double)others : 0.5;
}

int rank_models(const struct rank_value *values, size_t value_count, const double *params,
                size_t model_count, double *ret_scores)
{
    double largest = 0;
    double *weights = calloc(model_count + 1, sizeof(*weights));
    if (!weights)
        return -ENOMEM;
    for (size_t i = 0; i < model_count; i++)
        largest = params[i] > largest ? params[i] : largest;
    for (size_t i = 0; i < model_count; i++) {
        weights[i] = SIZE_WEIGHT;
        ret_scores[i] = SIZE_WEIGHT * (largest > 0 ? log1p(params[i]) / log1p(largest) : 0);
    }
    for (size_t i = 0; i < value_count; i++) {
        const struct rank_value *value = &values[i];
        ret_scores[value->model] += value->weight * place_of(values, value_count, value);
        weights[value->model] += value->weight;
    }
    for (size_t i = 0; i < model_count; i++)
        ret_scores[i] /= weights[i] > 1 ? weights[i] : 1;
    free(weights);
    return 0;
}
