/* The knowledge base: entries are kept and found by words, numbers, texts and names; limits hold;
 * nothing that a user writes is taken for a command; models are held against memory. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "estimate/fit.h"
#include "estimate/profile.h"
#include "model/knowledge_query.h"
#include "store/store.h"

#define MANY 6000 /* entries; more than a search lists or tries at once */

struct shelf {
    char folder[64], path[80];
    struct store *store;
};

static int shelf_make(void **state)
{
    static struct shelf shelf;
    shelf = (struct shelf){.folder = "/tmp/leat-knowledge-XXXXXX"};
    if (!mkdtemp(shelf.folder))
        return -1;
    (void)snprintf(shelf.path, sizeof(shelf.path), "%s/leat.db", shelf.folder);
    *state = &shelf;
    return store_open(shelf.path, &shelf.store, NULL);
}

static int shelf_remove(void **state)
{
    struct shelf *shelf = *state;
    store_close(shelf->store);
    return dir_remove_tree(AT_FDCWD, shelf->folder, NULL);
}

/* JSON with ' for ". */
static json_t *json_of(const char *text)
{
    AUTO_FREE char *copy = strdup(text);
    for (char *c = copy; *c; c++)
        *c = *c == '\'' ? '"' : *c;
    struct error err;
    json_t *value = json_parse(copy, strlen(copy), JSON_TEXT_LIMIT_BYTES, &err);
    if (!value)
        fail_msg("%s: %s", text, err.text);
    return value;
}

static void put(struct store *store, const char *body)
{
    struct knowledge entry;
    struct error err = {0};
    AUTO_JSON json_t *object = json_of(body);
    struct store_batch *batch = store_batch_create();
    knowledge_init(&entry);
    if (knowledge_decode(object, &entry, &err) < 0)
        fail_msg("%s: %s", body, err.text);
    entry.updated_us = 7;
    assert_int_equal(store_batch_knowledge(batch, &entry), 0);
    knowledge_finish(&entry);
    if (store_commit(store, batch, &err) < 0)
        fail_msg("%s", err.text);
    store_batch_destroy(batch);
}

static int name_append(void *arg, struct knowledge *entry)
{
    char *names = arg;
    size_t length = strlen(names);
    (void)snprintf(names + length, 256 - length, "%s%s", length ? " " : "", entry->name);
    return 1;
}

/* What a question finds, in the order of the store. */
static void finds(struct store *store, const char *body, const char *names)
{
    struct knowledge_query query;
    struct error err = {0};
    char found[256] = "";
    AUTO_JSON json_t *object = json_of(body);
    knowledge_query_init(&query);
    if (knowledge_query_decode(object, &query, &err) < 0)
        fail_msg("%s: %s", body, err.text);
    if (store_knowledge_search(store, &query, STORE_WORDS_ALL, name_append, found, &err) < 0)
        fail_msg("%s: %s", body, err.text);
    knowledge_query_finish(&query);
    if (strcmp(found, names) != 0)
        fail_msg("%s finds '%s', not '%s'", body, found, names);
}

static void test_entries_are_found(void **state)
{
    struct store *store = ((struct shelf *)*state)->store;
    put(store,
        "{'kind':'model','name':'resnet50','task':'image-classification','text':'A network of "
        "residual blocks','attributes':{'params':25557032,'license':'BSD-3-Clause',"
        "'tags':['vision','Caf\u00e9'],'quick':true}}");
    put(store, "{'kind':'model','name':'org/vit-base','task':'image-classification','attributes':"
               "{'params':86567656,'license':'apache-2.0','tags':['vision']}}");
    put(store, "{'kind':'model','name':'bert-base','task':'text-classification','attributes':"
               "{'params':1.1e8,'license':'apache-2.0'}}");
    put(store, "{'kind':'task','name':'image-classification','attributes':{'classes':1000}}");
    static const struct {
        const char *body, *names;
    } cases[] = {
        {"{}", "image-classification bert-base org/vit-base resnet50"},
        {"{'kinds':['task']}", "image-classification"},
        {"{'kinds':['task','model'],'limit':100}",
         "image-classification bert-base org/vit-base resnet50"},
        {"{'name':'org/vit-base'}", "org/vit-base"},
        {"{'text':'images classifications'}", "image-classification org/vit-base resnet50"},
        {"{'text':'residual'}", "resnet50"},
        {"{'text':'caf\u00e9'}", "resnet50"},
        {"{'text':'vision params<3e7'}", "resnet50"},
        {"{'text':'vision','where':['license=Apache-2.0']}", "org/vit-base"},
        {"{'where':['tags=VISION'],'sort':'params'}", "resnet50 org/vit-base"},
        {"{'kinds':['model'],'sort':'-params'}", "bert-base org/vit-base resnet50"},
        {"{'sort':'-params','limit':1}", "bert-base"},
        {"{'sort':'params'}", "resnet50 org/vit-base bert-base image-classification"},
        {"{'sort':'classes','limit':3}", "image-classification bert-base org/vit-base"},
        {"{'where':['license=apache-2.0'],'sort':'classes'}", "bert-base org/vit-base"},
        {"{'where':['params=8e7..2e8']}", "bert-base org/vit-base"},
        {"{'where':['params>=25557032','params<25557033']}", "resnet50"},
        {"{'where':['params>25557032','params<=25557033']}", ""},
        {"{'where':['quick=true']}", "resnet50"},
        {"{'task':'text-classification'}", "bert-base"},
        {"{'model':'resnet50'}", ""},
        /* what would be syntax somewhere is only letters here */
        {"{'text':'resnet50 AND'}", ""},
        {"{'text':'name: (resnet50) NEAR* ^ -\\\" ; DROP TABLE job'}", ""},
        {"{'text':'\\\"resnet50\\\"'}", "resnet50"},
        {"{'name':'%'}", ""},
        {"{'where':['license=x OR 1']}", ""},
        {"{'text':'* - ( ) \\\" ^'}", "image-classification bert-base org/vit-base resnet50"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        finds(store, cases[i].body, cases[i].names);
}

static void test_an_entry_is_replaced_and_removed(void **state)
{
    struct store *store = ((struct shelf *)*state)->store;
    struct knowledge first, second;
    put(store, "{'kind':'model','name':'m','text':'oldword','attributes':{'a':1,'t':['x','y']}}");
    assert_int_equal(store_knowledge_find(store, KNOWLEDGE_MODEL, "m", &first, NULL), 0);
    put(store, "{'kind':'model','name':'m','model':'base','attributes':{'b':2}}");
    assert_int_equal(store_knowledge_find(store, KNOWLEDGE_MODEL, "m", &second, NULL), 0);
    assert_int_equal(first.id, second.id);
    assert_null(second.text);
    assert_string_equal(second.model, "base");
    finds(store, "{'text':'oldword'}", "");
    finds(store, "{'where':['a=1']}", "");
    finds(store, "{'where':['t=x']}", "");
    finds(store, "{'where':['b=2']}", "m");
    struct store_batch *batch = store_batch_create();
    assert_int_equal(store_batch_knowledge_remove(batch, first.id), 0);
    assert_int_equal(store_commit(store, batch, NULL), 0);
    store_batch_destroy(batch);
    finds(store, "{'where':['b=2']}", "");
    finds(store, "{'text':'base'}", "");
    assert_int_equal(store_knowledge_read(store, first.id, &second, NULL), -ENOENT);
    knowledge_finish(&first);
    knowledge_finish(&second);
}

static void test_conditions_rare_and_common(void **state)
{
    struct store *store = ((struct shelf *)*state)->store;
    struct store_batch *batch = store_batch_create();
    char name[32];
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(name, sizeof(name), "m%d", i);
        AUTO_JSON json_t *body = json_pack(
            "{s:s, s:s, s:s, s:{s:i, s:i, s:s, s:s, s:i}}", "kind", "model", "name", name, "text",
            i == 1234 ? "common needle" : "common words", "attributes", "n", i, "parity", i % 2,
            "side", i % 2 ? "left" : "right", "hand", i % 2 || i == 40 ? "left" : "right",
            i == 17 || i == 40 ? "rare" : "usual", i);
        struct knowledge entry;
        knowledge_init(&entry);
        assert_int_equal(knowledge_decode(body, &entry, NULL), 0);
        assert_int_equal(store_batch_knowledge(batch, &entry), 0);
        knowledge_finish(&entry);
    }
    assert_int_equal(store_commit(store, batch, NULL), 0);
    store_batch_destroy(batch);
    uint64_t count;
    assert_int_equal(store_knowledge_count(store, &count, NULL), 0);
    assert_int_equal(count, MANY);
    finds(store, "{'text':'common needle','where':['n>=0']}", "m1234");
    finds(store, "{'text':'common','where':['n<3','parity=0']}", "m2 m0");
    finds(store, "{'text':'common','where':['n<100','side=left','n>=96']}", "m99 m97");
    finds(store, "{'text':'common','sort':'-n','limit':3}", "m5999 m5998 m5997");
    finds(store, "{'text':'common','where':['parity=1'],'sort':'n','limit':2}", "m1 m3");
    /* Conditions that half of all meet, and hardly one meets together. */
    finds(store, "{'where':['side=right','hand=left']}", "m40");
    finds(store, "{'text':'common','where':['side=right','hand=left','n>=0','n<5999']}", "m40");
    finds(store, "{'where':['side=left','hand=right']}", "");
    finds(store, "{'where':['side=right','hand=left'],'sort':'-n'}", "m40");
    finds(store, "{'where':['n<2900','n>=2898']}", "m2899 m2898");
    /* Sorted by what two have. */
    finds(store, "{'sort':'rare','limit':3}", "m17 m40 m5999");
    finds(store, "{'where':['parity=0'],'sort':'-rare','limit':3}", "m40 m5998 m5996");
    finds(store, "{'where':['parity=0','n<3000','parity=1']}", "");
    finds(store, "{'kinds':['model','task'],'where':['n>=0','n<2'],'sort':'-n'}", "m1 m0");
}

static void refused(const char *body, const char *code)
{
    struct knowledge entry;
    struct error err = {0};
    AUTO_JSON json_t *object = json_of(body);
    knowledge_init(&entry);
    assert_true(knowledge_decode(object, &entry, &err) < 0);
    if (strcmp(err.code, code) != 0)
        fail_msg("%s: %s: %s", body, err.code, err.text);
    knowledge_finish(&entry);
}

static void test_entries_are_limited(void **state)
{
    (void)state;
    char longer[KNOWLEDGE_NAME_MAX + 64];
    refused("{'kind':'opinion','name':'x'}", "bad-kind");
    refused("{'kind':'model','name':''}", "bad-name");
    refused("{'kind':'model','name':'a\\nb'}", "bad-name");
    (void)snprintf(longer, sizeof(longer), "{'kind':'model','name':'%0*d'}", KNOWLEDGE_NAME_MAX + 1,
                   1);
    refused(longer, "bad-name");
    refused("{'kind':'model','name':'x','task':''}", "bad-name");
    refused("{'kind':'model','name':'x','attributes':[]}", "bad-field");
    refused("{'kind':'model','name':'x','attributes':{'A':1}}", "bad-attribute");
    refused("{'kind':'model','name':'x','attributes':{'a':{}}}", "bad-attribute");
    refused("{'kind':'model','name':'x','attributes':{'a':null}}", "bad-attribute");
    refused("{'kind':'model','name':'x','attributes':{'a':[1]}}", "bad-attribute");
    refused("{'kind':'model','name':'x','colour':1}", "unknown-field");
}

static void test_conditions(void **state)
{
    (void)state;
    struct knowledge_filter filter;
    static const char *const good[] = {"a=1",    "a<=0.5", "a>1e3",  "a<8GiB",
                                       "a=1..2", "a=mit",  "a=1..x", "a>=-3"};
    static const char *const bad[] = {"", "a", "=1", "a=", "a<", "a<x", "a>=mit", "a<nan", "<3"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_int_equal(knowledge_filter_parse(good[i], &filter, NULL), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(knowledge_filter_parse(bad[i], &filter, NULL), -EINVAL);
    assert_int_equal(knowledge_filter_parse("a<8GiB", &filter, NULL), 0);
    assert_true(filter.high < 8589934592.0 && filter.high > 8589934591.9);

    static const char *const sizes[] = {"image < 8 GiB", "image <8GiB", "< 8GiB image",
                                        "<= 8 GiB image"};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct knowledge_query query;
        knowledge_query_init(&query);
        assert_int_equal(knowledge_query_text(&query, sizes[i], NULL), 0);
        assert_int_equal(query.word_count, 1);
        assert_string_equal(query.words[0], "image");
        assert_int_equal(query.fits_bytes, 8ull << 30);
        assert_int_equal(query.filter_count, 0);
        knowledge_query_finish(&query);
    }
}

static enum fit_basis fit(const struct profiles *profiles, const char *attributes,
                          const char *settings, uint64_t *ret_bytes)
{
    AUTO_JSON json_t *run = json_of(settings);
    AUTO_JSON json_t *about = json_of(attributes);
    struct knowledge model = {.attributes = about};
    return fit_memory(&model, run, profiles, ret_bytes);
}

static void test_models_are_held_against_memory(void **state)
{
    (void)state;
    AUTO_BUF struct buf text = BUF_INIT;
    uint64_t one, four, measured;
    assert_int_equal(file_read(AT_FDCWD, PROFILES_FILE, 1 << 20, &text, NULL), 0);
    struct profiles *profiles = profiles_parse(text.data, text.length, NULL);
    const char *llama = "{'params':8030261248.0,'layers':32,'hidden':4096,'heads':32,'kv_heads':8,"
                        "'ffn':14336,'vocab':128256,'license':'llama3'}";
    assert_int_equal(fit(profiles, llama, "{'sequence':8192}", &one), FIT_ESTIMATED);
    assert_int_equal(fit(profiles, llama, "{'sequence':8192,'batch':4}", &four), FIT_ESTIMATED);
    assert_true(one > 16ull << 30 && four > one && four < 48ull << 30);
    assert_int_equal(fit(profiles, "{'license':'mit'}", "{}", &one), FIT_UNKNOWN);
    const char *ran = "{'memory_peak_bytes':5000,'batch':4}";
    assert_int_equal(fit(profiles, ran, "{'batch':4}", &measured), FIT_MEASURED);
    assert_int_equal(measured, 5000);
    assert_int_equal(fit(profiles, ran, "{'batch':5}", &measured), FIT_UNKNOWN);
    assert_int_equal(fit(profiles, ran, "{'task':'train'}", &measured), FIT_UNKNOWN);
    profiles_destroy(profiles);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_entries_are_found, shelf_make, shelf_remove),
        cmocka_unit_test_setup_teardown(test_an_entry_is_replaced_and_removed, shelf_make,
                                        shelf_remove),
        cmocka_unit_test_setup_teardown(test_conditions_rare_and_common, shelf_make, shelf_remove),
        cmocka_unit_test(test_entries_are_limited),
        cmocka_unit_test(test_conditions),
        cmocka_unit_test(test_models_are_held_against_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
