/* Likeness of tasks, and models in the order in which they suit a task. Pure. */
#ifndef LEAT_KNOWLEDGE_RANK_H
#define LEAT_KNOWLEDGE_RANK_H

#include <stddef.h>
#include <stdint.h>

struct json_t;
struct knowledge;

/* How alike two tasks are by their attributes, 0 to 1: Gower's coefficient (Biometrics 27, 1971).
 * Numbers are compared by their logarithms, lists and texts by the words they share; an attribute
 * that only one of them has counts half against them. */
double rank_similarity(const struct json_t *left, const struct json_t *right);
/* The likeness of a task to another with its kind (`task`) and name as attributes, too. */
double rank_task_similarity(const struct knowledge *left, const struct knowledge *right);

struct rank_task {
    const struct knowledge *task; /* what has to be done: `task` or its name is its kind */
    double similarity;            /* to the task that is asked for */
};

/* A measured value: how good `model` was at a task. */
struct rank_value {
    size_t model;              /* index of the model */
    double weight;             /* how much it says about the task that is asked for, above 0 */
    const char *data, *metric; /* values of one data set and one metric are compared */
    double value;
    int smaller_is_better;
};

/* Whether a smaller value of the metric is better: errors, losses, times. */
int rank_smaller_is_better(const char *metric);
/* Fill `ret_scores`, one a model, with 0 to 1: the place of its values among all of their kind, by
 * weight, with its size as the only hint where nothing was measured. `params` may hold 0: not
 * known. 0 or -ENOMEM. */
int rank_models(const struct rank_value *values, size_t value_count, const double *params,
                size_t model_count, double *ret_scores);

#endif
