/* The knowledge base with 100,000 entries: how long searches take, from the query to the ranked
 * entries in memory. Prints "p50_ms" and "p99_ms", a tab and the figure; with --each every question
 * of the mix with its slowest time. Filling takes longer than asking: with a FOLDER the entries
 * stay there, and are made only once.
 *
 * usage: bench_knowledge [--each] [FOLDER] */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "model/knowledge_query.h"
#include "store/store.h"

#define ENTRIES 100000
#define BATCH 5000
#define ROUNDS 20

static const char *const tasks[] = {
    "image-classification", "object-detection", "text-classification",
    "translation",          "text-generation",  "automatic-speech-recognition",
    "question-answering",   "summarization",
};
static const char *const licences[] = {"mit", "apache-2.0", "bsd-3-clause", "cc-by-4.0", "other"};
static const char *const words[] = {"residual", "transformer",  "distilled", "quantised", "vision",
                                    "speech",   "multilingual", "small",     "large",     "robust"};
#define PICK(table, n) table[(n) % (sizeof(table) / sizeof((table)[0]))]

/* What people ask: words that are common, rare and absent, ranges, licences, orders, names. */
static const char *const questions[] = {
    "{\"text\":\"image classification\"}",
    "{\"text\":\"image classification license=mit params<1e8\"}",
    "{\"text\":\"multilingual transformer\",\"kinds\":[\"model\"]}",
    "{\"text\":\"model77123\"}",
    "{\"text\":\"absent wonder\"}",
    "{\"text\":\"speech recognition\",\"where\":[\"params=5e6..6e6\"]}",
    "{\"where\":[\"params<1e6\"]}",
    "{\"where\":[\"license=apache-2.0\",\"params>=1e9\"],\"sort\":\"-accuracy\"}",
    "{\"text\":\"translation\",\"sort\":\"-accuracy\"}",
    "{\"kinds\":[\"task\"]}",
    "{\"kinds\":[\"metric\"],\"model\":\"org/model512\"}",
    "{\"task\":\"summarization\",\"where\":[\"license=mit\"]}",
    "{\"name\":\"org/model4242\"}",
    "{\"where\":[\"layout=even\",\"order=odd\"]}", /* common, never together */
    "{\"where\":[\"layout=even\",\"order=odd\",\"params>=1e6\"],\"sort\":\"accuracy\"}",
    "{\"where\":[\"accuracy<0.5\",\"loss<0.4\"]}",
    "{\"text\":\"small robust vision\",\"where\":[\"memory_peak_bytes<1GiB\"]}",
    "{}",
};
#define QUESTIONS (sizeof(questions) / sizeof(questions[0]))

static void __attribute__((noreturn)) fail(const struct error *err)
{
    (void)fprintf(stderr, "%s\n", err->text);
    exit(1);
}

/* The n-th of a fixed row of numbers that look random. */
static uint64_t number(uint64_t n)
{
    n = (n + 1) * 0x9e3779b97f4a7c15ull;
    n = (n ^ (n >> 29)) * 0xbf58476d1ce4e5b9ull;
    return (n ^ (n >> 32)) >> 8;
}

static json_t *body_make(uint64_t n)
{
    char name[64], model[64], text[160];
    uint64_t r = number(n);
    (void)snprintf(model, sizeof(model), "org/model%llu", (unsigned long long)(n / 2));
    (void)snprintf(name, sizeof(name), n % 2 ? "%s/accuracy" : "%s", model);
    (void)snprintf(text, sizeof(text), "A %s %s model%llu for %s", PICK(words, r),
                   PICK(words, r / 7), (unsigned long long)n, PICK(tasks, r));
    if (n % 1000 == 999)
        return json_pack("{s:s, s:s, s:{s:i}}", "kind", "task", "name", model, "attributes",
                         "classes", (int)(r % 1000));
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:{s:f, s:s, s:f, s:I, s:[s,s], s:s, s:s, s:f}}",
                     "kind", n % 2 ? "metric" : "model", "name", name, "task", PICK(tasks, r),
                     "model", model, "text", text, "attributes", "params",
                     1e5 * (double)(1 + r % 1000) * (double)(1 + r % 37), "license",
                     PICK(licences, r / 3), "accuracy", (double)(r % 1000) / 1000,
                     "memory_peak_bytes", (json_int_t)(r % (64ull << 30)), "tags",
                     PICK(words, r / 11), PICK(tasks, r / 13), "layout", r % 2 ? "odd" : "even",
                     "order", r % 2 ? "odd" : "even", "loss", 1 - (double)(r % 1000) / 1000);
}

static void fill(struct store *store)
{
    struct error err = {0};
    for (uint64_t n = 0; n < ENTRIES;) {
        struct store_batch *batch = store_batch_create();
        for (int i = 0; i < BATCH; i++, n++) {
            struct knowledge entry;
            AUTO_JSON json_t *body = body_make(n);
            knowledge_init(&entry);
            if (knowledge_decode(body, &entry, &err) < 0 ||
                store_batch_knowledge(batch, &entry) < 0)
                fail(&err);
            knowledge_finish(&entry);
        }
        if (store_commit(store, batch, &err) < 0)
            fail(&err);
        store_batch_destroy(batch);
    }
}

struct tally {
    const struct knowledge_query *query;
    double best;
    size_t count;
};

static int score(void *arg, struct knowledge *entry)
{
    struct tally *tally = arg;
    double mark = knowledge_query_score(tally->query, entry);
    tally->best = mark > tally->best ? mark : tally->best;
    tally->count++;
    return 1;
}

static double ask(struct store *store, const char *question)
{
    struct timespec from, to;
    struct error err = {0};
    struct knowledge_query query;
    (void)clock_gettime(CLOCK_MONOTONIC, &from);
    AUTO_JSON json_t *body = json_parse(question, strlen(question), 4096, &err);
    knowledge_query_init(&query);
    struct tally tally = {.query = &query};
    if (!body || knowledge_query_decode(body, &query, &err) < 0 ||
        store_knowledge_search(store, &query, STORE_WORDS_ALL, score, &tally, &err) < 0)
        fail(&err);
    if (!tally.count && query.word_count > 1 &&
        store_knowledge_search(store, &query, STORE_WORDS_ANY, score, &tally, &err) < 0)
        fail(&err);
    knowledge_query_finish(&query);
    (void)clock_gettime(CLOCK_MONOTONIC, &to);
    return (double)(to.tv_sec - from.tv_sec) * 1e3 + (double)(to.tv_nsec - from.tv_nsec) / 1e6;
}

static int by_value(const void *left, const void *right)
{
    const double *a = left, *b = right;
    return (*a > *b) - (*a < *b);
}

static struct store *store_make(const char *folder)
{
    char path[4096];
    struct store *store;
    struct error err = {0};
    uint64_t count;
    (void)snprintf(path, sizeof(path), "%s/leat.db", folder);
    if (store_open(path, &store, &err) < 0 || store_knowledge_count(store, &count, &err) < 0)
        fail(&err);
    if (count == 0)
        fill(store);
    return store;
}

int main(int argc, char **argv)
{
    char own[] = "/tmp/leat-bench-XXXXXX";
    double times[ROUNDS * QUESTIONS], worst[QUESTIONS] = {0};
    struct error err = {0};
    bool each = argc > 1 && strcmp(argv[1], "--each") == 0;
    const char *folder = argc > 1 + each ? argv[1 + each] : mkdtemp(own);
    if (!folder)
        return 1;
    struct store *store = store_make(folder);
    for (size_t i = 0; i < ROUNDS * QUESTIONS; i++) {
        times[i] = ask(store, questions[i % QUESTIONS]);
        worst[i % QUESTIONS] = times[i] > worst[i % QUESTIONS] ? times[i] : worst[i % QUESTIONS];
    }
    for (size_t i = 0; each && i < QUESTIONS; i++)
        (void)fprintf(stderr, "%8.2f ms  %s\n", worst[i], questions[i]);
    qsort(times, ROUNDS * QUESTIONS, sizeof(times[0]), by_value);
    (void)printf("p50_ms\t%.3f\np99_ms\t%.3f\n", times[ROUNDS * QUESTIONS / 2],
                 times[ROUNDS * QUESTIONS * 99 / 100]);
    store_close(store);
    return folder == own && dir_remove_tree(AT_FDCWD, folder, &err) < 0;
}
